"""Answers made elsewhere: which case each answers, what it says, and that it was given to the case's own prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tunegate.cases.case import Prompt
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.model import Response
from tunegate.models.responses import load_responses
from tunegate.models.responses_spec import ResponsesSpec
from tunegate.reading.chats import Message

CHAT = (Message(role="system", content="Be brief."), Message(role="user", content="Which organ?"))
ASKED: dict[str, Prompt] = {"1": "Which gene?", "2": CHAT}


def read(folder: Path, *rows: object, **spec: Any) -> dict[str, Response]:
    stored, _ = load_responses(write_jsonl(folder / "r.jsonl", rows), ASKED, ResponsesSpec(**spec))
    return dict(stored.responses)


@pytest.mark.parametrize(
    ("value", "text"),
    [("BLM", "BLM"), ("", ""), (42, "42"), (42.0, "42"), (True, "true"), ("cut \ud83d", "cut \ud83d")],
)
def test_an_answer_is_a_text_or_a_number(tmp_path: Path, value: object, text: str) -> None:
    assert read(tmp_path, {"id": 1, "response": value}) == {"1": Response(text)}


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("stop", "stop"), ("length", "length"), (None, "unknown"), ("", "unknown"), (" ", "unknown")],
)
def test_why_an_answer_ended(tmp_path: Path, reason: object, expected: str) -> None:
    assert read(tmp_path, {"id": "1", "response": "x", "finish_reason": reason})["1"].finish_reason == expected


def test_fields_of_any_name(tmp_path: Path) -> None:
    row = {"q": {"no": 1}, "out": [{"text": "BLM"}], "asked": "Which gene?", "prompt": "of no concern"}
    found = read(tmp_path, row, id="{q.no}", response="{out.text}!", prompt="{asked}")
    assert found == {"1": Response("BLM!")}
    with pytest.raises(ConfigError, match=r"r\.jsonl:1: the field 'out\.text': a text was expected, got a list"):
        read(tmp_path, row, id="{q.no}", response="{out.text}", prompt="{asked}")
    with pytest.raises(ConfigError, match=r"r\.jsonl:1: the row has no field 'answer'"):
        read(tmp_path, row, response="{answer}", id="{q.no}")


@pytest.mark.parametrize(
    "prompt",
    [
        {"prompt": " Which\ngene? "},
        {"prompt": [{"role": "user", "content": "Which gene?"}]},
        {"messages": [{"role": "system", "content": "Other."}, {"role": "user", "content": "Which gene?"}]},
        {"messages": [{"role": "user", "content": "Which gene?"}, {"role": "assistant", "content": "x"}]},
        {"prompt": "<|im_start|>user\nWhich gene?<|im_end|>\n<|im_start|>assistant\n"},
        {"prompt": None},
        {},
    ],
)
def test_an_answer_to_the_prompt_of_the_case(tmp_path: Path, prompt: dict[str, Any]) -> None:
    assert read(tmp_path, {"id": "1", "response": "x", **prompt}) == {"1": Response("x")}


@pytest.mark.parametrize(
    "prompt",
    [
        {"prompt": "Which organ?"},
        {"prompt": "Which gene? And which organ?"},
        {"prompt": ""},
        {"messages": [{"role": "user", "content": "Which organ?"}]},
        {"prompt": "<|im_start|>user\nWhich organ?<|im_end|>"},
    ],
)
def test_an_answer_to_another_prompt_is_refused(tmp_path: Path, prompt: dict[str, Any]) -> None:
    rows = [{"id": "2", "response": "x", "prompt": "Which organ?"}, {"id": "1", "response": "x", **prompt}]
    with pytest.raises(ConfigError, match=r"r\.jsonl:2: id '1': this answer belongs to another prompt"):
        read(tmp_path, *rows)


def test_a_recorded_prompt_may_begin_with_the_system_message_of_the_case(tmp_path: Path) -> None:
    for prompt in ("Which organ?", "Be brief. Which organ?"):
        assert read(tmp_path, {"id": "2", "response": "x", "prompt": prompt})
    with pytest.raises(ConfigError, match="belongs to another prompt"):
        read(tmp_path, {"id": "2", "response": "x", "prompt": "Be kind. Which organ?"})


def test_without_an_id_the_prompt_tells_the_case(tmp_path: Path) -> None:
    rows = [{"prompt": "Which organ?", "response": "liver"}, {"prompt": "Which gene? ", "response": "BLM"}]
    assert read(tmp_path, *rows) == {"2": Response("liver"), "1": Response("BLM")}
    with pytest.raises(ConfigError, match=r"r\.jsonl:1: the row has no field 'id', and its prompt belongs to no case"):
        read(tmp_path, {"prompt": "Who?", "response": "x"})
    with pytest.raises(ConfigError, match=r"r\.jsonl:1: the row has no field 'id' \(known: response\), and no prompt"):
        read(tmp_path, {"response": "x"})


def test_a_suite_says_how_its_responses_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_jsonl(tmp_path / "q.jsonl", [{"prompt": f"{n}?", "reference": f"r{n}"} for n in range(2)])
    text = "cases: q.jsonl\nchecks: [exact]\nplan: {draw: 2, accept: 2}\n"
    text += 'responses: {response: "{output}", prompt: "{input}"}\n'
    (tmp_path / "s.yaml").write_text(text)
    answers = write_jsonl(tmp_path / "r.jsonl", [{"input": f"{n}?", "output": f"r{n}"} for n in range(2)])
    arguments = ["gate", "--responses", str(answers), "--suite", str(tmp_path / "s.yaml"), "--json"]
    assert main([*arguments, "--run", str(tmp_path / "run")]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "PASS"
    (tmp_path / "s.yaml").write_text(text.replace("output", "outptu"))
    assert main([*arguments, "--run", str(tmp_path / "run2")]) == 2
    assert "r.jsonl:1: the row has no field 'outptu' (did you mean 'output'" in capsys.readouterr().err


# --- as other tools write them -------------------------------------------------------------------------------------


def test_a_batch_of_openai_is_read_by_paths_with_numbers(tmp_path: Path) -> None:
    body = {"choices": [{"message": {"role": "assistant", "content": "BLM"}, "finish_reason": "stop"}]}
    row = {"id": "batch_1", "custom_id": "1", "response": {"status_code": 200, "body": body}, "error": None}
    found = read(tmp_path, row, id="{custom_id}", response="{response.body.choices.0.message.content}")
    assert found == {"1": Response("BLM")}
    with pytest.raises(
        ConfigError, match=r"'response\.body\.choices' holds a list of 1 \(counted from 0\), so it has no item 1"
    ):
        read(tmp_path, row, id="{custom_id}", response="{response.body.choices.1.message.content}")


def test_a_chat_that_ends_with_the_answer_is_the_response(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "Which gene?"}, {"role": "assistant", "content": "BLM"}]
    assert read(tmp_path, {"id": "1", "messages": chat}) == {"1": Response("BLM")}
    assert read(tmp_path, {"messages": chat}) == {"1": Response("BLM")}
    with pytest.raises(ConfigError, match="has no field 'response'"):
        read(tmp_path, {"id": "1", "messages": chat[:1]})


def test_an_answer_may_be_a_message_or_a_chat(tmp_path: Path) -> None:
    message = {"role": "assistant", "content": [{"type": "text", "text": "BLM"}]}
    for answer in (message, [message], [{"role": "user", "content": "Which gene?"}, message]):
        assert read(tmp_path, {"id": "1", "response": answer}) == {"1": Response("BLM")}
    text = json.dumps([message])
    assert read(tmp_path, {"id": "1", "response": text}) == {"1": Response(text)}  # a text is judged as it is
    with pytest.raises(ConfigError, match="a text was expected, got a list"):
        read(tmp_path, {"id": "1", "response": [{"role": "user", "content": "BLM"}]})
    with pytest.raises(ConfigError, match="a turn uses tools"):
        read(tmp_path, {"id": "1", "response": {"role": "assistant", "content": "", "tool_calls": [{"id": 1}]}})


@pytest.mark.parametrize("field", ["finish_reason", "finishReason", "stop_reason"])
def test_why_an_answer_ended_is_read_under_any_of_its_names(tmp_path: Path, field: str) -> None:
    assert read(tmp_path, {"id": "1", "response": "x", field: "max_tokens"})["1"].finish_reason == "length"
    assert read(tmp_path, {"id": "1", "response": "x", field: "FinishReason.STOP"})["1"].finish_reason == "stop"
    assert read(tmp_path, {"id": "1", "response": "x", field: "refusal"})["1"].error


def test_a_blank_cell_is_no_recorded_prompt(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("id,prompt,response\n1,,BLM\n")
    stored, _ = load_responses(tmp_path / "r.csv", ASKED)
    assert dict(stored.responses) == {"1": Response("BLM")}


def test_a_rendered_prompt_must_be_the_cases_own(tmp_path: Path) -> None:
    def rendered(user: str) -> dict[str, str]:
        prompt = f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
        return {"id": "1", "prompt": prompt, "response": "x"}

    assert read(tmp_path, rendered("Which gene?"))
    assert read(tmp_path, {**rendered(""), "prompt": "[INST] Be brief.\n\nWhich gene? [/INST]"})
    with pytest.raises(ConfigError, match="belongs to another prompt"):
        read(tmp_path, rendered("Which gene? No, not that one: which organ?"))


def test_a_rendered_chat_of_several_turns_is_known(tmp_path: Path) -> None:
    chat = (
        Message(role="user", content="Which gene?"),
        Message(role="assistant", content="BLM."),
        Message(role="user", content="And its protein?"),
    )
    marks = "<|user|>\nWhich gene?</s>\n<|assistant|>\nBLM.</s>\n<|user|>\nAnd its protein?</s>\n<|assistant|>\n"
    write_jsonl(tmp_path / "r.jsonl", [{"id": "1", "prompt": marks, "response": "A helicase"}])
    assert load_responses(tmp_path / "r.jsonl", {"1": chat})[0].responses["1"].text == "A helicase"


def test_a_prompt_of_two_cases_tells_neither(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "r.jsonl", [{"prompt": "Which gene?", "response": "BLM"}])
    with pytest.raises(ConfigError, match=r"no field 'id', and its prompt belongs to several cases: .*; add the id"):
        load_responses(tmp_path / "r.jsonl", {"1": "Which gene?", "2": "Which gene?"})
