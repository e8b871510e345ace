"""No network by default: the system calls of a whole process are traced, and none connects outside this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bank import Bank
from tests.support.tiny_gguf import make_tiny_gguf
from tests.support.tiny_model import make_adapter, make_tiny_model

TUNEGATE = [sys.executable, "-c", "from tunegate.cli import console_main; console_main()"]
LOCAL = re.compile(r'sa_family=AF_(UNIX|NETLINK)|inet_addr\("127\.|"::1"')

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def traced(folder: Path, command: list[str]) -> tuple[int, list[str]]:
    """Run a command under strace; returns its exit code and the calls that reach outside this machine."""
    trace = folder / "trace.txt"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    done = subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=connect,sendto,sendmsg", "-o", str(trace), *command],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if "ptrace" in done.stderr and not trace.read_text():
        pytest.skip("tracing is not permitted here")
    calls = [line for line in trace.read_text().splitlines() if "sa_family" in line]
    return done.returncode, [line for line in calls if not LOCAL.search(line)]


@needs_strace
def test_the_trace_would_show_a_connection(tmp_path: Path) -> None:
    attempt = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
    _, calls = traced(tmp_path, [sys.executable, "-c", attempt])
    assert len(calls) == 1
    assert "192.0.2.1" in calls[0]


@needs_strace
def test_help_reaches_for_nothing(tmp_path: Path) -> None:
    assert traced(tmp_path, [*TUNEGATE, "--help"]) == (0, [])


@needs_strace
def test_a_gate_on_stored_answers_reaches_for_nothing(make_bank: Callable[..., Bank]) -> None:
    checks = ["exact", "contains", "{regex: answer}"]
    for module, check in (
        ("rouge_score", "{rougeL: {min: 0.5}}"),
        ("py3langid", "{errors: {report: [empty, misspelling]}}"),
    ):
        if _installed(module):
            checks.append(check)
    bank = make_bank(checks=f"[{', '.join(checks)}]")
    command = [*TUNEGATE, "gate", "--responses", bank.answers(95), "--suite", bank.suite]
    assert traced(bank.folder, command) == (0, [])


@needs_strace
def test_models_from_files_reach_for_nothing(make_bank: Callable[..., Bank], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("transformers", "peft", "gguf"):
        pytest.importorskip(module)
    bank = make_bank()
    folder = make_tiny_model(bank.folder / "model")
    make_adapter(folder, bank.folder / "adapter")
    make_tiny_gguf(folder, bank.folder / "model.gguf")
    monkeypatch.setenv("XDG_CACHE_HOME", str(bank.folder / "cache"))
    code = """
import sys
from tunegate.cli import console_main
from tunegate.models.open_model import open_model
for spec in ("model", "adapter", "model.gguf"):
    open_model(spec)
sys.argv[1:] = ["gate", "adapter", "--suite", sys.argv[1]]
console_main()
"""
    assert traced(bank.folder, [sys.executable, "-c", code, bank.suite]) == (1, [])  # it answers nonsense


@needs_strace
def test_check_and_init_reach_for_nothing(bank: Bank) -> None:
    assert traced(bank.folder, [*TUNEGATE, "check", bank.suite]) == (0, [])
    assert traced(bank.folder, [*TUNEGATE, "init", str(bank.folder / "new")]) == (0, [])


def _installed(module: str) -> bool:
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
