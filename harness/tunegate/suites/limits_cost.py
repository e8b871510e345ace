"""What the limits of a suite cost, and whether this machine is quiet enough for limits in absolute time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tunegate.models.machine import NOISY, SLOW, repeat_share
from tunegate.verdicts.limits import TIMES, LimitRules


def notes_on_limits(rules: LimitRules | None, share_of_repeats: Callable[[], float] = repeat_share) -> Iterator[str]:
    """How many requests each gate sends, and a warning if a piece of work takes different times on this machine."""
    if rules is None or not rules.asks:
        return
    models = 2 if rules.against else 1
    sent = (rules.requests + rules.warmup) * models
    at_once = "one at a time" if rules.concurrency == 1 else f"{rules.concurrency} at once"
    both = ", half of them to the baseline" if rules.against else ""
    yield f"limits: a gate sends {sent} more requests, {at_once}, before it asks its questions{both}"
    absolute = [limit for limit in rules.limits if limit.name in TIMES and not limit.ratio]
    if absolute and (share := share_of_repeats()) >= NOISY:
        yield (
            f"limits: this machine is noisy: {share:.0%} of repeats of one piece of work took over {SLOW:g} times "
            "their median; a ratio is safer, since both models meet the same noise: "
            "`latency_ms: {p: 50, max_ratio: 1.2, baseline: MODEL}`"
        )
