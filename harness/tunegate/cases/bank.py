"""A bank: the cases of a suite, split into a working part and a sealed part, and drawn from without replacement."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tunegate.cases.case import Case, content, duplicates, group_of, question_of

Part = Literal["working", "sealed"]

SEALED_SHARE = 1 / 3
"""The share of the groups that is sealed if a bank is large enough and its file gives no share."""


@dataclass(frozen=True)
class Bank:
    """The two parts of a bank. Cases of one group are in one part; only a confirming draw opens the sealed part."""

    working: tuple[Case, ...]
    sealed: tuple[Case, ...]

    def part(self, name: Part) -> tuple[Case, ...]:
        return self.working if name == "working" else self.sealed

    def distinct(self, name: Part) -> int:
        """How many tests a part has, which is the largest draw from it. A test under several ids counts once."""
        return len({content(case) for case in self.part(name)})

    def in_words(self, name: Part) -> str:
        """The size of a part; if tests have several ids, the number of distinct tests and one example."""
        cases, distinct = self.part(name), self.distinct(name)
        if distinct == len(cases):
            return f"{distinct} case{'' if distinct == 1 else 's'}"
        ids = ", ".join(repr(case_id) for case_id in duplicates(cases)[0][:3])
        tests = "test" if distinct == 1 else "tests"
        return f"{distinct} distinct {tests} ({len(cases)} cases, but {ids} are the same test)"


def split(cases: Sequence[Case], share: float) -> Bank:
    """Seal about this share of the groups, chosen by hash: a case that is added later does not move other cases."""
    bound = int(share * 2**64)
    if not bound:
        return Bank(tuple(cases), ())
    sealed = [_group_hash(case) < bound for case in cases]
    return Bank(
        tuple(case for case, hidden in zip(cases, sealed, strict=True) if not hidden),
        tuple(case for case, hidden in zip(cases, sealed, strict=True) if hidden),
    )


def _group_hash(case: Case) -> int:
    """64 bits of the group's hash; a case without a group is its own group, and equal cases under two ids share one."""
    text = f"sealed\x00{json.dumps(content(case)) if case.group is None else case.group}"
    return int.from_bytes(hashlib.sha256(text.encode(errors="backslashreplace")).digest()[:8])


def draw_order(ids: Iterable[str], seed: int) -> list[str]:
    """A permutation of the case ids that depends on the seed alone.

    Ids are ranked by SHA-256 of (seed, id). The first n of the order are a simple random sample without replacement,
    and the next n are a new sample, on every platform and whatever the order of the bank.
    """
    return sorted(ids, key=lambda case_id: draw_rank(case_id, seed))


def draw_rank(case_id: str, seed: int) -> int:
    """A case's rank in `draw_order`: the lowest is drawn first."""
    return int.from_bytes(hashlib.sha256(f"{seed}\x00{case_id}".encode()).digest())


def draw(
    cases: Sequence[Case],
    n: int,
    seed: int,
    used: frozenset[str] = frozenset(),
    quotas: Mapping[str, int] | None = None,
) -> tuple[Case, ...]:
    """Draw up to `n` cases whose questions (`question_of`) are not in `used`: one case of each group while groups last,
    in the order that the seed gives.

    A test with several ids is drawn once. `quotas` says how many cases with a tag to draw at least: the first of the
    order with the tag, and the first of the order for the rest.
    """
    by_id = {case.id: case for case in cases}
    asked = {content(case): case for case in cases if question_of(case) in used} if used else {}
    known = set(asked)
    fresh: list[Case] = []
    for case in (by_id[case_id] for case_id in draw_order(by_id, seed)):
        if content(case) not in known:
            known.add(content(case))
            fresh.append(case)
    return tuple(by_quotas(by_turns(fresh, asked.values()), n, quotas or {}))


def by_quotas(order: Sequence[Case], n: int, quotas: Mapping[str, int]) -> list[Case]:
    """The first `n` cases with at least this many of each tag, as far as the order has them; the order stays.

    Cases with a tag that is short take the places of the last cases that no quota needs.
    """
    wanted: set[str] = set()
    for tag, at_least in quotas.items():
        having = [case.id for case in order if tag in case.tags]
        chosen = sum(case_id in wanted for case_id in having)
        missing = [case_id for case_id in having if case_id not in wanted][: max(0, at_least - chosen)]
        wanted |= set(missing[: max(0, n - len(wanted))])
    rest = [case.id for case in order if case.id not in wanted][: n - len(wanted)]
    drawn = wanted | set(rest)
    return [case for case in order if case.id in drawn]


def short_of(cases: Sequence[Case], quotas: Mapping[str, int]) -> dict[str, int]:
    """The tags that fewer cases carry than their quota, with the number that is missing."""
    have = Counter(tag for case in cases for tag in set(case.tags))
    return {tag: at_least - have[tag] for tag, at_least in quotas.items() if have[tag] < at_least}


def by_turns(fresh: Sequence[Case], asked: Iterable[Case] = ()) -> list[Case]:
    """The cases in rounds of one case of each group; in a round, groups that `asked` holds fewest cases of come first.

    Related cases tell less about a model than unrelated ones. Within these rounds the order stays.
    """
    before = Counter(map(group_of, asked))
    turns: Counter[object] = Counter()
    ranked: list[tuple[int, int, Case]] = []
    for case in fresh:
        group = group_of(case)
        ranked.append((turns[group], before[group], case))
        turns[group] += 1
    return [case for _, _, case in sorted(ranked, key=lambda rank: rank[:2])]
