"""`contrast`: a case and its changed copies as one test, which passes if the model is right on all of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, cast

from pydantic import Field

from tunegate.cases.case import Case, Prompt
from tunegate.cases.cases_spec import CasesSpec
from tunegate.cases.from_rows import case_of
from tunegate.checks.answers.part import AUTO, AnswerRule, as_judged
from tunegate.checks.check import Sample, unique_names
from tunegate.checks.outcome import ErrorSpan, Finding, Verdict, combine
from tunegate.exceptions import ConfigError
from tunegate_suites.base import CaseCheck, CheckBase
from tunegate_suites.build import build

Kind = Literal["original", "directional", "invariant", "minimum"]
"""directional: something relevant was changed, and the answer changes. invariant: something irrelevant was changed, and
the answer stays. minimum: the simplest test of the same thing. CheckList (Ribeiro and others, ACL 2020) calls them DIR,
INV and MFT; a group of them is a contrast set of Gardner and others (Findings of EMNLP 2020)."""

MEMBERS = "members"


@dataclass(frozen=True, slots=True)
class Member:
    """One prompt of a group: the rule that made it, and the case for judging it."""

    rule: str
    kind: Kind
    case: Case

    @property
    def in_words(self) -> str:
        return self.rule if self.kind == "original" else f"{self.rule} ({self.kind})"


def members_of(case: Case, answer: AnswerRule = AUTO) -> tuple[Member, ...]:
    """A group's members, the case itself first; raises ValueError for a row that `suite expand` would not write.

    `answer` is the rule that was applied to the case's references; it is applied to those of the other members too.
    """
    rows = case.fields.get(MEMBERS)
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"the row has no field {MEMBERS!r}: create the cases with `tunegate suite expand`")
    return (Member("original", "original", case), *(_member(case, row, answer) for row in cast("list[Any]", rows)))


def _member(case: Case, row: Any, answer: AnswerRule) -> Member:
    fields = cast("Mapping[str, Any]", row) if isinstance(row, Mapping) else {}
    rule, kind = fields.get("rule"), fields.get("kind")
    if not isinstance(rule, str) or not rule.strip() or kind not in ("directional", "invariant", "minimum"):
        raise ValueError(
            "a member needs a rule, a kind (directional, invariant or minimum), a prompt and references, "
            f"got {str(row)[:80]!r}"
        )
    made = as_judged(case_of(_AS_WRITTEN, {**fields, "id": f"{case.id} [{rule}]"}), answer)
    fault = _fault_of(kind, made, case)
    if fault is not None:
        raise ValueError(f"the member {rule!r} ({kind}) {fault}")
    return Member(rule, kind, replace(made, choices=case.choices, tags=case.tags))


def _fault_of(kind: str, made: Case, case: Case) -> str | None:
    """Why a member would prove nothing: a model that always gives the same answer must not pass it, or pass it
    twice."""
    if case.references and not made.references:
        return "has no references, but the case has some"
    if made.prompt == case.prompt:
        return "asks the same as the case itself"
    same = bool(set(made.references) & set(case.references))
    if kind == "directional" and same:
        return "has the same answer as the case itself, but the change must change the answer"
    if kind == "invariant" and made.references and not same:
        return "has no reference of the case, but the answer must stay the same"
    return None


_AS_WRITTEN = CasesSpec(path="")
"""The spec for rows with the field names of a case."""


class Contrast(CaseCheck):
    """The model answers every member of a group of related prompts right, according to the checks given here.

    `tunegate suite expand` creates the cases: each has its own prompt and copies changed by rules, with their right
    answers. In a `directional` copy something relevant was changed, and the answer changes; in an `invariant` copy
    something irrelevant was changed, and the answer stays; `minimum` is the simplest test of the same thing. A case is
    one group and counts once. For a group that fails, the report counts the kinds of members that were missed as error
    categories: `missed_original`, `missed_directional`, `missed_invariant`, `missed_minimum`.
    """

    example: ClassVar[str] = "contrast: {checks: [exact]}"
    passes_when: ClassVar[str] = "the answers to the case's prompt and to all its changed copies pass all the checks"

    checks: list[Any] = Field(min_length=1)
    """the checks that judge each member, written as in a suite"""

    def prepare(self) -> None:
        for index, check in enumerate(self._inner):
            if type(check).variants is not CheckBase.variants:
                raise self.config_error(
                    f"checks[{index}]",
                    f"{check.name!r} asks additional prompts itself, which is not supported here; leave it out",
                )
            if getattr(check, "corrected_min", None) is not None:
                raise self.config_error(
                    f"checks[{index}].corrected_min", "a group is not a single answer; leave it out"
                )
        if len({check.needs_choices for check in self._inner}) > 1:
            raise self.config_error(
                "checks", "some checks read choices and some read text; use a separate suite for each"
            )

    @cached_property
    def _inner(self) -> list[CheckBase]:
        built: list[CheckBase] = []
        for index, entry in enumerate(self.checks):
            try:
                check = build(entry, self._context.base_dir, self._context.models)
            except ConfigError as error:
                raise self.config_error(f"checks[{index}]", str(error)) from error
            if not isinstance(check, CheckBase):
                raise self.config_error(
                    f"checks[{index}]",
                    f"{check.name!r} is from another package, which is not supported for groups yet; leave it out",
                )
            built.append(check)
        return built

    @property
    def needs_choices(self) -> bool:
        return self._inner[0].needs_choices

    @property
    def deterministic(self) -> bool:
        return all(check.deterministic for check in self._inner)

    @property
    def can_fail(self) -> bool:
        return any(check.can_fail for check in self._inner)

    @property
    def max_errors(self) -> dict[str, int]:
        caps: dict[str, int] = {}
        for check in self._inner:
            for category, cap in check.max_errors.items():
                caps[category] = min(cap, caps.get(category, cap))
        return caps

    def further_facts(self) -> dict[str, Any]:
        return {"checks": [check.fingerprint for check in self._inner]}

    def fault_of(self, cases: Sequence[Case]) -> str | None:
        faults = (check.fault_of(cases) for check in self._inner)
        return next((f"{self.name}: {fault}" for fault in faults if fault is not None), None)

    def fault_with(self, answer: AnswerRule) -> str | None:
        faults = (check.fault_with(answer) for check in self._inner)
        return next((f"{self.name}: {fault}" for fault in faults if fault is not None), None)

    def remarks(self, cases: Sequence[Case]) -> Sequence[str]:
        return [remark for check in self._inner for remark in check.remarks(cases)]

    def variants(self, case: Case) -> tuple[Prompt, ...]:
        return tuple(member.case.prompt for member in members_of(case)[1:])

    def judge_one(self, sample: Sample) -> Finding:
        members = members_of(sample.case, sample.answer)
        answers = (sample.response, *sample.variants)
        if len(answers) != len(members):
            return self.invalid(f"the group has {len(members)} members, but {len(answers)} answers")
        for member, answer in zip(members, answers, strict=True):
            if answer.error is not None:
                return self.invalid(f"{member.in_words} was not answered: {answer.error}")
        # The facts about the whole answer belong to the case itself, the first member.
        first, other = replace(sample, variants=()), replace(sample, variants=(), whole=None, start=0)
        known = [first, *[other] * (len(members) - 1)]
        samples = [
            replace(one, case=member.case, response=answer)
            for one, member, answer in zip(known, members, answers, strict=True)
        ]
        columns = [check.judge(samples) for check in self._inner]
        names = unique_names(self._inner)
        judged = [
            [replace(finding, check=name) for finding, name in zip(row, names, strict=True)]
            for row in zip(*columns, strict=True)
        ]
        return self._of_the_group(samples, members, judged)

    def _of_the_group(
        self, samples: Sequence[Sample], members: Sequence[Member], judged: Sequence[Sequence[Finding]]
    ) -> Finding:
        verdicts = [combine(findings) for findings in judged]
        detail = json.dumps(
            [_recorded(*member) for member in zip(members, samples, verdicts, strict=True)], ensure_ascii=False
        )
        unjudged = [
            f"{member.in_words}: {reason}"
            for member, (verdict, reason) in zip(members, verdicts, strict=True)
            if verdict is Verdict.INVALID
        ]
        if unjudged:
            return self.invalid("; ".join(unjudged), detail)
        missed = [
            (member, reason)
            for member, (verdict, reason) in zip(members, verdicts, strict=True)
            if verdict is not Verdict.PASS
        ]
        right = len(members) - len(missed)
        reason = f"{right} of {len(members)} members right"
        reason += "".join(f"; {member.in_words}: {why}" for member, why in missed)
        kinds = Counter(member.kind for member, _ in missed)
        errors = [ErrorSpan(f"missed_{kind}") for kind in kinds]
        # A position in the answer to a member is not a position in the answer to the case, which the report shows.
        errors += [error for finding in judged[0] for error in finding.errors]
        errors += [ErrorSpan(error.category) for findings in judged[1:] for one in findings for error in one.errors]
        return self.passed(not missed, right / len(members), reason, errors=tuple(errors), detail=detail)


def _recorded(member: Member, sample: Sample, judgement: tuple[Verdict, str]) -> dict[str, Any]:
    """The record of a member: enough to count by rule and kind, and to see each miss."""
    verdict, reason = judgement
    facts: dict[str, Any] = {
        "rule": member.rule,
        "kind": member.kind,
        "verdict": verdict,
        "answer": sample.response.text,
    }
    return facts if verdict is Verdict.PASS else {**facts, "prompt": sample.case.prompt, "reason": reason}
