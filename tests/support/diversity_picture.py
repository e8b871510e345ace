"""Draws docs/diversity.svg: the figures of collapsed and of honest answers. `python -m tests.support.diversity_picture`

The texts are those of the bench: sentences in one of eight forms, 100 of them.
"""

from __future__ import annotations

from random import Random

from tests.bench.diversity import DRAW, sentence_form
from tests.support.places import ROOT
from tunegate.gates.diversity import Pair, measure
from tunegate.verdicts.diversity import DiversityFigure, DiversityRule

SVG = ROOT / "docs" / "diversity.svg"
LEFT, TOP, WIDTH, ROW = 130, 40, 480, 74
MOST = 1.2
GREY = "#808080"
ANSWERS = (
    ("#00798c", "100 different answers", DRAW),
    ("#edae49", "10 different answers", 10),
    ("#d1495b", "one answer to all", 1),
)
RULE = DiversityRule()


def figures(different: int) -> tuple[DiversityFigure, ...]:
    random = Random(1)
    references = [sentence_form(random) for _ in range(DRAW)]
    known = [sentence_form(random) for _ in range(different)]
    return measure(RULE, [Pair(known[n % different], other, str(n)) for n, other in enumerate(references)])


def draw() -> str:
    """The SVG, readable on light and on dark ground."""
    height = TOP + ROW * len(RULE.measures)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 {height + 90}" font-family="sans-serif" '
        f'font-size="13" fill="{GREY}" role="img">',
        "<title>The diversity of answers as a share of that of the references, by measure</title>",
        f'<text x="{LEFT}" y="18">diversity as a share of that of the references; the thin line ends at the upper '
        "limit</text>",
    ]
    for tick in range(0, 13, 2):
        x = _x(tick / 10)
        parts.append(f'<path d="M{x:.1f} {TOP}V{height}" stroke="{GREY}" stroke-opacity=".25"/>')
        parts.append(f'<text x="{x:.1f}" y="{height + 18}" text-anchor="middle">{tick / 10:.1f}</text>')
    for number, (colour, label, different) in enumerate(ANSWERS):
        for row, one in enumerate(figures(different)):
            y = TOP + ROW * row + 16 + 18 * number
            parts.append(f'<path d="M{LEFT} {y}H{_x(one.ratio):.1f}" stroke="{colour}" stroke-width="11"/>')
            parts.append(f'<path d="M{LEFT} {y}H{_x(one.upper):.1f}" stroke="{colour}" stroke-width="2"/>')
            if not number:
                parts.append(f'<text x="{LEFT - 8}" y="{y + 22}" text-anchor="end">{one.measure}</text>')
        x = LEFT + 190 * number
        parts.append(f'<path d="M{x} {height + 44}h28" stroke="{colour}" stroke-width="11"/>')
        parts.append(f'<text x="{x + 36}" y="{height + 48}">{label}</text>')
    least = _x(RULE.at_least)
    parts.append(f'<path d="M{least:.1f} {TOP}V{height}" stroke="{GREY}" stroke-width="2" stroke-dasharray="5 4"/>')
    parts.append(
        f'<text x="{LEFT}" y="{height + 76}">dashed: at_least 0.8; a gate fails if an upper limit is below it</text>'
    )
    return "\n".join([*parts, "</svg>", ""])


def _x(share: float) -> float:
    return LEFT + WIDTH * min(share, MOST) / MOST


if __name__ == "__main__":
    SVG.write_text(draw(), encoding="utf-8")
