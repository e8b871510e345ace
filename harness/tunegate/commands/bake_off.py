"""`tunegate bake-off MODEL… --suite FILE`: gate several models on the same cases, one process each, and rank them.

Each gate is an ordinary `tunegate gate` in a folder of its own: what was interrupted goes on, what is done stays done,
and a model that does not open, or dies of its memory, takes no other with it.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tunegate.addresses import without_secrets
from tunegate.bake_off import AgainstBest, BakeOff, Entry, Ranked, rank
from tunegate.commands.asking import asking, flags_given, words
from tunegate.commands.console import show, show_json
from tunegate.commands.plan_override import override
from tunegate.event_log import EVENTS
from tunegate.exceptions import ConfigError, TunegateError
from tunegate.gate_run import FOLDER
from tunegate.metering import read_cost
from tunegate.model_facts import UNKNOWN, ModelFacts
from tunegate.record import GateRecord, read_run
from tunegate.suites import Suite

GATE = (sys.executable, "-c", "from tunegate.cli import console_main; console_main()", "gate")


class GateModel(Protocol):
    """Gates one model into a folder; returns why there is no verdict, or nothing. Raises only when interrupted."""

    def __call__(self, model: str, folder: Path) -> str: ...


@dataclass(frozen=True, slots=True)
class GateProcess:
    """`tunegate gate` in a process of its own, whose memory is its model's; it shows its own progress."""

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
            return f"the process of its gate ended with {died} and said nothing (out of memory?)"


@dataclass(frozen=True, slots=True)
class Kitchen:
    """What a bake-off works with: who gates a model, who knows its files, and who is told how far it has come.

    `dtype` (None, auto: any) is what local models are computed in, `request` the further fields that servers are sent.
    """

    gate: GateModel
    facts: Callable[[str], ModelFacts]
    say: Callable[[str], None]
    dtype: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict[str, Any])


def bake_off(models: Sequence[str], suite: Suite, draw: int, seed: int, folder: Path, kitchen: Kitchen) -> BakeOff:
    """Gate every model that has no verdict yet, and rank them all."""
    entries: list[Entry] = []
    for number, model in enumerate(models, start=1):
        kitchen.say(f"model {number} of {len(models)}: {without_secrets(model)}")
        entries.append(_entry(model, suite, (draw, seed), folder / _slug(model), kitchen))
    ranked = rank(entries)
    judged = sum(one.standing != "INVALID" for one in ranked)
    return BakeOff(suite.name, suite.sha256, draw, seed, ranked, judged * (judged - 1) // 2)


def _entry(model: str, suite: Suite, asked: tuple[int, int], folder: Path, kitchen: Kitchen) -> Entry:
    """The entry of one model. Whatever goes wrong with it is its own fault, on its own row."""
    fault, facts = "", ModelFacts()
    try:
        gate = _settled(folder, suite, asked, kitchen)
        if gate is None:
            fault = kitchen.gate(model, folder)
            gate = None if fault else read_run(folder).gates.get(suite.name)
        facts = kitchen.facts(model)
        if gate is not None and gate.model_sha256 != facts.sha256:
            fault = f"{folder}: holds a gate of other weights; the model changed since, choose another --run"
    except TunegateError as error:
        return Entry(without_secrets(model), folder, None, fault or str(error))
    return Entry(without_secrets(model), folder, gate, fault, facts, read_cost(folder))


def _settled(folder: Path, suite: Suite, asked: tuple[int, int], kitchen: Kitchen) -> GateRecord | None:
    """The gate that an earlier call carried out, on the same cases (those of a draw and a seed) and in the same way."""
    if not (folder / EVENTS).exists():
        return None
    run = read_run(folder)
    gate = run.gates.get(suite.name)
    if gate is None or not gate.settled or (gate.suite_sha256, gate.drawn, gate.seed) != (suite.sha256, *asked):
        return None
    if gate.model_sha256 is None:  # a server's
        alike = run.start.get("request", {}) == kitchen.request
    else:
        alike = kitchen.dtype in (None, "auto", gate.dtype)
    return gate if alike else None


def _slug(model: str) -> str:
    words = re.sub(r"[^\w.-]+", "-", without_secrets(model)).strip("-.")[-48:].lstrip("-.")
    return f"{words}-{hashlib.sha256(model.encode()).hexdigest()[:6]}"


# --- the command ---------------------------------------------------------------------------------------------------


def bake(
    options: Namespace,
    suite: Suite,
    facts: Callable[[str], ModelFacts],
    say: Callable[[str], None],
    command: Sequence[str] = GATE,
) -> BakeOff:
    """Carry out the command, gating by `command`; raises ConfigError before anything is asked when it cannot be.

    Models that are not there are told before the long work begins.
    """
    from tunegate.backends.open_model import check_place, is_server

    twice = [model for model in options.models if options.models.count(model) > 1]
    if twice:
        raise ConfigError(f"MODEL: {twice[0]} stands twice; name each once")
    plan = override(suite, options.draw, None)
    absent: dict[str, str] = {}
    for model in options.models:
        try:
            check_place(model)
        except ConfigError as error:
            absent[model] = str(error)
            say(f"{_shortly(absent[model])}; its row will say INVALID, the others are gated")
    all_take = {"--suite": options.suite, "--seed": options.seed, "--draw": options.draw}
    local = {"--dtype": options.dtype, "--batch-size": options.batch_size}
    servers = [model for model in options.models if is_server(model)]
    unread = [flag for flag, value in local.items() if value is not None]
    if unread and len(servers) == len(options.models):
        raise ConfigError(f"{', '.join(unread)}: for local models, and all of these are servers; leave it out")
    if (unread := flags_given(options)) and not servers:
        raise ConfigError(f"{', '.join(unread)}: for models behind a server, and all of these run here; leave it out")
    how = asking(options)  # raises for what no gate could use
    here = GateProcess(_words(all_take | local), command)
    served = GateProcess([*_words(all_take), *words(options)], command)

    def gate(model: str, folder: Path) -> str:
        return absent.get(model) or (served if is_server(model) else here)(model, folder)

    facts_of_it = [suite.sha256, asdict(plan), options.seed, options.dtype, *(options.request or ())]
    key = hashlib.sha256(json.dumps(facts_of_it).encode()).hexdigest()
    folder = Path(options.run) if options.run else FOLDER / f"bake-off-{suite.name}-{key[:12]}"
    kitchen = Kitchen(gate, facts, say, options.dtype, how.get("request", {}))
    return bake_off(options.models, suite, plan.draw, options.seed, folder, kitchen)


def _words(flags: Mapping[str, Any]) -> list[str]:
    return [word for flag, value in flags.items() if value is not None for word in (flag, str(value))]


def _shortly(fault: str) -> str:
    """Without the list of what is there instead: it stands under the table."""
    return fault.partition(" (known: ")[0]


def show_bake_off(result: BakeOff, report: Path | None, *, as_json: bool) -> None:
    """The ranking, as one JSON object or as a table."""
    if as_json:
        show_json({**_as_json(result), "report": str(report) if report else None})
    else:
        _print(result, report)


def _as_json(result: BakeOff) -> dict[str, Any]:
    return {
        "verdict": result.verdict,
        "suite": result.suite,
        "suite_sha256": result.suite_sha256,
        "draw": result.draw,
        "seed": result.seed,
        "pairs_compared": result.pairs,
        "models": [_row_as_json(one) for one in result.ranked],
    }


def _row_as_json(one: Ranked) -> dict[str, Any]:
    entry, gate, cost = one.entry, one.entry.gate, one.entry.cost
    return {
        "model": entry.model,
        "standing": one.standing,
        "verdict": entry.verdict,
        "reason": entry.reason,
        "passed": gate and gate.passed,
        "asked": gate and (gate.asked or gate.drawn),
        "interval": list(gate.interval) if gate else None,
        "against_best": one.against and asdict(one.against),
        **asdict(entry.facts),
        "dtype": gate and gate.dtype,
        "peak_mib": cost and cost.peak_mib,
        "gpu_peak_mib": cost and cost.gpu_peak_mib,
        "tokens_per_s": cost and cost.tokens_per_s,
        "seconds_per_case": cost and cost.seconds_per_case,
        "record": str(entry.folder),
    }


HEAD = ("", "model", "passed", "95 %", "against the best", "size", "parameters", "memory", "tokens/s", "licence")


def _print(result: BakeOff, report: Path | None) -> None:
    show(f"bake-off on {result.suite}: {result.draw} cases, drawn with seed {result.seed}")
    rows = [HEAD, *((str(place), *cells(one)) for place, one in enumerate(result.ranked, start=1))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        show("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for one in result.ranked:
        if one.standing == "INVALID":
            show(f"INVALID: {one.entry.model}: {one.entry.reason}")
    if result.pairs > 1:
        show(f"p-values are adjusted for all {result.pairs} pairs (Holm), since the best was chosen by looking")
    if report is not None:
        show(f"report: {report}")


def cells(one: Ranked) -> tuple[str, ...]:
    """A row of the table for people, without its place; `HEAD` names the columns."""
    entry, gate, cost = one.entry, one.entry.gate, one.entry.cost
    judged = gate is not None and one.standing != "INVALID"
    memory = cost and (cost.gpu_peak_mib or cost.peak_mib)
    return (
        entry.model,
        f"{gate.passed} of {gate.asked or gate.drawn}" if gate and judged else "INVALID",
        f"{gate.interval[0]:.0%} to {gate.interval[1]:.0%}" if gate and judged else "",
        _standing(one.standing, one.against),
        in_bytes(entry.facts.size_bytes),
        in_millions(entry.facts.parameters),
        in_bytes(memory and memory * 2**20),
        f"{cost.tokens_per_s:,.0f}" if cost and cost.tokens_per_s else UNKNOWN,
        entry.facts.licence,
    )


def _standing(standing: str, against: AgainstBest | None) -> str:
    if against is None:
        return "" if standing == "INVALID" else standing
    low, high = against.interval
    return f"{against.points:+.3g} ({low:+.0f} to {high:+.0f}), p = {against.p_holm:.2g}: {standing}"


def in_bytes(size: float | None) -> str:
    """`91 MB`, `1.2 GB`; powers of ten, as disks are sold."""
    if size is None:
        return UNKNOWN
    return f"{size / 1e9:.3g} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"


def in_millions(count: int | None) -> str:
    """`135 M`, `7.24 B`"""
    if count is None:
        return UNKNOWN
    return f"{count / 1e9:.3g} B" if count >= 1e9 else f"{count / 1e6:.3g} M"
