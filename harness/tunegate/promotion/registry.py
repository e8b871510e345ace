"""The registry: promoted models, each with its attestation and its evidence, and aliases that point to them.

    registry/
        models/<sha256>/model/             the promoted bytes
        models/<sha256>/attestation.json   which gates they passed
        models/<sha256>/events.jsonl       the record of the run, so that anyone can verify it
        models/<sha256>/asked.json         some recorded cases, asked again at the promotion (`gates/ask_again.py`)
        models/<sha256>/*.sigstore.json    the signed statements, if it was signed (`signing.py`)
        exports/<sha256>/                  exports of promoted models (`exports.py`)
        bases/<sha256>/                    the base of a promoted adapter, if the run trained it
        aliases/                           where each alias points, and the history of its moves (`aliases.py`)
        policy.yaml                        what the registry requires of a promotion, if you wrote one (`policy.py`)

Promotion is atomic: everything is written to a draft and moved to its place by `os.replace`; if the process is killed,
the old alias remains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, ConfigError, Tampered, nearest
from tunegate.gates.ask_again import AskedAgain, check_agreement
from tunegate.promotion.aliases import (
    ALIAS,
    SHA256,
    alias_in,
    aliases_of,
    is_export_entry,
    move,
    moving,
    pointer_file,
    pointers,
    target_of,
)
from tunegate.promotion.entry import (
    ATTESTATION,
    as_json,
    check_entry,
    check_record,
    keep_base,
    publish,
    stored_asked,
)
from tunegate.promotion.evidence import Fingerprint, attest, check_gates, check_promotable
from tunegate.promotion.keys import PrivateKey, PublicKey
from tunegate.promotion.policy import Policy, check_asked_enough, check_rules, check_signer, policies_of, to_ask
from tunegate.promotion.signing import ASKED, check_signatures, is_signed, sign_entry, unsign_entry
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable
from tunegate.record.record import AttemptRecord, RunRecord
from tunegate.whole_files import replace_file

Ask = Callable[[RunRecord, AttemptRecord, Path, int], AskedAgain]
"""Asks the model in a folder, which an attempt of a run left, this number of its recorded cases again."""


@dataclass(frozen=True)
class Promotion:
    """A promoted model.

    `alias` is the requested alias, None for a folder; `aliases` are all that point to these bytes now. `already` says
    that the alias already pointed to them, so that `promote` changed nothing. `signed` says that there are signed
    statements; `keys` are the hints of the keys that signed them, if they were verified. `asked` is what came of asking
    the weights again at the promotion.
    """

    sha256: str
    folder: Path
    attestation: dict[str, Any]
    alias: str | None = None
    aliases: tuple[str, ...] = ()
    already: bool = False
    signed: bool = False
    keys: tuple[str, ...] = ()
    asked: AskedAgain | None = None


# --- promoting -----------------------------------------------------------------------------------------------------


def promote(
    run: RunRecord,
    alias: str,
    registry: Path,
    fingerprint: Fingerprint,
    today: date | None = None,
    signer: PrivateKey | None = None,
    why: str = "",
    ask: Ask | None = None,
    n_ask: int = 0,
) -> Promotion:
    """Copy a run's final model into the registry, sign it if there is a `signer`, and point the alias to it.

    A model that is already in the registry keeps the evidence of its first promotion. Waivers must be in force `today`.
    With `n_ask`, or where a policy wants it, `ask` first asks the weights that number of recorded cases again.
    """
    alias_in(alias)
    attempt, folder = check_promotable(run, fingerprint, today or date.today())
    policies = policies_of(registry)
    check_rules(policies, run, attempt, alias)
    check_signer(policies, signer)
    place = registry / "models" / attempt.model_sha256
    asked = _ask(place, run, attempt, folder, ask, n_ask, to_ask(policies))
    try:
        with moving(registry) as log:
            if place.exists():
                check_record(run, run.folder)
                attestation = check_entry(place, fingerprint)
                changed = _keep_asked(place, attestation, asked, signer)
                changed |= signer is not None and sign_entry(place, attestation, signer)
            else:
                attestation = attest(run, attempt)
                keep_base(run, folder, registry, fingerprint)
                publish(run, folder, attestation, place, fingerprint, signer, asked)
                changed = signer is not None
            already = not move(log, registry, alias, place.name, why=why, run=run.name)
    except OSError as error:
        raise CannotJudge(f"{registry}: cannot write to the registry: {error.strerror or error}") from error
    aliases = aliases_of(place.name, registry, strict=False)
    keys = () if signer is None else (signer.hint,)
    return Promotion(
        place.name,
        place,
        attestation,
        alias,
        aliases,
        already=already and not changed,
        signed=is_signed(place),
        keys=keys,
        asked=asked or stored_asked(place),
    )


def _ask(
    place: Path, run: RunRecord, attempt: AttemptRecord, folder: Path, ask: Ask | None, n: int, demanded: int
) -> AskedAgain | None:
    """What comes of asking the weights again; None where nobody wants it, or an entry has enough of it already.

    An entry is asked by its own record: it may be that of an earlier run, which left the same bytes.
    """
    there = place.exists()
    held = stored_asked(place) if there else None
    if n == 0 and (demanded == 0 or (held is not None and len(held.cases) >= demanded)):
        return None
    if ask is None:
        raise CannotJudge(f"{run.folder}: its weights must be asked again, but nothing here can ask them")
    if there:
        run = read_run(place)
        attempt, folder = check_gates(run), place / "model"
    asked = ask(run, attempt, folder, max(n, demanded))
    check_agreement(asked, run.folder)
    return asked


def _keep_asked(place: Path, attestation: dict[str, Any], asked: AskedAgain | None, signer: PrivateKey | None) -> bool:
    """Keep a result in an entry that has none, or one of fewer cases; a signed entry is signed again with it."""
    held = stored_asked(place)
    if asked is None or (held is not None and len(held.cases) >= len(asked.cases)):
        return False
    if asked.record_sha256 != attestation["record_sha256"]:  # it was not there yet when the weights were asked
        raise CannotJudge(f"{place}: another promotion wrote it meanwhile; start the command again")
    if is_signed(place) and signer is None:
        raise ConfigError(f"{place}: it is signed, and its evidence grows; give --sign KEY to sign it again")
    unsign_entry(place)
    replace_file(place / ASKED, as_json(asked.to_json()))
    return True


# --- verifying -----------------------------------------------------------------------------------------------------


def verify(
    model: str,
    registry: Path,
    fingerprint: Fingerprint,
    keys: Sequence[PublicKey] = (),
    policy: Path | None = None,
    as_alias: str | None = None,
) -> Promotion:
    """Find the promotion of a model folder or an alias, and check its bytes and its evidence.

    With `keys`, it must be signed, each signature by one of them. The policy of the registry holds, and that in the
    file `policy`; `as_alias` is the alias for an entry that was fetched by it from elsewhere. Raises NotPromotable for
    bytes that were never promoted or never signed, Tampered if the registry's copy, evidence or signature is not what
    was promoted.
    """
    if not registry.is_dir():
        raise ConfigError(f"{registry}: no such registry; give its folder with --registry")
    alias = model if ALIAS.fullmatch(model) and pointer_file(model, registry).is_file() else None
    if alias and Path(model).exists():
        raise ConfigError(f"{model}: both an alias in {registry} and a folder here; write ./{model} for the folder")
    if alias:
        sha256 = target_of(alias, registry)
        if is_export_entry(registry, sha256):
            raise ConfigError(f"{alias}: an alias of an export in {registry}; `tunegate verify {alias}` verifies it")
        folder = registry / "models" / sha256 / "model"
    else:
        folder = _model_folder(model, registry)
        sha256 = fingerprint(folder)
        if not (registry / "models" / sha256 / ATTESTATION).is_file():
            if _is_below(folder, registry / "models"):
                raise Tampered(f"{folder}: it is in the registry, but its bytes differ from those that were promoted")
            raise NotPromotable(f"{model}: these bytes ({sha256[:12]}…) were never promoted in {registry}")
    place = registry / "models" / sha256
    attestation = check_entry(place, fingerprint)
    hints = check_signatures(place, attestation, folder, keys) if keys else ()
    aliases = aliases_of(sha256, registry, strict=True)
    names = aliases or ((as_alias,) if as_alias else ())
    hints = enforce_policies(policies_of(registry, policy), place, attestation, folder, names) or hints
    asked = stored_asked(place)
    return Promotion(sha256, place, attestation, alias, aliases, signed=is_signed(place), keys=hints, asked=asked)


def enforce_policies(
    policies: Sequence[Policy], place: Path, attestation: dict[str, Any], model: Path, aliases: Sequence[str]
) -> tuple[str, ...]:
    """Raise NotPromotable or Tampered unless an entry has what the policies demand, under each of these aliases.

    Returns the hints of the trusted keys that signed it, if they name keys."""
    if not policies:
        return ()
    signed = [check_signatures(place, attestation, model, policy.keys) for policy in policies if policy.rules.keys]
    check_asked_enough(policies, stored_asked(place))
    run = read_run(place)
    attempt = check_gates(run)
    for alias in aliases or (None,):
        check_rules(policies, run, attempt, alias)
    return tuple(dict.fromkeys(hint for hints in signed for hint in hints))


def check_promoted(model: str, sha256: str) -> None:
    """Raise Tampered if `model` is in a registry and its present hash, `sha256`, is not the promoted one."""
    folder = Path(model).resolve()
    place = folder.parent if folder.name == "model" else folder
    held = SHA256.fullmatch(place.name) is not None and (place / ATTESTATION).exists()
    if held and place.name != sha256:
        raise Tampered(f"{folder}: changed after its promotion; start from a model that `tunegate verify` accepts")


def _model_folder(model: str, registry: Path) -> Path:
    """The folder to fingerprint: the given folder, or the model in the given registry entry."""
    folder = Path(model)
    if not folder.exists():
        aliases = [path.stem for path in pointers(registry)]
        raise ConfigError(f"{model}: neither a model folder nor an alias in {registry}{nearest(model, aliases)}")
    # Only in this registry: elsewhere, a folder may contain other weights next to a folder `model`.
    is_entry = folder.resolve().parent == (registry / "models").resolve()
    return folder / "model" if is_entry else folder


def _is_below(folder: Path, place: Path) -> bool:
    return place.resolve() in folder.resolve().parents
