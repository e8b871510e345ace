"""A gate: outcomes and a sampling plan in, a verdict out. Pure; nothing here touches a file, a model or a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunegate.outcomes import Outcome, Verdict
from tunegate.sampling import SinglePlan, exact_interval


@dataclass(frozen=True, slots=True)
class Decision:
    """A gate's verdict with its counts, which sum to `drawn`: what the plan registered, always."""

    verdict: Verdict
    reason: str
    drawn: int
    accept: int
    passed: int
    failed: int
    invalid: int
    interval: tuple[float, float]
    error_categories: Mapping[str, int] = field(default_factory=dict[str, int])


def decide(plan: SinglePlan, outcomes: Sequence[Outcome], max_errors: Mapping[str, int] | None = None) -> Decision:
    """Decide a gate.

    FAIL when more cases missed than the plan allows, or an error category stands in more cases than its cap: then no
    answer to an open question could change the verdict. Else INVALID when any registered case was not judged, be it
    missing, twice there or INVALID. PASS only when every registered case was judged and enough of them passed.

    `max_errors` caps, per error category, the number of cases that show it.
    """
    matching = len({outcome.case_id for outcome in outcomes}) == len(outcomes) <= plan.draw
    counts = Counter(outcome.verdict for outcome in outcomes if matching)
    passed, failed = counts[Verdict.PASS], counts[Verdict.FAIL]
    unjudged = plan.draw - passed - failed
    categories = Counter(category for outcome in outcomes for category in {error.category for error in outcome.errors})
    over = [
        f"{category} in {categories[category]} cases, {cap} allowed"
        for category, cap in sorted((max_errors or {}).items())
        if categories[category] > cap
    ]

    if not matching:
        verdict, reason = Verdict.INVALID, f"{len(outcomes)} outcomes do not match the {plan.draw} registered cases"
    elif failed > plan.allowed_misses:
        verdict, reason = Verdict.FAIL, f"{passed} of {plan.draw}, {plan.accept} needed"
    elif over:
        verdict, reason = Verdict.FAIL, "; ".join(over)
    elif unjudged:
        verdict = Verdict.INVALID
        reason = f"{unjudged} of {plan.draw} not judged, {passed} passed, {plan.accept} needed"
    else:
        verdict, reason = Verdict.PASS, f"{passed} of {plan.draw}, {plan.accept} needed"

    return Decision(
        verdict=verdict,
        reason=reason,
        drawn=plan.draw,
        accept=plan.accept,
        passed=passed,
        failed=failed,
        invalid=unjudged,
        interval=exact_interval(passed, plan.draw),
        error_categories=dict(sorted(categories.items())),
    )
