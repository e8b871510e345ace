"""How the command line ends: exit code 1 means that a gate failed; no name and no disk ends in a traceback."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.commands.test_cli_gate import TUNEGATE
from tunegate.cli import main
from tunegate.commands import console
from tunegate.exceptions import CannotJudge, ConfigError, from_outside

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [{"id": f"{n}", "prompt": f"{n}?", "reference": f"{n}"} for n in range(4)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "r.jsonl").write_text("".join(f'{{"id": "{n}", "response": "{n}"}}\n' for n in range(4)))
    (tmp_path / "wrong.jsonl").write_text("".join(f'{{"id": "{n}", "response": "x"}}\n' for n in range(4)))
    (tmp_path / "s.yaml").write_text("cases: q.jsonl\nchecks: [exact]\nplan: {draw: 4, accept: 4}\n")
    (tmp_path / "folder").mkdir()
    os.symlink("loop", tmp_path / "loop")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(command: str, *, folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = shlex.join(TUNEGATE)
    return subprocess.run(
        ["bash", "-c", command.replace("tunegate", arguments)], cwd=folder, capture_output=True, text=True, check=False
    )


PASSING = "tunegate gate --responses r.jsonl --suite s.yaml --json"


@pytest.mark.parametrize(
    ("command", "exit_code"),
    [
        (f"{PASSING} > /dev/full", 3),
        (f"{PASSING} >&-", 3),
        (f"{PASSING} <&- >&- 2>&-", 3),
        (f"{PASSING} <&- 2>&-", 0),
        (f"{PASSING} > /dev/full 2>&1", 3),
        ("tunegate gate --responses missing --suite s.yaml --json > /dev/full", 2),
        ("set -o pipefail; tunegate gate --responses r.jsonl --suite s.yaml | true", 3),
    ],
)
def test_a_result_that_cannot_be_written_is_no_pass_and_no_failed_gate(
    project: Path, command: str, exit_code: int
) -> None:
    done = shell(command, folder=project)
    assert done.returncode == exit_code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.stderr.count("\n") <= 1


def test_a_closed_stream_is_not_the_next_file_that_is_opened(project: Path) -> None:
    """Descriptor 1 would be the record, and the result would be printed into it."""
    shell(f"{PASSING} --run run >&-", folder=project)
    assert shell("tunegate report run --recheck", folder=project).returncode == 0


LONG, NOT_UTF8 = "x" * 300, os.fsdecode(b"caf\xe9")
NAMES = [LONG, f"{LONG}.jsonl", f"folder/{LONG}/s.yaml", f"{NOT_UTF8}.yaml", "loop", "folder", "q.jsonl/x", "a\0b", ""]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "NAME"],
        ["gate", "NAME", "--suite", "s.yaml"],
        ["gate", "--responses", "NAME", "--suite", "s.yaml"],
        ["gate", "--responses", "r.jsonl", "--suite", "NAME"],
        ["gate", "--responses", "r.jsonl", "--suite", "s.yaml", "--run", "NAME"],
        ["gate", "--responses", "r.jsonl", "--suite", "s.yaml", "--run", "run", "--junit", "NAME"],
        ["data", "NAME"],
        ["data", "q.jsonl", "--text", "{prompt}", "--card", "NAME"],
        ["leakage", "NAME", "--suite", "s.yaml"],
        ["report", "NAME"],
        ["promote", "NAME"],
        ["verify", "NAME"],
        ["compare", "NAME", "NAME"],
        ["judge", "NAME", "--labels", "NAME"],
        ["run", "NAME"],
        ["init", "NAME"],
        ["plan", "--file", "NAME"],
    ],
    ids=" ".join,
)
def test_no_name_of_a_file_ends_in_a_traceback(
    project: Path, capsys: Capture, arguments: Sequence[str], name: str
) -> None:
    code = main([*(name if word == "NAME" else word for word in arguments), "--json"])
    out, err = capsys.readouterr()
    assert code in (0, 2, 3)
    assert "Traceback" not in err
    assert err.isprintable() or err.count("\n") == 1
    json.loads(out)


@pytest.mark.parametrize("key", ["cases: NAME", "cases: q.jsonl\nsettings: NAME", "cases: {path: NAME}"])
@pytest.mark.parametrize("name", [LONG, "loop", '"a\\0b"', "folder", "~nobody/x", "[x]"])
def test_no_name_in_a_file_ends_in_a_traceback(project: Path, capsys: Capture, key: str, name: str) -> None:
    (project / "bad.yaml").write_text(f"{key.replace('NAME', name)}\nchecks: [exact]\n")
    assert main(["check", "bad.yaml"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1


def test_a_long_name_is_told_with_its_line(project: Path, capsys: Capture) -> None:
    (project / "bad.yaml").write_text(f"cases: {LONG}\nchecks: [exact]\n")
    assert main(["check", "bad.yaml"]) == 2
    assert capsys.readouterr().err.startswith("tunegate check: bad.yaml:1: cases.path: xxx")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(errno.ENAMETOOLONG, "File name too long", "x"), ConfigError, "x: File name too long"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), CannotJudge, "x: No space left on device"),
        (OSError(errno.EIO, "Input/output error"), CannotJudge, "Input/output error"),
        (
            ValueError("embedded null byte"),
            ConfigError,
            "a file name contains the NUL character, which is not allowed; remove it",
        ),
        (RuntimeError("Could not determine home directory."), ConfigError, "`~`: Could not determine home directory."),
        (MemoryError(), CannotJudge, "out of memory"),
        (RecursionError(), CannotJudge, "a value is nested too deeply to be read"),
    ],
)
def test_what_names_disk_and_memory_do_is_one_line(error: Exception, kind: type[Exception], words: str) -> None:
    known = from_outside(error)
    assert (type(known), str(known)) == (kind, words)


def test_a_fault_of_our_own_is_none_of_these() -> None:
    assert from_outside(KeyError("x")) is None
    assert from_outside(ValueError("x")) is None


def test_a_fault_while_a_fault_is_told_is_no_failed_gate(project: Path) -> None:
    code = """
import sys
from tunegate.cli import console_main
from tunegate.commands import console
def printable(text):
    raise KeyError("a fault in telling faults")
console.printable = printable
sys.argv[1:] = ["gate", "--responses", "missing", "--suite", "s.yaml"]
console_main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "tunegate: KeyError\n")


def test_a_failed_gate_ends_with_1(project: Path) -> None:
    assert shell(PASSING.replace("r.jsonl", "wrong.jsonl"), folder=project).returncode == 1


def test_what_is_not_told_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            if not self.closed:
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    console.show("x")
    with pytest.raises(CannotJudge, match="cannot write to standard output: No space left on device"):
        console.flush()


# --- SIGTERM ---------------------------------------------------------------------------------------------------------


SLOW = (
    "def slow(case, text):\n    print('asked', flush=True)\n    import time; time.sleep(600 if case.id == '2' else 0)\n"
)


def test_sigterm_is_ctrl_c(project: Path) -> None:
    """What was judged stays on record, the last words say how to go on, and the exit code is the signal's."""
    (project / "metric.py").write_text(
        "import pathlib, time\n\n\ndef slow(case, text):\n    if case.id == '2':\n"
        "        pathlib.Path('reached').touch()\n        time.sleep(600)\n    return True\n"
    )
    (project / "slow.yaml").write_text("cases: q.jsonl\nchecks: [{python: metric:slow}]\nplan: {draw: 4, accept: 4}\n")
    command = [*TUNEGATE, "gate", "--responses", "r.jsonl", "--suite", "slow.yaml", "--run", "run", "--json"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (project / "reached").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
    assert (process.returncode, out) == (143, "")
    assert err.strip().startswith("interrupted; to go on: tunegate gate")
    events = [json.loads(line) for line in (project / "run" / "events.jsonl").read_text().splitlines()]
    assert (events[-1]["event"], events[-1]["reason"]) == ("fault", "interrupted")


def with_metric(project: Path, body: str) -> None:
    (project / "metric.py").write_text(f"import os\n{body}")
    (project / "m.yaml").write_text("cases: q.jsonl\nchecks: [{python: 'metric:m'}]\nplan: {draw: 4, accept: 4}\n")


@pytest.mark.parametrize("code", [0, 1])
def test_a_metric_that_ends_the_process_decides_nothing(project: Path, code: int) -> None:
    with_metric(project, f"def m(case, text):\n    os._exit({code})\n")
    done = shell("tunegate gate --responses r.jsonl --suite m.yaml", folder=project)
    assert done.returncode == 3
    assert f"tunegate: a check or a model called os._exit({code}): no verdict" in done.stderr


def test_a_metric_that_ends_pytest_passes_nothing(project: Path) -> None:
    with_metric(project, "def m(case, text):\n    os._exit(0)\n")
    (project / "m.gate.yaml").write_text((project / "m.yaml").read_text())
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tunegate-responses", "r.jsonl"]
    assert subprocess.run(command, cwd=project, capture_output=True, check=False).returncode == 3


def test_a_process_that_a_metric_forks_ends_as_it_likes(project: Path) -> None:
    body = "def m(case, text):\n    child = os.fork() or os._exit(7)\n    return os.waitpid(child, 0)[1] == 7 * 256\n"
    with_metric(project, body)
    assert shell("tunegate gate --responses r.jsonl --suite m.yaml", folder=project).returncode == 0


def test_an_exception_that_cannot_say_what_it_is_leaves_the_case_invalid(project: Path, capsys: Capture) -> None:
    body = "class Mute(Exception):\n    def __str__(self):\n        raise ValueError\n\n\n"
    with_metric(project, body + "def m(case, text):\n    raise Mute\n")
    assert main(["gate", "--responses", "r.jsonl", "--suite", "m.yaml"]) == 3
    captured = capsys.readouterr()
    assert "raised Mute: a message that cannot be printed (ValueError)" in captured.out
    assert "Traceback" not in captured.err


def test_a_report_is_written_into_a_pipe_or_through_a_link_and_takes_the_place_of_neither(project: Path) -> None:
    os.mkfifo(project / "pipe")
    os.symlink("target.xml", project / "link.xml")
    gate = "tunegate gate --responses r.jsonl --suite s.yaml"
    done = shell(f"timeout 60 cat pipe > read & {gate} --junit pipe --report link.xml && wait", folder=project)
    assert done.returncode == 0, done.stderr
    assert (project / "pipe").is_fifo()
    assert "<testsuite" in (project / "read").read_text()
    assert (project / "link.xml").is_symlink()
    assert "<html" in (project / "target.xml").read_text()


def test_a_report_on_standard_output(project: Path) -> None:
    done = shell("tunegate gate --responses r.jsonl --suite s.yaml --junit /proc/self/fd/1 | cat", folder=project)
    assert "<testsuite" in done.stdout
