"""Which words for the end of an answer are an answer's, and which leave the case INVALID."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunegate.exceptions import ConfigError
from tunegate.models.completions import read_completion
from tunegate.models.finish_reasons import finish_reason_of
from tunegate.models.model import Fault, Response
from tunegate.models.responses import load_responses


@pytest.mark.parametrize(
    ("said", "means"),
    [
        *((word, "stop") for word in ("stop", "STOP", "eos", "eos_token", "end_turn", "stop_sequence", "COMPLETE")),
        *((word, "length") for word in ("length", "max_tokens", "MAX_TOKENS", "model_length")),
        *((word, "unknown") for word in (None, "", " ", "unknown", float("nan"))),
        *((word, None) for word in ("content_filter", "tool_calls", "function_call", "error", "refusal", "abort")),
        *((word, None) for word in ("lenght", "load", {"a": 1}, ["stop"], 1, True)),
    ],
)
def test_a_word_for_the_end_of_an_answer(said: object, means: str | None) -> None:
    assert finish_reason_of(said) == means


def stored(tmp_path: Path, *rows: dict[str, Any]) -> dict[str, Response]:
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps({"id": str(number), **row}) + "\n" for number, row in enumerate(rows)))
    responses, _ = load_responses(file, {str(number): "?" for number in range(len(rows))})
    return dict(responses.responses)


def test_a_stored_answer_that_a_filter_ended_is_invalid_with_the_reason(tmp_path: Path) -> None:
    reasons = ("content_filter", "tool_calls", "error", "refusal", "lenght")
    found = stored(tmp_path, *({"response": "BLM", "finish_reason": reason} for reason in reasons))
    for number, reason in enumerate(reasons):
        assert found[str(number)].fault is Fault.BAD_REPLY
        assert f"finish_reason {reason!r}" in str(found[str(number)].error)


def test_other_spellings_and_empty_cells_are_answers(tmp_path: Path) -> None:
    rows = [{"response": "BLM", "finish_reason": reason} for reason in ("eos_token", "max_tokens", None, "")]
    found = stored(tmp_path, *rows, {"response": "BLM"})
    assert [found[str(number)].finish_reason for number in range(5)] == [
        "stop",
        "length",
        *["unknown"] * 3,
    ]
    assert all(response.error is None for response in found.values())


def test_an_empty_cell_of_a_csv_file_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "answers.csv"
    file.write_text("id,response,finish_reason\na,BLM,\nb,BLM,content_filter\n")
    responses, _ = load_responses(file, {"a": "?", "b": "?"})
    assert responses.responses["a"] == Response("BLM", "unknown")
    assert responses.responses["b"].fault is Fault.BAD_REPLY


def test_a_finish_reason_that_is_no_text_is_a_fault_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"answers\.jsonl:1: finish_reason: a text was expected, got dict"):
        stored(tmp_path, {"response": "BLM", "finish_reason": {"a": 1}})


WHOLE: dict[str, Any] = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}
MESSAGE: dict[str, Any] = WHOLE["choices"][0]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({**WHOLE, "error": {"message": "upstream died"}}, "is an error"),
        ({"choices": [{**MESSAGE, "error": {"code": 502}}]}, "is an error"),
        ({"choices": [{**MESSAGE, "message": {"content": "yes", "refusal": "I will not"}}]}, "is a refusal"),
        ({"choices": [{**MESSAGE, "message": {"content": "yes", "tool_calls": [{"id": "1"}]}}]}, "is a tool call"),
        ({"choices": [{**MESSAGE, "message": {"content": "yes", "function_call": {"name": "f"}}}]}, "is a tool call"),
    ],
)
def test_an_answer_beside_an_error_a_refusal_or_a_tool_call_is_no_answer(body: dict[str, Any], fault: str) -> None:
    assert fault in (read_completion(json.dumps(body)).fault or "")


def test_which_of_two_answers_of_one_name_is_meant_nobody_can_say() -> None:
    twice = json.dumps(WHOLE)[:-1] + ", " + json.dumps(WHOLE)[1:]
    assert "is not a chat completion" in (read_completion(twice).fault or "")


@pytest.mark.parametrize("extra", [{"error": None}, {"usage": None}])
def test_empty_fields_take_nothing_away(extra: dict[str, Any]) -> None:
    message = {"content": "yes", "refusal": None, "tool_calls": [], "function_call": None}
    body = {"choices": [{"message": message, "finish_reason": "stop", "error": None}], **extra}
    assert read_completion("\ufeff" + json.dumps(body)).text == "yes"
