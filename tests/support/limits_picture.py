"""Draws docs/limits.svg, the limits of a gate as its report shows them: `python -m tests.support.limits_picture`.

The times are drawn from a log-normal distribution with a fixed seed, as times of requests are spread; the charts, the
counts and the words are those of the product.
"""

from __future__ import annotations

import math
import random
from html import escape

from tests.support.places import ROOT
from tunegate.models.timing import Measured, Timing
from tunegate.verdicts.limit_words import words_of
from tunegate.verdicts.limits import Limit, LimitResult, LimitRules, judge_limits
from tunegate_reports.limits import strip_chart

SVG = ROOT / "docs" / "limits.svg"
STYLE = (
    ".kept{fill:#5aa880;fill-opacity:.75}.over{fill:#fff;stroke:#222;stroke-width:1.5}.axis{stroke:#999}"
    ".accept-line{stroke:#222;stroke-width:1.5}.accept-label{fill:#222;font-weight:600}"
    "text{font:11.5px sans-serif;fill:#555}"
)
RULES = LimitRules(
    (Limit("latency_ms", 800, 95.0), Limit("ttft_ms", 200, 95.0), Limit("latency_ms", 1.2, 50.0, ratio=True)), 100
)


def picture() -> str:
    """The three kinds of verdict on times: enough requests kept the limit, too few did, and the ratio to a baseline."""
    lot = random.Random(14)
    base = [math.exp(lot.gauss(math.log(0.45), 0.25)) for _ in range(100)]
    ours = [one * math.exp(lot.gauss(math.log(1.05), 0.1)) for one in base]
    figures = Measured(
        case_ids=tuple(map(str, range(100))),
        timings=tuple(Timing(one, one * 0.35) for one in ours),
        baseline_timings=tuple(Timing(one) for one in base),
        baseline="base",
    )
    parts = [_row(place, result) for place, result in enumerate(judge_limits(RULES, figures))]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {20 + 100 * len(parts)}"><style>{STYLE}</style>'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>", ""])


def _row(place: int, result: LimitResult) -> str:
    words = escape(f"{result.verdict}: {words_of(result).partition('; what')[0]}")
    chart = str(strip_chart(result)).replace("<svg", f'<svg x="10" y="{30 + 100 * place}" width="360" height="68"', 1)
    return f'<text x="18" y="{24 + 100 * place}" style="fill:#222">{words}</text>\n{chart}'


if __name__ == "__main__":
    SVG.write_text(picture(), encoding="utf-8")
