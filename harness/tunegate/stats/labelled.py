"""The pass rate that people would find, from a judge's verdicts on all answers and people's labels on some of them.

Prediction-powered inference: the labels correct the judge, and the judge's verdicts on the rest make the estimate
narrower than the labels alone. Nothing is assumed of the judge, not even that its error rates are constant.

Sources: A. N. Angelopoulos, J. C. Duchi, T. Zrnic, PPI++, arXiv:2311.01453 (estimate and lambda);
J. B. S. Haldane, Annals of Human Genetics 20 (1956) 309-311 (half counts); Korn and Graubard, see `beta`.
The normal interval of PPI++ covers too rarely for few labels or a judge that agrees with all of them (.93 at 200
labels, below .5 at 50): here half a count is added to each cell before variances are taken, and the interval is that
of Clopper and Pearson at the effective number of labels. `tests/stats/test_labelled.py` shows its coverage.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

from tunegate.stats.beta import effective_interval, t_quantile

HALF = 0.5


@dataclass(frozen=True, slots=True)
class LabelledAnswers:
    """Answers that people labelled, by what the judge said of them; `others` were not labelled."""

    both_pass: int
    people_only: int
    judge_only: int
    neither: int
    others: int = 0
    others_passed: int = 0
    """Of the others, those that the judge passed."""

    @property
    def labels(self) -> int:
        return self.both_pass + self.people_only + self.judge_only + self.neither


@dataclass(frozen=True, slots=True)
class LabelledRate:
    """The estimated pass rate with its interval; `weight` (lambda) is how much the judge's verdicts count."""

    rate: float
    interval: tuple[float, float]
    weight: float
    labels: int


def labelled_rate(found: LabelledAnswers, confidence: float = 0.95) -> LabelledRate:
    """The rate at which people would pass the gate's answers; raises ValueError for fewer than two labels.

    Example:
        >>> from tunegate.stats.labelled import LabelledAnswers, labelled_rate
        >>> found = labelled_rate(LabelledAnswers(80, 5, 3, 12, others=400, others_passed=330))
        >>> round(found.rate, 3), [round(end, 3) for end in found.interval]
        (0.844, [0.779, 0.896])
    """
    n, others = found.labels, found.others
    if n < 2:
        raise ValueError(f"at least two labels are needed, got {n}")
    weight, variance, spread = _weight_variance_spread(found)
    people = (found.both_pass + found.people_only) / n
    judge = (found.both_pass + found.judge_only) / n
    if others == 0:
        return LabelledRate(people, effective_interval(people, n, confidence), 0.0, n)
    rate = min(1.0, max(0.0, people + weight * (found.others_passed / others - judge)))
    tail = (1.0 + confidence) / 2.0
    size = min(float(n + others), spread / variance)
    size *= (NormalDist().inv_cdf(tail) / t_quantile(tail, n - 1)) ** 2
    return LabelledRate(rate, effective_interval(rate, max(size, 1.0), confidence), weight, n)


def _weight_variance_spread(found: LabelledAnswers) -> tuple[float, float, float]:
    """Lambda, the variance of the estimate (the labels' residuals, and the judge on the others), that of one label.

    All have the half counts, so that the ratio of the last two is a number of labels even if all labels agree.
    """
    cells = (found.both_pass, found.people_only, found.judge_only, found.neither)
    both, people_only, judge_only, _ = (count + HALF for count in cells)
    n = found.labels + 4 * HALF
    people, judge = (both + people_only) / n, (both + judge_only) / n
    weight = 0.0
    if found.others:
        covariance = both / n - people * judge
        weight = covariance / ((1.0 + n / found.others) * judge * (1.0 - judge))
    mean = people - weight * judge
    square = (both * (1.0 - weight) ** 2 + people_only + judge_only * weight**2) / n
    residual = (square - mean * mean) * n / (n - 1.0)
    passed = (found.others_passed + both + judge_only) / (found.others + n)
    on_others = weight**2 * passed * (1.0 - passed) / found.others if found.others else 0.0
    return weight, (residual / n + on_others) * n / found.labels, people * (1.0 - people)
