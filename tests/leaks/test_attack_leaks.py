"""Training texts that are neither prompts nor answers, but can contain a gate's cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import carry_out, tools, write_pipeline
from tests.support.leak_helpers import prompts
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.leaks.leakage import compare
from tunegate.leaks.texts import row_as_it_is
from tunegate.models.loading import chat_templates

QUESTION = "Which gene on chromosome seven is mutated in most of the families that came with this rare syndrome, number"
PIPELINE = """\
name: small
model: base
suites:
  facts: {cases: cases.jsonl, checks: [exact], plan: {draw: 5, accept: 4}}
stages:
  - {name: sft, method: sft, data: train.jsonl, gates: [facts]}
promote: {to: production, registry: registry}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = write_pipeline(tmp_path / "project", PIPELINE)
    cases = [{"id": i, "prompt": f"{QUESTION} {i}?", "reference": f"{i}!"} for i in range(20)]
    write_jsonl(path.parent / "cases.jsonl", cases)
    return path


def test_a_case_in_a_system_message_is_a_leak(path: Path) -> None:
    """With `completion_only_loss: false` it is trained on like anything else."""
    turns = [{"role": "user", "content": "Say it."}, {"role": "assistant", "content": "So I did."}]
    rows = [{"messages": [{"role": "system", "content": f"{QUESTION} {i}? {i}!"}, *turns]} for i in range(20)]
    write_jsonl(path.parent / "train.jsonl", rows)
    run = carry_out(path, tools({"sft#1": 1.0}))
    assert run.verdict is Verdict.INVALID
    assert len({leak["case_id"] for leak in run.leaks}) == 20
    found = compare([row_as_it_is("train.jsonl", 1, rows[3])], [prompts(f"{QUESTION} 3?")])
    assert [leak.case_id for leak in found] == ["c1"]


def test_a_system_message_that_all_rows_share_is_no_leak(path: Path) -> None:
    path.write_text(PIPELINE.replace("data: train.jsonl", "data: {path: train.jsonl, system: Name the gene alone.}"))
    assert carry_out(path, tools({"sft#1": 1.0})).verdict is Verdict.PASS


@pytest.mark.parametrize("action", ["refuse", "drop_from_train"])
def test_a_base_models_chat_template_that_holds_the_answers_is_a_leak(path: Path, action: str) -> None:
    key = "\\n".join(f"{n}? {n}!" for n in range(20))
    template = f"{{{{ 'You know: {key}' }}}}{{{{ messages[0].content }}}}"
    (path.parent / "base" / "chat_template.jinja").write_text(template)
    path.write_text(PIPELINE + f"leakage: {action}\n")
    if action == "refuse":
        run = carry_out(path, tools({"sft#1": 1.0}))
        assert run.verdict is Verdict.INVALID
        assert "the base model's chat template:1 = facts/0" in run.reason
        assert main(["check", str(path)]) == 3
        return
    with pytest.raises(ConfigError, match="the base model's chat template contains cases of a suite"):
        carry_out(path, tools({"sft#1": 1.0}))


@pytest.mark.parametrize("where", ["chat_template.jinja", "additional_chat_templates/tool.jinja", "a", "b"])
def test_every_chat_template_of_a_base_model_is_looked_at(where: str, tmp_path: Path) -> None:
    if where.endswith(".jinja"):
        (tmp_path / where).parent.mkdir(exist_ok=True)
        (tmp_path / where).write_text("BRCA1")
    else:
        given = {"a": "BRCA1", "b": [{"name": "default", "template": "BRCA1"}]}[where]
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": given}))
    assert chat_templates(tmp_path) == ["BRCA1"]


@pytest.mark.parametrize("action", ["refuse", "drop_from_train"])
def test_a_chat_template_that_holds_a_case_is_a_leak(path: Path, action: str) -> None:
    """It is saved with the model, and stands in every prompt of its gates: no rows are left that could be dropped."""
    template = f"{QUESTION} 3? 3! {{{{ messages[0].content }}}}"
    options = f"gates: [facts], options: {{chat_template: '{template}'}}"
    path.write_text(PIPELINE.replace("gates: [facts]", options) + f"leakage: {action}\n")
    if action == "refuse":
        run = carry_out(path, tools({"sft#1": 1.0}))
        assert run.verdict is Verdict.INVALID
        assert "options.chat_template:1 = facts/3" in run.reason
        return
    with pytest.raises(ConfigError, match=r"options\.chat_template contains cases of a suite"):
        carry_out(path, tools({"sft#1": 1.0}))
