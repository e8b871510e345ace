"""Chats in every form that files hold them in: as prompts of cases, and as questions and answers of training rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tunegate.cases.case import Case
from tunegate.cases.cases_spec import CasesSpec
from tunegate.cases.from_rows import load_cases
from tunegate.data.methods import METHODS, ROW_METHODS
from tunegate.data.spec import DataSpec
from tunegate.data.training_data import Example, load_training_data
from tunegate.exceptions import ConfigError
from tunegate.reading.cells import Cell
from tunegate.reading.chats import Message, chat_of, is_chat, without_answer

USER = {"role": "user", "content": "Which gene?"}
RIGHT = {"role": "assistant", "content": "BLM"}
WRONG = {"role": "assistant", "content": "WRN"}
SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = (Message(role="user", content="Which gene?"),)


def one_case(folder: Path, row: dict[str, Any], **spec: Any) -> Case:
    write_jsonl(folder / "cases.jsonl", [{"id": 1, **row}])
    [case] = load_cases(CasesSpec(path="cases.jsonl", **spec), folder)
    return case


def one_example(folder: Path, method: str, row: dict[str, Any], **spec: Any) -> Example:
    path = write_jsonl(folder / "rows.jsonl", [row, {**row, "label": not row["label"]}] if "label" in row else [row])
    return load_training_data(DataSpec(path=str(path), **spec), method, folder).examples[0]


# --- one chat ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chat",
    [
        [USER],
        [{"role": "human", "content": "Which gene?"}],
        [{"from": "human", "value": "Which gene?"}],
        [{"role": "user", "content": [{"type": "text", "text": "Which gene?"}]}],
        [{"role": "user", "content": [{"type": "input_text", "text": "Which gene?", "image": None}]}],
        [{"role": "User", "text": "Which gene?"}],
        [{"role": "prompter", "content": "Which gene?"}],
        [{**USER, "name": None, "tool_calls": None, "function_call": {}}],
        Cell(json.dumps([USER])),
        Cell(str([USER])),
    ],
)
def test_one_question_in_every_form(chat: Any) -> None:
    assert is_chat(chat)
    assert chat_of(chat, "messages") == ASKED


def test_two_answers_at_the_end_are_refused_since_the_first_would_be_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cases\.jsonl:1: messages: the chat ends with two assistant turns"):
        one_case(tmp_path, {"messages": [USER, WRONG, RIGHT]})


def test_ultrafeedback_binarized_as_it_is_published(tmp_path: Path) -> None:
    """Its `messages` hold the chosen answer too, which is no part of what is asked."""
    row = {"prompt": "Which gene?", "messages": [USER, RIGHT], "chosen": [USER, RIGHT], "rejected": [USER, WRONG]}
    for method in ("dpo", "orpo", "reward"):
        example = one_example(tmp_path, method, {**row, "prompt_id": "1", "score_chosen": 8.0})
        assert (example.prompt, example.answers) == (ASKED, {"chosen": "BLM", "rejected": "WRN"})
    with pytest.raises(ConfigError, match="rejected: the turns before its answer differ from the prompt"):
        one_example(tmp_path, "dpo", {**row, "rejected": [{**USER, "content": "Other?"}, WRONG]})


def test_parts_and_developers() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}, "three"]
    chat = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
    assert chat_of(chat, "messages") == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one\ntwo\nthree"},
    )
    assert not any(map(is_chat, ("text", [], ["text"], [{"text": "x"}], None, {"role": "user"}, str([USER]))))


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
            "m: a message has a part of type 'im",
        ),
        ({"role": "tool", "content": "42"}, "m: a turn uses tools (tool), but models cannot be given tools yet; leave"),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "x"}]}, "m: a turn uses tools (tool_calls)"),
        ({"from": "observation", "value": "42"}, "m: a turn uses tools (observation)"),
        ({"role": "asistant", "content": "x"}, "got {'role': 'asistant', 'content': 'x'} (did you mean 'assistant'"),
        ({"role": "user", "content": None}, "m: a message {role: system|user|assistant, content: text} was expected"),
        ({"role": "user", "content": {"text": "x"}}, "the field 'm.content': a text was expected, got an object"),
        (
            {"role": "user", "content": [{"type": "text", "text": None}]},
            "the field 'm.content.text': a text was expected, got null",
        ),
        ("Which gene?", "m: a message {role:"),
    ],
)
def test_turns_that_are_not_text_are_refused(turn: object, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        chat_of([USER, turn], "m")
    assert message in str(raised.value)
    with pytest.raises(ConfigError, match="has only an answer"):
        without_answer(chat_of([RIGHT], "m"))


# --- cases ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "spec"),
    [
        ({"prompt": [USER]}, {}),
        ({"prompt": [USER]}, {"prompt": "{prompt}"}),
        ({"messages": [USER]}, {}),
        ({"conversations": [{"from": "human", "value": "Which gene?"}]}, {}),
        ({"conversations": [{"from": "human", "value": "Which gene?"}, {"from": "gpt", "value": "BLM"}]}, {}),
        ({"turns": [USER]}, {"messages": "turns"}),
        ({"in": {"turns": [USER]}}, {"messages": "in.turns"}),
        ({"in": {"turns": [USER]}}, {"prompt": "{in.turns}"}),
        ({"messages": None, "prompt": [USER]}, {}),
        ({"messages": json.dumps([USER])}, {}),
        ({"messages": [USER, RIGHT]}, {}),
        ({"prompt": [USER, RIGHT]}, {}),
        ({"messages": [USER, {"role": "assistant", "content": ""}]}, {}),
    ],
)
def test_a_chat_is_asked_as_a_chat_and_without_its_answer(
    tmp_path: Path, row: dict[str, Any], spec: dict[str, Any]
) -> None:
    case = one_case(tmp_path, {**row, "reference": "gold"}, **spec)
    assert (case.prompt, case.references) == (ASKED, ("gold",))
    case = one_case(tmp_path, row, **spec)
    assert case.prompt == ASKED
    shows_the_answer = "BLM" in str(row)
    assert case.references == (("BLM",) if shows_the_answer else ())


def test_a_chat_in_a_longer_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cases\.jsonl:1: the field 'prompt': a text was expected, got an object"):
        one_case(tmp_path, {"prompt": [USER]}, prompt="Q: {prompt}")
    with pytest.raises(ConfigError, match=r"cases\.jsonl:1: messages: the chat has only an answer"):
        one_case(tmp_path, {"messages": [RIGHT]})


# --- training rows -------------------------------------------------------------------------------------------------

PREFERENCES = [
    {"prompt": "Which gene?", "chosen": "BLM", "rejected": "WRN"},
    {"prompt": "Which gene?", "chosen": [USER, RIGHT], "rejected": [USER, WRONG]},
    {"prompt": " Which  gene?\n", "chosen": [USER, RIGHT], "rejected": [WRONG]},
    {"prompt": [USER], "chosen": [RIGHT], "rejected": [WRONG]},
    {"prompt": [USER], "chosen": [USER, RIGHT], "rejected": [USER, WRONG]},
    {"chosen": [USER, RIGHT], "rejected": [USER, WRONG]},
    {"messages": [USER], "chosen": "BLM", "rejected": "WRN"},
    {"conversations": [{"from": "human", "value": "Which gene?"}], "chosen": {"from": "gpt", "value": "BLM"}},
]


@pytest.mark.parametrize("row", PREFERENCES[:-1])
@pytest.mark.parametrize("method", ["dpo", "orpo", "reward"])
def test_preferences_in_every_form(tmp_path: Path, method: str, row: dict[str, Any]) -> None:
    example = one_example(tmp_path, method, row)
    asked = example.prompt if isinstance(example.prompt, tuple) else ({"role": "user", "content": example.prompt},)
    assert [(turn["role"], " ".join(turn["content"].split())) for turn in asked] == [("user", "Which gene?")]
    assert example.answers == {"chosen": "BLM", "rejected": "WRN"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"chosen": [USER, RIGHT], "rejected": [SYSTEM, WRONG]}, "rejected: the turns before its answer differ from"),
        ({"prompt": "Another?", "chosen": [USER, RIGHT], "rejected": [USER, WRONG]}, "chosen: the turns before its an"),
        (
            {"prompt": "Which gene?", "chosen": [RIGHT, USER], "rejected": "x"},
            "chosen: expected the chat to end with a turn of the assistant",
        ),
        ({"chosen": [RIGHT], "rejected": [WRONG]}, "the row has no field 'prompt'"),
        (PREFERENCES[-1], "chosen"),
        (
            {"prompt": "Q?", "chosen": ["BLM", "x"], "rejected": "WRN"},
            "the field 'chosen': a text was expected, got a list",
        ),
        ({"prompt": "Q?", "chosen": {"text": "BLM"}, "rejected": "WRN"}, "by its path: chosen.text"),
        ({"prompt": "Q?", "chosen": "BLM"}, "no field 'rejected'"),
    ],
)
def test_preferences_that_do_not_fit_are_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        one_example(tmp_path, "dpo", row)
    assert f"{tmp_path / 'rows.jsonl'}:1: " in str(raised.value)
    assert message in str(raised.value)


def test_a_system_message_before_the_answers_is_part_of_the_prompt(tmp_path: Path) -> None:
    row = {"prompt": "Which gene?", "chosen": [SYSTEM, USER, RIGHT], "rejected": [SYSTEM, USER, WRONG]}
    assert one_example(tmp_path, "dpo", row).prompt == (SYSTEM, USER)
    assert one_example(tmp_path, "dpo", {**row, "prompt": [USER]}).prompt == (SYSTEM, USER)
    assert one_example(tmp_path, "dpo", row, system="Mine.").prompt == (SYSTEM, USER)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER, RIGHT]},
        {"conversations": [{"from": "human", "value": "Which gene?"}, {"from": "gpt", "value": "BLM"}]},
        {"prompt": [USER], "completion": [RIGHT]},
        {"prompt": [USER], "completion": "BLM"},
        {"prompt": [USER, RIGHT]},
        {"completion": [USER, RIGHT]},
        {"messages": [USER, RIGHT], "completion": "BLM"},
    ],
)
def test_completions_in_every_form(tmp_path: Path, row: dict[str, Any]) -> None:
    for method in ("sft", "fewshot", "rlhf"):
        example = one_example(tmp_path, method, row)
        assert (example.prompt, example.answers) == ((USER,), {"completion": "BLM"})
    assert one_example(tmp_path, "kto", {**row, "label": True}).answers == {"completion": "BLM"}


def test_what_a_prompt_holds_never_reaches_a_trainer_as_python_prints_it(tmp_path: Path) -> None:
    texts = {"prompt": "Q?", "completion": "a", "chosen": "a", "rejected": "b", "text": "t", "explanation": "e"}
    for method in ROW_METHODS:
        kind = METHODS[method]
        fields = (*kind.answers, *(["prompt"] if kind.prompted else []))
        row: dict[str, Any] = {name: texts[name] for name in fields} | ({"label": True} if kind.labelled else {})
        one_example(tmp_path, method, row)
        for name in fields:
            for value in ({"a": "x"}, [["x"]], [{"a": "x"}], None):
                with pytest.raises(ConfigError, match=rf"rows\.jsonl:1: .*{name}"):
                    one_example(tmp_path, method, {**row, name: value})


@pytest.mark.parametrize(
    ("method", "spec", "message"),
    [
        (
            "sft",
            {"chosen": "{a}"},
            r"data\.chosen: method sft does not use it, dpo, orpo, reward do; leave it out",
        ),
        ("dpo", {"completion": "{a}"}, r"data\.completion: method dpo does not use it"),
        ("cpt", {"system": "Be brief."}, r"data\.system: method cpt does not use it"),
        ("sft", {"label": "a"}, r"data\.label: method sft does not use it, kto does"),
        ("dpo", {"text": "{a}"}, r"data\.text: method dpo does not use it, cpt does"),
    ],
)
def test_a_part_that_the_method_would_pass_over_is_refused(
    tmp_path: Path, method: str, spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        one_example(tmp_path, method, {"prompt": "Q?", "a": "x"}, **spec)
    with pytest.raises(ValueError, match="give `prompt` or `messages`, not both"):
        DataSpec(path="x", prompt="{a}", messages="b")


@pytest.mark.parametrize(("up", "down"), [("true", "FALSE"), ("1", "0"), ("Yes", "no")])
def test_thumbs_of_a_csv_file(tmp_path: Path, up: str, down: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"prompt,completion,label\nQ1?,A1,{up}\nQ2?,A2,{down}\n")
    data = load_training_data(DataSpec(path=str(path)), "kto", tmp_path)
    assert [example.label for example in data.examples] == [True, False]
    path.write_text("prompt,completion,label\nQ1?,A1,maybe\n")
    with pytest.raises(ConfigError, match="label: expected true for a good completion or false for a bad one, got 'm"):
        load_training_data(DataSpec(path=str(path)), "kto", tmp_path)


def test_thumbs_as_numbers(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "t.jsonl", [{"prompt": "Q?", "completion": "A", "label": n} for n in (1, 0, 1.0)])
    data = load_training_data(DataSpec(path=str(path)), "kto", tmp_path)
    assert [example.label for example in data.examples] == [True, False, True]
