"""A suite whose judge errs: what `check` says of its plan, and what a gate and a record say of luck."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binom

from tests.support.bank import write_jsonl
from tests.support.check_helpers import admitted_judge
from tunegate.checks.judge_admission import Agreement
from tunegate.cli import main
from tunegate.stats.plans import SinglePlan
from tunegate.suites.judged_plan import judged_plan
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

SHIPPED = Agreement(((931, 69, 0), (151, 849, 0)))
LENIENT = Agreement(((500, 0, 0), (170, 330, 0)))
PERFECT = Agreement(((500, 0, 0), (0, 500, 0)))
RISK = "risk: {consumer: 0.05, at: 0.85, producer: 0.05, good: 0.95}"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rubric.yaml").write_text("criterion: Is the answer right?\nlabels: [yes, no]\n")
    write_jsonl(tmp_path / "cases.jsonl", [{"id": n, "prompt": f"{n}?", "reference": "x"} for n in range(400)])
    return tmp_path


def suite_with(folder: Path, measured: Agreement, plan: str = "draw: 100, accept: 90") -> Path:
    options: dict[str, Any] = {
        "rubric": "rubric.yaml",
        "accept": ["yes"],
        "server": {"base_url": "http://127.0.0.1:9/v1", "model": "m"},
    }
    admitted_judge(options, folder, measured=measured)
    path = folder / "suite.yaml"
    check = json.dumps({"judge": options})
    path.write_text(f"cases: cases.jsonl\nchecks: [{check}]\nplan: {{{plan}}}\nsealed: 0\n")
    return path


def test_a_lenient_judge_is_warned_of_and_a_plan_proposed(folder: Path, capsys: Capture) -> None:
    path = suite_with(folder, LENIENT)
    assert main(["check", str(path)]) == 0
    said = capsys.readouterr().out
    assert "right 85% of the time passes in one attempt with probability 0.596, up to 0." in said
    assert "(0.099 if it never erred)" in said
    assert f"`plan: {{{RISK}}}` asks " in said


def test_a_strict_judge_turns_good_models_away(folder: Path, capsys: Capture) -> None:
    path = suite_with(folder, SHIPPED)
    assert main(["check", str(path), "--json"]) == 0
    [suite] = json.loads(capsys.readouterr().out)["suites"].values()
    judged = suite["judged_plan"]
    assert judged["fair"] == pytest.approx(0.478, abs=5e-4)
    assert judged["fair_wanted"] == 0.95
    draw, accept = judged["mended"]["draw"], judged["mended"]["accept"]
    at, good = 0.85 * 0.931 + 0.15 * 0.151, 0.95 * 0.931 + 0.05 * 0.151
    kept = [n for n in range(1, draw + 1) if any(_keeps(k, n, at, good) for k in range(1, n + 1))]
    assert kept == [draw]
    assert _keeps(accept, draw, at, good)


def _keeps(accept: int, draw: int, at: float, good: float) -> bool:
    return bool(binom.sf(accept - 1, draw, at) <= 0.05 and binom.sf(accept - 1, draw, good) >= 0.95)


def test_the_proposal_is_right_and_keeps_the_risk(folder: Path) -> None:
    path = suite_with(folder, SHIPPED)
    found = judged_plan(load_suite(path, build_check), attempts=3)
    assert found is not None
    assert found.mended == SinglePlan(292, 252)
    assert "asks 252 of 292 in each attempt and keeps both; the bank has 400" in found.in_words
    suite = load_suite(suite_with(folder, SHIPPED, RISK), build_check)
    assert suite.resolve(3).first == SinglePlan(292, 252)
    assert judged_plan(suite, attempts=3) is None


def test_a_perfect_judge_is_the_truth(folder: Path) -> None:
    suite = load_suite(suite_with(folder, PERFECT), build_check)
    assert judged_plan(suite, attempts=3) is None
    assert load_suite(suite_with(folder, PERFECT, RISK), build_check).resolve(3).first == SinglePlan(123, 113)


def test_plan_says_what_judges_make_of_it(folder: Path, capsys: Capture) -> None:
    suite_with(folder, LENIENT)
    (folder / "base").mkdir()
    (folder / "base" / "config.json").write_text("{}")
    write_jsonl(folder / "rows.jsonl", [{"prompt": f"row {n}?", "completion": "y"} for n in range(9)])
    (folder / "tunegate.yaml").write_text(
        "name: p\nmodel: base\nsuites: {quality: suite.yaml}\n"
        "stages: [{name: sft, method: sft, data: rows.jsonl, gates: [quality], retrain: {max_attempts: 1}}]\n"
    )
    assert main(["plan", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    [at] = [point for point in facts["curve"] if point["p"] == 0.85]
    assert at["accept"] == pytest.approx(0.596, abs=5e-4)
    assert facts["judged"]["point"] == pytest.approx({"right": 1.0, "wrong": 0.34})
    assert main(["plan"]) == 0
    said = capsys.readouterr().out
    assert "its judge passes 100.0% of right answers and 34.0% of wrong ones" in said
    assert "passes one attempt with probability 0.596" in said
