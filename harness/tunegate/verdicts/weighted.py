"""The pass rate of a draw with the kinds of cases in other shares than the draw's, such as those of production. Pure.

It is shown and decides nothing: the plan's risks are for a count of cases that weigh the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunegate.cases.case import Case
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.stats.clustered import effective_size
from tunegate.stats.stratified import StratifiedRate, Stratum, stratified_rate
from tunegate.verdicts.grouped import by_group

SUM_TOLERANCE = 1e-6


def weighted_rate(weight: Mapping[str, float], outcomes: Sequence[Outcome]) -> StratifiedRate | None:
    """The weighted pass rate; None without weights, if a tag has no case, or if a case was not judged.

    Several cases of a group widen the interval as they do that of the plain rate.
    """
    if not weight or any(outcome.verdict not in (Verdict.PASS, Verdict.FAIL) for outcome in outcomes):
        return None
    groups = by_group(outcomes, Verdict.PASS)
    worth = effective_size(groups) / len(outcomes) if len(groups) < len(outcomes) else None
    return stratified_rate([_stratum(tag, share, outcomes, worth) for tag, share in weight.items()])


def _stratum(tag: str, share: float, outcomes: Sequence[Outcome], worth: float | None) -> Stratum:
    verdicts = [outcome.verdict for outcome in outcomes if tag in outcome.tags]
    passed, cases = verdicts.count(Verdict.PASS), len(verdicts)
    return Stratum(passed, cases, share, None if worth is None else worth * cases)


def fault_of_weights(weight: Mapping[str, float], cases: Sequence[Case]) -> str | None:
    """Why these shares cannot weigh the cases; None if they can."""
    if not weight:
        return None
    if abs((total := sum(weight.values())) - 1.0) > SUM_TOLERANCE:
        return f"the shares must sum to 1, got {total:g}"
    for case in cases:
        if (number := sum(tag in case.tags for tag in weight)) != 1:
            return (
                f"every case needs exactly one of the tags {', '.join(weight)}, but case {case.id!r} has {number}; its "
                f"tags are: {', '.join(case.tags) or 'none'}"
            )
    absent = next((tag for tag in weight if not any(tag in case.tags for case in cases)), None)
    return None if absent is None else f"no case has the tag {absent}; leave it out, or add such cases"
