"""Paired draws: fresh cases that a stage's model and an earlier model are both asked, and the earlier model's answers.

An earlier model was chosen by the cases with which it passed. Asked these again, the new model looks worse than it is
(regression to the mean), so each comparison asks both models cases that did not choose the earlier one.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tunegate.cases.bank import draw
from tunegate.cases.case import Case, question_of
from tunegate.exceptions import Inconclusive
from tunegate.gates.ask import known_answers
from tunegate.gates.book import Book, Draft
from tunegate.gates.draw import Draw, GatePlace, longest_draw
from tunegate.gates.runner import GateRunner
from tunegate.models.model import Model, Response
from tunegate.models.shared_answers import Question, SharedAnswers
from tunegate.pipeline.draws import pairs_seed
from tunegate.pipeline.paired_banks import alike
from tunegate.pipeline.pipeline import Pipeline, RetentionTerms, Stage
from tunegate.record.asked_before import asked_before
from tunegate.record.record import AttemptRecord, GateRecord, RunRecord
from tunegate.record.run_log import RunLog
from tunegate.seeds import derived_seed
from tunegate.stats.sampling import same_share
from tunegate.suites.suite import Suite
from tunegate.training.tools import ModelOnDisk
from tunegate.verdicts.terms import REFERENCE, Purpose, Terms

Paired = tuple[GatePlace, RetentionTerms]


def paired_terms(suite: Suite, purpose: Purpose, terms: RetentionTerms) -> Terms:
    """The terms of a paired draw; its accept number is the suite's share of passes, and decides nothing."""
    plan = same_share(suite.plan.first, terms.draw)
    return Terms(plan, purpose, max_drop=terms.max_drop, kept=terms.kept, **suite.answering)


# --- the cases -----------------------------------------------------------------------------------------------------


def fresh_pairs(
    pipeline: Pipeline, run: RunRecord, place: GatePlace, terms: RetentionTerms, others: frozenset[str] = frozenset()
) -> Draw:
    """The cases of a paired draw: first those that this attempt's own gate asks on the same bank, then fresh ones.

    Fresh: neither an earlier draw of this run nor, by `others`, of another run asked them. If the bank has too few, the
    terms may allow cases that were asked before, which `reused` counts; last of all those that chose the earlier model,
    with which a stage before passed a gate; never those that the same weights were asked before a redraw. Comparisons
    on the same bank with the same settings ask the same cases. Raises Inconclusive if the bank has too few.
    """
    assert place.stage is not None  # a paired draw is of an attempt
    assert place.attempt is not None
    suite, names = pipeline.suites[place.gate], alike(pipeline, place.gate)
    before = asked_before(run, place.stage, place.attempt)
    seed = pairs_seed(pipeline, place)
    asked, n = before.asked | others, terms.draw
    part = suite.bank.part("working")
    cases = _own(run, place, suite, names, but_not=before.chose if terms.again else asked)[:n]
    again = ((before.chose | before.answered,) if terms.again else ()) + ((before.answered,) if terms.reuse else ())
    for used in (asked, *again):
        cases += draw(part, n - len(cases), seed, used | frozenset(map(question_of, cases)))
    if len(cases) < n:
        kind = "other cases than those that chose the earlier one" if terms.again else "fresh cases"
        raise Inconclusive(
            f"{place.called}: both models must be asked {n} {kind}, but the bank of {suite.name!r} has "
            f"{len(cases)}; add {n - len(cases)} (or set `reuse: true` under its "
            f"`{'plan' if terms.again else 'retention'}`, which the report marks)"
        )
    return Draw(cases, seed, sum(question_of(case) in asked for case in cases))


def can_compare_again(pipeline: Pipeline, run: RunRecord, stage: Stage, number: int) -> bool:
    """Whether the banks have the cases to compare the weights of an attempt, the latest, with earlier models again."""
    before, answered = asked_before(run, stage.name, number), run.stages[stage.name].attempts[number].asked_questions
    for compared in pipeline.paired(stage).values():
        for name, terms in compared.items():
            barred = before.asked if not terms.again else before.chose if not terms.reuse else frozenset[str]()
            left = set(map(question_of, pipeline.suites[name].bank.working)) - answered - barred
            if len(left) < terms.draw:
                return False
    return True


def _own(
    run: RunRecord, place: GatePlace, suite: Suite, names: Sequence[str], but_not: frozenset[str]
) -> tuple[Case, ...]:
    """The cases that a gate of this attempt was asked of the same bank in the same way."""
    drawn = [gate.questions for name in names if (gate := _attempt(run, place).gates.get(name)) is not None]
    return tuple(case for case in longest_draw(suite, drawn) if question_of(case) not in but_not)


# --- the earlier model ---------------------------------------------------------------------------------------------


def reference_place(place: GatePlace) -> GatePlace:
    """Where the earlier model's answers for a paired draw are recorded."""
    return GatePlace(place.gate, place.stage, place.attempt, REFERENCE[place.purpose])


def reference_of(run: RunRecord, place: GatePlace) -> GateRecord:
    """The earlier model's answers for a paired draw; raises KeyError if they are not on record."""
    return _attempt(run, place).references[reference_place(place).key]


def wants_reference(gate: GateRecord) -> bool:
    """Whether a paired draw that was begun still depends on its reference; one of an older Tunegate has none."""
    return not gate.settled and gate.compared_afresh


def earlier_model(pipeline: Pipeline, run: RunRecord, since: str | None) -> ModelOnDisk:
    """The model that a stage is compared with: the base model, or that with which an earlier stage ended."""
    if since is None:
        return ModelOnDisk(pipeline.model, run.start["model_sha256"])
    attempts = run.stages[since].attempts
    ended = attempts[max(attempts)]
    return ModelOnDisk(str(run.folder / ended.model), ended.model_sha256)


def ask_references(
    pipeline: Pipeline,
    log: RunLog,
    runner: GateRunner,
    open_model: Callable[[ModelOnDisk], Model],
    paired: Sequence[Paired],
    *,
    free: Callable[[], None],
    book: Book,
) -> None:
    """Ask the earlier models the cases of these paired draws, one model after the other. Before a model is opened,
    `free` closes the model of the attempt, so that two are never in memory."""
    by_model: dict[ModelOnDisk, list[Paired]] = {}
    for place, terms in paired:
        begun = _attempt(log.record, place).references.get(reference_place(place).key)
        if begun is None or not begun.settled:
            by_model.setdefault(earlier_model(pipeline, log.record, terms.since), []).append((place, terms))
    for on_disk, places in by_model.items():
        free()
        opened = open_model(on_disk)
        known = _answers_on_record(pipeline, log.record, places[0][0], on_disk, opened.dtype)
        model = SharedAnswers(opened, known)
        del opened
        for place, terms in places:
            _ask_reference(pipeline, log, runner, model, place, terms, book)
        del model
        gc.collect()  # a model may be part of a circle of references


def _ask_reference(
    pipeline: Pipeline,
    log: RunLog,
    runner: GateRunner,
    model: Model,
    place: GatePlace,
    terms: RetentionTerms,
    book: Book,
) -> None:
    suite, reference = pipeline.suites[place.gate], reference_place(place)
    begun = _attempt(log.record, place).references.get(reference.key)
    registered = paired_terms(suite, reference.purpose, terms)
    if begun is None:
        fresh = partial(fresh_pairs, pipeline, log.record, place, terms)
        seed = derived_seed(pipeline.seed, reference.label)
        drawn = book.register(Draft(reference, suite, registered.plan, seed, reference.label, None), fresh)
    else:
        drawn = Draw((), begun.seed)
    runner.run(reference, suite, registered, model, drawn, begun=begun)


def _answers_on_record(
    pipeline: Pipeline, run: RunRecord, place: GatePlace, on_disk: ModelOnDisk, dtype: str | None
) -> dict[Question, Response]:
    """What this model answered to the references of this attempt already, with this number type."""
    known: dict[Question, Response] = {}
    for gate in _attempt(run, place).references.values():
        if gate.model_sha256 == on_disk.sha256:
            known |= answers_of(pipeline.suites[gate.gate], gate, dtype)
    return known


def answers_of(suite: Suite, gate: GateRecord, dtype: str | None) -> Mapping[Question, Response]:
    """The answers of a draw on record, by question, as a model that shares its answers keeps them; none if it was asked
    with another number type, which may change an answer."""
    known: dict[Question, Response] = {}
    asked = frozenset(gate.case_ids)
    for case in suite.cases if gate.answers.responses and gate.dtype == dtype else ():
        if case.id in asked:
            known |= known_answers(suite, case, gate.answers.responses)
    return known


def _attempt(run: RunRecord, place: GatePlace) -> AttemptRecord:
    assert place.stage is not None  # a paired draw is of an attempt
    assert place.attempt is not None
    return run.stages[place.stage].attempts[place.attempt]
