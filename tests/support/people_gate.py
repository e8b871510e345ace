"""A gate about people that finds something in many areas: for a test, and for the picture in docs/ethics.md.

`python -m tests.support.people_gate` takes the picture, docs/tested.png, with Chromium.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import tunegate
from tests.support.places import ROOT
from tests.support.report_page import CHROMIUM
from tunegate.record.read_run import read_run
from tunegate.record.record import RunRecord
from tunegate_reports.html import render
from tunegate_reports.view import view

PICTURE = ROOT / "docs" / "tested.png"
SUITE = """\
cases: {path: cases.jsonl, tags: [sex]}
checks:
  - regex: "."
  - errors: {max: {pii: 2}, report: [refusal]}
  - counterfactual: {swap: [gender]}
gap: {between: [sex=f, sex=m], max: 30, at_least: 5}
slices: {sex=f: 0.5}
sealed: 0
plan: {draw: 20, accept: 10}
"""


def model(prompt: str) -> str:
    """It answers women and men differently in one case, and invents an address in another."""
    if "case 3:" in prompt:
        return "yes" if "John" in prompt else "no"
    return "Ask ann@mail.org" if "case 4:" in prompt else "yes"


def people_run(folder: Path) -> RunRecord:
    """The record of the gate, run in the current folder; its files are written to `folder`."""
    rows = [
        {"id": f"c{n}", "prompt": f"case {n}: {name}?", "reference": "yes", "sex": sex}
        for n, (name, sex) in enumerate([("John", "m"), ("Mary", "f")] * 10)
    ]
    (folder / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "people.yaml").write_text(SUITE)
    return read_run(Path(tunegate.run_gate(model, str(folder / "people.yaml"), progress=False).folder))


def take(page_file: Path, picture: Path) -> None:
    """A picture of the unfolded section of a report."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 900})
        page.goto(page_file.as_uri())
        page.locator("#tested summary").click()
        page.locator("#tested").screenshot(path=str(picture))
        browser.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as there:
        os.chdir(there)
        (Path(there) / "report.html").write_text(render(view(people_run(Path(there)))), encoding="utf-8")
        take(Path(there) / "report.html", PICTURE)
