"""Exports of a promoted model in the registry: the same model in another format, gated against the promoted weights.

    registry/exports/<sha256>/model.gguf      the export, or a folder model/
    registry/exports/<sha256>/gates/SUITE/    the record of each comparison with the source
    registry/exports/<sha256>/export.json     which source, which bytes, which comparisons

Nothing in `export.json` is trusted: the files are hashed again, and each comparison is decided again from its record.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.hashes import sha256_of
from tunegate.promotion.entry import ATTESTATION, check_entry, read_json
from tunegate.promotion.evidence import Fingerprint, check_gates
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable, recheck_all
from tunegate.record.record import GateRecord, gate_key
from tunegate.stats.retention import largest_allowed
from tunegate.whole_files import draft_of, place_folder

EXPORT, GATES, FORMAT = "export.json", "gates", 1
LARGEST_DROP = 5.0
"""Percentage points: an export that was compared with a wider margin cannot be promoted."""


@dataclass(frozen=True, slots=True)
class PromotedExport:
    """An export in the registry, and its record."""

    folder: Path
    record: dict[str, Any]


def check_export(folder: Path, fingerprint: Fingerprint) -> dict[str, GateRecord]:
    """The comparisons of an export, by suite, decided again; raises Tampered where files or records contradict it, and
    NotPromotable where one does not show that the export is as good as its source."""
    record = read_record(folder)
    model = folder / str(record["model"])
    if not model.exists():
        raise Tampered(f"{model}: the exported model is missing")
    if fingerprint(model) != record["sha256"]:
        raise Tampered(f"{model}: its bytes differ from those that were gated")
    for name, sha256 in record["files"].items():
        if not (folder / name).is_file() or sha256_of(folder / name) != sha256:
            raise Tampered(f"{folder / name}: its bytes differ from those that were gated")
    if not record["gates"]:
        raise NotPromotable(f"{folder / EXPORT}: the export was compared on no suite")
    return {name: _passed(folder, record, name) for name in record["gates"]}


def read_record(folder: Path) -> dict[str, Any]:
    """The record of an export; raises ConfigError for a folder without one or of another version, Tampered for a record
    that is not one."""
    if not (folder / EXPORT).is_file():
        raise ConfigError(f"{folder}: no export: {EXPORT} is missing; `tunegate export` writes it last")
    record = read_json(folder / EXPORT)
    if record.get("format") != FORMAT:
        raise ConfigError(
            f"{folder / EXPORT}: format: expected {FORMAT}, got {record.get('format')!r}; export it again"
        )
    fields = {"source": dict, "model": str, "sha256": str, "files": dict, "gates": dict}
    if wrong := [name for name, kind in fields.items() if not isinstance(record.get(name), kind)]:
        raise Tampered(f"{folder / EXPORT}: {wrong[0]}: no export wrote this")
    for name in (record["model"], *record["files"], *(f"{GATES}/{gate}" for gate in record["gates"])):
        _check_inside(folder, name)
    return record


def _check_inside(folder: Path, name: str) -> None:
    """Raise Tampered for a name that leads out of the export, also by a link: a promotion would copy it there."""
    inside, path = folder.resolve(), folder / name
    if path.is_symlink() or inside not in path.resolve().parents:
        raise Tampered(f"{folder / EXPORT}: {name!r:.100} leads out of the export; no export wrote this")


def _passed(folder: Path, record: dict[str, Any], name: str) -> GateRecord:
    """The comparison on one suite, which passed on exactly these two models."""
    place = folder / GATES / name
    run = read_run(place)
    recheck_all(run)
    gate, source = run.gates.get(gate_key(name, "retention")), run.gates.get(gate_key(name, "reference"))
    if gate is None or source is None or run.digest != record["gates"][name].get("record_sha256"):
        raise Tampered(f"{place}: the export names another record")
    if (gate.model_sha256, source.model_sha256) != (record["sha256"], record["source"].get("sha256")):
        raise Tampered(f"{place}: the comparison is of other models than {folder / EXPORT} says")
    if gate.verdict is not Verdict.PASS:
        raise NotPromotable(f"{place}: {gate.verdict}: {gate.reason}")
    if cannot_fail(gate, source):
        raise NotPromotable(f"{place}: the source passed only {source.passed} of {source.drawn}, too few to lose any")
    kept, max_drop = gate.registered.kept, gate.registered.max_drop
    if kept is None or kept.tier != "critical" or max_drop is None or max_drop > LARGEST_DROP:
        raise NotPromotable(
            f"{place}: compared with a margin of {max_drop} points; a promotion needs at most {LARGEST_DROP:g}"
        )
    return gate


def cannot_fail(gate: GateRecord, source: GateRecord) -> bool:
    """Whether the source passed so few cases that losing them all would be allowed."""
    return source.passed <= largest_allowed(gate.drawn, gate.registered.max_drop or 0.0)


def promote_export(folder: Path, registry: Path, fingerprint: Fingerprint) -> PromotedExport:
    """Copy an export into the registry, next to its promoted source.

    Raises NotPromotable unless the source is promoted there, and the export was compared on every suite that the final
    stage of the source passed.
    """
    gates, record = check_export(folder, fingerprint), read_record(folder)
    _check_source(record, gates, registry, fingerprint)
    place = registry / "exports" / record["sha256"]
    if not place.exists():
        partial = draft_of(place)
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            for name in (*record["files"], EXPORT, *(f"{GATES}/{gate}/events.jsonl" for gate in gates)):
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, partial / name)
            check_export(partial, fingerprint)
            place_folder(partial, place)
        except OSError as error:
            raise CannotJudge(f"{registry}: cannot write to the registry: {error.strerror or error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return verify_export(place, registry, fingerprint)


def _check_source(
    record: dict[str, Any], gates: dict[str, GateRecord], registry: Path, fingerprint: Fingerprint
) -> None:
    source = registry / "models" / str(record["source"].get("sha256"))
    if not (source / ATTESTATION).is_file():
        raise NotPromotable(
            f"{record['source'].get('name')}: the source of the export is not promoted in {registry}; promote its run "
            "first"
        )
    check_entry(source, fingerprint)
    final = check_gates(read_run(source))
    needed = {gate.suite_sha256: gate.gate for gate in final.gates.values() if gate.purpose == "gate"}
    if missing := [
        name for sha256, name in needed.items() if sha256 not in {one.suite_sha256 for one in gates.values()}
    ]:
        raise NotPromotable(
            f"the export was not compared on {', '.join(sorted(missing))}, which its source passed; export the run "
            "again without --gate"
        )


def verify_export(place: Path, registry: Path, fingerprint: Fingerprint) -> PromotedExport:
    """An entry of `registry/exports`, with everything checked again."""
    gates, record = check_export(place, fingerprint), read_record(place)
    if place.name != record["sha256"]:
        raise Tampered(f"{place}: the entry holds another export than its name says")
    _check_source(record, gates, registry, fingerprint)
    return PromotedExport(place, record)


def find_export(model: Path, registry: Path, fingerprint: Fingerprint) -> PromotedExport | None:
    """The promoted export with the bytes of a file or folder; None if there is none."""
    if not model.exists() or not (registry / "exports").is_dir():
        return None
    place = registry / "exports" / fingerprint(model)
    return verify_export(place, registry, fingerprint) if place.is_dir() else None
