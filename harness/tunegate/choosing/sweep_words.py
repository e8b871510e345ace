"""A sweep in words: the table, the verdict, and how to use the setting that was chosen."""

from __future__ import annotations

from collections.abc import Sequence

from tunegate.checks.outcome import Verdict
from tunegate.choosing.bake_off import Ranked
from tunegate.choosing.bake_off_words import corrected_words
from tunegate.choosing.prompts_words import counted, prompt_cells
from tunegate.choosing.sweep import Answers, Figure, SweepResult


def head(result: SweepResult) -> tuple[str, ...]:
    """The names of the columns; of several measures, the table has the one by which a setting is chosen."""
    measured = [*spread_head(result)[0]] if result.answers else []
    return ("", "setting", "passed", "95 %", "verdict", *measured, "words", "against the best")


def spread_head(result: SweepResult) -> list[tuple[str, ...]]:
    """For each measure the names of its columns: that of different prompts, and with several answers that of one."""
    spreads = next(iter(result.answers.values())).spreads if result.answers else ()
    return [(one.measure, *([f"{one.measure} of a prompt"] if one.within else [])) for one in spreads]


def spread_cells(answers: Answers) -> list[tuple[str, ...]]:
    """For each measure its figures in words; `spread_head` names them."""
    return [(in_words(one.across), *([in_words(one.within)] if one.within else [])) for one in answers.spreads]


def sweep_cells(result: SweepResult, one: Ranked) -> tuple[str, ...]:
    """A row of the table for people, without its place; `head` names the columns."""
    name, passed, interval, standing, _ = prompt_cells(one)
    answers = result.answers.get(name)
    if answers is None:
        return (name, passed, interval, *[""] * (len(head(result)) - 5), standing)
    measured = spread_cells(answers)[0]
    return (name, passed, interval, one.entry.verdict, *measured, f"{answers.words:.1f}", standing)


def in_words(figure: Figure) -> str:
    """`0.71 (0.66 to 0.76)`"""
    low, high = figure.interval
    return f"{figure.value:.2f} ({low:.2f} to {high:.2f})"


def conclusion(result: SweepResult) -> str:
    """Whether the chosen setting passes the gate, by the fresh cases.

    `temperature 0.8 passes the gate: 93 of 100 fresh cases, 90 needed (95 % interval 86.1% to 97.1%)`
    """
    chosen, confirmed = result.chosen, result.confirmed
    if result.choice.verdict is not Verdict.PASS:
        return "not confirmed: a setting has no verdict, and it might be the best; the same command tries it again"
    if chosen is None:
        return "no setting passes on these cases, so none was asked fresh cases"
    name = chosen.entry.model
    gate = confirmed and confirmed.gate
    if confirmed is None or gate is None or confirmed.verdict not in (Verdict.PASS, Verdict.FAIL):
        why = (confirmed and confirmed.fault) or (gate.reason if gate else "it was asked no fresh cases")
        return f"{name} was chosen, but it is not confirmed: {why}"
    return f"{name} {'passes' if confirmed.verdict is Verdict.PASS else 'misses'} the gate: {counted(gate)}"


def chosen_words(result: SweepResult) -> str:
    """Why this setting was chosen; empty if none was."""
    chosen = result.chosen
    if chosen is None:
        return ""
    spread = result.answers[chosen.entry.model].spreads[0]
    return (
        f"of those that pass and are not shown worse than the best, {chosen.entry.model} has the most diverse answers: "
        f"{spread.measure} {in_words(spread.across)}"
    )


def use_words(result: SweepResult) -> str:
    """How to gate the model with the chosen setting; empty if none was chosen."""
    chosen = result.chosen
    if chosen is None or result.confirmed is None:
        return ""
    setting = result.settings[chosen.entry.model]
    if not setting.changes:
        return f"these are the settings that {result.suite} has already"
    return f"to use it, write these settings of sampling into {result.suite}: {setting.as_generate}"


def notes(result: SweepResult) -> Sequence[str]:
    """The lines below the table: faults, corrections, the choice, the conclusion, and how to go on from it."""
    choice, passing = result.choice, result.passing
    invalid = [one.entry for one in choice.ranked if one.standing == "INVALID"]
    return [
        *(f"INVALID: {entry.model}: {entry.reason}" for entry in invalid),
        *([corrected_words(choice.pairs, "setting")] if choice.pairs > 1 else []),
        *([f"pass on these cases: {'; '.join(one.entry.model for one in passing)}"] if passing else []),
        *([words] if (words := chosen_words(result)) else []),
        *(["the pass rates in the table are those of the choice, so the fresh cases alone count"] if passing else []),
        conclusion(result),
        *([f"record of the fresh cases: {result.confirmed.folder}"] if result.confirmed else []),
        *([words] if (words := use_words(result)) else []),
    ]
