"""A drop that can't be told from none: both models are asked more cases before another training is paid for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import Killed, carry_out, killed_after, open_model, tools, trainer, write_pipeline
from tests.support.record_edits import events_of
from tests.training.test_run import essence
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import Tampered
from tunegate.models.model import ScriptedModel
from tunegate.promotion.evidence import check_gates
from tunegate.record.asked_before import AskedBefore, asked_before
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck_all
from tunegate.record.record import AttemptRecord, RunRecord
from tunegate.training import pairs
from tunegate.training.tools import Tools

FORGETS = """\
name: forgets
model: base
suites:
  facts: {cases: cases.jsonl, checks: [exact], plan: {draw: 5, accept: 4}, sealed: 0.3}
  general: {cases: general.jsonl, checks: [exact], sealed: 0, plan: {draw: 20, accept: 1}, retention: {max_drop: 5}}
stages:
  - name: sft
    method: sft
    data: train.jsonl
    gates: [facts]
    retrain: {max_attempts: 3, learning_rate: [1.0e-3, 5.0e-4], on_noise: redraw}
"""


def project(folder: Path, general: int = 100, text: str = FORGETS) -> Path:
    path = write_pipeline(folder, text, bank=100)
    rows = [{"id": f"g{n}", "prompt": f"what is thing {n}?", "reference": f"thing {n}!"} for n in range(general)]
    write_jsonl(folder / "general.jsonl", rows)
    return path


def forgetting(lost: Sequence[str] | Mapping[str, Sequence[str]]) -> Tools:
    """A model that lost these cases, whatever it was trained on, or those of its attempt; the base model knows all."""

    def opened(path: str) -> ScriptedModel:
        of_attempt = lost.get(Path(path).parent.name, ()) if isinstance(lost, Mapping) else lost
        wrong = () if Path(path).name == "base" else of_attempt

        def answer(case: Case) -> str:
            return "?" if case.id in wrong else case.references[0]

        return replace(open_model(path), script=answer)

    return replace(tools(), train=trainer({}), open_model=opened)


def first_pair(path: Path) -> tuple[str, ...]:
    """The cases of the first comparison: a model has no part in which they are."""
    run = carry_out(path, forgetting(()), run="rehearsal")
    return run.stages["sft"].attempts[1].gates["general (retention)"].case_ids


def attempts_of(run: RunRecord) -> dict[int, AttemptRecord]:
    return dict(run.stages["sft"].attempts)


def test_fresh_cases_are_asked_before_a_training(tmp_path: Path) -> None:
    """Two of twenty lost, none won: a model that lost nothing loses as many with .25."""
    path = project(tmp_path / "project")
    run = carry_out(path, forgetting(first_pair(path)[:2]))
    first, second = attempts_of(run).values()
    assert first.diagnosis is not None
    assert (first.diagnosis.cause, first.diagnosis.redraw) == ("noise", True)
    assert first.diagnosis.noise is not None
    assert first.diagnosis.noise.misses[0].chance == pytest.approx(0.25)
    assert (second.redraw_of, second.model_sha256) == (1, first.model_sha256)
    assert not second.asked_questions & first.asked_questions
    earlier = second.references["general (reference)"]
    assert earlier.case_ids == second.gates["general (retention)"].case_ids
    assert run.verdict is Verdict.PASS
    assert recheck_all(run) == len(run.all_gates())
    assert check_gates(run) == second


def test_a_drop_that_is_more_than_noise_is_trained_again(tmp_path: Path) -> None:
    path = project(tmp_path / "project")
    first, second, *_ = attempts_of(carry_out(path, forgetting(first_pair(path)[:7]))).values()
    assert first.diagnosis is not None
    assert (first.diagnosis.cause, second.redraw_of) == ("forgetting", None)


AGAIN = FORGETS.replace("max_drop: 5}", "max_drop: 5, reuse: true}")


def test_without_fresh_cases_there_is_no_next_attempt(tmp_path: Path) -> None:
    path = project(tmp_path / "project", 39)
    run = carry_out(path, forgetting(first_pair(path)[:2]))
    assert (run.verdict, len(attempts_of(run))) == (Verdict.INCONCLUSIVE, 2)
    assert "both models must be asked 20 fresh cases, but the bank of 'general' has 19; add 1 " in run.reason


def test_where_only_answered_cases_are_left_it_is_trained(tmp_path: Path) -> None:
    path = project(tmp_path / "project", 39, AGAIN)
    found = attempts_of(carry_out(path, forgetting(first_pair(path)[:2])))[1].diagnosis
    assert found is not None
    assert (found.cause, found.redraw, list(found.changes)) == ("noise", False, ["learning_rate"])


def test_weights_are_asked_nothing_twice_even_where_a_suite_may_reuse_cases(tmp_path: Path) -> None:
    path = project(tmp_path / "project", 40, FORGETS.replace("accept: 1}", "accept: 1, reuse: true}"))
    first, second, *_ = attempts_of(carry_out(path, forgetting(first_pair(path)[:2]))).values()
    assert second.redraw_of == 1
    assert not second.asked_questions & first.asked_questions


def test_a_redraw_takes_cases_of_other_weights_before_any_that_these_answered(tmp_path: Path) -> None:
    """Fifty cases: the first attempt forgets and is asked twenty; the second one's redraw has ten fresh ones left, and
    takes the other ten from those of the first, never from its own."""
    path = project(tmp_path / "project", 50, AGAIN)
    first = first_pair(path)[:7]
    trained = carry_out(path, forgetting({"attempt-1": first}), run="trained").stages["sft"].attempts
    second = trained[2].gates["general (retention)"].case_ids[:2]
    attempts = attempts_of(carry_out(path, forgetting({"attempt-1": first, "attempt-2": second})))
    assert [attempt.redraw_of for attempt in attempts.values()] == [None, None, 2]
    assert attempts[3].gates["general (retention)"].reused == 10
    assert not attempts[3].asked_questions & attempts[2].asked_questions


def test_a_record_whose_redraw_asks_the_same_cases_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Tunegate that forgot the rule: the record says nothing wrong of itself, and is refused all the same."""
    path = project(tmp_path / "project", 40, FORGETS.replace("accept: 1}", "accept: 1, reuse: true}"))
    lost = first_pair(path)[:2]

    def forgetful(run: RunRecord, stage: str, attempt: int) -> AskedBefore:
        known = asked_before(run, stage, attempt)
        return AskedBefore(frozenset(), known.asked - known.answered)

    monkeypatch.setattr(pairs, "asked_before", forgetful)
    with pytest.raises(Tampered, match="asks the same weights the same cases again"):
        carry_out(path, forgetting(lost))
    run = read_run(path.parent / "run")
    assert all(gate.verdict is Verdict.PASS for gate in attempts_of(run)[2].gates.values())
    with pytest.raises(Tampered, match="asks the same weights the same cases again"):
        recheck_all(run)


def test_a_killed_redraw_goes_on_with_the_same_cases(tmp_path: Path) -> None:
    path = project(tmp_path / "project")
    given = forgetting(first_pair(path)[:2])
    whole = carry_out(path, given, run="whole")
    events = events_of(whole.folder)
    begins = next(n for n, event in enumerate(events, 1) if event.get("redraw_of") == 1)
    compared = next(
        n for n, event in enumerate(events, 1) if event.get("attempt") == 2 and event.get("purpose") == "retention"
    )
    for n in (begins, compared - 1, compared, compared + 1):
        with pytest.raises(Killed):
            carry_out(path, given, run=f"run-{n}", open_log=killed_after(n))
        assert essence(carry_out(path, given, run=f"run-{n}")) == essence(whole)
