"""The cases that a gate asks: its place in a run, and what it draws from which part of the bank."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import Any, cast

from tunegate.cases.bank import SEALED_SHARE, Part, draw, short_of
from tunegate.cases.case import Case, question_of
from tunegate.checks.check import gate_can_fail
from tunegate.checks.outcome import Outcome
from tunegate.exceptions import ConfigError, Inconclusive
from tunegate.record.draw_facts import LedgerPlace
from tunegate.record.record import GateRecord, gate_key
from tunegate.suites.suite import Suite
from tunegate.verdicts.terms import PAIRED, REFERENCES, Purpose


@dataclass(frozen=True, slots=True)
class GatePlace:
    """The place of a gate in a run: its stage and attempt, or neither for a gate run alone."""

    gate: str
    stage: str | None = None
    attempt: int | None = None
    purpose: Purpose = "gate"

    @property
    def key(self) -> str:
        """Unique within an attempt: `facts`, `facts (confirm)`."""
        return gate_key(self.gate, self.purpose)

    @property
    def label(self) -> str:
        """For a progress bar: `sft#2 facts`."""
        return self.key if self.stage is None else f"{self.stage}#{self.attempt} {self.key}"

    @property
    def called(self) -> str:
        """For an error: `gate sft#2 facts`, or `comparison facts` for a draw by which two models are compared."""
        if self.purpose in (*PAIRED, *REFERENCES):
            return f"comparison {replace(self, purpose='gate').label}"
        return f"gate {self.label}"

    @property
    def named(self) -> dict[str, Any]:
        """The same as fields of an event."""
        return {"gate": self.gate, "stage": self.stage, "attempt": self.attempt, "purpose": self.purpose}

    @property
    def part(self) -> Part:
        """The part of the bank from which it may draw."""
        return "sealed" if self.purpose == "confirm" else "working"


def place_of(gate: GateRecord) -> GatePlace:
    """The place of a recorded gate."""
    return GatePlace(gate.gate, gate.stage, gate.attempt, cast(Purpose, gate.purpose))


@dataclass(frozen=True)
class Draw:
    """Registered cases, in the order in which they are asked. `reused` of them were asked before (`reuse: true`).

    `repeats` is the ledger's entry of the same draw, which the same weights were asked before; `ledger` is the place of
    the draw in the ledger, once it is written there.
    """

    cases: tuple[Case, ...]
    seed: int
    reused: int = 0
    repeats: str = ""
    ledger: LedgerPlace | None = None

    @cached_property
    def questions(self) -> tuple[str, ...]:
        """The identities of its questions."""
        return tuple(map(question_of, self.cases))

    def written_at(self, place: LedgerPlace) -> Draw:
        """The same draw in the ledger, with its questions as far as they are computed."""
        written = replace(self, ledger=place)
        if "questions" in vars(self):
            vars(written)["questions"] = self.questions
        return written


def open_cases(place: GatePlace, suite: Suite, used: frozenset[str], reuse: bool = False) -> tuple[Case, ...]:
    """The cases from which a draw chooses, whatever its seed: those whose questions are not in `used`, or, with
    `reuse`, all of the part of the bank that the place may use."""
    part = suite.bank.part(place.part)
    return part if reuse or not used else tuple(case for case in part if question_of(case) not in used)


def draw_fresh(
    place: GatePlace,
    suite: Suite,
    n: int,
    seed: int,
    used: frozenset[str] = frozenset(),
    reuse: bool = False,
    begin: Sequence[Case] = (),
) -> Draw:
    """Draw `n` cases whose questions are not in `used` from the part of the bank that the place may use.

    The draw begins with the cases `begin`, whatever is used: those that another gate of this attempt asks. A bank
    without enough unused cases raises Inconclusive, or draws used cases again with `reuse`; a bank that is too small
    for a first attempt raises ConfigError.
    """
    if not gate_can_fail(suite.checks, n):
        raise ConfigError(
            f"suite {suite.name!r}: no answer can fail its checks ({', '.join(suite.check_names)}); add a check that "
            "can fail, such as `exact`, or forbid an error category"
        )
    part = suite.bank.part(place.part)
    distinct = suite.bank.distinct(place.part)
    if distinct < n and not used and place.attempt in (None, 1):
        twins = f" ({distinct} distinct tests)" if distinct < len(part) else ""
        raise ConfigError(
            f"suite {suite.name!r} has {len(part)} {place.part} cases{twins}, but the plan draws {n}; add cases or "
            "draw fewer"
        )
    cases = tuple(begin[:n])
    cases += draw(part, n - len(cases), seed, used | _questions(cases), short_of(cases, suite.quotas))
    missing = n - len(cases)
    if missing and reuse:
        cases += draw(part, missing, seed, _questions(cases), short_of(cases, suite.quotas))
    if len(cases) < n:
        have, more = _fresh_of(place, suite, len(cases)), _to_add(place, suite, n - len(cases))
        if place.part == "sealed" and not suite.sealed_share:
            have, more = _none_sealed(suite, n, used)
        raise Inconclusive(
            f"{place.called}: the draw needs {n} fresh cases, but {have}; add {more} (or "
            f"{_again(suite)}, which the report marks)"
        )
    for tag, short in short_of(cases, suite.quotas).items():
        raise Inconclusive(
            f"{place.called}: the draw must hold {suite.quotas[tag]} cases of {tag}, but only "
            f"{suite.quotas[tag] - short} {place.part} ones were not asked by an earlier draw; add {short} more such "
            f"cases to the bank of {suite.name!r}"
        )
    return Draw(cases, seed, sum(question_of(case) in used for case in cases) if used else 0)


def _again(suite: Suite) -> str:
    """How used cases are asked again; a suite that was made from a results file has no plan that a user could edit."""
    if suite.path and not suite.path.endswith((".yaml", ".yml")):
        return "gate it with `--ledger none`"
    return "ask used ones again: `plan: {reuse: true}` in the suite file"


def _fresh_of(place: GatePlace, suite: Suite, fresh: int) -> str:
    """`only 662 of 782 working cases are fresh (418 are sealed)`"""
    sealed = suite.bank.distinct("sealed") if place.part == "working" else 0
    hidden = f" ({sealed} {'is' if sealed == 1 else 'are'} sealed)" if sealed else ""
    return (
        f"only {fresh} of {suite.bank.distinct(place.part)} {place.part} cases {'is' if fresh == 1 else 'are'} "
        f"fresh{hidden}"
    )


def _none_sealed(suite: Suite, n: int, used: frozenset[str]) -> tuple[str, str]:
    """What a bank without a sealed part lacks, and what to add: a third of a bank is sealed once its parts are large
    enough for the plan."""
    fresh = sum(question_of(case) not in used for case in suite.cases)
    rows = max(ceil(n / SEALED_SHARE), ceil(suite.plan.draw / (1 - SEALED_SHARE))) - fresh
    return (
        f"none of the {len(suite.cases)} cases is sealed, and a pass after a retry must be confirmed by sealed ones",
        f"about {max(rows, 1)} cases to the bank of {suite.name!r}; by default a third of all is then sealed",
    )


def _to_add(place: GatePlace, suite: Suite, missing: int) -> str:
    """How many cases are missing in a part of the bank, and how many rows these take: a share of all rows is sealed."""
    cases, sealed = f"{missing} case{'' if missing == 1 else 's'}", suite.sealed_share
    if not 0 < sealed < 1:
        return f"{cases} to the bank of {suite.name!r}"
    rows = ceil(missing / (sealed if place.part == "sealed" else 1 - sealed))
    bank = f"the {place.part} part of the bank of {suite.name!r}"
    return f"{cases} to {bank}, about {rows} in all, as {sealed:.0%} of all are sealed"


def _questions(cases: Sequence[Case]) -> frozenset[str]:
    return frozenset(map(question_of, cases))


def cases_with(suite: Suite, questions: Sequence[str]) -> tuple[Case, ...] | None:
    """The cases of a suite with these questions, in this order; None if the suite lacks one of them."""
    found = [suite.by_question.get(question) for question in questions]
    return None if None in found else tuple(case for case in found if case is not None)


def longest_draw(suite: Suite, draws: Iterable[Sequence[str]]) -> tuple[Case, ...]:
    """The cases of the longest of these draws, given as questions, which begin alike; none without a draw."""
    drawn = (cases_with(suite, questions) for questions in draws)
    return max((cases for cases in drawn if cases is not None), key=len, default=())


def same_cases(suite: Suite, since: GateRecord) -> Draw:
    """The draw of a reference, to be asked again."""
    by_id = {case.id: case for case in suite.cases}
    return Draw(tuple(by_id[case_id] for case_id in since.case_ids), since.seed, since.reused)


@dataclass(frozen=True, slots=True)
class Reference:
    """The outcomes of an earlier model on the cases that are asked again, and their place in the record."""

    place: GatePlace
    outcomes: Sequence[Outcome]
