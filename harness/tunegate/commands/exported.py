"""`tunegate promote` and `tunegate verify` for what `tunegate export` wrote."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from tunegate.commands.console import show, show_json
from tunegate.exceptions import ConfigError
from tunegate.promotion.exports import EXPORT, PromotedExport, find_export
from tunegate.promotion.exports import promote_export as promote_into


def fingerprint(path: Path) -> str:
    """The fingerprint of a model on disk; a GGUF file is only hashed."""
    from tunegate.models.open_model import unconverted_sha256

    return str(unconverted_sha256(str(path)))


def is_export(folder: Path) -> bool:
    """Whether a folder was written by `tunegate export`."""
    return (folder / EXPORT).is_file()


def promote_export(options: Namespace) -> int:
    """Promote an export; the alias stays with its source."""
    given = {"--ask": options.ask, "--sign": options.sign, "--why": options.why}
    if unused := [flag for flag, value in given.items() if value]:
        raise ConfigError(f"{unused[0]}: has no effect on an export, whose evidence is the comparison; leave it out")
    if options.to != "production":
        raise ConfigError("--to: an export gets no alias of its own; it is found by its bytes and its source")
    registry = Path(options.registry or "registry")
    return _show(promote_into(Path(options.run), registry, fingerprint), registry, options)


def verify_export(options: Namespace) -> int | None:
    """Verify a promoted export; None for anything else."""
    registry = Path(options.registry or "registry")
    model = Path(options.model)
    if not (model.suffix == ".gguf" or (model / "config.json").is_file()):
        return None
    found = find_export(model, registry, fingerprint)
    return None if found is None else _show(found, registry, options)


def _show(found: PromotedExport, registry: Path, options: Namespace) -> int:
    record = found.record
    if options.json:
        show_json({"verdict": "PASS", "promoted": str(found.folder), **record})
        return 0
    show(f"export {record['sha256'][:12]}… ({record['to']}) of {record['source']['sha256'][:12]}…, both in {registry}")
    for name, gate in record["gates"].items():
        show(f"{name}: PASS: not worse than its source by {gate['max_drop']:g} points, shown on {gate['draw']} cases")
    show(f"promoted: {found.folder}")
    return 0
