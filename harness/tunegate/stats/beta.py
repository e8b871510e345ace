"""The beta distribution, and Student's t by way of it: quantiles for intervals of counts that are not whole.

Source: the continued fraction of the incomplete beta function by Lentz's method, W. H. Press et al., Numerical
Recipes, 3rd edition (2007), section 6.4; tests compare it with scipy.
"""

from __future__ import annotations

import math
from functools import lru_cache

from tunegate.stats.binomial import solve_increasing

TINY = 1e-300


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for a and b above 0."""
    if not 0.0 < x < 1.0:
        return 0.0 if x <= 0.0 else 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x > (a + 1.0) / (a + b + 2.0):  # the fraction converges fast below the mean only
        return 1.0 - math.exp(log_front) * _fraction(1.0 - x, b, a) / b
    return math.exp(log_front) * _fraction(x, a, b) / a


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = `probability`."""
    return solve_increasing(lambda x: beta_cdf(x, a, b) - probability, steps=60)


@lru_cache(256)
def t_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t with `freedom` degrees of freedom, for a probability of at least 0.5.

    Example:
        >>> from tunegate.stats.beta import t_quantile
        >>> round(t_quantile(0.975, 49), 3)
        2.01
    """
    x = beta_quantile(2.0 * (1.0 - probability), freedom / 2.0, 0.5)
    return math.sqrt(freedom * (1.0 - x) / x)


def effective_interval(rate: float, size: float, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper's and Pearson's interval for a rate that was found on an effective number of cases, whole or not.

    Source: E. L. Korn, B. I. Graubard, Survey Methodology 24 (1998) 193-201.
    """
    tail, passed = (1.0 - confidence) / 2.0, rate * size
    low = beta_quantile(tail, passed, size - passed + 1.0) if passed > 0.0 else 0.0
    high = beta_quantile(1.0 - tail, passed + 1.0, size - passed) if passed < size else 1.0
    return low, high


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz's evaluation of the continued fraction."""
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1.0 / _not_zero(1.0 + step * d)
            c = _not_zero(1.0 + step / c)
            value *= c * d
        if abs(c * d - 1.0) < 1e-13:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
