"""Draws docs/curve.svg, the operating characteristic in the README: `python -m tests.support.readme_curve`."""

from __future__ import annotations

from tests.support.places import ROOT
from tunegate.stats.plans import GatePlan, PlanRule

SVG = ROOT / "docs" / "curve.svg"
ATTEMPTS = 10
LEFT, TOP, WIDTH, HEIGHT = 60, 20, 600, 300
LOWEST = 0.7
GREY = "#808080"


def curves() -> list[tuple[str, str, GatePlan, int]]:
    """(colour, label, plan, attempts)"""
    plain, double = PlanRule(confirm="never").resolve(ATTEMPTS), PlanRule("double").resolve(ATTEMPTS)
    default = PlanRule().resolve(ATTEMPTS)
    return [
        ("#d1495b", f"90 of 100, drawn again up to {ATTEMPTS} times", plain, ATTEMPTS),
        ("#edae49", f"Tunegate's default: a retry must be confirmed, {ATTEMPTS} attempts", default, ATTEMPTS),
        ("#00798c", f"`kind: double`: every pass is confirmed, {ATTEMPTS} attempts", double, ATTEMPTS),
        (GREY, "90 of 100, drawn once", plain, 1),
    ]


def draw() -> str:
    """The SVG, readable on light and on dark ground."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 460" font-family="sans-serif" font-size="13" '
        f'fill="{GREY}" role="img">',
        "<title>Chance that a model is accepted, by the share of cases that it truly passes</title>",
    ]
    for tenth in range(0, 11, 2):
        y = TOP + HEIGHT * (1 - tenth / 10)
        parts.append(f'<path d="M{LEFT} {y:.1f}h{WIDTH}" stroke="{GREY}" stroke-opacity=".25"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tenth / 10:.1f}</text>')
    for percent in range(70, 101, 5):
        parts.append(
            f'<text x="{_x(percent / 100):.1f}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{percent} %</text>'
        )
    parts.append(f'<text x="{LEFT}" y="{TOP - 7}">accepted with probability</text>')
    parts.append(f'<text x="{LEFT + WIDTH}" y="{TOP + HEIGHT + 38}" text-anchor="end">cases truly right</text>')
    rates = [LOWEST + step * (1 - LOWEST) / 150 for step in range(151)]
    for number, (colour, label, plan, attempts) in enumerate(curves()):
        points = " ".join(f"{_x(p):.1f},{TOP + HEIGHT * (1 - plan.acceptance_within(p, attempts)):.1f}" for p in rates)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        y = TOP + HEIGHT + 62 + 20 * number
        parts.append(f'<path d="M{LEFT} {y - 4}h28" stroke="{colour}" stroke-width="2.5"/>')
        lucky = plan.acceptance_within(0.85, attempts)
        parts.append(f'<text x="{LEFT + 38}" y="{y}">{label}: {lucky:.3f} at 85 %</text>')
    return "\n".join([*parts, "</svg>", ""])


def _x(p: float) -> float:
    return LEFT + WIDTH * (p - LOWEST) / (1 - LOWEST)


if __name__ == "__main__":
    SVG.write_text(draw(), encoding="utf-8")
