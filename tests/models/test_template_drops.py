"""Chat templates that leave a message out: told before a gate asks, refused or INVALID, and what to do about them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.tiny_model import CHAT_TEMPLATE, make_tiny_model
from tunegate.cases.case import Case
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.chat_rendering import rendering
from tunegate.models.chat_template import (
    Dropped,
    check_nothing_dropped,
    lacks_generation_prompt,
    takes_system,
    template_in,
)
from tunegate.models.hf import HFModel
from tunegate.models.model import Fault, GenerationSettings, chat
from tunegate.models.prompting import answer_prompt
from tunegate.reading.chats import Message

DROPS_SYSTEM = """\
{% for m in messages %}{% if m['role']=='user' %}USER: {{ m['content'] }}
{% endif %}{% if m['role']=='assistant' %}ASSISTANT: {{ m['content'] }}
{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"""
NO_PROMPT = """\
{% for m in messages %}<|im_start|>{{ m['role'] }}
{{ m['content'] }}<|im_end|>
{% endfor %}"""
GEMMA = """\
{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}
{{ m['content'] | trim }}<end_of_turn>
{% endfor %}{% if add_generation_prompt %}<start_of_turn>model
{% endif %}"""
MISTRAL = """\
{{ bos_token }}{% for m in messages %}{% if m['role']=='user' %}[INST] {{ m['content'] }} [/INST]\
{% elif m['role']=='assistant' %}{{ m['content'] }}{{ eos_token }}{% else %}{{ m['content'] }}{% endif %}{% endfor %}"""
LAST_ONLY = "{{ messages[-1]['content'] }}"


def turns(*pairs: tuple[str, str]) -> tuple[Message, ...]:
    return tuple(Message(role=role, content=content) for role, content in pairs)  # type: ignore[typeddict-item]


SYSTEM, USER = ("system", "Be brief."), ("user", "Which gene?")


@pytest.mark.parametrize(
    ("template", "system", "prompt_lacks"),
    [
        (CHAT_TEMPLATE, True, False),
        (DROPS_SYSTEM, False, False),
        (NO_PROMPT, True, True),
        (GEMMA, False, False),
        (MISTRAL, True, False),  # nothing stands between a question and its answer: nothing is missing
        ("{{ 1 / 0 }}", True, False),  # each case tells that it cannot be rendered
    ],
)
def test_what_a_template_leaves_out(template: str, system: bool, prompt_lacks: bool) -> None:
    render = rendering(template)
    assert takes_system(render) is system
    assert lacks_generation_prompt(render) is prompt_lacks


@pytest.mark.parametrize(
    ("template", "messages", "said"),
    [
        (DROPS_SYSTEM, turns(SYSTEM, USER), "drops the system message 'Be brief.'; .*system_as: first_user"),
        (DROPS_SYSTEM, turns(USER, ("assistant", "BLM"), ("system", "Now in French."), USER), "'Now in French.'"),
        (LAST_ONLY, turns(USER, ("assistant", "BLM"), ("user", "Why?")), "drops the user message 'Which gene.'$"),
        (CHAT_TEMPLATE, turns(SYSTEM, USER, ("assistant", "BLM"), USER), None),
    ],
)
def test_a_message_whose_words_change_nothing_is_dropped(
    template: str, messages: Sequence[Message], said: str | None
) -> None:
    if said is None:
        check_nothing_dropped(rendering(template), messages)
        return
    with pytest.raises(Dropped, match=said):
        check_nothing_dropped(rendering(template), messages)


# --- the setting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "system", "asked"),
    [
        ("Which gene?", "Be brief.", "Be brief.\n\nWhich gene?"),
        ("Which gene?", None, "Which gene?"),
        (turns(USER), "Be brief.", turns(("user", "Be brief.\n\nWhich gene?"))),
        (turns(SYSTEM, USER), None, turns(("user", "Be brief.\n\nWhich gene?"))),
        (turns(SYSTEM, USER), "Be long.", turns(("user", "Be brief.\n\nWhich gene?"))),
        (
            turns(SYSTEM, USER, ("assistant", "BLM"), ("user", "Why?")),
            None,
            turns(("user", "Be brief.\n\nWhich gene?"), ("assistant", "BLM"), ("user", "Why?")),
        ),
        (turns(SYSTEM), None, turns(("user", "Be brief."))),
        (turns(SYSTEM, ("assistant", "Hi.")), None, turns(("user", "Be brief."), ("assistant", "Hi."))),
    ],
)
def test_a_system_message_before_the_first_question(prompt: Any, system: str | None, asked: object) -> None:
    assert chat(prompt, system, "first_user") == asked


# --- models that run here ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return HFModel.load(make_tiny_model(tmp_path_factory.mktemp("tiny") / "m"), dtype="float32")


def with_template(model: HFModel, template: str) -> HFModel:
    import copy

    tokenizer = copy.deepcopy(model.tokenizer)
    tokenizer.chat_template = template
    return replace(model, tokenizer=tokenizer)


BRIEF = GenerationSettings(max_new_tokens=2, system="Be brief.")
PLAIN = Case("plain", "Which gene?", ("BLM",), choices=("BLM", "TP53"))
OWN = replace(PLAIN, id="own", prompt=turns(SYSTEM, USER))


@pytest.mark.parametrize("template", [DROPS_SYSTEM, GEMMA])
def test_a_system_message_that_would_not_reach_the_model_is_refused_before_the_first_case(
    tiny: HFModel, template: str
) -> None:
    model = with_template(tiny, template)
    for ask in (model.generate, model.score_choices):
        with pytest.raises(ConfigError, match=r"the chat template (drops|refuses) .*system_as: first_user"):
            list(ask([PLAIN], BRIEF))
        assert [response.error for _, response in ask([PLAIN], replace(BRIEF, system_as="first_user"))] == [None]


def test_a_case_whose_own_system_message_is_dropped_is_invalid(tiny: HFModel) -> None:
    model = with_template(tiny, DROPS_SYSTEM)
    for ask in (model.generate, model.score_choices):
        found = dict(ask([OWN, PLAIN], GenerationSettings(max_new_tokens=2)))
        assert (found[0].fault, found[1].error) == (Fault.REJECTED, None)
        assert "drops the system message 'Be brief.'" in str(found[0].error)
        (moved,) = [one for _, one in ask([OWN], GenerationSettings(max_new_tokens=2, system_as="first_user"))]
        assert moved.error is None


def test_the_words_are_in_what_the_model_sees(tiny: HFModel) -> None:
    model = with_template(tiny, GEMMA)
    ids = answer_prompt(model.tokenizer, PLAIN, replace(BRIEF, system_as="first_user"))
    assert "user\nBe brief.\n\nWhich gene?<end_of_turn>" in model.tokenizer.decode(ids)


def test_a_model_says_that_it_knows_no_generation_prompt(tiny: HFModel) -> None:
    assert tiny.notes == ()
    (note,) = with_template(tiny, NO_PROMPT).notes
    assert "add_generation_prompt changes nothing" in note


# --- commands ------------------------------------------------------------------------------------------------------


def gate(folder: Path, template: str, generate: str, *options: str) -> int:
    model = make_tiny_model(folder / "m")
    (model / "chat_template.jinja").write_text(template)
    write_jsonl(folder / "q.jsonl", [{"id": str(n), "prompt": f"Gene {n}?", "reference": "BLM"} for n in range(2)])
    (folder / "s.yaml").write_text(
        f"cases: q.jsonl\nchecks: [exact]\nplan: {{draw: 2, accept: 2}}\ngenerate: {{max_new_tokens: 4, {generate}}}\n"
    )
    return main(["gate", str(model), "--suite", str(folder / "s.yaml"), "--run", str(folder / "run"), *options])


def test_gate_refuses_with_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate(tmp_path, DROPS_SYSTEM, "system: Be brief.") == 2
    said = capsys.readouterr().err
    assert "drops the system message 'Be brief.'; `generate: {system_as: first_user}`" in said


def test_gate_goes_on_with_the_remedy_and_tells_of_the_generation_prompt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(tmp_path, NO_PROMPT, "system: Be brief., system_as: first_user", "--json") == 1
    assert "the chat template has no generation prompt" in capsys.readouterr().err
    started = next(
        event
        for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()
        if (event := json.loads(line)).get("event") == "gate_started"
    )
    assert (started["settings"]["system_as"], started["settings"]["form"]) == ("first_user", "auto")
    assert "first_user" in (tmp_path / "run" / "report.html").read_text()


PIPELINE = """\
name: demo
model: ./m
suites:
  facts: {cases: q.jsonl, checks: [exact], plan: {draw: 2, accept: 2}, generate: {system: Be brief.}}
stages:
  - {name: sft, method: sft, data: {path: t.jsonl, system: Be kind.}, gates: [facts], retrain: {max_attempts: 1}}
"""


def test_check_tells_what_the_template_of_a_pipeline_s_model_leaves_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_tiny_model(tmp_path / "m")
    write_jsonl(tmp_path / "q.jsonl", [{"id": str(n), "prompt": f"Gene {n}?", "reference": "BLM"} for n in range(9)])
    write_jsonl(tmp_path / "t.jsonl", [{"prompt": f"Say {n} in words.", "completion": f"word {n}"} for n in range(9)])
    (tmp_path / "tunegate.yaml").write_text(PIPELINE)

    def notes(template: str) -> list[str]:
        (model / "chat_template.jinja").write_text(template)
        assert main(["check", str(tmp_path / "tunegate.yaml"), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)["notes"]
        return [note for note in told if "a turn ends with" not in note]  # turn_ends has tests of its own

    assert notes(CHAT_TEMPLATE) == []
    rows, cases = notes(DROPS_SYSTEM)
    assert "stage sft: the chat template drops or refuses system messages, but 9 of 9 rows have one" in rows
    assert "suite facts: the chat template drops or refuses system messages, but 9 of 9 cases have one" in cases
    assert len(notes(GEMMA)) == 2
    (note,) = notes(NO_PROMPT)
    assert "model: the chat template has no generation prompt" in note


def test_the_template_of_a_folder(tmp_path: Path) -> None:
    assert template_in(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "old"}')
    assert template_in(tmp_path) == "old"
    (tmp_path / "chat_template.jinja").write_text("new")
    assert template_in(tmp_path) == "new"
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "tokenizer_config.json").write_text('["chat_template"]')
    assert template_in(tmp_path) is None
