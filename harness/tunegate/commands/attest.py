"""`tunegate attest`: the signed statement of a decided run, or its predicate for another signer."""

from __future__ import annotations

import json
from argparse import Namespace
from datetime import date
from pathlib import Path
from typing import Any

from tunegate.commands import console
from tunegate.commands.keygen import signer_of
from tunegate.commands.promote import fingerprint
from tunegate.exceptions import ConfigError
from tunegate.promotion.attesting import statement_of
from tunegate.promotion.dsse import bundle_of
from tunegate.promotion.keys import PrivateKey
from tunegate.promotion.signing import TEST_RESULT_FILE
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


def _show(
    statement: dict[str, Any], signer: PrivateKey | None, bundle: Path, predicate: Path | None, *, as_json: bool
) -> None:
    found, subjects, kind = statement["predicate"], statement["subject"], statement["predicateType"]
    if as_json:
        facts = {"result": found["result"], "subjects": subjects, "predicate_type": kind}
        signed = {"bundle": str(bundle), "key": signer.hint} if signer else {"bundle": None, "key": None}
        console.show_json({**facts, **signed, "predicate": None if predicate is None else str(predicate)})
        return
    tests = found[{"PASSED": "passedTests", "WARNED": "warnedTests", "FAILED": "failedTests"}[found["result"]]]
    console.show(f"{found['result']}: {', '.join(tests)}")
    console.show(f"subjects: {', '.join(subject['name'] for subject in subjects)}")
    if signer is not None:
        console.show(f"signed with the key {signer.hint}: {bundle}")
    if predicate is not None:
        console.show(f"predicate of type {kind}: {predicate}")
