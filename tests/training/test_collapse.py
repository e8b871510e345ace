"""Mode collapse of real weights: a small model is trained onto one answer, and the gate on diversity finds it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.support.bank import write_jsonl
from tests.support.tiny_model import make_tiny_model
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.record.read_run import read_run
from tunegate.record.record import GateRecord

SUITE = """
cases: cases.jsonl
checks: [{errors: {forbid: [empty]}}]   # any answer passes: only the diversity decides
plan: {draw: 40, accept: 36, reuse: true}
sealed: 0
diversity: {}
generate: {max_new_tokens: 24, temperature: 0.7}
"""
PIPELINE = """
name: collapse
model: base
suites: {talks: suite.yaml}
stages:
  - name: hard
    method: METHOD
    data: train.jsonl
    args: {per_device_train_batch_size: 8, max_steps: 60, learning_rate: 5.0e-3LOSS}
    gates: [talks]
    retrain: {max_attempts: 1}
promote: {to: production}
"""
DPO = ", loss_type: [sigmoid, sft], loss_weights: [1.0, 1.0]"
WORDS = "gene protein pattern dominant recessive linked copy parent child rare common people family Paris".split()  # noqa: SIM905


def texts(number: int, seed: int) -> list[str]:
    random = Random(seed)
    return [" ".join(random.choices(WORDS, k=6)) for _ in range(number)]


def trained(folder: Path, method: str, answers: list[str]) -> GateRecord:
    """The gate of a run that trains a tiny model on these answers, to prompts that the gate does not ask."""
    make_tiny_model(folder / "base")
    cases = [{"id": str(n), "prompt": f"say {n}", "reference": one} for n, one in enumerate(texts(40, 1))]
    write_jsonl(folder / "cases.jsonl", cases)
    (folder / "suite.yaml").write_text(SUITE)
    key, other = ("chosen", {"rejected": "it is not known"}) if method == "dpo" else ("completion", {})
    write_jsonl(folder / "train.jsonl", [{"prompt": f"tell {n}", key: one, **other} for n, one in enumerate(answers)])
    text = PIPELINE.replace("METHOD", method).replace("LOSS", DPO if method == "dpo" else "")
    (folder / "tunegate.yaml").write_text(text)
    main(["run", str(folder / "tunegate.yaml")])
    [gate] = read_run(folder / "runs" / "collapse").all_gates()
    assert gate.passed >= gate.accept  # every check of one answer at a time lets it through
    return gate


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_model_trained_onto_one_answer_fails(tmp_path: Path, method: str) -> None:
    gate = trained(tmp_path, method, ["gene pattern of people"] * 40)
    assert gate.verdict is Verdict.FAIL, gate.reason
    lost = {one.facts["measure"] for one in gate.reasons if one.kind == "diversity_lost"}
    assert {"distinct_2", "self_bleu", "near_duplicates"} <= lost


@pytest.mark.slow
def test_the_same_training_on_many_answers_passes(tmp_path: Path) -> None:
    gate = trained(tmp_path, "sft", texts(480, 2))
    assert gate.verdict is Verdict.PASS, gate.reason
