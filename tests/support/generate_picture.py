"""Draws docs/generate.svg from real cards of `tunegate generate`: `python -m tests.support.generate_picture`.

SmolLM2-135M answers training questions of the demo at three temperatures, which takes a few minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tests.support.bank import write_jsonl
from tests.support.llama_server import GGUF
from tests.support.places import ROOT
from tunegate.cli import main
from tunegate.generation.generate import card_path

SVG = ROOT / "docs" / "generate.svg"
DATA = ROOT / "suites" / "tunegate_suites" / "data" / "gene_expert"
TEMPERATURES = (0.4, 0.8, 1.2)
QUESTIONS, SAMPLES = 24, 4
GREY = "#808080"
COLOURS = {
    "kept": "#00798c",
    "missed contains": "#d1495b",
    "repeats a row": "#edae49",
    "nearly repeats a row": "#f4d58d",
    "cut off at max_new_tokens": "#8d6a9f",
}
OTHER = GREY
LEFT, TOP, WIDTH, ROW = 130, 30, 480, 52
SUITE = {
    "cases": {
        "path": str(DATA / "bank.jsonl"),
        "where": {"near_dup_of_train": False},
        "id": "{id}",
        "prompt": "{context}\n\n{question}",
        "reference": "{answer}",
    },
    "checks": ["contains"],
    "generate": {"max_new_tokens": 48},
}


def cards(folder: Path) -> list[dict[str, Any]]:
    """A card for each temperature; the other settings are the same."""
    with (DATA / "train.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, QUESTIONS)]
    prompts = [{"prompt": f"{r['context']}\n\n{r['question']}", "reference": r["answer"]} for r in rows]
    os.environ["TUNEGATE_TRUST"] = str(folder)
    with contextlib.chdir(folder):
        write_jsonl(Path("prompts.jsonl"), prompts)
        Path("facts.yaml").write_text(json.dumps(SUITE))
        for temperature in TEMPERATURES:
            words = ["--samples", str(SAMPLES), "--temperature", str(temperature), "--checks", "facts.yaml"]
            assert main(["generate", GGUF, "--prompts", "prompts.jsonl", "--out", f"{temperature}.jsonl", *words]) == 0
        return [json.loads(card_path(Path(f"{one}.jsonl"), "json").read_text()) for one in TEMPERATURES]


def draw(shown: Sequence[Mapping[str, Any]]) -> str:
    """The SVG: a bar for each card, from the rows that were kept to the reasons why the others were not."""
    height = TOP + ROW * len(shown) + 30 + 20 * len(COLOURS)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height}" font-family="sans-serif" font-size="13" '
        f'fill="{GREY}" role="img">',
        "<title>What became of the answers at three temperatures, and how varied the kept rows are</title>",
        f'<text x="{LEFT + WIDTH + 12}" y="{TOP - 10}">distinct-2 of rows</text>',
    ]
    for number, card in enumerate(shown):
        y, x = TOP + ROW * number, float(LEFT)
        parts.append(
            f'<text x="{LEFT - 10}" y="{y + 22}" text-anchor="end">temperature {card["settings"]["temperature"]}</text>'
        )
        for what, count in {"kept": card["rows"], **card["dropped"]}.items():
            width = WIDTH * count / card["asked"]
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="34" fill="{COLOURS.get(what, OTHER)}"/>'
            )
            if width > 24:
                parts.append(
                    f'<text x="{x + width / 2:.1f}" y="{y + 22}" text-anchor="middle" fill="#fff">{count}</text>'
                )
            x += width
        parts.append(
            f'<text x="{LEFT + WIDTH + 12}" y="{y + 22}">{card["diversity"]["after"]["distinct_2"]:.2f}</text>'
        )
    for number, (what, colour) in enumerate(COLOURS.items()):
        y = TOP + ROW * len(shown) + 16 + 20 * number
        parts.append(f'<rect x="{LEFT}" y="{y - 10}" width="14" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 22}" y="{y}">{what if what == "kept" else f"dropped: {what}"}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        SVG.write_text(draw(cards(Path(made))), encoding="utf-8")
