"""The parts of the page, top to bottom: the answer, the line of stages, each stage, and where everything came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunegate.outcomes import Verdict
from tunegate.record import Diagnosis
from tunegate_reports.answer import GATE_WORDS, passed_words
from tunegate_reports.charts import loss_chart
from tunegate_reports.gate_panel import SIGNS, badge, gate_panel
from tunegate_reports.leaks import leak_notices
from tunegate_reports.markup import Markup, tag
from tunegate_reports.view import AttemptView, Change, StageView, View, duration, flat

ALL_OPEN = 3
"""With so few gates, every panel is unfolded; else only those of each stage's last attempt."""

SHOWN_ELSEWHERE = frozenset({"event", "time", "previous_sha256", "name"})


def answer_section(view: View) -> Markup:
    """The sentence that answers the reader's question, the figures behind it, and the pipeline as a line."""
    verdict = view.answer.verdict
    why = view.answer.why.rstrip(".")
    sentence = tag(
        "h1",
        tag("span", SIGNS[verdict], class_=f"seal {verdict or 'OPEN'}", aria_hidden="true"),
        tag("span", tag("strong", view.answer.what), tag("span", f": {why}." if why else ".", class_="why")),
    )
    figures = [tag("div", tag("dt", name), tag("dd", value)) for name, value in _figures(view)]
    parts = [sentence, tag("dl", *figures, class_="figures"), *_notices(view)]
    if view.stages:
        parts.append(_line(view))
    return tag("section", *parts, class_="answer", aria_label="The answer")


def _figures(view: View) -> Iterator[tuple[str, str]]:
    decided = [gate.record for gate in view.deciding_gates if gate.record.decided]
    passed = sum(record.verdict is Verdict.PASS for record in decided)
    if len(decided) == 1:
        yield "Cases passed", passed_words(decided[0])
        yield "Needed", str(decided[0].accept)
    elif decided:
        yield "Deciding gates passed", f"{passed} of {len(decided)}"
    if view.stages:
        yield "Attempts", f"{sum(len(stage.attempts) for stage in view.stages)} in {_plural(len(view.stages), 'stage')}"
    if len(decided) != 1:
        yield "Cases judged", f"{sum(len(gate.record.outcomes) for gate in view.gates):,}"
    if view.seconds:
        yield "Time at work", duration(view.seconds)
    if view.run.started:
        yield "Started", view.run.started.replace("T", " ").replace("Z", " UTC")


def _notices(view: View) -> Iterator[Markup]:
    for fault in view.run.faults:
        yield tag("p", tag("strong", "Fault: "), fault, class_="notice")
    yield from leak_notices(view.run)


# --- the line of stages and attempts -------------------------------------------------------------------------------


def _line(view: View) -> Markup:
    base = str(view.run.start.get("model") or "").rsplit("/", 1)[-1]
    stops = [tag("li", _stop_name("base model"), _node("•", "START"), _note(base), class_="stop")]
    for place, stage in enumerate(view.stages):
        stops += [_stop(stage, attempt, place) for attempt in stage.attempts]
    if view.run.promotions:
        registry = str(view.run.promotions[-1].get("alias") or "registry")
        end = _node("★", "PASS")
        stops.append(tag("li", _stop_name("promoted"), end, _note(registry), class_="stop"))
    return tag("nav", tag("ol", *stops, class_="line"), aria_label="Stages and attempts")


def _stop(stage: StageView, attempt: AttemptView, place: int) -> Markup:
    decided = [gate.record for gate in attempt.gates if gate.record.decided]
    link = tag(
        "a",
        _stop_name(stage.record.name, f"attempt {attempt.number}"),
        _node(SIGNS[attempt.verdict], f"{attempt.verdict or 'OPEN'}"),
        tag("span", f"{attempt_words(attempt.verdict)}. ", class_="unseen-words"),
        *(_note(f"{record.gate} {passed_words(record)}") for record in decided),
        href=f"#attempt-{place}-{attempt.number}",
    )
    diagnosis, error = attempt.record.diagnosis, attempt.record.error
    return tag(
        "li",
        link,
        *(
            _note(f"{change.setting} {change.old}\u00a0→\u00a0{change.new}", "changed")
            for change in attempt.changes[:3]
        ),
        _note(diagnosis.cause, "cause") if diagnosis is not None else None,
        _note(error, "why") if error is not None else None,
        class_="stop",
    )


def _stop_name(name: str, quiet: str = "") -> Markup:
    return tag("span", name, tag("span", f" {quiet}", class_="quiet") if quiet else None, class_="stop-name")


def _node(sign: str, class_: str) -> Markup:
    return tag("span", tag("span", sign, class_=f"node {class_}"), class_="node-row", aria_hidden="true")


def _note(text: str, class_: str = "") -> Markup:
    return tag("span", text, class_=f"stop-note {class_}".rstrip())


def attempt_words(verdict: Verdict | None) -> str:
    """An attempt's verdict in words."""
    return GATE_WORDS[verdict]


# --- stages --------------------------------------------------------------------------------------------------------


def stages_section(view: View) -> Markup | None:
    """Every stage with its loss curves and attempts, or the gates of a gate run alone."""
    alone = [gate for gate in view.gates if gate.record.stage is None]
    few = len(view.gates) <= ALL_OPEN
    parts = [_stage(view, stage, place, few) for place, stage in enumerate(view.stages)]
    panels = [gate_panel(gate, view.cases, opened=few or gate is alone[-1], heading="h3") for gate in alone]
    if not parts and not panels:
        return None
    title = "Stages and gates" if parts else "Gate" if len(panels) == 1 else "Gates"
    heading = tag("h2", title, id="stages-title")
    return tag("section", heading, *parts, *panels, id="stages", aria_labelledby="stages-title")


def _stage(view: View, stage: StageView, place: int, few: bool) -> Markup:
    record = stage.record
    words = GATE_WORDS[record.verdict]
    head = tag(
        "header",
        tag(
            "h3",
            record.name,
            tag("span", f" {record.method}", class_="quiet") if record.method != record.name else None,
        ),
        badge(record.verdict, words),
        tag("p", record.reason, class_="quiet") if record.reason else None,
        class_="stage-head",
    )
    curves = None
    if stage.losses:
        caption = tag("figcaption", "Training loss")
        curves = tag("figure", caption, loss_chart(stage.losses, record.name), class_="losses")
    last = len(stage.attempts) - 1
    attempts = [
        _attempt(view, attempt, f"attempt-{place}-{attempt.number}", opened=few or index == last)
        for index, attempt in enumerate(stage.attempts)
    ]
    return tag("article", head, tag("ol", *attempts, class_="attempts"), curves, class_="stage")


def _attempt(view: View, attempt: AttemptView, anchor: str, *, opened: bool) -> Markup:
    head = tag(
        "header",
        tag("h4", f"Attempt {attempt.number}", id=anchor, tabindex="-1"),
        badge(attempt.verdict, attempt_words(attempt.verdict)),
        tag("span", ", ".join(attempt.facts), class_="quiet"),
        class_="attempt-head",
    )
    error = attempt.record.error
    diagnosis = attempt.record.diagnosis
    parts = [
        head,
        _changes(attempt.changes) if attempt.changes else None,
        tag("p", tag("strong", "Training broke down: "), error, class_="notice") if error is not None else None,
        _diagnosis(diagnosis) if diagnosis is not None else None,
        *(gate_panel(gate, view.cases, opened=opened, heading="h5") for gate in attempt.gates),
    ]
    return tag("li", *parts, class_=f"attempt {attempt.verdict or 'OPEN'}")


def _diagnosis(diagnosis: Diagnosis) -> Markup:
    """Why the attempt missed, on what evidence, and what comes next; the next attempt shows what it changed."""
    return tag(
        "div",
        tag("p", tag("strong", "Diagnosis: "), diagnosis.cause, class_="cause"),
        tag("ul", *(tag("li", line) for line in diagnosis.evidence)),
        tag("p", tag("strong", "Next: "), diagnosis.action) if diagnosis.action else None,
        class_="diagnosis",
    )


def _changes(changes: Sequence[Change]) -> Markup:
    rows = [
        tag("li", tag("code", change.setting), " ", tag("del", change.old), " → ", tag("ins", change.new))
        for change in changes
    ]
    return tag("div", tag("span", "Changed", class_="quiet"), tag("ul", *rows), class_="changes")


# --- provenance ----------------------------------------------------------------------------------------------------


def provenance_section(view: View) -> Markup:
    """Hashes, seeds and versions: what an auditor needs to hold the page against the record."""
    run = view.run
    general = {"record digest (SHA-256)": run.digest, "started": run.started, "finished": run.finished or "not yet"}
    promoted = {f"promotion {n}": flat(_own(event)) for n, event in enumerate(run.promotions, start=1)}
    return tag(
        "section",
        tag("h2", "Provenance", id="provenance-title"),
        _table("This run", [*general.items(), *flat(_own(run.start)).items(), *flat(promoted).items()]),
        *(_table(title, list(flat(rows).items())) for title, rows in _attempt_rows(view)),
        *(_table(f"Gate {gate.label}", list(_gate_rows(gate.record.__dict__).items())) for gate in view.gates),
        id="provenance",
        aria_labelledby="provenance-title",
    )


def _own(event: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in event.items() if key not in SHOWN_ELSEWHERE}


def _attempt_rows(view: View) -> Iterator[tuple[str, dict[str, object]]]:
    for stage in view.stages:
        for attempt in stage.attempts:
            record = attempt.record
            rows: dict[str, object] = {
                "seed": record.seed,
                "input_sha256": record.input_sha256,
                "model": record.model,
                "model_sha256": record.model_sha256,
                "settings": record.settings,
                "summary": record.summary,
            }
            yield f"Stage {stage.record.name}, attempt {attempt.number}", rows


def _gate_rows(record: dict[str, object]) -> dict[str, str]:
    names = ("suite_sha256", "model", "model_sha256", "seed", "checks")
    return flat({name: record[name] for name in names})


def _table(title: str, rows: Sequence[tuple[str, str]]) -> Markup:
    cells = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in rows if value]
    return tag("details", tag("summary", title), tag("table", tag("tbody", *cells)), open=title == "This run")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
