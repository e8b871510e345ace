"""`tunegate promote` and `tunegate verify`: which bytes are promoted, and on what evidence."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from tunegate.checks.check import CheckBuilder
from tunegate.checks.outcome import Verdict
from tunegate.commands import console
from tunegate.commands.keygen import signer_of
from tunegate.commands.promotion_words import print_promotion, promotion_as_json
from tunegate.commands.report import write_reports
from tunegate.commands.verify_run import pipeline_of, verify_run
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.gates.gate_run import read_result
from tunegate.models.open_model import model_sha256
from tunegate.promotion.entry import ATTESTATION
from tunegate.promotion.evidence import check_promotable
from tunegate.promotion.keys import load_public
from tunegate.promotion.registry import Promotion
from tunegate.promotion.registry import verify as find_promotion
from tunegate.promotion.signing import SIGNED_FILES
from tunegate.publishing.fetch import evidence_of
from tunegate.publishing.places import target_of
from tunegate.publishing.publish import check_reachable, publish
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run, reading
from tunegate.record.record import RunRecord
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import promote_and_record

NOT_SIGNED = (
    "note: bytes, record and attestation agree, but whoever can write there can replace all three; sign promotions, "
    "and verify them with a public key"
)


def promote(options: Namespace, build_check: CheckBuilder) -> int:
    """Promote a run's model, if the evidence supports it."""
    folder = Path(options.run)
    _check_run(read_run(folder))  # do not create a run in a folder without one
    signer = signer_of(options)
    target = target_of(options.to)
    check_reachable(target)
    with RunLog.open(folder) as log:
        record = log.record
        pipeline = pipeline_of(record, build_check)
        named = Path(options.registry) if options.registry else pipeline.registry
        registry = named or pipeline.path.parent / "registry"
        with reading(folder):
            promotion = promote_and_record(
                record, pipeline, log, target.alias, registry, fingerprint, signer, why=options.why or ""
            )
            published = publish(target, promotion, record, fingerprint, partial(_write_report, record))
    signed = f"signed with the key {signer.hint}: {', '.join(SIGNED_FILES)}" if signer else ""
    _show(promotion, options, signed, published)
    return exit_code(Verdict.PASS, promotion.attestation["waivers"], allowed=options.allow_waived)


WAIVED = 6
"""The exit code of a pass that needed a waiver, where none was allowed on the command line."""


def exit_code(verdict: Verdict, waivers: Sequence[Mapping[str, Any]], *, allowed: bool) -> int:
    """The exit code of a verdict: a script that asks for 0 must not take a waived miss for a pass."""
    return WAIVED if verdict is Verdict.PASS and waivers and not allowed else verdict.exit_code


def _write_report(record: RunRecord, path: Path) -> None:
    write_reports(record, path, None, None)


def _check_run(record: RunRecord) -> None:
    if "stages" not in record.start and record.gates:
        raise ConfigError(
            f"{record.folder}: a gate, not a run; only a model that `tunegate run` trained and gated can be promoted; "
            "name its run folder"
        )


def _show(promotion: Promotion, options: Namespace, signature: str, published: Sequence[str] = ()) -> None:
    if options.json:
        facts = {"signed": promotion.signed, "checked": bool(promotion.keys), "keys": list(promotion.keys)}
        more = {"published": list(published)} if published else {}
        console.show_json({**promotion_as_json(promotion), "signature": facts, **more})
        return
    print_promotion(promotion)
    for line in (signature, *published):
        if line:
            console.show(line)


def verify(options: Namespace, build_check: CheckBuilder) -> int:
    """Find the promotion of these bytes, and print it; or say whether the record of a run is true."""
    folder = Path(options.model)
    if (folder / EVENTS).is_file() and not (folder / ATTESTATION).is_file():
        if options.out:
            raise ConfigError(f"--out: {options.model} is a run here; --out is for a model in MLflow or on the Hub")
        return _verify_run(read_run(folder), build_check, options)
    return show_model(options, Path(options.out) if options.out else None)


def show_model(options: Namespace, out: Path | None = None) -> int:
    """Verify the promotion of a folder or an alias, and print it; a version in MLflow or on the Hub is fetched first,
    and kept in `out`."""
    keys = [Path(key) for key in options.key or ()]
    with evidence_of(options.model, Path(options.registry), fingerprint, out) as evidence:
        promotion = promotion_of(evidence.model, evidence.registry, keys)
    if evidence.source is not None:
        kept = evidence.kept or Path("none; --out keeps the verified bytes")
        promotion = replace(promotion, alias=evidence.source, aliases=(options.model,), folder=kept)
    _show(promotion, options, _signature_in_words(promotion, options))
    if evidence.alone and not keys:
        print(f"tunegate verify: {NOT_SIGNED}", file=sys.stderr)
    return exit_code(Verdict.PASS, promotion.attestation["waivers"], allowed=options.allow_waived)


def _verify_run(record: RunRecord, build_check: CheckBuilder, options: Namespace) -> int:
    """Whether a run or a gate is what its record says: the exit code is that of its verdict."""
    verified = verify_run(record, build_check)
    if verified.missing:
        raise CannotJudge(verified.missing)
    if "stages" in record.start:
        verdict, reason = record.verdict or Verdict.INVALID, record.reason or "the run is not decided"
        if verdict is Verdict.PASS:
            check_promotable(record, fingerprint, date.today())
    else:
        deciding = read_result(record.folder, record.start["name"]).deciding
        verdict, reason = deciding.verdict, deciding.reason
    if options.json:
        console.show_json({"run": str(record.folder), "verdict": verdict, "reason": reason, **asdict(verified)})
    else:
        print(f"{record.folder}: {verdict}: {console.printable(reason)}")
        print(console.printable(verified.in_words))
    return exit_code(verdict, record.waivers(), allowed=options.allow_waived)


def _signature_in_words(promotion: Promotion, options: Namespace) -> str:
    if promotion.keys:
        return f"signature: good, by the key {', '.join(promotion.keys)}"
    command = shlex.join(["tunegate", "verify", options.model, "--registry", options.registry])
    return f"signature: not checked; to check it: {command} --key PUBLIC_KEY" if promotion.signed else ""


def promotion_of(model: str, registry: Path, keys: Sequence[Path] = ()) -> Promotion:
    """The promotion of a folder or an alias, with good signatures if there are files of public keys.

    Raises Tampered, ConfigError or NotPromotable if there is none.
    """
    return find_promotion(model, registry, fingerprint, [load_public(key) for key in keys])


def fingerprint(path: Path) -> str:
    """The fingerprint of a model on disk."""
    sha256 = model_sha256(str(path))
    assert sha256 is not None  # a path is not a server
    return sha256
