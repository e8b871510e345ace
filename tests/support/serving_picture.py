"""Draws docs/serving.svg, the gaps that were measured: `python -m tests.support.serving_picture`."""

from __future__ import annotations

import math

from tests.support.places import ROOT
from tunegate.serving.signature import OTHER_GAP, SAME_GAP

SVG = ROOT / "docs" / "serving.svg"
GREY, GREEN, AMBER, RED = "#808080", "#3a9d5d", "#edae49", "#d1495b"
MEASURED = (
    ("f32, llama.cpp", 0.0007), ("f16, llama.cpp", 0.0021), ("bf16, llama.cpp", 0.0075),
    ("bfloat16, transformers", 0.0150), ("q4_1 of q4_1 weights", 0.0299), ("q8_0", 0.0419),
    ("q4_0 of a fine-tune", 0.1505), ("q5_1", 0.2878), ("q4_0", 0.3271),
    ("q4_1 of a fine-tune", 5.4498), ("base, adapter missing", 7.4601),
)  # fmt: skip
"""The median gap of each pair, as docs/serving.md says how it was measured."""
LEFT, TOP, WIDTH, ROW = 190, 40, 480, 24
LOWEST, HIGHEST = 0.0003, 20.0


def place(gap: float) -> float:
    """The horizontal place of a gap on the logarithmic axis."""
    return LEFT + WIDTH * math.log(gap / LOWEST) / math.log(HIGHEST / LOWEST)


def draw() -> str:
    """The SVG, readable on light and on dark ground."""
    bottom = TOP + ROW * len(MEASURED)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {bottom + 50}" font-family="sans-serif" '
        f'font-size="13" fill="{GREY}">',
        f'<text x="{LEFT}" y="18">median gap of the first token\'s log-probability</text>',
    ]
    for limit, said in ((SAME_GAP, "same"), (OTHER_GAP, "fewer bits")):
        x = place(limit)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{GREY}" />')
        parts.append(f'<text x="{x - 6:.1f}" y="{bottom + 16}" text-anchor="end">{said} ≤ {limit:g}</text>')
    for number, (name, gap) in enumerate(MEASURED):
        y = TOP + ROW * number + ROW // 2
        colour = GREEN if gap <= SAME_GAP else AMBER if gap <= OTHER_GAP else RED
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{name}</text>')
        parts.append(f'<circle cx="{place(gap):.1f}" cy="{y}" r="6" fill="{colour}" />')
        parts.append(f'<text x="{place(gap) + 12:.1f}" y="{y + 4}">{gap:.4g}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    SVG.write_text(draw(), encoding="utf-8")
