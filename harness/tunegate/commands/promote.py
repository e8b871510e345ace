"""`tunegate promote` and `tunegate verify`: which bytes are promoted, and on what evidence."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tunegate.commands import console
from tunegate.commands.report import write_reports
from tunegate.exceptions import ConfigError
from tunegate.models.open_model import model_sha256
from tunegate.pipeline.pipeline_spec import PipelineSpec
from tunegate.promotion.registry import Promotion
from tunegate.promotion.registry import verify as find_promotion
from tunegate.publishing.fetch import evidence_of
from tunegate.publishing.places import target_of
from tunegate.publishing.publish import check_reachable, publish
from tunegate.reading.spec import read_spec
from tunegate.reading.yaml_file import load_yaml
from tunegate.record.read_run import read_run, reading
from tunegate.record.record import RunRecord
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import promote_and_record

NOT_SIGNED = (
    "note: bytes, record and attestation agree, but whoever can write there can replace all three; sign promotions, "
    "and verify them with a public key"
)


def promote(options: Namespace) -> int:
    """Promote a run's model, if the evidence supports it."""
    folder = Path(options.run)
    _check_run(read_run(folder))  # do not create a run in a folder without one
    target = target_of(options.to)
    check_reachable(target)
    with RunLog.open(folder) as log:
        record = log.record
        registry = Path(options.registry) if options.registry else _registry_of(record)
        with reading(folder):
            promotion = promote_and_record(record, log, target.alias, registry, _fingerprint)
            published = publish(target, promotion, record, _fingerprint, partial(_write_report, record))
    _show(promotion, options, published)
    return 0


def _write_report(record: RunRecord, path: Path) -> None:
    write_reports(record, path, None, None)


def _check_run(record: RunRecord) -> None:
    if "stages" not in record.start and record.gates:
        raise ConfigError(
            f"{record.folder}: a gate, not a run; only a model that `tunegate run` trained and gated can be promoted; "
            "name its run folder"
        )


def _show(promotion: Promotion, options: Namespace, more: Sequence[str] = ()) -> None:
    if options.json:
        console.show_json({**console.promotion_as_json(promotion), **({"published": list(more)} if more else {})})
        return
    console.print_promotion(promotion)
    for line in more:
        console.show(line)


def _registry_of(record: RunRecord) -> Path:
    pipeline = Path(record.start.get("pipeline", ""))
    if not pipeline.is_file():
        raise ConfigError(
            f"{record.folder}: its pipeline file {str(pipeline)!r} is gone; name the registry with --registry"
        )
    spec = read_spec(PipelineSpec, load_yaml(pipeline))
    return pipeline.parent / (spec.promote.registry if spec.promote else "registry")


def verify(options: Namespace) -> int:
    """Find the promotion of these bytes, and print it; a version in MLflow or on the Hub is fetched first."""
    out = Path(options.out) if options.out else None
    with evidence_of(options.model, Path(options.registry), _fingerprint, out) as evidence:
        promotion = promotion_of(evidence.model, evidence.registry)
    if evidence.source is not None:
        kept = evidence.kept or Path("none; --out keeps the verified bytes")
        promotion = replace(promotion, alias=evidence.source, aliases=(options.model,), folder=kept)
    _show(promotion, options)
    if evidence.alone and not getattr(options, "key", None):
        print(f"tunegate verify: {NOT_SIGNED}", file=sys.stderr)
    return 0


def promotion_of(model: str, registry: Path) -> Promotion:
    """The promotion of a folder or an alias; raises Tampered or ConfigError if there is none."""
    return find_promotion(model, registry, _fingerprint)


def _fingerprint(path: Path) -> str:
    sha256 = model_sha256(str(path))
    assert sha256 is not None  # a path is not a server
    return sha256
