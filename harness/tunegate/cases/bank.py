"""A bank: the cases of a suite, split into a working part and a sealed part, and drawn from without replacement."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tunegate.cases.case import Case, content, duplicates, question_of

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
    return sorted(ids, key=lambda case_id: hashlib.sha256(f"{seed}\x00{case_id}".encode()).digest())


def draw(cases: Sequence[Case], n: int, seed: int, used: frozenset[str] = frozenset()) -> tuple[Case, ...]:
    """Draw up to `n` cases whose questions (`question_of`) are not in `used`, in the order that the seed gives.

    A test with several ids is drawn once.
    """
    by_id = {case.id: case for case in cases}
    known: set[tuple[object, ...]] = set()
    drawn: list[Case] = []
    for case in (by_id[case_id] for case_id in draw_order(by_id, seed)):
        if len(drawn) == n:
            break
        if content(case) not in known and question_of(case) not in used:
            known.add(content(case))
            drawn.append(case)
    return tuple(drawn)
