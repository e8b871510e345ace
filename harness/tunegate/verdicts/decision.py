"""A draw's verdict by its plan alone: counts the outcomes and compares them with the accept number. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.stats.sampling import DrawPlan, SinglePlan, exact_interval, stopped_interval


@dataclass(frozen=True, slots=True)
class Decision:
    """A gate's verdict with its counts.

    `passed`, `failed`, `invalid` and `spared` sum to `drawn`: what the plan registered, always. `spared` are the
    cases that need not be asked any more when the verdict stood; `asked` is the rest.
    """

    verdict: Verdict
    reason: str
    drawn: int
    accept: int
    asked: int
    passed: int
    failed: int
    invalid: int
    spared: int
    interval: tuple[float, float]
    error_categories: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a draw came to its verdict: after `asked` cases. `over` names error categories above their caps."""

    verdict: Verdict
    asked: int
    misses: int
    over: str = ""


def find_stop(plan: DrawPlan, outcomes: Sequence[Outcome], max_errors: Mapping[str, int] | None = None) -> Stop | None:
    """The first case, in draw order, after which no answer to a later one could change the verdict; else None.

    FAIL when the plan rejects, or an error category stands in more cases than its cap. A case that was not judged
    counts as neither: it could have been a pass, so it never helps to reject, and never lets the plan accept: INVALID.
    """
    misses = unjudged = 0
    categories: Counter[str] = Counter()
    for asked, outcome in enumerate(outcomes, start=1):
        misses += outcome.verdict is Verdict.FAIL
        unjudged += outcome.verdict not in (Verdict.PASS, Verdict.FAIL)
        accept_up_to, reject_from = plan.limits(asked)
        if max_errors:
            categories.update(outcome.error_categories)
        over = _over(categories, max_errors or {})
        if misses >= reject_from or over:
            return Stop(Verdict.FAIL, asked, misses, over if misses < reject_from else "")
        if misses <= accept_up_to:
            return Stop(Verdict.INVALID if unjudged else Verdict.PASS, asked, misses)
    return None


def decide(
    plan: DrawPlan, outcomes: Sequence[Outcome], max_errors: Mapping[str, int] | None = None, curtail: bool = False
) -> Decision:
    """Decide a gate from the outcomes of its draw, in draw order.

    PASS only when the plan accepts and every case up to there was judged. A registered case without an outcome is
    INVALID, unless the verdict stood before its turn. `max_errors` caps, per error category, the number of cases that
    show it. With `curtail` only the cases up to the verdict count; else a single plan counts all that were asked.
    """
    matching = len({outcome.case_id for outcome in outcomes}) == len(outcomes) <= plan.draw
    stop = find_stop(plan, outcomes, max_errors) if matching else None
    if stop is not None and (curtail or not isinstance(plan, SinglePlan)):
        outcomes = outcomes[: stop.asked]
    counts = Counter(outcome.verdict for outcome in outcomes if matching)
    passed, failed = counts[Verdict.PASS], counts[Verdict.FAIL]
    spared = 0 if stop is None else plan.draw - len(outcomes)
    unjudged = plan.draw - spared - passed - failed
    categories = Counter(category for outcome in outcomes for category in outcome.error_categories)

    if not matching:
        verdict, reason = Verdict.INVALID, f"{len(outcomes)} outcomes do not match the {plan.draw} registered cases"
    elif stop is None or stop.verdict is Verdict.INVALID:
        verdict = Verdict.INVALID
        reason = f"{unjudged} of {plan.draw} not judged, {passed} passed, {plan.accept} needed"
    else:
        verdict = stop.verdict
        reason = _over(categories, max_errors or {}) if stop.over else _in_words(plan, passed, failed, spared)
    return Decision(
        verdict=verdict,
        reason=reason,
        drawn=plan.draw,
        accept=plan.accept,
        asked=plan.draw - spared,
        passed=passed,
        failed=failed,
        invalid=unjudged,
        spared=spared,
        interval=_interval(plan, stop, outcomes if matching else (), plan.draw - spared),
        error_categories=dict(sorted(categories.items())),
    )


def _over(categories: Mapping[str, int], max_errors: Mapping[str, int]) -> str:
    return "; ".join(
        f"{category} in {categories[category]} cases, {cap} allowed"
        for category, cap in sorted(max_errors.items())
        if categories.get(category, 0) > cap
    )


def _in_words(plan: DrawPlan, passed: int, failed: int, spared: int) -> str:
    if not spared:
        return f"{passed} of {plan.draw}, {plan.accept} needed"
    if isinstance(plan, SinglePlan):
        return f"{failed} of {passed + failed} missed, {plan.draw - plan.accept} of {plan.draw} allowed"
    return f"{failed} of {passed + failed} missed, which settled it; at most {plan.draw} would have been asked"


def _interval(plan: DrawPlan, stop: Stop | None, counted: Sequence[Outcome], asked: int) -> tuple[float, float]:
    """From the low end if every case that was not judged had been missed to the high end if every one had passed."""
    passed = sum(outcome.verdict is Verdict.PASS for outcome in counted)
    failed = sum(outcome.verdict is Verdict.FAIL for outcome in counted)
    if stop is not None and not stop.over and (asked < plan.draw or not isinstance(plan, SinglePlan)):
        # Exact for where the draw stopped. A sequential plan could have stopped sooner even when it ran to its cap.
        low, high = stopped_interval(plan, stop.asked, stop.misses)
        asked, misses = _worst_end(plan, counted[: stop.asked])
        return (low if (asked, misses) == (stop.asked, stop.misses) else stopped_interval(plan, asked, misses)[0]), high
    # A stop for an error category is none of the plan's ends, and says nothing of the rate: that of what was asked.
    return exact_interval(passed, asked)[0], exact_interval(asked - failed, asked)[1]


def _worst_end(plan: DrawPlan, counted: Sequence[Outcome]) -> tuple[int, int]:
    """(asked, misses) where the draw would have ended, had every case been missed that was not judged or not asked."""
    misses = 0
    for asked in range(1, plan.draw + 1):
        misses += asked > len(counted) or counted[asked - 1].verdict is not Verdict.PASS
        accept_up_to, reject_from = plan.limits(asked)
        if not accept_up_to < misses < reject_from:
            return asked, misses
    raise AssertionError("the limits of a plan leave no gap at its last case")
