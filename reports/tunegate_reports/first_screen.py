"""The first screen: the answer, the waivers, how likely a lucky pass was, and the pipeline as a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import starmap

from tunegate.checks.outcome import Verdict
from tunegate.progress import duration
from tunegate.record.awaiting import awaiting_in_words
from tunegate.record.ledger_words import told_of
from tunegate.record.record import GateRecord
from tunegate.record.registered_risk import registered_risk
from tunegate.verdicts.pipeline_words import assumed_words, cost_words, promotion_words, summary_words
from tunegate.verdicts.terms import MEASURED, PAIRED, REFERENCES
from tunegate_reports.answer import (
    STATE_WORDS,
    capitalised,
    count_words,
    fault_word,
    ledger_of,
    luck_alone,
    luck_of,
    passed_words,
    state_of,
    waiver_words,
)
from tunegate_reports.gate_panel import SIGNS
from tunegate_reports.gate_view import GateView
from tunegate_reports.leaks import leak_notices
from tunegate_reports.markup import Markup, tag
from tunegate_reports.view import AttemptView, StageView, View


def answer_section(view: View) -> Markup:
    """The sentence that answers the reader's question, the doubts that remain, and the figures."""
    state = state_of(view.answer.verdict)
    why = view.answer.why.rstrip(".")
    sentence = tag(
        "h1",
        tag("span", SIGNS[state], class_=f"seal {state}", aria_hidden="true"),
        tag("span", tag("strong", view.answer.what), tag("span", f": {why}." if why else ".", class_="why")),
    )
    told = [tag("div", tag("dt", name), tag("dd", value)) for name, value in figures(view)]
    parts = [
        sentence,
        *_awaiting(view),
        *_waivers(view),
        *_in_common(view),
        *_luck(view),
        tag("dl", *told, class_="figures"),
        *_notices(view),
    ]
    if view.stages:
        parts.append(_line(view))
    return tag("section", *parts, class_="answer", aria_label="The answer")


def _awaiting(view: View) -> Iterator[Markup]:
    for words in awaiting_in_words(view.run):
        yield tag("p", tag("strong", "Labels: "), f"{words}.", class_="notice")


def _waivers(view: View) -> Iterator[Markup]:
    records = {(gate.record.stage, gate.record.attempt, gate.record.key): gate.record for gate in view.gates}
    for waiver in view.run.waivers():
        missed = records.get((waiver["stage"], waiver["attempt"], waiver["gate"]))
        count = f" ({count_words(missed)})" if missed else ""
        yield tag(
            "p",
            tag("strong", "Waived: "),
            f"{waiver['stage']}, attempt {waiver['attempt']}, {waiver['gate']} missed{count}. {waiver_words(waiver)}.",
            class_="notice",
        )


def _in_common(view: View) -> Iterator[Markup]:
    """What the misses of the draws that failed (and are not waived) have in common, where something is shown."""
    failed = [gate for gate in view.deciding_gates if gate.record.verdict is Verdict.FAIL and gate.waiver is None]
    told = [(gate.label, rule.sentence) for gate in failed if (rule := gate.record.in_common)]
    if told:
        lines = (tag("li", tag("strong", f"{label} "), f"{sentence}.") for label, sentence in told)
        yield tag("div", tag("h2", "What the misses have in common"), tag("ul", *lines), class_="luck")


def _luck(view: View) -> Iterator[Markup]:
    told = [(stage.record.name, luck) for stage in view.stages if (luck := luck_of(stage.record))]
    lines = list(starmap(_luck_of, told))
    lines += [tag("li", *_said(text, [gate])) for gate, text in luck_alone(view.run)]
    lines += [
        tag("li", tag("strong", f"{stage.record.name} "), *_said(words, gates))
        for stage in view.stages
        for words, gates in ledger_of(stage.record).items()
    ]
    lines += [tag("li", *_said(*told)) for told in told_of(gate.record for gate in view.alone).items()]
    risk = registered_risk(view.run)
    if risk is not None and risk.decides:
        told = (promotion_words(risk), cost_words(risk), f"assumed: {assumed_words(risk)}")
        inside = tag("ul", *(tag("li", f"{capitalised(one)}.") for one in told))
        lines.append(tag("li", tag("details", tag("summary", summary_words(risk)), inside)))
    if lines:
        yield tag("div", tag("h2", "Could it have been luck?"), tag("ul", *lines), class_="luck")


def _luck_of(stage: str, luck: Mapping[str, list[str]]) -> Markup:
    """The gate most likely to be passed by luck. Gates with the same plan share its sentence; the others are folded."""
    worst, *others = luck.items()
    folded = tag("details", tag("summary", "the other gates"), tag("ul", *(tag("li", *_said(*one)) for one in others)))
    return tag("li", tag("strong", f"{stage} "), *_said(*worst), folded if others else None)


def _said(sentence: str, gates: list[str]) -> tuple[str, str]:
    return f"{', '.join(gates)}: ", f"{sentence.rstrip('.')}."


def figures(view: View) -> Iterator[tuple[str, str]]:
    """The figures under the answer, by name."""
    decided = [gate for gate in view.deciding_gates if gate.record.decided and gate.record.purpose not in MEASURED]
    if len(decided) == 1:
        yield "Cases passed", passed_words(decided[0].record)
        if decided[0].record.purpose not in PAIRED:  # no count decides a comparison
            yield "Needed", str(decided[0].record.accept)
    elif decided:
        final = f"of the final attempt{'' if len(view.stages) == 1 else 's'} " if view.stages else ""
        yield f"Draws {final}passed", _passed_of(decided)
    if view.stages:
        yield "Attempts", f"{sum(len(stage.attempts) for stage in view.stages)} in {_plural(len(view.stages), 'stage')}"
    if len(decided) != 1:
        yield "Cases judged", f"{sum(len(gate.record.outcomes) for gate in view.gates):,}"
    if view.seconds:
        yield "Time spent", duration(view.seconds)
    if view.run.started:
        yield "Started", view.run.started.replace("T", " ").replace("Z", " UTC")


def _passed_of(decided: list[GateView]) -> str:
    passed = sum(gate.record.verdict is Verdict.PASS for gate in decided)
    waived = sum(gate.waiver is not None for gate in decided)
    return f"{passed} of {len(decided)}" + (f", {waived} waived" if waived else "")


def _notices(view: View) -> Iterator[Markup]:
    for fault in view.run.faults:
        yield tag("p", tag("strong", f"{fault_word(view.run)}: "), fault, class_="notice")
    yield from leak_notices(view.run)


# --- the line of stages and attempts -------------------------------------------------------------------------------


def _line(view: View) -> Markup:
    base = str(view.run.start.get("model") or "").rsplit("/", 1)[-1]
    measured = [_note(_draw_note(gate)) for gate in view.baselines if gate.record.decided]
    stops = [tag("li", _stop_name("base model"), _node("•", "START"), _note(base), *measured, class_="stop")]
    for place, stage in enumerate(view.stages):
        stops += [_stop(stage, attempt, place) for attempt in stage.attempts]
    if view.run.promotions:
        registry = str(view.run.promotions[-1].get("alias") or "registry")
        end = _node("★", "PASS")
        stops.append(tag("li", _stop_name("promoted"), end, _note(registry), class_="stop"))
    return tag("nav", tag("ol", *stops, class_="line"), aria_label="Stages and attempts")


def _is_shown(gate: GateView) -> bool:
    """A reference is part of the draw that is compared with it."""
    return gate.record.decided and gate.record.purpose not in REFERENCES


def _stop(stage: StageView, attempt: AttemptView, place: int) -> Markup:
    link = tag(
        "a",
        _stop_name(stage.record.name, f"attempt {attempt.number}"),
        _node(SIGNS[attempt.state], attempt.state),
        tag("span", f"{STATE_WORDS[attempt.state]}. ", class_="unseen-words"),
        *(_note(_draw_note(gate)) for gate in attempt.gates if _is_shown(gate)),
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


def _draw_note(gate: GateView) -> str:
    """`facts 96 of 100`, `facts confirmed, 98 of 100`, `general: 3 lost, 1 won`."""
    record: GateRecord = gate.record
    waived = ", waived" if gate.waiver else ""
    if gate.kept and (counts := gate.kept.comparison.counts):
        against = f" against {gate.kept.before}" if record.purpose == "worth" else ""
        return f"{record.gate}{against}: {counts.lost} lost, {counts.won} won{waived}"
    if record.purpose == "confirm":
        said = "confirmed" if record.verdict is Verdict.PASS else "not confirmed"
        return f"{record.gate} {said}, {passed_words(record)}{waived}"
    return f"{record.gate} {passed_words(record)}{waived}"


def _stop_name(name: str, quiet: str = "") -> Markup:
    return tag("span", name, tag("span", f" {quiet}", class_="quiet") if quiet else None, class_="stop-name")


def _node(sign: str, class_: str) -> Markup:
    return tag("span", tag("span", sign, class_=f"node {class_}"), class_="node-row", aria_hidden="true")


def _note(text: str, class_: str = "") -> Markup:
    return tag("span", text, class_=f"stop-note {class_}".rstrip())


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
