"""HTML of the limits of a gate: for each one its verdict, and its requests as a strip of points with the limit."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tunegate.record.record import GateRecord
from tunegate.verdicts.limit_words import NAMES, measured_in_words, number, words_of
from tunegate.verdicts.limits import FLOORS, LimitResult
from tunegate_reports.charts import LEFT, RIGHT, WIDTH
from tunegate_reports.markup import Markup, join, tag

MIDDLE, SPREAD = 34.0, 9.0
MOST_POINTS = 400
"""How many points a strip shows at most; of more requests, evenly spaced ones in the order of their values."""


def limits(gate: GateRecord) -> Markup | None:
    """The limits of a gate; None without limits, and before they were measured."""
    results, figures = gate.limit_results, gate.figures
    if not results or figures is None:
        return None
    told = measured_in_words(figures)
    again = f" They were measured {len(gate.timed)} times, since figures were missing before." * (len(gate.timed) > 1)
    note = f"{told[:1].upper()}{told[1:]}. These times are those of this machine; they cannot be measured again.{again}"
    return join(
        [
            tag("p", "Limits on serving", class_="caption"),
            *(part for result in results for part in _limit(result)),
            tag("p", note, class_="quiet"),
        ]
    )


def _limit(result: LimitResult) -> tuple[Markup | None, ...]:
    words = words_of(result)
    said = tag("p", tag("strong", f"{result.verdict}: "), words, class_="limit")
    return said, strip_chart(result)


def strip_chart(result: LimitResult) -> Markup | None:
    """One point for each figure of a limit on a scale that starts at 0, and a line at the limit.

    A point beyond four times the limit is drawn at the end of the scale. None where nothing was measured.
    """
    limit, single = result.limit, [] if result.value is None else [result.value]
    values = sorted(value for value in result.values or single if value is not None)
    if not values:
        return None
    name, unit = NAMES[limit.name]
    if limit.ratio:
        unit = "times the baseline"
    line = limit.bound
    end = max(line * 1.25, min(values[-1] * 1.05, line * 4))
    cut = sum(value > end for value in values)

    def x(value: float) -> float:
        return LEFT + min(value, end) / end * (RIGHT - LEFT)

    def point(place: int, value: float) -> Markup:
        kept = value >= limit.bound if limit.name in FLOORS else value <= limit.bound
        height = MIDDLE + SPREAD * math.sin(2.4 * place)  # points of one value stay apart
        return tag("circle", cx=round(x(value), 1), cy=round(height, 1), r=2.5, class_="kept" if kept else "over")

    over = f", {cut} beyond the scale" if cut else ""
    told = f"{name}: {len(values)} figures from {values[0]:.3g} to {values[-1]:.3g} {unit}{over}; limit {limit.bound:g}"
    at, anchor = (x(line) - 5, "end") if x(line) > WIDTH / 2 else (x(line) + 5, "start")
    axis = tag("line", x1=LEFT, y1=50, x2=RIGHT, y2=50, class_="axis")
    return tag(
        "svg",
        axis,
        *(point(place, value) for place, value in enumerate(_thinned(values))),
        tag("line", x1=x(line), y1=4, x2=x(line), y2=50, class_="accept-line"),
        tag("text", f"limit {number(limit.bound)} {unit}", x=at, y=12, class_="accept-label", text_anchor=anchor),
        tag("text", "0", x=LEFT, y=64, text_anchor="start"),
        tag("text", f"{number(end)} {unit}{over}", x=RIGHT, y=64, text_anchor="end"),
        viewBox="0 0 360 68",
        role="img",
        aria_label=told,
        class_="chart strip",
    )


def _thinned(values: Sequence[float]) -> Sequence[float]:
    if len(values) <= MOST_POINTS:
        return values
    return [values[place * (len(values) - 1) // (MOST_POINTS - 1)] for place in range(MOST_POINTS)]
