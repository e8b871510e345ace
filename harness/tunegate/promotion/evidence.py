"""The evidence for a promotion: whether the record of a run supports it, and what is attested.

Verdicts on record are not trusted: every gate is decided again from its outcomes, and each stage must have started from
exactly the weights with which the stage before it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from itertools import takewhile
from pathlib import Path
from typing import Any

from tunegate import __version__
from tunegate.checks.check import is_imported
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import CannotJudge, Tampered
from tunegate.ledger.entries import GATED
from tunegate.promotion.paired_evidence import check_pair, check_references, required_pairs
from tunegate.record.lucky_gate import attempts_before
from tunegate.record.read_run import reading
from tunegate.record.recheck import NotPromotable, outcomes_before, recheck, recheck_redraws
from tunegate.record.record import AttemptRecord, GateRecord, RunRecord, StageRecord, first_purpose, gate_key
from tunegate.stats.plans import Risk, solve_confirmation_of
from tunegate.verdicts.terms import PAIRED, terms_from_json
from tunegate.verdicts.waivers import excuse, had_expired, waiver_from_json

FORMAT = 2
"""The format of attestations: raised whenever their content changes, so that older ones do not look forged."""

Fingerprint = Callable[[Path], str]
"""SHA-256 of a model on disk."""


def check_promotable(run: RunRecord, fingerprint: Fingerprint, today: date | None) -> tuple[AttemptRecord, Path]:
    """Compare a run's final model with its evidence: every required gate passed, on exactly these bytes.

    A missed gate needs a waiver that was in force when the gate was decided and waived, and is so `today`, if that is
    given. Scores of another tool count only if the pipeline said so.
    """
    attempt = check_gates(run, today)
    _check_some_gate_passed(attempt)
    with reading(run.folder):
        _refuse_imported(run)
    return attempt, gated_model(run, attempt, fingerprint)


def _check_some_gate_passed(attempt: AttemptRecord) -> None:
    """Raise NotPromotable if every gate of the final attempt is waived: nothing shows that the model is good."""
    own = [gate for gate in attempt.gates.values() if gate.purpose == "gate"]
    if own and all(gate.key in attempt.waived for gate in own):
        raise NotPromotable("every gate of the final stage is waived; at least one must have passed")
    if not own:
        raise Tampered("the final attempt has no gate of its own on record")


def gated_model(run: RunRecord, attempt: AttemptRecord, fingerprint: Fingerprint) -> Path:
    """The folder of an attempt's model; raises NotPromotable or Tampered unless it has exactly the gated bytes."""
    folder, passed = run.folder / attempt.model, run.verdict is Verdict.PASS
    if not folder.is_dir():
        raise NotPromotable(f"{folder}: the model that {'passed' if passed else 'failed'} no longer exists")
    if run.folder.resolve() not in folder.resolve().parents:
        raise Tampered(f"{folder}: this model folder is outside the run folder")
    if fingerprint(folder) != attempt.model_sha256:
        raise Tampered(f"{folder}: the weights changed after they {'passed' if passed else 'failed'} their gates")
    return folder


def _refuse_imported(run: RunRecord) -> None:
    """Raise NotPromotable if a required gate uses scores of another tool, and the pipeline did not allow this."""
    if run.start.get("promotes_imported"):
        return
    for stage in _passed_stages(run):
        attempt = stage.attempts[max(stage.attempts)]
        for key in required_draws(run, stage, attempt):
            if any(map(is_imported, attempt.gates[key].checks)):
                raise NotPromotable(
                    f"gate {key!r} of stage {stage.name!r} uses the scores of another tool (`imported`); to allow "
                    "this, set `promote: {imported: true}` in the pipeline file and run it again"
                )


def check_gates(run: RunRecord, today: date | None = None) -> AttemptRecord:
    """The final attempt of a run. Every required gate passed when decided again from the record, or was missed and
    waived, by a waiver that was in force then. Without `today`, it may have expired since.

    Each stage must have passed, and must have started from the weights with which the step before it ended. This also
    applies to a scorer or a baseline, which no later stage starts from.
    """
    with reading(run.folder):
        return _final_attempt(run, today)


def _final_attempt(run: RunRecord, today: date | None) -> AttemptRecord:
    stages = _passed_stages(run)
    recheck_redraws(run)
    _check_questions(run)
    _check_chain(run, stages, today)
    if run.goal is None:
        raise NotPromotable("the run has no stages; only a model that a pipeline trained and gated can be promoted")
    return run.goal.attempts[max(run.goal.attempts)]


def _check_chain(run: RunRecord, stages: Sequence[StageRecord], today: date | None) -> str | None:
    """The weights after these stages; raises unless each began with the weights of the step before and passed."""
    weights = run.start.get("model_sha256")
    for stage in stages:
        if not stage.attempts or not stage.required_gates:
            raise CannotJudge(f"stage {stage.name!r}: the record has no attempt or no required gate")
        attempt = _began_with(stage, weights)
        _check_attempt(run, stage, attempt, today)
        if stage.role == "step":
            weights = attempt.model_sha256
    return weights


def _began_with(stage: StageRecord, weights: str | None) -> AttemptRecord:
    """The last attempt of a stage; raises Tampered unless it began with these weights."""
    attempt = stage.attempts[max(stage.attempts)]
    if attempt.input_sha256 != weights:
        raise Tampered(f"stage {stage.name!r} did not start from the weights with which the previous step ended")
    return attempt


def check_failed(run: RunRecord, today: date | None = None) -> tuple[StageRecord, AttemptRecord]:
    """The stage that a run failed, and the last attempt of it, with the model that failed.

    Every gate of the attempt is decided again from the record, on the registered terms. At least one required gate must
    have failed, and none may lack a verdict. The stages before it must have passed. Raises CannotJudge if it left no
    model.
    """
    with reading(run.folder):
        failed = next((stage for stage in run.stages.values() if stage.verdict is Verdict.FAIL), None)
        if run.verdict is not Verdict.FAIL or failed is None or not failed.attempts:
            raise CannotJudge(f"{run.folder}: no stage of this run failed its gates")
        planned: list[str] = run.start.get("stages", [])
        before = [run.stages[name] for name in planned[: planned.index(failed.name)]]
        recheck_redraws(run)
        _check_questions(run)
        attempt = _began_with(failed, _check_chain(run, before, today))
        if not attempt.model:
            raise CannotJudge(f"{run.folder}: the last attempt of stage {failed.name!r} left no model to attest")
        _check_missed(run, failed, attempt, today)
        return failed, attempt


def _check_missed(run: RunRecord, stage: StageRecord, attempt: AttemptRecord, today: date | None) -> None:
    _check_decided(run, stage, attempt)
    draws = required_draws(run, stage, attempt)
    decided = {key: attempt.gates[key] for key in draws if key in attempt.gates and attempt.gates[key].decided}
    for key, gate in decided.items():
        if gate.verdict not in (Verdict.PASS, Verdict.FAIL):
            raise CannotJudge(f"gate {key!r} of stage {stage.name!r}: {gate.verdict}: {gate.reason}")
        _check_draw(run, stage, gate, draws[key])
    missed = [gate for gate in decided.values() if gate.verdict is Verdict.FAIL]
    if all(_is_waived(gate, attempt, today) for gate in missed):
        raise Tampered(f"stage {stage.name!r}: it failed, but no required gate of its last attempt failed")


def _passed_stages(run: RunRecord) -> list[StageRecord]:
    """The stages that the run registered, in order; raises NotPromotable unless they and the run passed."""
    planned: list[str] = run.start.get("stages", [])
    for name in planned:
        stage = run.stages.get(name)
        if stage is None or stage.verdict is not Verdict.PASS:
            state = "was not reached" if stage is None else stage.reason or "is not decided"
            raise NotPromotable(f"stage {name!r} has not passed: {state}")
    if planned and run.verdict is not Verdict.PASS:
        raise NotPromotable(f"the run has not passed: {run.reason or 'it is not decided'}")
    unplanned = run.stages.keys() - set(planned)
    if unplanned:
        raise Tampered(f"stages {', '.join(sorted(unplanned))}: these are on record, but the run did not register them")
    return [run.stages[name] for name in planned]


def _check_decided(run: RunRecord, stage: StageRecord, attempt: AttemptRecord) -> None:
    """Decide every gate of an attempt again, required or not, because the attestation names them all."""
    for gate in _decided(attempt):
        recheck(gate, outcomes_before(run, gate))
        if gate.model_sha256 != attempt.model_sha256:
            raise Tampered(f"gate {gate.key!r} was run on different weights ({gate.model_sha256})")
        _check_fresh(run, stage, gate)
    check_references(run, stage, attempt)


def _check_attempt(run: RunRecord, stage: StageRecord, attempt: AttemptRecord, today: date | None) -> None:
    for name in stage.required_gates:
        key = gate_key(name, first_purpose(stage))
        if key not in attempt.gates or not attempt.gates[key].decided:
            raise NotPromotable(f"gate {name!r} of stage {stage.name!r} was not decided")
    _check_decided(run, stage, attempt)
    for key, registered in required_draws(run, stage, attempt).items():
        gate = attempt.gates.get(key)
        if gate is None or not gate.decided:
            raise NotPromotable(f"gate {key!r} of stage {stage.name!r} was not decided")
        if gate.verdict is not Verdict.PASS and not _is_waived(gate, attempt, today):
            raise NotPromotable(f"gate {key!r} of stage {stage.name!r}: {gate.verdict}: {gate.reason}")
        _check_draw(run, stage, gate, registered)


def _check_questions(run: RunRecord) -> None:
    """A case id must name the same question in every draw, otherwise a draw cannot show what was asked before."""
    known: dict[tuple[str, str], str] = {}
    for gate in run.all_gates():
        for case_id, question in zip(gate.case_ids, gate.questions, strict=False):
            if known.setdefault((gate.suite_sha256, case_id), question) != question:
                raise Tampered(f"gate {gate.key!r}: case {case_id!r} was a different question in an earlier draw")


def _is_waived(gate: GateRecord, attempt: AttemptRecord, today: date | None) -> bool:
    if gate.key not in attempt.waived:
        return False
    try:
        waiver = waiver_from_json(attempt.waived[gate.key])
    except (TypeError, ValueError, KeyError) as error:
        raise Tampered(f"gate {gate.key!r}: its waiver is not on record: {error!r}") from error
    moment = max(gate.decided_at, attempt.waived_at[gate.key])
    if had_expired(waiver, moment):
        raise NotPromotable(
            f"gate {gate.key!r}: its waiver had expired when it was waived, {moment}: {waiver.in_words}"
        )
    if excuse([waiver], gate.gate, gate.stage, gate.verdict, today or waiver.expires) is None:
        raise NotPromotable(f"gate {gate.key!r}: {gate.verdict}, and its waiver is not in force: {waiver.in_words}")
    return True


def required_draws(run: RunRecord, stage: StageRecord, attempt: AttemptRecord) -> dict[str, Mapping[str, Any]]:
    """The draws that an attempt had to pass: their names, and their terms as the run registered them at its start.

    For a paired draw, the terms are only its largest loss; `check_pair` compares its size and its reference.
    """
    try:
        required: dict[str, Mapping[str, Any]] = {}
        if stage.required_gates != tuple(run.start["gates"][stage.name]):
            raise Tampered(f"stage {stage.name!r}: started with different gates than the run registered")
        for name, gate in run.start["gates"][stage.name].items():
            if name in required:  # a gate has the name of another gate's confirming draw
                raise Tampered(f"stage {stage.name!r}: two draws are named {name!r}")
            required[gate_key(name, first_purpose(stage))] = gate["first"]
            first = attempt.gates.get(gate_key(name, first_purpose(stage)))
            earlier = 0 if first is None or gate["reuse"] else attempts_before(first)
            if gate["confirms"] == "always" or (gate["confirms"] == "after_retry" and attempt.number + earlier > 1):
                required[gate_key(name, "confirm")] = _confirm(gate, attempt.number + earlier)
        required |= required_pairs(run, stage)
    except (KeyError, TypeError, AttributeError) as error:
        raise Tampered(f"stage {stage.name!r}: the run registered no terms for its gates ({error!r})") from error
    return required


def _confirm(gate: Mapping[str, Any], attempt: int) -> Mapping[str, Any]:
    """The registered terms of the confirming draw of an attempt; with `spending`, each attempt has its own."""
    if "spending" not in gate:
        return gate["confirm"]
    first = terms_from_json(gate["first"])
    return first.confirming(solve_confirmation_of(first.plan, Risk(**gate["spending"]), attempt)).to_json()


def _check_draw(run: RunRecord, stage: StageRecord, gate: GateRecord, registered: Mapping[str, Any]) -> None:
    """Compare one draw with the terms that the run registered before its first training."""
    suite = run.start.get("suites", {}).get(gate.gate, {})
    part = "sealed" if registered["purpose"] == "confirm" else "working"
    facts = [suite.get("sha256"), suite.get("checks"), part, *registered.values()]
    if facts != [gate.suite_sha256, list(gate.checks), gate.part, *(gate.terms.get(name) for name in registered)]:
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: its suite or terms differ from the registered ones")
    if registered["purpose"] in PAIRED:
        check_pair(run, stage, gate)


def _check_fresh(run: RunRecord, stage: StageRecord, gate: GateRecord) -> None:
    """No earlier draw of the run, of any suite, stage or attempt, may have asked one of these cases, except for cases
    that the record marks as reused. Gates of one attempt may share a draw. For the cases of a paired draw, see
    `check_pair`."""
    paired = gate.purpose in PAIRED
    if gate.reused and not paired and not run.start["gates"][stage.name].get(gate.gate, {}).get("reuse"):
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: reuses cases, but the run did not register this")
    others = [other for other in _draws_before(run, stage, gate) if not _shares(other, gate)]
    seen = frozenset[str]().union(*(_asked_as_in(gate, other) for other in others))
    reused = len(seen.intersection(gate.questions or gate.case_ids)) if gate.purpose in GATED else 0
    if reused > gate.reused:
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: {reused} of its cases were asked before")
    watched = [one for one in run.start.get("watched", {}).values() if one["gate"] == gate.gate]
    if any(gate.seen.intersection(one["reserved"]) for one in watched):
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: asked cases by which a training was chosen")
    same_gate = [o for attempt in stage.attempts.values() for o in attempt.gates.values() if o.gate == gate.gate]
    across = frozenset[str]().union(*(other.seen for other in same_gate if other.part != gate.part))
    if across & gate.seen:
        raise Tampered(f"gate {gate.key!r} of stage {stage.name!r}: asked cases of the other part of the bank")


def _draws_before(run: RunRecord, stage: StageRecord, gate: GateRecord) -> Iterator[GateRecord]:
    """The draws of the run that came before a draw of the final attempt of a stage."""
    yield from run.gates.values()
    number = gate.attempt or 0
    for _, attempt in run.attempts_until(stage.name, number):
        yield from attempt.draws
    yield from takewhile(lambda draw: draw.key != gate.key, stage.attempts[number].gates.values())


def _shares(other: GateRecord, gate: GateRecord) -> bool:
    """Whether two gates of one attempt share a draw: the shorter list of cases is the beginning of the longer."""
    same = (other.stage, other.attempt, other.purpose) == (gate.stage, gate.attempt, gate.purpose)
    shorter = min(len(other.case_ids), len(gate.case_ids))
    return same and other.case_ids[:shorter] == gate.case_ids[:shorter]


def _asked_as_in(gate: GateRecord, other: GateRecord) -> frozenset[str]:
    """What another draw asked, by question, or by case id in older records, where ids compare only within a suite."""
    if gate.questions:
        return other.asked_questions
    older = other.purpose in PAIRED or other.key != gate.key or other.stage != gate.stage
    return frozenset() if older else other.seen


def attest(run: RunRecord, attempt: AttemptRecord, stage: StageRecord | None = None) -> dict[str, Any]:
    """The attestation of the weights of a run's final attempt, which `check_gates` returned; or of the attempt of
    another stage, which `check_failed` returned.

    `gates` has the gates that the pipeline required of these weights; `other_gates` has the other gates that were run
    on them, on whose verdicts nothing depended.
    """
    stage = stage or run.goal
    required = required_draws(run, stage, attempt) if stage else {}
    decided = _decided(attempt)
    return {
        "format": FORMAT,
        "tunegate": __version__,
        "run": run.name,
        "model_sha256": attempt.model_sha256,
        "base_model": run.start.get("model"),
        "base_model_sha256": run.start.get("model_sha256"),
        "pipeline_sha256": run.start.get("pipeline_sha256"),
        "record_sha256": run.digest,
        "waivers": run.waivers(),
        "gates": [_facts(gate) for gate in decided if gate.key in required],
        "other_gates": [_facts(gate) for gate in decided if gate.key not in required],
    }


def attest_gate(run: RunRecord) -> dict[str, Any]:
    """The attestation of a gate that was run alone: no pipeline, no stage, and no base model."""
    return {
        "format": FORMAT,
        "tunegate": __version__,
        "run": run.name,
        "model_sha256": run.start.get("model_sha256"),
        "record_sha256": run.digest,
        "waivers": [],
        "gates": [_facts(gate) for gate in run.gates.values()],
        "other_gates": [],
    }


def _decided(attempt: AttemptRecord) -> list[GateRecord]:
    return [gate for gate in attempt.gates.values() if gate.decided]


def _facts(gate: GateRecord) -> dict[str, Any]:
    return {
        "stage": gate.stage,
        "attempt": gate.attempt,
        "gate": gate.key,
        "suite_sha256": gate.suite_sha256,
        "model_sha256": gate.model_sha256,
        "verdict": gate.verdict,
        "passed": gate.passed,
        "drawn": gate.drawn,
        "accept": gate.accept,
        "asked": gate.asked,
        "reused": gate.reused,
        **({"ledger": asdict(gate.ledger)} if gate.ledger else {}),
        **({"asked_again": gate.answers.asked_again} if gate.answers.asked_again else {}),
        **({"judged_again": gate.judged.judged_again} if gate.judged.judged_again else {}),
        "terms": gate.terms,
        "interval": list(gate.interval),
        "seed": gate.seed,
    }
