"""What a pass is worth, in words: how likely it was by luck, and which pass rate it shows."""

from __future__ import annotations

import math

from tunegate.stats.luck import SHOWN_WITH, LuckyPass
from tunegate.verdicts.words import probability


def in_words(luck: LuckyPass) -> str:
    """Both for the report, without the full stop."""
    attempts = "one attempt" if luck.attempts == 1 else f"{luck.attempts} attempts"
    judge = "" if luck.at_most is None else f" (up to {probability(luck.at_most)} by the judge's error rates)"
    of_all = ""
    if luck.limit > luck.attempts:
        of_all = f", within all {luck.limit} allowed with {probability(luck.within_limit)}"
    worth = "" if luck.independent is None else f"; its cases count as {luck.independent:.1f} independent ones"
    shows = "" if luck.shows is None else f"; {_shows(luck.shows, luck.shows_at_least)}"
    return (
        f"a model that is right only {100 * luck.at:g}% of the time would have passed this gate "
        f"within {attempts} with probability {probability(luck.so_far)}{judge}{of_all}{worth}{shows}"
    )


def _shows(rate: float, at_least: float | None) -> str:
    """`this PASS shows a pass rate above 83.6 %: a model below would have passed with at most 5 %`"""
    if not rate:
        return "this PASS shows no pass rate, because the judge errs too much"
    judge = "" if at_least is None else f" (above {_percent(at_least)} by the judge's error rates)"
    if at_least == 0.0:
        judge = " (no rate at all by the judge's error rates)"
    return (
        f"this PASS shows a pass rate above {_percent(rate)}{judge}: "
        f"a model below would have passed with at most {100 * SHOWN_WITH:g} %"
    )


def _percent(rate: float) -> str:
    """Rounded down, so that no more is claimed than was shown."""
    return f"{math.floor(1000 * rate) / 10:.1f} %"
