"""Which ledger a command writes: the one given by the user, or the project's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tunegate.exceptions import CannotJudge
from tunegate.gates.book import NoLedger
from tunegate.ledger.ledger import Ledger, ledger_folder
from tunegate.reading.files import resolve
from tunegate.suites.places import BUILTIN
from tunegate.suites.suite import Suite
from tunegate.text.printable import printable

VARIABLE = "TUNEGATE_LEDGER"
"""The environment variable that names the ledger for every command that names none."""


def ledger_of(named: str | None, near: Path) -> Ledger | NoLedger:
    """The ledger in the named folder, or in that of `TUNEGATE_LEDGER`, or in the project around `near`; `none` is none.

    Where none can be begun, there is none: the command goes on, and every report says why. Raises CannotJudge for a
    ledger that exists and cannot be written: what is asked now would be forgotten, so that it could be asked again
    until it passes.
    """
    if named is None and (given := os.environ.get(VARIABLE)):
        return NoLedger(f"{VARIABLE} was none when it began") if given == "none" else ledger_of(given, near)
    if named == "none":
        return NoLedger("the user asked for none when it began")
    ledger = Ledger(Path(named).expanduser() if named else ledger_folder(near))
    if ledger.ends_within_a_line:
        why = "the last line is incomplete and was dropped: its writer was killed, or the disk was full"
        print(printable(f"tunegate: note: {ledger.path}: {why}"), file=sys.stderr)
    if ledger.can_be_written:
        return ledger
    if ledger.path.exists():
        raise CannotJudge(
            f"{ledger.path}: the ledger cannot be written, so nobody would know what this gate asked; make it "
            "writable, or say `--ledger none`, which the report marks"
        )
    return NoLedger(f"{ledger.path} cannot be written")


def ledger_to_read(named: str | None, near: Path) -> Ledger | None:
    """The ledger that `ledger_of` gives, where one is; nothing is begun, and it need not be writable."""
    named = named or os.environ.get(VARIABLE) or str(ledger_folder(near))
    ledger = Ledger(Path(named).expanduser())
    return ledger if named != "none" and ledger.path.is_file() else None


def ledger_of_suite(named: str | None, suite: Suite) -> Ledger | NoLedger:
    """The same for a suite that is gated alone. One that ships with Tunegate belongs to no project: its ledger is that
    of the working folder."""
    path = Path(suite.path).resolve()
    ships = path.is_relative_to(resolve(BUILTIN, Path()).resolve())
    return ledger_of(named, Path() if ships else path.parent)
