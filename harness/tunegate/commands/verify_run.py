"""Whether a record is true: its gates decided again, its answers judged again, compared with the files it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunegate.checks.check import CheckBuilder
from tunegate.commands.ledger import ledger_to_read
from tunegate.exceptions import ConfigError
from tunegate.gates.judge_again import judge_again
from tunegate.pipeline.pipeline import Pipeline
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.pipeline.record_check import check_record
from tunegate.record.read_run import reading
from tunegate.record.recheck import recheck_all
from tunegate.record.record import RunRecord
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found true: `gates` were decided again, `answers` judged again. `believed` are the checks that were not,
    since they ask a model, a server or code of the user; `missing` is why no answer could be judged again."""

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


def verify_run(record: RunRecord, build_check: CheckBuilder) -> Verified:
    """Decide every gate again, and judge every answer again if the files are still there.

    Raises Tampered where the record contradicts itself, the files or the answers.
    """
    decided = recheck_all(record)
    answers = sum(len(gate.outcomes) for gate in record.all_gates())
    if "pipeline" in record.start:
        try:
            pipeline = pipeline_of(record, build_check)
        except ConfigError as error:
            return Verified(decided, 0, missing=str(error))
        with reading(record.folder):
            return Verified(
                decided, answers, check_record(record, pipeline, ledger_to_read(pipeline.ledger, pipeline.path.parent))
            )
    believed: dict[str, None] = {}
    loaded: dict[Path, Suite] = {}  # a gate and its confirming draw are of one suite
    for gate in record.all_gates():
        suites: Mapping[str, Mapping[str, Any]] = record.start.get("suites") or {}
        path = Path((suites.get(gate.gate) or {}).get("path") or "")
        if not path.is_file():
            why = f"its suite file {str(path)!r} is gone" if path.name else "its suite has no file"
            return Verified(decided, 0, missing=f"{record.folder}: {why}")
        try:
            suite = loaded.get(path) or loaded.setdefault(path, load_suite(path, build_check))
        except ConfigError as error:  # the file of another tool, from which the suite was made, is no suite file
            return Verified(decided, 0, missing=f"{record.folder}: its suite cannot be read: {error}")
        with reading(record.folder):
            believed |= dict.fromkeys(judge_again(gate, suite))
    return Verified(decided, answers, tuple(believed))


def pipeline_of(record: RunRecord, build_check: CheckBuilder) -> Pipeline:
    """The pipeline of a run, read again from its file; raises ConfigError if it is gone."""
    path = Path(record.start.get("pipeline", ""))
    if not path.is_file():
        raise ConfigError(
            f"{record.folder}: its pipeline file {str(path)!r} is gone; restore it to judge answers again"
        )
    return load_pipeline(path, build_check)
