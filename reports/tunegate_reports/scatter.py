"""A chart of points with two intervals each, as SVG: quality upwards, diversity to the right, labels beside the points.

The chart is 360 units wide, like all charts with text. The style sheet sets the colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from tunegate.stats.paired import Interval
from tunegate_reports.markup import Markup, join, tag

WIDTH, HEIGHT = 360.0, 270.0
LEFT, RIGHT, TOP, FLOOR = 40.0, 342.0, 22.0, 226.0
LETTER, LINE = 6.2, 13.0
"""The width of an average letter, and the height of a line of text."""
RADIUS = 5.5
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """One setting: its label, what a pointer over it shows, its pass rate, its diversity, and their intervals."""

    label: str
    told: str
    rate: float
    rates: Interval
    diversity: float
    diversities: Interval
    chosen: bool = False


def scatter(points: Sequence[Point], accept: float, diversity: str) -> Markup:
    """The points, with a line at the share of cases that must pass; `diversity` names the axis to the right."""
    ends = [end for one in points for end in one.diversities]
    x = _Axis.around(ends, LEFT, RIGHT, most=1.0 if max(ends) <= 1 else inf)
    y = _Axis.around([accept, *(end for one in points for end in one.rates)], FLOOR, TOP, most=1.0)
    places = [(x.at(one.diversity), y.at(one.rate)) for one in points]
    told, needed = "; ".join(one.told for one in points), f"{100 * accept:.3g}% needed"
    line: Box = (RIGHT - LETTER * len(needed), y.at(accept) - LINE - 5, RIGHT, y.at(accept))
    return tag(
        "svg",
        *(_tick(f"{value:.0%}", LEFT, y.at(value), flat=True) for value in y.ticks),
        *(_tick(f"{value:.2f}", x.at(value), FLOOR, flat=False) for value in x.ticks),
        tag("line", x1=LEFT, y1=y.at(accept), x2=RIGHT, y2=y.at(accept), class_="accept-line"),
        tag("text", needed, x=RIGHT, y=y.at(accept) - 5, class_="accept-label", text_anchor="end"),
        *(_point(one, x, y) for one in points),
        *(_label(one.label, box) for one, box in zip(points, _boxes(points, places, line), strict=True)),
        tag("text", "cases passed", x=4.0, y=12.0),
        tag("text", f"diversity: {diversity}", x=RIGHT, y=HEIGHT - 8, text_anchor="end"),
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        role="img",
        aria_label=f"Pass rate and diversity ({diversity}); {100 * accept:.3g}% must pass. {told}",
        class_="chart",
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float, most: float = inf) -> _Axis:
        """An axis that shows all values, with a margin that stops at the least and the greatest possible value."""
        low, high = min(values), max(values)
        margin = max(0.06 * (high - low), 0.01)
        return cls(max(0.0, low - margin), min(most, high + margin), start, end)

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        return [self.low + share * (self.high - self.low) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]


def _tick(text: str, x: float, y: float, *, flat: bool) -> Markup:
    if flat:
        line = tag("line", x1=LEFT, y1=y, x2=RIGHT, y2=y, class_="rule")
        return join([line, tag("text", text, x=x - 6, y=y + 4, text_anchor="end")])
    line = tag("line", x1=x, y1=y, x2=x, y2=y + 4, class_="axis")
    return join([line, tag("text", text, x=x, y=y + 17, text_anchor="middle")])


def _point(one: Point, x: _Axis, y: _Axis) -> Markup:
    at, up = x.at(one.diversity), y.at(one.rate)
    return tag(
        "g",
        tag("title", one.told),
        tag("line", x1=at, y1=y.at(one.rates[0]), x2=at, y2=y.at(one.rates[1]), class_="axis"),
        tag("line", x1=x.at(one.diversities[0]), y1=up, x2=x.at(one.diversities[1]), y2=up, class_="axis"),
        tag("circle", cx=at, cy=up, r=RADIUS + 4, class_="chosen") if one.chosen else None,
        tag("circle", cx=at, cy=up, r=RADIUS, class_="estimate"),
    )


# --- labels --------------------------------------------------------------------------------------------------------


def _boxes(points: Sequence[Point], places: Sequence[tuple[float, float]], line: Box) -> list[Box]:
    """A box for each label, beside its point, where it covers the least of other labels and of points."""
    taken: list[Box] = [line, *((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in places)]
    boxes: list[Box] = []
    for one, (x, y) in zip(points, places, strict=True):
        width = LETTER * len(one.label)
        sides = [
            (x + 10 if right else x - 10 - width, y + down) for down in (-16, 3, -30, 17) for right in (True, False)
        ]
        inside = [side for side in sides if side[0] >= LEFT and side[0] + width <= WIDTH] or sides
        best = min(((a, b, a + width, b + LINE) for a, b in inside), key=lambda box: _covered(box, taken))
        taken.append(best)
        boxes.append(best)
    return boxes


def _covered(box: Box, taken: Sequence[Box]) -> float:
    def length(low: float, high: float, other_low: float, other_high: float) -> float:
        return max(0.0, min(high, other_high) - max(low, other_low))

    return sum(length(box[0], box[2], o[0], o[2]) * length(box[1], box[3], o[1], o[3]) for o in taken)


def _label(text: str, box: Box) -> Markup:
    return tag("text", text, x=box[0], y=box[3] - 3, class_="label")
