"""The charts of a report, as SVG: intervals, losses against an earlier model, histograms of scores, loss curves.

Every chart with text is 360 units wide, so that all text has the same size. The style sheet sets the colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tunegate.record.record import GateRecord
from tunegate.stats.agreement import Share
from tunegate.stats.paired import PairedCounts
from tunegate.verdicts.diversity import DiversityFigure
from tunegate_reports.answer import asked
from tunegate_reports.histogram import Bin, Histogram
from tunegate_reports.markup import Markup, join, tag

WIDTH = 360.0
LEFT, RIGHT = 8.0, 352.0
MAX_POINTS = 300


def interval_chart(gate: GateRecord) -> Markup:
    """The exact interval of the pass rate on an axis that ends at 100 %, with a line at the passes needed where a count
    decides."""
    low, high = gate.interval
    rate = gate.passed / (asked(gate) or 1)
    line = gate.accept / gate.drawn if gate.purpose in ("gate", "confirm") else None
    start = max(0.0, math.floor((min(low, low if line is None else line) - 0.03) * 20) / 20)

    def x(share: float) -> float:
        return LEFT + (share - start) / (1.0 - start) * (RIGHT - LEFT)

    told = f"Pass rate {rate:.1%}, 95 % interval from {low:.1%} to {high:.1%}"
    return _svg(
        64,
        told if line is None else f"{told}; {line:.0%} is needed",
        _line(LEFT, 34, RIGHT, 34, "axis"),
        *(_line(x(tick), 31, x(tick), 37, "axis") for tick in (start, 1.0)),
        tag("rect", x=x(low), y=29, width=max(x(high) - x(low), 2.0), height=10, rx=5, class_="range"),
        *(() if line is None else _bound(f"{gate.accept} needed", x(line), 46)),
        tag("circle", cx=x(rate), cy=34, r=5.5, class_="estimate"),
        _text(f"{start:.0%}", LEFT, 58, "start"),
        _text("100%", RIGHT, 58, "end"),
    )


def drop_chart(counts: PairedCounts, max_drop: float) -> Markup:
    """How much a model lost compared with an earlier one, in percentage points: estimate, interval and limit."""
    low, high = counts.drop_interval
    start, end = min(low, 0.0), max(high, max_drop)
    start, end = start - (end - start) * 0.08 - 0.5, end + (end - start) * 0.08 + 0.5

    def x(points: float) -> float:
        return LEFT + (points - start) / (end - start) * (RIGHT - LEFT)

    return _svg(
        64,
        f"{counts.drop:.3g} points fewer, 95 % interval from {low:.1f} to {high:.1f}; {max_drop:g} are allowed",
        _line(LEFT, 34, RIGHT, 34, "axis"),
        _line(x(0.0), 29, x(0.0), 39, "axis"),
        tag("rect", x=x(low), y=29, width=max(x(high) - x(low), 2.0), height=10, rx=5, class_="range"),
        *_bound(f"{max_drop:g} allowed", x(max_drop), 46),
        tag("circle", cx=x(counts.drop), cy=34, r=5.5, class_="estimate"),
        _text("0", x(0.0), 58, "middle"),
        _text("passes more", LEFT, 58, "start") if x(0.0) > 100 else None,
        _text("passes fewer", RIGHT, 58, "end"),
    )


def rate_bar(share: Share, least: float | None) -> Markup:
    """A pass rate and its exact interval on an axis from 0 to 100 %, with the minimum if there is one."""
    low, high = (100.0 * bound for bound in share.interval)
    at = 100.0 * (share.rate or 0.0)
    told = f"95 % interval {low:.1f} % to {high:.1f} %" + ("" if least is None else f", at least {least:.0%} needed")
    return tag(
        "svg",
        tag("title", told),
        tag("rect", x=0, y=4, width=100, height=2, class_="rail"),
        tag("rect", x=low, y=2, width=max(high - low, 1.0), height=6, class_="range") if share.of else None,
        tag("rect", x=min(max(at - 0.8, 0.0), 98.4), y=0, width=1.6, height=10, class_="estimate")
        if share.of
        else None,
        None if least is None else _line(min(99.2, 100.0 * least), 0, min(99.2, 100.0 * least), 10, "accept-line"),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=told,
    )


def diversity_bars(one: DiversityFigure, at_least: float) -> Markup:
    """Two bars, the diversity of the answers below that of the texts they are compared with, and a line where the
    answers must reach."""
    scale = 100.0 / (max(one.answers, one.others) or 1.0)
    least = min(99.2, at_least * one.others * scale)
    figures = f"{one.measure}: answers {one.answers:.3g}, compared with {one.others:.3g}"
    told = f"{figures}; the upper limit of their ratio is {one.upper:.2f}"
    return tag(
        "svg",
        tag("title", told),
        tag("rect", x=0, y=0, width=one.others * scale, height=4, class_="range"),
        tag("rect", x=0, y=6, width=max(one.answers * scale, 0.6), height=4, class_="estimate"),
        _line(least, 0, least, 10, "accept-line"),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=told,
    )


def histogram_chart(scores: Histogram, check: str) -> Markup:
    """A histogram of scores: misses hatched on top of passes, and the cut-off as a line."""
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
        *(part for cutoff in scores.cutoffs[:3] for part in _bound(f"cut-off {cutoff:.3g}", x(cutoff), floor)),
        _text(f"{scores.low:.3g}", LEFT, 100, "start"),
        _text(f"{scores.high:.3g}", RIGHT, 100, "end"),
    )


def lengths_chart(bins: Sequence[tuple[int, int, int]], limit: int | None) -> Markup:
    """A histogram of rows by number of tokens, with the limit above which rows are left out or cut."""
    floor, top = 84.0, 18.0
    tallest = max(rows for _, _, rows in bins)
    low, high = bins[0][0], bins[-1][0] + (bins[0][1] - bins[0][0] + 1)  # the last bin is drawn as wide as the others
    thick = (RIGHT - LEFT) / len(bins)

    def x(tokens: float) -> float:
        return LEFT + (min(tokens, high) - low) / (high - low) * (RIGHT - LEFT)

    def bar(start: int, end: int, rows: int) -> Markup:
        height = max(rows * (floor - top) / tallest, 1.5)
        told = tag("title", f"{start:,} to {end:,} tokens: {rows:,} rows")
        drawn = tag("rect", x=x(start) + 1, y=floor - height, width=max(thick - 2, 1.0), height=height, class_="range")
        return tag("g", told, drawn)

    cut = "" if limit is None else f", max_length {limit:,}"
    return _svg(
        104,
        f"Rows by tokens, from {low:,} to {bins[-1][1]:,}{cut}",
        *(bar(*one) for one in bins if one[2]),
        _line(LEFT, floor, RIGHT, floor, "axis"),
        *(() if limit is None or limit < low else _bound(f"max_length {limit:,}", x(limit), floor)),
        _text(f"{low:,}", LEFT, 100, "start"),
        _text(f"{bins[-1][1]:,} tokens", RIGHT, 100, "end"),
    )


def _bound(words: str, x: float, floor: float) -> tuple[Markup, Markup]:
    """A line at a limit, with its label on the side that has room."""
    near_end = x > WIDTH / 2
    at, anchor = (x - 5, "end") if near_end else (x + 5, "start")
    return _line(x, 4, x, floor, "accept-line"), tag(
        "text", words, x=at, y=12, class_="accept-label", text_anchor=anchor
    )


Curves = Sequence[tuple[int, Sequence[tuple[float, float]]]]
"""(attempt, points of (step, value)) for each line."""


def loss_chart(curves: Curves, stage: str) -> Markup:
    """Training loss over steps, one line per attempt."""
    losses = [loss for _, curve in curves for _, loss in curve]
    return _curve_chart(curves, f"Training loss of stage {stage}", min(0.0, *losses), max(losses), ".2g")


def watch_chart(curves: Curves, stage: str) -> Markup:
    """The pass rate of the watched gate over steps, one line per attempt."""
    return _curve_chart(curves, f"Pass rate of the gate that stage {stage} watched", 0.0, 1.0, ".0%")


def _curve_chart(curves: Curves, title: str, lowest: float, highest: float, form: str) -> Markup:
    """Values over steps, one line per attempt; lines differ by dash and are labelled at their end."""
    left, floor, top = 38.0, 132.0, 10.0
    last_step = max(step for _, curve in curves for step, _ in curve)
    span = (highest - lowest) or 1.0

    def place(point: tuple[float, float]) -> tuple[float, float]:
        step, value = point
        return left + step / (last_step or 1.0) * (300.0 - left), floor - (value - lowest) / span * (floor - top)

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
        f"{title}: {ends}",
        *(_line(left, place((0, tick))[1], 300, place((0, tick))[1], "rule") for tick in ticks),
        *(_text(format(tick, form), left - 6, place((0, tick))[1] + 4, "end") for tick in ticks),
        *lines,
        *labels,
        _text("0", left, 147, "start"),
        _text(f"{last_step:g} steps", 300, 147, "end"),
    )


def _thinned(curve: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MAX_POINTS of the points, always including the last."""
    stride = -(-len(curve) // MAX_POINTS)
    return [*curve[:-1:stride], curve[-1]]


def _svg(height: int, label: str, *parts: Markup | None) -> Markup:
    return tag("svg", join(parts), viewBox=f"0 0 360 {height}", role="img", aria_label=label, class_="chart")


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def _text(text: str, x: float, y: float, anchor: str) -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
