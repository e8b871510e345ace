"""The interval of a draw that was chosen for passing is too optimistic: how much, exactly, and every place says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy.stats import binom

from tests.support.bank import Bank, write_jsonl
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.record.record import GateRecord
from tunegate.stats.sampling import exact_interval
from tunegate.verdicts.words import SELECTED, interval_words

Capture = pytest.CaptureFixture[str]


def covers(passed: int, drawn: int, p: float) -> bool:
    low, high = exact_interval(passed, drawn)
    return low <= p <= high


def coverage_of_a_pass(draw: int, accept: int, p: float) -> float:
    """The chance that the printed interval of a draw that passed covers the pass rate."""
    covered = sum(float(binom.pmf(k, draw, p)) for k in range(accept, draw + 1) if covers(k, draw, p))
    return covered / float(binom.sf(accept - 1, draw, p))


@pytest.mark.parametrize(
    ("draw", "accept", "coverage"), [(100, 90, 0.878), (76, 69, 0.788), (101, 92, 0.783), (62, 56, 0.926)]
)
def test_coverage_of_a_pass_at_85_percent(draw: int, accept: int, coverage: float) -> None:
    """One draw of 90 of 100, and the confirming draws of `double` over 5, 10 and 3 attempts: these are chosen too."""
    assert coverage_of_a_pass(draw, accept, 0.85) == pytest.approx(coverage, abs=6e-4)
    whole = sum(float(binom.pmf(k, draw, 0.85)) for k in range(draw + 1) if covers(k, draw, 0.85))
    assert whole >= 0.95, "of all draws, passing or not"


def test_the_best_of_ten_equal_models_is_not_covered_either() -> None:
    best = {k: float(binom.cdf(k, 100, 0.85) ** 10 - binom.cdf(k - 1, 100, 0.85) ** 10) for k in range(101)}
    assert sum(chance for k, chance in best.items() if covers(k, 100, 0.85)) == pytest.approx(0.885, abs=5e-4)


@pytest.mark.parametrize(
    ("purpose", "verdict", "selected"),
    [
        ("gate", Verdict.PASS, True),
        ("confirm", Verdict.PASS, True),
        ("gate", Verdict.FAIL, False),
        ("gate", Verdict.INVALID, False),
        ("baseline", Verdict.PASS, False),
        ("retention", Verdict.PASS, False),
    ],
)
def test_which_intervals_are_selected(purpose: str, verdict: Verdict, selected: bool) -> None:
    gate = GateRecord("g", None, None, "", None, 0, 1, 1, (), purpose, decided=True, verdict=verdict)
    assert gate.selected is selected


def test_in_words() -> None:
    assert interval_words((0.8238, 0.951), selected=False) == "95 % interval 82.4% to 95.1%"
    assert interval_words((0.8238, 0.951), selected=True) == f"95 % interval 82.4% to 95.1%, {SELECTED}"


def test_the_terminal_the_json_and_the_reports_say_so(bank: Bank, tmp_path: Path, capsys: Capture) -> None:
    html, markdown = tmp_path / "r.html", tmp_path / "r.md"
    reports = ["--report", str(html), "--markdown", str(markdown)]
    for right, said in ((95, True), (80, False)):
        gate = ["gate", "--responses", bank.answers(right), "--suite", bank.suite, *reports]
        main(gate)
        assert (f"95 % interval 88.7% to 98.4%, {SELECTED})" in capsys.readouterr().out) is said
        assert (SELECTED in html.read_text(encoding="utf-8")) is said
        assert ("88.7% to 98.4%¹ |" in markdown.read_text(encoding="utf-8")) is said
        assert ("¹ Too optimistic: a PASS" in markdown.read_text(encoding="utf-8")) is said
        main([*gate, "--json"])
        result = json.loads(capsys.readouterr().out)
        assert result["interval_selected"] is said
        assert result["gate_interval"] == result["interval"]


def test_the_interval_of_a_confirmed_gate_is_that_of_its_confirming_draw(tmp_path: Path, capsys: Capture) -> None:
    rows = [{"id": f"c{n}", "prompt": f"{n}?", "reference": "x"} for n in range(60)]
    write_jsonl(tmp_path / "cases.jsonl", rows)
    write_jsonl(tmp_path / "answers.jsonl", [{"id": row["id"], "response": "x"} for row in rows])
    plan = "{kind: double, draw: 10, accept: 10, confirm: {draw: 20, accept: 18}}"
    text = f"cases: cases.jsonl\nchecks: [exact]\nplan: {plan}\nsealed: 0.5\n"
    (tmp_path / "suite.yaml").write_text(text)
    html, markdown = tmp_path / "r.html", tmp_path / "r.md"
    gate = ["gate", "--responses", str(tmp_path / "answers.jsonl"), "--suite", str(tmp_path / "suite.yaml")]
    assert main([*gate, "--report", str(html), "--markdown", str(markdown)]) == 0
    low, _ = exact_interval(20, 20)
    assert f"PASS: 20 of 20, 18 needed (95 % interval {low:.1%} to 100.0%, {SELECTED})" in capsys.readouterr().out
    assert "The interval of this gate is that of its confirming draw" in html.read_text(encoding="utf-8")
    table = markdown.read_text(encoding="utf-8")
    assert "| see the confirming draw |" in table
    assert f"| {low:.1%} to 100.0%¹ |" in table
    assert main([*gate, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["gate_interval"] == result["confirm"]["interval"] != result["interval"]
