"""`tunegate promote` and `tunegate verify`: which bytes are promoted, and on what evidence."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from tunegate.checks.check import CheckBuilder
from tunegate.checks.outcome import Verdict
from tunegate.commands import console
from tunegate.commands.verify_run import pipeline_of, verify_run
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.gates.gate_run import read_result
from tunegate.models.open_model import model_sha256
from tunegate.promotion.evidence import check_promotable
from tunegate.promotion.registry import ATTESTATION, Promotion
from tunegate.promotion.registry import verify as find_promotion
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run, reading
from tunegate.record.record import RunRecord
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import promote_and_record


def promote(options: Namespace, build_check: CheckBuilder) -> int:
    """Promote a run's model, if the evidence supports it."""
    folder = Path(options.run)
    _check_run(read_run(folder))  # do not create a run in a folder without one
    with RunLog.open(folder) as log:
        record = log.record
        pipeline = pipeline_of(record, build_check)
        named = Path(options.registry) if options.registry else pipeline.registry
        registry = named or pipeline.path.parent / "registry"
        with reading(folder):
            promotion = promote_and_record(record, pipeline, log, options.to, registry, _fingerprint)
    _show(promotion, options)
    return exit_code(Verdict.PASS, promotion.attestation["waivers"], allowed=options.allow_waived)


WAIVED = 6
"""The exit code of a pass that needed a waiver, where none was allowed on the command line."""


def exit_code(verdict: Verdict, waivers: Sequence[Mapping[str, Any]], *, allowed: bool) -> int:
    """The exit code of a verdict: a script that asks for 0 must not take a waived miss for a pass."""
    return WAIVED if verdict is Verdict.PASS and waivers and not allowed else verdict.exit_code


def _check_run(record: RunRecord) -> None:
    if "stages" not in record.start and record.gates:
        raise ConfigError(
            f"{record.folder}: a gate, not a run; only a model that `tunegate run` trained and gated can be promoted; "
            "name its run folder"
        )


def _show(promotion: Promotion, options: Namespace) -> None:
    if options.json:
        console.show_json(console.promotion_as_json(promotion))
    else:
        console.print_promotion(promotion)


def verify(options: Namespace, build_check: CheckBuilder) -> int:
    """Find the promotion of these bytes, and print it; or say whether the record of a run is true."""
    folder = Path(options.model)
    if (folder / EVENTS).is_file() and not (folder / ATTESTATION).is_file():
        return _verify_run(read_run(folder), build_check, options)
    promotion = promotion_of(options.model, Path(options.registry))
    _show(promotion, options)
    return exit_code(Verdict.PASS, promotion.attestation["waivers"], allowed=options.allow_waived)


def _verify_run(record: RunRecord, build_check: CheckBuilder, options: Namespace) -> int:
    """Whether a run or a gate is what its record says: the exit code is that of its verdict."""
    verified = verify_run(record, build_check)
    if verified.missing:
        raise CannotJudge(verified.missing)
    if "stages" in record.start:
        verdict, reason = record.verdict or Verdict.INVALID, record.reason or "the run is not decided"
        if verdict is Verdict.PASS:
            check_promotable(record, _fingerprint, date.today())
    else:
        deciding = read_result(record.folder, record.start["name"]).deciding
        verdict, reason = deciding.verdict, deciding.reason
    if options.json:
        console.show_json({"run": str(record.folder), "verdict": verdict, "reason": reason, **asdict(verified)})
    else:
        print(f"{record.folder}: {verdict}: {console.printable(reason)}")
        print(console.printable(verified.in_words))
    return exit_code(verdict, record.waivers(), allowed=options.allow_waived)


def promotion_of(model: str, registry: Path) -> Promotion:
    """The promotion of a folder or an alias; raises Tampered or ConfigError if there is none."""
    return find_promotion(model, registry, _fingerprint)


def _fingerprint(path: Path) -> str:
    sha256 = model_sha256(str(path))
    assert sha256 is not None  # a path is not a server
    return sha256
