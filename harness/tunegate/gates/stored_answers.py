"""Stored answers for a gate: from the file of another tool, or rows as the suite says how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tunegate.cases.case import Case
from tunegate.elsewhere.matched import match
from tunegate.elsewhere.read import read_results
from tunegate.elsewhere.results import Picks, Results
from tunegate.exceptions import ConfigError
from tunegate.gates.ask import asked_prompts, beside, repeats
from tunegate.hashes import sha256_of
from tunegate.models.model import Model, StoredResponses
from tunegate.models.responses import load_responses
from tunegate.models.responses_spec import ResponsesSpec
from tunegate.suites.suite import Suite

NOTHING_PICKED = Picks()


def results_for(path: Path, suite: Suite, picks: Picks = NOTHING_PICKED) -> Results | None:
    """The answers of another tool; None for rows that are read as the suite says, or as the user's own.

    Raises ConfigError for a choice without an effect.
    """
    own = suite.responses != ResponsesSpec()
    results = None if own else read_results(path, picks)
    if results is None and picks.given:
        why = "the suite's `responses` says how the rows are read" if own else f"{path} is not a file of another tool"
        raise ConfigError(f"--{picks.given[0]}: has no effect: {why}; leave it out")
    return results


def stored_answers(path: Path, suite: Suite, results: Results | None) -> tuple[StoredResponses, list[str]]:
    """The answers by case id, and notes; `results` are those of another tool, None for the user's own rows."""
    if results is None:
        stored, notes = load_responses(path, asked_prompts(suite), suite.responses, suite.settings.samples)
    else:
        matched = match(path, results, suite, asked_prompts(suite))
        stored, notes = matched.stored, list(matched.notes)
    return replace(stored, file={"path": str(path), "sha256": sha256_of(path)}), notes


def check_answered(model: Model | None, suite: Suite, cases: Sequence[Case]) -> None:
    """Raise ConfigError unless stored answers have a row for each of these cases: all from which a draw may choose.

    A gate asks this before it draws, so that a missing row uses up no case. It asks for all cases, not for the drawn
    ones: if a file could be refused for the draw alone, then whoever left out the rows that miss could try seeds, at no
    cost, until no such case is drawn; and the refusal would tell which cases come next. A row that says that the model
    gave no answer counts as a row: if drawn, its case is INVALID.
    """
    if not isinstance(model, StoredResponses):
        return
    lacking = [found for case in cases if (found := _without_rows(model, suite, case))]
    if lacking:
        missing = [name for found in lacking for name in found]
        first = ", ".join(missing[:3]) + (", …" if missing[3:] else "")
        fewer = "no answer" if suite.settings.samples == 1 else f"fewer than {suite.settings.samples} answers"
        raise ConfigError(
            f"{model.name}: {len(lacking)} of {len(cases)} cases that may be drawn from the suite {suite.name!r} have "
            f"{fewer}; add rows for {first}; nothing was drawn, so no case is used up"
        )


def _without_rows(model: StoredResponses, suite: Suite, case: Case) -> list[str]:
    """The ids of the prompts of a case that lack a row."""
    asked = (case, *beside(suite, case))
    return [one.id for one in asked if any(again.id not in model.responses for again in repeats(suite, one))]
