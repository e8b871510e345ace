"""Templates that say the same for every row, since their braces were forgotten: refused wherever one is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tunegate.cases.cases_spec import CasesSpec
from tunegate.cases.from_rows import load_cases
from tunegate.data.spec import DataSpec
from tunegate.data.training_data import load_training_data
from tunegate.exceptions import ConfigError
from tunegate.models.responses_spec import ResponsesSpec
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

ROW = {
    "id": "1",
    "question": "Which gene?",
    "answer": "BLM",
    "topic": "genes",
    "prompt": "q",
    "options": ["BLM", "NBN"],
}


@pytest.mark.parametrize(
    "said",
    [
        {"prompt": "question"}, {"reference": "answer"}, {"reference": ["{answer}", "topic"]}, {"context": "topic"},
        {"group": "topic"}, {"choices": "options"}, {"id": "question"},
    ],
)  # fmt: skip
def test_the_bare_name_of_a_field_is_refused_in_cases(tmp_path: Path, said: dict[str, Any]) -> None:
    write_jsonl(tmp_path / "q.jsonl", [ROW])
    (key,) = said
    with pytest.raises(ConfigError, match=rf"cases\.{key}: '(\w+)' is a field of the rows.*write '\{{\1\}}'"):
        load_cases(CasesSpec(path="q.jsonl", **said), tmp_path)


def test_other_texts_are_meant_as_they_are(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "q.jsonl", [ROW])
    spec = CasesSpec(path="q.jsonl", choices=["yes", "no"], reference=["yes"], context="One guideline for all.")
    (case,) = load_cases(spec, tmp_path)
    assert (case.choices, case.references, case.context) == (("yes", "no"), ("yes",), "One guideline for all.")


def test_the_bare_name_of_a_field_is_no_prompt_to_train_on(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", [ROW])
    spec = DataSpec(path="t.jsonl", prompt="question", completion="{answer}")
    with pytest.raises(ConfigError, match=r"data\.prompt: 'question' is a field of the rows"):
        load_training_data(spec, "sft", tmp_path)


@pytest.mark.parametrize("key", ["id", "response", "prompt"])
def test_a_response_that_names_no_field_would_be_the_answer_to_every_case(key: str) -> None:
    with pytest.raises(ValueError, match="'BLM' names no field, so it would be the same text for every row"):
        ResponsesSpec.model_validate({key: "BLM"})


# --- fields in texts that are not filled in ------------------------------------------------------------------------


def test_a_field_in_the_system_message_of_a_suite_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "q.jsonl", [{**ROW, "reference": "BLM"}])
    suite = "cases: q.jsonl\nchecks: [exact]\nplan: {{draw: 1, accept: 1}}\ngenerate: {{system: '{}'}}\n"
    (tmp_path / "s.yaml").write_text(suite.format("Of {topic}."))
    with pytest.raises(ConfigError, match=r"s\.yaml:4: generate: system: '\{topic\}' is a field of the rows"):
        load_suite(tmp_path / "s.yaml", build_check)
    for text in ('Answer as {"gene": ...}.', "Write {{topic}}.", "Write {other}."):
        (tmp_path / "s.yaml").write_text(suite.format(text))
        assert load_suite(tmp_path / "s.yaml", build_check).settings.system == text


def test_a_field_in_the_system_message_of_training_rows_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", [ROW])
    spec = DataSpec(path="t.jsonl", completion="{answer}", system="Of {topic}.")
    with pytest.raises(ConfigError, match=r"data\.system: '\{topic\}' is a field of the rows"):
        load_training_data(spec, "sft", tmp_path)
