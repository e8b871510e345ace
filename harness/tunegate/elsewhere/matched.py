"""Matches the answers in another tool's file to the cases of a suite: by the question, or by the id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tunegate.cases.case import Case, Prompt
from tunegate.checks.check import is_imported
from tunegate.elsewhere.results import Imported, Results
from tunegate.exceptions import ConfigError, nearest
from tunegate.models.model import ChoiceScore, Response, StoredResponses
from tunegate.models.responses import ids_by_question, is_rendered, plain_text, question_text
from tunegate.record.imported_words import TOLD, told_in_words
from tunegate.suites.suite import Suite


@dataclass(frozen=True, slots=True)
class Matched:
    """The answers by case id, for a gate, and notes for people."""

    stored: StoredResponses
    notes: tuple[str, ...]


def match(path: Path, results: Results, suite: Suite, asked: Mapping[str, Prompt]) -> Matched:
    """The answers of a file for the prompts of a suite; `asked` has these prompts by the ids that a gate uses.

    An answer matches the case with the same question (whatever the system message). It also matches the case with the
    same id, if the prompt that the model saw contains the case's question. Answers that match no case are counted in a
    note. Raises ConfigError if no answer matches a case, and for two answers to one case.
    """
    by_id, by_question = {case.id: case for case in suite.cases}, ids_by_question(asked)
    responses: dict[str, Response] = {}
    places: dict[str, str] = {}
    unknown: list[Imported] = []
    inside = 0
    for one in results.answers:
        case_id = _by_question(one, by_question)
        if case_id is None and one.id in asked and _is_inside(one, asked[one.id]):
            case_id, inside = one.id, inside + 1
        if case_id is None:
            unknown.append(one)
            continue
        case = by_id.get(case_id.partition(" [variant ")[0])
        response = one.response if case is None else _in_order(one, case)
        if responses.setdefault(case_id, response) != response:
            raise ConfigError(f"{one.place}: this is a second answer to case {case_id!r}, first at {places[case_id]}")
        places[case_id] = one.place
    if not responses:
        raise _none(path, results, asked)
    told = facts_of(path, results)
    again = "" if any(map(is_imported, suite.check_names)) else "; judged again by the suite's checks"
    notes = [f"{len(results.answers)} answers of {told_in_words(told)}{again}", *_errors(results.answers)]
    notes += _unmatched(len(results.answers), unknown, inside)
    if missing := [one for one in asked if one not in responses]:
        none = f"{len(missing)} of {len(asked)} prompts of the bank have no response"
        notes.append(f"{none}; a gate that may draw these refuses")
    stored = StoredResponses(responses, name=f"{path} ({results.tool})", imported=told)
    return Matched(stored, (*results.notes, *(f"{path}: {note}" for note in notes)))


def facts_of(path: Path, results: Results) -> dict[str, str]:
    """What the record keeps of the file: its path, its tool, and what it says."""
    return {"file": str(path), "tool": results.tool, **{f"{TOLD}{name}": text for name, text in results.told.items()}}


def _by_question(one: Imported, ids: Mapping[str, str]) -> str | None:
    forms = [question_text(prompt) for prompt in (one.prompt, *one.questions) if prompt is not None]
    return next((ids[form] for form in forms if form in ids), None)


def _is_inside(one: Imported, prompt: Prompt) -> bool:
    """Whether the prompt that the model saw contains the question; also true if the file has no prompt."""
    if one.prompt is None:
        return True
    seen, wanted = question_text(one.prompt), question_text(prompt)
    return is_rendered(seen, prompt) or f" {wanted} " in f" {seen} "


def _in_order(one: Imported, case: Case) -> Response:
    """The response with its log-likelihoods in the order of the case's choices."""
    response = one.response
    if not response.choice_scores or not case.choices:
        return response
    theirs, ours = [plain_text(text) for text in one.choices], [plain_text(text) for text in case.choices]
    if sorted(theirs) != sorted(ours):
        raise ConfigError(
            f"{one.place}: the choices of {one.id!r} are not those of case {case.id!r}: expected {ours}, got {theirs}"
        )
    scores = dict(zip(theirs, response.choice_scores, strict=True)) if theirs != ours else {}
    ordered = [scores.get(text, of) for text, of in zip(ours, response.choice_scores, strict=True)]
    sized = [
        ChoiceScore(of.log_likelihood, len(text.encode(errors="surrogatepass")))
        for text, of in zip(case.choices, ordered, strict=True)
    ]
    return replace(response, choice_scores=tuple(sized))


def _none(path: Path, results: Results, asked: Mapping[str, Prompt]) -> ConfigError:
    first = results.answers[0]
    shown = "" if first.prompt is None else f", asked {question_text(first.prompt)[:80]!r}"
    return ConfigError(
        f"{path}: no answer in this file of {results.tool} belongs to a case of the suite: first {first.id!r}{shown}"
        f"{nearest(first.id, asked)}; leave out --suite to make a suite of the file's own questions"
    )


def _errors(answers: Sequence[Imported]) -> list[str]:
    errors = [one for one in answers if one.response.error is not None]
    if not errors:
        return []
    cause = (errors[0].response.error or "")[:160]
    count = f"{len(errors)} of {len(answers)}"
    return [f"{count} have no answer; if drawn, these are INVALID; first {errors[0].id!r}: {cause}"]


def _unmatched(count: int, unknown: Sequence[Imported], inside: int) -> list[str]:
    notes: list[str] = []
    if inside:
        notes.append(f"{inside} prompts have more text around the case's question, and were matched by their ids")
    if unknown:
        first = f"first {unknown[0].id!r} at {unknown[0].place}"
        notes.append(f"{len(unknown)} of {count} answers belong to no case and are not used, {first}")
    return notes
