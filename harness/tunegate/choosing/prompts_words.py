"""A bake-off of prompts in words: the table, the verdict, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from tunegate.checks.outcome import Verdict
from tunegate.choosing.bake_off import Ranked
from tunegate.choosing.bake_off_words import cells, corrected_words
from tunegate.choosing.prompts import BASELINE, PromptBakeOff
from tunegate.record.record import GateRecord
from tunegate.verdicts.words import interval_words

HEAD = ("", "prompt", "passed", "95 %", "against the best", "s per case")


def prompt_cells(one: Ranked) -> tuple[str, ...]:
    """A row of the table for people, without its place; `HEAD` names the columns."""
    cost = one.entry.cost
    seconds = cost and cost.seconds_per_case
    return (*cells(one)[:4], f"{seconds:.2g}" if seconds else "unknown")


def conclusion(result: PromptBakeOff) -> str:
    """Whether a prompt alone passes the gate, by the fresh cases.

    `prompt b passes the gate: 93 of 100 fresh cases, 90 needed (95 % interval 86.1% to 97.1%); no fine-tune is needed`
    """
    best, confirmed = result.best, result.confirmed
    if best is None or confirmed is None:
        return "not confirmed: a prompt has no verdict, and it might be the best; the same command tries it again"
    gate, name = confirmed.gate, best.entry.model
    if gate is None or confirmed.verdict not in (Verdict.PASS, Verdict.FAIL):
        why = confirmed.fault or (gate.reason if gate else "")
        return f"{_called(name)} is the best on the cases of the choice, but it is not confirmed: {why}"
    if confirmed.verdict is Verdict.PASS:
        also = "no prompt and no fine-tune is needed" if name == BASELINE.name else "no fine-tune is needed"
        return f"{_called(name)} passes the gate: {counted(gate)}; {also}"
    as_it_is = "no prompt is better than the model as it is, which"
    what = as_it_is if name == BASELINE.name else f"the best prompt, {name},"
    return f"{what} misses the gate: {counted(gate)}; a fine-tune is worth trying"


def _called(name: str) -> str:
    return "the model as it is" if name == BASELINE.name else f"prompt {name}"


def counted(gate: GateRecord) -> str:
    """`93 of 100 fresh cases, 90 needed (95 % interval 86.1% to 97.1%)`"""
    count = f"{gate.passed} of {gate.asked or gate.drawn} fresh cases, {gate.accept} needed"
    return f"{count} ({interval_words(gate.interval, selected=gate.selected)})"


def chosen_words(result: PromptBakeOff) -> str:
    """What the pass rate of the choice is worth; empty if nothing was chosen."""
    if result.best is None or not result.choice.pairs:
        return ""
    return (
        "the best pass rate in the table is too optimistic, because it is the best of several: only the fresh cases "
        "count"
    )


def gate_command(result: PromptBakeOff) -> str | None:
    """The command that gates the model with the best prompt on other cases; None if none was chosen.

    It has another seed: with that of the bake-off, the gate would ask the cases of the choice again.
    """
    if result.best is None:
        return None
    file = result.files.get(result.best.entry.model)
    words = ["tunegate", "gate", result.model, *(["--prompt-file", file] if file else []), "--suite", result.suite]
    return shlex.join([*words, "--seed", str(result.choice.seed + 1)])


def number_to_write(result: PromptBakeOff) -> int | None:
    """The `n` that the file of the best prompt must have before a gate takes it; None if it has that one alone."""
    if result.best is None:
        return None
    name, files = result.best.entry.model, list(result.files.values())
    return result.prompts[name].nearest if files.count(result.files.get(name, "")) > 1 else None


def _how_to_gate(result: PromptBakeOff, command: str) -> str:
    n = number_to_write(result)
    if n is None or result.best is None:
        return f"to gate the model with it on other cases: {command}"
    file = result.files[result.best.entry.model]
    return f"to gate the model with it on other cases, write `n: {n}` into {file}, then: {command}"


def notes(result: PromptBakeOff) -> Sequence[str]:
    """The lines below the table: faults, corrections, the conclusion, and the command that goes on from it."""
    invalid = [one.entry for one in result.choice.ranked if one.standing == "INVALID"]
    command = gate_command(result)
    return [
        *(f"INVALID: {entry.model}: {entry.reason}" for entry in invalid),
        *([corrected_words(result.choice.pairs, "prompt")] if result.choice.pairs > 1 else []),
        *([chosen] if (chosen := chosen_words(result)) else []),
        conclusion(result),
        *([f"record of the fresh cases: {result.confirmed.folder}"] if result.confirmed else []),
        *([_how_to_gate(result, command)] if command and result.confirmed else []),
    ]
