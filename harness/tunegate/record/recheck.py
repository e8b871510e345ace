"""Deciding a recorded gate again from its outcomes: they must give the same verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose

from tunegate.checks.outcome import Outcome, SampleOutcome, Verdict, combine, vote
from tunegate.exceptions import Tampered, TunegateError
from tunegate.record.draw_facts import Look
from tunegate.record.noise import asks_fresh_cases, noise_of
from tunegate.record.read_run import reading
from tunegate.record.record import GateRecord, RunRecord
from tunegate.verdicts.decision import Decision
from tunegate.verdicts.reason import Fact, Reason
from tunegate.verdicts.terms import conclude, terms_from_json


class NotPromotable(TunegateError):
    """The evidence does not support a promotion."""

    exit_code = 1


def recheck_all(run: RunRecord) -> int:
    """Decide every decided gate of a run again; returns how many there are. Redraws must follow from the gates."""
    decided = [gate for gate in run.all_gates() if gate.decided]
    for gate in decided:
        recheck(gate, outcomes_before(run, gate))
    with reading(run.folder):
        recheck_redraws(run)
    return len(decided)


def recheck_redraws(run: RunRecord) -> None:
    """Raise Tampered for a redraw that the run did not register, or whose miss, computed again, was not noise."""
    for stage in run.stages.values():
        for number, attempt in stage.attempts.items():
            if attempt.redraw_of is None:
                continue
            before = stage.attempts[attempt.redraw_of]
            redraws: Mapping[str, Mapping[str, float]] = run.start.get("redraws") or {}
            good = redraws.get(stage.name)
            noise = None if good is None else noise_of([before], good)
            reused = any(gate.reused for gate in attempt.gates.values() if not gate.compared_afresh)
            if reused or attempt.asked_questions & before.asked_questions:
                raise Tampered(f"stage {stage.name!r}: attempt {number} asks the same weights the same cases again")
            if noise is None or not noise.likely or not asks_fresh_cases(before):
                why = "the run did not register redraws" if good is None else "the miss before it was not noise"
                raise Tampered(f"stage {stage.name!r}: attempt {number} asks the same weights again, but {why}")


def recheck(gate: GateRecord, before: Sequence[Outcome] = ()) -> None:
    """Decide a gate again from the outcomes on record; raises Tampered when the recorded verdict differs.

    A retention draw is compared with `before` again.

    Raises NotPromotable when the record holds fewer outcomes than the plan registered.
    """
    with reading(f"gate {gate.key!r}"):
        _recheck(gate, before)


def _recheck(gate: GateRecord, before: Sequence[Outcome]) -> None:
    for outcome in gate.outcomes:
        _check_votes(gate, outcome)
        for judged in (outcome, *outcome.samples):
            _check_findings(gate, outcome.case_id, judged)
    counted = tuple(outcome.case_id for outcome in gate.outcomes)
    if counted != gate.case_ids[: gate.asked] or len(gate.case_ids) != gate.drawn:
        raise NotPromotable(
            f"gate {gate.key!r}: {len(set(counted) & set(gate.case_ids))} of the {gate.asked or gate.drawn} outcomes "
            f"that its verdict is based on are on record"
        )
    most, allowed = gate.answers.most_asked_until_one_came, 1 + gate.registered.ask_again
    if most > allowed:
        raise NotPromotable(f"gate {gate.key!r}: a question was asked {most} times, but its terms allow {allowed}")
    if gate.judged.most_judged_until_a_verdict > allowed:
        most = gate.judged.most_judged_until_a_verdict
        raise NotPromotable(f"gate {gate.key!r}: an answer was judged {most} times, but its terms allow {allowed}")
    if gate.answers.replaced:
        raise NotPromotable(
            f"gate {gate.key!r}: an older Tunegate asked {len(gate.answers.replaced)} questions again and got other "
            "answers; run the gate again"
        )
    for look in gate.looks:
        _recheck_look(gate, look)
    decision = conclude(gate.registered, gate.outcomes, before, gate.figures, gate.diversity)
    for name in ("verdict", "passed", "failed", "invalid", "asked", "spared"):
        if getattr(decision, name) != getattr(gate, name):
            raise Tampered(
                f"gate {gate.key!r}: the record says {gate.verdict} with {gate.passed} passed, "
                f"but its outcomes give {decision.verdict} with {decision.passed} passed"
            )
    _check_told(gate, decision)


def _check_told(gate: GateRecord, decision: Decision) -> None:
    """What a report shows beside the verdict must follow from the outcomes too. Older records have a sentence
    instead of reasons, in the words of their time."""
    if not all(isclose(*pair, abs_tol=1e-6) for pair in zip(gate.interval, decision.interval, strict=True)):
        low, high = decision.interval
        raise Tampered(f"gate {gate.key!r}: its outcomes give another interval, from {low:.4f} to {high:.4f}")
    if dict(gate.error_categories) != dict(decision.error_categories):
        raise Tampered(f"gate {gate.key!r}: its outcomes give other numbers of errors by category")
    older = any(reason.kind == "said" for reason in gate.reasons)
    if not older and (_rounded(gate.reasons), gate.reason) != (_rounded(decision.reasons), decision.reason):
        raise Tampered(f"gate {gate.key!r}: its outcomes give another reason: {decision.reason}")


def _rounded(reasons: Sequence[Reason]) -> list[tuple[str, dict[str, Fact]]]:
    """Reasons as another machine may compute them: the last digits of a number may differ."""
    return [
        (
            one.kind,
            {name: float(f"{fact:.6g}") if isinstance(fact, float) else fact for name, fact in one.facts.items()},
        )
        for one in reasons
    ]


def _recheck_look(gate: GateRecord, look: Look) -> None:
    """A verdict after which the gate was continued must follow from the cases that were drawn until then."""
    decision = conclude(terms_from_json(look.terms), gate.outcomes[: look.drawn], (), gate.figures)
    if (decision.verdict, decision.passed, decision.failed) != (look.verdict, look.passed, look.failed):
        raise Tampered(
            f"gate {gate.key!r}: it was continued after {look.verdict} with {look.passed} passed, but its outcomes "
            f"give {decision.verdict} with {decision.passed} passed"
        )


def _check_findings(gate: GateRecord, case_id: str, judged: Outcome | SampleOutcome) -> None:
    """An answer's verdict must follow from its findings, and these must come from the checks of the gate."""
    if combine(judged.findings)[0] is not judged.verdict:
        raise Tampered(
            f"gate {gate.gate!r}: case {case_id!r} is {judged.verdict}, but its findings give another verdict"
        )
    checks = tuple(finding.check for finding in judged.findings)
    unanswered = checks == ("model",) and judged.verdict is Verdict.INVALID
    # An answer without a part that can be judged is a miss, or INVALID, before any check that reads text runs.
    without_part = checks[:1] == ("answer",) and judged.verdict is not Verdict.PASS and {*checks[1:]} <= {*gate.checks}
    if checks != gate.checks and not unanswered and not without_part:
        raise Tampered(f"gate {gate.gate!r}: case {case_id!r} was not judged by the checks of the gate")


def _check_votes(gate: GateRecord, outcome: Outcome) -> None:
    """A case must have the registered number of answers, and the verdict that they vote for."""
    terms, votes = gate.registered, [sample.verdict for sample in outcome.samples]
    if len(votes) != (terms.samples if terms.samples > 1 else 0):
        raise Tampered(
            f"gate {gate.gate!r}: case {outcome.case_id!r} has {len(votes)} answers, its terms say {terms.samples}"
        )
    if votes and vote(votes, terms.case_passes) is not outcome.verdict:
        raise Tampered(
            f"gate {gate.gate!r}: case {outcome.case_id!r} is {outcome.verdict}, but its answers give another verdict"
        )


def outcomes_before(run: RunRecord, gate: GateRecord) -> Sequence[Outcome]:
    try:
        return run.held_against(gate)
    except (KeyError, TypeError, AttributeError) as error:
        raise Tampered(
            f"gate {gate.key!r}: the outcomes that it was compared with are not on record ({error!r})"
        ) from error
