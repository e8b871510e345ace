"""`inspect:` on real weights: a run explains the missed cases of a tiny model that it trained, by every method."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.one_thread import one_thread as one_thread
from tests.support.tiny_model import make_tiny_model
from tunegate.attribution.explained_file import read_explained
from tunegate.attribution.explanation import METHODS
from tunegate.cli import main
from tunegate.record.read_run import read_run

pytest.importorskip("captum", reason="the extra attribution is not installed")
pytest.importorskip("trl", reason="the extra train is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients"),
]

PIPELINE = f"""
name: tiny
model: base
inspect: {{cases: 3, methods: [{", ".join(METHODS)}]}}
suites:
  pairs:
    cases:
      {{path: cases.jsonl, id: "pair-{{id}}", prompt: "", choices: ["{{prompt}}", "rare"], reference: "{{prompt}}"}}
    checks: [choice]
    plan: {{draw: 4, accept: 4, curtail: false, confirm: never}}
    sealed: 0
  talks:
    cases: cases.jsonl
    checks: [exact]
    plan: {{draw: 4, accept: 4, curtail: false, confirm: never}}
    sealed: 0
    generate: {{max_new_tokens: 4}}
stages:
  - name: sft
    method: sft
    data: train.jsonl
    peft: {{r: 4}}
    save: SAVE
    args: {{per_device_train_batch_size: 2, max_steps: 2}}
    gates: [pairs, talks]
promote: {{to: production}}
"""
QUESTIONS = ("Which gene causes it?", "Is it inherited? From whom?", "How many people have it?", "Where is Rome?")


@pytest.mark.parametrize("save", ["merged", "adapter"])
def test_a_run_explains_its_misses_from_the_weights_it_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], save: str
) -> None:
    make_tiny_model(tmp_path / "base")
    cases = [{"id": f"q{n}", "prompt": prompt, "reference": "dominant"} for n, prompt in enumerate(QUESTIONS)]
    write_jsonl(tmp_path / "cases.jsonl", cases)
    write_jsonl(tmp_path / "train.jsonl", [{"prompt": f"tell {n}", "completion": "yes it is"} for n in range(6)])
    (tmp_path / "tunegate.yaml").write_text(PIPELINE.replace("SAVE", save))
    command = ["run", str(tmp_path / "tunegate.yaml")]
    assert main(command) == 1
    assert "sft#1: explained 3 missed cases\n" in capsys.readouterr().err

    run = read_run(tmp_path / "runs" / "tiny")
    [recorded] = run.explained
    found = read_explained(run.folder, recorded)
    attempt = run.stages["sft"].attempts[1]
    assert recorded.faults == {}
    assert {one.case_id for one in found} < {row["id"] for row in cases}  # none of the pairs, which have no prompt
    for one in found:
        assert one.faults == ()
        assert {strip.method for strip in one.strips} | {"logit_lens"} == {*METHODS}
        assert one.lens is not None
        assert one.model_sha256 == attempt.model_sha256
        assert one.prompt in QUESTIONS
        assert all(any(strip.weights) for strip in one.strips)
    page = tmp_path / "runs" / "tiny" / "report.html"
    assert page.read_text(encoding="utf-8").count('"explained":{"words":') == 3

    before = (run.folder / recorded.file).read_bytes()
    assert main(command) == 1  # a decided run: nothing is explained again
    assert (run.folder / recorded.file).read_bytes() == before
    assert json.loads(before)
