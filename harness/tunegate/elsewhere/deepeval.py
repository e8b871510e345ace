"""Reads a test run of DeepEval: the JSON in `DEEPEVAL_RESULTS_FOLDER`, or `.deepeval/.latest_run_full.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunegate.elsewhere.node import Node, score_of
from tunegate.elsewhere.results import Imported, Picks, Results, no_answer, passes
from tunegate.elsewhere.results_file import ResultsFile
from tunegate.models.model import ImportedScore, Response

TOOL = "DeepEval"
CHOOSES = ()


def recognises(first: Mapping[str, Any]) -> bool:
    """Whether a document is a test run of DeepEval, or the file of the latest run, which holds one."""
    return "testCases" in _run(first) and {"metricsScores", "testPassed"} & _run(first).keys() != set()


def _run(first: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = first.get("testRunData")
    return inner if isinstance(inner, dict) else first  # pyright: ignore[reportUnknownVariableType]


def read(file: ResultsFile, picks: Picks) -> Results:
    """The answers of the test cases with one turn; conversations are counted in a note."""
    whole = file.document(TOOL)
    run = whole["testRunData"] if whole.get("testRunData") is not None else whole
    talks = found.items if (found := run.get("conversationalTestCases")) is not None else []
    notes = (
        (f"{file.path}: {len(talks)} conversations are not read; only test cases with one turn are",) if talks else ()
    )
    settings = run.get("hyperparameters")
    told = {} if settings is None else {key: one.written for key, one in settings.pairs.items() if _is_said(one)}
    cases = run["testCases"].items
    return Results(TOOL, file.path.stem, tuple(map(_answer, cases)), told, notes=notes)


def _is_said(node: Node) -> bool:
    return isinstance(node.value, str | int | float) and not isinstance(node.value, bool)


def _answer(case: Node) -> Imported:
    expected, name, order = case.get("expectedOutput"), case.get("name"), case.get("order")
    case_id = (
        name.written
        if name is not None
        else f"case {len(case.keys) and case.keys[-1] if order is None else order.written}"
    )
    references = () if expected is None else expected.texts
    return Imported(case_id, case["input"].text, _response(case), references, place=case.place)


def _response(case: Node) -> Response:
    scores = tuple(_scores(case))
    answer = case.get("actualOutput")
    if answer is None:
        return no_answer("the test case has no actualOutput", scores)
    return Response(answer.text, imported=scores)


def _scores(case: Node) -> list[ImportedScore]:
    """The metrics by name, and whether they reach DeepEval's thresholds; a metric with an error has no score."""
    metrics = found.items if (found := case.get("metricsData")) is not None else []
    scores: list[ImportedScore] = []
    for one in metrics:
        score, verdict = one.get("score"), one.get("success")
        value = None if score is None or one.get("error") is not None else score_of(score.value)
        if value is not None:
            passed = verdict.value if verdict is not None and isinstance(verdict.value, bool) else passes(value)
            scores.append(ImportedScore(one["name"].text, value, passed))
    return scores
