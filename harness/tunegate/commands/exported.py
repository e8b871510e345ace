"""`tunegate promote` and `tunegate verify` for what `tunegate export` wrote."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from tunegate.checks.outcome import Verdict
from tunegate.commands.console import show, show_json
from tunegate.commands.keygen import signer_of
from tunegate.commands.promote import exit_code
from tunegate.exceptions import ConfigError
from tunegate.promotion.aliases import EXPORT
from tunegate.promotion.exports import PromotedExport, find_export
from tunegate.promotion.exports import promote_export as promote_into
from tunegate.promotion.keys import load_public
from tunegate.promotion.signing import TEST_RESULT_FILE
from tunegate.publishing.places import target_of


def fingerprint(path: Path) -> str:
    """The fingerprint of a model on disk; a GGUF file is only hashed."""
    from tunegate.models.open_model import unconverted_sha256

    return str(unconverted_sha256(str(path)))


def is_export(folder: Path) -> bool:
    """Whether a folder was written by `tunegate export`."""
    return (folder / EXPORT).is_file()


def promote_export(options: Namespace) -> int:
    """Promote an export; it gets an alias only if `--to` names one, since its source may have the usual one."""
    if options.ask:
        raise ConfigError("--ask: has no effect on an export, whose evidence is the comparison; leave it out")
    if options.to is None and options.why:
        raise ConfigError("--why: has no effect without an alias; give --to ALIAS, or leave it out")
    if options.to is not None and (place := target_of(options.to)).kind != "folder":
        raise ConfigError(f"--to {options.to}: an export is not published to {place.kind}; give an alias")
    registry = Path(options.registry or "registry")
    signer = signer_of(options)
    found = promote_into(Path(options.run), registry, fingerprint, options.to, signer, options.why or "")
    return _show(found, registry, options, [f"signed with the key {signer.hint}: {TEST_RESULT_FILE}"] if signer else [])


def verify_export(options: Namespace) -> int | None:
    """Verify a promoted export, by its bytes or by its alias; None for anything else."""
    registry = Path(options.registry or "registry")
    keys = [load_public(Path(key)) for key in options.key or ()]
    policy = Path(options.policy) if options.policy else None
    found = find_export(options.model, registry, fingerprint, keys, policy)
    if found is None:
        return None
    if options.ask:
        raise ConfigError("--ask: has no effect on an export, whose evidence is the comparison; leave it out")
    unchecked = "not checked; to check it, give --key PUBLIC_KEY" if found.signed else ""
    words = f"good, by the key {', '.join(found.keys)}" if found.keys else unchecked
    return _show(found, registry, options, [f"signature: {words}"] if words else [])


def _show(found: PromotedExport, registry: Path, options: Namespace, signature: list[str]) -> int:
    record, waivers = found.record, found.source.attestation["waivers"]
    code = exit_code(Verdict.PASS, waivers, allowed=options.allow_waived)
    if options.json:
        facts = {"signed": found.signed, "checked": bool(found.keys), "keys": list(found.keys)}
        more = {"aliases": list(found.aliases), "signature": facts, "waivers": waivers}
        show_json({"verdict": "PASS", "promoted": str(found.folder), "deploy": str(found.model), **more, **record})
        return code
    show(f"export {record['sha256'][:12]}… ({record['to']}) of {record['source']['sha256'][:12]}…, both in {registry}")
    for name, gate in record["gates"].items():
        show(f"{name}: PASS: not worse than its source by {gate['max_drop']:g} points, shown on {gate['draw']} cases")
    if found.aliases:
        show(f"alias: {', '.join(found.aliases)}")
    show(f"promoted: {found.folder}")
    for line in signature:
        show(line)
    return code
