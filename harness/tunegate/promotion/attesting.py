"""The statement about a decided run, promoted or not: PASSED, WARNED or FAILED. A run without a verdict has none."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from tunegate.checks.check import is_imported
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import CannotJudge, ConfigError, Tampered, TunegateError
from tunegate.hashes import sha256_of
from tunegate.promotion.evidence import Fingerprint, attest, attest_gate, check_failed, check_promotable, gated_model
from tunegate.promotion.statement import result_statement
from tunegate.promotion.subjects import subjects_of
from tunegate.record.event_log import EVENTS
from tunegate.record.lucky_gate import attempts_before
from tunegate.record.read_run import reading
from tunegate.record.recheck import NotPromotable, recheck_all
from tunegate.record.record import GateRecord, RunRecord, gate_key


class NotAttested(TunegateError):
    """A run is INVALID or INCONCLUSIVE: nothing can be attested. The exit code is that of the verdict."""

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.exit_code = verdict.exit_code


def statement_of(run: RunRecord, fingerprint: Fingerprint, today: date) -> dict[str, Any]:
    """The test-result statement of a run that passed or failed, after its evidence and its weights were checked.

    It is about the final model of a run that passed, or the last model of the stage that failed. Waivers must be in
    force `today`. A gate that was run alone is about its model's files, or about the file of answers that was judged.
    Raises NotAttested for a run that is INVALID or INCONCLUSIVE, CannotJudge for one that is not decided, Tampered if
    the record does not support its verdict, NotPromotable if the model is gone, ConfigError for a gate without files.
    """
    if run.gates and "stages" not in run.start:
        return _of_gate(run, fingerprint)
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


# --- a gate that was run alone ---------------------------------------------------------------------------------------


def _of_gate(run: RunRecord, fingerprint: Fingerprint) -> dict[str, Any]:
    """The statement about a gate that was run alone, after it was decided again from its record."""
    with reading(run.folder):
        recheck_all(run)
        deciding = _deciding(run)
        if deciding.verdict in (Verdict.INVALID, Verdict.INCONCLUSIVE):
            why = (
                f"{deciding.reason}; only a gate that passed or failed is attested, not one that is {deciding.verdict}"
            )
            raise NotAttested(f"{run.folder}: {why}", Verdict(deciding.verdict))
        subjects = subjects_of(_gated_files(run, fingerprint))
        return result_statement(run, None, attest_gate(run), subjects, sha256_of(run.folder / EVENTS))


def _deciding(run: RunRecord) -> GateRecord:
    """The draw whose verdict is the gate's: the confirming draw, if a pass needs one."""
    name = run.name
    first, confirm = run.gates.get(name), run.gates.get(gate_key(name, "confirm"))
    if first is None or len(run.gates) > 1 + (confirm is not None):
        raise ConfigError(f"{run.folder}: a comparison of two models, which accepts none; only a gate is attested")
    if any(map(is_imported, first.checks)):
        raise ConfigError(f"{run.folder}: its check `imported` takes over scores that nothing here judged")
    policy: Mapping[str, Any] = run.start.get("policy") or {}
    confirms = policy.get("confirms", "never")
    # A gate whose plan asks cases again is not confirmed: that its draw asked some again shows it.
    owed = confirms == "always" or (confirms == "after_retry" and attempts_before(first) > 0 and not first.reused)
    if not first.decided or (first.verdict is Verdict.PASS and owed and (confirm is None or not confirm.decided)):
        raise CannotJudge(f"{run.folder}: the gate is not decided; the same command resumes it")
    return confirm or first


def _gated_files(run: RunRecord, fingerprint: Fingerprint) -> Path:
    """The file of answers or the model that was gated; raises Tampered unless it has the bytes of then."""
    answers: Mapping[str, str] | None = run.start.get("answers")
    named, then = (answers["path"], answers["sha256"]) if answers else (run.start["model"], run.start["model_sha256"])
    if then is None:
        raise ConfigError(f"{run.folder}: {named} has no files here that a statement could be about; not attested")
    path = Path(named)
    if not path.exists():
        raise NotPromotable(f"{path}: what was gated is no longer here; restore it, or start in the folder of the gate")
    if (sha256_of(path) if answers else fingerprint(path)) != then:
        raise Tampered(f"{path}: changed after it was gated")
    return path
