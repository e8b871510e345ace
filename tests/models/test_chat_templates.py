"""The form in which prompts are put to a model: trained, saved and asked the same; and chats as training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.trainer_jobs import ARGS, SFT_ROWS, MakeJob, real_training, task_of
from tunegate.cases.case import Case
from tunegate.data.spec import DataSpec
from tunegate.data.training_data import load_training_data
from tunegate.exceptions import ConfigError
from tunegate.models.open_model import find_model
from tunegate.models.prompting import answer_prompt
from tunegate.reading.chats import Message
from tunegate_trainers import common, sft, validate
from tunegate_trainers.chat_templates import TEMPLATES
from tunegate_trainers.process import run

pytestmark = real_training

PROMPT = "Which gene is it?\n\n### Context:\nMutations in BRCA1 cause it."
SHOUTING = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}<assistant>"


def test_alpaca_is_what_it_is_called(make_job: MakeJob) -> None:
    job = make_job(rows=[{"prompt": PROMPT, "completion": "BRCA1"}], options={"chat_template": "alpaca"})
    loaded = common.load(job)
    trainer, _ = sft.build(task_of(job), loaded)
    example = trainer.train_dataset[0]
    assert loaded.tokenizer.decode(example["input_ids"]) == (
        "### Instruction:\nWhich gene is it?\n\n### Context:\nMutations in BRCA1 cause it.\n\n"
        "### Response:\nBRCA1<|im_end|>"
    )
    learned = [token for token in example["labels"] if token != -100]
    assert loaded.tokenizer.decode(learned) == "BRCA1<|im_end|>"  # only the completion counts


@pytest.mark.parametrize("template", [*TEMPLATES, SHOUTING])
def test_a_gate_asks_as_was_trained(make_job: MakeJob, template: str) -> None:
    """The template travels with the model, so that whoever opens it asks in the form of the training."""
    job = make_job(rows=[{"prompt": PROMPT, "completion": "BRCA1"}], options={"chat_template": template}, peft=None)
    trainer, _ = sft.build(task_of(job), common.load(job))
    trained = trainer.train_dataset[0]
    run(job)
    found = find_model(job.output)
    tokenizer = common.loading.load_tokenizer(found.folder)
    asked = answer_prompt(tokenizer, Case("1", PROMPT), None)
    assert trained["input_ids"][: len(asked)] == asked
    assert trained["labels"][: len(asked)] == [-100] * len(asked)
    assert trained["labels"][len(asked)] != -100
    assert found.sha256 != find_model(job.model).sha256


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("alpacca", r"options\.chat_template: expected .*, got 'alpacca' \(did you mean 'alpaca'"),
        ("{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}", "drops the answer"),
        ("{% for m in messages if m['role'] != 'user' %}{{ m['content'] }}{% endfor %}", "drops the question"),
        ("{% for m in messages %}", "not a valid chat template: "),
        ("{{ messages[7]['content'] }}", "not a valid chat template: "),
        ("{{ raise_exception('no') }}", "not a valid chat template: no"),
    ],
)
def test_a_template_that_is_no_use_is_refused_before_anything_is_trained(
    make_job: MakeJob, template: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        validate(make_job(options={"chat_template": template}))
    assert str(error.value).startswith("options.chat_template: ")


def test_a_model_whose_own_template_drops_the_answer_is_refused(make_job: MakeJob) -> None:
    job = make_job()
    loaded = common.load(job)
    loaded.tokenizer.chat_template = "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(ConfigError, match="drops the answer"):
        sft.build(task_of(job), loaded)


def test_rows_of_100_000_tokens_are_reported(make_job: MakeJob) -> None:
    rows = [*SFT_ROWS[:3], *({"prompt": "word " * 100_000, "completion": "x"} for _ in range(3))]
    job = make_job(rows=rows, args=ARGS | {"max_length": 100, "max_steps": 1})
    summary = run(job)[1]
    assert (summary["rows"], summary["dropped_rows"]) == (3, [4, 5, 6])


# Chats, and rows without an answer


def load(folder: Path, rows: list[Any], spec: dict[str, Any] | None = None, method: str = "sft") -> Any:
    write_jsonl(folder / "train.jsonl", rows)
    return load_training_data(DataSpec(path="train.jsonl", **(spec or {})), method, folder).examples


def turn(role: str, content: str) -> Message:
    return {"role": role, "content": content}  # type: ignore[typeddict-item]


def test_a_chat_ends_with_its_completion(tmp_path: Path) -> None:
    turns = [turn("user", "Hi"), turn("assistant", "Hello"), turn("user", "Which gene?"), turn("assistant", "BRCA1")]
    [example] = load(tmp_path, [{"messages": turns}], {"system": "Be brief."})
    assert example.prompt == (turn("system", "Be brief."), *turns[:3])
    assert example.answers == {"completion": "BRCA1"}


def test_a_completion_that_a_chat_shows_is_not_part_of_its_prompt(tmp_path: Path) -> None:
    turns = [turn("user", "Which gene?"), turn("assistant", "BRCA1")]
    [example] = load(tmp_path, [{"messages": turns, "completion": "BRCA1"}])
    assert (example.prompt, example.answers) == (tuple(turns[:1]), {"completion": "BRCA1"})


def test_a_chat_of_an_answer_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the chat has only an answer; add the question before it"):
        load(tmp_path, [{"messages": [turn("assistant", "BRCA1")]}])


def test_a_completion_of_its_own_goes_before_the_end_of_a_chat(tmp_path: Path) -> None:
    turns = [turn("user", "Which gene?"), turn("assistant", "It is")]
    [example] = load(tmp_path, [{"messages": turns, "completion": " BRCA1"}])
    assert (example.prompt, example.answers) == (tuple(turns), {"completion": " BRCA1"})


@pytest.mark.parametrize(
    ("row", "method"),
    [
        ({"prompt": "Which gene?"}, "sft"),
        ({"messages": [turn("user", "Which gene?")]}, "sft"),
        ({"prompt": "Which gene?", "completion": "BRCA1"}, "explain"),
    ],
)
def test_a_row_with_nothing_to_learn_is_refused_with_the_remedy(tmp_path: Path, row: Any, method: str) -> None:
    missing = "explanation" if method == "explain" else "completion"
    with pytest.raises(ConfigError) as error:
        load(tmp_path, [row], method=method)
    message = str(error.value)
    assert f"train.jsonl:1: the row has no field '{missing}'" in message
    assert f"{method} needs one in every row; add it to the row, or name the field that contains it: " in (message)
    assert f'`data: {{{missing}: "{{field}}"}}`' in message
    assert "\n" not in message


@pytest.mark.parametrize("empty", ["", " \n"])
def test_an_empty_completion_is_refused(tmp_path: Path, empty: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.jsonl:1: the completion is empty"):
        load(tmp_path, [{"prompt": "?", "completion": empty}])


@pytest.mark.parametrize(("method", "key"), [("sft", "completion"), ("dpo", "chosen"), ("cpt", "text")])
def test_a_data_template_that_drops_the_answer_is_refused(tmp_path: Path, method: str, key: str) -> None:
    row = {"prompt": "?", "completion": "x", "chosen": "x", "rejected": "y", "text": "z"}
    with pytest.raises(ConfigError, match=rf"data\.{key}: the template 'Answer:' drops the answer"):
        load(tmp_path, [row], {key: "Answer:"}, method)
