"""The drawings of a report, as SVG: the interval of a gate, histograms of scores, loss curves.

All are 360 units wide, so that their lettering has the same size everywhere; colours come from the style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tunegate.record import GateRecord
from tunegate_reports.answer import asked
from tunegate_reports.histogram import Bin, Histogram
from tunegate_reports.markup import Markup, join, tag

WIDTH = 360.0
LEFT, RIGHT = 8.0, 352.0
MAX_POINTS = 300


def interval_chart(gate: GateRecord) -> Markup:
    """The exact interval of the pass rate on an axis that ends at 100 %, with the accept line."""
    low, high = gate.interval
    rate, line = gate.passed / (asked(gate) or 1), gate.accept / gate.drawn
    start = max(0.0, math.floor((min(low, line) - 0.03) * 20) / 20)

    def x(share: float) -> float:
        return LEFT + (share - start) / (1.0 - start) * (RIGHT - LEFT)

    near_end = x(line) > WIDTH / 2
    label = tag(
        "text",
        f"{gate.accept} needed",
        x=x(line) - 5 if near_end else x(line) + 5,
        y=12,
        class_="accept-label",
        text_anchor="end" if near_end else "start",
    )
    return _svg(
        64,
        f"Pass rate {rate:.1%}, 95 % interval from {low:.1%} to {high:.1%}; {line:.0%} is needed",
        _line(LEFT, 34, RIGHT, 34, "axis"),
        *(_line(x(tick), 31, x(tick), 37, "axis") for tick in (start, 1.0)),
        tag("rect", x=x(low), y=29, width=max(x(high) - x(low), 2.0), height=10, rx=5, class_="range"),
        _line(x(line), 4, x(line), 46, "accept-line"),
        tag("circle", cx=x(rate), cy=34, r=5.5, class_="estimate"),
        label,
        _text(f"{start:.0%}", LEFT, 58, "start"),
        _text("100%", RIGHT, 58, "end"),
    )


def histogram_chart(scores: Histogram, check: str) -> Markup:
    """Bars of scores, misses hatched on top of passes, and the cut-off as a line."""
    floor, top = 84.0, 18.0
    tallest = max(bin_.passed + bin_.missed for bin_ in scores.bins)
    width = (RIGHT - LEFT) / len(scores.bins)

    def x(score: float) -> float:
        return LEFT + (score - scores.low) / (scores.high - scores.low) * (RIGHT - LEFT)

    def bar(bin_: Bin) -> Markup:
        unit = (floor - top) / tallest
        passed, missed = (max(count * unit, 3.0) if count else 0.0 for count in (bin_.passed, bin_.missed))
        left, thick = x(bin_.low) + 1, max(width - 2, 1.0)
        return tag(
            "g",
            tag("title", f"{bin_.low:.3g} to {bin_.high:.3g}: {bin_.passed} passed, {bin_.missed} did not"),
            tag("rect", x=left, y=floor - passed, width=thick, height=passed, class_="bar-pass"),
            tag("rect", x=left, y=floor - passed - missed, width=thick, height=missed, class_="bar-miss"),
        )

    return _svg(
        104,
        f"Scores of {check} from {scores.low:.3g} to {scores.high:.3g}, cut-off {_numbers(scores.cutoffs) or 'none'}",
        *(bar(bin_) for bin_ in scores.bins if bin_.passed or bin_.missed),
        _line(LEFT, floor, RIGHT, floor, "axis"),
        *(part for cutoff in scores.cutoffs[:3] for part in _cutoff(cutoff, x(cutoff), floor)),
        _text(f"{scores.low:.3g}", LEFT, 100, "start"),
        _text(f"{scores.high:.3g}", RIGHT, 100, "end"),
    )


def _cutoff(cutoff: float, x: float, floor: float) -> tuple[Markup, Markup]:
    near_end = x > WIDTH / 2
    label = tag(
        "text",
        f"cut-off {cutoff:.3g}",
        x=x - 5 if near_end else x + 5,
        y=12,
        class_="accept-label",
        text_anchor="end" if near_end else "start",
    )
    return _line(x, 4, x, floor, "accept-line"), label


def loss_chart(curves: Sequence[tuple[int, Sequence[tuple[float, float]]]], stage: str) -> Markup:
    """Training loss over steps, one line per attempt; lines differ by dash and are labelled at their end."""
    left, floor, top = 38.0, 132.0, 10.0
    points = [point for _, curve in curves for point in curve]
    last_step, highest = max(step for step, _ in points), max(loss for _, loss in points)
    lowest = min(0.0, min(loss for _, loss in points))
    span = (highest - lowest) or 1.0

    def place(point: tuple[float, float]) -> tuple[float, float]:
        step, loss = point
        return left + step / (last_step or 1.0) * (300.0 - left), floor - (loss - lowest) / span * (floor - top)

    lines: list[Markup] = []
    labels: list[Markup] = []
    for order, (attempt, curve) in enumerate(curves):
        placed = [place(point) for point in _thinned(curve)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        lines.append(tag("polyline", points=path, class_=f"loss loss-{order % 5}"))
        lines.append(tag("circle", cx=placed[-1][0], cy=placed[-1][1], r=2.5, class_=f"loss-end loss-{order % 5}"))
        labels.append(_text(f"attempt {attempt}", placed[-1][0] + 6, placed[-1][1] - 5, "start"))
    ends = "; ".join(f"attempt {attempt} from {curve[0][1]:.3g} to {curve[-1][1]:.3g}" for attempt, curve in curves)
    ticks = [lowest, lowest + span / 2, highest]
    return _svg(
        152,
        f"Training loss of stage {stage}: {ends}",
        *(_line(left, place((0, tick))[1], 300, place((0, tick))[1], "rule") for tick in ticks),
        *(_text(f"{tick:.2g}", left - 6, place((0, tick))[1] + 4, "end") for tick in ticks),
        *lines,
        *labels,
        _text("0", left, 147, "start"),
        _text(f"{last_step:g} steps", 300, 147, "end"),
    )


def _thinned(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MAX_POINTS of the points, the last one among them."""
    stride = -(-len(curve) // MAX_POINTS)
    return [*curve[:-1:stride], curve[-1]]


def _svg(height: int, label: str, *parts: Markup) -> Markup:
    return tag("svg", join(parts), viewBox=f"0 0 360 {height}", role="img", aria_label=label, class_="chart")


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def _text(text: str, x: float, y: float, anchor: str) -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
