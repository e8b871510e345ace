"""Writes the record of a run in the schema of Every Eval Ever, version 0.3.0: an aggregate and its samples.

The schema is at https://github.com/evaleval/every_eval_ever (MIT). One file is about one model: in a run with stages,
the model of its last stage, with the gates of its last attempt.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from tunegate import __version__
from tunegate.checks.check import is_imported
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.exceptions import ConfigError
from tunegate.record.imported_words import TOLD
from tunegate.record.record import GateRecord, RunRecord
from tunegate.whole_files import write_whole

SCHEMA = "0.3.0"
NAME = "every-eval-ever"
COLLECTION = "tunegate"
MODEL_ID = re.compile(r"[\w.-]+/[\w.-]+")
"""A model's id as on the Hugging Face hub."""


def write(run: RunRecord, path: Path | None = None) -> list[Path]:
    """Write the aggregate to `path` and the samples beside it, and return both paths; default: in the run's folder.

    Raises ConfigError for a record without a decided gate. The same record gives the same files.
    """
    gates = _gates(run)
    if not gates:
        raise ConfigError(
            f"{run.folder}: this record has no decided gate, so there is nothing to write; finish it first"
        )
    key = UUID(bytes=hashlib.sha256(run.digest.encode()).digest()[:16], version=4)
    path = run.folder / f"{key}.json" if path is None else path
    samples = path.with_name(f"{path.stem}_samples.jsonl")
    rows = "".join(json.dumps(row) + "\n" for row in sample_rows(run, gates))
    write_whole(samples, rows)
    write_whole(path, json.dumps(aggregate(run, gates, str(key), rows), indent=2) + "\n")
    return [path, samples]


def _gates(run: RunRecord) -> list[GateRecord]:
    """The decided gates of the run's model."""
    if run.goal is None or not run.goal.attempts:
        return [gate for gate in run.gates.values() if gate.decided]
    return [gate for gate in run.goal.attempts[max(run.goal.attempts)].gates.values() if gate.decided]


# --- the aggregate ----------------------------------------------------------------------------------------------------


def aggregate(run: RunRecord, gates: Sequence[GateRecord], key: str, rows: str) -> dict[str, Any]:
    """The aggregate record; `rows` are the samples as they are written."""
    model = model_id(run)
    told: Mapping[str, str] = run.start.get("imported") or {}
    path = f"data/{COLLECTION}/{model}/{key}_samples.jsonl"
    return {
        "schema_version": SCHEMA,
        "evaluation_id": _evaluation_id(run),
        "evaluation_timestamp": run.started,
        "retrieved_timestamp": _epoch(run),
        "source_metadata": {
            "source_name": "tunegate",
            "source_type": "evaluation_run",
            "source_organization_name": "not stated",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "tunegate", "version": __version__, "additional_details": dict(told)},
        "model_info": {
            "name": str(told.get(f"{TOLD}model") or run.start.get("model") or gates[0].model),
            "id": model,
            "additional_details": {
                "deployment_type": "unknown",
                "model_availability": "unknown",
                **({"sha256": gates[0].model_sha256} if gates[0].model_sha256 else {}),
            },
        },
        "evaluation_results": [_result(gate) for gate in gates],
        "detailed_evaluation_results": {
            "format": "jsonl",
            "file_path": path,
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(rows.encode()).hexdigest(),
            "total_rows": rows.count("\n"),
        },
    }


def model_id(run: RunRecord) -> str:
    """The model as `developer/name`: its hub id, or `local` with the last part of its path."""
    told: Mapping[str, str] = run.start.get("imported") or {}
    name = str(told.get(f"{TOLD}model") or run.start.get("model") or "unknown")
    if MODEL_ID.fullmatch(name):
        return name
    last = re.sub(r"[^\w.-]+", "-", name.rstrip("/").rpartition("/")[2]).strip("-.")
    return f"local/{last or 'unknown'}"


def _evaluation_id(run: RunRecord) -> str:
    return f"{run.name}/{model_id(run)}/{_epoch(run)}"


def _epoch(run: RunRecord) -> str:
    """When the run began, in seconds since 1970."""
    try:
        return str(datetime.fromisoformat(run.started).timestamp())
    except ValueError:
        return "0"


def _result(gate: GateRecord) -> dict[str, Any]:
    """One gate: the share of its draw that passed. The denominator is the whole draw, INVALID cases included."""
    settings, low, high = gate.settings, *gate.interval
    imported = [name for name in gate.checks if is_imported(name)]
    arguments = {"temperature": settings.get("temperature"), "max_tokens": settings.get("max_new_tokens")}
    return {
        "evaluation_result_id": _place(gate),
        "evaluation_name": gate.gate,
        "source_data": {
            "dataset_name": gate.gate,
            "source_type": "other",
            "additional_details": {"suite_sha256": gate.suite_sha256},
        },
        "metric_config": {
            "evaluation_description": f"share of {gate.drawn} drawn cases that pass: {', '.join(gate.checks)}",
            "metric_id": "pass_rate",
            "metric_name": "imported pass rate" if imported else "pass rate",
            "metric_kind": "pass_rate",
            "metric_unit": "proportion",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
            "additional_details": {"imported": ", ".join(imported)} if imported else {},
        },
        "score_details": {
            "score": gate.passed / gate.drawn if gate.drawn else 0.0,
            "details": _details(gate),
            "uncertainty": {
                "confidence_interval": {"lower": low, "upper": high, "confidence_level": 0.95},
                "num_samples": gate.drawn,
            },
        },
        "generation_config": {
            "generation_args": {name: value for name, value in arguments.items() if value is not None}
        },
    }


def _details(gate: GateRecord) -> dict[str, str]:
    facts = ("verdict", "drawn", "passed", "failed", "invalid", "accept", "seed", "reason")
    return {name: str(getattr(gate, name)) for name in facts}


def _place(gate: GateRecord) -> str:
    return gate.key if gate.stage is None else f"{gate.stage}#{gate.attempt} {gate.key}"


# --- the samples -----------------------------------------------------------------------------------------------------


def sample_rows(run: RunRecord, gates: Sequence[GateRecord]) -> Iterator[dict[str, Any]]:
    """One row for each case of each gate. An INVALID case has its reason as `error`, and counts as not right."""
    for gate in gates:
        for outcome in gate.outcomes:
            yield {
                "schema_version": SCHEMA,
                "evaluation_id": _evaluation_id(run),
                "model_id": model_id(run),
                "evaluation_name": gate.gate,
                "evaluation_result_id": _place(gate),
                "sample_id": outcome.case_id,
                **_sample(outcome),
            }


def _sample(outcome: Outcome) -> dict[str, Any]:
    prompt = outcome.prompt
    raw = prompt if isinstance(prompt, str) else "\n\n".join(turn["content"] for turn in prompt)
    references = list(outcome.references)
    answers = [one.response for one in outcome.samples] or [outcome.response]
    right = outcome.verdict is Verdict.PASS
    attribution = {
        "turn_idx": 0,
        "source": "output.raw",
        "extracted_value": outcome.response if outcome.judged is None else outcome.judged,
        "extraction_method": ", ".join(finding.check for finding in outcome.findings) or "none",
        "is_terminal": True,
    }
    return {
        "sample_hash": hashlib.sha256(json.dumps([raw, references]).encode()).hexdigest(),
        "interaction_type": "single_turn",
        "input": {"raw": raw, "reference": references},
        "output": {"raw": answers},
        "messages": None,
        "answer_attribution": [attribution],
        "evaluation": {"score": float(right), "is_correct": right},
        "error": outcome.reason if outcome.verdict is Verdict.INVALID else None,
        "metadata": {"verdict": str(outcome.verdict), "reason": outcome.reason},
    }
