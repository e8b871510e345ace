"""What the slices and the gap of a suite cost a model that is equally good everywhere: the chance of failing them."""

from __future__ import annotations

from dataclasses import dataclass

from tunegate.cases.case import Case
from tunegate.stats.plans import Risk
from tunegate.stats.requirements import any_failed, gap_failed, slice_failed
from tunegate.suites.suite import Suite


@dataclass(frozen=True, slots=True)
class RequirementsCost:
    """The chance that a model with pass rate `good` fails at least one of the `slices`, and the chance that it fails
    the gap between the groups; None without the rule. Both assume that no case is in two of them."""

    good: float
    slices: int
    slices_fail: float | None
    gap_fails: float | None

    @property
    def in_words(self) -> str:
        """One line for `tunegate check`."""
        which = "its slice" if self.slices == 1 else f"at least one of its {self.slices} slices"
        parts = [
            f"{which} with probability {self.slices_fail:.3f}" if self.slices_fail is not None else "",
            f"its gap with probability {self.gap_fails:.3f}" if self.gap_fails is not None else "",
        ]
        told = " and ".join(filter(None, parts))
        return f"a model that is right {100 * self.good:g}% of the time on every kind of case fails {told}"


def requirements_cost(suite: Suite) -> RequirementsCost | None:
    """For one draw of a suite of its usual size; None if it has neither slices nor a gap."""
    if not suite.slices and suite.gap is None:
        return None
    plan = suite.plan
    good = (suite.rule.risk or Risk()).good
    seen = good if plan.judged is None else plan.judged.point.passes(good)
    cases = suite.bank.working
    chances = [
        slice_failed(rule.min, _size(cases, tag, rule.at_least, plan.draw), seen) for tag, rule in suite.slices.items()
    ]
    gap_fails = None
    if suite.gap is not None:
        sizes = [_size(cases, tag, suite.gap.at_least, plan.draw) for tag in suite.gap.between]
        gap_fails = gap_failed(suite.gap.max, len(sizes), min(sizes), seen)
    return RequirementsCost(good, len(chances), any_failed(chances) if chances else None, gap_fails)


def _size(cases: tuple[Case, ...], tag: str, at_least: int, draw: int) -> int:
    """About how many cases of a tag a draw holds: its share of the bank, or its quota if that is more."""
    share = sum(tag in case.tags for case in cases) / len(cases)
    return max(at_least, round(draw * share), 1)
