"""A run's side of the ledger: which questions other runs asked, and how a draw is written there and decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import takewhile

from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import Inconclusive
from tunegate.gates.draw import Draw, GatePlace, cases_with
from tunegate.hashes import canonical_json, sha256_hex
from tunegate.ledger.entries import CONTINUES, Decided, Drawn, History, Standing
from tunegate.ledger.ledger import Ledger
from tunegate.record.draw_facts import LedgerPlace
from tunegate.record.record import GateRecord
from tunegate.stats.sampling import DrawPlan
from tunegate.suites.suite import Suite


@dataclass(frozen=True, slots=True)
class NoLedger:
    """Why there is no ledger; every report of the run says it."""

    why: str


NOT_ASKED_FOR = NoLedger("no ledger was asked for")


@dataclass(frozen=True, slots=True)
class Draft:
    """A draw to be made: its place, its suite and plan, and the model that it will be asked of.

    `weights` is the SHA-256 of the model or of stored answers; None for a model that may answer differently each time.
    """

    place: GatePlace
    suite: Suite
    plan: DrawPlan
    seed: int
    model: str
    weights: str | None

    @property
    def key(self) -> str:
        """Identifies suite, draw and seed: with the same weights, the same try."""
        place = self.place
        facts = [self.suite.sha256, place.stage, place.attempt, self.plan.draw, self.plan.accept, self.seed]
        return sha256_hex(canonical_json(facts))[:16]


_SETTLED = (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE)
"""Verdicts that nothing replaces in the ledger."""

Choose = Callable[[frozenset[str]], Draw]
"""Makes a draw, given the questions that other runs asked. Raises Inconclusive if too few others are left."""


ChooseMore = Callable[[frozenset[str], Sequence[Case]], Draw]
"""Makes a draw that begins with these cases, given the questions that other runs asked. Raises Inconclusive as well."""


@dataclass(frozen=True)
class Book:
    """The ledger as one run writes it. `run` is the run's id; `lineage` is the hash of its base model, or None."""

    run: str
    ledger: Ledger | NoLedger
    lineage: str | None = None
    session: bool = False
    """Whether `run` is a pytest session, whose gates are one attempt."""

    def history(self) -> History:
        """What the ledger holds now; nothing without a ledger."""
        return History() if isinstance(self.ledger, NoLedger) else self.ledger.read()

    def attempts_before(self, draft: Draft, history: History) -> int:
        """The attempts of other runs of the same lineage on the bank of this draw, if it is new."""
        return self._standing(draft, self._drawn(draft), history).lineage

    def _standing(self, draft: Draft, own: Drawn, history: History) -> Standing:
        return history.standing(draft.suite.by_question.keys(), self.lineage, own)

    def register(self, draft: Draft, choose: Choose) -> Draw:
        """Make the draw and write it to the ledger, while no other run can: two runs never draw the same case."""
        if isinstance(self.ledger, NoLedger):
            return choose(frozenset()).written_at(LedgerPlace(why_not=self.ledger.why))
        with self.ledger.session() as session:
            history = session.history
            own = history.at(self._drawn(draft), by_model=True)
            drawn = self.chosen(draft, history, choose)
            written = self._drawn(draft, drawn)
            entry = session.add(written) if own is None else own.sha256
        known = drawn.repeats or (own.sha256 if own else "")
        before = History(list(takewhile(lambda one: one.sha256 != known, history.entries)))
        standing = self._standing(draft, written, before)
        return drawn.written_at(LedgerPlace(entry, **asdict(standing), repeats=drawn.repeats))

    def go_on(self, draft: Draft, gate: GateRecord, choose: ChooseMore) -> Draw:
        """Make the draw that adds cases to a gate, and write it to the ledger. `draft` is that of the gate's own draw.

        The same try that any run continued before is continued with the same cases first: nobody can continue it twice
        and keep what he likes better.
        """
        if isinstance(self.ledger, NoLedger):
            return choose(frozenset(), ()).written_at(LedgerPlace(why_not=self.ledger.why))
        with self.ledger.session() as session:
            history = session.history
            known = [one for one in history.continued(draft.key, draft.weights or "") if one not in gate.questions]
            begin = cases_with(draft.suite, known) or ()
            drawn = choose(history.asked(but_not_by=self.run), begin)
            entry = replace(
                self._drawn(draft, drawn),
                purpose=CONTINUES,
                draw=gate.drawn + len(drawn.cases),
                accept=gate.registered.continued(len(drawn.cases)).plan.accept,
            )
            same = [e.sha256 for e in history.entries if e.drawn == entry]
            sha256 = same[0] if same else session.add(entry)
        return drawn.written_at(replace(gate.ledger or LedgerPlace(), entry=sha256))  # this is not a new attempt

    def chosen(self, draft: Draft, history: History, choose: Choose) -> Draw:
        """The draw, given what the ledger holds.

        A draw that this run wrote before it was stopped is kept. A gate run alone takes the cases of the other models
        of its bake-off. The same suite and seed on the same weights is the same try: it asks the same cases again. Any
        other draw is new, of cases that no other run asked.
        """
        own = history.at(self._drawn(draft), by_model=draft.place.stage is not None)
        known = own or history.same_try(draft.key, draft.weights, draft.place.purpose)
        cases = None if known is None else cases_with(draft.suite, known.drawn.questions)
        if known is None or cases is None:
            others = history.asked(but_not_by=self.run)
            try:
                drawn = choose(others)
            except Inconclusive as error:
                asked = history.asked_by(draft.suite.by_question.keys(), but_not_by=self.run)
                error.args = (f"{error}{'; asked before: ' if asked else ''}{asked}",)
                raise
            if draft.place.stage is not None or not history.entries:
                return drawn
            clashes = history.clashes(self._drawn(draft, drawn))
            return choose(others | clashes) if clashes.intersection(drawn.questions) else drawn
        if own is None:
            return Draw(cases, draft.seed, known.drawn.reused, known.sha256)
        of_another = (own.drawn.model, own.drawn.weights) != (draft.model, draft.weights)
        return Draw(cases, draft.seed, len(cases) if of_another else own.drawn.reused, own.drawn.repeats)

    def _drawn(self, draft: Draft, drawn: Draw | None = None) -> Drawn:
        """The entry of a draw; of a draw that is not made yet, without its questions."""
        place, drawn = draft.place, drawn or Draw((), draft.seed)
        return Drawn(
            run=self.run,
            suite=draft.suite.name,
            stage=place.stage,
            attempt=place.attempt,
            purpose=place.purpose,
            part=place.part,
            draw=draft.plan.draw,
            accept=draft.plan.accept,
            model=draft.model,
            weights=draft.weights,
            lineage=self.lineage,
            key=draft.key,
            questions=drawn.questions,
            reused=drawn.reused,
            repeats=drawn.repeats,
            session=self.session,
        )

    def decide(self, gate: GateRecord) -> None:
        """Write the verdict of a draw to the ledger, unless the ledger has it.

        One that waits for people's labels has none yet.
        Raises Inconclusive when the same weights failed the same draw before, and pass it now: then the answers or the
        judge change from time to time, and one of two verdicts would be chosen.
        """
        last = gate.looks[-1] if gate.looks else None
        place, begins = (last.ledger, last.drawn) if last else (gate.ledger, 0)
        if (
            place is None
            or not place.entry
            or isinstance(self.ledger, NoLedger)
            or not gate.decided
            or gate.awaits_labels
        ):
            return
        unasked = tuple(number - begins for number in gate.unasked if number >= begins)
        decided = Decided(of=place.entry, verdict=Verdict(gate.verdict), passed=gate.passed, unasked=unasked)
        with self.ledger.session() as session:
            known = {entry.sha256: entry.decided for entry in session.history.entries}
            for entry in (place.entry, place.repeats):
                if entry in known and (said := known[entry]) != decided and not (said and said.verdict in _SETTLED):
                    session.add(replace(decided, of=entry))
        before = known.get(place.repeats)
        if before is not None and before.verdict is Verdict.FAIL and gate.verdict is Verdict.PASS:
            raise Inconclusive(
                f"gate {gate.key!r}: PASS, but the same weights failed the same cases before; its answers or its judge "
                "change from time to time, so it must be asked fresh cases (another --seed)"
            )
