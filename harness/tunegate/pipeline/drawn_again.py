"""The draws of a record made again: they must follow from the pipeline, the draws before them, and the ledger.

Otherwise somebody could choose the cases that a model gets right, or leave out attempts.
"""

from __future__ import annotations

from collections.abc import Sequence

from tunegate.exceptions import CannotJudge, Inconclusive, Tampered
from tunegate.gates.draw import GatePlace, place_of
from tunegate.ledger.entries import Drawn, Entry, History
from tunegate.ledger.ledger import Ledger
from tunegate.pipeline.draws import asked_in, attempt_seed, draw_seed, gate_draw
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.record.draw_facts import LedgerPlace
from tunegate.record.record import GateRecord, RunRecord
from tunegate.seeds import derived_seed
from tunegate.verdicts.terms import PAIRED, REFERENCES


def check_draws(run: RunRecord, pipeline: Pipeline, ledger: Ledger | None) -> bool:
    """Raise Tampered unless each training has the seed, and each gate the cases, that the pipeline gives it.

    Returns whether the places in the ledger had to be believed, since it is gone. Raises CannotJudge if the ledger is
    one that this run did not write.
    """
    history = None if ledger is None or not ledger.path.is_file() else ledger.read()
    if ledger is not None and history is not None:
        _check_ledger(run, pipeline, history, ledger)
    before = list(run.gates.values())
    for stage in (one for one in pipeline.stages if one.name in run.stages):
        for number, attempt in run.stages[stage.name].attempts.items():
            if attempt.redraw_of is None and attempt.seed != attempt_seed(pipeline, stage.name, number):
                raise Tampered(f"stage {stage.name!r}: attempt {number} has another seed than the pipeline gives it")
            for gate in attempt.draws:
                _check_draw(pipeline, stage, gate, before, history)
                before.append(gate)
    return history is None and any(gate.ledger is not None and gate.ledger.entry for gate in run.all_gates())


def _check_draw(
    pipeline: Pipeline, stage: Stage, gate: GateRecord, before: Sequence[GateRecord], history: History | None
) -> None:
    place, written = place_of(gate), gate.ledger or LedgerPlace()
    paired = gate.purpose in (*PAIRED, *REFERENCES)
    # A comparison that was stopped after its entry in the ledger goes on with the seed of that entry.
    resumed = {
        derived_seed(pipeline.seed, GatePlace(gate.gate, stage.name, gate.attempt, one).label) for one in REFERENCES
    }
    if gate.seed not in {draw_seed(pipeline, stage, place), *(resumed if paired else ())}:
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: drawn with another seed than the pipeline gives it")
    if len(gate.questions) != len(gate.case_ids):
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: its questions are not on record")
    if paired or written.repeats or (written.entry and history is None):
        return  # compared on its own; the draw of the entry that it repeats; nobody knows what others were asked
    entries = [] if history is None else history.before(written.entry, of_others_than=written.entry)
    everything = frozenset(question for entry in entries for question in entry.drawn.questions)
    answered = frozenset[str]().union(*(entry.asked for entry in entries))
    if not any(_is_drawn(pipeline, stage, gate, before, others) for others in (answered, everything)):
        raise Tampered(
            f"gate {gate.key!r} of stage {stage.name!r}: its cases are not those that its seed draws from the bank"
        )


def _is_drawn(
    pipeline: Pipeline, stage: Stage, gate: GateRecord, before: Sequence[GateRecord], others: frozenset[str]
) -> bool:
    """Whether the seed gives the cases of a draw. A draw before it may have asked more cases since: not those here."""
    alike = [
        GatePlace(name, stage.name, gate.attempt, place_of(gate).purpose).key
        for name in pipeline.sharing_a_draw(stage, gate.gate)
    ]
    siblings = [one for one in before if one.stage == stage.name and one.attempt == gate.attempt and one.key in alike]
    used = others | asked_in(pipeline, (one for one in before if one not in siblings))
    for known in (used, used - frozenset(gate.questions)):
        try:
            drawn = gate_draw(
                pipeline, stage, place_of(gate), gate.registered, known, [one.questions for one in siblings]
            )
        except Inconclusive:
            continue
        if drawn.questions == gate.questions:
            return True
    return False


# --- the ledger ----------------------------------------------------------------------------------------------------


def _check_ledger(run: RunRecord, pipeline: Pipeline, history: History, ledger: Ledger) -> None:
    """The ledger must hold every draw of the record, and the record every draw that the ledger has of this run."""
    entries = {entry.sha256: entry for entry in history.entries}
    gates = run.all_gates()
    own = {entry.drawn.place for entry in history.entries if entry.drawn.run == run.start.get("id")}
    if not own and any(gate.ledger is not None and gate.ledger.entry for gate in gates):
        raise CannotJudge(
            f"{ledger.path}: this ledger has no draw of {run.folder}; if another one was used, name its folder in "
            "TUNEGATE_LEDGER"
        )
    for gate in gates:
        place = gate.ledger
        if place is None or not place.entry:
            _check_not_written(gate, history, ledger)
            continue
        entry = entries.get(place.entry)
        if entry is None or not _is_entry_of(entry.drawn, run, gate, pipeline) or entry.drawn.repeats != place.repeats:
            raise Tampered(f"gate {gate.key!r} of stage {gate.stage!r}: {ledger.path} has another draw for it, or none")
        _check_standing(gate, place, entry, pipeline, history, ledger)
    known = {_place_in_ledger(run, gate, pipeline) for gate in gates}
    if left_out := [place for place in own if place not in known]:
        _, suite, stage, attempt, purpose = left_out[0]
        raise Tampered(
            f"{ledger.path} has a draw ({purpose}) of {suite!r} in attempt {attempt} of stage {stage!r}, the record not"
        )


def _place_in_ledger(run: RunRecord, gate: GateRecord, pipeline: Pipeline) -> tuple[object, ...]:
    """`Drawn.place` of a gate: the ledger names a suite as its file does, a pipeline may name it otherwise."""
    return (run.start.get("id"), pipeline.suites[gate.gate].name, gate.stage, gate.attempt, gate.purpose)


def _is_entry_of(drawn: Drawn, run: RunRecord, gate: GateRecord, pipeline: Pipeline) -> bool:
    place = _place_in_ledger(run, gate, pipeline)
    facts = (gate.part, gate.drawn, gate.accept, gate.questions, gate.reused, run.start.get("model_sha256"))
    weights = (gate.model_sha256,) if gate.purpose not in REFERENCES else (None,)
    found = (drawn.part, drawn.draw, drawn.accept, drawn.questions, drawn.reused, drawn.lineage)
    return (drawn.place, found) == (place, facts) and drawn.weights in weights


def _check_not_written(gate: GateRecord, history: History, ledger: Ledger) -> None:
    """A draw that says it was not written to the ledger must not be in it."""
    if gate.purpose in (*PAIRED, *REFERENCES):
        return
    for drawn in (entry.drawn for entry in history.entries):
        if (drawn.weights, drawn.purpose, drawn.questions) == (gate.model_sha256, gate.purpose, gate.questions):
            raise Tampered(
                f"gate {gate.key!r}: {ledger.path} has its draw, but the record says that there was no ledger"
            )


def _check_standing(
    gate: GateRecord, place: LedgerPlace, entry: Entry, pipeline: Pipeline, history: History, ledger: Ledger
) -> None:
    """The attempts before it, as the ledger has them. Lines that a merge brought may have come earlier or later."""
    bank, known = pipeline.suites[gate.gate].by_question.keys(), place.repeats or place.entry
    fewest, most = (
        History(entries).standing(bank, entry.drawn.lineage, entry.drawn)
        for entries in (history.followed_by(known), history.before(known))
    )
    if not (fewest.before <= place.before <= most.before and fewest.lineage <= place.lineage <= most.lineage):
        raise Tampered(
            f"gate {gate.key!r} of stage {gate.stage!r}: the record counts {place.before} attempts before it, "
            f"{place.lineage} of them of its lineage, but {ledger.path} {most.before} and {most.lineage}"
        )
