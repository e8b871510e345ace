"""Comparing two pass rates: on the same cases before and after, or on two groups of cases. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

from tunegate.stats.agreement import Share
from tunegate.stats.binomial import binomial_tail, solve_increasing

Interval = tuple[float, float]


_TINY = 1e-9  # 0.7 * 100 is not quite 70


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """How many cases both models passed (`both`), neither passed, or only one passed (`lost`, `won`)."""

    both: int
    lost: int
    won: int
    neither: int

    @property
    def n(self) -> int:
        return self.both + self.lost + self.won + self.neither

    @property
    def before(self) -> float:
        """The pass rate before."""
        return (self.both + self.lost) / self.n

    @property
    def after(self) -> float:
        """The pass rate now."""
        return (self.both + self.won) / self.n

    @property
    def drop(self) -> float:
        """Before minus after, in percentage points; negative for a gain."""
        return 100.0 * (self.lost - self.won) / self.n

    @property
    def p_value(self) -> float:
        """McNemar's test, exact, two-sided, of the hypothesis that cases are lost as often as won."""
        differ = self.lost + self.won
        return min(1.0, 2.0 * binomial_tail(max(self.lost, self.won), differ, 0.5)) if differ else 1.0

    @property
    def mid_p(self) -> float:
        """McNemar's test with the mid-p value: half of the observed numbers' chance counts on each side.

        Less strict than `p_value`, whose true level is far below the nominal level (M. Fagerland, S. Lydersen, P.
        Laake, BMC Medical Research Methodology 13 (2013) 91).
        """
        differ, more = self.lost + self.won, max(self.lost, self.won)
        beyond = binomial_tail(more + 1, differ, 0.5) + binomial_tail(more, differ, 0.5)
        return min(1.0, beyond) if differ else 1.0

    @property
    def drop_interval(self) -> Interval:
        """95 % interval of the drop, in percentage points (Tango's score interval)."""
        low, high = paired_interval(self.lost, self.won, self.n)
        return 100.0 * low, 100.0 * high


def is_forgotten(net_loss: int, n: int, max_drop: float) -> bool:
    return 100.0 * net_loss > max_drop * n + _TINY


def forgetting_caught(n: int, max_drop: float, drop: float, differ: float) -> float:
    """The chance that `compare` gives FAIL for a model that truly lost `drop` points, on `n` cases.

    `differ` is the share of cases on which the two models differ, at least `drop` / 100. Exact: the numbers of lost and
    won cases are multinomial.
    """
    return _chance(n, drop, differ, lambda lost, won: is_forgotten(lost - won, n, max_drop))


def retention_shown(n: int, max_drop: float, drop: float, differ: float) -> float:
    """The chance that `compare` gives a PASS that is shown; arguments as for `forgetting_caught`."""
    reach = NormalDist().inv_cdf(0.975)

    def shown(lost: int, won: int) -> bool:
        return _score(lost, won, n, max_drop / 100.0) <= -reach and not is_forgotten(lost - won, n, max_drop)

    return _chance(n, drop, differ, shown)


def _chance(n: int, drop: float, differ: float, event: Callable[[int, int], bool]) -> float:
    if not abs(drop) / 100.0 <= differ + _TINY <= 1.0 + 2 * _TINY:
        raise ValueError(f"`differ` must be at least {abs(drop) / 100:g} and at most 1, got {differ}")
    lose, win = (differ + drop / 100.0) / 2.0, (differ - drop / 100.0) / 2.0
    return min(1.0, math.fsum(chance for lost, won, chance in _trinomial(n, lose, win) if event(lost, won)))


def _trinomial(n: int, lose: float, win: float) -> Iterator[tuple[int, int, float]]:
    """Every (lost, won) with its probability."""
    logs = [math.log(share) if share > 0.0 else -math.inf for share in (lose, win, 1.0 - lose - win)]
    for lost in range(n + 1):
        for won in range(n + 1 - lost):
            counts = (lost, won, n - lost - won)
            terms = [count * log for count, log in zip(counts, logs, strict=True) if count]
            ways = math.lgamma(n + 1) - math.fsum(math.lgamma(count + 1) for count in counts)
            yield lost, won, math.exp(ways + math.fsum(terms))


def paired_interval(more: int, less: int, n: int, confidence: float = 0.95) -> Interval:
    """Tango's score interval of `(more - less) / n`, from the discordant counts of `n` pairs.

    Never outside [-1, 1]; its width is above 0 even when the two agree on every case.
    """
    reach = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    low = solve_increasing(lambda x: reach - _score(more, less, n, 2.0 * x - 1.0))
    high = solve_increasing(lambda x: -reach - _score(more, less, n, 2.0 * x - 1.0))
    return 2.0 * low - 1.0, 2.0 * high - 1.0


def _score(more: int, less: int, n: int, difference: float) -> float:
    """Tango's statistic, standard normal when the true difference is `difference`; decreasing in `difference`."""
    b = -more - less + (2.0 * n - more + less) * difference
    c = -less * difference * (1.0 - difference)
    share_less = (math.sqrt(max(0.0, b * b - 8.0 * n * c)) - b) / (4.0 * n)
    variance = n * (2.0 * share_less + difference * (1.0 - difference))
    excess = more - less - n * difference
    return excess / math.sqrt(variance) if variance > 1e-12 else math.copysign(math.inf, excess) if excess else 0.0


def wilson_interval(share: Share, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a rate; (0, 1) without cases."""
    if share.rate is None:
        return 0.0, 1.0
    z2, n, rate = NormalDist().inv_cdf((1.0 + confidence) / 2.0) ** 2, share.of, share.rate
    middle, reach = rate + z2 / (2 * n), math.sqrt(z2 * (rate * (1.0 - rate) / n + z2 / (4 * n * n)))
    low, high = (middle - reach) / (1.0 + z2 / n), (middle + reach) / (1.0 + z2 / n)
    return (0.0 if share.count == 0 else low), (1.0 if share.count == n else high)


def gap_interval(first: Share, second: Share, confidence: float = 0.95) -> Interval:
    """The interval of the first rate minus the second, on different cases: Newcombe's hybrid score, his method 10."""
    if first.rate is None or second.rate is None:
        return -1.0, 1.0
    (low1, high1), (low2, high2) = wilson_interval(first, confidence), wilson_interval(second, confidence)
    gap = first.rate - second.rate
    below = math.hypot(first.rate - low1, high2 - second.rate)
    above = math.hypot(high1 - first.rate, second.rate - low2)
    return gap - below, gap + above
