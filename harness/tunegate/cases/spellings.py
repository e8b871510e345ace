"""Cases that ask the same question in another spelling: they form a group, since a model knows all of them or none.

Two cases are spellings of one question if they have the same expected answers, choices and context and the same words
in any order, without regard to letter case, punctuation, accents and `FILLERS`. Cases without an expected answer need
the same words in the same order. Nothing looser is safe: by three-word runs, the way that leaks are found, "type II"
and "type V" of one disease ask the same.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tunegate.cases.case import Case, asked, content
from tunegate.text.normal_form import normalised

FILLERS = frozenset(
    ["a", "an", "the", "is", "are", "was", "were", "be", "do", "does", "did", "what", "which", "please"]
)
"""Words that do not tell two questions with the same answer apart. The list is English; other languages lose nothing,
they find fewer spellings."""


def spellings(cases: Iterable[Case]) -> list[list[Case]]:
    """The questions that several distinct cases ask, with these cases."""
    return list(_spelled(cases).values())


def in_groups(cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases; spellings of one question, and all cases of the groups that these are in, become one group.

    The name of a new group depends on the question alone, so that a further spelling moves no case of the bank.
    """
    label: dict[str, str] = {}
    joined: dict[str, str] = {}

    def last(group: str) -> str:
        while group in joined:
            group = joined[group]
        return group

    for key, alike in _spelled(cases).items():
        named = sorted({last(case.group) for case in alike if case.group is not None})
        first = named[0] if named else f"spelling {hashlib.sha256(key.encode(errors='replace')).hexdigest()[:12]}"
        joined |= dict.fromkeys(named[1:], first)
        label |= {case.id: first for case in alike}
    if not label:
        return tuple(cases)
    return tuple(
        case if (group := label.get(case.id, case.group)) is None else replace(case, group=last(group))
        for case in cases
    )


def _spelled(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """Only cases with the same expected answers can be spellings of one question: most need no closer look."""
    same_answers = [alike for alike in _alike(cases, _answers).values() if len(alike) > 1]
    found = (_alike(some, _question) for some in same_answers)
    return {key: alike for some in found for key, alike in some.items() if len(set(map(content, alike))) > 1}


def _alike(cases: Iterable[Case], key: Callable[[Case], str]) -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        found[key(case)].append(case)
    return found


def _answers(case: Case) -> str:
    return "\0".join(sorted(map(normalised, case.references)))


def _question(case: Case) -> str:
    """What a case asks, the same for all its spellings."""
    words = normalised(asked(case.prompt)).split()
    references = sorted(map(normalised, case.references))
    if references:
        words = sorted([word for word in words if word not in FILLERS] or words)
    return json.dumps([words, normalised(case.context or ""), sorted(map(normalised, case.choices)), references])
