"""Leaked tests: the training row and the case side by side, with their shared words marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from tunegate.data.card_words import which_rows
from tunegate.record.record import RunRecord
from tunegate.text.words import word_spans
from tunegate_reports.markup import Markup, join, tag

SHOWN = 20
"""How many pairs the page shows; the record has all of them."""
LISTED = 60
"""How many dropped rows and cases the page lists."""
SHARED_WORDS = 3
"""Shorter runs of shared words may be chance, so they are not marked."""

Fact = Mapping[str, Any]


def leak_notices(run: RunRecord) -> Iterator[Markup]:
    """One notice for the leaks that stopped the run, and one for each stage whose leaked rows were dropped."""
    if run.leaks:
        yield _notice(_found(run.leaks), run.leaks)
    for stage in run.dropped:
        yield _notice(f"{dropped_words(stage)}.", stage["leaks"], _listed(stage))


def dropped_words(stage: Fact) -> str:
    """`Stage sft: 2 of 10 training rows were dropped before training; they reveal the answers of 4 cases`"""
    return (
        f"Stage {stage['stage']}: {which_rows(stage)} were dropped before "
        f"training; they reveal the answers of {len(stage['cases'])} cases"
    )


def _listed(stage: Fact) -> Markup:
    """Which rows were dropped, and which cases they leak."""
    told = (f"{name} {', '.join(map(str, items[:LISTED]))}" for name, items in _dropped(stage))
    more = "; all are in the record" if any(len(items) > LISTED for _, items in _dropped(stage)) else ""
    return tag("p", "; ".join(told) + more, class_="quiet")


def _dropped(stage: Fact) -> Iterator[tuple[str, Sequence[Any]]]:
    yield "Rows", stage["rows"]
    yield "cases", stage["cases"]


def _found(leaks: Sequence[Fact]) -> str:
    rows = len({(leak.get("train_file"), leak.get("train_row")) for leak in leaks})
    found = "1 training row is also" if rows == 1 else f"{rows} training rows are also"
    return f"{found} in a suite, so nothing was trained."


def _notice(sentence: str, leaks: Sequence[Fact], listed: Markup | None = None) -> Markup:
    shown = [leak for leak in leaks if "train_text" in leak][:SHOWN] or list(leaks[:SHOWN])
    more = len(leaks) - len(shown)
    head = tag("tr", tag("th", "Training row"), tag("th", "Case"), tag("th", "Found as"))
    return tag(
        "div",
        tag("strong", "Leaked tests: "),
        sentence,
        tag(
            "details",
            tag("summary", f"{len(shown)} side by side" + (f"; {more} more pairs are in the record" if more else "")),
            listed,
            tag("table", tag("thead", head), tag("tbody", *(_row(leak) for leak in shown)), class_="leaks"),
        ),
        class_="notice",
    )


def _row(leak: Fact) -> Markup:
    taught, asked = str(leak.get("train_text", "")), str(leak.get("case_text", ""))
    of_row, of_case = marked(taught, asked)
    file = str(leak.get("train_file", "")).rsplit("/", 1)[-1]
    similarity = leak.get("similarity")
    kind = str(leak.get("kind", "")).replace("_", " ")
    return tag(
        "tr",
        tag("td", tag("small", f"{file}:{leak.get('train_row', '?')}"), tag("p", of_row)),
        tag("td", tag("small", f"{leak.get('suite', '?')}/{leak.get('case_id', '?')}"), tag("p", of_case)),
        tag("td", f"{kind} {similarity:.2f}" if isinstance(similarity, int | float) else kind),
    )


def marked(one: str, other: str) -> tuple[Markup, Markup]:
    """Both texts with their shared runs of words marked; case and punctuation are ignored."""
    left, right = (" ".join(text.split()) for text in (one, other))
    lefts, rights = list(word_spans(left)), list(word_spans(right))
    ours, theirs = ([_plain(text[a:b]) for a, b in spans] for text, spans in ((left, lefts), (right, rights)))
    blocks = SequenceMatcher(None, ours, theirs, False).get_matching_blocks()
    shared = [block for block in blocks if block.size >= min(SHARED_WORDS, max(1, len(rights)))]
    return (
        _with_marks(left, [(lefts[block.a][0], lefts[block.a + block.size - 1][1]) for block in shared]),
        _with_marks(right, [(rights[block.b][0], rights[block.b + block.size - 1][1]) for block in shared]),
    )


def _with_marks(text: str, spans: Sequence[tuple[int, int]]) -> Markup:
    parts: list[Markup | str] = []
    at = 0
    for start, end in spans:
        parts += [text[at:start], tag("mark", text[start:end])]
        at = end
    return join([*parts, text[at:]])


def _plain(word: str) -> str:
    return "".join(char for char in word.casefold() if char.isalnum()) or word
