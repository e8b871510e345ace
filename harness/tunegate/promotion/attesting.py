"""The statement about a decided run, promoted or not: PASSED, WARNED or FAILED. A run without a verdict has none."""

from __future__ import annotations

from datetime import date
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import CannotJudge, ConfigError, TunegateError
from tunegate.hashes import sha256_of
from tunegate.promotion.evidence import Fingerprint, attest, check_failed, check_promotable, gated_model
from tunegate.promotion.statement import result_statement
from tunegate.promotion.subjects import subjects_of
from tunegate.record.event_log import EVENTS
from tunegate.record.record import RunRecord


class NotAttested(TunegateError):
    """A run is INVALID or INCONCLUSIVE: nothing can be attested. The exit code is that of the verdict."""

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.exit_code = verdict.exit_code


def statement_of(run: RunRecord, fingerprint: Fingerprint, today: date) -> dict[str, Any]:
    """The test-result statement of a run that passed or failed, after its evidence and its weights were checked.

    It is about the final model of a run that passed, or the last model of the stage that failed. Waivers must be in
    force `today`. Raises ConfigError for a gate that was run alone, NotAttested for a run that is INVALID or
    INCONCLUSIVE, CannotJudge for a run that is not decided, Tampered if the record does not support its verdict,
    NotPromotable if the model is gone.
    """
    if run.gates and "stages" not in run.start:
        raise ConfigError(f"{run.folder}: a gate, not a run; only a run of a pipeline is attested; give its run folder")
    match run.verdict:
        case None:
            raise CannotJudge(f"{run.folder}: the run is not decided; `tunegate run` resumes it")
        case Verdict.INVALID | Verdict.INCONCLUSIVE:
            why = f"{run.reason}; a run that is {run.verdict} is not attested, only a run that passed or failed"
            raise NotAttested(f"{run.folder}: {why}", run.verdict)
        case Verdict.PASS:
            attempt, model = check_promotable(run, fingerprint, today)
            stage = run.goal
            assert stage is not None  # `check_promotable` accepted this record
        case Verdict.FAIL:
            stage, attempt = check_failed(run, today)
            model = gated_model(run, attempt, fingerprint)
    attestation = attest(run, attempt, stage)
    return result_statement(run, stage, attestation, subjects_of(model), sha256_of(run.folder / EVENTS))
