"""`tunegate gate --baseline`: a candidate and a baseline, from answer files or models; tiers; what cases can show."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.gates.candidate import ComparisonRequest, Side, compare_with_baseline
from tunegate.models.model import ScriptedModel
from tunegate.progress import no_progress
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck_all
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate_reports.first_screen import figures
from tunegate_reports.html import render
from tunegate_reports.view import view
from tunegate_suites import build_check

Capture = pytest.CaptureFixture[str]
CASES = 400


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four hundred cases; the baseline misses every tenth, `new.jsonl` also every 25th, `odd.jsonl` others."""
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"c{i}", "prompt": f"q{i}?", "reference": f"a{i}"} for i in range(CASES)]
    write_jsonl(tmp_path / "c.jsonl", rows)
    (tmp_path / "s.yaml").write_text("{cases: c.jsonl, checks: [exact], sealed: 0, plan: {draw: 10, accept: 9}}")
    misses: dict[str, Callable[[int], bool]] = {
        "old": lambda i: i % 10 == 0,
        "new": lambda i: i % 10 == 0 or i % 25 == 1,
        "odd": lambda i: i % 10 == (1 if i < 50 else 0),
    }
    for name, missed in misses.items():
        write_jsonl(
            tmp_path / f"{name}.jsonl",
            [{"id": f"c{i}", "response": "?" if missed(i) else f"a{i}"} for i in range(CASES)],
        )
    return tmp_path


def gate(*words: str, candidate: str = "old", baseline: str = "old") -> int:
    files = ["--responses", f"{candidate}.jsonl", "--baseline", f"{baseline}.jsonl"]
    return main(["gate", *files, "--suite", "s.yaml", *words])


def test_ten_equal_pairs_cannot_tell(bank: Path, capsys: Capture) -> None:
    """An interval of width 0 passes them, and with .8 ** 10 = .11 a model that newly breaks 20 % of all cases."""
    assert gate("--tier", "critical", "--max-drop", "2") == 4
    out = capsys.readouterr().out
    assert "INCONCLUSIVE (critical): from 10 to 10 of 10 cases: 0 lost, 0 won" in out
    assert "10 cases do not rule out a loss of 2 points (exact p = 0.8" in out
    assert "at least 203 are needed, if none differs" in out
    assert gate("--tier", "critical", "--max-drop", "20") == 4
    assert gate("--tier", "critical", "--max-drop", "2", "--draw", "203") == 0
    assert gate("--tier", "supporting", "--max-drop", "2") == 0


def test_the_report_does_not_count_the_baseline_as_a_draw_that_passed(bank: Path, capsys: Capture) -> None:
    assert gate("--run", "r") == 0
    named = dict(figures(view(read_run(Path("r")))))
    assert named["Cases passed"] == "10 of 10"
    assert not [name for name in named if name.startswith(("Draws", "Needed"))]


@pytest.mark.parametrize(("tier", "code"), [("critical", 1), ("supporting", 1), ("advisory", 0)])
def test_a_loss_that_is_counted_fails_but_in_an_advisory_comparison(
    bank: Path, capsys: Capture, tier: str, code: int
) -> None:
    assert gate("--tier", tier, "--max-drop", "2", "--draw", "400", candidate="new") == code
    assert f"FAIL ({tier}" in capsys.readouterr().out
    assert gate("--tier", tier, "--max-drop", "2", "--draw", "400", "--json", candidate="new") == code
    facts = json.loads(capsys.readouterr().out)
    assert (facts["lost"], facts["won"], facts["candidate"]["passed"], facts["baseline"]["passed"]) == (16, 0, 344, 360)
    assert (facts["verdict"], facts["exit_code"], facts["tier"], facts["max_drop"]) == ("FAIL", code, tier, 2.0)


def test_a_critical_pass_is_shown_by_cases_that_differ(bank: Path, capsys: Capture) -> None:
    """Five lost, five won: as many as before, and 400 cases rule out a loss of 5 points."""
    assert gate("--tier", "critical", "--draw", "400", candidate="odd") == 0
    assert "the cases rule out a loss of 5 points (exact p = 0.00" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lost", "hint"),
    [
        (
            8,
            "(exact p = 0.6); the count is within the limit, but so close to it that no number of cases could show it",
        ),
        (4, "(exact p = 0.16); about 373 more could, if the models differ as often on these"),
    ],
)
def test_the_hint_of_a_critical_comparison_helps(bank: Path, capsys: Capture, lost: int, hint: str) -> None:
    """`at least 203 are needed, if none differs` was said of 400 cases."""
    rows = [
        {"id": f"c{i}", "response": "?" if i % 10 == 0 or (i % 10 == 1 and i < 10 * lost) else f"a{i}"}
        for i in range(CASES)
    ]
    write_jsonl(bank / "lost.jsonl", rows)
    assert gate("--tier", "critical", "--max-drop", "2", "--draw", "400", candidate="lost") == 4
    said = capsys.readouterr().out
    assert f"400 cases do not rule out a loss of 2 points {hint}\n" in said
    assert "if none differs" not in said


def test_the_record_decides_it_again_and_the_report_shows_it(bank: Path, capsys: Capture) -> None:
    assert gate("--draw", "400", "--run", "rec", candidate="new") == 0
    run = read_run(Path("rec"))
    assert recheck_all(run) == 2
    assert main(["report", "rec", "--recheck"]) == 0
    said = render(view(run))
    assert "compared with the baseline old.jsonl" in said
    capsys.readouterr()
    assert gate("--draw", "400", "--run", "rec", candidate="new") == 0  # on record: nothing is asked again
    assert gate("--draw", "399", "--run", "rec", candidate="new") == 2
    assert "the folder holds another gate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--accept", "9"], "--accept: has no effect with --baseline"),
        (["--curtail"], "--curtail: has no effect with --baseline"),
        (["--max-drop", "101"], "--max-drop: expected percentage points, at least 0 and at most 100, got 101"),
        (["--draw", "401"], "the plan draws 401"),
        (["--draw", "0"], "--draw: expected at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    bank: Path, capsys: Capture, words: list[str], message: str
) -> None:
    assert gate(*words) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize("flag", [["--max-drop", "2"], ["--tier", "critical"]])
def test_options_of_a_comparison_need_a_baseline(bank: Path, capsys: Capture, flag: list[str]) -> None:
    assert main(["gate", "--responses", "old.jsonl", "--suite", "s.yaml", *flag]) == 2
    assert f"{flag[0]}: has no effect without --baseline" in capsys.readouterr().err


def models(suite: Suite, **changes: Any) -> tuple[ComparisonRequest, list[str]]:
    opened: list[str] = []

    def side(name: str, known: bool = True) -> Side:
        def opening() -> ScriptedModel:
            opened.append(name)
            return ScriptedModel(lambda case: case.references[0], name=name, sha256="a" * 64 if known else None)

        return Side(name, f"sha of {name}" if known else None, opening)

    known = changes.pop("known", True)
    asked = ComparisonRequest(suite, 10, 1, side("old"), side("new", known), **changes)
    return asked, opened


def test_models_are_opened_one_after_the_other_and_not_again(bank: Path) -> None:
    suite = load_suite(bank / "s.yaml", build_check)
    request, opened = models(suite)
    result = compare_with_baseline(request, no_progress, {})
    assert (opened, result.candidate.verdict) == (["old", "new"], Verdict.PASS)
    assert result.baseline.case_ids == result.candidate.case_ids
    again, opened = models(suite)
    assert compare_with_baseline(again, no_progress, {}).run.digest == result.run.digest
    assert opened == []


def test_a_server_is_not_taken_from_the_record(bank: Path) -> None:
    suite = load_suite(bank / "s.yaml", build_check)
    request, _ = models(suite, known=False, folder="rec")
    compare_with_baseline(request, no_progress, {})
    with pytest.raises(ConfigError, match="a finished comparison of new, which has no fingerprint"):
        compare_with_baseline(request, no_progress, {})
