"""NeMo Evaluator's own loop and writer on a solver whose answers are fixed; one problem fails in its solver."""
import asyncio, json, sys
sys.path.insert(0, "/tmp/elsewhere/nemo/src")
from pathlib import Path
from nemo_evaluator import run_evaluation, get_environment, SolveResult
from nemo_evaluator.environments.custom import benchmark, scorer
from nemo_evaluator.engine.artifacts import write_all
from nemo_evaluator.scoring import ScorerInput, exact_match
from nemo_evaluator.solvers.base import ErrorKind
rows = [json.loads(line) for line in open("../questions.jsonl")]

@benchmark(name="facts", dataset="../questions.jsonl", prompt="Answer in one word: {question}", target_field="answer")
@scorer
def score(sample: ScorerInput) -> dict:
    return exact_match(sample)

class Stub:
    async def solve(self, task):
        question = task.prompt.removeprefix("Answer in one word: ")
        if "spider" in question:
            return SolveResult(response="", error="the server was gone", error_kind=ErrorKind.INFRA)
        text = "I do not know" if "red planet" in question or "plants" in question else {r["question"]: r["answer"] for r in rows}[question]
        return SolveResult(response=text)
    async def close(self): pass

repeats = int(sys.argv[1])
bundle = asyncio.run(run_evaluation(get_environment("facts"), Stub(), n_repeats=repeats, config={"model": "stub", "benchmark": "facts", "repeats": repeats}, skip_failed=True, max_concurrent=1, max_system_retries=1))
print(write_all(bundle, f"out{repeats}"))
