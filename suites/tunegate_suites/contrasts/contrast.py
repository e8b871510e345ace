"""`contrast`: a case and its changed copies as one test, which passes when the model is right on all of them."""

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
"""directional: what matters was changed, and the answer with it. invariant: what does not matter was changed, and the
answer stays. minimum: the plainest test of the same thing. CheckList (Ribeiro and others, ACL 2020) calls them DIR, INV
and MFT; a group of them is a contrast set of Gardner and others (Findings of EMNLP 2020)."""

MEMBERS = "members"


@dataclass(frozen=True, slots=True)
class Member:
    """One prompt of a group: the rule that made it, and the case to judge it by."""

    rule: str
    kind: Kind
    case: Case

    @property
    def in_words(self) -> str:
        return self.rule if self.kind == "original" else f"{self.rule} ({self.kind})"


def members_of(case: Case, answer: AnswerRule = AUTO) -> tuple[Member, ...]:
    """A group's members, the case itself first; raises ValueError for a row that `suite expand` would not write.

    `answer` is the rule by which the case's references are taken apart, and so those of the others.
    """
    rows = case.fields.get(MEMBERS)
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"the row has no {MEMBERS!r}: make the cases with `tunegate suite expand`")
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
    """Why a member would show nothing: a model that always says the same must not pass it, or pass it twice."""
    if case.references and not made.references:
        return "has no references, and the case has some"
    if made.prompt == case.prompt:
        return "asks what the case itself asks"
    same = bool(set(made.references) & set(case.references))
    if kind == "directional" and same:
        return "has an answer of the case itself, where the change must make it another"
    if kind == "invariant" and made.references and not same:
        return "has no reference of the case, where the answer must stay"
    return None


_AS_WRITTEN = CasesSpec(path="")
"""Rows with a case's own field names."""


class Contrast(CaseCheck):
    """Every member of a group of related prompts is answered right, by the checks given here.

    The cases are made by `tunegate suite expand`: each has, beside its own prompt, copies in which something was
    changed by a rule, with the answer that is right there. Of the kind `directional`, what matters was changed and the
    answer with it; of the kind `invariant`, what does not matter, and the answer stays; `minimum` is the plainest test
    of the same thing. A case is one group and counts once. Of a group that misses, the report counts the kinds that
    were missed as error categories: `missed_original`, `missed_directional`, `missed_invariant`, `missed_minimum`.
    """

    example: ClassVar[str] = "contrast: {checks: [exact]}"
    passes_when: ClassVar[str] = "the answers to the case's prompt and to all its changed copies pass all the checks"

    checks: list[Any] = Field(min_length=1)
    """what judges each member, written as in a suite"""

    def prepare(self) -> None:
        for index, check in enumerate(self._inner):
            if type(check).variants is not CheckBase.variants:
                raise self.config_error(f"checks[{index}]", f"{check.name!r} asks further prompts itself; leave it out")
            if getattr(check, "corrected_min", None) is not None:
                raise self.config_error(f"checks[{index}].corrected_min", "a group is no single answer; leave it out")
        if len({check.needs_choices for check in self._inner}) > 1:
            raise self.config_error("checks", "some look at choices and some at text; use a suite for each")

    @cached_property
    def _inner(self) -> list[CheckBase]:
        built: list[CheckBase] = []
        for index, entry in enumerate(self.checks):
            try:
                check = build(entry, self._context.base_dir, self._context.models)
            except ConfigError as error:
                raise self.config_error(f"checks[{index}]", str(error)) from error
            if not isinstance(check, CheckBase):
                raise self.config_error(f"checks[{index}]", f"{check.name!r} of another package judges no groups yet")
            built.append(check)
        return built

    @property
    def needs_choices(self) -> bool:
        return self._inner[0].needs_choices

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
            return self.invalid(f"{len(members)} members, but {len(answers)} answers")
        for member, answer in zip(members, answers, strict=True):
            if answer.error is not None:
                return self.invalid(f"{member.in_words} was not answered: {answer.error}")
        # What is known of the whole answer belongs to the case itself, the first member.
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
        detail = json.dumps([_told(*told) for told in zip(members, samples, verdicts, strict=True)], ensure_ascii=False)
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
        # A place in the answer to a member is no place in the answer to the case, which is what the report shows.
        errors += [error for finding in judged[0] for error in finding.errors]
        errors += [ErrorSpan(error.category) for findings in judged[1:] for one in findings for error in one.errors]
        return self.passed(not missed, right / len(members), reason, errors=tuple(errors), detail=detail)


def _told(member: Member, sample: Sample, judgement: tuple[Verdict, str]) -> dict[str, Any]:
    """What the record keeps of a member: enough to count by rule and kind, and to see each miss."""
    verdict, reason = judgement
    told: dict[str, Any] = {
        "rule": member.rule,
        "kind": member.kind,
        "verdict": verdict,
        "answer": sample.response.text,
    }
    return told if verdict is Verdict.PASS else {**told, "prompt": sample.case.prompt, "reason": reason}
