"""The end of the page: every access to a bank, and the hashes, seeds and versions that tie the page to the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunegate.record.record import GateRecord
from tunegate.record.server_words import servers_in_words
from tunegate.verdicts.terms import PAIRED, REFERENCES
from tunegate_reports.answer import DRAW_WORDS
from tunegate_reports.markup import Child, Markup, tag
from tunegate_reports.view import View, flat

SHOWN_ELSEWHERE = frozenset({"event", "time", "previous_sha256", "line_sha256", "name"})
LEDGER = ("Draw", "Stage", "For", "Part of the bank", "Its size", "Registered", "Asked", "Asked before")


def provenance_section(view: View) -> Markup:
    """What an auditor needs."""
    run = view.run
    general = {"record digest (SHA-256)": run.digest, "started": run.started}
    if run.finished or not (view.alone and all(gate.record.decided for gate in view.gates)):
        general["finished"] = run.finished or "not yet"  # a gate that is run alone ends with its decision
    promoted = {f"promotion {n}": flat(_own(event)) for n, event in enumerate(run.promotions, start=1)}
    return tag(
        "section",
        tag("h2", "Provenance", id="provenance-title"),
        _table("This run", [*general.items(), *flat(_own(run.start)).items(), *flat(promoted).items()]),
        _ledger([gate.record for gate in view.gates]) if view.gates else None,
        *(_table(title, list(flat(rows).items())) for title, rows in _attempt_rows(view)),
        *(_table(f"Gate {gate.label}", list(_gate_rows(gate.record).items())) for gate in view.gates),
        id="provenance",
        aria_labelledby="provenance-title",
    )


# --- the ledger ----------------------------------------------------------------------------------------------------


def _ledger(gates: Sequence[GateRecord]) -> Markup:
    """Every access to a bank: which part was opened, for which draw, and how many of its cases were asked before."""
    head = tag("tr", *(tag("th", name, scope="col") for name in LEDGER))
    rows = (tag("tr", *(tag("td", value) for value in _access(gate))) for gate in gates)
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="ledger")
    scroll = tag("div", table, class_="sideways", tabindex=0, role="group", aria_label="Ledger of the banks")
    return tag("details", tag("summary", "Ledger of the banks"), scroll, open=True)


def _access(gate: GateRecord) -> Iterator[Child]:
    yield gate.gate
    yield f"{gate.stage}#{gate.attempt}" if gate.stage is not None else "–"
    yield DRAW_WORDS.get(gate.purpose, gate.purpose)
    yield tag("strong", "sealed") if gate.part == "sealed" else gate.part
    yield gate.bank or "not recorded"
    yield gate.drawn
    yield len(gate.seen) if gate.outcomes else 0
    yield _asked_before(gate)


def _asked_before(gate: GateRecord) -> Child:
    if gate.purpose in PAIRED and (gate.against or {}).get("purpose") not in REFERENCES:
        return "all, on purpose"  # an older record: the cases of an earlier draw
    return tag("strong", f"{gate.reused}: no fresh cases were left", class_="reused") if gate.reused else "none"


# --- tables of values ----------------------------------------------------------------------------------------------


def _own(event: Mapping[str, object]) -> dict[str, object]:
    return {key: _without_cards(value) for key, value in event.items() if key not in SHOWN_ELSEWHERE}


def _without_cards(value: object) -> object:
    """The value without its data cards, which have their own section; here a hash is enough."""
    if not isinstance(value, Mapping):
        return value
    items = dict[str, Any](value)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(items.get("card"), Mapping):
        items["card_sha256"] = items.pop("card").get("card_sha256")
    return {key: _without_cards(item) for key, item in items.items()}


def _attempt_rows(view: View) -> Iterator[tuple[str, dict[str, object]]]:
    for stage in view.stages:
        for attempt in stage.attempts:
            record = attempt.record
            rows: dict[str, object] = {
                "seed": record.seed,
                "input_sha256": record.input_sha256,
                "data_sha256": record.data_sha256,
                "model": record.model,
                "model_sha256": record.model_sha256,
                "settings": record.settings,
                "summary": record.summary,
                **_workers("trained by", record.executor),
            }
            yield f"Stage {stage.record.name}, attempt {attempt.number}", rows


def _gate_rows(gate: GateRecord) -> dict[str, str]:
    names = ("suite_sha256", "model", "model_sha256", "dtype", "seed", "checks", "settings", "terms")
    servers = {"servers": servers_in_words(gate)} if gate.servers else {}
    halved = {} if gate.halved_batch is None else {"batches reduced to": gate.halved_batch}
    facts = {name: getattr(gate, name) for name in names} | servers | halved
    return flat(facts | _workers("answered by", gate.executor))


def _workers(what: str, executor: Mapping[str, Any] | None) -> dict[str, str]:
    """Who answered or trained, if that was not the process of the command: each worker, and why it was lost."""
    if executor is None:
        return {}
    return {f"{what} ({executor['kind']})": "; ".join(map(_worker, executor["workers"]))}


def _worker(one: Mapping[str, Any]) -> str:
    """`process 1: 12 blocks, 24 blocks judged, lost: it was ended by SIGKILL`"""
    counts = [(one[name], what) for name, what in (("blocks", ""), ("judged", " judged")) if name in one]
    told = [
        *(f"{count} block{'' if count == 1 else 's'}{what}" for count, what in counts),
        *([f"lost: {one['lost']}"] if one.get("lost") else []),
    ]
    return f"{one['place']}: {', '.join(told)}" if told else str(one["place"])


def _table(title: str, rows: Sequence[tuple[str, str]]) -> Markup:
    cells = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in rows if value]
    return tag("details", tag("summary", title), tag("table", tag("tbody", *cells)), open=title == "This run")
