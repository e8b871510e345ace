"""The card of generated data: from which prompts, by which model, how, what was dropped and why, and how varied it is.

It names no time and no folder of the machine, so that the same command gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FIGURES = {
    "texts": "answers",
    "distinct_1": "distinct-1 (different words as a share of all)",
    "distinct_2": "distinct-2 (different pairs of words as a share of all)",
    "different": "different answers as a share of all",
    "near_duplicates": "share of answers that nearly repeat an earlier one",
}


def card_markdown(card: Mapping[str, Any]) -> str:
    """The card as Markdown, for people and for a data set's page."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    model, prompts, checks = card["model"], card["prompts"], card["checks"]
    yield f"# {card['file']}"
    yield ""
    yield (
        f"{card['rows']:,} rows, made by Tunegate {card['tunegate']} from {card['asked']:,} answers to "
        f"{prompts['prompts']:,} prompts. SHA-256 of the file: `{card['sha256']}`."
    )
    yield ""
    yield f"- Model: {model['name']} (SHA-256: {model['sha256'] or 'unknown, it is behind a server'})"
    yield f"- Prompts: {prompts['file']} (SHA-256: {prompts['sha256']})"
    yield "- Settings: " + ", ".join(f"{name} {value!r}" for name, value in card["settings"].items())
    yield "- Checks: " + ("none" if checks is None else f"{', '.join(checks['names'])} of {checks['suite']}")
    suites = ", ".join(f"{suite['name']} ({suite['cases']:,} cases)" for suite in card["not_in"])
    yield f"- Compared with the cases of: {suites or 'no suite, so the rows may contain test cases'}"
    yield ""
    yield "| what became of the answers | answers |"
    yield "|---|---:|"
    yield f"| kept | {card['rows']:,} |"
    yield from (f"| dropped: {why} | {count:,} |" for why, count in card["dropped"].items())
    yield ""
    before, after = card["diversity"]["before"], card["diversity"]["after"]
    yield "| diversity | whole answers | kept rows |"
    yield "|---|---:|---:|"
    yield from (
        f"| {words} | {_number(before.get(name))} | {_number(after.get(name))} |" for name, words in FIGURES.items()
    )
    if card["tags"]:
        yield ""
        yield "| tag | rows |"
        yield "|---|---:|"
        yield from (f"| {tag} | {count:,} |" for tag, count in card["tags"].items())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
