"""A case of a gate as JSON, for `--json` and for Python."""

from __future__ import annotations

from typing import Any

from tunegate.checks.outcome import Outcome


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
