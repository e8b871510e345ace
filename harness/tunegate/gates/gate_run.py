"""A gate run alone, without a pipeline: its folder, its record, and resuming after an interruption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property, partial
from itertools import count, takewhile
from pathlib import Path
from uuid import uuid4

from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict, shallow
from tunegate.exceptions import ConfigError, Inconclusive, Tampered
from tunegate.gates.book import NOT_ASKED_FOR, Book, Draft, NoLedger
from tunegate.gates.draw import Draw, GatePlace, draw_fresh, open_cases
from tunegate.gates.limits import check_measurable
from tunegate.gates.runner import GateRunner
from tunegate.gates.stored_answers import check_answered
from tunegate.ledger.ledger import Ledger
from tunegate.models.model import Model, StoredResponses, answers_the_same, file_of, import_of, request_of
from tunegate.progress import Progress
from tunegate.record.event_log import last_event
from tunegate.record.events import event_from_json
from tunegate.record.gate_events import GateContinued, GateDecided
from tunegate.record.lucky_gate import LuckyPass, lucky_pass_alone, unknown_luck
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck
from tunegate.record.record import GateRecord, RunRecord
from tunegate.record.run_events import RunStarted
from tunegate.record.run_log import RunLog
from tunegate.stats.plans import GatePlan
from tunegate.stats.sampling import DrawPlan
from tunegate.suites.suite import Suite
from tunegate.verdicts.reason import is_settled
from tunegate.verdicts.terms import why_not_continued

FOLDER = Path("tunegate-runs")
RUN_IT_FIRST = "run the same command without --continue first"


@dataclass(frozen=True)
class GateRequest:
    """One gate to run: a suite, a plan, a seed, the model, and the folder of the record (None: chosen by key).

    `always_new`: if the folder is chosen by key, never resume an earlier record, since the model may have changed.
    `ledger` is where the draw is written, and what it must not repeat. `together`: the id of a bake-off, whose models
    are asked the same cases. `session`: the id of a pytest session, whose gates are one attempt. `planned`, if given,
    are the cases that the first draw must turn out to have. `more` is how many cases to add to a finished gate, which
    it then continues; 0 runs or resumes a gate. `but_not` are questions that the first draw must not ask, such as those
    on which the model was chosen.
    """

    suite: Suite
    plan: GatePlan
    seed: int
    model: Model
    folder: str | None = None
    always_new: bool = False
    ledger: Ledger | NoLedger = NOT_ASKED_FOR
    together: str = ""
    session: str = ""
    planned: tuple[Case, ...] | None = None
    more: int = 0
    but_not: frozenset[str] = frozenset()

    @cached_property
    def subject(self) -> str | None:
        """The SHA-256 of the weights or of the stored answers; None for a model that may answer differently."""
        return self.model.sha256 or answers_key(self.model)

    @cached_property
    def key(self) -> str:
        """Identifies this gate: suite, plan, seed, the weights or stored answers, and the number type."""
        subject = self.subject or self.model.name
        facts = [self.suite.sha256, self.plan.numbers, self.seed, subject, self.model.dtype]
        facts += [dict(request)] if (request := request_of(self.model)) else []
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class GateRunResult:
    """A decided gate, its confirming draw if its plan required one, and the record that holds them.

    `earlier` are the verdicts of earlier complete runs of the same gate with the same requests to the same server.
    """

    record: GateRecord
    run: RunRecord
    confirm: GateRecord | None = None
    earlier: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        """The folder of the record."""
        return self.run.folder

    @property
    def earlier_in_words(self) -> str:
        """Says that this gate was run before; empty for the first run."""
        sentence = f"this is not the first try: earlier runs with this suite and seed gave {', '.join(self.earlier)}"
        return sentence if self.earlier else ""

    @property
    def deciding(self) -> GateRecord:
        """The draw whose verdict is the gate's: the confirming draw, if there is one."""
        return self.confirm or self.record

    @cached_property
    def luck(self) -> LuckyPass | None:
        """The chance that a bad model would have passed too; None unless the gate passed."""
        return lucky_pass_alone(self.record, self.confirm, self.run.start.get("policy"))

    @property
    def unknown_luck(self) -> str:
        """Why no chance is known, for a gate that passed on cases asked before; otherwise empty."""
        draws = [self.record] if self.confirm is None else [self.record, self.confirm]
        return unknown_luck(draws) if self.deciding.verdict is Verdict.PASS else ""


def run_gate(request: GateRequest, progress: Progress, versions: Mapping[str, str]) -> GateRunResult:
    """Run a gate, or resume the same gate if it was interrupted or INVALID."""
    check_measurable(request.suite.limits, request.model, None)  # before the ledger holds the draw
    folder, earlier = _folder(request)
    name = request.suite.name
    if request.more and last_event(folder) is None:
        raise ConfigError(f"{folder}: no gate is here to continue; {RUN_IT_FIRST}")
    fresh = cache(partial(_fresh, request))  # asked for when the supply is checked, and again when the draw begins
    with RunLog.open(folder) as log:
        run = log.record
        if run.start and run.start.get("key") != request.key:
            raise ConfigError(
                f"{folder}: the folder holds another gate (its suite, plan, seed, model or dtype differs); choose "
                "another folder"
            )
        if not run.start and run.all_gates():
            raise Tampered(f"{folder}: the record holds a gate without the event that started it")
        if not request.more and not run.gates:  # before the record begins: mended answers may use the same folder
            _GateAlone(request, log, progress, _book(request, run), fresh).check_supply()
        if not run.start:
            log.append(_started(request, earlier, versions))
        gate = _GateAlone(request, log, progress, _book(request, log.record), fresh)
        if request.more:
            gate.go_on(GatePlace(name))
        verdict = gate.draw(GatePlace(name), request.plan.first)
        confirm = _confirmation(request.plan, log.record.gates[name])
        if verdict is Verdict.PASS and confirm is not None:
            gate.draw(GatePlace(name, purpose="confirm"), confirm)
        return _result(log.record, name)


def _book(request: GateRequest, run: RunRecord) -> Book:
    """The ledger, as this gate writes it. Of a model that may answer differently each time, the name is the lineage."""
    together = f"bake-off {request.together}" if request.together else ""
    own = request.session or together or run.start.get("id") or request.key
    known = Book(own, request.ledger).history().lineage_of(request.subject)
    lineage = known if request.subject else request.model.name
    return Book(own, request.ledger, lineage, session=bool(request.session))


def _confirmation(plan: GatePlan, gate: GateRecord) -> DrawPlan | None:
    """The confirming draw that a pass of this draw requires: attempts of the same lineage count, whoever made them.

    If the plan asks cases again, the chance of luck is unknown anyway, and no confirming draw could tell it.
    """
    lineage = 0 if gate.ledger is None or plan.reuse else gate.ledger.lineage
    return plan.confirmation(1 + lineage)


def _started(request: GateRequest, earlier: Sequence[str], versions: Mapping[str, str]) -> RunStarted:
    model, plan = request.model, request.plan
    return replace(
        started(request.suite, request.key, model.name, model.sha256, request.seed, versions),
        policy={"confirms": plan.confirms, "spending": plan.spending and asdict(plan.spending)},
        request=dict(fields) if (fields := request_of(model)) else None,
        imported=import_of(model),
        answers=file_of(model),
        earlier=tuple(earlier),
    )


def started(
    suite: Suite, key: str, model: str, model_sha256: str | None, seed: int, versions: Mapping[str, str]
) -> RunStarted:
    """The first event of a gate that is run alone."""
    facts = {
        "sha256": suite.sha256,
        "path": suite.path,
        "cases": len(suite.cases),
        "settings": asdict(suite.settings),
        **suite.looks_for,
        **({} if suite.made is None else {"made": suite.made}),
    }
    return RunStarted(
        name=suite.name,
        id=uuid4().hex,
        key=key,
        model=model,
        model_sha256=model_sha256,
        seed=seed,
        suites={suite.name: facts},
        versions=dict(versions),
    )


def read_result(folder: Path, name: str) -> GateRunResult:
    """The result of a gate from its record."""
    return _result(read_run(folder), name)


def _result(run: RunRecord, name: str) -> GateRunResult:
    confirm, earlier = run.gates.get(GatePlace(name, purpose="confirm").key), run.start.get("earlier", ())
    return GateRunResult(run.gates[name], run, confirm, tuple(earlier))


@dataclass(frozen=True)
class _GateAlone:
    """The draws of a gate that is run alone."""

    request: GateRequest
    log: RunLog
    progress: Progress
    book: Book
    fresh: Callable[[GatePlace, DrawPlan, frozenset[str]], Draw]
    """Draws cases whose questions are not among these."""

    def check_supply(self) -> None:
        """Raise Inconclusive, before the model is asked, if the bank has too few fresh cases for all draws that a pass
        needs; ConfigError if stored answers have no row for a case that they may ask."""
        plan, history, place = self.request.plan, self.book.history(), GatePlace(self.request.suite.name)
        drawn = self.book.chosen(self._draft(place, plan.first), history, partial(self.fresh, place, plan.first))
        if drawn.repeats:
            return  # its confirming draw, if it had one, is repeated too
        lineage = 0 if plan.reuse else self.book.attempts_before(self._draft(place, plan.first), history)
        if (confirm := plan.confirmation(1 + lineage)) is not None:
            place = replace(place, purpose="confirm")
            self.book.chosen(self._draft(place, confirm), history, partial(self.fresh, place, confirm))

    def go_on(self, place: GatePlace) -> None:
        """Add fresh cases to a finished gate that could not tell; raises ConfigError for any other gate.

        The verdict so far stays on record, and `draw` then asks the added cases.
        """
        request, begun = self.request, self.log.record.gates.get(place.key)
        if begun is None or not begun.settled:
            raise ConfigError(f"{self.log.folder}: the gate is not finished; {RUN_IT_FIRST}")
        if why := why_not_continued(begun.registered, begun.verdict, begun.passed, begun.failed):
            raise ConfigError(f"{self.log.folder}: it cannot be continued: {why}")
        if not answers_the_same(request.model):
            raise ConfigError(
                f"{self.log.folder}: it cannot be continued: {request.model.name} has no fingerprint of its weights, "
                "so it may be another model now; run the gate again, with a larger `plan.draw`"
            )
        recheck(begun)
        self.book.decide(begun)

        def further(used: frozenset[str], begin: Sequence[Case]) -> Draw:
            asked = used | frozenset(begun.questions)
            check_answered(request.model, request.suite, open_cases(place, request.suite, asked))
            return replace(draw_fresh(place, request.suite, request.more, request.seed, asked, begin=begin), reused=0)

        drawn = self.book.go_on(self._draft(place, request.plan.first), begun, further)
        ids = tuple(case.id for case in drawn.cases)
        self.log.append(GateContinued(**place.named, case_ids=ids, questions=drawn.questions, ledger=drawn.ledger))

    def draw(self, place: GatePlace, plan: DrawPlan) -> Verdict:
        """Run one draw of the gate, unless the record holds it."""
        request, begun = self.request, self.log.record.gates.get(place.key)
        if begun is not None and begun.settled:
            _refuse_unknown_weights(request, self.log.folder)
            recheck(begun)
            self.book.decide(begun)
            return begun.verdict
        suite = request.suite
        fresh = partial(self.fresh, place, plan)
        drawn = Draw((), request.seed) if begun else self.book.register(self._draft(place, plan), fresh)
        terms = suite.terms(request.plan, curtail=bool(request.plan.curtail))
        if place.purpose == "confirm":
            terms = terms.confirming(plan)
        elif begun is not None and begun.looks:
            terms = begun.registered
        with self.log.faults_on_record():
            runner = GateRunner(self.log, self.progress)
            verdict = runner.run(place, suite, terms, request.model, drawn, begun=begun).verdict
        self.book.decide(self.log.record.gates[place.key])
        return verdict

    def _draft(self, place: GatePlace, plan: DrawPlan) -> Draft:
        request = self.request
        return Draft(place, request.suite, plan, request.seed, request.model.name, request.subject)


def _fresh(request: GateRequest, place: GatePlace, plan: DrawPlan, used: frozenset[str]) -> Draw:
    used = used | request.but_not
    check_answered(request.model, request.suite, open_cases(place, request.suite, used, request.plan.reuse))
    drawn = draw_fresh(place, request.suite, plan.draw, request.seed, used, request.plan.reuse)
    if place.purpose == "gate" and request.planned not in (None, drawn.cases):
        raise Inconclusive(
            f"gate {place.label}: another gate asked some of these cases after they were collected; run it again"
        )
    return drawn


def _refuse_unknown_weights(request: GateRequest, folder: Path) -> None:
    """A finished gate is valid for its weights; a server has no weights to compare and may answer differently now."""
    if not answers_the_same(request.model):
        raise ConfigError(
            f"{folder}: the folder holds a finished gate of {request.model.name}, which has no fingerprint of its "
            "weights; choose another folder to ask it again"
        )


def _folder(request: GateRequest) -> tuple[Path, list[str]]:
    """The requested folder, or the first of KEY, KEY-2, … without a finished gate; and the verdicts of earlier gates.
    A gate that is continued is in the last of these folders.

    The verdicts are given for a model that may answer differently each time: running a gate until it passes must be
    visible.
    """
    if request.folder is not None:
        return Path(request.folder), []
    if request.more:
        begun = list(takewhile(lambda folder: last_event(folder) is not None, _folders(request)))
        return (begun or [next(_folders(request))])[-1], []
    earlier: list[str] = []
    for folder in _folders(request):
        last, decided = last_event(folder), _decided(folder, request.plan)
        is_open = decided is None or not is_settled(decided.verdict, decided.reasons or ())
        if last is None or (is_open and not request.always_new):
            return folder, [] if answers_the_same(request.model) else earlier
        earlier += [str(decided.verdict)] if decided else []
    raise AssertionError("unreachable")


def _folders(request: GateRequest) -> Iterator[Path]:
    """The folders for this gate: KEY, KEY-2, …, without end."""
    first = FOLDER / f"{request.suite.name}-{request.key}"
    return (first if number == 1 else first.with_name(f"{first.name}-{number}") for number in count(1))


def is_decided(folder: Path, plan: GatePlan) -> bool:
    """Whether the record of a folder holds the gate's verdict, including its confirming draw."""
    return _decided(folder, plan) is not None


def _decided(folder: Path, plan: GatePlan) -> GateDecided | None:
    """The event with the gate's verdict, if it is the last of its record; None if a draw is still needed."""
    last = last_event(folder)
    event = None if last is None else event_from_json(last, "its last line")
    if not isinstance(event, GateDecided):
        return None
    if event.purpose == "gate" and event.verdict is Verdict.PASS and plan.confirm is not None:
        owed = _confirmation(plan, read_run(folder).gates[event.gate])
        return None if owed else event
    return event


def answers_key(model: Model) -> str | None:
    """The SHA-256 of stored answers; None for a model."""
    if not isinstance(model, StoredResponses):
        return None
    digest = hashlib.sha256()
    for case_id, response in sorted(model.responses.items()):
        facts = shallow(response)
        facts["choice_scores"] = [asdict(one) for one in response.choice_scores]
        facts["imported"] = [asdict(one) for one in response.imported]
        if not response.imported:  # keeps the keys of answers that no tool scored
            del facts["imported"]
        if not response.by:  # the same for answers of one server
            del facts["by"]
        digest.update(json.dumps([case_id, facts]).encode())
    return digest.hexdigest()
