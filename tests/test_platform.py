"""Systems without the modules of POSIX: every command starts, and one line says what is not available."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.other_systems import POSIX_ONLY
from tests.support.places import ROOT
from tests.test_architecture import PACKAGES, assert_not_on_import
from tunegate.exceptions import ConfigError
from tunegate.file_lock import lock
from tunegate.record.event_log import EventLog
from tunegate.record.run_log import RunLog

SUITE = "cases: q.jsonl\nchecks: [exact]\nplan: {draw: 2, accept: 2}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [
        {"id": "1", "prompt": "Which gene?", "reference": "BLM"},
        {"id": "2", "prompt": "Where?", "reference": "liver"},
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = [{"id": row["id"], "response": row["reference"]} for row in rows]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    (tmp_path / "s.yaml").write_text(SUITE)
    (tmp_path / "facts.gate.yaml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without(modules: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "tests/support/other_systems.py"
    return subprocess.run(
        [sys.executable, str(script), ",".join(modules), *arguments], capture_output=True, text=True, check=False
    )


def test_nothing_of_posix_is_imported_as_soon_as_a_module_is() -> None:
    assert_not_on_import(PACKAGES, set(POSIX_ONLY))


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("check", "s.yaml"), ("plan",), ("init", "new"), ("data", "q.jsonl", "--text", "{prompt}")],
)
def test_commands_that_lock_nothing_run_without_posix(project: Path, arguments: tuple[str, ...]) -> None:
    done = without(POSIX_ONLY, *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_where_there_are_no_locks_a_gate_is_refused_in_one_line(project: Path) -> None:
    done = without((*POSIX_ONLY, "msvcrt"), "gate", "--responses", "r.jsonl", "--suite", "s.yaml", "--json")
    assert done.returncode == 2
    assert "Windows" in done.stderr
    assert done.stderr.count("\n") == 1
    assert json.loads(done.stdout)["exit_code"] == 2


def test_pytest_without_locks_is_no_internal_error(project: Path) -> None:
    code = """
import sys

import pytest

for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
sys.exit(pytest.main())
"""
    command = [sys.executable, "-c", code, ",".join((*POSIX_ONLY, "msvcrt")), "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--tunegate-responses", "r.jsonl"], capture_output=True, text=True, check=False, cwd=project
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "INTERNALERROR" not in done.stdout + done.stderr
    assert "INVALID: records need file locks" in done.stdout


class Msvcrt(SimpleNamespace):
    """The one function of Windows' `msvcrt` that is needed: `busy` counts how often the byte is still taken."""

    LK_LOCK, LK_NBLCK = 1, 2

    def __init__(self, busy: int) -> None:
        super().__init__()
        self.busy, self.locked = busy, list[tuple[int, int, int]]()

    def locking(self, fd: int, mode: int, count: int) -> None:
        if self.busy:
            self.busy -= 1
            raise OSError(errno.EACCES, "Permission denied")
        self.locked.append((os.lseek(fd, 0, os.SEEK_CUR), mode, count))


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> Msvcrt:
    msvcrt = Msvcrt(busy=0)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    return msvcrt


def test_windows_locks_a_byte_that_nobody_reads(tmp_path: Path, on_windows: Msvcrt) -> None:
    with EventLog.open(tmp_path) as log:
        log.append({"event": "run_started"})
    assert on_windows.locked == [(2**31 - 2, Msvcrt.LK_NBLCK, 1)]
    assert len((tmp_path / "events.jsonl").read_bytes().splitlines()) == 1


def test_on_windows_too_one_process_writes_a_record(tmp_path: Path, on_windows: Msvcrt) -> None:
    on_windows.busy = 1
    with pytest.raises(ConfigError, match="another tunegate process"):
        RunLog.open(tmp_path)


def test_windows_is_asked_again_where_a_lock_is_waited_for(tmp_path: Path, on_windows: Msvcrt) -> None:
    on_windows.busy = 3
    with (tmp_path / "lock").open("w") as file:
        lock(file.fileno(), wait=True)
    assert on_windows.locked == [(2**31 - 2, Msvcrt.LK_LOCK, 1)]
