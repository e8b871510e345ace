"""The report of 2,000 cases, a tenth of them of 10 KB: seconds to write it, and until Chromium shows it (goal: 2).

Goal for 10,000 cases, too: `python -m tests.bench report --rows 10000`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.processes import tree_cpu_seconds
from tests.support.fake_run import large_run
from tunegate_reports import write_html

REPEATS = 5
SLOWEST_MS = 300_000
"""On a busy machine; Playwright's own bound is 30 s."""
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


def main(cases: int = 2000) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    with tempfile.TemporaryDirectory() as folder:
        run, path = large_run(Path(folder) / "run", cases), Path(folder) / "report.html"
        written = min(_seconds(lambda: write_html(run, path)) for _ in range(REPEATS))
        print(f"{cases:,} cases written in {written:.2f} s, {path.stat().st_size / 2**20:.1f} MiB (best of {REPEATS})")
        if chromium is None:
            print("not opened: chromium or playwright is missing")
            return
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS])
            seconds, cpu = zip(*(_open(browser, path) for _ in range(REPEATS)), strict=True)
            browser.close()
        print(f"{cases:,} cases open in {min(seconds):.2f} s (best of {REPEATS}), painted;")
        print(f"  {sorted(cpu)[REPEATS // 2]:.2f} s of the processors (median)")


def _open(browser: Any, path: Path) -> tuple[float, float]:
    """Seconds until the table is painted, and those of the processors; the page stays open, so that no process ends."""
    before, page = tree_cpu_seconds(os.getpid()), browser.new_page()
    seconds = _seconds(lambda: _draw(page, path))
    return seconds, tree_cpu_seconds(os.getpid()) - before


def _draw(page: Any, path: Path) -> None:
    page.goto(path.as_uri(), timeout=SLOWEST_MS)
    page.locator("tr.case").first.wait_for()
    page.evaluate("new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)))")


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
