"""Tunegate: acceptance sampling for fine-tuned language models.

A gate draws cases from the bank of a suite, asks the model, judges the answers, and decides by the terms that were
registered before the first answer. The chance that a bad model gets through, retries included, is computed beforehand.
A pipeline trains a stage until its gates pass, and checks that the model keeps what it could do before. Everything is
kept in an append-only record, and only models that passed on that evidence are promoted.

Each folder imports only the folders below it. From the bottom up: `stats` (numbers), `reading` (users' files), `text`
(words); `cases`, `trust` (what strangers' files may do); `models` (who answers); `checks` (how an answer is judged);
`verdicts` (from outcomes to a verdict), `data` (training data); `record` (what happened), `suites`; `gates` (draw, ask,
judge, decide), `leaks` (tests that the training data contain); `promotion`, `choosing` (which model, which method),
`attribution` (why a model gave an answer), `reviewing` (people's labels), `generation` (data from a model); `pipeline`
(what a pipeline file says), `serving` (exports and servers); `training` (carries out a run); `commands`; and three
entry points: `cli`, `plugin` (pytest) and `api` (Python), whose names this package exports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunegate.api.evidence import compare as compare
    from tunegate.api.evidence import verify as verify
    from tunegate.api.gate import GateResult as GateResult
    from tunegate.api.gate import run_gate as run_gate
    from tunegate.api.pipeline import RunResult as RunResult
    from tunegate.api.pipeline import load_pipeline as load_pipeline
    from tunegate.api.pipeline import run_pipeline as run_pipeline
    from tunegate.api.suite import Plan as Plan
    from tunegate.api.suite import Suite as Suite
    from tunegate.api.suite import load_suite as load_suite
    from tunegate.cases.case import Case as Case
    from tunegate.checks.check import Sample as Sample
    from tunegate.checks.outcome import Finding as Finding
    from tunegate.checks.outcome import Outcome as Outcome
    from tunegate.checks.outcome import Verdict as Verdict
    from tunegate.checks.own_check import Check as Check
    from tunegate.models.model import Model as Model
    from tunegate.plugin.gate_function import gate as gate

__version__ = "0.1.0"

_PLACES = {
    "Case": "tunegate.cases.case",
    "Check": "tunegate.checks.own_check",
    "Finding": "tunegate.checks.outcome",
    "GateResult": "tunegate.api.gate",
    "Model": "tunegate.models.model",
    "Outcome": "tunegate.checks.outcome",
    "Plan": "tunegate.api.suite",
    "RunResult": "tunegate.api.pipeline",
    "Sample": "tunegate.checks.check",
    "Suite": "tunegate.api.suite",
    "TrainerCallback": "tunegate_trainers.callback",
    "Verdict": "tunegate.checks.outcome",
    "compare": "tunegate.api.evidence",
    "gate": "tunegate.plugin.gate_function",
    "load_pipeline": "tunegate.api.pipeline",
    "load_suite": "tunegate.api.suite",
    "run_gate": "tunegate.api.gate",
    "run_pipeline": "tunegate.api.pipeline",
    "verify": "tunegate.api.evidence",
}
"""Name to module. Each is imported on first use, so that `import tunegate` stays fast."""

__all__ = list(_PLACES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
