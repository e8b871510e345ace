"""A draw's verdict by its plan alone: count the outcomes and compare them with the accept number. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.stats.anytime import AnytimePlan, anytime_interval
from tunegate.stats.sampling import DrawPlan, SinglePlan, exact_interval, stopped_interval
from tunegate.verdicts.diversity import DiversityFigure
from tunegate.verdicts.reason import Reason, because
from tunegate.verdicts.words import sentence


@dataclass(frozen=True, slots=True)
class Decision:
    """A gate's verdict with its counts.

    `passed`, `failed`, `invalid` and `spared` always sum to `drawn`, the registered number. `spared` are the cases
    that were not needed after the verdict was certain; `asked` is the rest. `diversity` are the figures that a rule on
    it was applied to.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...]
    drawn: int
    accept: int
    asked: int
    passed: int
    failed: int
    invalid: int
    spared: int
    interval: tuple[float, float]
    error_categories: Mapping[str, int] = field(default_factory=dict[str, int])
    diversity: tuple[DiversityFigure, ...] = ()

    @property
    def reason(self) -> str:
        """The reasons in words."""
        return sentence(self.reasons)


@dataclass(frozen=True, slots=True)
class Stop:
    """The point at which a draw was decided: after `asked` cases. `over` are the error categories above their caps."""

    verdict: Verdict
    asked: int
    misses: int
    over: tuple[Reason, ...] = ()


def find_stop(plan: DrawPlan, outcomes: Sequence[Outcome], max_errors: Mapping[str, int] | None = None) -> Stop | None:
    """The first case, in draw order, after which no later answer could change the verdict; None if there is none.

    FAIL when the plan rejects, or when more cases show an error category than its cap allows. A case that was not
    judged counts as neither: it could have passed, so it never helps to reject; and it never lets the plan accept,
    which makes the verdict INVALID. So does a plan that may be continued, at its cap; without such a case, a cap that
    decides nothing is INCONCLUSIVE.
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
            if not over and isinstance(plan, AnytimePlan) and misses < plan.rejection(asked):
                return Stop(Verdict.INVALID if unjudged else Verdict.INCONCLUSIVE, asked, misses)
            return Stop(Verdict.FAIL, asked, misses, over if misses < reject_from else ())
        if misses <= accept_up_to:
            return Stop(Verdict.INVALID if unjudged else Verdict.PASS, asked, misses)
    return None


def decide(
    plan: DrawPlan, outcomes: Sequence[Outcome], max_errors: Mapping[str, int] | None = None, curtail: bool = False
) -> Decision:
    """Decide a gate from the outcomes of its draw, in draw order.

    PASS only when the plan accepts and every case up to that point was judged. INCONCLUSIVE, not INVALID, if only
    people's labels are missing. A registered case without an outcome is INVALID, unless the verdict was certain before
    its turn. `max_errors` caps, per error category, the number of cases that show it. With `curtail` only the cases up
    to the verdict count; without it, a single plan counts all asked cases.
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
        verdict, reasons = Verdict.INVALID, (because("mismatch", outcomes=len(outcomes), drawn=plan.draw),)
    elif stop is None or stop.verdict is Verdict.INVALID:
        facts = {"drawn": plan.draw, "passed": passed, "needed": plan.accept}
        if unjudged == sum(outcome.awaits_label for outcome in outcomes):
            verdict, reasons = Verdict.INCONCLUSIVE, (because("unlabelled", missing=unjudged, **facts),)
        else:
            verdict, reasons = Verdict.INVALID, (because("not_judged", not_judged=unjudged, **facts),)
    else:
        verdict = stop.verdict
        reasons = _over(categories, max_errors or {}) if stop.over else (_count(plan, passed, failed, spared),)
    return Decision(
        verdict=verdict,
        reasons=reasons,
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


def _over(categories: Mapping[str, int], max_errors: Mapping[str, int]) -> tuple[Reason, ...]:
    return tuple(
        because("errors_over", category=category, cases=categories[category], allowed=cap)
        for category, cap in sorted(max_errors.items())
        if categories.get(category, 0) > cap
    )


def _count(plan: DrawPlan, passed: int, failed: int, spared: int) -> Reason:
    if isinstance(plan, AnytimePlan):
        return _by_betting(plan, passed + failed, failed)
    if not spared:
        return because("count", passed=passed, drawn=plan.draw, needed=plan.accept)
    asked = passed + failed
    if isinstance(plan, SinglePlan):
        return because("stopped", missed=failed, asked=asked, allowed=plan.draw - plan.accept, drawn=plan.draw)
    return because("settled", missed=failed, asked=asked, drawn=plan.draw)


def _by_betting(plan: AnytimePlan, asked: int, missed: int) -> Reason:
    """What a plan that may be continued made of the misses."""
    facts = {"missed": missed, "asked": asked, "drawn": plan.draw}
    if missed <= plan.limits(asked)[0] or missed >= plan.rejection(asked):
        return because("settled", **facts)
    evidence = {"evidence": float(f"{plan.evidence(asked, missed):.3g}"), "needed": float(f"{plan.accept_at:.6g}")}
    return because("undecided", **facts, at=plan.at, **evidence)


def _interval(plan: DrawPlan, stop: Stop | None, counted: Sequence[Outcome], asked: int) -> tuple[float, float]:
    """The low end if every case that was not judged had failed, and the high end if every one had passed."""
    passed = sum(outcome.verdict is Verdict.PASS for outcome in counted)
    failed = sum(outcome.verdict is Verdict.FAIL for outcome in counted)
    if isinstance(plan, AnytimePlan):  # holds after every case at once, so also after a draw that was continued
        return anytime_interval(passed, asked - passed)[0], anytime_interval(asked - failed, failed)[1]
    if stop is not None and not stop.over and (asked < plan.draw or not isinstance(plan, SinglePlan)):
        # Exact for the stopping point. A sequential plan could have stopped earlier even when it ran to its cap.
        low, high = stopped_interval(plan, stop.asked, stop.misses)
        asked, misses = _worst_end(plan, counted[: stop.asked])
        return (low if (asked, misses) == (stop.asked, stop.misses) else stopped_interval(plan, asked, misses)[0]), high
    # A stop for an error category is not an ending of the plan and says nothing about the rate: use the asked cases.
    return exact_interval(passed, asked)[0], exact_interval(asked - failed, asked)[1]


def _worst_end(plan: DrawPlan, counted: Sequence[Outcome]) -> tuple[int, int]:
    """(asked, misses) at which the draw would have ended if every case that was not judged or not asked had failed."""
    misses = 0
    for asked in range(1, plan.draw + 1):
        misses += asked > len(counted) or counted[asked - 1].verdict is not Verdict.PASS
        accept_up_to, reject_from = plan.limits(asked)
        if not accept_up_to < misses < reject_from:
            return asked, misses
    raise AssertionError("the limits of a plan leave no gap at its last case")
