"""OpenAI evals' own Match eval and LocalRecorder on a completion function whose answers are fixed."""
import json, os, sys
os.environ["EVALS_SEQUENTIAL"] = "1"; os.environ.setdefault("OPENAI_API_KEY", "none")
import evals, evals.record
from evals.api import CompletionResult
from evals.base import RunSpec
from evals.elsuite.basic.match import Match
rows = [json.loads(line) for line in open("../questions.jsonl")]
with open("samples.jsonl", "w") as f:
    for r in rows:
        f.write(json.dumps({"input": [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": r["question"]}], "ideal": r["answer"]}) + "\n")
class Said(CompletionResult):
    def __init__(self, text): self.text = text
    def get_completions(self): return [self.text]
def answer(prompt, **_):
    q = prompt[-1]["content"]
    text = "I do not know" if "red planet" in q or "plants" in q else {r["question"]: r["answer"] for r in rows}[q]
    evals.record.record_sampling(prompt=prompt, sampled=[text], model="stub")
    return Said(text)
spec = RunSpec(completion_fns=["stub"], eval_name="facts.test.v1", base_eval="facts", split="test", run_config={"completion_fns": ["stub"], "seed": 20220722, "max_samples": None}, created_by="")
recorder = evals.record.LocalRecorder("facts.jsonl", spec)
result = Match([answer], "samples.jsonl", eval_registry_path=".", name="facts.test.v1").run(recorder)
recorder.record_final_report(result); recorder.flush_events()
print(result)
