"""Reports: a run record as one HTML page, as JUnit XML, as a Markdown summary.

`view` turns the record into what is shown; `html`, `junit` and `markdown` each turn that into one kind of file.
`github` and `metrics` are what GitHub and GitLab show beside a build. `bake_off` writes the page of a bake-off,
`prompts` that of a bake-off of prompts, `sweep` that of a sweep, `explain_page` the page of one case, `review_page` the
page on which people judge answers.
`notebook` shows the first screen of a report in a notebook cell.
"""

from tunegate_reports.bake_off import write_bake_off
from tunegate_reports.explain_page import write_explanations
from tunegate_reports.github import annotation, comment, gate_annotation, step_summary
from tunegate_reports.html import write_html
from tunegate_reports.junit import write_junit
from tunegate_reports.markdown import as_text, markdown_summary, write_markdown
from tunegate_reports.metrics import metrics_lines
from tunegate_reports.notebook import notebook_html
from tunegate_reports.prompts import write_prompts
from tunegate_reports.review_page import MAX_REVIEW_BYTES, render_review, size_of, write_review
from tunegate_reports.sweep import write_sweep

__all__ = [
    "MAX_REVIEW_BYTES",
    "annotation",
    "as_text",
    "comment",
    "gate_annotation",
    "markdown_summary",
    "metrics_lines",
    "notebook_html",
    "render_review",
    "size_of",
    "step_summary",
    "write_bake_off",
    "write_explanations",
    "write_html",
    "write_junit",
    "write_markdown",
    "write_prompts",
    "write_review",
    "write_sweep",
]
