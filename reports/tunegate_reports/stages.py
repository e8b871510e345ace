"""The stages on the page: first the base model, then each stage with its attempts and their draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunegate.checks.outcome import Verdict
from tunegate.record.record import Diagnosis
from tunegate_reports.charts import loss_chart, watch_chart
from tunegate_reports.gate_panel import badge, gate_panel
from tunegate_reports.gate_view import GateView
from tunegate_reports.markup import Markup, tag
from tunegate_reports.view import AttemptView, Change, StageView, View

ALL_OPEN = 3
"""Up to this number of draws, every panel is open; with more, only those of each stage's last attempt."""

KINDS = {
    "gate": "Gates: cases from the working part of each bank",
    "reference": "Reference: what the earlier model answers to the cases of the retention draws",
    "retention": "Retention: the same cases that an earlier model was asked",
    "worth reference": "Reference: what the baseline answers to the cases of the worth draws",
    "worth": "Worth: the same cases that the baseline was asked",
    "confirm": "Confirming draws: sealed cases, opened because the gates passed",
}
"""The kinds of draw of an attempt, in the order they are made."""


def stages_section(view: View) -> Markup | None:
    """Every stage with its loss curves and attempts, or the gates that were run alone."""
    alone = view.alone
    few = len(view.gates) <= ALL_OPEN
    parts = [_base_model(view)] if view.baselines else []
    parts += [_stage(view, stage, place, few) for place, stage in enumerate(view.stages)]
    panels = [gate_panel(gate, view.cases, opened=few or gate is alone[-1], heading="h3") for gate in alone]
    if not parts and not panels:
        return None
    title = "Stages and gates" if parts else "Gate" if len(panels) == 1 else "Gates"
    heading = tag("h2", title, id="stages-title")
    return tag("section", heading, *parts, *panels, id="stages", aria_labelledby="stages-title")


def _base_model(view: View) -> Markup:
    said = tag(
        "p", "What the model could do before any training. Retention compares later models with this.", class_="quiet"
    )
    panels = [gate_panel(gate, view.cases, opened=False, heading="h4") for gate in view.baselines]
    return tag("article", tag("header", tag("h3", "Base model"), said, class_="stage-head"), *panels, class_="stage")


def _stage(view: View, stage: StageView, place: int, few: bool) -> Markup:
    record = stage.record
    head = tag(
        "header",
        tag(
            "h3",
            record.name,
            tag("span", f" {record.method}", class_="quiet") if record.method != record.name else None,
        ),
        badge(stage.state),
        tag("p", record.reason, class_="quiet") if record.verdict is not Verdict.PASS and record.reason else None,
        class_="stage-head",
    )
    curves = None
    if stage.losses:
        caption = tag("figcaption", "Training loss")
        curves = tag("figure", caption, loss_chart(stage.losses, record.name), class_="losses")
    watched = None
    if stage.looks:
        caption = tag("figcaption", "Pass rate of the watched gate during training")
        watched = tag("figure", caption, watch_chart(stage.looks, record.name), class_="losses")
    last = len(stage.attempts) - 1
    attempts = [
        _attempt(view, attempt, f"attempt-{place}-{attempt.number}", opened=few or index == last)
        for index, attempt in enumerate(stage.attempts)
    ]
    return tag("article", head, tag("ol", *attempts, class_="attempts"), curves, watched, class_="stage")


def _attempt(view: View, attempt: AttemptView, anchor: str, *, opened: bool) -> Markup:
    from tunegate_reports.near_rows import near_section  # imports the modules of training, which a gate does not need

    head = tag(
        "header",
        tag("h4", f"Attempt {attempt.number}", id=anchor, tabindex="-1"),
        badge(attempt.state),
        tag("span", ", ".join(attempt.facts), class_="quiet"),
        class_="attempt-head",
    )
    error = attempt.record.error
    diagnosis = attempt.record.diagnosis
    parts = [
        head,
        _changes(attempt.changes) if attempt.changes else None,
        tag("p", tag("strong", "Training crashed: "), error, class_="notice") if error is not None else None,
        _diagnosis(diagnosis) if diagnosis is not None else None,
        *_draws(view, attempt.gates, opened),
        near_section(view.run, attempt.record, attempt.gates, _numbers(view, attempt), view.embed),
    ]
    return tag("li", *parts, class_=f"attempt {attempt.state}")


def _numbers(view: View, attempt: AttemptView) -> dict[str, int]:
    """The numbers on the page of an attempt's cases, by the number of the gate and their id."""
    return {
        f"{gate.number} {view.cases[number].outcome.case_id}": number for gate in attempt.gates for number in gate.cases
    }


def _draws(view: View, gates: Sequence[GateView], opened: bool) -> Iterator[Markup]:
    """The draws of an attempt, grouped by kind; a single kind gets no caption."""
    kinds = list(dict.fromkeys([*KINDS, *(gate.record.purpose for gate in gates)]))
    several = len({gate.record.purpose for gate in gates}) > 1
    for kind in kinds:
        own = [gate for gate in gates if gate.record.purpose == kind]
        if own and several:
            yield tag("p", KINDS.get(kind, kind), class_="caption kind")
        yield from (gate_panel(gate, view.cases, opened=opened, heading="h5") for gate in own)


def _diagnosis(diagnosis: Diagnosis) -> Markup:
    """Why the attempt missed, the evidence for it, and what to do next; the next attempt shows what it changed."""
    return tag(
        "div",
        tag("p", tag("strong", "Diagnosis: "), diagnosis.cause, class_="cause"),
        tag("ul", *(tag("li", line) for line in (*diagnosis.evidence, *_noise(diagnosis)))),
        tag("p", tag("strong", "Next: "), diagnosis.action) if diagnosis.action else None,
        class_="diagnosis",
    )


def _noise(diagnosis: Diagnosis) -> tuple[str, ...]:
    """How likely a good model misses as badly."""
    return () if diagnosis.noise is None else diagnosis.noise.in_words


def _changes(changes: Sequence[Change]) -> Markup:
    rows = [
        tag("li", tag("code", change.setting), " ", tag("del", change.old), " → ", tag("ins", change.new))
        for change in changes
    ]
    return tag("div", tag("span", "Changed", class_="quiet"), tag("ul", *rows), class_="changes")
