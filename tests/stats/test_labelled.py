"""Prediction-powered inference on a gate's answers: the estimate by its formula, the interval by its coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from tunegate.stats.labelled import LabelledAnswers, LabelledRate, labelled_rate

ROUNDS = 250
"""Gates simulated for each judge and number of answers."""


def simulated(
    rng: np.random.Generator, p: float, sensitivity: float, specificity: float, labels: int, others: int
) -> LabelledAnswers:
    """A gate whose model is right at the rate `p`, some answers labelled by people who never err."""
    chances = [p * sensitivity, p * (1 - sensitivity), (1 - p) * (1 - specificity), (1 - p) * specificity]
    cells = [int(count) for count in rng.multinomial(labels, chances)]
    return LabelledAnswers(*cells, others, int(rng.binomial(others, chances[0] + chances[2])))


def test_the_estimate_is_that_of_ppi() -> None:
    """By the formula, on the answers themselves: lambda·mean(F_N) + mean(Y - lambda·F)."""
    found = LabelledAnswers(800, 50, 30, 120, others=4000, others_passed=3300)
    people = np.repeat([1, 1, 0, 0], [800, 50, 30, 120])
    judge = np.repeat([1, 0, 1, 0], [800, 50, 30, 120])
    weight = np.cov(people, judge, bias=True)[0, 1] / ((1 + 1000 / 4000) * judge.var())
    rate = weight * 3300 / 4000 + (people - weight * judge).mean()
    got = labelled_rate(found)
    assert got.weight == pytest.approx(weight, abs=3e-3)  # half a count in each cell
    assert got.rate == pytest.approx(rate, abs=1e-4)


@pytest.mark.parametrize(
    ("labels", "p"),
    [(50, 0.95), *(pytest.param(n, p, marks=pytest.mark.slow) for n in (50, 100, 200, 500) for p in (0.7, 0.85, 0.95))],
)
def test_the_interval_covers(labels: int, p: float) -> None:
    """95 % or more, less what the rounds may miss by chance (three standard errors)."""
    rng = np.random.default_rng(labels)
    for sensitivity, specificity in ((0.931, 0.849), (1.0, 0.66), (0.99, 0.97)):
        for others in (50, 1000):
            rounds = [simulated(rng, p, sensitivity, specificity, labels, others) for _ in range(ROUNDS)]
            intervals = [labelled_rate(one).interval for one in rounds]
            covered = sum(low <= p <= high for low, high in intervals)
            assert covered / len(rounds) >= 0.95 - 3 * (0.95 * 0.05 / len(rounds)) ** 0.5, (sensitivity, others)


def test_the_judges_verdicts_make_it_narrower() -> None:
    few = labelled_rate(LabelledAnswers(80, 5, 3, 12))
    more = labelled_rate(LabelledAnswers(80, 5, 3, 12, others=900, others_passed=750))
    assert _width(more) < 0.8 * _width(few)


def _width(found: LabelledRate) -> float:
    return found.interval[1] - found.interval[0]


def test_without_others_it_is_what_people_said() -> None:
    found = labelled_rate(LabelledAnswers(85, 5, 3, 7))
    exact = binomtest(90, 100).proportion_ci(method="exact")
    assert (found.rate, found.weight) == (0.9, 0.0)
    assert found.interval == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_a_judge_that_agreed_with_every_label_is_not_taken_for_perfect() -> None:
    """It may err on answers that nobody labelled: the interval is no narrower than the rule of three allows."""
    found = labelled_rate(LabelledAnswers(45, 0, 0, 5, others=10_000, others_passed=9000))
    assert found.rate == pytest.approx(0.9, abs=0.01)
    assert _width(found) > 0.05


@given(
    cells=st.tuples(*[st.integers(0, 300)] * 4).filter(lambda cells: sum(cells) >= 2),
    others=st.tuples(st.integers(0, 1000), st.integers(0, 1000)),
)
def test_any_counts_have_a_rate_within_its_interval(cells: tuple[int, ...], others: tuple[int, int]) -> None:
    found = labelled_rate(LabelledAnswers(*cells, max(others), min(others)))
    low, high = found.interval
    assert 0.0 <= low <= found.rate <= high <= 1.0


@pytest.mark.parametrize("labels", [22, 30, 90])
@pytest.mark.parametrize("right", [True, False])
def test_labels_that_all_agree_say_as_much_as_by_themselves(labels: int, right: bool) -> None:
    """A person who found every answer right or wrong; the others, some of which the judge failed, widen it a little."""
    found = labelled_rate(LabelledAnswers(labels if right else 0, 0, 0, 0 if right else labels, 30, 25 if right else 5))
    alone = binomtest(labels if right else 0, labels).proportion_ci(method="exact")
    assert _width(found) < 2.2 * (alone.high - alone.low)


@pytest.mark.parametrize("wrong", [0, 1, 2, 3])
def test_one_more_wrong_answer_never_raises_the_lower_end(wrong: int) -> None:
    lower = [labelled_rate(LabelledAnswers(30 - bad, 0, bad, 0, 70, 65)).interval[0] for bad in (wrong, wrong + 1)]
    assert lower[1] < lower[0]


def test_one_label_is_too_few() -> None:
    with pytest.raises(ValueError, match="at least two labels"):
        labelled_rate(LabelledAnswers(1, 0, 0, 0))
