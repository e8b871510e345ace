"""Draws docs/prompts.svg, what the best of several prompts is worth: `python -m tests.support.prompts_curve`."""

from __future__ import annotations

from tests.support.places import ROOT
from tunegate.stats.sampling import binomial_tail

SVG = ROOT / "docs" / "prompts.svg"
DRAW, ACCEPT, BAD = 100, 90, 0.85
MOST = 20
LEFT, TOP, WIDTH, HEIGHT = 60, 24, 600, 260
GREY, NAIVE, FRESH = "#808080", "#d1495b", "#00798c"


def lucky_best(prompts: int) -> float:
    """The chance that at least one of several equal prompts, each right on 85 % of all cases, passes 90 of 100.

    The prompts answer independently of each other; prompts that answer alike are less often lucky than this.
    """
    return 1 - (1 - binomial_tail(ACCEPT, DRAW, BAD)) ** prompts


def draw() -> str:
    """The SVG, readable on light and on dark ground."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 390" font-family="sans-serif" font-size="13" '
        f'fill="{GREY}" role="img">',
        "<title>Chance that a bad prompt passes, by the number of prompts that were tried</title>",
    ]
    for tenth in range(0, 11, 2):
        y = _y(tenth / 10)
        parts.append(f'<path d="M{LEFT} {y:.1f}h{WIDTH}" stroke="{GREY}" stroke-opacity=".25"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tenth / 10:.1f}</text>')
    for prompts in (1, 5, 10, 15, 20):
        parts.append(f'<text x="{_x(prompts):.1f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{prompts}</text>')
    parts.append(
        f'<text x="{LEFT}" y="{TOP - 8}">chance that a prompt that is right on 85 % of all cases passes</text>'
    )
    parts.append(f'<text x="{LEFT + WIDTH}" y="{TOP + HEIGHT + 38}" text-anchor="end">prompts tried</text>')
    tried = range(1, MOST + 1)
    curves = [
        (NAIVE, "the best prompt passes 90 of the 100 cases on which it was chosen", [lucky_best(k) for k in tried]),
        (FRESH, "the best prompt passes 90 of 100 fresh cases", [lucky_best(1) for _ in tried]),
    ]
    for number, (colour, label, chances) in enumerate(curves):
        points = " ".join(f"{_x(k):.1f},{_y(chance):.1f}" for k, chance in zip(tried, chances, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        y = TOP + HEIGHT + 62 + 20 * number
        parts.append(f'<path d="M{LEFT} {y - 4}h28" stroke="{colour}" stroke-width="2.5"/>')
        parts.append(f'<text x="{LEFT + 38}" y="{y}">{label}: {chances[9]:.3f} with 10 prompts</text>')
    return "\n".join([*parts, "</svg>", ""])


def _x(prompts: int) -> float:
    return LEFT + WIDTH * (prompts - 1) / (MOST - 1)


def _y(chance: float) -> float:
    return TOP + HEIGHT * (1 - chance)


if __name__ == "__main__":
    SVG.write_text(draw(), encoding="utf-8")
