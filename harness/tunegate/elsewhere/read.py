"""Recognises the tool that wrote a file, and reads its answers. Any other file is read as the user's own rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunegate.elsewhere import deepeval, every_eval_ever, inspect_log, lm_eval, nemo, openai_evals, promptfoo
from tunegate.elsewhere.results import Imported, Picks, Results
from tunegate.elsewhere.results_file import ResultsFile, opened
from tunegate.exceptions import ConfigError
from tunegate.models.model import as_messages


@dataclass(frozen=True, slots=True)
class Format:
    """How the files of a tool are recognised by their first JSON value, and read. `chooses`: the flags that apply."""

    tool: str
    chooses: tuple[str, ...]
    recognises: Callable[[Mapping[str, Any]], bool]
    read: Callable[[ResultsFile, Picks], Results]


FORMATS: Sequence[Format] = tuple(
    Format(one.TOOL, one.CHOOSES, one.recognises, one.read)
    for one in (lm_eval, inspect_log, promptfoo, deepeval, openai_evals, nemo, every_eval_ever)
)
INSPECT = next(one for one in FORMATS if one.tool == inspect_log.TOOL)

SUMMARIES: Mapping[frozenset[str], str] = {
    frozenset({"results", "configs", "n-shot"}): "the summary of lm-evaluation-harness; give the file samples_*.jsonl "
    "beside it (run with --log_samples)",
    frozenset({"schema_version", "evaluation_results", "model_info"}): "the aggregate record of Every Eval Ever; give "
    "the file *_samples.jsonl beside it",
    frozenset({"config_hash", "benchmark", "n_results"}): "the summary of NeMo Evaluator; give the file results.jsonl "
    "beside it",
}
"""The keys of files without answers, and what to give instead."""


def read_results(path: Path, picks: Picks) -> Results | None:
    """The answers in a file of a known tool; None for any other file.

    Raises ConfigError in one line with file, line and key for a damaged file of a known tool, for a choice that is
    missing or has no effect, and for a file of summaries.

    Example:
        >>> read_results(Path("answers.csv"), Picks()) is None
        True
    """
    file = opened(path)
    if file is None:
        return None
    found = INSPECT if file.zipped else next((one for one in FORMATS if one.recognises(file.first)), None)
    if found is None:
        _refuse_summary(file)
        return None
    if unused := [flag for flag in picks.given if flag not in found.chooses]:
        raise ConfigError(f"--{unused[0]}: has no effect on a file of {found.tool}; leave it out")
    results = found.read(file, picks)
    if not results.answers:
        raise ConfigError(f"{path}: this file of {found.tool} has no answers; was the evaluation run to its end?")
    return Results(
        results.tool, results.name, _each_once(results.answers), results.told, results.contains, results.notes
    )


def _refuse_summary(file: ResultsFile) -> None:
    for keys, words in SUMMARIES.items():
        if keys <= file.first.keys():
            raise ConfigError(f"{file.path}: this is {words}")


def _each_once(answers: Sequence[Imported]) -> tuple[Imported, ...]:
    """The answers, in their order; raises ConfigError for two answers to the same question with the same id."""
    seen: dict[tuple[object, ...], str] = {}
    for one in answers:
        asked = None if one.prompt is None else tuple(turn["content"] for turn in as_messages(one.prompt))
        key = (one.id, asked, one.choices)
        if key in seen:
            raise ConfigError(
                f"{one.place}: this is a second answer to {one.id!r}, first at {seen[key]}; write one answer per "
                "question"
            )
        seen[key] = one.place or one.id
    return tuple(answers)
