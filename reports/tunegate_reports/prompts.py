"""The page of a bake-off of prompts, in one file: the conclusion, the table, and the prompts as text, compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path

from tunegate.choosing.bake_off import Ranked
from tunegate.choosing.prompts import PromptBakeOff
from tunegate.choosing.prompts_words import HEAD, conclusion, notes, prompt_cells
from tunegate_reports.answer import capitalised
from tunegate_reports.files import write_atomically
from tunegate_reports.markup import Markup, join, tag
from tunegate_reports.page import page_without_script, ranked_table

MARKED = "Marked in a prompt: the words that differ from the best prompt."
AS_IT_IS = "(the question alone)"
MOST_WORDS = 2000
"""Longer prompts are not compared: the time grows with the square of their length."""


def write_prompts(result: PromptBakeOff, path: Path) -> None:
    """Write the page to `path`; raises CannotJudge when the disk is full."""
    write_atomically(path, render(result))


def render(result: PromptBakeOff) -> str:
    """The page, which has no script."""
    choice = result.choice
    below = [line for line in notes(result) if line != conclusion(result)]
    below.append(f"suite {choice.suite}, SHA-256 {choice.suite_sha256}, seed {choice.seed}")
    return page_without_script(
        f"Prompts of {result.model} on {choice.suite}: {len(choice.ranked)} compared on {choice.draw} cases",
        "Tunegate bake-off",
        tag("p", tag("strong", f"{capitalised(conclusion(result))}.")),
        ranked_table(HEAD, [prompt_cells(one) for one in choice.ranked]),
        *(tag("p", f"{capitalised(line)}.", class_="quiet") for line in below),
        tag("h2", "The prompts"),
        tag("p", MARKED, class_="quiet"),
        *(part for place, one in enumerate(choice.ranked, 1) for part in _prompt(result, place, one)),
    )


def _prompt(result: PromptBakeOff, place: int, one: Ranked) -> tuple[Markup, Markup]:
    best, text = result.best, result.prompts[one.entry.model].text
    best_text = text if best is None else result.prompts[best.entry.model].text
    shown = join(list(marked(text, best_text))) if text else tag("span", AS_IT_IS)
    return tag("h3", f"{place}: {one.entry.model}"), tag("div", shown, class_="text")


def marked(text: str, other: str) -> Iterator[Markup]:
    """The text, with the words marked that the other text does not have at this place; very long texts are unmarked."""
    words, others = _words(text), _words(other)
    if max(len(words), len(others)) > MOST_WORDS:
        yield tag("span", text)
        return
    for kind, _, _, begin, end in SequenceMatcher(None, others, words, autojunk=False).get_opcodes():
        if begin < end:
            yield tag("span" if kind == "equal" else "mark", "".join(words[begin:end]))


def _words(text: str) -> list[str]:
    return re.findall(r"\s+|\w+|[^\w\s]", text)
