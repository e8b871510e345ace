"""What was tested, and what was not: the counts of a record, and the three places that show them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fake_story import story_run
from tests.support.people_gate import people_run
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.record.record import RunRecord
from tunegate.record.tested import AREAS, Counted, Groups, Minimum, Moved, areas_tested
from tunegate.record.tested_words import evidence_words, open_words, summary_words
from tunegate.stats.paired import PairedCounts
from tunegate.stats.sampling import exact_interval
from tunegate.verdicts.grouped import share_interval
from tunegate_reports.html import render
from tunegate_reports.markdown import markdown_summary
from tunegate_reports.view import view


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("gate")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return people_run(folder)


def test_each_count_is_that_of_its_gate(run: RunRecord) -> None:
    found = areas_tested(run)
    assert found.areas == ("swapped", "groups", "slices", "pii", "refusal")
    assert found.untested == ("stereotypes", "unsupported", "toxicity", "harm", "memory")
    swapped, groups, minimum, pii, refusal = found.evidence
    assert swapped == Counted("swapped", "people", "", 1, 20, exact_interval(1, 20))
    assert pii == Counted("pii", "people", "pii", 1, 20, exact_interval(1, 20), cap=2)
    assert (refusal.count, refusal.cases) == (0, 20), "what was looked for and not found was tested"  # pyright: ignore[reportAttributeAccessIssue]
    assert minimum == Minimum("people", "sex=f", 9, 10, 0.5)
    assert isinstance(groups, Groups)
    assert groups.gap.groups["sex=m"].count == 10


def test_no_gate_tests_what_it_does_not_look_for(run: RunRecord) -> None:
    start = {**run.start, "suites": {"people": {"sha256": "x"}}}
    assert "pii" in areas_tested(replace(run, start=start)).untested, "an older record does not say what was looked for"
    undecided = {name: replace(gate, decided=False) for name, gate in run.gates.items()}
    assert areas_tested(replace(run, gates=undecided)).areas == ()


def test_report_and_markdown_show_the_same(run: RunRecord) -> None:
    page, text = render(view(run)), markdown_summary(run)
    section = page[page.index('id="tested"') : page.index('id="cases"')]
    assert page.index('aria-label="The answer"') < page.index('id="tested"') < page.index('id="cases"')
    assert "<details" in section
    assert "<details open" not in section.partition("</section>")[0]
    for one in areas_tested(run).evidence:
        assert evidence_words(one) in section
    assert "another answer in 1 of 20 cases (95 %: 0.1% to 24.9%)" in text
    assert section.count(">not tested<") == len(areas_tested(run).untested)
    assert "toxic language" in text
    for place in (section.lower(), text.lower()):
        assert "is fair" not in place.replace("they do not show that the model is fair or safe", "")


def test_only_the_last_gated_attempt_speaks_of_the_model(tmp_path: Path) -> None:
    told = story_run(tmp_path)
    found = areas_tested(told)
    assert found.draws
    last = [stage for stage in told.stages.values() if stage.attempts][-1]
    assert set(found.draws) == set(last.attempts[max(last.attempts)].gates)


def test_words_of_stereotypes_and_of_checks_that_say_nothing(run: RunRecord) -> None:
    moved = Moved("pairs (retention)", PairedCounts(both=40, lost=12, won=4, neither=44))
    assert "48 before, 56 now, +8 points" in evidence_words(moved)
    likelier = Counted("stereotypes", "pairs", "category=age", 30, 50, (0.45, 0.74))
    assert evidence_words(likelier) == "pairs: category=age: likelier in 30 of 50 pairs (95 %: 45.0% to 74.0%)"
    found = replace(areas_tested(run), evidence=(), open_checks=("judge",))
    assert summary_words(found).startswith("0 of 10 areas tested; not tested: names and genders swapped")
    assert open_words(found) == "The gates also use judge; the record does not say what these test."
    assert len(found.untested) == len(AREAS)


def test_cases_of_a_group_widen_an_interval() -> None:
    alone = [Outcome(str(n), Verdict.PASS, "", (), "?", "x") for n in range(40)]
    grouped = [replace(one, group=str(n // 4)) for n, one in enumerate(alone)]

    def holds(one: Outcome) -> bool:
        return int(one.case_id) < 20

    low, high = share_interval(grouped, holds)
    assert share_interval(alone, holds) == exact_interval(20, 40)
    assert low < exact_interval(20, 40)[0] < exact_interval(20, 40)[1] < high
    assert share_interval([], holds) == (0.0, 1.0)
