"""The picture in docs/review.md: `python -m tests.support.review_picture` makes it again, in headless Chromium."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support.browser_fixtures import FLAGS
from tests.support.places import ROOT
from tests.support.report_page import CHROMIUM
from tests.support.reviewed import gate_to_review, page_of

PICTURE = ROOT / "docs" / "review.png"
SIZE = {"width": 860, "height": 620}
SAID = {
    "Bloom syndrome": ("BLM", "Mutations in the WRN gene cause Bloom syndrome."),
    "Marfan syndrome": ("FBN1", "Marfan syndrome is caused by mutations in the FBN1 gene."),
    "Fabry disease": ("GLA", "The GLA gene; it provides instructions for alpha-galactosidase A."),
    "cystinosis": ("CTNS", "Cystinosis is caused by mutations in CTNS."),
    "Wolfram syndrome": ("WFS1", "WFS1"),
    "Leigh syndrome": ("SURF1", "I do not know which gene causes it."),
}
"""Condition to the gene that causes it, and what a model answered."""
ROWS = [(f"Which gene {verb} {name}?", *said) for verb in ("causes", "is mutated in") for name, said in SAID.items()]
RUBRIC = (
    "criterion: Is the answer correct, and free of invented facts?\nmeaning: {right: correct, wrong: a fact is wrong}\n"
)


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            gate = gate_to_review(folder, len(ROWS), lambda n: ROWS[n][2], asks=lambda n: ROWS[n][:2])
            (folder / "rubric.yaml").write_text(RUBRIC, encoding="utf-8")
            page_file = page_of(gate, "--rubric", str(folder / "rubric.yaml"), "--reviewer", "ann")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
            page = browser.new_page(viewport=SIZE, color_scheme="light")
            page.goto(page_file.as_uri())
            while "WRN" not in page.locator("#shown").inner_text():
                page.keyboard.press("1")
            page.locator("#comment").fill("The gene is BLM.")
            page.keyboard.press("Escape")
            page.screenshot(path=PICTURE)
            browser.close()


if __name__ == "__main__":
    main()
