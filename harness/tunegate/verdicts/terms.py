"""All rules of a draw (plan, slices, gap, judges, retention) in one value, and the verdict under all of them. Pure.

One function decides every draw, both while it runs and when it is read back from a record years later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypedDict, get_args

from tunegate.checks.outcome import CasePasses, Outcome, Verdict
from tunegate.models.timing import Measured
from tunegate.stats.anytime import AnytimePlan
from tunegate.stats.plans import ASK_AGAIN
from tunegate.stats.retention import KeptRule, RetentionRisk, Tier
from tunegate.stats.sampling import DrawPlan, SinglePlan, plan_from_json
from tunegate.verdicts.comparison import Comparison, compare, group_gap
from tunegate.verdicts.corrected import Admissions, short_of_corrected_min
from tunegate.verdicts.decision import Decision, decide
from tunegate.verdicts.diversity import DiversityFigure, DiversityRule, judge_diversity
from tunegate.verdicts.grouped import Independent, independent, widened
from tunegate.verdicts.limits import LimitRules, limit_rules_from_json, limit_rules_to_json, with_limits
from tunegate.verdicts.reason import Reason, awaits_labels, because
from tunegate.verdicts.slices import WORST, SliceRule, Undersized, judge_slices

Purpose = Literal["gate", "confirm", "baseline", "retention", "worth", "reference", "worth reference"]
"""Why a suite is asked: to decide an attempt, to confirm its pass on sealed cases, to measure the base model, to find
what a stage forgot compared with an earlier model, or to see whether it is better than a baseline; or to hear what that
earlier model or baseline answers to the same cases."""

NOT_ANYTIME = (
    "asking more cases after a look at the result breaks the risk of its plan; set `plan: {kind: anytime}` in the "
    "suite, and run the gate again"
)
"""Why a draw of another plan is not continued, and what to do."""
PAIRED: tuple[Purpose, ...] = ("retention", "worth")
"""The purposes of draws that ask the cases of another draw and are compared with it case by case."""
REFERENCE: Mapping[str, Purpose] = {"retention": "reference", "worth": "worth reference"}
"""The purpose of the draw with which a paired draw is compared: the same fresh cases, asked of the earlier model."""
REFERENCES: tuple[Purpose, ...] = tuple(REFERENCE.values())
MEASURED: tuple[Purpose, ...] = ("baseline", *REFERENCES)
"""The purposes of draws that have nothing to pass."""


@dataclass(frozen=True, slots=True)
class GapRule:
    """The largest gap allowed between the pass rates of groups, each named by a tag, in percentage points."""

    between: tuple[str, ...]
    max: float = 10.0
    at_least: int = 20


class Answering(TypedDict):
    """The terms for how often a question is asked, and how the answers to a case count."""

    ask_again: int
    samples: int
    case_passes: CasePasses


@dataclass(frozen=True, slots=True)
class Terms:
    """The rules of a draw. `slices` are minima per tag, `gap` compares groups, `admissions` says what is known about
    the judges among the checks, and which corrected pass rate each requires. `max_drop` is how many percentage points
    a retention draw may lose compared with the earlier outcomes. `ask_again` is how many times a question without an
    answer may be asked again. `case_passes` says which of its `samples` answers must pass for a case to pass. The other
    fields are as in `decide`."""

    plan: DrawPlan
    purpose: Purpose = "gate"
    curtail: bool = False
    max_errors: Mapping[str, int] = field(default_factory=dict[str, int])
    slices: Mapping[str, SliceRule] = field(default_factory=dict[str, SliceRule])
    gap: GapRule | None = None
    admissions: Admissions = field(default_factory=dict[str, dict[str, Any]])
    max_drop: float | None = None
    ask_again: int = ASK_AGAIN
    samples: int = 1
    case_passes: CasePasses = "all"
    kept: KeptRule | None = None
    """The largest net loss of a paired draw, and its risks; None in older records, where `max_drop` alone decides."""
    allowed: Mapping[str, str] = field(default_factory=dict[str, str])
    """The guards that the suite switches off, with their findings; they are shown and decide nothing here."""
    remarks: Sequence[str] = ()
    """What a guard found suspicious but not certain; it is shown and decides nothing."""
    undersized: Undersized = "INCONCLUSIVE"
    weight: Mapping[str, float] = field(default_factory=dict[str, float])
    """The shares of tags for a weighted pass rate, which is shown and decides nothing."""
    at: float | None = None
    """The rate at which a bad model passes the checks. Given, a draw with several cases of a group is decided on the
    independent cases that it is worth; older records, and suites without groups, do not have it."""
    diversity: DiversityRule | None = None
    """How diverse the answers must be."""
    limits: LimitRules | None = None
    """The limits on what serving costs; only for the first draw of a gate, which measures it."""

    def confirming(self, plan: DrawPlan) -> Terms:
        """The terms of the draw that confirms a pass: error caps in proportion to its size, rounded down."""
        caps = scaled(self.max_errors, self.plan.draw, plan.draw)
        return replace(self, plan=plan, purpose="confirm", max_errors=caps, limits=None)

    def continued(self, cases: int) -> Terms:
        """The terms with this number of cases added, for a plan that may be continued; raises TypeError for another.

        Error caps grow in proportion, rounded down.
        """
        if not isinstance(self.plan, AnytimePlan):
            raise TypeError(NOT_ANYTIME)
        longer = self.plan.extended(cases)
        return replace(self, plan=longer, max_errors=scaled(self.max_errors, self.plan.draw, longer.draw))

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
            "gap": asdict(self.gap) if self.gap else None,
            "admissions": {name: dict(facts) for name, facts in self.admissions.items()},
            "max_drop": self.max_drop,
            "ask_again": self.ask_again,
            "samples": self.samples,
            "case_passes": self.case_passes,
            **({"kept": asdict(self.kept)} if self.kept else {}),
            **({"allowed": dict(self.allowed)} if self.allowed else {}),
            **({"remarks": list(self.remarks)} if self.remarks else {}),
            **({"undersized": self.undersized} if self.slices or self.gap else {}),
            **({"weight": dict(self.weight)} if self.weight else {}),
            **({} if self.at is None else {"at": self.at}),
            **({"diversity": asdict(self.diversity)} if self.diversity else {}),
            **({"limits": limit_rules_to_json(self.limits)} if self.limits else {}),
        }


def why_not_continued(terms: Terms, verdict: Verdict, passed: int, failed: int) -> str:
    """Why a decided draw cannot be continued; empty if it can: its plan may be, and could not tell."""
    if not isinstance(terms.plan, AnytimePlan):
        return NOT_ANYTIME
    if verdict is not Verdict.INCONCLUSIVE:
        return f"the gate is {verdict}, so there is nothing to continue"
    accept_up_to, _ = terms.plan.limits(terms.plan.draw)
    if passed + failed < terms.plan.draw or failed <= accept_up_to:
        return "enough cases passed, and it is INCONCLUSIVE for a reason that more cases of this draw cannot mend"
    return ""


def scaled(caps: Mapping[str, int], drawn: int, draw: int) -> dict[str, int]:
    """Caps on error categories that were given for `drawn` cases, for another draw: in proportion, rounded down.

    >>> scaled({"too_long": 3}, 100, 50)
    {'too_long': 1}
    """
    return {category: cap * draw // drawn for category, cap in caps.items()}


def terms_from_json(data: Mapping[str, Any]) -> Terms:
    """The terms in a record; raises TypeError, KeyError or ValueError for anything else."""
    rules = {tag: SliceRule(**rule) for tag, rule in data["slices"].items()}
    groups = data["gap"]
    gap = groups and GapRule(tuple(groups["between"]), groups["max"], groups["at_least"])
    plan = plan_from_json(data["plan"])
    ask_again, samples = data.get("ask_again", ASK_AGAIN), data.get("samples", 1)  # older records have neither
    if not isinstance(ask_again, int) or not isinstance(samples, int):
        raise TypeError(f"ask_again is {ask_again!r}, samples is {samples!r}")
    if (case_passes := data.get("case_passes", "all")) not in get_args(CasePasses):
        raise ValueError(f"case_passes is {case_passes!r}")
    return Terms(
        plan,
        data["purpose"],
        data["curtail"],
        data["max_errors"],
        rules,
        gap,
        data["admissions"],
        data["max_drop"],
        ask_again,
        samples,
        case_passes,
        _kept(data.get("kept")),
        _allowed(data.get("allowed", {})),
        _remarks(data.get("remarks", ())),
        _undersized(data.get("undersized", "INVALID") if rules or gap else "INCONCLUSIVE"),
        {str(tag): float(share) for tag, share in data.get("weight", {}).items()},
        None if data.get("at") is None else float(data["at"]),
        _diversity(data.get("diversity")),
        limit_rules_from_json(data.get("limits")),
    )


def _diversity(data: Any) -> DiversityRule | None:
    if data is None:
        return None
    facts: dict[str, Any] = {**data, "measures": tuple(data["measures"])}
    return DiversityRule(**facts)


def _kept(data: Any) -> KeptRule | None:
    if data is None:
        return None
    risk = data["risk"]
    tier = data.get("tier")
    if tier not in (None, *get_args(Tier)):
        raise ValueError(f"tier is {tier!r}")
    known = None if risk is None else RetentionRisk(**risk)
    return KeptRule(data["net_loss"], data["differ"], data["attempts"], known, tier)


def _allowed(data: Any) -> dict[str, str]:
    allowed = {str(guard): str(found) for guard, found in data.items()} if isinstance(data, Mapping) else None  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    if allowed is None:
        raise TypeError(f"allowed is {data!r}")
    return allowed


def _undersized(data: Any) -> Undersized:
    if data not in get_args(Undersized):
        raise ValueError(f"undersized is {data!r}")
    return data


def _remarks(data: Any) -> tuple[str, ...]:
    if isinstance(data, str) or not isinstance(data, Sequence):
        raise TypeError(f"remarks is {data!r}")
    return tuple(map(str, data))  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]


def conclude(
    terms: Terms,
    outcomes: Sequence[Outcome],
    before: Sequence[Outcome] = (),
    figures: Measured | None = None,
    diversity: Sequence[DiversityFigure] = (),
) -> Decision:
    """Decide a draw from its outcomes, in draw order; for a retention draw, `before` are the earlier model's outcomes.
    `figures` are what the limits, if there are any, are compared with, `diversity` those of a rule on diversity.

    Any draw that only waits for people's labels is INCONCLUSIVE.
    baseline, reference: nothing to decide; INVALID when a case was not judged. retention and worth: the paired
    comparison decides.
    gate and confirm: the plan decides, and a pass must also hold in every slice that has a minimum, between the groups,
    after correction for the judges' known errors, and for the diversity of the answers.
    """
    decision = replace(decide(terms.plan, outcomes, terms.max_errors, terms.curtail), diversity=tuple(diversity))
    if awaits_labels(decision.reasons):
        return decision
    match terms.purpose:
        case "baseline" | "reference" | "worth reference":
            measured = {"passed": decision.passed, "drawn": decision.drawn}
            if decision.invalid:
                in_part = because("measured_in_part", **measured, not_judged=decision.invalid)
                return replace(decision, verdict=Verdict.INVALID, reasons=(in_part,))
            return replace(decision, verdict=Verdict.PASS, reasons=(because("measured", **measured),))
        case "retention" | "worth":
            comparison = compared(terms, outcomes, before)
            return replace(decision, verdict=comparison.verdict, reasons=comparison.reasons)
        case "gate" | "confirm":
            return with_limits(terms.limits, _with_groups(terms, decision, outcomes[: decision.asked]), figures)


def _with_groups(terms: Terms, decision: Decision, outcomes: Sequence[Outcome]) -> Decision:
    """The decision after the further requirements on a pass, with the interval for the independent cases."""
    if decision.verdict is not Verdict.PASS:
        return decision if terms.at is None else replace(decision, interval=widened(decision.interval, None, outcomes))
    worth = independent(terms.plan, terms.at, outcomes)
    judged = _with_requirements(terms, decision, outcomes, worth)
    if worth is None:
        return judged
    reasons = judged.reasons if worth.reason in judged.reasons else (*judged.reasons, worth.reason)
    return replace(judged, reasons=reasons, interval=widened(decision.interval, worth, outcomes))


def _with_requirements(
    terms: Terms, decision: Decision, outcomes: Sequence[Outcome], worth: Independent | None
) -> Decision:
    """The decision after the further requirements on a pass: slices, groups, corrected pass rates, diversity."""
    found: list[tuple[Verdict, Reason]] = []
    if worth is not None and not worth.enough:
        found.append((Verdict.INCONCLUSIVE, worth.reason))
    if terms.slices:
        found += judge_slices(outcomes, terms.slices, terms.undersized).judged
    if terms.gap:
        gap = group_gap(outcomes, terms.gap.between, terms.gap.max, terms.gap.at_least, terms.undersized)
        found += [(gap.verdict, reason) for reason in gap.reasons]
    found += [(Verdict.FAIL, reason) for reason in short_of_corrected_min(terms.admissions, outcomes, decision.asked)]
    if terms.diversity:
        found += judge_diversity(terms.diversity, decision.diversity)
    for verdict in WORST:
        objections = [reason for said, reason in found if said is verdict]
        if objections:
            return replace(decision, verdict=verdict, reasons=(*decision.reasons, *objections))
    return decision


def compared(terms: Terms, outcomes: Sequence[Outcome], before: Sequence[Outcome]) -> Comparison:
    """The paired comparison of a retention draw."""
    return compare(before, outcomes, 0.0 if terms.max_drop is None else terms.max_drop, kept=terms.kept)
