"""A plan that accepts what a bad model passes on average: `check` and `plan` warn of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy.stats import binom

from tests.support.bank import write_jsonl
from tunegate.cli import main
from tunegate.stats.judged import Judged, Scale
from tunegate.stats.plans import GatePlan, PlanKind, PlanRule
from tunegate.stats.sampling import SinglePlan
from tunegate.suites.low_plan import low_plans

WARNED = (
    "85 of 100 is too low: a model that is right only 85% of the time passes as many on average, and this draw with "
    f"probability {binom.sf(84, 100, 0.85):.3f}; set `accept` to at least 86, or draw more cases"
)
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(("draw", "accept", "low"), [(100, 85, True), (100, 86, False), (100, 80, True), (5, 4, True)])
def test_at_or_below_at_is_too_low(draw: int, accept: int, low: bool) -> None:
    found = low_plans(GatePlan(SinglePlan(draw, accept)))
    assert [(one.draw, one.accept) for one in found] == [(draw, accept)] * low
    for one in found:
        assert one.lucky == pytest.approx(binom.sf(accept - 1, draw, 0.85))
        assert one.lucky > 0.5


def test_the_confirming_draw_too_and_equal_draws_once() -> None:
    first, confirm = SinglePlan(100, 90), SinglePlan(20, 17)
    assert [one.draw for one in low_plans(GatePlan(first, confirm, "always"))] == [20]
    assert len(low_plans(GatePlan(confirm, confirm, "after_retry"))) == 1


@pytest.mark.parametrize("kind", ["single", "double", "sequential", "anytime"])
@pytest.mark.parametrize("attempts", [1, 10])
def test_no_plan_of_ours_is(kind: PlanKind, attempts: int) -> None:
    assert low_plans(PlanRule(kind).resolve(attempts)) == ()


def test_on_the_scale_of_its_judge() -> None:
    """A lenient judge passes 90.1 % of the answers of a model that is right 85 % of the time."""
    lenient, strict = Scale(1.0, 0.34), Scale(0.9, 0.0)
    [found] = low_plans(GatePlan(SinglePlan(), judged=Judged(lenient, lenient, lenient)))
    assert "right only 85% of the time (90.1% by its judge) passes as many" in found.in_words
    assert found.least == 91
    assert low_plans(GatePlan(SinglePlan(100, 80)).on(strict)) == ()


def test_check_and_plan_warn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "cases.jsonl", [{"id": n, "prompt": f"{n}?", "reference": "x"} for n in range(100)])
    for accept, warned in ((85, True), (90, False)):
        Path("suite.yaml").write_text(f"cases: cases.jsonl\nchecks: [exact]\nplan: {{draw: 100, accept: {accept}}}\n")
        assert main(["check", "suite.yaml"]) == 0
        assert (f"note: suite suite: {WARNED}" in capsys.readouterr().out) is warned
        plan = ["plan", "--draw", "100", "--accept", str(accept)]
        assert main(plan) == 0
        assert (f"WARNING: {WARNED}" in capsys.readouterr().out) is warned
        assert main([*plan, "--json"]) == 0
        assert [low["least"] for low in json.loads(capsys.readouterr().out)["low"]] == [86] * warned


def test_a_retention_suite_decides_by_no_count(tmp_path: Path, capsys: Capture) -> None:
    write_jsonl(tmp_path / "cases.jsonl", [{"id": n, "prompt": f"{n}?", "reference": "x"} for n in range(100)])
    text = "cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 100, accept: 50}\nretention: {max_drop: 5}\n"
    (tmp_path / "suite.yaml").write_text(text)
    assert main(["check", str(tmp_path / "suite.yaml")]) == 0
    assert "too low" not in capsys.readouterr().out
