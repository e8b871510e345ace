"""review.html: the page on which a person judges answers. One file that loads nothing and sends nothing."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template

from tunegate.reviewing.sheet import Sheet
from tunegate_reports.files import write_atomically
from tunegate_reports.html import BREAKS_OUT
from tunegate_reports.markup import escape
from tunegate_reports.page import asset, source_hash

SCRIPTS = ("text.js", "review_state.js", "review.js")
STYLES = ("style.css", "review.css")
MAX_REVIEW_BYTES = 500_000
"""The largest page: it is sent by mail, and opened on a phone."""


def write_review(sheet: Sheet, path: Path) -> int:
    """Write the page to `path`; returns its size in bytes. Raises CannotJudge when the disk is full."""
    page = render_review(sheet)
    write_atomically(path, page)
    return size_of(page)


def size_of(page: str) -> int:
    """The size of a page in bytes, as `write_whole` writes it."""
    return len(page.encode("utf-8", "backslashreplace"))


def render_review(sheet: Sheet) -> str:
    """The page. Its policy allows only this style sheet and script, by hash: nothing that a model wrote can run."""
    style, script = ("".join(map(asset, names)) for names in (STYLES, SCRIPTS))
    policy = (
        f"default-src 'none'; style-src {source_hash(style)}; script-src {source_hash(script)}; base-uri 'none'; "
        "form-action 'none'"
    )
    data = json.dumps(sheet.to_json(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Template(asset("review.html")).substitute(
        policy=escape(policy), style=style, data=data.translate(BREAKS_OUT), script=script
    )
