"""Faults of cases that are found before any model is asked: blank prompts, single choices, contradictory answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tunegate.cases.case import Case
from tunegate.checks.check import Check
from tunegate.models.model import as_messages

LONGEST_PART = 5
"""Maximum words; longer parts between semicolons are more likely sentences than separate answers."""


def unfit(cases: Sequence[Case], checks: Sequence[Check]) -> str | None:
    """Why these checks cannot judge some of the cases, whatever the model answers; None if they can judge all."""
    if any(not check.needs_choices for check in checks):
        blank = [case.id for case in cases if _is_blank(case)]
        if blank:
            return (
                f"{_share(blank, cases)} a blank prompt, which asks the model nothing; fill it in, or "
                "leave these rows out with `where`"
            )
    for check in checks:
        holey = [case.id for case in cases if any(not choice.strip() for choice in case.choices)]
        if holey and check.needs_choices and "reference" in check.needs:
            return f"{_share(holey, cases)} a blank choice; fill it in, or remove it from the list"
        single = [case for case in cases if len(case.choices) == 1] if "choices" in check.needs else []
        if single:
            return (
                f"{_share([case.id for case in single], cases)} only 1 choice, {single[0].choices[0][:80]!r}, but "
                f"{check.name} needs two or more; write them as a list of strings, or name the separator: "
                '`cases: {separator: ";"}`'
            )
    return None


def _share(ids: Sequence[str], cases: Sequence[Case]) -> str:
    return f"{len(ids)} of {len(cases)} cases (first {ids[0]!r}) {'has' if len(ids) == 1 else 'have'}"


def _is_blank(case: Case) -> bool:
    """Whether the prompt is blank; for a chat, whether all turns of the user are blank."""
    if isinstance(case.prompt, str):
        return not case.prompt.strip()
    return not any(turn["content"].strip() for turn in case.prompt if turn["role"] != "system")


def contradictions(cases: Sequence[Case]) -> Iterator[tuple[Case, Case]]:
    """Pairs with the same question but without a common answer: no model can pass both.

    Letter case and white space are ignored. Each case is in one pair at most.
    """
    asked: dict[object, list[Case]] = {}
    for case in cases:
        if case.references:
            asked.setdefault(_asked(case), []).append(case)
    for alike in asked.values():
        first = alike[0]
        yield from ((first, other) for other in alike[1:] if not _answers(first) & _answers(other))


def _asked(case: Case) -> object:
    turns = tuple((turn["role"], _plain(turn["content"])) for turn in as_messages(case.prompt))
    return turns, _plain(case.context or ""), tuple(map(_plain, case.choices))


def _answers(case: Case) -> set[str]:
    return set(map(_plain, case.references))


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def listed_in_text(cases: Sequence[Case]) -> list[str]:
    """The ids of cases whose single reference looks like several: short parts between semicolons, bars or brackets."""
    return [case.id for case in cases if len(case.references) == 1 and _looks_like_a_list(case.references[0])]


def _looks_like_a_list(text: str) -> bool:
    parts = [part for part in re.split(r"[;|]", text) if part.strip()]
    several = len(parts) > 1 and all(len(part.split()) <= LONGEST_PART for part in parts)
    return several or bool(re.fullmatch(r"\[\s*(['\"]).*\1\s*\]", text.strip()))
