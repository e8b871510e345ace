"""Reads the instance-level records of Every Eval Ever, schema 0.3: one line for each sample and metric."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunegate.cases.case import Prompt
from tunegate.elsewhere.node import Node, score_of
from tunegate.elsewhere.results import Imported, Picks, Results, no_answer, passes, pick
from tunegate.elsewhere.results_file import MAX_BYTES, ResultsFile, parsed
from tunegate.exceptions import ConfigError
from tunegate.models.model import ImportedScore, Response
from tunegate.reading.chats import without_answer
from tunegate.reading.files import read_text

TOOL = "Every Eval Ever"
CHOOSES = ("filter",)
SCORE = "score"
ENDING = "_samples"


def recognises(first: Mapping[str, Any]) -> bool:
    """Whether the first row is an instance-level record."""
    return {"schema_version", "evaluation_id", "sample_id", "interaction_type"} <= first.keys()


def read(file: ResultsFile, picks: Picks) -> Results:
    """The answers of one evaluation, which `--filter` chooses by its name or the id of its result."""
    rows = list(file.lines(TOOL))
    chosen = pick("filter", picks.filter, map(_evaluation, rows), file.path)
    kept = [row for row in rows if _evaluation(row) == chosen]
    answers = tuple(map(_answer, kept))
    told = {"evaluation": kept[0]["evaluation_id"].text, "model": kept[0]["model_id"].text, **_told(file.path)}
    return Results(TOOL, kept[0]["evaluation_name"].text, answers, told)


def _evaluation(row: Node) -> str:
    result = row.get("evaluation_result_id")
    return row["evaluation_name"].text if result is None else result.text


def _told(path: Path) -> dict[str, str]:
    """The tool that the aggregate record beside the file names."""
    beside = path.with_name(f"{path.stem.removesuffix(ENDING)}.json")
    if not path.stem.endswith(ENDING) or not beside.is_file():
        return {}
    try:
        library = Node(parsed(read_text(beside, MAX_BYTES), str(beside)), str(beside), TOOL)["eval_library"]
        return {"made by": f"{library['name'].text} {library['version'].text}"}
    except ConfigError:
        return {}


def _answer(row: Node) -> Imported:
    given = row["input"]
    listed = given.get("choices")
    choices = () if listed is None else listed.texts
    references = tuple(_named(text, choices) for text in given["reference"].texts if text.strip())
    prompt, response = _said(row, tuple(_scores(row)))
    case_id = row["sample_id"].written
    return Imported(case_id, prompt, response, references, choices, (given["raw"].text,), row.place)


def _named(reference: str, choices: tuple[str, ...]) -> str:
    """The text of a reference. Converters from other tools may write the number of a choice (from 0) instead."""
    if reference in choices or not reference.isdecimal() or len(reference) > 5 or int(reference) >= len(choices):
        return reference
    return choices[int(reference)]


def _said(row: Node, scores: tuple[ImportedScore, ...]) -> tuple[Prompt, Response]:
    error, given = row.get("error"), row["input"]
    prompt: Prompt = (given.get("formatted") or given["raw"]).text
    if error is not None:
        return prompt, no_answer(error.text, scores)
    if row["interaction_type"].text != "single_turn":
        return _last(row, prompt, scores)
    output = row.get("output")
    texts: list[str] = [] if output is None else list(output["raw"].texts)
    if output is None or not texts:
        return prompt, no_answer("the record has no output", scores)
    if len(texts) > 1:
        raise output["raw"].error(f"one answer was expected, got {len(texts)}")
    return prompt, Response(texts[0], imported=scores)


def _last(row: Node, prompt: Prompt, scores: tuple[ImportedScore, ...]) -> tuple[Prompt, Response]:
    """The last answer of a conversation, and its prompt: all turns before it, or the first if tools were used."""
    turns = row["messages"]
    said = turns.items
    last = said[-1] if said else None
    if last is None or last["role"].text != "assistant" or last.get("content") is None:
        return prompt, no_answer("the conversation does not end with an answer", scores)
    with contextlib.suppress(ConfigError):
        prompt = without_answer(turns.chat)[0]
    return prompt, Response(last["content"].text, imported=scores)


def _scores(row: Node) -> list[ImportedScore]:
    judged = row["evaluation"]
    value, correct = score_of(judged["score"].value), judged.get("is_correct")
    if value is None:
        return []
    passed = correct.value if correct is not None and isinstance(correct.value, bool) else passes(value)
    return [ImportedScore(SCORE, value, passed)]
