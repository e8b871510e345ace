"""What a report says about a pass that deserves trust: luck, waivers, retention, sealed draws, slices, judges, banks.

The runs are carried out by the real pipeline with a scripted model (fake_story.py).
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.support.fake_run import gate_run, outcomes
from tests.support.fake_story import ADMITTED, REFUSED, STORY, judged, story_run
from tests.support.waiver_date import EXPIRES
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import CannotJudge, Tampered
from tunegate.record.event_log import EVENTS, EventLog, read_events
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck
from tunegate.record.record import RunRecord, StageRecord
from tunegate.stats.luck import LuckyPass
from tunegate.stats.sampling import SinglePlan
from tunegate.verdicts.slices import SliceRule
from tunegate.verdicts.terms import Terms
from tunegate.verdicts.words import p_words
from tunegate_reports import write_html, write_junit, write_markdown
from tunegate_reports.answer import luck_of
from tunegate_reports.html import render
from tunegate_reports.markdown import markdown_summary
from tunegate_reports.view import GateView, View, view

PASS, FAIL = Verdict.PASS, Verdict.FAIL


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return story_run(tmp_path_factory.mktemp("story") / "project")


@pytest.fixture(scope="module")
def shown(run: RunRecord) -> View:
    return view(run)


@pytest.fixture(scope="module")
def page(shown: View) -> str:
    return render(shown)


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html.partition('<script type="application/json"')[0]).split())


def draw(shown: View, label: str) -> GateView:
    return next(gate for gate in shown.gates if gate.label == label)


# --- the first screen ----------------------------------------------------------------------------------------------


def test_under_the_answer_stand_the_waivers_and_the_luck(page: str) -> None:
    said = words(page[page.index("<main>") :])
    assert said.startswith("✓ gene-expert was promoted to production : passed, but waived: sft tone. ")
    assert (
        "Waived: sft, attempt 2, tone missed (11 of 73 missed, 27 not asked). ada@example.org is responsible for it"
        in said
    )
    assert f"until {EXPIRES}: the tone bank marks correct Latin names as rude, see ticket 412." in said
    assert "sft facts: a model that is right only 85% of the time would have passed this gate within 2 attempts" in said
    assert (
        said.index("Waived:")
        < said.index("Could it have been luck?")
        < said.index("Draws of the final attempts passed")
    )
    assert "Draws of the final attempts passed 7 of 8, 1 waived" in said


def test_the_worst_luck_stands_first_and_equal_plans_share_a_sentence() -> None:
    low, high = LuckyPass(0.85, 1, 0.099, 3, 0.117), LuckyPass(0.85, 1, 0.3, 1, 0.3)
    older = "a sentence of an older record"
    stage = StageRecord("sft", "sft", [], luck={"a": low, "b": high, "c": low, "d": older})
    assert list(luck_of(stage).values()) == [["b"], ["a", "c"], ["d"]]


def test_the_luck_of_a_waived_gate_is_not_told(run: RunRecord) -> None:
    assert "tone" in run.stages["sft"].luck
    assert list(luck_of(run.stages["sft"]).values()) == [["facts"]]


def test_dropped_rows_are_counted_and_named(page: str) -> None:
    said = words(page)
    assert "Stage sft: 2 of 402 training rows were dropped before training; they reveal the answers of 2 cases." in said
    assert "cases facts/facts-0003, tone/tone-0009" in said


# --- the kinds of draw ---------------------------------------------------------------------------------------------


def test_draws_are_told_apart_by_words_and_order(shown: View, page: str) -> None:
    assert [gate.label for gate in shown.gates][:7] == [
        "sft, attempt 1, facts",
        "sft, attempt 1, tone",
        "sft, attempt 2, facts",
        "sft, attempt 2, tone",
        "sft, attempt 2, general, reference",
        "sft, attempt 2, general, retention",
        "sft, attempt 2, facts, confirming draw",
    ]
    second = words(page[page.index('id="attempt-0-2"') : page.index('id="attempt-1-1"')])
    places = [second.index(title) for title in ("Gates: ", "Reference: ", "Retention: ", "Confirming draws: sealed")]
    assert places == sorted(places)
    assert page.count('id="gate-') == len(shown.gates)


def test_a_waived_miss_and_an_owed_draw_decide_an_attempt(shown: View) -> None:
    sft, align = shown.stages
    assert [attempt.verdict for attempt in (*sft.attempts, *align.attempts)] == [FAIL, PASS, PASS]
    again = replace(shown.run, stages={**shown.run.stages})
    attempt = again.stages["sft"].attempts[2]
    unconfirmed = {key: gate for key, gate in attempt.gates.items() if gate.purpose != "confirm"}
    again.stages["sft"] = replace(again.stages["sft"], attempts={2: replace(attempt, gates=unconfirmed)})
    assert view(again).stages[0].attempts[0].verdict is None, "it owes a confirming draw"


def test_retention_is_a_paired_comparison(shown: View, page: str) -> None:
    gate = draw(shown, "sft, attempt 2, general, retention")
    assert gate.kept is not None
    counts = gate.kept.comparison.counts
    assert counts is not None
    panel = words(page[page.index(f'id="gate-{gate.number}"') : page.index(f'id="gate-{gate.number + 1}"')])
    assert f"{counts.lost} lost, {counts.won} won compared with the base model, 100 cases" in panel
    assert f"passed before {counts.both} kept {counts.lost} lost" in panel
    assert f"missed before {counts.won} won {counts.neither} never passed" in panel
    assert f"{counts.neither} missed as before" in panel
    assert f"fewer, McNemar mid-{p_words(counts.mid_p)}; 95 % interval of the drop" in panel
    assert "This rule: a model that lost 5 points gets through 3 attempts with probability 0.922" in panel
    assert "one that lost 10 points with 0.163; an equal model fails an attempt with 0.040" in panel
    assert "90 needed" not in panel
    against = draw(shown, "align, attempt 1, facts, retention").kept
    assert against is not None
    assert against.before == "sft, attempt 2"


def test_a_suspicious_jump_is_flagged(tmp_path: Path) -> None:
    run = story_run(tmp_path / "project", base=0.4)
    said = words(render(view(run)))
    assert "possible leak" in said
    assert "is a suspiciously large jump" in said
    assert "Possible leak: " in markdown_summary(run)


def test_a_comparison_that_is_not_on_record_is_not_shown_as_one(run: RunRecord) -> None:
    sft = run.stages["sft"]
    cut = {
        key: replace(gate, case_ids=(), outcomes=gate.outcomes[1:]) for key, gate in sft.attempts[2].references.items()
    }
    attempts = {**sft.attempts, 2: replace(sft.attempts[2], references=cut)}
    without = replace(run, stages={**run.stages, "sft": replace(sft, attempts=attempts)})
    kept = draw(view(without), "sft, attempt 2, general, retention").kept
    assert kept is not None
    assert kept.comparison.counts is None
    assert "This cannot be compared with the base model" in render(view(without))


def test_cases_that_were_spared_are_hollow(shown: View, page: str) -> None:
    gate = draw(shown, "sft, attempt 2, tone")
    assert len(gate.spared) == 27
    panel = page[page.index(f'id="gate-{gate.number}"') : page.index(f'id="gate-{gate.number + 1}"')]
    assert len(re.findall('<span class="spared', panel)) == 27
    assert "11 of 73 missed, 27 not asked" in words(panel)
    assert "10 of 100 allowed" in words(panel)


def test_a_base_model_alone_is_no_gate_that_passed(tmp_path: Path) -> None:
    """An attempt that is killed after its base model was asked has passed nothing."""
    story_run(tmp_path / "project")
    events = read_events(tmp_path / "project" / "run")
    begun = takewhile(lambda event: event.get("purpose") != "retention", events)
    with EventLog.open(tmp_path / "cut") as log:
        log.append(*map(dict, begun))
    said = view(read_run(tmp_path / "cut")).answer
    assert said.sentence == ("gene-expert is not finished: sft, attempt 2, general (reference) is measured: 71 of 100.")


# --- slices and groups ---------------------------------------------------------------------------------------------


def test_slices_show_their_minimum_and_groups_their_gap(shown: View) -> None:
    gate = draw(shown, "sft, attempt 2, facts")
    ruled = [part for part in gate.slices if part.rule]
    assert [(part.tag, part.rule.min, part.missed_it) for part in ruled if part.rule] == [
        ("task=gene", 0.7, False),
        ("task=symptom", 0.8, False),
    ]
    assert gate.gap is not None
    assert set(gate.gap.groups) == {"sex=female", "sex=male"}


def test_a_slice_short_of_its_minimum_is_marked_and_misses_are_placed(tmp_path: Path) -> None:
    run = story_run(tmp_path / "project", gene=0.55, text=STORY.replace("checks: [exact]\n", TOLERANT, 1))
    gate = draw(view(run), "sft, attempt 3, facts")
    assert next(part for part in gate.slices if part.tag == "task=gene").missed_it
    assert "misses are in task=gene" in gate.where
    said = words(render(view(run)))
    assert "short of 70%" in said
    assert "Where the misses are" in said
    assert "misses are in task&#61;gene" in markdown_summary(run)


TOLERANT = "checks: [exact]\n    plan: {draw: 100, accept: 75}\n"


def test_a_slice_without_a_case_is_shown(tmp_path: Path) -> None:
    terms = Terms(SinglePlan(100, 90), slices={"rare": SliceRule(0.5)})
    run = gate_run(tmp_path, ("facts", outcomes(95, 5, 0, seed=1)), terms=terms)
    assert run.gates["facts"].verdict is Verdict.INCONCLUSIVE
    assert "rare 95 % interval 0.0 % to 100.0 %, at least 50% needed 0 of 0, too few: 1 needed" in words(
        render(view(run))
    )


# --- judges --------------------------------------------------------------------------------------------------------


def test_a_judge_shows_its_admission_and_the_corrected_rate(tmp_path: Path) -> None:
    terms = Terms(SinglePlan(100, 80), admissions={"judge": ADMITTED})
    said = words(render(view(gate_run(tmp_path, ("facts", judged(88, 12)), terms=terms, checks=("judge",)))))
    assert "agrees with people kappa 0.81, at least 0.70 with 95 % confidence" in said
    assert "passes good answers 92.0% (80.8% to 97.8%), 46 of 50" in said
    assert "fails bad answers 90.0% (78.2% to 96.7%), 45 of 50" in said
    assert "pass rate as judged 88.0% (80.0% to 93.6%), 88 of 100" in said
    assert re.search(r"corrected for its errors 95\.1% \(\d\d\.\d% to 100\.0%\); at least 80% needed", said)


def test_a_judge_that_is_not_admitted_says_so(tmp_path: Path) -> None:
    terms = Terms(SinglePlan(100, 80), admissions={"judge": REFUSED})
    said = words(render(view(gate_run(tmp_path, ("facts", judged(88, 12)), terms=terms, checks=("judge",)))))
    assert "Does not count: the judge is not admitted" in said
    assert "kappa" not in said


# --- the ledger ----------------------------------------------------------------------------------------------------


def test_the_ledger_lists_every_access_to_a_bank(shown: View, page: str) -> None:
    ledger = page[page.index('class="ledger"') :].partition("</table>")[0]
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in ledger.split("<tr>")[2:]]
    assert len(rows) == len(shown.gates)
    cells = [[words(cell) for cell in row] for row in rows]
    assert ["general", "sft#2", "reference", "working", "160", "100", "100", "none"] in cells
    assert ["general", "align#1", "retention", "working", "160", "100", "100", "40: no fresh cases were left"] in cells
    assert ["tone", "sft#2", "gate", "working", "115", "100", "80", "25: no fresh cases were left"] in cells
    assert [row[3] for row in cells if row[2] == "confirming draw"] == ["sealed"]
    assert "25 cases asked before" in words(page), "a reused bank is marked beside the verdict too"


# --- records of other versions -------------------------------------------------------------------------------------


def rewritten(run: RunRecord, folder: Path, change: Any) -> RunRecord:
    assert (run.folder / EVENTS).is_file()
    with EventLog.open(folder) as log:
        log.append(*(change(dict(event)) for event in read_events(run.folder)))
    return read_run(folder)


@pytest.mark.parametrize("write", [write_html, write_junit, write_markdown])
def test_a_record_that_says_not_how_many_were_asked_is_refused(tmp_path: Path, write: Any) -> None:
    """Its outcomes are not folded, and a green PASS over no case at all must never be shown."""
    now = gate_run(tmp_path / "now", ("facts", outcomes(95, 5, 0, seed=1)))
    old = rewritten(
        now, tmp_path / "old", lambda event: {k: v for k, v in event.items() if k not in ("asked", "terms")}
    )
    with pytest.raises(CannotJudge, match="gate 'facts' does not say how many cases its verdict is based on; an older"):
        write(old, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_record_that_is_silent_on_slices_and_judges_demanded_none(tmp_path: Path) -> None:
    now = gate_run(tmp_path / "now", ("facts", outcomes(95, 5, 0, seed=1)))

    def older(event: dict[str, Any]) -> dict[str, Any]:
        kept = ("plan", "purpose", "curtail", "max_errors")
        return {**event, "terms": {k: event["terms"][k] for k in kept}} if "terms" in event else event

    old = rewritten(now, tmp_path / "old", older)
    assert "95 of 100, 90 needed" in words(render(view(old))).replace("95  of", "95 of")
    with pytest.raises(Tampered, match="its terms are not on record"):  # shown, and no verdict is taken from it
        recheck(old.gates["facts"])


def test_terms_that_are_none_are_refused(tmp_path: Path) -> None:
    now = gate_run(tmp_path / "now", ("facts", outcomes(95, 5, 0, seed=1)))
    with pytest.raises(Tampered, match="gate_started is not valid: plan: expected an object, got 5"):
        rewritten(now, tmp_path / "x", lambda e: {**e, "terms": {"plan": 5}} if "terms" in e else e)


# --- for other programs --------------------------------------------------------------------------------------------


def test_the_summary_tells_the_same_story(run: RunRecord) -> None:
    summary = markdown_summary(run)
    assert (
        f"- Waived: sft, attempt 2, tone missed. ada&#64;example.org is responsible for it until {EXPIRES}" in summary
    )
    assert "- Luck: sft, facts: a model that is right only 85% of the time" in summary
    assert "| sft | 2 | tone | 62 of 73 (27 not asked) | 90 | ❌ failed, waived |" in summary
    assert "| sft | 2 | general, retention | 70 of 100 | at most 5 points lost | ✅ passed |" in summary
    assert "| sft | 2 | general, reference | 71 of 100 | – | measured |" in summary
    assert "**sft, attempt 2, general, retention:** compared with the base model, from 71 to 70 of 100 cases" in summary
    assert re.search(r"McNemar mid-p [\d.]+\), 5 allowed; .*; may well be chance", summary)


def test_junit_is_green_where_a_miss_is_waived_and_names_every_draw_once(run: RunRecord, tmp_path: Path) -> None:
    write_junit(run, tmp_path / "junit.xml")
    root = ET.fromstring((tmp_path / "junit.xml").read_bytes())
    names = [suite.get("name") for suite in root]
    assert "sft: facts (confirm)" in names
    assert len(names) == len(set(names))
    assert root.get("errors") == "0"
    tone = next(suite for suite in root if suite.get("name") == "sft: tone")
    assert tone.get("failures") == "0"
    told = ET.tostring(tone, encoding="unicode")
    assert f"waived: ada@example.org is responsible for it until {EXPIRES}" in told
    assert "gate tone (retention)" in ET.tostring(root, encoding="unicode")
