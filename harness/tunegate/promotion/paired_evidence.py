"""The evidence of paired draws: both models were asked the same fresh cases, and the earlier model is as registered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunegate.exceptions import Tampered
from tunegate.record.asked_before import asked_before
from tunegate.record.recheck import recheck
from tunegate.record.record import AttemptRecord, GateRecord, RunRecord, StageRecord, first_purpose, gate_key
from tunegate.verdicts.terms import PAIRED, REFERENCE

Json = Mapping[str, Any]


def registered_pairs(run: RunRecord, stage: StageRecord, purpose: str) -> Mapping[str, Json]:
    """What the run registered to compare a stage with, by gate. Older records do not have `worth`."""
    registered: Mapping[str, Any] = run.start["retention"] if purpose == "retention" else run.start.get(purpose, {})
    return registered[stage.name] if registered else {}


def required_pairs(run: RunRecord, stage: StageRecord) -> dict[str, Json]:
    """The paired draws that an attempt had to pass: their names, and the terms that were registered for them."""
    return {
        gate_key(name, purpose): {"purpose": purpose} | {key: kept[key] for key in ("max_drop", "kept") if key in kept}
        for purpose in PAIRED
        for name, kept in registered_pairs(run, stage, purpose).items()
    }


def check_pair(run: RunRecord, stage: StageRecord, gate: GateRecord) -> None:
    """Raise Tampered unless a paired draw was compared with exactly the model that the run registered.

    An older Tunegate registered no size for a paired draw. In its records, the comparison may be with the draw that the
    earlier model passed.
    """
    kept = registered_pairs(run, stage, gate.purpose)[gate.gate]
    reference = {"gate": gate.gate, "stage": stage.name, "attempt": gate.attempt, "purpose": REFERENCE[gate.purpose]}
    if gate.against == reference:
        _check_draws(run, stage, gate, kept)
    elif "draw" not in kept:
        _check_same_cases_again(run, stage, gate, kept["since"])
    else:
        raise _otherwise(stage, gate)


def check_references(run: RunRecord, stage: StageRecord, attempt: AttemptRecord) -> None:
    """Raise Tampered unless every draw of an earlier model in an attempt belongs to a comparison that the run
    registered, and was asked of the registered model."""
    for key, reference in attempt.references.items():
        purpose = next(paired for paired in PAIRED if REFERENCE[paired] == reference.purpose)
        kept = registered_pairs(run, stage, purpose).get(reference.gate)
        if kept is None:
            raise Tampered(f"draw {key!r} of stage {stage.name!r}: the run registered no comparison for it")
        if reference.model_sha256 != _earlier_sha256(run, kept["since"]):
            raise Tampered(f"draw {key!r} of stage {stage.name!r}: was not asked of {_model_in_words(kept['since'])}")
        if reference.decided:
            recheck(reference)


def _check_draws(run: RunRecord, stage: StageRecord, gate: GateRecord, kept: Json) -> None:
    """Raise Tampered unless both draws have the registered size and asked and judged the same fresh cases alike."""
    references = run.stages[stage.name].attempts[gate.attempt or 0].references
    reference = references[gate_key(gate.gate, REFERENCE[gate.purpose])]
    if "draw" in kept and gate.drawn != kept["draw"]:
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: its suite or terms differ from the registered ones")
    if _what_was_asked(gate) != _what_was_asked(reference):
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: the earlier model was asked something else")
    before = asked_before(run, stage.name, gate.attempt or 0)
    cases = frozenset(gate.questions)
    if len(cases & before.asked) > gate.reused:
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: more of its cases were asked before than it says")
    if cases & before.asked and not kept.get("again"):
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: asked cases that were asked before")
    if cases & before.chose and not kept.get("reuse"):
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: asked cases by which the earlier model was chosen")


def _what_was_asked(gate: GateRecord) -> list[object]:
    terms = gate.registered
    asked = [gate.suite_sha256, gate.checks, gate.part, gate.case_ids, gate.seed, gate.reused, gate.settings]
    return [*asked, terms.samples, terms.case_passes, terms.plan]


def _check_same_cases_again(run: RunRecord, stage: StageRecord, gate: GateRecord, since: str | None) -> None:
    """Check an older record, which compares with a draw of the base model or of an earlier stage's last attempt."""
    attempt = None if since is None else max(run.stages[since].attempts)
    purpose = "baseline" if since is None else first_purpose(run.stages[since])
    if gate.against != {"gate": gate.gate, "stage": since, "attempt": attempt, "purpose": purpose}:
        raise _otherwise(stage, gate)
    if since is None:
        base = run.gates[gate_key(gate.gate, "baseline")]
        recheck(base)
        if base.model_sha256 != run.start.get("model_sha256"):
            raise Tampered(f"gate {base.key!r}: was not asked of the base model")
        if [base.suite_sha256, base.checks, base.part] != [gate.suite_sha256, gate.checks, gate.part]:
            raise Tampered(f"gate {base.key!r}: stage {stage.name!r} was asked another suite")


def _otherwise(stage: StageRecord, gate: GateRecord) -> Tampered:
    return Tampered(f"gate {gate.key!r} of stage {stage.name!r}: compared with {gate.against}, not as registered")


def _earlier_sha256(run: RunRecord, since: str | None) -> str | None:
    if since is None:
        return run.start.get("model_sha256")
    attempts = run.stages[since].attempts
    return attempts[max(attempts)].model_sha256


def _model_in_words(since: str | None) -> str:
    return "the base model" if since is None else f"the model of stage {since!r}"
