"""A whole pipeline with real weights: a tiny model is trained by TRL, answers, is gated, chained and promoted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.tiny_model import make_tiny_model
from tunegate.cli import main
from tunegate.record.read_run import read_run

PIPELINE = """
name: tiny
model: base
suites:
  talks:
    cases: cases.jsonl
    checks: [{regex: "(?s)^.{0,500}$"}]
    plan: {draw: 4, accept: 3}
    generate: {max_new_tokens: 4}
stages:
  - name: sft
    method: sft
    data: train.jsonl
    peft: {r: 4}
    save: SAVE
    args: {per_device_train_batch_size: 2, max_steps: 2}
    gates: [talks]
  - name: dpo
    method: dpo
    data: pairs.jsonl
    peft: {r: 4}
    save: SAVE
    args: {per_device_train_batch_size: 2, max_steps: 2}
    gates: [talks]
promote: {to: production}
"""


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("save", ["merged", "adapter"])
def test_pipeline_trains_gates_chains_and_promotes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], save: str
) -> None:
    make_tiny_model(tmp_path / "base")
    write_rows(tmp_path / "cases.jsonl", [{"id": str(n), "prompt": f"say {n}", "reference": "x"} for n in range(4)])
    write_rows(tmp_path / "train.jsonl", [{"prompt": f"tell {n}", "completion": "yes it is"} for n in range(6)])
    write_rows(tmp_path / "pairs.jsonl", [{"prompt": f"ask {n}", "chosen": "yes", "rejected": "no"} for n in range(6)])
    (tmp_path / "tunegate.yaml").write_text(PIPELINE.replace("SAVE", save))

    assert main(["run", str(tmp_path / "tunegate.yaml"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [gate["verdict"] for gate in summary["gates"]] == ["PASS"] * 3  # sft, dpo, and dpo on the cases of sft
    run = read_run(tmp_path / "runs" / "tiny")
    sft, dpo = (stage.attempts[1] for stage in run.stages.values())
    assert dpo.input_sha256 == sft.model_sha256  # the second stage starts from what passed the first
    assert dpo.summary["first_margin"] == pytest.approx(0.0, abs=1e-6)  # its reference is what it started from
    assert main(["verify", "production", "--registry", str(tmp_path / "registry")]) == 0
    assert main(["verify", str(tmp_path / "base"), "--registry", str(tmp_path / "registry")]) == 1
