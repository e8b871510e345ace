"""What a report shows about one draw, as dataclasses: computed from the record, without HTML.

The requirements come from the terms that the draw registered. The same functions that decided the draw compute what is
shown here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tunegate.checks.judge_admission import Age
from tunegate.checks.outcome import Finding, Outcome, Verdict
from tunegate.exceptions import CannotJudge
from tunegate.gates.people import PeopleRate
from tunegate.record.record import GateRecord, RunRecord, gate_key
from tunegate.stats.agreement import CorrectedRate, Share
from tunegate.stats.retention import slips
from tunegate.verdicts.comparison import Comparison, GroupGap, group_gap
from tunegate.verdicts.corrected import corrected_rates
from tunegate.verdicts.slices import SliceRule, judge_slices, slice_of, where_missed
from tunegate.verdicts.terms import PAIRED, REFERENCES, Terms, compared
from tunegate_reports.answer import gate_label
from tunegate_reports.histogram import Histogram, histogram

NEVER_RUN = "registered, but the run ended before it was judged"
RANK = {Verdict.FAIL: 0, Verdict.INVALID: 1, Verdict.PASS: 2}


@dataclass(frozen=True, slots=True)
class CaseView:
    """One case of one gate. `number` is its index in View.cases, `gate` the index of its gate in View.gates."""

    number: int
    gate: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Category:
    """An error category: the number of cases with this error, and the cap that the gate sets, if any."""

    name: str
    count: int
    cap: int | None


@dataclass(frozen=True, slots=True)
class JudgeView:
    """What is known about a judge: how well it agrees with people, and the pass rate corrected for its errors.

    `fault` says why it is not admitted; without a record of its admission there are no figures.
    """

    fault: str | None
    kappa: float | None = None
    kappa_low: float | None = None
    sensitivity: Share | None = None
    specificity: Share | None = None
    raw: Share | None = None
    corrected: CorrectedRate | None = None
    corrected_min: float | None = None
    age: str = ""
    """When it was measured, with labels of which days."""


@dataclass(frozen=True, slots=True)
class CheckView:
    """How one check of a gate judged its cases; `histogram` if it gives scores, `labels` if it gives words."""

    name: str
    passed: int
    missed: int
    invalid: int
    histogram: Histogram | None
    labels: Mapping[str, int]
    judge: JudgeView | None = None


@dataclass(frozen=True, slots=True)
class SliceView:
    """The cases with one tag; `rule` is the minimum that the gate sets for them; `missed_it`: they fell short."""

    tag: str
    share: Share
    rule: SliceRule | None = None
    missed_it: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """A retention draw: which model it is compared with, the comparison, the cases that model missed, and what its rule
    lets through, in words; empty in older records."""

    before: str
    comparison: Comparison
    never: frozenset[str]
    slips: str = ""


@dataclass(frozen=True, slots=True)
class GateView:
    """One draw. `cases` holds numbers of View.cases, passes first, then misses, then cases without a verdict.

    `spared` are the cases that were registered and not asked, because the verdict was already certain. `where` says
    where the misses are. `gap` and `kept` are None if the terms have none.
    """

    number: int
    label: str
    record: GateRecord
    cases: tuple[int, ...]
    spared: tuple[str, ...]
    categories: tuple[Category, ...]
    checks: tuple[CheckView, ...]
    slices: tuple[SliceView, ...]
    where: str
    gap: GroupGap | None
    kept: Kept | None
    waiver: Mapping[str, str] | None
    people: PeopleRate | None = None
    """The pass rate by people's labels, if some were given."""
    confirmed: bool = False
    """Whether a confirming draw was decided too: then its interval is the gate's, and not that of this draw."""


def gate_view(
    run: RunRecord, gate: GateRecord, place: int, cases: list[CaseView], people: PeopleRate | None = None
) -> GateView:
    """One draw of a run; its cases are added to `cases`. Raises CannotJudge for a record that cannot be shown right."""
    if gate.decided and not gate.asked:
        raise CannotJudge(
            f"{run.folder}: gate {gate.key!r} does not say how many cases its verdict is based on; an older Tunegate "
            "wrote this record: show it with that version, or run the gate again"
        )
    own = [CaseView(len(cases) + index, place, outcome) for index, outcome in enumerate(_all_outcomes(gate))]
    cases.extend(own)
    terms = terms_of(gate)
    kept = _kept(run, gate, terms) if terms and gate.decided and gate.purpose in PAIRED else None
    never = kept.never if kept else frozenset[str]()

    def place_in_grid(case: CaseView) -> tuple[bool, int, bool]:
        verdict = case.outcome.verdict
        return verdict is not Verdict.PASS, RANK[verdict], verdict is Verdict.FAIL and case.outcome.case_id in never

    draws = gate.decided and gate.purpose in ("gate", "confirm")
    return GateView(
        number=place,
        label=gate_label(gate),
        record=gate,
        cases=tuple(case.number for case in sorted(own, key=place_in_grid)),
        spared=_spared(gate),
        categories=_categories(gate),
        checks=tuple(_checks(gate, terms)),
        slices=_slices(gate, terms),
        where=where_missed(gate.outcomes).sentence if draws and gate.failed else "",
        gap=group_gap(gate.outcomes, terms.gap.between, terms.gap.max, terms.gap.at_least)
        if terms and terms.gap and _ran_to_its_end(gate)
        else None,
        kept=kept,
        waiver=_waiver(run, gate),
        people=people,
        confirmed=any(_confirms(other, gate) for other in run.all_gates()),
    )


def _confirms(other: GateRecord, gate: GateRecord) -> bool:
    return (gate.purpose, other.purpose, other.decided) == ("gate", "confirm", True) and (
        other.stage,
        other.attempt,
        other.gate,
    ) == (gate.stage, gate.attempt, gate.gate)


def terms_of(gate: GateRecord) -> Terms | None:
    """The terms that a draw registered, or None. A term that is missing from the record made no demand.

    Raises Tampered if they cannot be read as terms.
    """
    if not gate.terms:
        return None
    return replace(gate, terms={**_NOTHING_DEMANDED, "purpose": gate.purpose, **gate.terms}).registered


_NOTHING_DEMANDED = {"curtail": False, "max_errors": {}, "slices": {}, "gap": None, "admissions": {}, "max_drop": None}


def _all_outcomes(gate: GateRecord) -> Iterator[Outcome]:
    """The outcomes of a gate, and an INVALID one for every registered case that has none, unless it was spared."""
    yield from gate.outcomes
    if gate.decided and gate.spared:
        return
    for case_id in _without_outcome(gate):
        yield Outcome(case_id, Verdict.INVALID, NEVER_RUN, (), "", "")


def _spared(gate: GateRecord) -> tuple[str, ...]:
    return tuple(_without_outcome(gate)) if gate.decided and gate.spared else ()


def _without_outcome(gate: GateRecord) -> list[str]:
    judged = {outcome.case_id for outcome in gate.outcomes}
    return [case_id for case_id in gate.case_ids if case_id not in judged]


def _categories(gate: GateRecord) -> tuple[Category, ...]:
    caps = gate.terms.get("max_errors", {})
    names = {**gate.error_categories, **{name: gate.error_categories.get(name, 0) for name in caps}}
    ranked = sorted(names.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Category(name, count, caps.get(name)) for name, count in ranked)


def _waiver(run: RunRecord, gate: GateRecord) -> Mapping[str, str] | None:
    if gate.stage is None:
        return None
    return run.stages[gate.stage].attempts[gate.attempt or 0].waived.get(gate.key)


# --- checks and their judges ---------------------------------------------------------------------------------------


def _checks(gate: GateRecord, terms: Terms | None) -> Iterator[CheckView]:
    by_check: dict[str, list[Finding]] = {}
    for outcome in gate.outcomes:
        for finding in outcome.findings:
            by_check.setdefault(finding.check, []).append(finding)
    judges = _judges(gate, terms, by_check) if terms else {}
    for name, findings in by_check.items():
        verdicts = [finding.verdict for finding in findings]
        labels: dict[str, int] = {}
        for finding in findings:
            if isinstance(finding.value, str):
                labels[finding.value] = labels.get(finding.value, 0) + 1
        passed, missed, invalid = (verdicts.count(one) for one in (Verdict.PASS, Verdict.FAIL, Verdict.INVALID))
        yield CheckView(name, passed, missed, invalid, histogram(findings), labels, judges.get(name))


def _judges(gate: GateRecord, terms: Terms, by_check: Mapping[str, list[Finding]]) -> dict[str, JudgeView]:
    asked = gate.asked or len(gate.outcomes)
    corrected = corrected_rates(terms.admissions, gate.outcomes, asked) if asked else {}
    judges: dict[str, JudgeView] = {}
    for name, facts in terms.admissions.items():
        if facts.get("record_sha256") is None:
            judges[name] = JudgeView(facts.get("fault") or "its admission is not on record")
            continue
        passed = sum(finding.verdict is Verdict.PASS for finding in by_check.get(name, []))
        judges[name] = JudgeView(
            facts.get("fault"),
            facts.get("kappa"),
            facts.get("kappa_low"),
            Share(*facts["sensitivity"]),
            Share(*facts["specificity"]),
            Share(passed, asked),
            corrected.get(name),
            facts.get("corrected_min"),
            Age(**facts.get("age", {})).in_words,
        )
    return judges


# --- slices and paired comparisons ---------------------------------------------------------------------------------


def _slices(gate: GateRecord, terms: Terms | None) -> tuple[SliceView, ...]:
    """The tags with a minimum first, then those that miss most. A tag that every case has is left out."""
    rules = terms.slices if terms else {}
    counted: dict[str, list[int]] = {}
    for outcome in gate.outcomes:
        for tag in set(outcome.tags):
            count = counted.setdefault(tag, [0, 0])
            count[0] += outcome.verdict is Verdict.PASS
            count[1] += 1
    groups = terms.gap.between if terms and terms.gap else ()
    rest = [
        SliceView(tag, Share(passed, cases))
        for tag, (passed, cases) in counted.items()
        if tag not in rules and (cases < len(gate.outcomes) or tag in groups)
    ]
    rest.sort(key=lambda part: (part.tag not in groups, part.share.count / part.share.of, -part.share.of, part.tag))
    return (*(_held(gate, tag, rule) for tag, rule in rules.items()), *rest)


def _ran_to_its_end(gate: GateRecord) -> bool:
    """Minima and gaps apply only to a draw in which every case was asked."""
    return gate.decided and not gate.spared


def _held(gate: GateRecord, tag: str, rule: SliceRule) -> SliceView:
    missed_it = _ran_to_its_end(gate) and judge_slices(gate.outcomes, {tag: rule}).verdict is Verdict.FAIL
    return SliceView(tag, slice_of(gate.outcomes, tag).share, rule, missed_it)


def _kept(run: RunRecord, gate: GateRecord, terms: Terms) -> Kept:
    whose = _earlier_model(run, gate)
    try:
        before = run.held_against(gate)
    except (KeyError, TypeError, AttributeError):
        before, whose = [], "a draw that is not in the record"
    never = frozenset(outcome.case_id for outcome in before if outcome.verdict is Verdict.FAIL)
    comparison = compared(terms, gate.outcomes, before)
    if terms.purpose == "worth":  # training is supposed to be far better than a baseline
        comparison = replace(comparison, suspicious="")
    let_through = slips(gate.drawn, terms.max_drop or 0.0, terms.kept).in_words if terms.kept else ""
    return Kept(whose, comparison, never, let_through)


def _earlier_model(run: RunRecord, gate: GateRecord) -> str:
    """The model that a paired draw is compared with, in words."""
    against = gate.against or {}
    stage, attempt = against.get("stage"), against.get("attempt")
    if gate.stage is None and against:
        reference = run.gates.get(gate_key(gate.gate, str(against.get("purpose"))))
        return f"the baseline {reference.model if reference else ''}".rstrip()
    if against.get("purpose") in REFERENCES:
        kept = (run.start.get(gate.purpose) or {}).get(gate.stage, {}).get(gate.gate, {})
        stage = kept.get("since")
        attempt = max(run.stages[stage].attempts, default=None) if stage in run.stages else None
    return "the base model" if stage is None else f"{stage}, attempt {attempt}"
