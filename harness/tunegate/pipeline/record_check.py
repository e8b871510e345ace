"""Comparing the record of a run with its pipeline: the terms in the files, the cases of the bank, the answers.

A record without contradictions may still be forged. So it must have registered what the pipeline file says today, and
its verdicts must follow from its answers when the pipeline's checks judge them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tunegate.exceptions import Tampered
from tunegate.gates.judge_again import judge_again
from tunegate.ledger.ledger import Ledger
from tunegate.pipeline.drawn_again import check_draws
from tunegate.pipeline.pipeline import Pipeline
from tunegate.pipeline.registration import registered
from tunegate.pipeline.told import check_data, check_told
from tunegate.record.record import RunRecord
from tunegate.record.typed_json import as_recorded


def check_record(run: RunRecord, pipeline: Pipeline, ledger: Ledger | None = None) -> tuple[str, ...]:
    """Raise Tampered unless the record follows from the pipeline and from its own answers.

    Returns what had to be believed: the checks that ask a model or a server, or run the user's code; and the ledger, if
    it is gone. Raises Tampered if a file of the pipeline has changed since the run began.
    """
    if run.start.get("pipeline_sha256") != pipeline.sha256:
        raise Tampered(
            f"{run.folder}: {pipeline.path}, a suite or its data has changed since the run began "
            f"({str(run.start.get('pipeline_sha256'))[:12]}…, now {pipeline.sha256[:12]}…); restore the files"
        )
    before: Mapping[str, int] = run.start.get("attempts_before") or {}
    for field, value in registered(replace(pipeline, attempts_before=before)).items():
        if field != "model" and run.start.get(field) != as_recorded(value) and (value or field in run.start):
            raise Tampered(f"{run.folder}: the registered value of {field!r} differs from the value in {pipeline.path}")
    if Path(str(run.start.get("model"))).name != Path(pipeline.model).name:  # a folder may have moved
        raise Tampered(f"{run.folder}: the record names another base model than {pipeline.path}")
    believed: dict[str, None] = {}
    for gate in run.all_gates():
        if gate.gate not in pipeline.suites:
            raise Tampered(f"gate {gate.key!r}: {pipeline.path} has no suite {gate.gate!r}")
        believed |= dict.fromkeys(judge_again(gate, pipeline.suites[gate.gate]))
    check_data(run, pipeline)
    check_told(run, pipeline)
    if check_draws(run, pipeline, ledger):
        believed["the ledger, which is gone"] = None
    return tuple(believed)
