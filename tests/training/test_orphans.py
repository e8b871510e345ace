"""A training does not outlive the process that wants it, however early that is killed.

The processes tell each other how far they are by named pipes: opening one waits until its other end is opened.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

# Its imports take as long as the test wants; then it trains until it has read the job, which nobody ever writes.
TRAINING = """
import os, sys
print("importing", os.getpid(), file=sys.stderr, flush=True)
open("imported").close()
from tunegate.training.training_process import main
main(["the-job", sys.argv[2]])
"""
LAUNCHER = f"import subprocess, sys; subprocess.call([sys.executable, '-c', {TRAINING!r}, *sys.argv[1:]])"
WANTING = """
import sys
from tunegate.training.trainer import SubprocessTrainer, TrainJob
SubprocessTrainer((sys.executable, "-c", sys.argv[1]))(TrainJob("sft", "base", "data.jsonl", "model", 1))
"""


@pytest.fixture(params=[TRAINING, LAUNCHER], ids=["its child", "the child of a launcher"])
def wanting(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> subprocess.Popen[str]:
    """A process that wants a training, which is importing what it needs."""
    monkeypatch.chdir(tmp_path)
    for name in ("imported", "the-job"):
        os.mkfifo(name)
    return subprocess.Popen([sys.executable, "-c", WANTING, request.param], stderr=subprocess.PIPE, text=True)


def open_when_read(name: str) -> int:
    """Waits until a process opens the other end of this pipe; returns the end that it reads from."""
    return os.open(name, os.O_WRONLY)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("while_it", ["imports", "trains"])
def test_a_training_ends_when_who_wants_it_is_killed(wanting: subprocess.Popen[str], while_it: str) -> None:
    assert wanting.stderr is not None
    training = int(wanting.stderr.readline().removeprefix("importing "))
    ends: Sequence[int] = ()
    try:
        if while_it == "imports":
            kill(wanting)
        ends = [open_when_read("imported")]
        if while_it == "trains":
            ends = [*ends, open_when_read("the-job")]
            kill(wanting)
        assert wanting.stderr.read() == ""  # it ends when the training has ended, which shares it
    finally:
        for end in ends:
            os.close(end)
        with suppress(ProcessLookupError):
            os.kill(training, signal.SIGKILL)
        kill(wanting)
        wanting.stderr.close()
