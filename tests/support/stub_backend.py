"""A backend without torch, for tests of executors: `stub:FOLDER` is a model that takes a fixed time for each block.

`FOLDER/plan.json` says how it behaves. Each block that a worker begins is a line of `FOLDER/asked.jsonl`, so that tests
see who was asked what, and at which of these lines (`die`) a worker ends itself as `kill -9` does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SOURCE = '''
import json, os, signal, time, zlib
from pathlib import Path
from tunegate.models.model import ChoiceScore, Response

def hit(folder, ids):
    """Note a block; the number of its line, from 1."""
    line = json.dumps({"pid": os.getpid(), "token": os.urandom(8).hex(), "ids": ids}) + "\\n"
    with open(folder / "asked.jsonl", "a") as file:
        file.write(line)
    return (folder / "asked.jsonl").read_text().splitlines(keepends=True).index(line) + 1

def likelihoods(case):
    """Those of its choices, which follow from the prompt."""
    numbers = [zlib.crc32((case.prompt_text + choice).encode()) for choice in case.choices]
    return tuple(ChoiceScore(-number / 2**32, 1) for number in numbers)

class Stub:
    def __init__(self, folder, plan):
        self.folder, self.plan = folder, plan
        self.name, self.dtype, self.block_size = "stub:" + str(folder), None, plan.get("block_size", 4)
        self.halved_batch = plan.get("halved_batch")
        firsts = folder / "opened"
        with open(firsts, "a") as file:
            file.write(str(os.getpid()) + "\\n")
        number = firsts.read_text().split().index(str(os.getpid()))
        self.sha256 = plan.get("sha256", ["weights"])[number % len(plan.get("sha256", ["weights"]))]

    def generate(self, cases, settings):
        number = hit(self.folder, [case.id for case in cases])
        time.sleep(self.plan.get("delay_s", 0) * (1 if number not in self.plan.get("slow", []) else 1000))
        for index, case in enumerate(cases):
            yield index, Response("answer " + case.id, "stop", choice_scores=likelihoods(case))
            if number in self.plan.get("raise", []):
                raise ValueError("a bug in the model")
        if number in self.plan.get("die", []):
            os.kill(os.getpid(), signal.SIGKILL)

    score_choices = generate

def open_stub(what):
    folder = Path(what)
    plan = json.loads((folder / "plan.json").read_text())
    if "refuse" in plan:
        from tunegate.exceptions import ConfigError
        raise ConfigError(plan["refuse"])
    return Stub(folder, plan)
'''


def install(site: Path) -> Path:
    """Write the package into a folder, as an installer leaves it; the folder belongs on Python's path."""
    info = site / "stub_backend_of_tests-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stub-backend-of-tests\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[tunegate.models]\nstub = stub_backend_of_tests:open_stub\n")
    (site / "stub_backend_of_tests.py").write_text(SOURCE)
    return site


def write_stub(folder: Path, **plan: Any) -> str:
    """A stub that behaves by this plan; returns how a user names it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan))
    return f"stub:{folder}"


def asked(folder: Path) -> list[Sequence[str]]:
    """The ids of the cases of each block, in the order in which workers began them."""
    return [tuple(line["ids"]) for line in _lines(folder)]


def askers(folder: Path) -> set[int]:
    """The processes that were asked a block."""
    return {line["pid"] for line in _lines(folder)}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _lines(folder: Path) -> list[Any]:
    path = folder / "asked.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
