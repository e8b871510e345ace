"""docs/explain-case.png: the page of `tunegate explain-case` in headless Chromium.

    python -m tests.support.explain_picture PAGE.html [--out docs/explain-case.png]

`docs/explain-case.md` says which commands write the page.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.support.browser_fixtures import FLAGS
from tests.support.places import ROOT
from tests.support.report_page import CHROMIUM

WIDTH, HEIGHT = 900, 940
MOST_BYTES = 150_000


def picture(page_file: Path, out: Path) -> int:
    """Write the top of a page as a picture; returns its size in bytes."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(page_file.resolve().as_uri())
        page.screenshot(path=str(out))
        browser.close()
    return out.stat().st_size


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "explain-case.png")
    options = parser.parse_args()
    size = picture(options.page, options.out)
    if size > MOST_BYTES:
        raise SystemExit(f"{options.out}: {size} bytes, more than {MOST_BYTES}")
