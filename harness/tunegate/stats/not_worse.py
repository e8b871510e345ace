"""Whether paired cases show that a model is not worse than another by a margin: an exact test, without scipy.

The hypothesis is a true drop of at least the margin; the statistic is the net loss. The share of differing cases is not
known: the p-value is the largest over a confidence interval of that share, plus the chance that the interval misses it
(R. Berger, D. Boos, Journal of the American Statistical Association 89 (1994) 1012-1016). It needs no assumption on how
often the models differ, and where no pair differs, ten cases show nothing.
"""

from __future__ import annotations

import math

from tunegate.stats.binomial import binomial_tail, solve_increasing

LEVEL = 0.05
"""The chance that a model that is worse by the margin is taken for one that is not."""
MISSED = 0.005
"""The chance that the interval of the share of differing cases misses the true share; part of `LEVEL`."""
SHARES = 25
"""How many shares of the interval are tried."""
MOST_CASES = 100_000
MOST_MORE = 50_000
"""Beyond this number of cases nobody looks for more; each try takes up to a second there."""


def p_not_worse(lost: int, won: int, n: int, margin: float) -> float:
    """The exact p-value of a drop of at least `margin` (a share of the cases): small where the cases rule it out."""
    highest = max(margin, _highest_share(lost + won, n))
    step = (highest - margin) / (SHARES - 1)
    worst = max(_at_most(lost - won, n, margin, margin + step * i) for i in range(SHARES))
    return min(1.0, MISSED + worst)


def cases_to_show(margin: float) -> int | None:
    """The smallest number of cases that show it if no pair differs; None where no number does."""
    low, high = 1, 2
    while p_not_worse(0, 0, high, margin) > LEVEL:
        low, high = high, 2 * high
        if high > MOST_CASES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if p_not_worse(0, 0, middle, margin) <= LEVEL else (middle, high)
    return high


def more_cases_to_show(lost: int, won: int, n: int, margin: float) -> int | None:
    """About how many more cases would show it if the models went on to differ as often; None where no number up to
    `MOST_MORE` does, above all where the loss is the margin or more."""
    if lost - won >= margin * n:
        return None

    def shows(cases: int) -> bool:
        return p_not_worse(math.ceil(lost * cases / n), won * cases // n, cases, margin) <= LEVEL

    low, high = n, 2 * n
    while not shows(high):
        low, high = high, 2 * high
        if high > MOST_MORE:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high - n


def _highest_share(count: int, n: int) -> float:
    """The upper end of a one-sided interval of a share (Clopper and Pearson, Biometrika 26 (1934) 404-413)."""
    return 1.0 if count >= n else solve_increasing(lambda p: binomial_tail(count + 1, n, p) - (1.0 - MISSED))


def _at_most(net_loss: int, n: int, drop: float, differ: float) -> float:
    """The chance of at most this net loss; `differ` of the cases differ, a share (1 + drop / differ) / 2 of them is
    lost."""
    if differ <= 0.0:
        return float(net_loss >= 0)
    lost_share = min(1.0, (1.0 + drop / differ) / 2.0)
    reach = 8.0 * math.sqrt(n * differ) + 20.0
    chances = (
        _chance(k, n, differ) * (1.0 - binomial_tail((k + net_loss) // 2 + 1, k, lost_share))
        for k in range(max(0, -net_loss, int(n * differ - reach)), min(n, int(n * differ + reach)) + 1)
    )
    return min(1.0, max(0.0, math.fsum(chances)))


def _chance(k: int, n: int, p: float) -> float:
    if p >= 1.0:
        return float(k == n)
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log + k * math.log(p) + (n - k) * math.log1p(-p))
