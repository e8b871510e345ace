"""A suite: a bank of cases, the checks that judge them, and the plan by which a gate draws them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any

from tunegate.cases.bank import Bank, split
from tunegate.cases.case import Case, content, group_of, question_of
from tunegate.checks.answers.part import AUTO, AnswerRule
from tunegate.checks.check import (
    Check,
    error_categories,
    unique_names,
)
from tunegate.checks.outcome import CasePasses
from tunegate.exceptions import ConfigError
from tunegate.models.model import GenerationSettings
from tunegate.models.responses_spec import ResponsesSpec
from tunegate.stats.plans import GatePlan, PlanRule
from tunegate.suites.retained import Retention
from tunegate.verdicts.corrected import admissions_of, judged_by
from tunegate.verdicts.diversity import DiversityRule
from tunegate.verdicts.limits import LimitRules
from tunegate.verdicts.slices import SliceRule
from tunegate.verdicts.terms import Answering, GapRule, Terms, scaled


@dataclass(frozen=True)
class Suite:
    """A bank of cases with its checks. `sha256` covers everything that can change a verdict, except the model.

    Only a confirming draw may use `sealed_share` of its groups. No draw may use `reserved` cases: they are watched
    during training. `case_passes` says which of several answers to a case must pass.
    """

    name: str
    cases: tuple[Case, ...]
    checks: tuple[Check, ...]
    rule: PlanRule
    settings: GenerationSettings
    sha256: str
    path: str = ""
    sealed_share: float = 0.0
    slices: Mapping[str, SliceRule] = field(default_factory=dict[str, SliceRule])
    gap: GapRule | None = None
    retention: Retention | None = None
    reserved: frozenset[str] = frozenset()
    answer: AnswerRule = AUTO
    case_passes: CasePasses = "all"
    responses: ResponsesSpec = field(default_factory=ResponsesSpec)
    weight: Mapping[str, float] = field(default_factory=dict[str, float])
    allowed: Mapping[str, str] = field(default_factory=dict[str, str])
    """The guards that the file switches off, with their findings, for the record and the report."""
    remarks: tuple[str, ...] = ()
    """Notes that a person should read before trusting the suite."""
    diversity: DiversityRule | None = None
    diversity_texts: tuple[str, ...] = ()
    """What the diversity of the answers is compared with; the references if it is empty."""
    seal: frozenset[str] = frozenset()
    """Questions that another suite seals: no working draw asks them."""
    limits: LimitRules | None = None
    """The limits on what serving costs."""
    sweep: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    """The settings of sampling that `tunegate sweep` tries; gates do not read them, so no hash covers them."""
    made: Mapping[str, Any] | None = None
    """For a suite that is more than its file, because it was made from another tool's file or has a test function of
    pytest: what is needed to make it again from `path`."""

    @cached_property
    def bank(self) -> Bank:
        """The working and the sealed cases, without the reserved cases.

        What another suite seals is sealed here too; a suite without a sealed part does not ask it at all.
        """
        bank = split(self.cases, self.sealed_share)
        elsewhere = {case.id for case in bank.working if question_of(case) in self.seal} if self.seal else set[str]()
        open_, shut = [case for case in bank.working if case.id not in elsewhere], list(bank.sealed)
        if bank.sealed:
            shut += [case for case in bank.working if case.id in elsewhere]
        working, sealed = (tuple(case for case in part if case.id not in self.reserved) for part in (open_, shut))
        return Bank(working, sealed)

    @property
    def quotas(self) -> dict[str, int]:
        """How many cases with a tag a draw must hold: of its slices, of the groups that it compares, of each weight."""
        groups = dict.fromkeys(self.gap.between, self.gap.at_least) if self.gap else {}
        slices = {tag: rule.at_least for tag, rule in self.slices.items()}
        every = (slices, groups, dict.fromkeys(self.weight, 1))
        return {tag: max(quota.get(tag, 0) for quota in every) for tag in sorted({*chain(*every)})}

    @cached_property
    def has_groups(self) -> bool:
        """Whether some group of the bank holds several distinct tests."""
        tests = {content(case): group_of(case) for case in self.cases}
        return len(set(tests.values())) < len(tests)

    @cached_property
    def by_question(self) -> dict[str, Case]:
        """Its cases by the identity of their questions (`question_of`)."""
        return {question_of(case): case for case in self.cases}

    @property
    def sealed_elsewhere(self) -> int:
        """How many cases that this suite would ask in working draws are sealed by other suites."""
        return sum(question_of(case) in self.seal for case in split(self.cases, self.sealed_share).working)

    def terms(self, plan: GatePlan, *, curtail: bool) -> Terms:
        """The terms of a gate's first draw under a plan."""
        admissions = admissions_of(self.checks)
        return Terms(
            plan.first,
            "gate",
            curtail,
            scaled(self.max_errors, self.plan.draw, plan.draw),
            self.slices,
            self.gap,
            admissions,
            allowed=self.allowed,
            remarks=self.remarks,
            weight=self.weight,
            at=plan.at_seen if self.has_groups else None,
            limits=None if self.limits is None else self.limits.of_draw(plan.draw),
            diversity=self.diversity,
            **self.answering,
        )

    @property
    def answering(self) -> Answering:
        """The terms of every draw of this suite on generating and counting answers."""
        return Answering(ask_again=self.rule.ask_again, samples=self.settings.samples, case_passes=self.case_passes)

    @cached_property
    def plan(self) -> GatePlan:
        """The plan of a single gate outside a run."""
        return self.resolve(attempts=1)

    def resolve(self, attempts: int, draws: int = 1) -> GatePlan:
        """The plan of a gate for `attempts` attempts, on the scale of its judges (`PlanRule.resolve`)."""
        return self.rule.resolve(attempts, judged_by(admissions_of(self.checks)), draws)

    @cached_property
    def asks(self) -> str:
        """A hash of what a model is asked, and of what decides which cases are drawn: two suites with the same one draw
        the same cases and share the answers."""
        cases = sorted((case.id, *map(str, (*content(case)[:3], case.group))) for case in self.bank.working)
        return hashlib.sha256(json.dumps([cases, self.settings.facts(), self.quotas]).encode()).hexdigest()

    @property
    def max_errors(self) -> dict[str, int]:
        """Caps on error categories in a draw of the suite's size, from all checks; the lowest cap applies."""
        caps: dict[str, int] = {}
        for check in self.checks:
            for category, cap in check.max_errors.items():
                caps[category] = min(cap, caps.get(category, cap))
        return caps

    @property
    def looks_for(self) -> dict[str, list[str]]:
        """For the record: the error categories that the checks look for; empty if they look for none."""
        found = error_categories(self.checks)
        return {"error_categories": found} if found else {}

    @property
    def check_names(self) -> list[str]:
        return unique_names(self.checks)


def check_bank(bank: Bank, plan: GatePlan) -> None:
    """Raise ConfigError if the bank has too few cases for one attempt."""
    sealed = f" ({len(bank.sealed)} more are sealed)" if bank.sealed else ""
    if bank.distinct("working") < plan.draw:
        raise ConfigError(
            f"the bank has {bank.in_words('working')}{sealed}, but the plan draws {plan.draw}; "
            "add cases or lower `plan.draw`"
        )
    confirm = plan.confirmation(attempt=1)
    if confirm is not None and bank.distinct("sealed") < confirm.draw:
        has = bank.in_words("sealed").removesuffix(" cases")
        missing = max(0, plan.draw + confirm.draw - bank.distinct("working") - bank.distinct("sealed"))
        more = f"{missing} more are needed; " if missing else ""
        raise ConfigError(
            f"every pass is confirmed by {confirm.draw} sealed cases, but the bank has {has}; {more}"
            "add cases, or set `sealed` to a larger share"
        )
