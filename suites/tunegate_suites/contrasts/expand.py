"""From the cases of a suite to groups: each case with its changed copies. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunegate.cases.case import Case
from tunegate.cases.cases_spec import CasesSpec
from tunegate.cases.from_rows import case_of, matches, with_numbers
from tunegate.exceptions import ConfigError
from tunegate.reading.rows import Row
from tunegate_suites.contrasts.changes import Hook, Setting, change
from tunegate_suites.contrasts.contrast import MEMBERS
from tunegate_suites.contrasts.rules import RuleSpec, RulesSpec
from tunegate_suites.normalise import plain


class RuleFault(ConfigError):
    """A rule names a field that a row does not have, or creates a row that is not a case."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(slots=True)
class RuleCount:
    """The counts of a rule: cases outside its `where`, cases it did not apply to, refused changes, members created."""

    rule: str
    kind: str
    members: int = 0
    skipped: int = 0
    refused: int = 0


@dataclass(slots=True)
class Expansion:
    """Groups as rows of a suite, with the counts of all rules."""

    rows: list[Row] = field(default_factory=list[Row])
    rules: list[RuleCount] = field(default_factory=list[RuleCount])
    left_out: list[str] = field(default_factory=list[str])


def expand(spec: CasesSpec, rows: Sequence[Row], rules: RulesSpec, hooks: Mapping[str, Hook]) -> Expansion:
    """The groups of the cases that a suite creates from its rows.

    Raises RuleFault for a rule that does not fit a row.
    """
    made = Expansion(rules=[RuleCount(rule.name, rule.kind) for rule in rules.rules])
    others = [_rows_of(rule, rows) for rule in rules.rules]
    cases = [case_of(spec, row) for row in rows]
    if spec.id is None and not any("id" in row for row in rows):
        cases = with_numbers(cases)
    for row, case in zip(rows, cases, strict=True):
        members: list[Row] = []
        for rule, its_rows, count in zip(rules.rules, others, made.rules, strict=True):
            setting = Setting(random.Random(f"{rules.seed}/{rule.name}/{case.id}"), its_rows, hooks)
            try:
                member = _member(spec, row, case, rule, setting, count)
            except ConfigError as error:
                raise RuleFault(rule.name, f"case {case.id!r}: {error}") from error
            if member is not None:
                members.append(member)
        if members and set(rules.needs) <= {member["kind"] for member in members}:
            made.rows.append({"id": case.id, **_written(case), **_kept(case), MEMBERS: members})
        else:
            made.left_out.append(case.id)
    return made


def _rows_of(rule: RuleSpec, rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if _is_for(rule, row)]


def _is_for(rule: RuleSpec, row: Row) -> bool:
    return matches(rule.where, row)


def _member(spec: CasesSpec, row: Row, case: Case, rule: RuleSpec, setting: Setting, count: RuleCount) -> Row | None:
    """The member that a rule creates from a case, or None; counts the result."""
    changed = change(row, rule.change, setting) if _is_for(rule, row) else None
    made = None if changed is None else case_of(spec, changed)
    if made is None or made.prompt == case.prompt:
        count.skipped += 1
        return None
    if not _fits_its_kind(rule, made, case):
        count.refused += 1
        return None
    count.members += 1
    return {"rule": rule.name, "kind": rule.kind, **_written(made)}


def _fits_its_kind(rule: RuleSpec, made: Case, case: Case) -> bool:
    """Whether the answer changed if it must, and stayed the same if it must.

    The choices must always stay, since the model is asked the choices of the case; and a member needs an answer to be
    judged.
    """
    if made.choices != case.choices or not made.references:
        return False
    if rule.kind == "directional":
        return not _forms(made) & _forms(case)
    return made.references == case.references


def _forms(case: Case) -> set[str]:
    return {plain(reference) for reference in case.references}


def _written(case: Case) -> Row:
    asked = {"prompt": case.prompt} if isinstance(case.prompt, str) else {"messages": list(case.prompt)}
    context = {"context": case.context} if case.context else {}
    return {**asked, "references": list(case.references), **context}


def _kept(case: Case) -> Row:
    kept = {"choices": list(case.choices), "tags": list(case.tags), "group": case.group}
    return {name: value for name, value in kept.items() if value}
