"""`tunegate attest`: the signed statement of a decided run, or its predicate for another signer; and verifying it."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.commands import console
from tunegate.commands.keygen import signer_of
from tunegate.commands.promote import WAIVED, fingerprint
from tunegate.exceptions import ConfigError
from tunegate.promotion.attesting import statement_of
from tunegate.promotion.bundle import check_bundle
from tunegate.promotion.dsse import bundle_of
from tunegate.promotion.keys import PrivateKey, load_public
from tunegate.promotion.signing import TEST_RESULT_FILE
from tunegate.promotion.statement import RESULTS
from tunegate.record.read_run import read_run
from tunegate.whole_files import write_whole


def attest_run(options: Namespace) -> int:
    """Write the signed statement of a run, or only its predicate, or both; the exit code is not the verdict."""
    if options.sign is None and options.predicate is None:
        raise ConfigError("nothing to write: give --sign KEY, --predicate FILE or both")
    if options.sign is None and options.out is not None:
        raise ConfigError("--out: has no effect without --sign; leave it out")
    signer = signer_of(options)
    run = read_run(Path(options.run))
    statement = statement_of(run, fingerprint, date.today())
    bundle = Path(options.out) if options.out else run.folder / TEST_RESULT_FILE
    predicate = None if options.predicate is None else Path(options.predicate)
    if signer is not None:
        write_whole(bundle, bundle_of(statement, signer).decode())
    if predicate is not None:
        write_whole(predicate, json.dumps(statement["predicate"], indent=2) + "\n")
    _show(statement, signer, bundle, predicate, as_json=options.json)
    return 0


def verify_bundle(options: Namespace) -> int:
    """Verify a bundle that `attest` wrote; the exit code is that of the signed result, so that 0 can only be a pass."""
    if not options.key:
        raise ConfigError(f"{options.model}: a signed statement is verified with a public key; add --key FILE")
    if options.out:
        raise ConfigError(f"--out: {options.model} is a signed statement; --out is for a model in MLflow or on the Hub")
    subject = None if options.subject is None else Path(options.subject)
    found = check_bundle(Path(options.model), [load_public(Path(key)) for key in options.key], subject)
    codes = {"PASSED": 0, "WARNED": 0 if options.allow_waived else WAIVED, "FAILED": Verdict.FAIL.exit_code}
    code = codes[found.result]
    if options.json:
        console.show_json({**asdict(found), "subject": None if subject is None else str(subject)})
        return code
    console.show(f"signature: good, by the key {', '.join(found.keys)}")
    console.show(f"{found.result}: {', '.join(found.tests)}")
    console.show(f"subjects: {', '.join(found.subjects)}")
    compared = f"{subject} is as signed" if subject else "not compared; to compare it: --subject FILE or FOLDER"
    console.show(f"subject: {compared}")
    return code


def _show(
    statement: dict[str, Any], signer: PrivateKey | None, bundle: Path, predicate: Path | None, *, as_json: bool
) -> None:
    found, subjects, kind = statement["predicate"], statement["subject"], statement["predicateType"]
    if as_json:
        facts = {"result": found["result"], "subjects": subjects, "predicate_type": kind}
        signed = {"bundle": str(bundle), "key": signer.hint} if signer else {"bundle": None, "key": None}
        console.show_json({**facts, **signed, "predicate": None if predicate is None else str(predicate)})
        return
    tests = found[RESULTS[found["result"]]]
    console.show(f"{found['result']}: {', '.join(tests)}")
    console.show(f"subjects: {', '.join(subject['name'] for subject in subjects)}")
    if signer is not None:
        console.show(f"signed with the key {signer.hint}: {bundle}")
    if predicate is not None:
        console.show(f"predicate of type {kind}: {predicate}")
