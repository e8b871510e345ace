"""`run_on` and `unfinished_reasoning`: an answer that does not stop at its end, or never begins."""

from __future__ import annotations

from tunegate.checks.answers.part import RUN_ON, left_out_of, unfinished
from tunegate.checks.check import Sample
from tunegate.checks.outcome import ErrorSpan
from tunegate_suites.categories.settings import ErrorSettings, span


def run_on(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """The answer continues after its end: a control token with text after it, or a further turn of the user.

    Forbidden unless it is listed under `max` or `report`. The other checks judge the text before it.
    """
    whole = sample.response.text if sample.whole is None else sample.whole
    found = left_out_of(whole, sample.case)
    if found is None or found.category != RUN_ON:
        return []
    # Its position in the judged part, like that of any other span.
    return [ErrorSpan(RUN_ON, found.start - sample.start, found.end - sample.start, found.text)]


def unfinished_reasoning(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """Reasoning (`<think>` …) that never ends. Forbidden unless it is listed under `max` or `report`.

    A suite with `answer: think` finds it with any checks.
    """
    text = sample.response.text
    opened = unfinished(text)
    return [span("unfinished_reasoning", text, opened[0], len(text))] if opened else []
