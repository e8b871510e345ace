"""`tunegate plan`: its JSON, its numbers against scipy, and what people see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_pipeline import write_pipeline
from scipy.stats import binom, hypergeom

from tunegate.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def facts(capsys: Capture, *options: str) -> dict[str, Any]:
    assert main(["plan", *options, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def at(curve: list[dict[str, float]], p: float) -> dict[str, float]:
    return next(point for point in curve if point["p"] == p)


def test_the_trap_that_tunegate_is_for(capsys: Capture) -> None:
    """0.099 in one draw, 0.41 in five, 0.65 in ten; and what the confirming draw makes of it."""
    told = facts(capsys, "--plan", "single", "--draw", "100", "--accept", "90", "--attempts", "5")
    assert list(told["curve"][0]) == ["p", "accept", "accept_any", "mean_tests", "promoted"]
    assert (told["plan"]["kind"], told["plan"]["draw"], told["plan"]["accept"], told["attempts"]) == (
        "single",
        100,
        90,
        5,
    )
    for point in told["curve"]:
        once = binom.sf(89, 100, point["p"])
        assert point["accept"] == pytest.approx(once)
        assert point["accept_any"] == pytest.approx(1 - (1 - once) ** 5, abs=1e-12)
        assert point["promoted"] == pytest.approx(1 - (1 - once) * (1 - once**2) ** 4, abs=1e-12)
    assert at(told["curve"], 0.85)["accept_any"] == pytest.approx(0.41, abs=5e-3)
    assert at(told["curve"], 0.5)["mean_tests"] == pytest.approx(22, abs=0.01)
    ten = facts(capsys, "--plan", "single", "--attempts", "10")
    assert at(ten["curve"], 0.85)["accept_any"] == pytest.approx(0.65, abs=5e-3)


def test_the_recommended_plan_is_shown_by_default_and_keeps_its_promise(capsys: Capture) -> None:
    told = facts(capsys, "--attempts", "10")
    assert told["plan"]["kind"] == "double"
    bad, good, hopeless = (at(told["curve"], p) for p in (0.85, 0.95, 0.6))
    assert bad["accept_any"] == bad["promoted"] <= 0.05
    assert good["accept"] >= 0.95
    assert good["mean_tests"] <= 250
    assert hopeless["mean_tests"] <= 40


def test_a_sequential_plan_tells_its_lines(capsys: Capture) -> None:
    told = facts(capsys, "--plan", "sequential", "--attempts", "10")
    assert set(told["plan"]["lines"]) == {"slope", "accept_intercept", "reject_intercept"}
    assert at(told["curve"], 0.85)["accept_any"] <= 0.05
    assert at(told["curve"], 0.95)["accept"] >= 0.95


def test_a_risk_is_solved_for(capsys: Capture) -> None:
    told = facts(capsys, "--plan", "single", "--risk", "0.1,0.8,0.1,0.9", "--attempts", "3")
    bad, good = at(told["curve"], 0.8), at(told["curve"], 0.9)
    assert bad["accept_any"] <= 0.1
    assert good["accept"] >= 0.9


def test_a_bank_is_drawn_from_without_replacement(capsys: Capture) -> None:
    told = facts(capsys, "--plan", "single", "--attempts", "3", "--bank", "200")
    for point in told["bank"]["curve"]:
        once = hypergeom.sf(89, 200, round(200 * point["p"]), 100)
        assert point["accept"] == pytest.approx(once, abs=1e-12)
        assert point["accept_any_at_most"] == pytest.approx(min(1, 3 * once), abs=1e-12)


def test_every_gate_of_a_pipeline(tmp_path: Path, capsys: Capture) -> None:
    path = write_pipeline(tmp_path / "project")
    told = facts(capsys, "--file", str(path))
    where = [(gate["stage"], gate["gate"], gate["attempts"]) for gate in told["gates"]]
    assert where == [("sft", "facts", 3), ("sft", "style", 3), ("align", "facts", 3)]
    assert told["gates"][0]["plan"]["draw"] == 5


def test_the_pipeline_that_lies_here_is_described(tmp_path: Path, capsys: Capture) -> None:
    write_pipeline(tmp_path / "project")
    (tmp_path / "tunegate.yaml").symlink_to(tmp_path / "project" / "tunegate.yaml")
    for name in ("cases.jsonl", "train.jsonl", "pairs.jsonl", "base"):
        (tmp_path / name).symlink_to(tmp_path / "project" / name)
    assert main(["plan"]) == 0
    assert capsys.readouterr().out.startswith(
        "sft facts: single plan: 4 of 5, after a retry also 4 of 5 sealed; 3 attempts"
    )


def test_what_people_see(capsys: Capture) -> None:
    assert main(["plan", "--attempts", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "double plan: 90 of 100, then 92 of 101 sealed; 10 attempts"
    assert len(lines) <= 33
    assert max(map(len, lines[:-2])) <= 80
    assert "passes one attempt with probability 0.005, any of 10 with 0.050" in lines[-2]
    assert lines[-1] == "this is the recommended plan; in a suite file: `plan: {kind: double}`"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--draw", "0"], "--draw 0: at least 1"),
        (["--draw", "10", "--accept", "11"], "1 <= accept <= draw"),
        (["--attempts", "0"], "from 1 to 100"),
        (["--attempts", "101"], "from 1 to 100"),
        (["--plan", "single", "--draw", "20", "--risk", "0.05,0.85,0.05,0.95"], "the smallest draw that does"),
        (["--risk", "1,2"], "CONSUMER,AT,PRODUCER,GOOD"),
        (["--plan", "single", "--bank", "99"], "--bank 99: the plan draws 100"),
        (["--file", "nowhere.yaml"], "nowhere.yaml"),
        (["--file", "x.yaml", "--draw", "5"], "leave out the other options"),
        (["--plan", "sequential", "--accept", "5"], "leave out the rest"),
    ],
)
def test_wrong_usage_is_one_line(capsys: Capture, options: list[str], message: str) -> None:
    assert main(["plan", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_unknown_kind_is_refused(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--plan", "triple"])
    assert ended.value.code == 2
    assert "double" in capsys.readouterr().err
