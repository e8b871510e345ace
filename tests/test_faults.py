"""Faults at every step: none yields a pass, none changes a denominator, all are on record; docs/faults.md is the table.

`python -m tests.test_faults > docs/faults.md` makes it; every cell is held against its line there.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support import faults
from tests.support.fault_commands import COMMANDS, CommandFault
from tests.support.fault_list import FAULTS
from tests.support.fault_rows import Row, check_denominators, essence, inject, promoted
from tests.support.faults import STEPS, Fault, Lab, exit_code_of
from tests.support.places import ROOT
from tunegate.cli import main
from tunegate.commands import main as commands
from tunegate.exceptions import CannotJudge, ConfigError, Inconclusive, Tampered
from tunegate.record.read_run import read_run
from tunegate.record.record import RunRecord

TABLE = ROOT / "docs" / "faults.md"
HEAD = """# Faults

<!-- Made by `python -m tests.test_faults > docs/faults.md`; tests hold every line of it. -->

What a run makes of faults that are injected into it, one at a time. The pipeline trains, misses, is diagnosed, trains
again, passes its first draw, the retention draw and the confirming draw, and is promoted; without a fault it ends with
PASS, exit 0. For every line the tests hold that

- a fault that affects the basis of the verdict never ends in PASS, and nothing is promoted;
- the cases that a draw registered are those of the run without the fault, and passed + failed + INVALID + not asked is
  their number;
- the fault is on record, unless the fault is that no record can be written;
- once the fault is gone, the same command ends as in the last column, and where that is PASS, with the very verdicts
  and counts of the run without a fault.

At the step `diagnosis` nothing is decided: what cannot be judged there is left out of the evidence, which says so. A
clock that runs backwards decides nothing. Files that change during a run are not read again: what was read and hashed
at the start decides, and they are compared with that before the run passes and before it promotes. Refused: exit 2,
before anything was decided. A full disk is the kernel's limit on the size of files, reached within the next line that
is written; another test fills a real disk. No run here has a [ledger](ledger.md). With one, a gate whose judge is
admitted after it is another suite: started again, it asks fresh cases, and is INCONCLUSIVE if there are none.

"""
KILLED = "process is killed (kill -9)"
Cells = Sequence[tuple[Fault, str]]
CELLS: Cells = [(fault, step) for fault in FAULTS for step in fault.steps]


# --- the table ------------------------------------------------------------------------------------------------------


def documented() -> dict[tuple[str, str], Row]:
    """The lines of docs/faults.md, one for each step that they name."""
    rows: dict[tuple[str, str], Row] = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| fault |"):
            fault, where, verdict, code, said, again = line[2:-2].replace("\\|", "\0").split(" | ")
            for step in where.split(", "):
                row = Row(fault, step, verdict, int(code), said.replace("\0", "\\|"), again)
                assert rows.setdefault((fault, step), row) is row, "two lines for one cell"
    return rows


def table(rows: Iterable[Row]) -> str:
    """The table, one line for all steps at which the same fault comes to the same."""
    lines: dict[tuple[object, ...], list[str]] = {}
    for row in rows:
        lines.setdefault((row.fault, row.verdict, row.exit_code, row.said, row.again), []).append(row.where)
    parts = [
        "| fault | where | verdict | exit code | what the record says | started again |",
        "|---|---|---|---|---|---|",
    ]
    for (fault, *rest), steps in lines.items():
        parts.append(f"| {fault} | {', '.join(steps)} | {' | '.join(map(str, rest))} |")
    return "\n".join(parts) + "\n"


def as_documented(row: Row) -> None:
    assert documented().get((row.fault, row.where)) == row, (
        "docs/faults.md: python -m tests.test_faults > docs/faults.md"
    )


def test_the_table_has_every_cell_and_no_other() -> None:
    cells = [(fault.name, step) for fault, step in CELLS] + [(KILLED, step) for step in STEPS]
    cells += [(fault.name, fault.where) for fault in COMMANDS]
    assert sorted(cells) == sorted(documented())


def test_the_page_is_as_it_is_made() -> None:
    """Nothing but the command writes the page: its words before the table, the order of its lines, what they share."""
    rows = documented()
    made = [rows[fault.name, step] for fault, step in CELLS] + [rows[KILLED, step] for step in STEPS]
    made += [rows[fault.name, fault.where] for fault in COMMANDS]
    assert TABLE.read_text(encoding="utf-8") == HEAD + table(made)


# --- the cells ------------------------------------------------------------------------------------------------------


def carried_out(folder: Path) -> RunRecord:
    """The run in which nothing breaks."""
    lab = Lab(folder)
    lab.write()
    ending = lab.carry_out()
    assert (ending.exit_code, ending.error) == (0, "")
    assert ending.run is not None
    return ending.run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return carried_out(tmp_path_factory.mktemp("whole") / "project")


def in_turn(fault: Fault, step: str) -> Any:
    """One step of each fault, each fault another, is tested at once; all in the long run."""
    at_once = FAULTS.index(fault) % len(fault.steps) == fault.steps.index(step)
    return pytest.param(fault, step, id=f"{fault.name}-{step}", marks=() if at_once else pytest.mark.slow)


@pytest.mark.parametrize(("fault", "step"), [in_turn(fault, step) for fault, step in CELLS])
def test_a_fault_in_a_run(tmp_path: Path, whole: RunRecord, fault: Fault, step: str) -> None:
    as_documented(inject(fault, step, tmp_path / "project", whole))


@pytest.mark.parametrize("fault", COMMANDS, ids=[f"{fault.name}-{fault.where}" for fault in COMMANDS])
def test_a_fault_of_a_command(tmp_path: Path, fault: CommandFault) -> None:
    as_documented(fault.inject(tmp_path / "project"))


def test_with_a_ledger_a_judge_that_was_admitted_later_makes_another_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TUNEGATE_LEDGER")
    (fault,) = (one for one in COMMANDS if one.name == "admission record is missing")
    assert fault.inject(tmp_path / "project").again == "INCONCLUSIVE"


def killed(step: str, folder: Path, whole: RunRecord) -> Row:
    """A process of its own kills itself at a step; the same run is then gone on with."""
    lab = Lab(folder)
    lab.write()
    command = [sys.executable, "-m", faults.__name__, str(folder), step]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr
    run = read_run(folder / "run")
    check_denominators(run, whole)
    assert run.verdict is None or step == "promotion"
    assert not promoted(folder)
    again = lab.carry_out()
    assert again.run is not None
    assert essence(again.run) == essence(whole)
    said = "its last whole event, no verdict" if run.verdict is None else "the verdict, no promotion"
    return Row(KILLED, step, "killed", -9, said if run.start else "nothing", again.verdict)


@pytest.mark.parametrize(
    "step", [pytest.param(step, marks=() if n % 3 == 2 else pytest.mark.slow) for n, step in enumerate(STEPS)]
)
def test_a_process_that_is_killed(tmp_path: Path, whole: RunRecord, step: str) -> None:
    as_documented(killed(step, tmp_path / "project", whole))


# --- what the cells rest on -----------------------------------------------------------------------------------------


ERRORS = [CannotJudge("x"), ConfigError("x"), Inconclusive("x"), Tampered("x"), KeyboardInterrupt(), SystemExit(0)]


@pytest.mark.parametrize("error", [*ERRORS, KeyError(1), MemoryError()])
def test_exit_codes_are_those_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    def verify(options: object) -> int:
        raise error

    monkeypatch.setattr(commands, "verify", verify)
    assert main(["verify", "x"]) == exit_code_of(error) != 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 48 KiB large."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs to be root on a machine that allows it")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_disk_that_is_really_full(disk: Path, whole: RunRecord) -> None:
    """Filled to the brim but for a few pages, more with each start: it ends at another place each time."""
    lab = Lab(disk / "project")
    ballast = disk / "ballast"
    places: set[str] = set()
    for free in range(8):
        if not lab.path.exists():
            lab.write()
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(b"\0" * 4096):
                pass
        with ballast.open("r+b") as file:
            file.truncate(max(0, ballast.stat().st_size - 4096 * free))
        ending = lab.carry_out()
        if ending.exit_code == 0:
            break
        assert ending.exit_code == 3
        assert "No space left on device" in ending.error
        assert not promoted(lab.folder)
        if ending.run is not None:
            check_denominators(ending.run, whole)
        places.add(ending.error)
        ballast.unlink()
    ballast.unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    again = lab.carry_out()
    assert again.run is not None
    assert essence(again.run) == essence(whole)
    assert places


@pytest.mark.parametrize("place", ["run", "registry"])
def test_a_file_system_that_is_read_only(tmp_path: Path, disk: Path, whole: RunRecord, place: str) -> None:
    lab = Lab(tmp_path / "project")
    lab.write()
    (lab.folder / place).symlink_to(disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    ending = lab.carry_out()
    assert (ending.exit_code, promoted(lab.folder)) == (3, False)
    assert re.search("cannot (be written|write to the (run folder|registry)): Read-only file system", ending.error)
    subprocess.run(["mount", "-o", "remount,rw,size=4m", str(disk)], check=True)
    again = lab.carry_out()
    assert again.run is not None
    assert essence(again.run) == essence(whole)


if __name__ == "__main__":
    os.environ |= {"TUNEGATE_LEDGER": "none", "TUNEGATE_TRUST": tempfile.gettempdir()}  # as tests/conftest.py does
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        untouched = carried_out(place / "whole")
        rows = [inject(fault, step, place / f"{n}", untouched) for n, (fault, step) in enumerate(CELLS)]
        rows += [killed(step, place / f"killed-{n}", untouched) for n, step in enumerate(STEPS)]
        rows += [fault.inject(place / f"command-{n}") for n, fault in enumerate(COMMANDS)]
        sys.stdout.write(HEAD + table(rows))
