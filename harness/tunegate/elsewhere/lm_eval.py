"""Reads the `samples_*.jsonl` of lm-evaluation-harness (`--log_samples`): one line for each document and filter."""

from __future__ import annotations

import ast
import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunegate.cases.case import Prompt
from tunegate.elsewhere.node import Node, score_of
from tunegate.elsewhere.results import Imported, Picks, Results, no_answer, passes, pick
from tunegate.elsewhere.results_file import MAX_BYTES, ResultsFile, parsed
from tunegate.exceptions import ConfigError
from tunegate.models.model import ChoiceScore, ImportedScore, Response
from tunegate.reading.files import read_text

TOOL = "lm-evaluation-harness"
CHOOSES = ("filter",)
FIELDS = (
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash"),
)
"""The fields that are not scores. Without the field `metrics` (older versions), all other fields are scores."""
NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT[\d.:-]+)")
ID_DIGITS = 12
"""How many digits of `doc_hash` are in the id of a case."""


def recognises(first: Mapping[str, Any]) -> bool:
    """Whether the first row of a file is a sample of lm-evaluation-harness."""
    return {"doc_hash", "filtered_resps"} <= first.keys() or {"doc_id", "resps", "doc"} <= first.keys()


def read(file: ResultsFile, picks: Picks) -> Results:
    """The answers after the chosen filter; in a multiple-choice task, the log-likelihoods of the choices."""
    rows = list(file.lines(TOOL))
    chosen = pick("filter", picks.filter, (_filter(row) for row in rows), file.path)
    ours = [row for row in rows if _filter(row) == chosen]
    _check_one_answer_each(ours)
    answers = _numbered(map(_answer, ours))
    named = NAME.match(file.path.stem)
    task = named["task"] if named else file.path.stem
    told = {"task": task, "filter": chosen or "", **(_told(file.path, named["date"]) if named else {})}
    return Results(TOOL, task, answers, told)


def _check_one_answer_each(rows: Iterable[Node]) -> None:
    """Equal documents have numbers of their own; a number twice is a second answer to one document."""
    places: dict[str, str] = {}
    for row in rows:
        number = found.written if (found := row.get("doc_id")) is not None else ""
        if number in places:
            raise row.error(
                f"this is a second answer to document {number}, first at {places[number]}; write one of them"
            )
        if number:
            places[number] = row.place


def _numbered(answers: Iterable[Imported]) -> tuple[Imported, ...]:
    """The answers. Equal documents have the same hash, so a number is added to their ids."""
    seen = Counter[str]()
    numbered: list[Imported] = []
    for one in answers:
        seen[one.id] += 1
        numbered.append(one if seen[one.id] == 1 else replace(one, id=f"{one.id}-{seen[one.id]}"))
    return tuple(numbered)


def _filter(row: Node) -> str:
    """The filter of a line; the oldest versions do not write one."""
    return found.text if (found := row.get("filter")) is not None else "none"


def _told(path: Path, date: str) -> dict[str, str]:
    """What the `results_*.json` of the same run says, if it is in the same folder."""
    beside = path.with_name(f"results_{date}.json")
    if not beside.is_file():
        return {}
    try:
        node = Node(parsed(read_text(beside, MAX_BYTES), str(beside)), str(beside), TOOL)
    except ConfigError:
        return {}
    if not isinstance(node.value, dict):
        return {}
    keys = {"version": "lm_eval_version", "model": "model_name", "transformers": "transformers_version"}
    return {name: found.text for name, key in keys.items() if (found := node.get(key)) is not None and found.is_text}


def _answer(row: Node) -> Imported:
    scores = _scores(row)
    asked = _requests(row["arguments"])
    case_id = row["doc_hash"].text[:ID_DIGITS] if row.get("doc_hash") else row["doc_id"].written
    if asked and asked[0][1].is_text:
        return _scored(row, case_id, asked, scores)
    if not asked or any(prompt != asked[0][0] for prompt, _ in asked):
        raise row["arguments"].error(f"one prompt was expected, got {len(asked)} requests with several")
    held = row["filtered_resps"].items
    if not held or held[0].value is None:
        response = no_answer("nothing was left after the filter", scores)
    elif held[0].is_list:
        raise held[0].error(
            f"one answer was expected, got a list of {len(held[0].items)}: this filter keeps several answers, so "
            "choose a filter that keeps only one, such as `take_first`"
        )
    else:
        response = Response(held[0].written, imported=scores)
    targets = tuple(text for text in _targets(row["target"]) if text.strip())
    return Imported(case_id, asked[0][0], response, targets, place=row.place)


def _targets(target: Node) -> Sequence[str]:
    """The expected answers. The tool writes a list of several as Python prints it: `['Paris', 'paris']`."""
    text = target.written if not target.is_list else ""
    if text.startswith("[") and text.endswith("]"):
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            listed: Any = ast.literal_eval(text)
            if listed and all(isinstance(one, str) for one in listed):
                return listed
    return target.texts


def _requests(arguments: Node) -> list[tuple[Prompt, Node]]:
    """The requests of a document: the prompt, and the continuation or the settings; in lists before version 0.4.4."""
    found = arguments.items if arguments.is_list else list(arguments.pairs.values())
    keys: tuple[int | str, int | str] = (0, 1) if found and found[0].is_list else ("arg_0", "arg_1")
    return [(one[keys[0]].prompt, one[keys[1]]) for one in found]


def _scores(row: Node) -> tuple[ImportedScore, ...]:
    named = row.get("metrics")
    names = list(named.texts) if named is not None else [name for name in row.pairs if name not in FIELDS]
    values = {name: score_of(found.value) for name in names if (found := row.get(name)) is not None}
    return tuple(ImportedScore(name, value, passes(value)) for name, value in values.items() if value is not None)


# --- multiple choice ------------------------------------------------------------------------------------------------


def _scored(
    row: Node, case_id: str, asked: Sequence[tuple[Prompt, Node]], scores: tuple[ImportedScore, ...]
) -> Imported:
    """A row with a log-likelihood for each choice; additional requests without a prompt are left out.

    The metric `acc_mutual_info` makes such requests, to compare with the likelihood of a choice without its question.
    """
    held = row["filtered_resps"].items
    if len(held) != len(asked):
        raise row["filtered_resps"].error(
            f"a log-likelihood for each of {len(asked)} requests was expected, got {len(held)}"
        )
    has_prompt = any(prompt for prompt, _ in asked)
    pairs = [(one, of) for one, of in zip(asked, held, strict=True) if one[0] or not has_prompt]
    if any(prompt != pairs[0][0][0] for (prompt, _), _ in pairs):
        raise row["arguments"].error("one prompt for all choices was expected, got several")
    if len(pairs) < 2:
        raise row["arguments"].error("at least two choices were expected, got the log-likelihood of one text")
    choices = tuple(said.text.removeprefix(" ") for (_, said), _ in pairs)
    likelihoods = [(of[0] if of.is_list else of).number for _, of in pairs]
    by_choice = tuple(
        ChoiceScore(value, len(choice.encode(errors="surrogatepass")))
        for value, choice in zip(likelihoods, choices, strict=True)
    )
    best = choices[likelihoods.index(max(likelihoods))]
    response = Response(best, choice_scores=by_choice, imported=scores)
    return Imported(case_id, pairs[0][0][0], response, _gold(row["target"], choices), choices, place=row.place)


def _gold(target: Node, choices: Sequence[str]) -> tuple[str, ...]:
    """The right choices. The tool writes the number of a choice (from 0) or its text, both as text."""
    texts = tuple(choice.strip() for choice in choices)
    golds = _listed(target)
    found: list[str] = []
    for gold in golds:
        number = int(gold) if gold.isdecimal() and len(gold) < 6 and int(gold) < len(choices) else None
        if number is not None and gold in texts and texts[number] != gold:
            raise target.error(
                f"{gold!r} may be the number of a choice or its text, which are different choices; give a suite with "
                "the right answers (--suite)"
            )
        if number is None and gold not in texts:
            raise target.error(
                f"the number of one of {len(choices)} choices, or its text, was expected, got {gold[:40]!r}"
            )
        found.append(choices[texts.index(gold) if number is None else number])
    return tuple(found)


def _listed(target: Node) -> list[str]:
    """The target, or the targets in a text such as `[0, 2]`."""
    text = target.written.strip()
    numbers = re.fullmatch(r"\[\s*(\d+(?:\s*,\s*\d+)*)\s*\]", text)
    return [one.strip() for one in numbers[1].split(",")] if numbers else [text]
