"""Reads the `results.jsonl` of NeMo Evaluator: one line for each problem and repeat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunegate.elsewhere.node import Node, score_of
from tunegate.elsewhere.results import Imported, Picks, Results, no_answer, number_of, passes, pick
from tunegate.elsewhere.results_file import MAX_BYTES, ResultsFile, parsed
from tunegate.exceptions import ConfigError
from tunegate.models.model import ImportedScore, Response
from tunegate.reading.files import read_text

TOOL = "NeMo Evaluator"
CHOOSES = ("epoch",)
REWARD = "reward"


def recognises(first: Mapping[str, Any]) -> bool:
    """Whether the first row is a result of NeMo Evaluator."""
    return {"problem_idx", "reward"} <= first.keys()


def read(file: ResultsFile, picks: Picks) -> Results:
    """The answers of one repeat, which `--epoch` chooses. A problem whose solver failed has no answer."""
    rows = list(file.lines(TOOL))
    chosen = pick("epoch", picks.epoch, sorted(map(_repeat, rows), key=number_of), file.path)
    answers = tuple(_answer(row) for row in rows if _repeat(row) == chosen)
    told = _told(file.path)
    return Results(TOOL, told.get("benchmark", file.path.stem), answers, {**told, "repeat": chosen or ""})


def _repeat(row: Node) -> str:
    return "0" if (found := row.get("repeat")) is None else found.written


def _told(path: Path) -> dict[str, str]:
    """What the summary `eval-*.json` says, if there is exactly one in the same folder."""
    beside = sorted(path.parent.glob("eval-*.json"))
    if len(beside) != 1:
        return {}
    try:
        node = Node(parsed(read_text(beside[0], MAX_BYTES), str(beside[0])), str(beside[0]), TOOL)
        config = node["config"]
        told = {"version": node["sdk_version"].text, "benchmark": node["benchmark"]["name"].text}
        return told | ({} if (model := config.get("model")) is None else {"model": model.text})
    except ConfigError:
        return {}


def _answer(row: Node) -> Imported:
    number = score_of(row["reward"].value)
    scores = {} if number is None else {REWARD: number}
    by_scorer = row.get("scorer_rewards")
    for name, one in ({} if by_scorer is None else by_scorer.pairs).items():
        if (value := score_of(one.value)) is not None:
            scores[name] = value
    imported = tuple(ImportedScore(name, value, passes(value)) for name, value in scores.items())
    expected, asked = row.get("expected_answer"), row.get("prompt")
    references = () if expected is None else tuple(text for text in expected.texts if text.strip())
    prompt = None if asked is None else asked.prompt
    return Imported(row["problem_idx"].written, prompt, _response(row, imported), references, place=row.place)


def _response(row: Node, scores: tuple[ImportedScore, ...]) -> Response:
    details = row.get("scoring_details")
    error = details.get("error") if details is not None and isinstance(details.value, dict) else None
    answer = row.get("model_response")
    if error is not None:
        return no_answer(error.written, scores)
    if answer is None:
        return no_answer("the line has no model_response", scores)
    return Response(answer.text, imported=scores)
