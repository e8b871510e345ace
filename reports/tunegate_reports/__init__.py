"""Reports: a run record as one HTML page, as JUnit XML, as a Markdown summary.

`view` turns the record into what is shown; `html`, `junit` and `markdown` each turn that into one kind of file.
`github` and `metrics` are what GitHub and GitLab show beside a build. `bake_off` writes the page of a bake-off,
`prompts` that of a bake-off of prompts, `sweep` that of a sweep, `explain_page` the page of one case, `review_page` the
page on which people judge answers.
`notebook` shows the first screen of a report in a notebook cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunegate_reports.bake_off import write_bake_off as write_bake_off
    from tunegate_reports.explain_page import write_explanations as write_explanations
    from tunegate_reports.github import annotation as annotation
    from tunegate_reports.github import comment as comment
    from tunegate_reports.github import gate_annotation as gate_annotation
    from tunegate_reports.github import step_summary as step_summary
    from tunegate_reports.html import write_html as write_html
    from tunegate_reports.junit import write_junit as write_junit
    from tunegate_reports.markdown import as_text as as_text
    from tunegate_reports.markdown import markdown_summary as markdown_summary
    from tunegate_reports.markdown import write_markdown as write_markdown
    from tunegate_reports.metrics import metrics_lines as metrics_lines
    from tunegate_reports.notebook import notebook_html as notebook_html
    from tunegate_reports.prompts import write_prompts as write_prompts
    from tunegate_reports.review_page import MAX_REVIEW_BYTES as MAX_REVIEW_BYTES
    from tunegate_reports.review_page import render_review as render_review
    from tunegate_reports.review_page import size_of as size_of
    from tunegate_reports.review_page import write_review as write_review
    from tunegate_reports.sweep import write_sweep as write_sweep

_PLACES = {
    "MAX_REVIEW_BYTES": "tunegate_reports.review_page",
    "annotation": "tunegate_reports.github",
    "as_text": "tunegate_reports.markdown",
    "comment": "tunegate_reports.github",
    "gate_annotation": "tunegate_reports.github",
    "markdown_summary": "tunegate_reports.markdown",
    "metrics_lines": "tunegate_reports.metrics",
    "notebook_html": "tunegate_reports.notebook",
    "render_review": "tunegate_reports.review_page",
    "size_of": "tunegate_reports.review_page",
    "step_summary": "tunegate_reports.github",
    "write_bake_off": "tunegate_reports.bake_off",
    "write_explanations": "tunegate_reports.explain_page",
    "write_html": "tunegate_reports.html",
    "write_junit": "tunegate_reports.junit",
    "write_markdown": "tunegate_reports.markdown",
    "write_prompts": "tunegate_reports.prompts",
    "write_review": "tunegate_reports.review_page",
    "write_sweep": "tunegate_reports.sweep",
}
"""Name to module. Each is imported on first use: a command writes one or two of the reports."""

__all__ = list(_PLACES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(_PLACES[name]), name)
    globals()[name] = found
    return found
