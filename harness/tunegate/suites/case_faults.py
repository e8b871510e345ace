"""Faults of cases that are found before any model is asked: blank prompts, single choices, contradictory answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tunegate.cases.case import Case
from tunegate.checks.check import Check
from tunegate.models.model import Form, GenerationSettings, as_messages

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


_REPEAT = re.compile(r"(?: \[(?:sample|variant) \d+\])+$")


def named_as_a_repeat(cases: Sequence[Case]) -> str | None:
    """The fault of a case whose id has the form of a repetition of another case."""
    ids = {case.id for case in cases}
    for case in cases:
        base = _REPEAT.sub("", case.id)
        if base != case.id and base in ids:
            return f"the id {case.id!r} is reserved for repeated answers to case {base!r}; use another id"
    return None


def form_fault(
    said: Form | None, settings: GenerationSettings, checks: Sequence[Check], cases: Sequence[Case]
) -> str | None:
    """The fault of the form of the prompts: messages that raw text cannot express, or two different forms."""
    asked = [(case.id, settings.asks(case.prompt)) for case in cases]
    if said == "raw":
        chats = [case_id for case_id, prompt in asked if not isinstance(prompt, str)]
        if not chats:
            return None
        return (
            f"raw text cannot express chats, but {len(chats)} of {len(cases)} cases are chats, first {chats[0]!r}; use "
            "plain prompts, and `system_as: first_user` for a system message"
        )
    scored = [check.name for check in checks if check.needs_choices]
    generated = [check.name for check in checks if not check.needs_choices]
    if said is None and scored and generated and any(isinstance(prompt, str) for _, prompt in asked):
        return (
            f"{scored[0]} asks plain prompts as raw text, {generated[0]} through the model's chat template: write "
            "`form: chat` or `form: raw` for both, or `form: auto` if this is intended"
        )
    return None
