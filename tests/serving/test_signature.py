"""The rules of a serving check, on numbers alone: each names its fault at its threshold, and only there."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.support.places import ROOT
from tests.support.serving_picture import MEASURED, SVG, draw
from tunegate.checks.outcome import Verdict
from tunegate.models.first_tokens import FirstToken, gap
from tunegate.models.server_facts import ServerFacts
from tunegate.serving.signature import OTHER_GAP, SAME_GAP, Pair, Serving, Signature, decide
from tunegate.serving.words import fault_in_words, lines
from tunegate.stats.paired import PairedCounts
from tunegate.verdicts.comparison import Comparison

N = 20


def pairs(n: int = N, **fields: Any) -> list[Pair]:
    same = {"same_answer": True, "runs_on": False, "ended": True, "finish": "stop", "gap": 0.001}
    told = {"same_prompt": True, "n_ours": 10, "n_theirs": 10}
    return [Pair(str(number), **{**same, **told, **fields}) for number in range(n)]


def decided(
    some: list[Pair],
    lost: int = 0,
    won: int = 0,
    verdict: Verdict = Verdict.PASS,
    server: ServerFacts | None = None,
    suspects: dict[str, float | None] | None = None,
) -> Serving:
    counts = None if verdict is Verdict.INVALID else PairedCounts(N - lost - won, lost, won, 0)
    comparison = Comparison(verdict, (), 5.0, counts)
    return decide(Signature(some, comparison, server or ServerFacts(), "m", 100, suspects or {}))


def kinds(serving: Serving) -> list[str]:
    return [fault.kind for fault in serving.faults]


@pytest.mark.parametrize(
    ("gap_", "found"),
    [
        (SAME_GAP, []),
        (SAME_GAP + 1e-6, ["quantised"]),
        (OTHER_GAP, ["quantised"]),
        (OTHER_GAP + 1e-6, ["other_weights"]),
    ],
)
def test_the_gap_tells_fewer_bits_from_other_weights(gap_: float, found: list[str]) -> None:
    serving = decided(pairs(gap=gap_))
    assert kinds(serving) == found
    assert serving.verdict is (Verdict.FAIL if found else Verdict.PASS)


@pytest.mark.parametrize(("said", "found"), [("Q4_1", "quantised"), ("Q8_0", "other_weights"), ("", "other_weights")])
def test_a_server_that_says_four_bits_is_believed(said: str, found: str) -> None:
    assert kinds(decided(pairs(gap=5.0), server=ServerFacts(number_type=said))) == [found]


@pytest.mark.parametrize(
    ("same_answer", "says"),
    [
        (True, "same: nothing that was compared differs"),
        (False, "same: other software, or rounding to 8 bits or more, explains the differences"),
    ],
)
def test_the_same_model_may_answer_otherwise(same_answer: bool, says: str) -> None:
    """Where two tokens are nearly equally likely, the same weights give other texts on other software."""
    assert list(lines(decided(pairs(gap=0.04, same_answer=same_answer))))[-1] == says


def test_where_prompts_differ_the_gap_accuses_no_weights() -> None:
    serving = decided(pairs(gap=3.0, same_prompt=False))
    assert kinds(serving) == ["template"]
    assert serving.faults[0].evidence == {"differ": N, "prompts": N}


def test_the_same_text_with_other_tokens_is_the_tokenizer() -> None:
    assert kinds(decided(pairs(n_theirs=11))) == ["tokens"]
    serving = decided(pairs(n_theirs=11, same_prompt=None))
    assert kinds(serving) == ["template"]
    assert "another number of tokens (+1 to +1)" in fault_in_words(serving.faults[0])


@pytest.mark.parametrize(("context", "found"), [(100, []), (99, ["context"]), (None, [])])
def test_context(context: int | None, found: list[str]) -> None:
    assert kinds(decided(pairs(), server=ServerFacts(context=context))) == found


@pytest.mark.parametrize(("on", "found"), [(1, []), (2, ["stop"])])
def test_stop_token(on: int, found: list[str]) -> None:
    assert kinds(decided([*pairs(on, runs_on=True, same_answer=False), *pairs(N - on)])) == found


@pytest.mark.parametrize(
    ("other", "found"), [(0.05, ["suspect"]), (0.15, ["suspect"]), (0.16, ["quantised"]), (None, ["quantised"])]
)
def test_a_suspect_must_be_clearly_nearer(other: float | None, found: list[str]) -> None:
    assert kinds(decided(pairs(gap=0.3), suspects={"base": other})) == found


def test_a_suspect_is_no_fault_of_the_right_model() -> None:
    assert decided(pairs(gap=0.02), suspects={"base": 0.001}).verdict is Verdict.PASS


def test_a_loss_that_may_be_chance_is_not_told() -> None:
    few = decided(pairs(), lost=3, verdict=Verdict.FAIL)
    assert (few.verdict, few.unclear) == (Verdict.INVALID, "lost_by_chance")
    assert kinds(decided(pairs(), lost=8, verdict=Verdict.FAIL)) == ["verdicts"]


def test_without_an_answer_only_faults_that_need_none_count() -> None:
    serving = decided(pairs(gap=3.0), verdict=Verdict.INVALID)
    assert (serving.verdict, serving.unclear, kinds(serving)) == (Verdict.INVALID, "not_judged", [])
    assert decided(pairs(same_prompt=False), verdict=Verdict.INVALID).verdict is Verdict.FAIL


def test_without_log_probabilities() -> None:
    assert decided(pairs(gap=None)).verdict is Verdict.PASS
    other = [*pairs(1, gap=None, same_answer=False), *pairs(N - 1, gap=None)]
    assert decided(other).unclear == "no_log_probabilities"


def test_answers_without_log_probabilities_must_be_equal_even_if_others_have_some() -> None:
    other = [*pairs(1, gap=None, same_answer=False), *pairs(N - 1)]
    assert decided(other).unclear == "no_log_probabilities"
    assert decided([*pairs(1, gap=None), *pairs(N - 1, same_answer=False)]).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("far", "gap_", "found"), [(1, 3.0, []), (2, OTHER_GAP, []), (2, OTHER_GAP + 1e-6, ["mixed"]), (9, 3.0, ["mixed"])]
)
def test_one_wrong_copy_behind_a_server_is_no_median(far: int, gap_: float, found: list[str]) -> None:
    assert kinds(decided([*pairs(far, gap=gap_), *pairs(N - far)])) == found


def test_every_fault_has_words() -> None:
    server = ServerFacts(("other",), 50, "Q4_0")
    said = "\n".join(lines(decided(pairs(gap=0.3), server=server)))
    assert "differs: fewer bits: the median gap is 0.300" in said
    assert "(the server says Q4_0)" in said
    assert "also: context too small: the server takes 50 tokens" in said
    assert "note: the server lists other, not m" in said
    mixed = fault_in_words(decided([*pairs(5, gap=3.0), *pairs(N - 5)]).faults[0])
    assert "5 of 20 first-token gaps are above 0.5, although the median is 0.001" in mixed


def test_the_gap_of_a_token_that_the_server_does_not_list_is_at_least_the_distance_to_its_last() -> None:
    ours = FirstToken({"A": -0.1, "B": -3.0})
    assert gap(ours, FirstToken({"A": -0.4})) == pytest.approx(0.3)
    assert gap(ours, FirstToken({"B": -0.6, "C": -2.1})) == pytest.approx(2.0)
    assert gap(ours, FirstToken({"B": -3.0, "": -0.3})) == pytest.approx(0.2)
    assert gap(FirstToken({"A": -3.0}), FirstToken({"B": -3.0})) is None
    assert gap(ours, FirstToken({"B": -0.05})) == pytest.approx(-0.1 - math.log(1 - math.exp(-0.05)))
    assert gap(ours, FirstToken({"B": 0.0})) == pytest.approx(-0.1 - math.log(1e-4))
    assert gap(ours, FirstToken({})) is None


def test_the_picture_shows_the_figures_of_the_page() -> None:
    assert SVG.read_text(encoding="utf-8") == draw()
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    assert [gap for _, gap in MEASURED if f"{gap:.4f}" not in page] == []
    assert f"median of at most {SAME_GAP:g} is the same" in page
    assert f"up to {OTHER_GAP:g}, fewer bits" in page
