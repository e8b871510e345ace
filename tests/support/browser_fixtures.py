"""Headless Chromium, driven by playwright, as fixtures: a plugin of the test modules that read pages as people do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.report_page import CHROMIUM, Open
from tunegate.record.record import RunRecord
from tunegate_reports import write_html

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield launched
        launched.close()


@pytest.fixture
def open_report(open_page: Open, tmp_path: Path) -> Open:
    """Opens the report of a run from file://."""

    def opened(run: RunRecord, **options: Any) -> Any:
        path = tmp_path / "report.html"
        write_html(run, path)
        return open_page(path, **options)

    return opened


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Opens a page from file://; no page may ask for anything else, log anything or raise."""
    contexts: list[Any] = []
    asked: list[str] = []
    told: list[str] = []
    opened_paths: set[str] = set()

    def opened(path: Path, *, fragment: str = "", **options: Any) -> Any:
        opened_paths.add(path.as_uri())
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.goto(f"{path.as_uri()}{fragment}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert told == []
    assert {url.partition("#")[0] for url in asked if not url.startswith("blob:")} == opened_paths
