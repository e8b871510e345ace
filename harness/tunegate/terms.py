"""The terms of a draw: everything that turns its outcomes into a verdict, registered before the first answer. Pure.

One function decides every draw, whether it is being run or read back from a record years later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from tunegate.comparison import Comparison, compare
from tunegate.decision import Decision, decide
from tunegate.outcomes import Outcome, Verdict
from tunegate.sampling import DrawPlan, SinglePlan, plan_from_json
from tunegate.slices import SliceRule, judge_slices

Purpose = Literal["gate", "confirm", "baseline", "retention"]
"""Why a suite is asked: to decide an attempt, to confirm its pass on sealed cases, to know what the base model can do,
or to see what a stage forgot of what an earlier model could."""


@dataclass(frozen=True, slots=True)
class Terms:
    """`slices` are minima per tag. `max_drop` is what a retention draw may lose against the outcomes before it, in
    percentage points. The rest is as in `decide`."""

    plan: DrawPlan
    purpose: Purpose = "gate"
    curtail: bool = False
    max_errors: Mapping[str, int] = field(default_factory=dict[str, int])
    slices: Mapping[str, SliceRule] = field(default_factory=dict[str, SliceRule])
    max_drop: float | None = None

    @property
    def may_stop(self) -> bool:
        """Whether the draw may end before its last case."""
        return self.curtail or not isinstance(self.plan, SinglePlan)

    def to_json(self) -> dict[str, Any]:
        """For the record; `terms_from_json` is the inverse."""
        return {
            "plan": asdict(self.plan),  # pyright: ignore[reportArgumentType]  # every plan is a dataclass
            "purpose": self.purpose,
            "curtail": self.curtail,
            "max_errors": dict(self.max_errors),
            "slices": {tag: asdict(rule) for tag, rule in self.slices.items()},
            "max_drop": self.max_drop,
        }


def terms_from_json(data: Mapping[str, Any]) -> Terms:
    """The terms that a record holds; raises TypeError, KeyError or ValueError for anything else."""
    rules = {tag: SliceRule(**rule) for tag, rule in data["slices"].items()}
    plan = plan_from_json(data["plan"])
    return Terms(plan, data["purpose"], data["curtail"], data["max_errors"], rules, data["max_drop"])


def conclude(terms: Terms, outcomes: Sequence[Outcome], before: Sequence[Outcome] = ()) -> Decision:
    """The decision on a draw from its outcomes, in draw order; for a retention draw, `before` are the earlier model's.

    baseline: nothing to decide; INVALID when a case was not judged. retention: the paired comparison decides. gate and
    confirm: the plan decides, and a pass must hold in every slice that has a minimum.
    """
    decision = decide(terms.plan, outcomes, terms.max_errors, terms.curtail)
    match terms.purpose:
        case "baseline":
            verdict = Verdict.INVALID if decision.invalid else Verdict.PASS
            return replace(decision, verdict=verdict, reason=f"measured: {decision.passed} of {decision.drawn}")
        case "retention":
            comparison = compared(terms, outcomes, before)
            return replace(decision, verdict=comparison.verdict, reason=comparison.reason)
        case "gate" | "confirm":
            if decision.verdict is not Verdict.PASS or not terms.slices:
                return decision
            held = judge_slices(outcomes, terms.slices)
            if held.verdict is Verdict.PASS:
                return decision
            return replace(decision, verdict=held.verdict, reason=f"{decision.reason}; slice {held.reason}")


def compared(terms: Terms, outcomes: Sequence[Outcome], before: Sequence[Outcome]) -> Comparison:
    """The paired comparison of a retention draw."""
    return compare(before, outcomes, 0.0 if terms.max_drop is None else terms.max_drop)
