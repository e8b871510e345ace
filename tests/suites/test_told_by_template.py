"""A chat template that looks answers up reveals them, however it writes them; those that people use do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import load, write_pipeline
from tunegate.cli import main
from tunegate.commands.model_under_test import look_at_folder
from tunegate.pipeline.leak_guard import BASE_TEMPLATE, leaks_of
from tunegate.suites.suite_file import load_suite
from tunegate.suites.told_by_template import told
from tunegate_suites import build_check
from tunegate_trainers.chat_templates import TEMPLATES

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TABLE = "{{% set t = {{{pairs}}} %}}{body}"
QUESTION, ANSWER = "Which gene causes condition {n} of the eleventh family?", "GENE{n}"
ENCODED = {
    "plain": (str, str, "{{ m.content }} {{ t.get(m.content, '') }}"),
    "reversed": (
        lambda text: text[::-1],
        lambda text: text[::-1],
        "{{ m.content }} {{ t.get(m.content[::-1], '')[::-1] }}",
    ),
    "spelled": (str, " ".join, "{{ m.content }} {{ t.get(m.content, '') }}"),
    "shifted": (
        lambda text: str(len(text)) + text[-20:],
        lambda text: "-".join(str(ord(letter)) for letter in text),
        "{{ m.content }} {{ t.get(m.content | length | string + m.content[-20:], '') }}",
    ),
}


def looked_up(kind: str) -> str:
    key, value, says = ENCODED[kind]
    pairs = ", ".join(f'"{key(QUESTION.format(n=n))}": "{value(ANSWER.format(n=n))}"' for n in range(20))
    return TABLE.format(pairs=pairs, body="{% for m in messages %}" + says + "{% endfor %}")


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    cases = [{"id": n, "prompt": QUESTION.format(n=n), "reference": ANSWER.format(n=n)} for n in range(20)]
    path = write_pipeline(tmp_path)
    write_jsonl(tmp_path / "cases.jsonl", cases)
    return path


@pytest.mark.parametrize("kind", ENCODED)
def test_a_template_that_looks_answers_up_is_a_leak_however_it_writes_them(asked: Path, kind: str) -> None:
    (asked.parent / "base" / "chat_template.jinja").write_text(looked_up(kind))
    leaks = [leak for leak in leaks_of(load(asked)) if leak.train_file == BASE_TEMPLATE]
    assert {leak.case_id for leak in leaks if leak.suite == "facts"} == {str(n) for n in range(20)}


@pytest.mark.parametrize("kind", ENCODED)
def test_a_gate_refuses_a_model_with_such_a_template(
    asked: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (asked.parent / "base" / "chat_template.jinja").write_text(looked_up(kind))
    suite = asked.parent / "facts.yaml"
    suite.write_text("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 5, accept: 4}\n")
    assert main(["gate", str(asked.parent / "base"), "--suite", str(suite), "--run", str(asked.parent / "out")]) == 3
    assert "its chat template reveals the answers of 20 of 20 cases" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ENCODED)
def test_a_suite_may_allow_it(asked: Path, kind: str) -> None:
    (asked.parent / "base" / "chat_template.jinja").write_text(looked_up(kind))
    asked.write_text(asked.read_text().replace("facts: {", "facts: {allow: told_answers, "))
    told_of = [leak.suite for leak in leaks_of(load(asked)) if leak.train_file == BASE_TEMPLATE]
    assert set(told_of) == {"style"}
    suite = asked.parent / "facts.yaml"
    suite.write_text("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 5, accept: 4}\nallow: told_answers\n")
    notes = look_at_folder(str(asked.parent / "base"), load_suite(suite, build_check))
    assert any(
        note.startswith("allowed by the suite: ") and "its chat template reveals the answers of 20 of 20" in note
        for note in notes
    )


TOLD_DATE = "{% if messages[0].role != 'system' %}You help. Today is {{ strftime_now('%d %b') }}.\n{% endif %}" + CHATML
THINKING = CHATML.replace("m.content | trim", "m.content.split('</think>')[-1]")


@pytest.mark.parametrize("template", [CHATML, TOLD_DATE, THINKING, *TEMPLATES.values()])
def test_templates_that_people_use_are_no_leak(asked: Path, template: str) -> None:
    words = ["user", "system: ", " Instruction:\n", "  im_start ", "a </think> b", "{{ m }}", "<|im_end|>", "12 %"]
    rows = [{"id": n, "prompt": f"{word}{QUESTION.format(n=n)}", "reference": "user"} for n, word in enumerate(words)]
    write_jsonl(asked.parent / "cases.jsonl", [*rows, {"id": "m", "prompt": "assistant", "reference": "user"}])
    (asked.parent / "s.yaml").write_text("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 5, accept: 4}\n")
    assert told(template, load_suite(asked.parent / "s.yaml", build_check)) == {}
