"""Solves a plan that may be continued: the smallest cap that accepts a good model as often as promised. Pure."""

from __future__ import annotations

import math

from tunegate.exceptions import ConfigError
from tunegate.stats.anytime import AnytimePlan
from tunegate.stats.sampling import endings, independent

MOST = 2000
"""The largest cap that is tried."""


def solve_anytime(
    at: float, good: float, consumer: float, producer: float, attempts: int, draw: int | None = None
) -> AnytimePlan:
    """A plan for these rates and risks, with the given cap or the smallest that accepts a good model with 1 - producer.

    The consumer's risk is shared by the attempts (Bonferroni): each accepts a model with pass rate `at` with at most
    consumer / attempts, however long it goes on. A good model is rejected with at most half of the producer's risk,
    however long it goes on; the other half is for a draw that is undecided at its cap.
    """
    if draw is not None and draw > MOST:
        raise ConfigError(f"a draw of {draw} cases is too large to compute a plan for; draw at most {MOST}")
    accept_at, reject_at = attempts / consumer, 2.0 / producer
    if draw is not None:
        return AnytimePlan(draw, at, good, accept_at, reject_at)
    accepted: list[float] = []
    for end in endings(AnytimePlan(MOST, at, good, accept_at, reject_at), independent(good)):
        accepted.append(end.probability if end.accepted and end.asked < MOST else 0.0)
        if math.fsum(accepted) >= 1.0 - producer:
            return AnytimePlan(end.asked, at, good, accept_at, reject_at)
    raise ConfigError(
        f"no cap of up to {MOST} cases accepts a model at {good} with probability {1.0 - producer:g}; allow more risk "
        "or fewer attempts, or give `draw` and continue undecided gates"
    )
