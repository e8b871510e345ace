"""Verifying a record: its gates are decided again, its answers are judged again, and its files are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from tunegate.checks.check import CheckBuilder
from tunegate.commands.ledger import ledger_to_read
from tunegate.elsewhere.made_suite import made_again
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.gates.judge_again import compare_answers, judge_again
from tunegate.gates.stored_answers import stored_answers
from tunegate.ledger.ledger import Ledger
from tunegate.models.model import Model, StoredResponses
from tunegate.pipeline.pipeline import Pipeline
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.pipeline.record_check import check_record
from tunegate.record.read_run import reading
from tunegate.record.recheck import recheck_all
from tunegate.record.record import RunRecord
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate.suites.with_function import FUNCTION, with_recorded_function


@dataclass(frozen=True, slots=True)
class Verified:
    """What was verified: `gates` were decided again, `answers` were judged again. `believed` are the checks that were
    not run again, because they ask a model or a server, or run the user's code. `missing` is why no answer could be
    judged again."""

    gates: int
    answers: int
    believed: tuple[str, ...] = ()
    missing: str = ""

    @property
    def in_words(self) -> str:
        """`the outcomes on record give the recorded verdicts for all 2 gates; 200 answers judged again`"""
        verdicts = "verdict for the one gate" if self.gates == 1 else f"verdicts for all {self.gates} gates"
        decided = f"the outcomes on record give the recorded {verdicts}"
        if self.missing:
            return f"{decided}; no answer was judged again: {self.missing}"
        but = f", but not by {', '.join(self.believed)}" if self.believed else ""
        return f"{decided}; {self.answers} answers judged again{but}"


def verify_run(record: RunRecord, build_check: CheckBuilder) -> tuple[Verified, Pipeline | None]:
    """Decide every gate again, and judge every answer again if the files still exist.

    Also returns the pipeline that the record was compared with, if it has one and its files still exist.
    Raises Tampered if the record contradicts itself, the files or the answers; CannotJudge if it has nothing to verify.
    """
    if "pipeline" not in record.start and not record.gates:
        raise CannotJudge(f"{record.folder}: it has no gate, so there is nothing to verify; finish the gate first")
    decided = recheck_all(record)
    answers = sum(len(gate.outcomes) for gate in record.all_gates())
    if "pipeline" in record.start:
        try:
            pipeline = pipeline_of(record, build_check)
        except ConfigError as error:
            return Verified(decided, 0, missing=str(error)), None
        return Verified(decided, answers, _compared(record, pipeline)), pipeline
    return _verify_gates(record, build_check, decided, answers), None


def _compared(record: RunRecord, pipeline: Pipeline) -> tuple[str, ...]:
    """Compare a record with its pipeline; returns what had to be believed."""
    with reading(record.folder):
        return check_record(record, pipeline, ledger_of_pipeline(pipeline))


def _verify_gates(record: RunRecord, build_check: CheckBuilder, decided: int, answers: int) -> Verified:
    """Judge the answers of gates without a pipeline again."""
    believed: dict[str, None] = {}
    loaded: dict[Path, tuple[Suite, StoredResponses | None]] = {}  # a gate and its confirming draw have the same suite
    for gate in record.all_gates():
        suites: Mapping[str, Mapping[str, Any]] = record.start.get("suites") or {}
        facts = suites.get(gate.gate) or {}
        path = Path(facts.get("path") or "")
        if not path.is_file():
            why = f"its suite file {str(path)!r} is gone; restore it" if path.name else "its suite has no file"
            return Verified(decided, 0, missing=f"{record.folder}: {why}")
        try:
            suite, answered = loaded.get(path) or loaded.setdefault(path, _suite_of(path, facts, build_check))
        except ConfigError as error:
            return Verified(decided, 0, missing=f"{record.folder}: its suite cannot be read: {error}")
        with reading(record.folder):
            believed |= dict.fromkeys(judge_again(gate, suite))
            if answered is not None:
                compare_answers(gate, answered)
    return Verified(decided, answers, tuple(believed))


def _suite_of(path: Path, facts: Mapping[str, Any], build_check: CheckBuilder) -> tuple[Suite, StoredResponses | None]:
    """The suite of a file, read again, with the test function that pytest added; and the answers, if it was made from
    another tool's file, which has both.

    Raises ConfigError if the file cannot be read, Tampered if the file of another tool changed.
    """
    if "made" not in facts:
        return load_suite(path, build_check), None
    if FUNCTION in facts["made"]:
        return with_recorded_function(load_suite(path, build_check), facts["made"]), None
    suite, results = made_again(path, facts["made"], build_check)
    stored, _ = stored_answers(path, suite, results)
    return suite, stored


def suites_of(record: RunRecord, build_check: CheckBuilder) -> Mapping[str, Suite]:
    """The suites to ask weights again with: those of the pipeline of a record, read again from its file and compared.

    Raises CannotJudge if the files are gone or not allowed, Tampered if the record does not follow from them.
    """
    try:
        pipeline = pipeline_of(record, build_check)
    except ConfigError as error:
        raise CannotJudge(f"the weights cannot be asked again: {error}") from error
    _compared(record, pipeline)
    return pipeline.suites


def open_stored(folder: Path, dtype: str | None) -> Model:
    """A model on disk that computes in the number type of a record, if it names one."""
    from tunegate.models.loading import Dtype
    from tunegate.models.open_model import open_model

    [known] = [one for one in get_args(Dtype) if one == dtype] or ["auto"]
    return open_model(str(folder), dtype=known)


def ledger_of_pipeline(pipeline: Pipeline) -> Ledger | None:
    """The ledger of a pipeline's project, to compare a record with; None if there is none."""
    return ledger_to_read(pipeline.ledger, pipeline.path.parent)


def pipeline_of(record: RunRecord, build_check: CheckBuilder) -> Pipeline:
    """The pipeline of a run, read again from its file; raises ConfigError if it is gone."""
    path = Path(record.start.get("pipeline", ""))
    if not path.is_file():
        raise ConfigError(
            f"{record.folder}: its pipeline file {str(path)!r} is gone; restore it to judge answers again"
        )
    return load_pipeline(path, build_check, of_record=True)
