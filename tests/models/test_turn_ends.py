"""Where a chat template ends a turn: refused where a model would never stop, and taught as its end where it can be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import load, write_pipeline
from tests.support.tiny_model import CHAT_TEMPLATE, make_tiny_model
from tunegate.checks.outcome import Outcome, Verdict, never_ended
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.loading import load_tokenizer, quiet_transformers
from tunegate_trainers import turn_ends
from tunegate_trainers.chat_templates import TEMPLATES

LLAMA2 = "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"  # noqa: E501
PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
ENDLESS = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}"
PIPELINE = """\
name: small
model: base
suites:
  facts: {cases: cases.jsonl, checks: [exact], plan: {draw: 5, accept: 4}, generate: {stop: STOP}}
stages:
  - {name: sft, method: sft, data: train.jsonl, gates: [facts], options: OPTIONS}
"""


def project(folder: Path, template: str | None, eos: str, stop: str = "[]", own: str | None = None) -> Path:
    """A pipeline on a tiny base whose tokenizer has <|im_end|> in its vocabulary, and this eos."""
    options = "{}" if template is None else f"{{chat_template: {template!r}}}"
    path = write_pipeline(folder, PIPELINE.replace("STOP", stop).replace("OPTIONS", options))
    make_tiny_model(folder / "base", chat_template=False)
    with quiet_transformers():
        tokenizer = load_tokenizer(folder / "base")
        tokenizer.eos_token = eos
        tokenizer.chat_template = own
        tokenizer.save_pretrained(folder / "base")
        config = (folder / "base" / "generation_config.json").read_text()
    (folder / "base" / "generation_config.json").write_text(config.replace('"eos_token_id": 2', '"eos_token_id": 0'))
    return path


def noted(path: Path) -> list[str]:
    return turn_ends.check(load(path))


@pytest.mark.parametrize(
    ("template", "fits"),
    [("chatml", True), ("alpaca", True), (LLAMA2, True), (PLAIN, False), (ENDLESS, False), (f"{ENDLESS} </s>", False)],
)
def test_a_template_whose_end_is_no_token_is_refused(tmp_path: Path, template: str, fits: bool) -> None:
    path = write_with(tmp_path, template)
    if fits:
        assert noted(path) == []
    else:
        with pytest.raises(ConfigError, match=r"options\.chat_template: .* eos is '<\|endoftext\|>'.*eos_token"):
            noted(path)


def write_with(folder: Path, template: str, stop: str = "[]", eos: str = "<|endoftext|>") -> Path:
    path = project(folder, "TEMPLATE", eos, stop)
    path.write_text(path.read_text().replace("'TEMPLATE'", json.dumps(template)))
    return path


def test_a_gate_that_stops_where_the_turn_ends_needs_no_token(tmp_path: Path) -> None:
    assert noted(write_with(tmp_path, PLAIN, stop='["\\n"]')) == []


def test_a_stop_that_the_template_never_writes_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="never stops"):
        noted(write_with(tmp_path, PLAIN, stop='["###"]'))


def test_of_the_models_own_template_it_is_told(tmp_path: Path) -> None:
    path = project(tmp_path, None, "<|endoftext|>", own=PLAIN)
    (note,) = noted(path)
    assert note.startswith(f"stage sft: the chat template of {tmp_path / 'base'}: a turn ends with")
    assert noted(project(tmp_path / "two", None, "<|endoftext|>", own=CHAT_TEMPLATE)) == []


def test_check_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_with(tmp_path, TEMPLATES["chatml"].replace("im_end", "end_of_it"))
    write_jsonl(tmp_path / "train.jsonl", [{"prompt": f"t{n}?", "completion": f"{n}!"} for n in range(8)])
    assert main(["check", str(path)]) == 2
    said = capsys.readouterr().err
    assert "<|end_of_it|>" in said
    assert "eos" in said


@pytest.fixture
def base(tmp_path: Path) -> tuple[Any, Any]:
    """Model and tokenizer of a base as Qwen's: <|im_end|> is in the vocabulary, eos is another."""
    project(tmp_path, None, "<|endoftext|>")
    with quiet_transformers() as transformers:
        model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    return model, load_tokenizer(tmp_path / "base")


def test_the_token_that_ends_a_turn_becomes_the_end(base: tuple[Any, Any]) -> None:
    model, tokenizer = base
    tokenizer.chat_template = TEMPLATES["chatml"]
    turn_ends.settle(model, tokenizer)
    assert tokenizer.eos_token == "<|im_end|>"
    assert model.config.eos_token_id == 2
    assert model.generation_config.eos_token_id == [2, 0]


def test_an_end_that_is_one_already_changes_nothing(base: tuple[Any, Any]) -> None:
    model, tokenizer = base
    tokenizer.chat_template = TEMPLATES["alpaca"]
    turn_ends.settle(model, tokenizer)
    assert (tokenizer.eos_token, model.generation_config.eos_token_id) == ("<|endoftext|>", 0)
    tokenizer.chat_template = TEMPLATES["chatml"]
    model.generation_config.eos_token_id = [0, 2]  # as in Phi-3's generation_config.json
    turn_ends.settle(model, tokenizer)
    assert (tokenizer.eos_token, model.generation_config.eos_token_id) == ("<|endoftext|>", [0, 2])


def test_a_training_says_where_no_token_ends_a_turn(base: tuple[Any, Any], capsys: pytest.CaptureFixture[str]) -> None:
    model, tokenizer = base
    tokenizer.chat_template = PLAIN
    turn_ends.settle(model, tokenizer)
    assert "a turn ends with '\\n', which has no end-of-text token" in capsys.readouterr().err


# --- passes that never end --------------------------------------------------------------------------------------------


def answered(response: str, finish: str, reference: str = "BLM", verdict: Verdict = Verdict.PASS) -> Outcome:
    return Outcome("1", verdict, "", (), "?", response, (reference,), finish_reason=finish)


@pytest.mark.parametrize(
    ("outcomes", "count"),
    [
        ([answered("BLM\nBLM\nBLM", "length")] * 8, 8),
        ([answered("BLM\nBLM", "length")] * 7 + [answered("BLM", "stop")], 0),
        ([answered("BLM\nBLM", "length")] * 2, 0),
        ([answered("B", "length", "B")] * 8, 0),
        ([answered("BLM BLM", "length"), answered("no", "stop", verdict=Verdict.FAIL)] * 4, 4),
    ],
)
def test_passes_of_which_none_ends_are_counted(outcomes: list[Outcome], count: int) -> None:
    assert never_ended(outcomes) == count
