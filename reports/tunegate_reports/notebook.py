"""The first screen of a report for a notebook cell: no script, and only inline styles.

Jupyter, VS Code and Colab each clean or frame the HTML of a cell; `style` attributes survive in all three. All colours
are those of the notebook, light or dark, except the colour of the verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.record.record import RunRecord
from tunegate_reports.answer import state_of
from tunegate_reports.first_screen import figures
from tunegate_reports.gate_panel import SIGNS
from tunegate_reports.markup import Markup, tag
from tunegate_reports.view import View, view

SHOWN_CASES, SHOWN_CHARS = 5, 160
COLOURS = {"PASS": "#1a7f37", "FAIL": "#b3261e"}
OTHER_COLOUR = "#8a5a00"
CELL = "border-top:1px solid #8886;padding:4px 8px;text-align:left;vertical-align:top"


def notebook_html(run: RunRecord, earlier: str = "", notes: Sequence[str] = ()) -> str:
    """The result of a run or a gate, its figures, and the first cases that did not pass."""
    shown = view(run)
    state = state_of(shown.answer.verdict)
    badge = tag(
        "span",
        f"{SIGNS[state]} {state}",
        style=f"background:{COLOURS.get(state, OTHER_COLOUR)};color:#fff;padding:2px 8px;border-radius:4px;"
        "font-weight:600",
    )
    parts = [tag("p", badge, f" {shown.answer.sentence}", style="margin:0 0 6px;font-size:1.1em")]
    parts += [tag("p", line, style="margin:0 0 6px") for line in (earlier, *notes) if line]
    told = [tag("span", f"{name}: ", tag("strong", value), style="margin-right:18px") for name, value in figures(shown)]
    parts += [tag("p", *told, style="margin:0 0 6px"), *_cases(shown)]
    parts.append(tag("p", f"record: {run.folder}", style="margin:6px 0 0;opacity:.7"))
    return tag("div", *parts, style="font-family:system-ui,sans-serif;line-height:1.4")


def _cases(shown: View) -> Iterator[Markup]:
    missed = [case.outcome for case in shown.cases if case.outcome.verdict is not Verdict.PASS]
    if not missed:
        return
    names = ("case", "prompt", "response", "reference", "why")
    head = tag("tr", *(tag("th", name, style=CELL) for name in names))
    rows = [tag("tr", *(tag("td", cell, style=CELL) for cell in _cells(one))) for one in missed[:SHOWN_CASES]]
    more = f"the first {SHOWN_CASES} of {len(missed)} cases" if len(missed) > SHOWN_CASES else "the cases"
    yield tag("p", f"{more} that did not pass:", style="margin:6px 0 2px")
    yield tag("table", head, *rows, style="border-collapse:collapse;font-size:.9em")


def _cells(outcome: Outcome) -> Iterator[str]:
    prompt = outcome.prompt
    yield outcome.case_id
    yield _short(prompt if isinstance(prompt, str) else " / ".join(message["content"] for message in prompt))
    yield _short(outcome.response)
    yield _short(" | ".join(outcome.references))
    yield _short(outcome.reason)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"
