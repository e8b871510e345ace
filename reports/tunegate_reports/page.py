"""What all pages of Tunegate share: a style sheet, and a policy that blocks everything else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from tunegate_reports.markup import Markup, tag

ASSETS = files("tunegate_reports") / "assets"


def asset(name: str) -> str:
    """The text of a style sheet, script or template."""
    return (ASSETS / name).read_text(encoding="utf-8")


def source_hash(source: str) -> str:
    """The hash of a style sheet or script, as a Content-Security-Policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def ranked_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """A table of rows, each with its place before it, which `names` begins with."""
    head = tag("tr", *(tag("th", name, scope="col") for name in names))
    body = [tag("tr", tag("td", place), *(tag("td", cell) for cell in row)) for place, row in enumerate(rows, 1)]
    return tag("table", tag("thead", head), tag("tbody", *body))


def page_without_script(title: str, brand: str, *content: Markup) -> str:
    """A whole page with `title` as its heading. Its policy allows only the style sheet, by its hash."""
    style = asset("style.css")
    policy = f"default-src 'none'; style-src {source_hash(style)}; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    bar = tag("header", tag("span", brand, class_="brand"), class_="bar")
    main = tag("main", tag("h1", title), *content)
    return f"<!doctype html>\n{tag('html', head, tag('body', bar, main), lang='en')}\n"
