"""Fixtures that many tests share: a suite of 100 cases on disk with stored answers, and trainings of a tiny model."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.bank import Bank, write_jsonl

# A shared machine stalls now and then, and a test's own folder is as good for the second example as for the first.
settings.register_profile(
    "all", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.register_profile("fast", settings.get_profile("all"), max_examples=25)
settings.load_profile("fast")

# Hundreds of processes are started by the tests; each would compile every module anew where bytecode is not kept.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A test that gates one bank twice would get fresh cases, or none; tests/ledger takes this back.
os.environ["TUNEGATE_LEDGER"] = "none"

# Where each core has a worker, threads that wait for each other cost more than they give.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test takes the power away, and a record's wait for the disk at each event would be most of the time of many.
os.fsync = lambda fd: None

# A shell that runs the tests in the background has Ctrl-C ignored, which every process started from here would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


MEMORY = Path("/dev/shm")
"""Files that are in memory, on Linux."""


def pytest_configure(config: pytest.Config) -> None:
    """The long run of the tests, `-m ''`, tries four times as many examples of each property, and writes large models.

    The fast tests write tens of thousands of small files. A disk takes minutes to remove them; memory takes a second.
    In a container, the folder in memory may be small; then the disk is used.
    """
    if config.option.markexpr != "not slow":
        settings.load_profile("all")
    elif os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4e9:
        os.environ.setdefault("TMPDIR", str(MEMORY))
        tempfile.tempdir = None  # found again from the environment
    # The folders of tests are the user's own, wherever a test works; tests/trust takes this back.
    os.environ["TUNEGATE_TRUST"] = tempfile.gettempdir()


OFTEN = 100
"""After this number of tests, what they left (reports, caches) is set aside."""
_modules_set_aside = 0
_tests_since = 0


def set_aside() -> None:
    """What there is stays to the end: the garbage collector need not look at it again and again.

    A run collects garbage after each model. Where torch is imported, that takes longer than all the rest of a run.
    """
    global _modules_set_aside, _tests_since
    gc.collect()
    gc.freeze()
    _modules_set_aside, _tests_since = len(sys.modules), 0


def pytest_collection_finish() -> None:
    set_aside()


def pytest_runtest_logfinish() -> None:
    """A test that imported many modules leaves them to all others."""
    global _tests_since
    _tests_since += 1
    if len(sys.modules) > _modules_set_aside + 100 or _tests_since == OFTEN:
        set_aside()


@pytest.fixture
def make_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bank]:
    """Write a suite of `n` cases into the test's folder and work there; further keyword arguments are YAML lines."""
    monkeypatch.chdir(tmp_path)

    def make(n: int = 100, checks: str = "[exact]", **more: str) -> Bank:
        ids = [f"case-{number:03d}" for number in range(n)]
        rows = [{"id": i, "prompt": f"What is {i}?", "reference": f"answer {i}"} for i in ids]
        write_jsonl(tmp_path / "cases.jsonl", rows)
        lines = {"cases": "cases.jsonl", "checks": checks, **more}
        text = "".join(f"{key}: {value}\n" for key, value in lines.items())
        (tmp_path / "suite.yaml").write_text(text, encoding="utf-8")
        return Bank(tmp_path, ids)

    return make


@pytest.fixture
def project_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the test's folder, with the ledger that its project has by default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TUNEGATE_LEDGER")


@pytest.fixture
def bank(make_bank: Callable[..., Bank]) -> Bank:
    """100 cases, `exact`, 90 of 100."""
    return make_bank()


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Any]:
    """Jobs for real trainings, see trainer_jobs.py."""
    from tests.support.trainer_jobs import job_maker

    return job_maker(tmp_path)


@pytest.fixture(scope="session")
def trainers_imported() -> None:
    """What a training imports is imported, and set aside for good: each training ends by collecting garbage."""
    from peft import PeftModel  # noqa: F401
    from transformers import LlamaForCausalLM, Trainer  # noqa: F401
    from trl import DPOTrainer, RewardTrainer, SFTTrainer  # noqa: F401

    set_aside()


@pytest.fixture
def training(trainers_imported: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test needs that trains in its own process: one thread, and no report to TRL's makers.

    Threads that wait for each other cost a tiny model more than they give, above all on a busy machine. TRL reports
    its use to a server unless it is told not to; the process that trains is told by its environment.
    """
    import huggingface_hub.constants
    import torch

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_TELEMETRY", True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
