"""Reads promptfoo's results: `promptfoo eval -o results.json`, or `results.jsonl` with one result per line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tunegate.elsewhere.node import Node, score_of
from tunegate.elsewhere.results import Imported, Picks, Results, no_answer, passes, pick
from tunegate.elsewhere.results_file import ResultsFile
from tunegate.models.finish_reasons import finish_reason_of
from tunegate.models.model import ImportedScore, Response

TOOL = "promptfoo"
CHOOSES = ("prompt", "provider")
ERROR = 2
"""The `failureReason` of a result whose provider raised an error; 1 is a failed assertion, 0 is none."""
EQUAL, HELD = ("equals",), ("contains", "icontains")
"""The types of assertion whose value is an expected answer, and those whose value is looked for in the answer."""
PASS = "success"
"""The name of promptfoo's own verdict on a result, over all its assertions."""


def recognises(first: Mapping[str, Any]) -> bool:
    """Whether a document has promptfoo's results, or a line is one of them."""
    results = first.get("results")
    return (isinstance(results, dict) and "results" in results) or {"promptIdx", "testIdx", "provider"} <= first.keys()


def read(file: ResultsFile, picks: Picks) -> Results:
    """The answers of one provider to one prompt. A result with an error has no answer."""
    whole = file.document(TOOL)
    is_document = isinstance(file.first.get("results"), dict)
    rows = whole["results"]["results"].items if is_document else list(file.lines(TOOL))
    prompt = pick("prompt", picks.prompt, map(_prompt, rows), file.path)
    provider = pick("provider", picks.provider, map(_provider, rows), file.path)
    chosen = [row for row in rows if _prompt(row) == prompt and _provider(row) == provider]
    held = {one["type"].text for row in chosen for one in _asserts(row) if _is_expected(one)}
    told = {"prompt": prompt or "", "provider": provider or "", **(_told(whole) if is_document else {})}
    name = whole["config"].get("description") if is_document and whole.get("config") is not None else None
    answers = tuple(_answer(row) for row in chosen)
    title = file.path.stem if name is None or not name.is_text else name.text
    return Results(TOOL, title, answers, told, contains=bool(held) and held <= set(HELD))


def _told(whole: Node) -> dict[str, str]:
    metadata = whole.get("metadata")
    version = None if metadata is None else metadata.get("promptfooVersion")
    return {} if version is None else {"version": version.text}


def _prompt(row: Node) -> str:
    prompt = row["prompt"]
    label = prompt.get("label")
    return prompt["raw"].text if label is None else label.text


def _provider(row: Node) -> str:
    provider = row["provider"]
    if provider.is_text:
        return provider.text
    label = provider.get("label")
    return label.text if label is not None and label.text else provider["id"].text


def _answer(row: Node) -> Imported:
    test = row.get("testCase")
    described = None if test is None else test.get("description")
    case_id = (
        f"test {row['testIdx'].written}" if described is None else f"test {row['testIdx'].written}: {described.text}"
    )
    references = tuple(dict.fromkeys(text for one in _asserts(row) if _is_expected(one) for text in one["value"].texts))
    return Imported(case_id, row["prompt"]["raw"].prompt, _response(row), references, place=row.place)


def _asserts(row: Node) -> Sequence[Node]:
    test = row.get("testCase")
    found = None if test is None else test.get("assert")
    return [] if found is None else [one for one in found.items if one.get("type") is not None]


def _is_expected(assertion: Node) -> bool:
    value = assertion.get("value")
    return (
        assertion["type"].value in (*EQUAL, *HELD) and value is not None and isinstance(value.value, str | int | float)
    )


def _response(row: Node) -> Response:
    scores = tuple(_scores(row))
    reason, said = row.get("failureReason"), row.get("response")
    output = None if said is None else said.get("output")
    failed = row.get("error") if reason is not None and reason.value == ERROR else None
    if failed is None and said is not None:
        failed = said.get("error")
    if failed is not None or (reason is not None and reason.value == ERROR):
        why = (
            "promptfoo gives no cause"
            if failed is None
            else failed.text
            if failed.is_text
            else json.dumps(failed.value)
        )
        return no_answer(why, scores)
    if said is None or output is None:
        return no_answer("the result has no output", scores)
    ended = said.get("finishReason")
    finished = finish_reason_of(None if ended is None else ended.value)
    if finished is None:
        return no_answer(f"the answer ended with finishReason {said['finishReason'].value!r}", scores)
    text = output.text if output.is_text else json.dumps(output.value, ensure_ascii=False)
    return Response(text, finished, imported=scores)


def _scores(row: Node) -> list[ImportedScore]:
    """promptfoo's own verdict, and its named scores."""
    verdict = row.get("success")
    found = [] if verdict is None or not isinstance(verdict.value, bool) else [_said(PASS, verdict.value)]
    named = row.get("namedScores")
    values = {} if named is None else {name: score_of(one.value) for name, one in named.pairs.items()}
    return [*found, *(ImportedScore(name, one, passes(one)) for name, one in values.items() if one is not None)]


def _said(name: str, passed: bool) -> ImportedScore:
    return ImportedScore(name, float(passed), passed)
