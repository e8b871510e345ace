"""`tunegate promote` and `tunegate verify`: which bytes are promoted, and on what evidence."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from tunegate.commands import console
from tunegate.commands.keygen import signer_of
from tunegate.exceptions import ConfigError
from tunegate.models.open_model import model_sha256
from tunegate.pipeline.pipeline_spec import PipelineSpec
from tunegate.promotion.keys import load_public
from tunegate.promotion.registry import Promotion
from tunegate.promotion.registry import verify as find_promotion
from tunegate.promotion.signing import SIGNED_FILES
from tunegate.reading.spec import read_spec
from tunegate.reading.yaml_file import load_yaml
from tunegate.record.read_run import read_run, reading
from tunegate.record.record import RunRecord
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import promote_and_record


def promote(options: Namespace) -> int:
    """Promote a run's model, if the evidence supports it."""
    folder = Path(options.run)
    _check_run(read_run(folder))  # do not create a run in a folder without one
    signer = signer_of(options)
    with RunLog.open(folder) as log:
        record = log.record
        registry = Path(options.registry) if options.registry else _registry_of(record)
        with reading(folder):
            promotion = promote_and_record(record, log, options.to, registry, fingerprint, signer)
    signed = f"signed with the key {signer.hint}: {', '.join(SIGNED_FILES)}" if signer else ""
    _show(promotion, options, signed)
    return 0


def _check_run(record: RunRecord) -> None:
    if "stages" not in record.start and record.gates:
        raise ConfigError(
            f"{record.folder}: a gate, not a run; only a model that `tunegate run` trained and gated can be promoted; "
            "name its run folder"
        )


def _show(promotion: Promotion, options: Namespace, signature: str) -> None:
    if options.json:
        facts = {"signed": promotion.signed, "checked": bool(promotion.keys), "keys": list(promotion.keys)}
        console.show_json({**console.promotion_as_json(promotion), "signature": facts})
        return
    console.print_promotion(promotion)
    if signature:
        console.show(signature)


def _registry_of(record: RunRecord) -> Path:
    pipeline = Path(record.start.get("pipeline", ""))
    if not pipeline.is_file():
        raise ConfigError(
            f"{record.folder}: its pipeline file {str(pipeline)!r} is gone; name the registry with --registry"
        )
    spec = read_spec(PipelineSpec, load_yaml(pipeline))
    return pipeline.parent / (spec.promote.registry if spec.promote else "registry")


def verify(options: Namespace) -> int:
    """Find the promotion of these bytes, and print it; with keys, verify its signatures."""
    promotion = promotion_of(options.model, Path(options.registry), [Path(key) for key in options.key or ()])
    _show(promotion, options, _signature_in_words(promotion, options))
    return 0


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
