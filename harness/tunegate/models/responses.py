"""Stored answers: rows of `{"id", "response"}`, or of the fields that the suite's `responses` names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tunegate.cases.case import Prompt, sample_id
from tunegate.exceptions import ConfigError, nearest
from tunegate.models.finish_reasons import finish_reason_of
from tunegate.models.model import Fault, Response, StoredResponses, as_messages
from tunegate.models.responses_spec import ResponsesSpec
from tunegate.reading.cells import Cell
from tunegate.reading.chats import chat_of, is_chat, without_answer
from tunegate.reading.rows import Row, read_rows
from tunegate.reading.templates import as_text, fill, is_missing, lone_field, look_up

RENDERED = ("<|", "[INST]", "<start_of_turn>", "<s>")
"""A recorded prompt that contains one of these was rendered by a chat template."""


def load_responses(
    path: Path, asked: Mapping[str, Prompt], spec: ResponsesSpec | None = None, samples: int = 1
) -> tuple[StoredResponses, list[str]]:
    """Read a response file; returns the responses, and notes on oddities that do not prevent a verdict.

    `asked` are the prompts by the ids under which a gate asks them, each `samples` times: up to that number of rows
    share an id, in the order of the answers. A row without an id is the answer to the prompt that it contains. Errors
    are a row without a response or an id, more rows with one id than samples, a prompt that differs from the case's,
    and a file in which no id belongs to a case.
    """
    spec = spec or ResponsesSpec()
    ids = cache(lambda: ids_by_question(asked))
    responses: dict[str, Response] = {}
    given = Counter[str]()
    unknown: list[str] = []
    for number, row in read_rows(path):
        try:
            case_id, response = _case_id(row, spec, asked, ids), _response(row, spec)
            if case_id in asked:
                _check_prompt(row, spec, case_id, asked[case_id])
        except ConfigError as error:
            raise ConfigError(f"{path}:{number}: {error}") from error
        given[case_id] += 1
        if given[case_id] > samples:
            raise ConfigError(f"{path}:{number}: {_too_many(case_id, samples)}")
        if case_id not in asked:
            unknown.append(case_id)
        responses[sample_id(case_id, given[case_id])] = response
    if len(unknown) == len(responses):
        raise ConfigError(
            f"{path}: no id in this file belongs to a case{nearest(unknown[0], asked)}, first {unknown[0]!r}"
        )
    notes: list[str] = []
    if unknown:
        notes.append(
            f"{path}: {len(unknown)} of {len(responses)} ids belong to no case and are not used, first {unknown[0]!r}"
        )
    short = [case_id for case_id in asked if given[case_id] < samples]
    if short:
        have = f"fewer than {samples} responses" if samples > 1 else "no response"
        notes.append(
            f"{path}: {len(short)} of {len(asked)} prompts of the bank have {have}; a gate that may draw these refuses"
        )
    return StoredResponses(responses, name=str(path)), notes


def _too_many(case_id: str, samples: int) -> str:
    if samples == 1:
        return (
            f"this is a second response with id {case_id!r}; give one answer per case, or set their number in the "
            "suite: "
            "`generate: {samples: 2, temperature: 0.7}`"
        )
    return f"this is response {samples + 1} with id {case_id!r}, but `generate.samples` is {samples}"


def _response(row: Row, spec: ResponsesSpec) -> Response:
    """The answer, or a response with an error if a filter, an error or a tool call ended it."""
    text, reason = (
        _answer(row, spec.response),
        next((row[name] for name in _ENDED if not is_missing(row.get(name))), None),
    )
    finish_reason = finish_reason_of(None if is_missing(reason) else reason)
    if finish_reason is not None:
        return Response(text, finish_reason)
    if not isinstance(reason, str):
        raise ConfigError(f"finish_reason: a text was expected, got {type(reason).__name__}")
    error = f"the stored answer ended with finish_reason {reason[:80]!r}, so it is not the model's whole answer"
    return Response(text, error=error, fault=Fault.BAD_REPLY)


_ENDED = ("finish_reason", "finishReason", "stop_reason")
"""The names of fields with the finish reason."""


def _answer(row: Row, template: str | None) -> str:
    """The text of an answer; a plain text is judged as it is, even with half characters."""
    if template is None and "response" not in row and (answer := _last_answer(row.get("messages"))) is not None:
        return answer
    template = template or "{response}"
    name = lone_field(template)
    value = None if name is None else look_up(name, row)
    if isinstance(value, str):
        return value
    answer = _last_answer(value)
    return fill(template, row) if answer is None else answer


def _last_answer(value: Any) -> str | None:
    """The assistant's last message in a chat or a single message; None for anything else."""
    if isinstance(value, Mapping):
        return _last_answer([value])
    if isinstance(value, str) or not is_chat(value):
        return None
    last = chat_of(value, "the answer")[-1]
    return last["content"] if last["role"] == "assistant" else None


# --- which case ----------------------------------------------------------------------------------------------------


def _case_id(row: Row, spec: ResponsesSpec, asked: Mapping[str, Prompt], ids: Callable[[], Mapping[str, str]]) -> str:
    if spec.id is not None or "id" in row:
        return fill(spec.id or "{id}", row)
    prompt = _recorded_prompt(row, spec)
    if prompt is None:
        raise ConfigError(f"the row has no field 'id'{nearest('id', row)}, and no prompt that identifies its case")
    if prompt not in ids():
        owners = "several cases" if prompt in map(question_text, asked.values()) else "no case"
        raise ConfigError(f"the row has no field 'id', and its prompt belongs to {owners}: {prompt[:80]!r}; add the id")
    return ids()[prompt]


def ids_by_question(asked: Mapping[str, Prompt]) -> dict[str, str]:
    """The ids of the prompts that have only one id."""
    texts = {case_id: question_text(prompt) for case_id, prompt in asked.items()}
    counts = Counter(texts.values())
    return {text: case_id for case_id, text in texts.items() if counts[text] == 1}


def _check_prompt(row: Row, spec: ResponsesSpec, case_id: str, prompt: Prompt) -> None:
    """Raise ConfigError for an answer to a prompt that differs from the case's, ignoring white space."""
    recorded = _recorded_prompt(row, spec)
    if recorded is None:
        return
    wanted = question_text(prompt)
    if recorded in (wanted, question_text(prompt, with_system=True)) or is_rendered(recorded, prompt):
        return
    raise ConfigError(
        f"id {case_id!r}: this answer belongs to another prompt: expected {wanted[:80]!r}, got {recorded[:80]!r}; were "
        "the ids of the suite changed? If the prompt is in another field, name it: `responses: {prompt: '{field}'}`"
    )


def is_rendered(recorded: str, prompt: Prompt) -> bool:
    """Whether a text is the prompt as a chat template writes it: each turn in order, followed by a mark or the end."""
    if not any(mark in recorded for mark in RENDERED):
        return False
    turns = [plain_text(turn["content"]) for turn in as_messages(prompt) if turn["role"] != "system"]
    return bool(re.search(".*".join(rf"(?<!\w){re.escape(turn)}\s*(?:$|[<\[])" for turn in turns), recorded))


def _recorded_prompt(row: Row, spec: ResponsesSpec) -> str | None:
    """The prompt recorded in a row; None if there is none."""
    name = lone_field(spec.prompt) if spec.prompt is not None else next((n for n in _PROMPTS if n in row), None)
    if name is None:
        return None if spec.prompt is None else plain_text(fill(spec.prompt, row))
    value = look_up(name, row)
    if spec.prompt is None and (is_missing(value) or (isinstance(value, Cell) and not value.strip())):
        return None
    if not is_chat(value):
        return plain_text(as_text(value, name))
    question, _ = without_answer(chat_of(value, name), name)
    return question_text(question)


_PROMPTS = ("prompt", "messages")


def question_text(prompt: Prompt, *, with_system: bool = False) -> str:
    """The question; system messages, which may be a setting of the suite, are left out unless requested."""
    turns = as_messages(prompt)
    return plain_text("\n".join(turn["content"] for turn in turns if with_system or turn["role"] != "system"))


def plain_text(text: str) -> str:
    return " ".join(text.split())
