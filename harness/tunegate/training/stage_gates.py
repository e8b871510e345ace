"""The gates of a stage: first draws, confirming draws, retention; each is recorded, and none is run twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

from tunegate.checks.outcome import Verdict
from tunegate.gates.book import Book, Draft
from tunegate.gates.draw import Draw, GatePlace, Reference, place_of, same_cases
from tunegate.gates.runner import GateRunner
from tunegate.models.model import Model, Response
from tunegate.models.shared_answers import Question
from tunegate.pipeline.draws import asked_in, draw_seed, gate_draw
from tunegate.pipeline.pipeline import Pipeline, RetentionTerms, Stage
from tunegate.progress import Progress
from tunegate.record.gate_events import Waived
from tunegate.record.recheck import recheck
from tunegate.record.record import AttemptRecord, GateRecord, RunRecord
from tunegate.record.run_log import RunLog
from tunegate.training.pairs import (
    answers_of,
    ask_references,
    fresh_pairs,
    paired_terms,
    reference_of,
    wants_reference,
)
from tunegate.training.tools import ModelOnDisk, ModelUnderTest
from tunegate.verdicts.decision import Decision
from tunegate.verdicts.terms import PAIRED, Purpose, Terms
from tunegate.verdicts.waivers import excuse

OpenModel = Callable[[], Model]


@dataclass(frozen=True)
class StageGates:
    """The gates that an attempt of one stage must pass. A waiver in force `today` counts a missed gate as passed."""

    pipeline: Pipeline
    stage: Stage
    log: RunLog
    book: Book
    progress: Progress
    say: Callable[[str], None]
    today: Callable[[], date]
    open_earlier: Callable[[ModelOnDisk], Model]

    def check_supply(self, number: int) -> None:
        """Raise Inconclusive if the banks have too few cases for this attempt: before it is trained, not after."""
        history, known = self.book.history(), self._attempt(number).gates
        planned: dict[GatePlace, Draw] = {}
        for place, terms in (*self._first(number), *self._confirming(number)):
            if place.key not in known:
                others = history.asked(but_not_by=self.book.run, nor_as=self._draft(place, terms).key)
                planned[place] = self._fresh(place, terms, planned, others)

    def check_pairs(self, number: int) -> None:
        """Raise Inconclusive if a bank has too few fresh cases to compare this attempt with an earlier model."""
        others = self.book.history().asked(but_not_by=self.book.run)
        for place, terms in self._kept(number):
            if place.key not in self._attempt(number).gates:
                fresh_pairs(self.pipeline, self._run(), place, terms, others)

    def decide(self, number: int, open_model: ModelUnderTest) -> dict[str, GateRecord]:
        """Every first draw of the stage, even after one failed, because a diagnosis needs them all. If all passed, the
        retention draws; if these passed too, the confirming draws that the attempt requires, which use sealed cases.
        The model is opened for the first draw that is not on record.

        Returns the draws whose verdicts count: all but those that a waiver excuses now."""
        steps: list[Callable[[], dict[str, Verdict]]] = [
            lambda: {place.key: self._decide(place, terms, open_model) for place, terms in self._first(number)},
            lambda: self._compared(number, open_model),
            lambda: {place.key: self._decide(place, terms, open_model) for place, terms in self._confirming(number)},
        ]
        said: dict[str, Verdict] = {}
        for step in steps:
            said |= step()
            if any(verdict is not Verdict.PASS for verdict in said.values()):
                break
        gates = self._attempt(number).gates
        return {
            key: gates[key] for key, verdict in said.items() if gates[key].verdict is verdict
        }  # otherwise it is waived

    def answers_on_record(self, number: int, dtype: str | None) -> dict[Question, Response]:
        """What the model of an attempt answered with this number type before the run was interrupted: it is not asked
        that again."""
        known: dict[Question, Response] = {}
        for gate in self._attempt(number).gates.values():
            known |= answers_of(self.pipeline.suites[gate.gate], gate, dtype)
        return known

    def _first(self, number: int) -> Iterator[tuple[GatePlace, Terms]]:
        for name, gate in self.pipeline.gates(self.stage).items():
            yield self._place(name, number, gate.first.purpose), gate.first

    def _confirming(self, number: int) -> Iterator[tuple[GatePlace, Terms]]:
        """The confirming draws that an attempt requires; attempts of other runs from the same base count."""
        for name, gate in self.pipeline.gates(self.stage).items():
            terms = gate.confirmation(number + self._attempts_before(name, number))
            if terms is not None:
                yield self._place(name, number, "confirm"), terms

    def _attempts_before(self, name: str, number: int) -> int:
        """The attempts of other runs from the same base on a gate's bank, as its first draw registered them."""
        first = self._attempt(number).gates.get(name)
        if self.pipeline.suites[name].rule.reuse:
            return 0  # the chance of luck is unknown anyway
        if first is None or first.ledger is None:
            place = self._place(name, number, "gate")
            draft = self._draft(place, self.pipeline.gates(self.stage)[name].first)
            return self.book.attempts_before(draft, self.book.history())
        return first.ledger.lineage

    def _kept(self, number: int) -> Iterator[tuple[GatePlace, RetentionTerms]]:
        for purpose in PAIRED:
            for name, terms in self.pipeline.paired(self.stage)[purpose].items():
                yield self._place(name, number, purpose), terms

    def _place(self, name: str, number: int, purpose: Purpose) -> GatePlace:
        return GatePlace(name, self.stage.name, number, purpose)

    # --- one draw ---

    def _decide(self, place: GatePlace, terms: Terms, open_model: OpenModel) -> Verdict:
        number = place.attempt or 0
        begun = self._begun(place)
        if begun is not None and begun.settled:
            recheck(begun)
            self.book.decide(begun)
            return self._excused(place, begun.verdict)
        suite = self.pipeline.suites[place.gate]
        fresh = partial(self._fresh, place, terms, {})
        drawn = self.book.register(self._draft(place, terms), fresh) if begun is None else Draw((), begun.seed)
        decision = self._runner().run(place, suite, terms, open_model(), drawn, begun=begun)
        self.book.decide(self._attempt(number).gates[place.key])
        self._tell(place, decision)
        return self._excused(place, decision.verdict)

    def _compared(self, number: int, open_model: ModelUnderTest) -> dict[str, Verdict]:
        """The draws that are compared with earlier models. These are asked first, so that one model at a time is
        loaded."""
        kept, begun = list(self._kept(number)), self._attempt(number).gates
        open_ = [(place, terms) for place, terms in kept if place.key not in begun or wants_reference(begun[place.key])]
        ask_references(
            self.pipeline, self.log, self._runner(), self.open_earlier, open_, free=open_model.close, book=self.book
        )
        return {place.key: self._retain(place, terms, open_model) for place, terms in kept}

    def _retain(self, place: GatePlace, terms: RetentionTerms, open_model: OpenModel) -> Verdict:
        begun = self._begun(place)
        if begun is not None and begun.settled:
            recheck(begun, self._run().held_against(begun))
            return self._excused(place, begun.verdict)
        suite, run = self.pipeline.suites[place.gate], self._run()
        if begun is None:
            since = reference_of(run, place)
            registered, drawn = paired_terms(suite, place.purpose, terms), same_cases(suite, since)
            before = Reference(place_of(since), since.outcomes)
        else:
            registered, drawn = begun.registered, Draw((), begun.seed)
            before = Reference(place, run.held_against(begun))  # its place is on record already
        decision = self._runner().run(place, suite, registered, open_model(), drawn, begun=begun, before=before)
        self._tell(place, decision)
        return self._excused(place, decision.verdict)

    def _tell(self, place: GatePlace, decision: Decision) -> None:
        measured = place.purpose == "baseline" and decision.verdict is Verdict.PASS  # a measurement cannot fail
        self.say(f"{place.label}: {'' if measured else f'{decision.verdict}, '}{decision.reason}")
        gate = self._begun(place)
        if gate is not None and (again := gate.asked_or_judged_again):
            self.say(f"{place.label}: {again}")

    def _excused(self, place: GatePlace, verdict: Verdict) -> Verdict:
        """The verdict, or PASS if a waiver covers the miss; only for the latest attempt: an attempt that was diagnosed
        and trained again needs no waiver any more."""
        attempts = self._run().stages[self.stage.name].attempts
        waiver = excuse(self.pipeline.waivers, place.gate, self.stage.name, verdict, self.today())
        if waiver is None or place.attempt != max(attempts):
            return verdict
        if attempts[max(attempts)].waived.get(place.key) != waiver.to_json():
            self.log.append(Waived(**place.named, waiver=waiver.to_json()))
            self.say(f"{place.label}: {waiver.in_words}")
        return Verdict.PASS

    def _runner(self) -> GateRunner:
        base = ModelOnDisk(self.pipeline.model, self._run().start["model_sha256"])
        return GateRunner(self.log, self.progress, lambda: self.open_earlier(base))

    def _begun(self, place: GatePlace) -> GateRecord | None:
        assert place.attempt is not None
        return self._attempt(place.attempt).gates.get(place.key)

    def _draft(self, place: GatePlace, terms: Terms) -> Draft:
        weights = self._attempt(place.attempt or 0).model_sha256
        suite = self.pipeline.suites[place.gate]
        return Draft(
            place,
            suite,
            terms.plan,
            draw_seed(self.pipeline, self.stage, place),
            f"{self.stage.name}#{place.attempt}",
            weights or None,
        )

    def _fresh(self, place: GatePlace, terms: Terms, planned: Mapping[GatePlace, Draw], others: frozenset[str]) -> Draw:
        """The draw of a place: cases that neither `others` nor any draw of this run asked or, by `planned`, will ask;
        but those of a gate of the same attempt that asks the same."""
        number = place.attempt or 0
        alike = [replace(place, gate=name) for name in self.pipeline.sharing_a_draw(self.stage, place.gate)]
        drawn = [known.questions for one in alike if (known := self._begun(one) or planned.get(one)) is not None]
        siblings = [one.key for one in alike]
        used = others | asked_in(
            self.pipeline,
            (
                gate
                for gate in self._run().all_gates()
                if (gate.stage, gate.attempt) != (self.stage.name, number) or gate.key not in siblings
            ),
        )
        used |= frozenset(q for one, draw in planned.items() if one not in alike for q in draw.questions)
        return gate_draw(self.pipeline, self.stage, place, terms, used, drawn)

    def _attempt(self, number: int) -> AttemptRecord:
        return self._run().stages[self.stage.name].attempts[number]

    def _run(self) -> RunRecord:
        return self.log.record
