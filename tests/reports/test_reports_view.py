"""The view model: what a report says of a run, before any HTML."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.fake_run import failed_run, gate_run, leaked_run, outcomes, passing, pipeline_run, write_gate
from tunegate.checks.outcome import Finding, Verdict
from tunegate.record.event_log import EventLog
from tunegate.record.read_run import read_run
from tunegate_reports.answer import answer, count_words
from tunegate_reports.histogram import histogram
from tunegate_reports.html import render
from tunegate_reports.markdown import markdown_summary
from tunegate_reports.view import duration, flat, plain, view


def test_a_promoted_run_says_so_first(tmp_path: Path) -> None:
    run = pipeline_run(tmp_path)
    assert answer(run).sentence == "gene-expert was promoted to production: every stage passed its gates."


def test_a_run_that_passed_is_not_called_promoted(tmp_path: Path) -> None:
    said = answer(pipeline_run(tmp_path, promoted=False))
    assert said.what == "gene-expert passed every gate and has not been promoted yet"


def test_a_failed_run_gives_its_reason(tmp_path: Path) -> None:
    assert answer(failed_run(tmp_path)).sentence.startswith("gene-expert was not promoted: stage sft: no attempt")


def test_a_leak_is_not_called_a_failure(tmp_path: Path) -> None:
    said = answer(leaked_run(tmp_path))
    assert said.verdict is Verdict.INVALID
    assert "could not be judged" in said.what


@pytest.mark.parametrize(
    ("passed", "failed", "invalid", "sentence"),
    [
        (90, 10, 0, "answers.jsonl passed gate facts: 90 of 100, 90 needed."),
        (89, 11, 0, "answers.jsonl failed gate facts: 89 of 100, 90 needed."),
        (89, 10, 1, "answers.jsonl could not be judged by gate facts: 1 of 100 not judged, 89 passed, 90 needed."),
    ],
)
def test_a_gate_alone_is_answered_by_its_count(
    tmp_path: Path, passed: int, failed: int, invalid: int, sentence: str
) -> None:
    assert answer(gate_run(tmp_path, ("facts", outcomes(passed, failed, invalid, seed=1)))).sentence == sentence


def test_several_gates_alone_are_answered_by_the_worst(tmp_path: Path) -> None:
    run = gate_run(tmp_path, ("facts", outcomes(95, 5, 0, seed=1)), ("tone", outcomes(70, 30, 0, seed=2)))
    assert answer(run).sentence == (
        "answers.jsonl failed gate tone: facts 95 of 100, 90 needed; tone 70 of 100, 90 needed."
    )


def test_an_unfinished_run_has_no_verdict(tmp_path: Path) -> None:
    run = gate_run(tmp_path, ("facts", outcomes(40, 2, 0, seed=1)), drawn=100, decided=False)
    shown = view(run)
    assert shown.answer.sentence == "answers.jsonl is not finished: facts is under way, 42 of 100 cases judged."
    assert len(shown.gates[0].cases) == 100
    assert sum(case.outcome.verdict is Verdict.INVALID for case in shown.cases) == 58


def test_registered_cases_without_outcome_count_as_not_judged(tmp_path: Path) -> None:
    shown = view(gate_run(tmp_path, ("facts", outcomes(95, 0, 0, seed=1)), drawn=100))
    assert [case.outcome.reason for case in shown.cases].count(
        "registered, but the run ended before it was judged"
    ) == 5


def test_cases_that_were_not_asked_are_counted_and_not_called_unjudged(tmp_path: Path) -> None:
    run = gate_run(tmp_path, ("facts", outcomes(27, 11, 0, seed=1)), drawn=100)
    shown = view(run)
    assert len(shown.cases) == 38
    assert all(case.outcome.verdict is not Verdict.INVALID for case in shown.cases)
    assert count_words(shown.gates[0].record) == "11 of 38 missed, 62 not asked"
    assert "| 27 of 38 (62 not asked) | 90 |" in markdown_summary(run)
    page = render(shown)
    assert "62 not asked: the verdict was already certain" in page
    assert page.count('<span class="spared') == 62
    assert "unrun-3: not asked, the verdict was already certain" in page
    assert "Pass rate 71.1%" in page


def test_cells_are_passes_then_misses_then_unjudged(tmp_path: Path) -> None:
    shown = view(gate_run(tmp_path, ("facts", outcomes(80, 15, 5, seed=3))))
    verdicts = [shown.cases[number].outcome.verdict for number in shown.gates[0].cases]
    assert verdicts == [Verdict.PASS] * 80 + [Verdict.FAIL] * 15 + [Verdict.INVALID] * 5


def test_an_attempt_shows_what_it_changed(tmp_path: Path) -> None:
    sft = view(pipeline_run(tmp_path)).stages[0]
    assert [(change.setting, change.old, change.new) for change in sft.attempts[1].changes] == [
        ("num_train_epochs", "1", "3"),
        ("rows", "200", "800"),
    ]
    assert sft.attempts[0].changes == ()
    assert [number for number, _ in sft.losses] == [1, 2]


def test_verdicts_of_attempts(tmp_path: Path) -> None:
    assert [a.verdict for a in view(pipeline_run(tmp_path / "a")).stages[0].attempts] == [Verdict.FAIL, Verdict.PASS]
    failed = view(failed_run(tmp_path / "b")).stages[0].attempts
    assert [attempt.verdict for attempt in failed] == [Verdict.FAIL, Verdict.INVALID]


def test_deciding_gates_are_those_of_the_last_gated_attempt(tmp_path: Path) -> None:
    promoted = view(pipeline_run(tmp_path / "a")).deciding_gates
    assert [gate.label for gate in promoted] == [
        "sft, attempt 2, facts",
        "sft, attempt 2, quality",
        "align, attempt 1, facts",
    ]
    assert [gate.label for gate in view(failed_run(tmp_path / "b")).deciding_gates] == ["sft, attempt 1, facts"]


def test_a_second_attempt_under_way_is_neither_passed_nor_failed(tmp_path: Path) -> None:
    with EventLog.open(tmp_path) as log:
        log.append({"event": "run_started", "name": "n"})
        log.append({"event": "stage_started", "stage": "s", "method": "sft", "gates": ["facts", "general"]})
        log.append(
            {
                "event": "attempt_started",
                "stage": "s",
                "attempt": 1,
                "seed": 1,
                "settings": {"peft": {"r": 8}},
                "input_sha256": "",
            }
        )
        rng = random.Random(1)
        write_gate(log, "facts", [passing(f"c{n}", rng) for n in range(10)], stage="s", attempt=1, accept=9)
    assert view(read_run(tmp_path)).stages[0].attempts[0].verdict is None


def test_category_caps_are_shown_even_when_nothing_was_found(tmp_path: Path) -> None:
    gate = view(gate_run(tmp_path, ("facts", outcomes(100, 0, 0, seed=1)), max_errors={"repetition": 3})).gates[0]
    assert [(category.name, category.count, category.cap) for category in gate.categories] == [("repetition", 0, 3)]


# --- histograms ----------------------------------------------------------------------------------------------------


def _findings(*values: float | bool | str | None, cutoff: float | None = None) -> list[Finding]:
    return [
        Finding("m", Verdict.PASS if index % 2 else Verdict.FAIL, v, cutoff=cutoff) for index, v in enumerate(values)
    ]


def test_a_histogram_loses_no_score() -> None:
    scores = histogram(_findings(0.0, 0.049, 0.05, 0.6, 0.999, 1.0, cutoff=0.6))
    assert scores is not None
    assert (scores.low, scores.high, scores.cutoffs) == (0.0, 1.0, (0.6,))
    assert sum(bin_.passed + bin_.missed for bin_ in scores.bins) == 6
    assert scores.bins[12].passed == 1  # 0.6 lies in [0.60, 0.65), not below it
    assert scores.bins[19].passed + scores.bins[19].missed == 2


def test_whole_scores_have_a_bin_each() -> None:
    scores = histogram(_findings(1.0, 4.0, 5.0, 5.0, cutoff=4.0))
    assert scores is not None
    assert [bin_.passed + bin_.missed for bin_ in scores.bins] == [1, 0, 0, 1, 2]


@pytest.mark.parametrize("values", [(True, False), ("good", "bad"), (None,), (float("nan"),), (10**400,), (0.0, 3.0)])
def test_what_is_no_score_has_no_histogram(values: tuple[float | bool | str | None, ...]) -> None:
    assert histogram(_findings(*values)) is None


def test_any_range_of_scores_fits() -> None:
    for low, high in [(-3.2, 17.1), (0.0, 1e6), (-1e-7, 1e-7), (5.5, 5.5), (-40.0, -39.5), (-1e15, 1e15)]:
        scores = histogram(_findings(low, high, cutoff=(low + high) / 2))
        assert scores is not None
        assert scores.low <= low
        assert scores.high >= high
        assert sum(bin_.passed + bin_.missed for bin_ in scores.bins) == 2


# --- words ---------------------------------------------------------------------------------------------------------


def test_values_in_words() -> None:
    assert flat({"a": {"b": {"c": 1}}, "d": None, "e": True}) == {"a.b.c": "1", "d": "none", "e": "yes"}
    assert plain(0.0001) == "0.0001"
    assert plain([1, "é"]) == '[1, "é"]'
    assert [duration(seconds) for seconds in (0.04, 9.96, 59.4, 131.2, 7261)] == [
        "0 s",
        "10 s",
        "59 s",
        "2 min 11 s",
        "2 h 1 min",
    ]
