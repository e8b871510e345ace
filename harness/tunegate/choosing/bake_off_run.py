"""Runs a bake-off: one gate per model, each with its own folder and process."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tunegate.addresses import without_secrets
from tunegate.choosing.bake_off import BakeOff, Entry, rank
from tunegate.exceptions import TunegateError
from tunegate.models.metering import read_cost
from tunegate.models.model_facts import ModelFacts
from tunegate.processes import INTERPRETER
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate.record.record import GateRecord
from tunegate.suites.suite import Suite

GATE = (*INTERPRETER, "-c", "from tunegate.cli import console_main; console_main()", "gate")


class GateModel(Protocol):
    """Gates one model into a folder; returns why there is no verdict, or "" with one. Raises only if interrupted."""

    def __call__(self, model: str, folder: Path) -> str: ...


@dataclass(frozen=True, slots=True)
class GateProcess:
    """`tunegate gate` in its own process, so that memory is freed; it shows its own progress."""

    options: Sequence[str]
    command: Sequence[str] = GATE

    def __call__(self, model: str, folder: Path) -> str:
        command = [*self.command, model, *self.options, "--run", str(folder), "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if done.returncode == 130:
            raise KeyboardInterrupt
        try:
            return str(json.loads(done.stdout).get("error") or "")
        except ValueError:
            died = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
            return f"the process of its gate ended with {died} without a message (out of memory?)"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a bake-off needs from outside: who gates a model, who reads its files, and a callback for progress.

    `dtype` (None, auto: any) is the number type of local models, `request` are additional fields for servers.
    """

    gate: GateModel
    facts: Callable[[str], ModelFacts]
    say: Callable[[str], None]
    dtype: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict[str, Any])


def bake_off(models: Sequence[str], suite: Suite, draw: int, seed: int, folder: Path, setup: Setup) -> BakeOff:
    """Gate every model that has no verdict yet, and rank them all."""
    entries: list[Entry] = []
    for number, model in enumerate(models, start=1):
        setup.say(f"model {number} of {len(models)}: {without_secrets(model)}")
        entries.append(entry_of(model, suite, (draw, seed), folder / slug(model), setup))
    ranked = rank(entries)
    judged = sum(one.standing != "INVALID" for one in ranked)
    return BakeOff(suite.name, suite.sha256, draw, seed, ranked, judged * (judged - 1) // 2)


def entry_of(model: str, suite: Suite, asked: tuple[int, int], folder: Path, setup: Setup) -> Entry:
    """The entry of one model. Any failure is reported as the fault of this model, on its row."""
    fault, facts = "", ModelFacts()
    try:
        gate = _settled(folder, suite, asked, setup)
        if gate is None:
            fault = setup.gate(model, folder)
            gate = None if fault else read_run(folder).gates.get(suite.name)
        facts = setup.facts(model)
        if gate is not None and gate.model_sha256 != facts.sha256:
            fault = f"{folder}: has a gate of other weights: the model changed since; choose another --run"
    except TunegateError as error:
        return Entry(without_secrets(model), folder, None, fault or str(error))
    return Entry(without_secrets(model), folder, gate, fault, facts, read_cost(folder))


def _settled(folder: Path, suite: Suite, asked: tuple[int, int], setup: Setup) -> GateRecord | None:
    """The gate from an earlier call, on the same cases (of the same draw and seed) with the same settings."""
    if not (folder / EVENTS).exists():
        return None
    run = read_run(folder)
    gate = run.gates.get(suite.name)
    if gate is None or not gate.settled or (gate.suite_sha256, gate.drawn, gate.seed) != (suite.sha256, *asked):
        return None
    if gate.model_sha256 is None:  # a model on a server
        alike = run.start.get("request", {}) == setup.request
    else:
        alike = setup.dtype in (None, "auto", gate.dtype)
    return gate if alike else None


def slug(model: str) -> str:
    """The name of a model's folder, without what no file system takes."""
    words = re.sub(r"[^\w.-]+", "-", without_secrets(model)).strip("-.")[-48:].lstrip("-.")
    return f"{words}-{hashlib.sha256(model.encode()).hexdigest()[:6]}"
