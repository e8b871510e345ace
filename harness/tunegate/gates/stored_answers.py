"""Stored answers for a gate: from the file of another tool, or rows as the suite says how they are read."""

from __future__ import annotations

from pathlib import Path

from tunegate.elsewhere.matched import match
from tunegate.elsewhere.read import read_results
from tunegate.elsewhere.results import Picks, Results
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.gates.ask import asked_prompts
from tunegate.models.model import StoredResponses
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


def stored_answers(
    path: Path, suite: Suite, results: Results | None, draw: int | None = None
) -> tuple[StoredResponses, list[str]]:
    """The answers by case id, and notes; `results` are those of another tool, None for the user's own rows.

    Raises CannotJudge if a file of another tool has answers to fewer cases than are drawn: `draw`, or the plan's draw.
    """
    if results is None:
        return load_responses(path, asked_prompts(suite), suite.responses, suite.settings.samples)
    matched = match(path, results, suite, asked_prompts(suite))
    size = suite.plan.draw if draw is None else draw
    if matched.answered < size:
        raise CannotJudge(
            f"INVALID: {path} holds answers to {matched.answered} cases of the suite, and the plan draws {size}: "
            f"{size - matched.answered} rows are missing; ask the model the other cases too"
        )
    return matched.stored, list(matched.notes)
