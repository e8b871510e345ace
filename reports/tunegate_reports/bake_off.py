"""The page of a bake-off, in one file: a chart of pass rate by model size, and a table with the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from tunegate.choosing.bake_off import BakeOff, Ranked
from tunegate.choosing.bake_off_words import HEAD, cells, corrected_words, in_bytes, winner_words
from tunegate_reports.answer import capitalised
from tunegate_reports.files import write_atomically
from tunegate_reports.markup import Markup, join, tag
from tunegate_reports.page import page_without_script, ranked_table

LEFT, RIGHT, TOP, FLOOR = 40.0, 340.0, 16.0, 196.0
WIDTH, HEIGHT = 360, 226

WAYS_TO_READ = (
    "Each dot is a model, numbered as in the table. The line through it is the 95 % interval of its pass rate. "
    "All models were asked the same cases."
)


def write_bake_off(result: BakeOff, path: Path) -> None:
    """Write the page to `path`; raises CannotJudge when the disk is full."""
    write_atomically(path, render(result))


def render(result: BakeOff) -> str:
    """The page, which has no script."""
    title = f"Bake-off on {result.suite}: {len(result.ranked)} models, {result.draw} cases"
    content = (*_picture(result.ranked), ranked_table(HEAD, [cells(one) for one in result.ranked]), *_notes(result))
    return page_without_script(title, "Tunegate bake-off", *content)


def _notes(result: BakeOff) -> list[Markup]:
    notes = [f"{one.entry.model}: {one.entry.reason}" for one in result.ranked if one.standing == "INVALID"]
    if result.pairs > 1:
        notes.append(f"{corrected_words(result.pairs)}.")
    if chosen := winner_words(result.ranked):
        notes.append(f"{capitalised(chosen)}.")
    notes.append(f"Suite {result.suite}, SHA-256 {result.suite_sha256}, seed {result.seed}.")
    return [tag("p", note, class_="quiet") for note in notes]


# --- the picture ---------------------------------------------------------------------------------------------------


def _picture(ranked: Sequence[Ranked]) -> list[Markup]:
    """Empty when no judged model has a known size."""
    placed = [
        (number, one)
        for number, one in enumerate(ranked, 1)
        if one.standing != "INVALID" and one.entry.facts.size_bytes
    ]
    return [scatter(placed), tag("p", WAYS_TO_READ, class_="quiet")] if placed else []


def scatter(placed: Sequence[tuple[int, Ranked]]) -> Markup:
    """Pass rate by size on disk, on a logarithmic axis; `placed` has the models of known size with their numbers."""
    sizes = [math.log10(one.entry.facts.size_bytes or 1) for _, one in placed]
    low, high = min(sizes) - 0.15, max(sizes) + 0.15

    def x(size: float) -> float:
        return LEFT + (math.log10(size) - low) / (high - low) * (RIGHT - LEFT)

    def dot(number: int, one: Ranked) -> Markup:
        entry = one.entry
        start, end = entry.gate.interval if entry.gate else (0.0, 1.0)
        size = float(entry.facts.size_bytes or 1)
        at = x(size)
        told = f"{number}: {entry.model}, {entry.rate:.0%} of the cases, {in_bytes(size)}"
        return tag(
            "g",
            tag("title", told),
            tag("line", x1=at, y1=_y(start), x2=at, y2=_y(end), class_="axis"),
            tag("circle", cx=at, cy=_y(entry.rate), r=5.5, class_="estimate"),
            _text(str(number), at + 9, _y(entry.rate) + 4, "start"),
        )

    ends = [10.0 ** (low + 0.15), 10.0 ** (high - 0.15)]
    labels = [_text(in_bytes(size), x(size), FLOOR + 16, "middle") for size in (ends if high - low > 0.4 else ends[:1])]
    return tag(
        "svg",
        join([*(part for rate in (0.0, 0.25, 0.5, 0.75, 1.0) for part in _rule(rate))]),
        join([dot(number, one) for number, one in placed]),
        join(labels),
        _text("size on disk", (LEFT + RIGHT) / 2, HEIGHT - 2, "middle"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label="Pass rate by size: " + "; ".join(f"{n}: {one.entry.rate:.0%}" for n, one in placed),
        class_="chart",
    )


def _y(rate: float) -> float:
    return FLOOR - rate * (FLOOR - TOP)


def _rule(rate: float) -> tuple[Markup, Markup]:
    line = tag("line", x1=LEFT, y1=_y(rate), x2=RIGHT, y2=_y(rate), class_="rule")
    return line, _text(f"{rate:.0%}", LEFT - 6, _y(rate) + 4, "end")


def _text(text: str, x: float, y: float, anchor: str) -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor)
