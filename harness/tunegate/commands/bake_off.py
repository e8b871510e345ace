"""`tunegate bake-off MODEL… --suite FILE`: gate several models on the same cases, one process each, and rank them.

Each gate is an ordinary `tunegate gate` with its own folder: an interrupted gate resumes, a finished gate is kept, and
a model that cannot be opened, or runs out of memory, does not affect the others.
"""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunegate.choosing.bake_off import BakeOff, Ranked
from tunegate.choosing.bake_off_run import GATE, GateProcess, Setup, bake_off
from tunegate.choosing.bake_off_words import HEAD, cells, corrected_words, winner_words
from tunegate.commands.asking import asking, flags_given, words
from tunegate.commands.console import show, show_json
from tunegate.commands.plan_override import override
from tunegate.exceptions import ConfigError
from tunegate.gates.gate_run import FOLDER
from tunegate.models.model_facts import ModelFacts
from tunegate.suites.suite import Suite

# --- the command ---------------------------------------------------------------------------------------------------


def bake(
    options: Namespace,
    suite: Suite,
    facts: Callable[[str], ModelFacts],
    say: Callable[[str], None],
    command: Sequence[str] = GATE,
) -> BakeOff:
    """Carry out the command, gating by `command`; raises ConfigError before any model is asked.

    Missing models are reported before the long work begins.
    """
    from tunegate.models.open_model import check_place, is_server

    if options.no_baseline:
        raise ConfigError("--no-baseline: has no effect without --prompts; leave it out")
    twice = [model for model in options.models if options.models.count(model) > 1]
    if twice:
        raise ConfigError(f"MODEL: {twice[0]} is given twice; name each model once")
    plan = override(suite, options.draw, None)
    absent: dict[str, str] = {}
    for model in options.models:
        try:
            check_place(model)
        except ConfigError as error:
            absent[model] = str(error)
            say(f"{_shortly(absent[model])}; its row will show INVALID, the other models are gated")
    all_take = {"--suite": options.suite, "--seed": options.seed, "--draw": options.draw, "--ledger": options.ledger}
    local = {"--dtype": options.dtype, "--batch-size": options.batch_size, "--executor": options.executor}
    servers = [model for model in options.models if is_server(model)]
    unread = [flag for flag, value in local.items() if value is not None]
    if unread and len(servers) == len(options.models):
        raise ConfigError(f"{', '.join(unread)}: only for local models, but all given models are servers; leave it out")
    if (unread := flags_given(options)) and not servers:
        raise ConfigError(
            f"{', '.join(unread)}: only for models behind a server, but all given models run here; leave it out"
        )
    how = asking(options)  # raises for values that no gate can use
    facts_of_it = [suite.sha256, plan.numbers, options.seed, options.dtype, *(options.request or ())]
    key = hashlib.sha256(json.dumps(facts_of_it).encode()).hexdigest()
    folder = Path(options.run) if options.run else FOLDER / f"bake-off-{suite.name}-{key[:12]}"
    if plan.confirms == "after_retry":
        all_take["--draw"] = plan.draw  # a bake-off ranks by first draws; a pass that counts is confirmed later
    all_take["--together"] = hashlib.sha256(f"{key} {folder.resolve()}".encode()).hexdigest()[:32]
    here = GateProcess(_words(all_take | local), command)
    served = GateProcess([*_words(all_take), *words(options)], command)

    def gate(model: str, folder: Path) -> str:
        return absent.get(model) or (served if is_server(model) else here)(model, folder)

    setup = Setup(gate, facts, say, options.dtype, how.get("request", {}))
    return bake_off(options.models, suite, plan.draw, options.seed, folder, setup)


def _words(flags: Mapping[str, Any]) -> list[str]:
    return [word for flag, value in flags.items() if value is not None for word in (flag, str(value))]


def _shortly(fault: str) -> str:
    """The fault without the list of known names: the full reason is below the table."""
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
        "models": [{"model": one.entry.model, **row_as_json(one, result)} for one in result.ranked],
    }


def row_as_json(one: Ranked, result: BakeOff) -> dict[str, Any]:
    """What was measured of a model, without its name."""
    entry, gate, cost = one.entry, one.entry.gate, one.entry.cost
    return {
        "standing": one.standing,
        "verdict": entry.verdict,
        "reason": entry.reason,
        "passed": gate and gate.passed,
        "asked": gate and (gate.asked or gate.drawn),
        "interval": list(gate.interval) if gate else None,
        "interval_selected": one.standing == "best" and result.pairs > 0,
        "against_best": one.against and asdict(one.against),
        **asdict(entry.facts),
        "dtype": gate and gate.dtype,
        "peak_mib": cost and cost.peak_mib,
        "gpu_peak_mib": cost and cost.gpu_peak_mib,
        "tokens_per_s": cost and cost.tokens_per_s,
        "seconds_per_case": cost and cost.seconds_per_case,
        "record": str(entry.folder),
    }


def _print(result: BakeOff, report: Path | None) -> None:
    show(f"bake-off on {result.suite}: {result.draw} cases, drawn with seed {result.seed}")
    show_table([HEAD, *((str(place), *cells(one)) for place, one in enumerate(result.ranked, start=1))])
    for one in result.ranked:
        if one.standing == "INVALID":
            show(f"INVALID: {one.entry.model}: {one.entry.reason}")
    if result.pairs > 1:
        show(corrected_words(result.pairs))
    if chosen := winner_words(result.ranked):
        show(chosen)
    if report is not None:
        show(f"report: {report}")


def show_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        show("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
