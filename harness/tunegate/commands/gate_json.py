"""A draw of a gate as JSON, for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tunegate.checks.outcome import Outcome
from tunegate.record.record import GateRecord


def draw_as_json(gate: GateRecord) -> dict[str, Any]:
    """One draw of a gate, with its cases, an iterator: many are never in memory at once."""
    by_id = {outcome.case_id: outcome for outcome in gate.outcomes}
    return {
        "verdict": gate.verdict,
        "reasons": [asdict(reason) for reason in gate.reasons],
        "drawn": gate.drawn,
        "passed": gate.passed,
        "failed": gate.failed,
        "invalid": gate.invalid,
        "asked": gate.asked,
        "spared": gate.spared,
        **({"awaiting_labels": gate.awaits_labels} if gate.awaits_labels else {}),
        "accept": gate.accept,
        "interval": list(gate.interval),
        "interval_selected": gate.selected,
        **gate.further_figures,
        "seed": gate.seed,
        "suite_sha256": gate.suite_sha256,
        "model_sha256": gate.model_sha256,
        "error_categories": gate.error_categories,
        "reused": gate.reused,
        **({"continued": [look.facts for look in gate.looks]} if gate.looks else {}),
        "ledger": gate.ledger and asdict(gate.ledger),
        "asked_again": gate.answers.asked_again,
        "judged_again": gate.judged.judged_again,
        **({"servers": _servers_as_json(gate)} if gate.servers else {}),
        **({"executor": gate.executor} if gate.executor else {}),
        "in_common": gate.in_common and gate.in_common.facts,
        **({"limits": _limits_as_json(gate)} if gate.limit_results else {}),
        "cases": (case_as_json(by_id[case_id]) for case_id in gate.case_ids if case_id in by_id),
    }


def case_as_json(outcome: Outcome) -> dict[str, Any]:
    """A case of a gate: what was asked, answered and expected, and the verdict."""
    return {
        "id": outcome.case_id,
        "prompt": outcome.prompt if isinstance(outcome.prompt, str) else [dict(one) for one in outcome.prompt],
        "response": outcome.response,
        "references": list(outcome.references),
        "tags": list(outcome.tags),
        "verdict": outcome.verdict,
        "scores": outcome.scores,
        "errors": [
            {"category": error.category, "start": error.start, "end": error.end, "text": error.text}
            for error in outcome.errors
        ],
        "reason": outcome.reason,
        **({} if outcome.judged is None else {"judged": outcome.judged}),
        "samples": [
            {"response": one.response, "verdict": one.verdict, "reason": one.reason} for one in outcome.samples
        ],
    }


def _servers_as_json(gate: GateRecord) -> list[dict[str, Any]]:
    """What each of several servers said about itself, and how many questions it answered."""
    return [{**one, "answered": gate.answered_by[one["server"]]} for one in gate.servers]


def _limits_as_json(gate: GateRecord) -> dict[str, Any]:
    """The verdict on each limit with its figures, and where they were measured."""
    figures = gate.figures
    measured = {} if figures is None else {"machine": dict(figures.machine), "seconds": figures.seconds}
    return {"measured": len(gate.timed), **measured, "results": [result.to_json() for result in gate.limit_results]}
