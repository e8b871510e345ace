"""How many independent cases a draw is worth when several of its cases are of one group: the effective sample size.

Answers to five spellings of one question go together: they tell less than five questions. The intra-class correlation
says how much they go together, and the design effect divides the number of cases.

Sources: L. Kish, Survey Sampling (1965), section 5.4 (design effect); ANOVA estimator and its F interval for groups of
unequal sizes: J. D. Thomas, R. A. Hultquist, Annals of Statistics 6 (1978) 582-587, and A. Donner, Biometrics 35 (1979)
for 0/1 outcomes; interval and chance at an effective size: Korn and Graubard, see `beta`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunegate.stats.beta import beta_cdf, beta_quantile

Group = tuple[int, int]
"""The cases of a group that passed, and all its cases."""
Values = tuple[float, float, int]
"""The sum and the sum of squares of the numbers in a group, and how many they are."""

FEWEST_WITH_MISSES = 2
"""With misses in fewer groups than this, the correlation is not estimated but taken as 1: a model may miss one whole
question, and be right by chance on all others."""
RISK = 0.05
"""The chance that the upper limit of the correlation is below the true one."""


@dataclass(frozen=True, slots=True)
class _Variances:
    """Mean squares between and within groups, and the mean size of a group in the ANOVA estimator."""

    between: float
    within: float
    size: float
    groups: int
    cases: int

    def correlation(self, ratio: float) -> float:
        """The correlation for this ratio of the mean squares."""
        if math.isinf(ratio):
            return 1.0
        return min(1.0, max(0.0, (ratio - 1.0) / (ratio + self.size - 1.0)))


def correlation(groups: Sequence[Group]) -> float | None:
    """The intra-class correlation of 0/1 outcomes: the ANOVA estimate, at least 0. None where nothing can be estimated:
    fewer than two groups, no group with two cases, or outcomes that are all the same.

    Example:
        >>> from tunegate.stats.clustered import correlation
        >>> correlation([(5, 5)] * 18 + [(0, 5)] * 2)
        1.0
    """
    found = _variances([(passed, passed, size) for passed, size in groups])
    return None if found is None else found.correlation(_ratio(found))


def correlation_of_values_at_most(groups: Sequence[Values], risk: float = RISK) -> float:
    """The same for numbers instead of 0/1 outcomes; 1 where nothing can be estimated."""
    found = _variances(groups)
    return 1.0 if found is None else _at_most(found, risk)


def correlation_at_most(groups: Sequence[Group], risk: float = RISK) -> float:
    """The upper limit of the correlation, which the true one exceeds with probability `risk`; 1 where little is known.

    Exact for normal outcomes. `tests/stats/test_clustered.py` shows what it does to the risk of a plan.
    """
    found = _variances([(passed, passed, size) for passed, size in groups])
    if found is None or sum(passed < size for passed, size in groups) < FEWEST_WITH_MISSES:
        return 1.0
    return _at_most(found, risk)


def design_effect(correlation: float, mates: float) -> float:
    """How many times larger the variance of a pass rate is when a case has `mates` others of its group in the draw.

    Example:
        >>> from tunegate.stats.clustered import design_effect, expected_mates
        >>> design_effect(1.0, expected_mates(size=5, draw=100, bank=100))
        5.0
    """
    return 1.0 + correlation * mates


def expected_mates(size: int, draw: int, bank: int) -> float:
    """The mean number of group-mates of a case in a simple random draw from a bank of groups of this size."""
    return (size - 1) * (draw - 1) / (bank - 1) if bank > 1 else 0.0


def mates(sizes: Sequence[int]) -> float:
    """The mean number of group-mates of a case in a draw that holds groups of these sizes."""
    return sum(size**2 for size in sizes) / sum(sizes) - 1.0


def effective_size(groups: Sequence[Group], risk: float = RISK) -> float:
    """The number of independent cases that a draw is worth at least, by the upper limit of the correlation."""
    sizes = [size for _, size in groups]
    return sum(sizes) / design_effect(correlation_at_most(groups, risk), mates(sizes))


def chance(rate: float, size: float, p: float) -> float:
    """The chance that a model with pass rate `p` reaches `rate` on an effective number of cases.

    For whole numbers it is the binomial tail; between them it is the beta distribution that continues it, the relation
    behind the interval of Clopper and Pearson.

    Example:
        >>> from tunegate.stats.clustered import chance
        >>> round(chance(0.9, 100, 0.85), 3), round(chance(0.9, 20, 0.85), 3)
        (0.099, 0.405)
    """
    passed = rate * size
    return 1.0 if passed <= 0.0 else beta_cdf(p, passed, size - passed + 1.0)


def needed_size(rate: float, p: float, allowed: float, most: int) -> int | None:
    """The fewest independent cases at which `rate` is reached by chance with at most `allowed`; None above `most`."""
    return next((size for size in range(1, most + 1) if chance(rate, size, p) <= allowed + 1e-12), None)


def f_quantile(probability: float, upper: int, lower: int) -> float:
    """The quantile of the F distribution, by way of the beta distribution."""
    x = beta_quantile(probability, upper / 2.0, lower / 2.0)
    return lower * x / (upper * (1.0 - x)) if x < 1.0 else math.inf


def grouped(names: Sequence[object], passed: Callable[[int], bool]) -> list[Group]:
    """The groups of cases: `names` gives the group of each, `passed` says of an index whether it passed."""
    counts: dict[object, tuple[int, int]] = {}
    for at, name in enumerate(names):
        good, of = counts.get(name, (0, 0))
        counts[name] = (good + passed(at), of + 1)
    return list(counts.values())


def _ratio(found: _Variances) -> float:
    return found.between / found.within if found.within > 0.0 else math.inf


def _at_most(found: _Variances, risk: float) -> float:
    least = f_quantile(risk, found.groups - 1, found.cases - found.groups)
    return found.correlation(math.inf if least == 0.0 else _ratio(found) / least)


def _variances(groups: Sequence[Values]) -> _Variances | None:
    """None where the groups say nothing of the correlation: two are needed, one of two cases, and values that vary."""
    number, cases = len(groups), sum(size for *_, size in groups)
    if number < 2 or number == cases:
        return None
    mean = math.fsum(total for total, *_ in groups) / cases
    squares = math.fsum(square for _, square, _ in groups)
    between = math.fsum(size * (total / size - mean) ** 2 for total, _, size in groups)
    within = max(0.0, squares - math.fsum(total * total / size for total, _, size in groups))
    if between + within <= 1e-12 * max(1.0, squares):
        return None
    size = (cases - sum(size**2 for *_, size in groups) / cases) / (number - 1)
    rest = within if within > 1e-12 * squares else 0.0
    return _Variances(between / (number - 1), rest / (cases - number), size, number, cases)
