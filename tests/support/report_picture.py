"""docs/report.png: the top of the report of a finished demo, in headless Chromium.

    make demo
    python -m tests.support.report_picture [RUN] [--out docs/report.png]

`RUN` is the folder of a run, by default that of `make demo`. Its report is written again, by this version.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.support.browser_fixtures import FLAGS
from tests.support.places import ROOT
from tests.support.report_page import CHROMIUM
from tunegate.checks.outcome import Verdict
from tunegate.record.read_run import read_run
from tunegate_reports import write_html

DEMO = ROOT / "demo" / "runs" / "gene-expert"
WIDTH, HEIGHT = 1180, 1230
MOST_BYTES = 250_000


def picture(run_folder: Path, out: Path) -> int:
    """Write the top of the report of a run that passed as a picture; returns its size in bytes."""
    from playwright.sync_api import sync_playwright

    if not run_folder.is_dir():
        raise SystemExit(f"{run_folder}: no run is there; run `make demo` first, or name the folder of another run")
    run = read_run(run_folder)
    if run.verdict is not Verdict.PASS:
        raise SystemExit(f"{run_folder}: the run has not passed; run the same command again to finish it")
    with tempfile.TemporaryDirectory() as made, sync_playwright() as playwright:
        page_file = Path(made) / "report.html"
        write_html(run, page_file)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(page_file.as_uri())
        page.screenshot(path=str(out))
        browser.close()
    return out.stat().st_size


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=DEMO)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "report.png")
    options = parser.parse_args()
    size = picture(options.run, options.out)
    if size > MOST_BYTES:
        raise SystemExit(f"{options.out}: {size} bytes, more than {MOST_BYTES}")
