"""Exports of a promoted model in the registry: the same model in another format, gated against the promoted weights.

    registry/exports/<sha256>/model.gguf      the export, or a folder model/
    registry/exports/<sha256>/gates/SUITE/    the record of each comparison with the source
    registry/exports/<sha256>/export.json     which source, which bytes, which comparisons
    registry/exports/<sha256>/attestation.sigstore.json    the signed statement, if it was signed

Nothing in `export.json` is trusted: the files are hashed again, and each comparison is decided again from its record.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.hashes import sha256_of
from tunegate.promotion.aliases import (
    ALIAS,
    EXPORT,
    EXPORTS,
    alias_in,
    aliases_of,
    is_export_entry,
    move,
    moving,
    pointer_file,
    target_of,
)
from tunegate.promotion.entry import ATTESTATION, read_json
from tunegate.promotion.evidence import Fingerprint, check_gates
from tunegate.promotion.keys import PrivateKey, PublicKey
from tunegate.promotion.policy import Policy, check_export_rules, check_rules, check_signer, policies_of
from tunegate.promotion.registry import Promotion, verify
from tunegate.promotion.signing import TEST_RESULT_FILE, check_files, is_signed, sign_files
from tunegate.promotion.statement import export_statement
from tunegate.promotion.subjects import subjects_of
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable, recheck_all
from tunegate.record.record import GateRecord, gate_key
from tunegate.stats.retention import largest_allowed
from tunegate.whole_files import draft_of, place_folder

GATES, FORMAT = "gates", 1
LARGEST_DROP = 5.0
"""Percentage points: an export that was compared with a wider margin cannot be promoted."""


@dataclass(frozen=True, slots=True)
class PromotedExport:
    """An export in the registry, and its record; `aliases` point to it, `keys` are the hints of the keys that signed
    it, if they were verified, and `source` is the promotion of the model that it was made from."""

    folder: Path
    record: dict[str, Any]
    aliases: tuple[str, ...]
    signed: bool
    keys: tuple[str, ...]
    source: Promotion

    @property
    def model(self) -> Path:
        return self.folder / str(self.record["model"])


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


def promote_export(
    folder: Path,
    registry: Path,
    fingerprint: Fingerprint,
    alias: str | None = None,
    signer: PrivateKey | None = None,
    why: str = "",
) -> PromotedExport:
    """Copy an export into the registry, next to its promoted source; sign it, and point an alias to it, if wanted.

    Raises NotPromotable unless the source is promoted there, the export was compared on every suite that the final
    stage of the source passed, and the registry's policy allows it, under the alias too.
    """
    if alias is not None:
        alias_in(alias)
    gates, record = check_export(folder, fingerprint), read_record(folder)
    policies, place = policies_of(registry), registry / EXPORTS / record["sha256"]
    source = _check_source(record, gates, registry, fingerprint)
    if alias is not None and (registry / "models" / place.name).exists():
        raise ConfigError(f"{alias}: these bytes are in {registry} as a model already; promote its run to this alias")
    check_signer(policies, signer)
    _check_policies(policies, source, gates, [alias])
    try:
        if not place.exists():
            _copy_in(folder, place, record, gates, fingerprint)
        with moving(registry) as log:
            if signer is not None:
                sign_files(place, _statements(place), signer)
            found = verify_export(place, registry, fingerprint, as_alias=alias)
            if alias is not None:
                move(log, registry, alias, place.name, why=why, run=source.attestation["run"])
    except OSError as error:
        raise CannotJudge(f"{registry}: cannot write to the registry: {error.strerror or error}") from error
    return replace(
        found, aliases=aliases_of(place.name, registry, strict=False), keys=(signer.hint,) if signer else found.keys
    )


def _copy_in(
    folder: Path, place: Path, record: Mapping[str, Any], gates: Mapping[str, GateRecord], fingerprint: Fingerprint
) -> None:
    partial = draft_of(place)
    try:
        for name in (*record["files"], EXPORT, *(f"{GATES}/{gate}/{EVENTS}" for gate in gates)):
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, partial / name)
        check_export(partial, fingerprint)
        place_folder(partial, place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_source(
    record: dict[str, Any],
    gates: dict[str, GateRecord],
    registry: Path,
    fingerprint: Fingerprint,
    keys: Sequence[PublicKey] = (),
    policy: Path | None = None,
) -> Promotion:
    """The promotion of the source, verified as `tunegate verify` does, with the same keys and rules."""
    source = registry / "models" / str(record["source"].get("sha256"))
    if not (source / ATTESTATION).is_file():
        raise NotPromotable(
            f"{record['source'].get('name')}: the source of the export is not promoted in {registry}; promote its run "
            "first"
        )
    found = verify(str(source), registry, fingerprint, keys, policy)
    final = check_gates(read_run(source))
    needed = {gate.suite_sha256: gate.gate for gate in final.gates.values() if gate.purpose == "gate"}
    if missing := [
        name for sha256, name in needed.items() if sha256 not in {one.suite_sha256 for one in gates.values()}
    ]:
        raise NotPromotable(
            f"the export was not compared on {', '.join(sorted(missing))}, which its source passed; export the run "
            "again without --gate"
        )
    return found


def _check_policies(
    policies: Sequence[Policy], source: Promotion, gates: Mapping[str, GateRecord], aliases: Sequence[str | None]
) -> None:
    """Check the rules: for the source, under each alias of the export, and for the comparisons of the export."""
    if not policies:
        return
    run = read_run(source.folder)
    for alias in aliases:
        check_rules(policies, run, check_gates(run), alias)
    check_export_rules(policies, gates)


def verify_export(
    place: Path,
    registry: Path,
    fingerprint: Fingerprint,
    keys: Sequence[PublicKey] = (),
    policy: Path | None = None,
    as_alias: str | None = None,
) -> PromotedExport:
    """An entry of `registry/exports`, with everything checked again.

    With `keys`, the export and its source must be signed, each by one of them. The policy of the registry holds, and
    that in the file `policy`, under every alias of the export, and under `as_alias`, which it may get.
    """
    gates, record = check_export(place, fingerprint), read_record(place)
    if place.name != record["sha256"]:
        raise Tampered(f"{place}: the entry holds another export than its name says")
    if (name := next(_unexpected(place, record, gates), None)) is not None:
        raise Tampered(f"{place / name}: no promotion wrote this; remove it")
    source = _check_source(record, gates, registry, fingerprint, keys, policy)
    aliases = aliases_of(place.name, registry, strict=True) if is_export_entry(registry, place.name) else ()
    policies = policies_of(registry, policy)
    _check_policies(policies, source, gates, [*aliases, as_alias] if as_alias else aliases or (None,))
    wanted = [list(keys), *(one.keys for one in policies)]
    hints = [hint for trusted in wanted if trusted for hint in check_files(place, _statements(place), trusted)]
    return PromotedExport(place, record, aliases, is_signed(place), tuple(dict.fromkeys(hints)), source)


def _unexpected(place: Path, record: Mapping[str, Any], gates: Iterable[str]) -> Iterator[Path]:
    """The files and links in an entry that no promotion wrote."""
    files = {*record["files"], EXPORT, TEST_RESULT_FILE, *(f"{GATES}/{name}/{EVENTS}" for name in gates)}
    for path in sorted(place.rglob("*")):
        relative = path.relative_to(place)
        if path.is_symlink() or (not path.is_dir() and relative.as_posix() not in files):
            yield relative


def _statements(place: Path) -> dict[str, dict[str, Any]]:
    """The statement of an entry that is signed, by file name."""
    record = read_record(place)
    runs = {name: read_run(place / GATES / name) for name in record["gates"]}
    evidence = {name: sha256_of(place / name) for name in (EXPORT, *(f"{GATES}/{gate}/{EVENTS}" for gate in runs))}
    gates = {name: run.gates[gate_key(name, "retention")] for name, run in runs.items()}
    subjects = subjects_of(place / str(record["model"]))
    return {TEST_RESULT_FILE: export_statement(record, gates, subjects, evidence)}


def find_export(
    model: str,
    registry: Path,
    fingerprint: Fingerprint,
    keys: Sequence[PublicKey] = (),
    policy: Path | None = None,
) -> PromotedExport | None:
    """The promoted export that an alias points to, or with the bytes of a file or folder; None if there is none."""
    path = Path(model)
    if not (registry / EXPORTS).is_dir():
        return None
    if not path.exists() and ALIAS.fullmatch(model) and pointer_file(model, registry).is_file():
        sha256 = target_of(model, registry)
        found = registry / EXPORTS / sha256 if is_export_entry(registry, sha256) else None
    else:
        named = path.suffix == ".gguf" or (path / "config.json").is_file()
        found = registry / EXPORTS / fingerprint(path) if named and path.exists() else None
    return verify_export(found, registry, fingerprint, keys, policy) if found and found.is_dir() else None
