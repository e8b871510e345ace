"""Cases that are related, from the file to the verdict: groups, spellings of one question, quotas, weights."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binom

from tests.support.bank import write_jsonl
from tunegate.cli import main
from tunegate.exceptions import Inconclusive
from tunegate.gates.draw import GatePlace, draw_fresh
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck_all
from tunegate.stats.stratified import Stratum, stratified_rate
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spelled(folder: Path, known: int, questions: int = 20, each: int = 5, keys: str = "") -> None:
    """A suite of questions in several spellings, and the answers of a model that knows some questions."""
    ids = [(q, f"{q}-{s}") for q in range(questions) for s in range(each)]
    rows = [{"id": name, "prompt": f"question {name}?", "reference": "yes", "group": f"q{q}"} for q, name in ids]
    write_jsonl(folder / "cases.jsonl", rows)
    answers = [{"id": name, "response": "yes" if q < known else "no"} for q, name in ids]
    write_jsonl(folder / "answers.jsonl", answers)
    text = f"cases: cases.jsonl\nchecks: [exact]\nplan: {{draw: 100, accept: 90}}\nsealed: 0\n{keys}"
    (folder / "suite.yaml").write_text(text)


def gate(*more: str) -> int:
    return main(["gate", "--responses", "answers.jsonl", "--suite", "suite.yaml", "--run", "gate", *more])


def test_eighteen_known_questions_of_twenty_are_inconclusive(folder: Path, capsys: Capture) -> None:
    spelled(folder, 18)
    assert gate() == 4
    said = capsys.readouterr().out
    assert "INCONCLUSIVE: 90 of 100, 90 needed (95 % interval 68.3% to 98.8%)" in said
    assert "100 cases of 20 groups count as 20 independent ones, 100 are needed: add groups (a model that pass" in said
    assert "luck" not in said
    assert recheck_all(read_run(Path("gate"))) == 1


def test_a_pass_says_how_many_cases_it_rests_on(folder: Path, capsys: Capture) -> None:
    spelled(folder, 20)
    assert gate() == 0
    assert "; its cases count as 20.0 independent ones" in capsys.readouterr().out
    assert gate("--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["lucky_pass"]["independent"] == pytest.approx(20.0)
    assert told["reasons"][-1] == {"kind": "grouped", "facts": {"cases": 100, "groups": 20, "independent": 20.0}}


def test_one_case_of_each_group_is_an_ordinary_gate(folder: Path, capsys: Capture) -> None:
    spelled(folder, 120, questions=120)
    assert gate("--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert len({case["id"].split("-")[0] for case in told["cases"]}) == 100
    assert told["lucky_pass"]["independent"] is None
    assert [reason["kind"] for reason in told["reasons"]] == ["count"]


# --- spellings ------------------------------------------------------------------------------------------------------

WAYS = ("What is {}?", "what is  {}", "{}!", "Please, what is the {}?", "{}, which is what?")


def test_spellings_without_a_group_are_found_drawn_apart_and_counted_as_one(folder: Path, capsys: Capture) -> None:
    ids = [(q, f"{q}-{s}") for q in range(20) for s in range(5)]
    rows = [{"id": name, "prompt": WAYS[int(name[-1])].format(f"word{q}"), "reference": "yes"} for q, name in ids]
    write_jsonl(folder / "cases.jsonl", rows)
    write_jsonl(folder / "answers.jsonl", [{"id": name, "response": "yes" if q < 18 else "no"} for q, name in ids])
    (folder / "suite.yaml").write_text("cases: cases.jsonl\nchecks: [exact]\nsealed: 0\n")
    assert main(["check", "suite.yaml"]) == 0
    assert (
        "note: suite suite: 100 cases are spellings of 20 questions, for example 0-0, 0-1, 0-2; those of one question "
        "count as one group"
    ) in capsys.readouterr().out
    assert gate("--json") == 4
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["reasons"][-1]["facts"]["groups"] == 20
    assert len({case["id"].split("-")[0] for case in told["cases"][:20]}) == 20


# --- quotas ---------------------------------------------------------------------------------------------------------


def sliced(folder: Path, rare: int = 12, more: str = "", of: int = 300) -> None:
    """A bank in which few cases carry `kind=rare`, all answered right."""
    kinds = ["rare"] * rare + ["plain"] * (of - rare)
    rows = [{"id": str(n), "prompt": f"{n}?", "reference": "yes", "kind": kind} for n, kind in enumerate(kinds)]
    write_jsonl(folder / "cases.jsonl", rows)
    write_jsonl(folder / "answers.jsonl", [{"id": row["id"], "response": "yes"} for row in rows])
    text = "cases: {path: cases.jsonl, tags: [kind]}\nchecks: [exact]\nplan: {draw: 100, accept: 90}\nsealed: 0\n"
    (folder / "suite.yaml").write_text(text + "slices: {kind=rare: {min: 0.9, at_least: 10}}\n" + more)


def test_a_slice_is_drawn_to_its_quota(folder: Path, capsys: Capture) -> None:
    sliced(folder)
    assert gate("--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert sum("kind=rare" in case["tags"] for case in told["cases"]) == 10
    assert len(told["cases"]) == 100


def test_the_groups_of_a_gap_are_drawn_to_their_quota(folder: Path, capsys: Capture) -> None:
    sliced(folder, rare=25, more="gap: {between: [kind=rare, kind=plain], at_least: 20}\n")
    assert gate("--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert sum("kind=rare" in case["tags"] for case in told["cases"]) == 20


def test_a_working_part_without_enough_cases_for_a_slice_is_refused(folder: Path, capsys: Capture) -> None:
    sliced(folder)
    path = folder / "suite.yaml"
    path.write_text(path.read_text().replace("sealed: 0", "sealed: 0.5"))
    assert main(["check", "suite.yaml"]) == 2
    said = capsys.readouterr().err
    assert "slice kind=rare: its working part has " in said
    assert "such cases, but at least 10 must be drawn" in said


def test_a_draw_without_enough_fresh_cases_for_a_slice_is_refused_before_anything_is_asked(folder: Path) -> None:
    sliced(folder)
    suite = load_suite(folder / "suite.yaml", build_check)
    used = frozenset(draw_fresh(GatePlace("g", "s", 1), suite, 100, seed=0).questions)
    with pytest.raises(Inconclusive, match="must hold 10 cases of kind=rare, but only 2 working ones"):
        draw_fresh(GatePlace("g", "s", 2), suite, 100, 0, used)


def test_check_says_what_slices_and_gaps_cost_a_good_model(folder: Path, capsys: Capture) -> None:
    """Five slices at .9 of 10 fail a model that is right .95 everywhere with .36."""
    kinds = [f"k{n % 10}" for n in range(300)]
    write_jsonl(
        folder / "cases.jsonl",
        [{"id": str(n), "prompt": f"{n}?", "reference": "x", "kind": kind} for n, kind in enumerate(kinds)],
    )
    text = "cases: {path: cases.jsonl, tags: [kind]}\nchecks: [exact]\nsealed: 0\n"
    slices = ", ".join(f"kind=k{n}: {{min: 0.9, at_least: 10}}" for n in range(5))
    gap = "gap: {between: [kind=k0, kind=k1], max: 10, at_least: 20}"
    (folder / "suite.yaml").write_text(f"{text}slices: {{{slices}}}\n{gap}\n")
    assert main(["check", "suite.yaml", "--json"]) == 0
    cost = json.loads(capsys.readouterr().out)["suites"]["suite"]["requirements"]
    one = binom.pmf(range(21), 20, 0.95)
    apart = sum(one[a] * one[b] for a in range(21) for b in range(21) if abs(a - b) > 2)
    slices_fail = 1 - binom.sf(8, 10, 0.95) ** 5
    wanted = {"good": 0.95, "slices": 5, "slices_fail": pytest.approx(slices_fail), "gap_fails": pytest.approx(apart)}
    assert cost == wanted
    assert round(slices_fail, 2) == 0.36
    assert main(["check", "suite.yaml"]) == 0
    assert (
        "note: suite suite: a model that is right 95% of the time on every kind of case fails at least one of its 5 "
        "slices with probability 0.363 and its gap with probability 0.0"
    ) in capsys.readouterr().out


# --- weights --------------------------------------------------------------------------------------------------------


def weighed(folder: Path, weight: str, misses: int = 8) -> None:
    """Half of the bank is `hard`; the model misses some of the hard cases."""
    kinds = ["hard", "easy"] * 50
    rows = [{"id": str(n), "prompt": f"{n}?", "reference": "yes", "kind": kind} for n, kind in enumerate(kinds)]
    write_jsonl(folder / "cases.jsonl", rows)
    missed = [str(n) for n in range(0, 2 * misses, 2)]
    answers = [{"id": str(n), "response": "no" if str(n) in missed else "yes"} for n in range(100)]
    write_jsonl(folder / "answers.jsonl", answers)
    text = "cases: {path: cases.jsonl, tags: [kind]}\nchecks: [exact]\nplan: {draw: 100, accept: 90}\nsealed: 0\n"
    (folder / "suite.yaml").write_text(f"{text}weight: {weight}\n")


def test_a_weighted_pass_rate_is_shown_and_decides_nothing(folder: Path, capsys: Capture) -> None:
    weighed(folder, "{kind=hard: 0.9, kind=easy: 0.1}")
    assert gate("--json") == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    wanted = stratified_rate([Stratum(42, 50, 0.9), Stratum(50, 50, 0.1)])
    assert wanted is not None
    assert wanted.rate == pytest.approx(0.9 * 0.84 + 0.1)
    assert told["weighted"] == {"rate": pytest.approx(wanted.rate), "interval": pytest.approx(list(wanted.interval))}
    assert told["passed"] == 92
    assert gate() == 0
    low, high = wanted.interval
    said = f"weighted by the suite's shares: 85.6% (95 % interval {low:.1%} to {high:.1%}); it decides nothing"
    assert said in capsys.readouterr().out
    assert said in html.unescape((folder / "gate" / "report.html").read_text())


def test_a_draw_that_stopped_has_no_weighted_rate(folder: Path, capsys: Capture) -> None:
    weighed(folder, "{kind=hard: 0.9, kind=easy: 0.1}", misses=40)
    assert gate("--json", "--curtail") == 1
    assert json.loads(capsys.readouterr().out)["weighted"] is None


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        ("{kind=hard: 0.9, kind=easy: 0.2}", "weight: the shares must sum to 1, got 1.1"),
        (
            "{kind=hard: 1.0}",
            "weight: every case needs exactly one of the tags kind=hard, but case '1' has 0; its tags",
        ),
        (
            "{kind=hard: 0.5, kind=easy: 0.3, kind=odd: 0.2}",
            "weight: no case has the tag kind=odd; leave it out, or add",
        ),
        ("{kind=hard: 0, kind=easy: 1}", "greater than 0"),
    ],
)
def test_wrong_shares_get_one_line(folder: Path, capsys: Capture, weight: str, said: str) -> None:
    weighed(folder, weight)
    assert main(["check", "suite.yaml"]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1
