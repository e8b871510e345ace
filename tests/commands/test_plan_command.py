"""`tunegate plan`: its JSON, its numbers against scipy, and what people see."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import binom, hypergeom

from tests.support.fake_pipeline import PIPELINE, SUITE, write_pipeline
from tunegate.cli import main
from tunegate.suites.suite_file import plan_rule
from tunegate.suites.suite_spec import PlanSpec

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
        passing = round(200 * point["p"])
        once = hypergeom.sf(89, 200, passing, 100)
        both = _both(200, passing, (100, 90), (100, 90))
        assert point["accept"] == pytest.approx(once, abs=1e-12)
        assert point["accept_any_at_most"] == pytest.approx(min(1, 3 * once), abs=1e-12)
        assert point["promoted_at_most"] == pytest.approx(min(1, once + 2 * both), abs=1e-12)


def test_a_confirming_draw_takes_from_what_the_first_one_left(capsys: Capture) -> None:
    told = facts(capsys, "--plan", "double", "--attempts", "10", "--bank", "300")
    confirm = told["plan"]["confirm"]
    for point in told["bank"]["curve"]:
        both = _both(300, round(300 * point["p"]), (100, 90), (confirm["draw"], confirm["accept"]))
        assert point["accept"] == pytest.approx(both, abs=1e-12)
        for bound in ("promoted_at_most", "accept_any_at_most"):
            assert point[bound] == pytest.approx(min(1, 10 * both), abs=1e-12)


SPENDING = "{cases: cases.jsonl, checks: [exact], plan: {kind: double, spending: true}}"
SPENT = {1: (46, 41), 2: (88, 80), 3: (115, 105)}
"""The confirming draw of each attempt, as (draw, accept); `tests/stats/test_spending.py` solves them."""


def _of_spending(folder: Path) -> Path:
    return write_pipeline(folder, PIPELINE.replace(SUITE, SPENDING), bank=1000)


def test_a_plan_that_spends_counts_each_attempt_by_its_own_draws(tmp_path: Path, capsys: Capture) -> None:
    """The output says: at least one of 3 attempts, in the table, the sentence and the plot."""
    path = _of_spending(tmp_path / "project")
    told = facts(capsys, "--file", str(path))
    for point in told["curve"]:
        missed = [1 - binom.sf(89, 100, point["p"]) * binom.sf(j - 1, m, point["p"]) for m, j in SPENT.values()]
        assert point["accept_any"] == pytest.approx(1 - math.prod(missed), abs=1e-12)
    bad = at(told["curve"], 0.85)
    assert f"at least one of 3 with {bad['accept_any']:.3f}." in told["words"]
    assert main(["plan", "--file", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "double plan: 90 of 100, then 41 of 46 sealed, in attempt 3 105 of 115; 3 attempts"
    assert told["words"] in lines


def test_a_plan_that_spends_is_bounded_in_a_bank_by_each_attempt(tmp_path: Path, capsys: Capture) -> None:
    told = facts(capsys, "--file", str(_of_spending(tmp_path / "project")), "--bank", "1000")
    for point in told["bank"]["curve"]:
        attempts = [_both(1000, round(1000 * point["p"]), (100, 90), confirm) for confirm in SPENT.values()]
        for bound in ("promoted_at_most", "accept_any_at_most"):
            assert point[bound] == pytest.approx(min(1, sum(attempts)), abs=1e-12)


def _both(bank: int, passing: int, first: tuple[int, int], second: tuple[int, int]) -> float:
    """The chance that both draws accept, by scipy: (draw, accept) one after the other."""
    (n, k), (m, j) = first, second
    seen = range(k, n + 1)
    left = [hypergeom.sf(j - 1, bank - n, passing - hits, m) if 0 <= passing - hits <= bank - n else 0 for hits in seen]
    return float(sum(hypergeom.pmf(hits, bank, passing, n) * rest for hits, rest in zip(seen, left, strict=True)))


def test_every_gate_of_a_pipeline(tmp_path: Path, capsys: Capture) -> None:
    path = write_pipeline(tmp_path / "project", bank=20)
    told = facts(capsys, "--file", str(path))
    assert told["plan"] == told["gates"][0]["plan"]
    where = [(gate["stage"], gate["gate"], gate["attempts"]) for gate in told["gates"]]
    assert where == [("sft", "facts", 3), ("sft", "style", 3), ("align", "facts", 3)]
    assert told["gates"][0]["plan"]["draw"] == 5
    assert [gate["supported_attempts"] for gate in told["gates"]] == [2, 2, 2]


def test_gates_with_the_same_plan_share_a_table(tmp_path: Path, capsys: Capture) -> None:
    assert main(["plan", "--file", str(write_pipeline(tmp_path / "project", bank=20))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "single plan: 4 of 5, and after a retry 4 of 5 sealed; 3 attempts",
        "sft facts: 13 cases and 7 sealed, enough fresh cases for 2 attempts",
        "sft style: 13 cases and 7 sealed, enough fresh cases for 2 attempts",
    ]
    pipeline = next(number for number, line in enumerate(lines) if line.startswith("the whole pipeline: "))
    assert sum(line.startswith("right") for line in lines[:pipeline]) == 1


def test_the_whole_pipeline(tmp_path: Path, capsys: Capture) -> None:
    """`facts` and `style` ask the same bank, so they share a draw: their joint chance is at most the smaller."""
    path = write_pipeline(tmp_path / "project")
    whole = facts(capsys, "--file", str(path))["pipeline"]
    assert [(one["stage"], one["attempts"], one["gates"]) for one in whole["stages"]] == [
        ("sft", 3, [["facts", "style"]]),
        ("align", 1, [["facts"]]),
    ]
    kept = sum(binom.pmf(d, 5, 0.1) * binom.cdf(d // 2, d, 0.5) for d in range(6))
    assert whole["stages"][1]["retained_by_equal"] == {name: pytest.approx(kept) for name in ("facts", "style")}
    assert whole["upper_limit"] is True
    for point in whole["curve"]:
        once = binom.sf(3, 5, point["p"])
        align = once * kept**2
        assert point["at_first"] == pytest.approx(once * align)
        assert point["within_budget"] == pytest.approx((1 - (1 - once) * (1 - once**2) ** 2) * align)
    assert main(["plan", "--file", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    lines = lines[lines.index("the whole pipeline: sft (3 attempts), then align (1 attempt)") :]
    point = next(one for one in whole["curve"] if one["p"] == 0.95)
    assert f"0.95     {point['at_first']:.3f}            {point['within_budget']:.3f}" in lines
    assert "promoted by share right:   o at first attempts   x within all attempts" in lines
    said = f"A{whole['words'][1:]}."
    assert said in lines
    assert f"promoted at first attempts with probability at most {point['at_first']:.3f}" in said
    assert whole["costliest"] == {"stage": "align", "gate": "facts", "fails": pytest.approx(1 - kept), "paired": True}
    assert lines[-2].startswith("note: facts in stage align costs a model that is right 95% of the time most")
    assert lines[-1].startswith("assumed: gates that share a draw are not independent, so the chances are upper")


def test_what_a_stage_must_retain(tmp_path: Path, capsys: Capture) -> None:
    """The size, the largest net loss and what slips through, by convolution of the cases; `check` says the same."""
    retained = f"{SUITE}\n  general: {SUITE[:-1]}, retention: {{max_drop: 5, risk: {{differ: 0.1}}}}}}"
    path = write_pipeline(tmp_path / "project", PIPELINE.replace(SUITE, retained, 1), bank=2000)
    told = facts(capsys, "--file", str(path))["pipeline"]["compared"]
    sft, align = told["sft"], told["align"]
    assert {purpose: list(compared) for purpose, compared in sft.items()} == {"retention": ["general"], "worth": []}
    assert list(align["retention"]) == ["general", "facts", "style"]
    general = sft["retention"]["general"]
    cases, net_loss = general["draw"], general["kept"]["net_loss"]
    one_case = np.array([0.025, 0.9, 0.075])  # won, same, lost: 5 points lost, 10 % differ
    loss = np.ones(1)
    for _ in range(cases):
        loss = np.convolve(loss, one_case)
    through = loss[: cases + net_loss + 1].sum()
    assert general["slips"]["lost"]["5.0"] == pytest.approx(1 - (1 - through) ** 3)
    assert main(["plan", "--file", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("stage sft: "))
    assert (
        line
        == f"stage sft: retention: general: {cases} fresh cases, net loss of at most {net_loss}; "
        + (general["slips"]["in_words"])
    )
    assert sum(line.startswith("stage align: retention: ") for line in lines) == 2  # general; facts and style
    assert main(["check", str(path)]) == 0
    assert f"note: {line}" in capsys.readouterr().out.splitlines()


def test_a_plan_of_its_own_has_no_pipeline(capsys: Capture) -> None:
    assert facts(capsys, "--draw", "100")["pipeline"] is None


def test_the_pipeline_that_lies_here_is_described(tmp_path: Path, capsys: Capture) -> None:
    write_pipeline(tmp_path / "project")
    (tmp_path / "tunegate.yaml").symlink_to(tmp_path / "project" / "tunegate.yaml")
    for name in ("cases.jsonl", "train.jsonl", "pairs.jsonl", "base"):
        (tmp_path / name).symlink_to(tmp_path / "project" / name)
    assert [len(facts(capsys)["gates"]), len(facts(capsys, "--risk", "0.1,0.8,0.1,0.95")["gates"])] == [3, 0]


def test_a_gate_too_large_to_tabulate_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    path = write_pipeline(tmp_path / "project", bank=4200)
    path.write_text(path.read_text().replace("{draw: 5, accept: 4}", "{draw: 2001, confirm: never}"))
    assert main(["plan", "--file", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert (
        "1801 of 2001; 3 attempts: draws of more than 2000 cases cannot be tabulated; choose a smaller draw"
        in captured.err
    )


def test_what_people_see(capsys: Capture) -> None:
    assert main(["plan", "--attempts", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "double plan: 90 of 100, then 92 of 101 sealed; 10 attempts"
    assert len(lines) <= 31
    assert max(map(len, lines[:-2])) <= 80
    assert [line[35] for line in lines[16:26]] == ["┊"] * 10
    assert lines[26][35] == "x"  # at `at` any of 10 has 0.05, less than half a row
    assert lines[27].index("at┴") + 2 == 35
    assert lines[27].index("good┴") + 4 == 55
    assert "passes one attempt with probability 0.005, at least one of 10 with 0.050" in lines[-2]
    assert lines[-1] == "this is the recommended plan; in a suite file: `plan: {kind: double}`"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--draw", "0"], "--draw: expected at least 1, got 0"),
        (["--draw", "1000000"], "--draw: expected a number from 1 to 2000, got 1000000"),
        (["--confirm", "2001"], "--confirm: expected a number from 1 to 2000, got 2001"),
        (["--bank", "0"], "--bank: expected at least 1, got 0"),
        (["--bank", "-3"], "--bank: expected at least 1, got -3"),
        (["--draw", "10", "--accept", "11"], "1 <= accept <= draw"),
        (["--attempts", "0"], "--attempts: expected at least 1, got 0"),
        (["--attempts", "101"], "from 1 to 100"),
        (["--plan", "single", "--draw", "20", "--risk", "0.05,0.85,0.05,0.95"], "the smallest draw that does"),
        (["--risk", "1,2"], "CONSUMER,AT,PRODUCER,GOOD"),
        (["--plan", "single", "--bank", "99"], "--bank: expected at least 200"),
        (["--file", "nowhere.yaml"], "nowhere.yaml"),
        (["--file", "x.yaml", "--draw", "5"], "leave out the options that define a plan"),
        (["--plan", "sequential", "--accept", "5"], "leave out the other keys"),
        (["--plan", "singel"], "--plan singel: not a kind of plan (did you mean 'single'?)"),
        (["--file", "x.yaml", "--risk", "0.05,0.85,0.05,0.95"], "leave out the options that define a plan"),
        (["--plan", "single", "--accept", "90", "--risk", "0.05,0.85,0.05,0.95"], "leave out `accept` and `confirm`"),
        (["--accept", "90", "--risk", "0.05,0.85,0.05,0.95"], "leave out `accept` and `confirm`"),
        (["--bank", "150"], "--bank: expected at least 176"),
    ],
)
def test_wrong_usage_is_one_line(capsys: Capture, options: list[str], message: str) -> None:
    assert main(["plan", *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("options", "last"),
    [
        ([], "this is the recommended plan; in a suite file: `plan: {kind: double}`"),
        (["--draw", "50", "--accept", "40"], "in a suite file: `plan: {kind: single, draw: 50, accept: 40}`"),
        (
            ["--risk", "0.1,0.6,0.1,0.99"],
            "in a suite file: `plan: {kind: double, risk: {consumer: 0.1, at: 0.6, producer: 0.1, good: 0.99}}`",
        ),
    ],
)
def test_how_to_write_it(capsys: Capture, options: list[str], last: str) -> None:
    """What is printed is a plan that a suite file takes, and only the recommended one is called so."""
    assert main(["plan", *options]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == last
    written = yaml.safe_load(last.split("`")[1])
    rule = plan_rule(PlanSpec.model_validate(written["plan"]))
    assert rule.resolve(5).draw == facts(capsys, *options)["plan"]["draw"]


@pytest.mark.parametrize("risk", ["0.1,0.1,0.1,0.6", "0.1,0.5,0.1,0.8", "0.1,0.72,0.1,0.9999", "0.4,0.97,0.4,0.995"])
@pytest.mark.parametrize("kind", ["single", "sequential"])
def test_any_risk_can_be_drawn(capsys: Capture, risk: str, kind: str) -> None:
    assert main(["plan", "--plan", kind, "--risk", risk, "--attempts", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    axis = next(line for line in lines if "└" in line)
    assert axis.count("┴") == 2
    assert max(map(len, lines[:-2])) <= 80


def test_it_needs_no_torch_and_no_scipy(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project")
    script = f"""
import sys
from tunegate.cli import main
main(["plan"]), main(["plan", "--file", {str(path)!r}])
sys.exit(str({{"torch", "transformers", "scipy", "numpy"}} & set(sys.modules) or ""))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
