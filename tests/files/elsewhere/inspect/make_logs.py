"""Two Inspect tasks on a mock model whose answers are fixed; one sample raises an error."""
import json
from inspect_ai import Task, eval, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes, match, exact
from inspect_ai.solver import generate, solver, system_message

rows = [json.loads(line) for line in open("../questions.jsonl")]


@solver
def fails_on(word):
    async def solve(state, generate):
        if word in state.input_text:
            raise RuntimeError("the sandbox was gone")
        return state
    return solve


def answer(messages, tools, tool_choice, config):
    """What the mock model says: the token counts are given, because counting would need a download."""
    question = messages[-1].text
    known = {row["question"]: row["answer"] for row in rows}
    text = "I do not know" if "red planet" in question or "plants" in question else known[question]
    out = ModelOutput.from_content("mockllm/model", text)
    out.usage = ModelUsage(input_tokens=9, output_tokens=3, total_tokens=12)
    return out


def facts(epochs=1):
    data = MemoryDataset([Sample(id=f"q{n}", input=row["question"], target=row["answer"]) for n, row in enumerate(rows)], name="facts")
    return Task(dataset=data, name="facts", solver=[system_message("Answer in one word."), fails_on("spider"), generate()],
                scorer=[includes(), exact()], epochs=epochs, fail_on_error=False)


def run(fmt, epochs=1, limit=None, folder="logs"):
    model = get_model("mockllm/model", custom_outputs=answer)
    return eval(facts(epochs), model=model, log_dir=folder, log_format=fmt, limit=limit, max_samples=1, max_tasks=1, display="none")


if __name__ == "__main__":
    for fmt, epochs in (("json", 1), ("eval", 1), ("json", 2)):
        [log] = run(fmt, epochs, 3 if epochs > 1 else None)
        print(log.status, log.location)
