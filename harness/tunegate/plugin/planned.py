"""Which cases a gate of a pytest session will ask: known when its items are collected, before any model is opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tunegate.cases.case import Case
from tunegate.exceptions import Inconclusive, TunegateError
from tunegate.gates.book import Book, Draft, NoLedger
from tunegate.gates.draw import Draw, GatePlace, cases_with, draw_fresh
from tunegate.gates.gate_run import FOLDER, answers_key
from tunegate.ledger.entries import History
from tunegate.ledger.ledger import Ledger
from tunegate.models.model import Model
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate.stats.plans import GatePlan
from tunegate.suites.suite import Suite


class Asked(Protocol):
    """What is asked: the model's path, hub id or URL; and the id of the session."""

    @property
    def model(self) -> str | None: ...

    @property
    def session(self) -> str: ...


class Collected(Protocol):
    """A collected gate."""

    suite: Suite
    plan: GatePlan
    seed: int
    stored: Model | None
    ledger: Ledger | NoLedger

    @property
    def subject(self) -> Asked: ...


def planned(gate: Collected) -> tuple[Case, ...] | None:
    """The cases of the gate's first draw; None if the ledger leaves too few fresh cases, which the gate will say.

    An unfinished gate of a server goes on with its cases. Weights that were asked with this suite and seed before are
    asked the same again; they are only hashed if the ledger holds such a draw.
    """
    if (begun := _begun(gate)) is not None:
        return begun
    place = GatePlace(gate.suite.name)
    try:
        book = Book(gate.subject.session, gate.ledger, session=True)
        history = book.history()
        draft = Draft(place, gate.suite, gate.plan.first, gate.seed, "", None)
        if any(entry.drawn.key == draft.key for entry in history.entries):
            draft = Draft(place, gate.suite, gate.plan.first, gate.seed, "", _weights(gate))
        return _chosen(gate, book, draft, history)
    except Inconclusive:
        return None


def _chosen(gate: Collected, book: Book, draft: Draft, history: History) -> tuple[Case, ...]:
    def fresh(used: frozenset[str]) -> Draw:
        return draw_fresh(draft.place, gate.suite, gate.plan.draw, gate.seed, used, gate.plan.reuse)

    return book.chosen(draft, history, fresh).cases


def _weights(gate: Collected) -> str | None:
    """The SHA-256 of the model or the answers; None for a server, or a model whose fault the gate itself will say."""
    if gate.stored is not None:
        return answers_key(gate.stored)
    from tunegate.models.open_model import model_sha256

    try:
        return model_sha256(gate.subject.model or "")
    except TunegateError:
        return None


def _begun(gate: Collected) -> tuple[Case, ...] | None:
    """The cases of a gate of a server that an earlier session left open."""
    from tunegate.models.open_model import is_server

    if gate.stored is not None or not is_server(gate.subject.model or ""):
        return None
    for folder in _records(gate.suite.name):
        try:
            run = read_run(folder)
        except TunegateError:
            continue  # the gate itself will say what is wrong with it
        begun = run.gates.get(gate.suite.name)
        if begun is None or begun.settled:
            continue
        same = (begun.suite_sha256, begun.seed, begun.model) == (gate.suite.sha256, gate.seed, gate.subject.model)
        if same and (cases := cases_with(gate.suite, begun.questions)) is not None:
            return cases
    return None


def _records(suite: str) -> Sequence[Path]:
    return sorted(path.parent for path in FOLDER.glob(f"{suite}-*/{EVENTS}"))
