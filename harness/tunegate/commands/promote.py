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
from tunegate.commands.verify_run import ledger_of_pipeline, open_stored, pipeline_of, suites_of, verify_run
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.gates.ask_again import AskedAgain, asker, check_agreement
from tunegate.gates.gate_run import read_result
from tunegate.models.open_model import model_sha256
from tunegate.promotion.entry import ATTESTATION
from tunegate.promotion.evidence import check_gates, check_promotable
from tunegate.promotion.keys import load_public
from tunegate.promotion.registry import Promotion
from tunegate.promotion.registry import verify as find_promotion
from tunegate.promotion.signing import SIGNED_FILES
from tunegate.publishing.fetch import Evidence, evidence_of
from tunegate.publishing.places import DEFAULT_ALIAS, target_of
from tunegate.publishing.publish import check_reachable, publish
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run, reading
from tunegate.record.record import AttemptRecord, RunRecord
from tunegate.record.run_log import RunLog
from tunegate.stats.asked_again import FEWEST_ASKED
from tunegate.suites.suite import Suite
from tunegate.training.pipeline_run import promote_and_record

NOT_SIGNED = (
    "note: bytes, record and attestation agree, but anyone with write access can replace all three; sign promotions "
    "(`promote --sign`), and verify them with the public key (`verify --key`)"
)


def promote(options: Namespace, build_check: CheckBuilder) -> int:
    """Promote a run's model, if the evidence supports it."""
    folder = Path(options.run)
    _check_run(read_run(folder))  # do not create a run in a folder without one
    signer = signer_of(options)
    target = target_of(options.to or DEFAULT_ALIAS)
    check_reachable(target)
    n_ask = asked_number(options)
    with RunLog.open(folder) as log, console.Bar() as bar:
        record = log.record
        pipeline = pipeline_of(record, build_check)
        named = Path(options.registry) if options.registry else pipeline.registry
        registry = named or pipeline.path.parent / "registry"
        ask = asker(pipeline.suites, open_stored, bar.update)
        with reading(folder):
            ledger = ledger_of_pipeline(pipeline)
            promotion = promote_and_record(
                record,
                pipeline,
                log,
                target.alias,
                registry,
                fingerprint,
                ask,
                signer=signer,
                why=options.why or "",
                n_ask=n_ask,
                ledger=ledger,
            )
            published = publish(target, promotion, record, fingerprint, partial(_write_report, record))
    signed = f"signed with the key {signer.hint}: {', '.join(SIGNED_FILES)}" if signer else ""
    _show(promotion, options, signed, published)
    return exit_code(Verdict.PASS, promotion.attestation["waivers"], allowed=options.allow_waived)


def asked_number(options: Namespace) -> int:
    """How many cases `--ask` wants asked again; 0 without it. Raises ConfigError for too few."""
    if options.ask is not None and options.ask < FEWEST_ASKED:
        raise ConfigError(f"--ask: expected at least {FEWEST_ASKED} cases, since fewer show nothing, got {options.ask}")
    return options.ask or 0


WAIVED = 6
"""The exit code of a pass that needed a waiver, without --allow-waived."""


def exit_code(verdict: Verdict, waivers: Sequence[Mapping[str, Any]], *, allowed: bool) -> int:
    """The exit code of a verdict: a script that checks for 0 must not mistake a waived miss for a pass."""
    return WAIVED if verdict is Verdict.PASS and waivers and not allowed else verdict.exit_code


def _write_report(record: RunRecord, path: Path) -> None:
    write_reports(record, path, None, None)


def _check_run(record: RunRecord) -> None:
    if "stages" not in record.start and record.gates:
        raise ConfigError(
            f"{record.folder}: a gate, not a run; only a model that `tunegate run` trained and gated can be promoted; "
            "give its run folder"
        )


def _show(
    promotion: Promotion,
    options: Namespace,
    signature: str,
    published: Sequence[str] = (),
    now: AskedAgain | None = None,
) -> None:
    if options.json:
        facts = {"signed": promotion.signed, "checked": bool(promotion.keys), "keys": list(promotion.keys)}
        asked = {"asked": promotion.asked and promotion.asked.facts, "asked_now": now and now.facts}
        more = {"published": list(published)} if published else {}
        console.show_json({**promotion_as_json(promotion), "signature": facts, **asked, **more})
        return
    print_promotion(promotion)
    expired = expired_since(promotion.attestation["waivers"], date.today())
    at_promotion = f"at the promotion: {promotion.asked.in_words}" if promotion.asked else ""
    for line in (*expired, at_promotion, now.in_words if now else "", signature, *published):
        if line:
            console.show(line)


def expired_since(waivers: Sequence[Mapping[str, Any]], today: date) -> list[str]:
    """Which waivers of a promotion have expired since: they were in force when it was made, and support no other."""
    return [
        f"the waiver of {waiver['stage']}#{waiver['attempt']} {waiver['gate']} expired on {waiver['expires']}: it was "
        "in force when the gate was decided, and supports no new promotion"
        for waiver in waivers
        if date.fromisoformat(waiver["expires"]) < today
    ]


def verify(options: Namespace, build_check: CheckBuilder) -> int:
    """Find the promotion of a model and print it, or verify the record of a run."""
    folder = Path(options.model)
    asked_number(options)
    if (folder / EVENTS).is_file() and not (folder / ATTESTATION).is_file():
        given = {
            "--out": "a model in MLflow or on the Hub",
            "--policy": "a promoted model",
            "--key": "a promoted model",
        }
        if unused := [flag for flag in given if vars(options)[flag[2:]]]:
            raise ConfigError(f"{unused[0]}: {options.model} is a run folder; leave it out, or name {given[unused[0]]}")
        return _verify_run(read_run(folder), build_check, options)
    return show_model(options, build_check, Path(options.out) if options.out else None)


def show_model(options: Namespace, build_check: CheckBuilder | None, out: Path | None = None) -> int:
    """Verify the promotion of a folder or an alias, and print it; a version in MLflow or on the Hub is fetched first,
    and kept in `out`."""
    keys, policy = [Path(key) for key in options.key or ()], Path(options.policy) if options.policy else None
    registry = Path(options.registry) if options.registry else None
    with evidence_of(options.model, registry, fingerprint, out) as evidence:
        promotion = promotion_of(evidence.model, evidence.registry, keys, policy, evidence.alias)
        asked = None
        if build_check is not None and (n := asked_number(options)):
            run = read_run(promotion.folder)
            asked = _ask(run, check_gates(run), promotion.folder / "model", n, suites_of(run, build_check))
    if evidence.source is not None:
        kept = evidence.kept or Path("none; --out keeps the verified bytes")
        promotion = replace(promotion, alias=evidence.source, aliases=(options.model,), folder=kept)
    _show(promotion, options, _signature_in_words(promotion, options, evidence), now=asked)
    if evidence.alone and not promotion.keys:
        print(f"tunegate verify: {NOT_SIGNED}", file=sys.stderr)
    return exit_code(Verdict.PASS, promotion.attestation["waivers"], allowed=options.allow_waived)


def _ask(run: RunRecord, attempt: AttemptRecord, model: Path, n: int, suites: Mapping[str, Suite]) -> AskedAgain:
    """Ask the weights in a folder again; raises Tampered if they do not give the answers on record."""
    with console.Bar() as bar:
        asked = asker(suites, open_stored, bar.update)(run, attempt, model, n)
    check_agreement(asked, run.folder)
    return asked


def _verify_run(record: RunRecord, build_check: CheckBuilder, options: Namespace) -> int:
    """Verify the record of a run or a gate; the exit code is that of its verdict."""
    verified, pipeline = verify_run(record, build_check)
    if verified.missing:
        raise CannotJudge(verified.missing)
    n, asked = asked_number(options), None
    if "stages" in record.start:
        verdict, reason = record.verdict or Verdict.INVALID, record.reason or "the run is not decided"
        if verdict is Verdict.PASS:
            attempt, model = check_promotable(record, fingerprint, None)
            asked = _ask(record, attempt, model, n, pipeline.suites) if n and pipeline else None
    else:
        deciding = read_result(record.folder, record.start["name"]).deciding
        verdict, reason = deciding.verdict, deciding.reason
    if n and asked is None:
        raise ConfigError(f"--ask: {record.folder} did not pass ({verdict}), so it has no final weights to ask")
    if options.json:
        facts = {"run": str(record.folder), "verdict": verdict, "reason": reason, **asdict(verified)}
        console.show_json({**facts, "asked_now": asked and asked.facts})
    else:
        print(f"{record.folder}: {verdict}: {console.printable(reason)}")
        print(console.printable(verified.in_words))
        for line in (*expired_since(record.waivers(), date.today()), asked.in_words if asked else ""):
            if line:
                console.show(line)
    return exit_code(verdict, record.waivers(), allowed=options.allow_waived)


def _signature_in_words(promotion: Promotion, options: Namespace, evidence: Evidence) -> str:
    if promotion.keys:
        return f"signature: good, by the key {', '.join(promotion.keys)}"
    where = () if evidence.alone else ("--registry", str(evidence.registry))
    command = shlex.join(["tunegate", "verify", options.model, *where])
    return f"signature: not checked; to check it: {command} --key PUBLIC_KEY" if promotion.signed else ""


def promotion_of(
    model: str, registry: Path, keys: Sequence[Path] = (), policy: Path | None = None, alias: str | None = None
) -> Promotion:
    """The promotion of a folder or an alias, with good signatures if there are files of public keys, by the rules of a
    further `policy`; `alias` is that by which it was fetched.

    Raises Tampered, ConfigError or NotPromotable if there is no such promotion.
    """
    return find_promotion(model, registry, fingerprint, [load_public(key) for key in keys], policy, alias)


def fingerprint(path: Path) -> str:
    """The fingerprint of a model on disk."""
    sha256 = model_sha256(str(path))
    assert sha256 is not None  # a path is not a server
    return sha256
