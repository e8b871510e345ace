"""Which recorded answer is explained, by which weights, in which order; and the base model of a run beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_run import gate_run, write_gate
from tests.support.tiny_model import make_tiny_model
from tunegate.attribution.stored_case import find_case, nearest_reference, stored_cases
from tunegate.checks.outcome import Finding, Outcome, Verdict
from tunegate.cli import main
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.models.fingerprint import fingerprint
from tunegate.record.event_log import EventLog
from tunegate.record.read_run import read_run
from tunegate.record.record import RunRecord
from tunegate.stats.sampling import SequentialPlan, SinglePlan
from tunegate.verdicts.terms import Terms

PASS, FAIL = Verdict.PASS, Verdict.FAIL
CHECKS = ("exact",)


def outcome(case_id: str, verdict: Verdict, response: str = "dominant", prompt: str | None = None) -> Outcome:
    finding = Finding("exact", verdict, verdict is PASS)
    prompt, references = f"Which of {case_id}?" if prompt is None else prompt, ("recessive",)
    return Outcome(case_id, verdict, "", (finding,), prompt, response, references, finish_reason="stop")


def write_run(folder: Path, base: str = "base", base_sha256: str = "ab" * 32, sha256: str = "cd" * 32) -> RunRecord:
    """A run whose base model was asked five cases; its stage lost `b`, `c` and, without a prompt, `e`."""
    where = {"stage": "sft", "attempt": 1}
    before = [outcome("a", FAIL), outcome("b", PASS), outcome("c", PASS), outcome("d", FAIL), outcome("e", PASS)]
    after = [
        *(outcome("e", FAIL, prompt=""), outcome("a", FAIL), outcome("b", FAIL), outcome("c", FAIL, "")),
        outcome("d", PASS),
    ]
    with EventLog.open(folder) as log:
        log.append({"event": "run_started", "name": "x", "model": base, "model_sha256": base_sha256, "seed": 1})
        measured = Terms(SinglePlan(5, 1), "baseline")
        write_gate(log, "facts", before, terms=measured, model_sha256=base_sha256, purpose="baseline", checks=CHECKS)
        log.append(
            {"event": "stage_started", "stage": "sft", "method": "sft", "gates": ["facts"]},
            {"event": "attempt_started", **where, "seed": 1, "settings": {}, "input_sha256": base_sha256},
        )
        trained = {"model": "sft/attempt-1/model", "model_sha256": sha256, "log": [], "summary": {}, "seconds": 1.0}
        log.append({"event": "trained", **where, **trained})
        write_gate(log, "facts", after, **where, accept=3, model_sha256=sha256, checks=CHECKS)
    return read_run(folder)


@pytest.fixture
def run(tmp_path: Path) -> RunRecord:
    return write_run(tmp_path / "run")


def test_flips_come_first_then_other_misses_then_those_without_a_prompt_then_the_rest(run: RunRecord) -> None:
    cases = stored_cases(run, run.stages["sft"].attempts[1])
    assert [(one.case.id, one.verdict, one.flipped) for one in cases] == [
        ("b", FAIL, True),
        ("c", FAIL, True),
        ("a", FAIL, False),
        ("e", FAIL, True),
        ("d", PASS, False),
    ]


def test_answers_that_the_verdict_did_not_need_are_left_out(tmp_path: Path) -> None:
    """A draw that stops early has a batch of answers already; its report shows only those that decided."""
    many = [outcome(f"q{n:02}", FAIL) for n in range(30)]
    early = SequentialPlan(draw=30, accept=27, slope=0.1, accept_intercept=3.0, reject_intercept=3.0)
    run = gate_run(tmp_path / "run", ("facts", many), plan=early)
    [gate] = run.gates.values()
    assert len(gate.outcomes) < len(gate.judged.outcomes) == 30
    assert {one.case.id for one in stored_cases(run, None)} == {one.case_id for one in gate.outcomes}


def test_a_case_knows_its_weights_and_its_answer(run: RunRecord) -> None:
    one = find_case(run, run.stages["sft"].attempts[1], "b")
    assert (one.answer, one.reference, one.ended, one.scored) == ("dominant", "recessive", True, False)
    assert (one.place, one.model_sha256) == (str(run.folder / "sft/attempt-1/model"), "cd" * 32)


def test_a_case_without_an_answer_or_a_prompt_is_refused(run: RunRecord) -> None:
    with pytest.raises(CannotJudge, match="its answer is empty"):
        find_case(run, run.stages["sft"].attempts[1], "c")
    with pytest.raises(CannotJudge, match="it has no prompt"):
        find_case(run, run.stages["sft"].attempts[1], "e")
    with pytest.raises(ConfigError, match="no answer to a case 'z' is on record"):
        find_case(run, run.stages["sft"].attempts[1], "z")


def test_of_several_references_the_nearest_is_compared() -> None:
    assert nearest_reference("autosomal dominant", ("recessive", "autosomal recessive")) == "autosomal recessive"
    assert nearest_reference("x", ()) is None


@pytest.fixture
def one_thread() -> Iterator[None]:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
@pytest.mark.usefixtures("one_thread")
def test_the_base_of_a_run_explains_the_same_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("captum", reason="the extra attribution is not installed")
    base = make_tiny_model(tmp_path / "base", seed=3)
    tuned = make_tiny_model(tmp_path / "run" / "sft" / "attempt-1" / "model")
    write_run(tmp_path / "run", str(base), fingerprint(base), fingerprint(tuned))
    command = ["explain-case", str(tmp_path / "run"), "b", "--method", "ablation", "--against", "base"]
    assert main([*command, "--json"]) == 0
    own, other = json.loads(capsys.readouterr().out)["explanations"]
    assert (own["model_sha256"], other["model_sha256"]) == (fingerprint(tuned), fingerprint(base))
    assert own["pieces"] == other["pieces"]
    assert own["strips"][0]["weights"] != other["strips"][0]["weights"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "The base model answered this case right: the training lost it." in out
    (base / "config.json").write_text((base / "config.json").read_text() + " ")
    assert main(command) == 5
