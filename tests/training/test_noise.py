"""A miss that a good model meets as often is diagnosed as noise: values on record, words in every report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binom

from tests.support.fake_pipeline import Killed, carry_out, killed_after, open_model, tools, trainer, write_pipeline
from tests.support.record_edits import Events, events_of, write
from tests.training.test_run import essence
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.exceptions import Tampered
from tunegate.models.model import ScriptedModel
from tunegate.promotion.evidence import check_gates
from tunegate.record.event_log import EVENTS
from tunegate.record.noise import noise_of
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck_all
from tunegate.record.record import AttemptRecord, GateRecord
from tunegate.stats.noise import MissedDraw, Noise
from tunegate.stats.plans import PlanRule
from tunegate.stats.sampling import SinglePlan
from tunegate.training.tools import Tools
from tunegate.verdicts.reason import Reason, because
from tunegate.verdicts.terms import Terms

NOISY = """\
name: noisy
model: base
suites:
  facts: {cases: cases.jsonl, checks: [exact], plan: {draw: 20, accept: 19}, sealed: 0.3}
stages:
  - {name: sft, method: sft, data: train.jsonl, gates: [facts], retrain: {max_attempts: 3, rows: [2, 4, 8]}}
"""
"""A gate that a model of 95 % misses with .264: its miss is noise more often than not."""


def noisy(folder: Path, text: str = NOISY, bank: int = 150) -> Path:
    return write_pipeline(folder, text, bank=bank)


def missing(wrong: Sequence[str]) -> Tools:
    """A model that is right about everything but these cases, whatever it was trained on."""

    def opened(path: str) -> ScriptedModel:
        def answer(case: Case) -> str:
            return "?" if case.id in wrong else case.references[0]

        return replace(open_model(path), script=answer)

    return replace(tools(), train=trainer({}), open_model=opened)


def first_draw(path: Path) -> tuple[str, ...]:
    """The cases of the first draw: a model has no part in which they are."""
    return carry_out(path, missing(()), run="rehearsal").stages["sft"].attempts[1].gates["facts"].case_ids


def late_misses(path: Path) -> tuple[str, str]:
    """Two cases of the first draw, so late that a good model misses as many by then with .245."""
    drawn = first_draw(path)
    return drawn[3], drawn[18]


def test_a_miss_that_a_good_model_meets_as_often_is_noise(tmp_path: Path) -> None:
    path = noisy(tmp_path / "project")
    run = carry_out(path, missing(late_misses(path)))
    assert run.verdict is Verdict.PASS
    first = run.stages["sft"].attempts[1]
    chance = pytest.approx(binom.sf(1, 19, 0.05))
    found = first.diagnosis
    assert found is not None
    assert found.noise == Noise((MissedDraw("facts", 19, 2, chance, 0.95),), 1, chance)
    assert (found.cause, found.evidence[-1]) == ("noise", "if it is not noise: overfit")
    assert found.changes == {"rows": (2, 4)}  # by default it is trained again, as the evidence says
    assert found.noise == noise_of([first], {"facts": 0.95})


def test_an_early_miss_is_more_than_noise(tmp_path: Path) -> None:
    """Two misses among the first five: a good model has them with .023, though it misses the gate with .264."""
    path = noisy(tmp_path / "project")
    found = carry_out(path, missing(first_draw(path)[3:5])).stages["sft"].attempts[1].diagnosis
    assert found is not None
    assert found.noise is not None
    assert found.noise.chance == pytest.approx(binom.sf(1, 5, 0.05))
    assert (found.cause, found.noise.likely) == ("overfit", False)


def test_a_risk_of_the_suite_says_what_is_good(tmp_path: Path) -> None:
    text = NOISY.replace("plan: {draw: 20, accept: 19}", "plan: {risk: {at: 0.6, good: 0.97}}")
    path = noisy(tmp_path / "project", text)
    found = carry_out(path, missing(first_draw(path))).stages["sft"].attempts[1].diagnosis
    assert found is not None
    assert found.noise is not None
    assert found.noise.misses[0].good == 0.97


def test_older_records_have_no_noise(tmp_path: Path) -> None:
    path = noisy(tmp_path / "project")
    run = carry_out(path, missing(late_misses(path)))
    older = without_noise(events_of(run.folder))
    write(tmp_path / "older", older)
    found = read_run(tmp_path / "older").stages["sft"].attempts[1].diagnosis
    assert found is not None
    assert (found.cause, found.noise) == ("noise", None)


def without_noise(events: Events) -> Events:
    return [{key: value for key, value in event.items() if key != "noise"} for event in events]


# --- the redraw ------------------------------------------------------------------------------------------------------

REDRAWS = NOISY.replace("max_attempts: 3,", "max_attempts: 3, on_noise: redraw,")


def redrawn(folder: Path, text: str = REDRAWS) -> tuple[Path, Tools]:
    path = noisy(folder / "project", text)
    return path, missing(late_misses(path))


def test_the_same_weights_are_asked_fresh_cases_and_nothing_is_trained(tmp_path: Path) -> None:
    path, given = redrawn(tmp_path)
    run = carry_out(path, given)
    assert run.verdict is Verdict.PASS
    first, second = run.stages["sft"].attempts.values()
    assert first.diagnosis is not None
    assert (first.diagnosis.cause, first.diagnosis.changes, first.diagnosis.redraw) == ("noise", {}, True)
    assert first.diagnosis.action == "ask the same weights fresh cases before another training"
    assert (second.redraw_of, second.model, second.model_sha256) == (1, first.model, first.model_sha256)
    assert (second.seed, second.settings, second.seconds, second.log) == (first.seed, first.settings, 0.0, ())
    kinds = [event["event"] for event in events_of(run.folder) if event.get("attempt") == 2]
    assert not {"rows_written", "trained", "training_failed"} & set(kinds)
    assert not (run.folder / "sft" / "attempt-2").exists()
    assert not second.gates["facts"].seen & first.gates["facts"].seen
    assert recheck_all(run) == len(run.all_gates())
    assert check_gates(run) == second


def test_a_redraw_is_an_attempt_in_every_risk(tmp_path: Path) -> None:
    """Its pass needs the confirming draw of a retry, and the luck of the stage counts both attempts."""
    path, given = redrawn(tmp_path)
    run = carry_out(path, given)
    stage = run.stages["sft"]
    assert list(stage.attempts[2].gates) == ["facts", "facts (confirm)"]
    luck = stage.luck["facts"]
    assert not isinstance(luck, str)
    plan = PlanRule(draw=20, accept=19).resolve(3)
    assert (luck.attempts, luck.so_far) == (2, pytest.approx(plan.acceptance_within(0.85, 2)))
    assert run.start["redraws"] == {"sft": {"facts": 0.95}}


def test_weights_are_redrawn_once_and_then_trained(tmp_path: Path) -> None:
    path, given = redrawn(tmp_path)
    second = carry_out(path, given, run="once").stages["sft"].attempts[2].gates["facts"].case_ids
    run = carry_out(path, missing([*late_misses(path), second[4], second[17]]), run="twice")
    stage = run.stages["sft"].attempts
    assert [attempt.redraw_of for attempt in stage.values()] == [None, 1, None]
    found = stage[2].diagnosis
    assert found is not None
    assert (found.redraw, found.changes) == (False, {"rows": (2, 4)})
    assert found.noise is not None  # two draws of the same weights are two pieces of evidence
    assert found.noise.draws == 2
    small, large = sorted(binom.sf(1, gate.asked, 0.05) for gate in (stage[n].gates["facts"] for n in (1, 2)))
    assert found.noise.chance == pytest.approx(min(binom.sf(0, 2, small), binom.sf(1, 2, large)))
    assert run.verdict is Verdict.PASS


def test_what_is_more_than_noise_is_trained_again(tmp_path: Path) -> None:
    path = noisy(tmp_path / "project", REDRAWS)
    run = carry_out(path, missing(first_draw(path)[3:5]))
    assert [attempt.redraw_of for attempt in run.stages["sft"].attempts.values()] == [None, None]


def test_with_no_attempt_left_a_redraw_is_advice(tmp_path: Path) -> None:
    path, given = redrawn(tmp_path, REDRAWS.replace("max_attempts: 3", "max_attempts: 1"))
    run = carry_out(path, given)
    assert run.verdict is Verdict.FAIL
    assert run.reason.endswith(
        "noise: no attempt left; raise retrain.max_attempts to try next: "
        "ask the same weights fresh cases before another training"
    )


def test_a_gate_that_reuses_cases_is_not_redrawn(tmp_path: Path) -> None:
    path, given = redrawn(tmp_path, REDRAWS.replace("accept: 19", "accept: 19, reuse: true"))
    assert carry_out(path, given).stages["sft"].attempts[2].redraw_of is None


def test_a_killed_redraw_goes_on_and_trains_nothing(tmp_path: Path) -> None:
    path, given = redrawn(tmp_path)
    whole = carry_out(path, given, run="whole")
    total = len(events_of(whole.folder))
    begins = next(n for n, event in enumerate(events_of(whole.folder), 1) if event.get("redraw_of") == 1)
    for n in (begins - 1, begins, begins + 1, total - 1):
        with pytest.raises(Killed):
            carry_out(path, given, run=f"run-{n}", open_log=killed_after(n))
        assert essence(carry_out(path, given, run=f"run-{n}")) == essence(whole)


def test_reports_say_that_nothing_was_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, given = redrawn(tmp_path)
    run = carry_out(path, given)
    assert main(["report", str(run.folder), "--recheck"]) == 0
    assert "(weights of attempt 1)" in capsys.readouterr().out
    told = "nothing trained: the weights of attempt 1, asked fresh cases"
    assert told in (run.folder / "report.html").read_text(encoding="utf-8")


def of(kind: str, attempt: int = 2) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == kind and event.get("attempt") == attempt


STARTED, MISSED = of("attempt_started"), of("diagnosed", 1)


@pytest.mark.parametrize(
    ("where", "change", "match"),
    [
        (STARTED, {"redraw_of": None}, "an attempt trains, although the diagnosis before it asks for a redraw"),
        (STARTED, {"redraw_of": 2}, "a redraw that no diagnosis asks for"),
        (STARTED, {"settings": {"rows": 4}}, "a redraw with another settings"),
        (STARTED, {"seed": 7}, "a redraw with another seed"),
        (STARTED, {"input_sha256": "0" * 64}, "a redraw with another input_sha256"),
        (MISSED, {"redraw": False}, "a redraw that no diagnosis asks for"),
        (MISSED, {"changes": {"rows": [2, 4]}}, "a redraw changes no setting"),
        (of("run_started", None), {"redraws": {}}, "the run did not register redraws"),  # type: ignore[arg-type]
        (of("run_started", None), {"redraws": {"sft": {"facts": 0.999}}}, "the miss before it was not noise"),  # type: ignore[arg-type]
    ],
)
def test_a_record_with_another_redraw_is_refused(
    tmp_path: Path, where: Callable[[dict[str, Any]], bool], change: dict[str, Any], match: str
) -> None:
    path, given = redrawn(tmp_path)
    folder = carry_out(path, given).folder
    changed = [_without_none({**event, **change}) if where(event) else event for event in events_of(folder)]
    assert changed != events_of(folder)
    (folder / EVENTS).unlink()
    write(folder, changed)
    for check in (check_gates, recheck_all):
        with pytest.raises(Tampered, match=match):
            check(read_run(folder))


def _without_none(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != "redraw_of" or value is not None}


def test_a_redraw_with_other_weights_is_refused(tmp_path: Path) -> None:
    """Training in a redraw, and training the weights again after it."""
    path, given = redrawn(tmp_path)
    folder = carry_out(path, given).folder
    events = events_of(folder)
    trained = next(event for event in events if event["event"] == "trained")
    for attempt, match in ((2, "a redraw trains nothing"), (1, "weights are trained after their redraw")):
        place = next(n for n, event in enumerate(events) if event.get("redraw_of") == 1) + 1
        other = [*events[:place], {**trained, "attempt": attempt, "model_sha256": "0" * 64}, *events[place:]]
        write(tmp_path / f"other-{attempt}", other)
        with pytest.raises(Tampered, match=match):
            read_run(tmp_path / f"other-{attempt}")


# --- what is known of a draw -----------------------------------------------------------------------------------------


def missed(*reasons: Reason, terms: Terms | None = None, key: str = "facts", n: int = 11) -> GateRecord:
    """A draw of 90 of 100 that missed `n`."""
    terms = terms or Terms(SinglePlan(100, 90))
    return GateRecord(
        gate=key, stage="sft", attempt=1, suite_sha256="", model_sha256="", seed=1, drawn=100, accept=90,
        case_ids=(key,), purpose=terms.purpose, terms=terms.to_json(), decided=True, verdict=Verdict.FAIL,
        reasons=reasons, passed=100 - n, failed=n, asked=100,
    )  # fmt: skip


def attempt(*gates: GateRecord) -> AttemptRecord:
    return AttemptRecord(1, 1, {}, "", gates={gate.key: gate for gate in gates})


COUNT = because("count", passed=89, drawn=100, needed=90)
SHIPPED = {"sensitivity": (931, 1000), "specificity": (849, 1000), "record_sha256": "0" * 64}


def test_a_judges_errors_are_in_the_chance() -> None:
    """The shipped judge passes .8920 of the answers of a model that is right .95: 89 of 100 is what it finds."""
    terms = Terms(SinglePlan(100, 90), admissions={"judge": SHIPPED})
    noise = noise_of([attempt(missed(COUNT, terms=terms))], {"facts": 0.95})
    assert noise is not None
    assert noise.chance == pytest.approx(binom.cdf(89, 100, 0.95 * 0.931 + 0.05 * 0.151))
    assert noise.likely
    assert noise.misses[0].at_most is not None
    assert noise.misses[0].at_most > noise.misses[0].chance  # type: ignore[operator]


@pytest.mark.parametrize(
    ("reason", "good"),
    [
        (because("slice_missed", tag="t=1", passed=1, cases=9, needed=5, size=9), {"facts": 0.95}),
        (because("errors_over", category="repetition", cases=3, allowed=0), {"facts": 0.95}),
        (because("said", text="89 of 100, 90 needed"), {"facts": 0.95}),
        (COUNT, {}),
    ],
    ids=["a slice", "a cap", "an older record", "no rate"],
)
def test_where_the_count_did_not_decide_the_chance_is_unknown(reason: Reason, good: dict[str, float]) -> None:
    noise = noise_of([attempt(missed(reason))], good)
    assert noise is not None
    assert (noise.chance, noise.misses[0].chance, noise.likely) == (None, None, False)


def test_a_lost_retention_of_79_to_73_can_be_chance() -> None:
    """The issue's record: 11 lost, 5 won of 100 (95 %: -2.0 to 14.6), 5 points allowed."""
    facts = {"before": 79, "now": 73, "cases": 100, "lost": 11, "won": 5, "drop": 6.0, "low": -2.0, "high": 14.6}
    reason = because("forgetting", **facts, allowed=5.0)
    terms = Terms(SinglePlan(100, 90), purpose="retention", max_drop=5.0)
    noise = noise_of([attempt(missed(reason, terms=terms, key="general"))], {})
    assert noise is not None
    assert noise.misses[0] == MissedDraw("general (retention)", 100, 11, pytest.approx(0.1051, abs=5e-5), won=5)
    assert noise.likely


def test_gates_of_one_draw_are_one_draw() -> None:
    """Two gates that judge the same cases: both miss, and that is no second piece of evidence."""
    one, passed = missed(COUNT), missed(COUNT, key="style")
    same = replace(passed, case_ids=one.case_ids)
    alone, both = noise_of([attempt(one)], GOOD), noise_of([attempt(one, same)], GOOD)
    assert alone is not None
    assert both is not None
    assert (both.draws, both.chance) == (1, pytest.approx(2 * (alone.chance or 0)))
    apart = noise_of([attempt(one, passed)], GOOD)
    assert apart is not None
    assert (apart.draws, apart.chance) == (2, pytest.approx((alone.chance or 0) ** 2))


GOOD = {"facts": 0.95, "style": 0.95}


def test_the_values_travel_through_json() -> None:
    noise = Noise((MissedDraw("facts", 100, 11, 0.01, 0.95),), 1, 0.01)
    assert asdict(noise)["misses"][0]["gate"] == "facts"
