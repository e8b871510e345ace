"""Answers made elsewhere: rows of `{"id", "response"}`."""

from __future__ import annotations

from pathlib import Path

from tunegate.exceptions import ConfigError, nearest
from tunegate.finish_reasons import finish_reason_of
from tunegate.models import Fault, Response, StoredResponses
from tunegate.rows import Row, read_rows
from tunegate.templates import as_text

KNOWN_FIELDS = ("id", "response", "finish_reason")


def load_responses(path: Path, known_ids: set[str]) -> tuple[StoredResponses, list[str]]:
    """Read a response file; returns the responses and notes on what looks odd but can be judged.

    A row without id or response, an id that stands twice, and a file of which no id is a case's are errors.
    """
    responses: dict[str, Response] = {}
    unknown: list[str] = []
    for number, row in read_rows(path):
        case_id, response = _response(row, f"{path}:{number}")
        if case_id in responses:
            raise ConfigError(f"{path}:{number}: a second response with id {case_id!r}; give one answer a case")
        if case_id not in known_ids:
            unknown.append(case_id)
        responses[case_id] = response
    if len(unknown) == len(responses):
        raise ConfigError(f"{path}: none of its ids is a case's{nearest(unknown[0], known_ids)}, first {unknown[0]!r}")
    notes: list[str] = []
    if unknown:
        notes.append(f"{path}: {len(unknown)} of {len(responses)} ids are no case's, first {unknown[0]!r}; not used")
    missing = len(known_ids - responses.keys())
    if missing:
        notes.append(
            f"{path}: {missing} of {len(known_ids)} prompts of the bank have no response; drawn, they are INVALID"
        )
    return StoredResponses(responses, name=str(path)), notes


def _response(row: Row, where: str) -> tuple[str, Response]:
    for field in ("id", "response"):
        if field not in row:
            raise ConfigError(f"{where}: the row has no field {field!r}{nearest(field, row)}")
    text, said = row["response"], row.get("finish_reason")
    if not isinstance(text, str):
        raise ConfigError(f"{where}: response: a text was expected, got {type(text).__name__}")
    try:
        return as_text(row["id"], "id"), _answer(text, said)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _answer(text: str, said: object) -> Response:
    """The answer, or why it is none: it was ended by a filter, an error or a tool call."""
    finish_reason = finish_reason_of(said)
    if finish_reason is not None:
        return Response(text, finish_reason)
    if not isinstance(said, str):
        raise ConfigError(f"finish_reason: a text was expected, got {type(said).__name__}")
    error = f"the stored answer ended with finish_reason {said[:80]!r}, so it is not the model's whole answer"
    return Response(text, error=error, fault=Fault.BAD_REPLY)
