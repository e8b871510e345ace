"""`train.watch`, before training: draws the cases to watch and keeps them out of every gate.

Choosing a checkpoint by its answers to a case fits the model to that case. So the watched cases are removed from the
banks of the whole pipeline: no gate, base model or retention draw of any stage contains a watched case, another case of
its group, or the same prompt in another suite, also if a check asks that prompt in addition to the case. The sealed
part is never watched.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tunegate.cases.bank import draw_order
from tunegate.cases.case import Case, asked, content, group_of
from tunegate.exceptions import ConfigError
from tunegate.leaks.texts import asked_beside
from tunegate.suites.suite import Suite, check_bank
from tunegate.text.normal_form import normalised


@dataclass(frozen=True, slots=True)
class Watched:
    """The cases of a suite that a stage watches, in order; `reserved` are all cases that this takes from the suite."""

    gate: str
    case_ids: tuple[str, ...]
    reserved: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The facts for the record, with which every gate is compared."""
        return {"gate": self.gate, "case_ids": list(self.case_ids), "reserved": list(self.reserved)}


def draw_watched(name: str, suite: Suite, n: int, seed: int) -> Watched:
    """`n` cases of the working part, group by group in a seeded order, so that the gates lose few cases."""
    working = suite.bank.working
    by_id = {case.id: case for case in working}
    groups = _by_group(working)
    asked: dict[tuple[object, ...], str] = {}
    taken: dict[str, None] = {}
    for case_id in draw_order(by_id, seed):
        if case_id in taken or len(asked) >= n:
            continue
        for case in groups[group_of(by_id[case_id])]:
            taken[case.id] = None
            if len(asked) < n:
                asked.setdefault(content(case), case.id)
    return Watched(name, tuple(asked.values()), tuple(taken))


def reserve(suites: Mapping[str, Suite], watched: Iterable[Watched]) -> dict[str, Suite]:
    """The suites without the watched cases in their banks."""
    kept = dict(suites)
    for one in watched:
        gate = suites[one.gate]
        seen = frozenset[str]().union(*(_texts(gate, case) for case in gate.cases if case.id in one.reserved))
        for name, suite in kept.items():
            same = {case.id for case in suite.cases if _texts(suite, case) & seen}
            ids = {*one.reserved, *same} if name == one.gate else same
            kept[name] = replace(suite, reserved=suite.reserved | _with_their_groups(suite, ids))
    return kept


def too_many(gate: str, suites: Mapping[str, Suite], n: int, seed: int) -> str:
    """Why `n` watched cases leave too few for the gates, and how many would be possible; empty if `n` is possible."""

    def fault(n: int) -> str:
        left = reserve(suites, [draw_watched(gate, suites[gate], n, seed)])[gate]
        try:
            check_bank(left.bank, left.plan)
        except ConfigError as error:
            return str(error)
        return ""

    if not (why := fault(n)):
        return ""
    most = bisect_left(range(1, n), True, key=lambda fewer: bool(fault(fewer)))
    remedy = f"watch at most {most}" if most else "watch another suite"
    return f"{n} watched cases leave too few for its gates: {why}, or {remedy}"


def _texts(suite: Suite, case: Case) -> frozenset[str]:
    """All prompts of a case, as the leakage check compares them; for an empty prompt, the text that is scored."""
    prompts = (case.prompt, *asked_beside(suite, case))
    texts = frozenset(normalised(asked(prompt)) for prompt in prompts) - {""}
    return texts or frozenset(map(normalised, case.choices))


def _with_their_groups(suite: Suite, ids: set[str]) -> frozenset[str]:
    groups = {group_of(case) for case in suite.cases if case.id in ids}
    return frozenset(case.id for case in suite.cases if group_of(case) in groups)


def _by_group(cases: Sequence[Case]) -> dict[object, list[Case]]:
    groups: dict[object, list[Case]] = {}
    for case in cases:
        groups.setdefault(group_of(case), []).append(case)
    return groups
