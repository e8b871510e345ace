"""`tunegate suite import`: tasks of other tools as suites; a feature that no suite has is refused by its name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.bank import write_jsonl
from tests.support.elsewhere_files import HELD, LM_CHOICE, LM_OPEN, Held
from tunegate.cli import main
from tunegate.elsewhere.task import fill_template
from tunegate.exceptions import ConfigError
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

QUESTIONS = [json.loads(line) for line in (HELD / "questions.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("questions.jsonl", "lm_eval/facts_open.yaml", "lm_eval/facts_choice.yaml", "promptfoo/two.yaml"):
        shutil.copy(HELD / name, tmp_path)
    return tmp_path


def imported(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["suite", "import", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def gate(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    main(["gate", *words, "--json"])
    return json.loads(capsys.readouterr().out)


def one_word() -> None:
    """Only the questions with an answer of one word."""
    write_jsonl(Path("questions.jsonl"), [row for row in QUESTIONS if " " not in row["answer"]])


# --- lm-evaluation-harness -------------------------------------------------------------------------------------------


def test_an_imported_task_judges_as_lm_eval_did(capsys: pytest.CaptureFixture[str]) -> None:
    """The answers before the filter, judged by the imported filter and check, score as lm-eval's own did: 3."""
    code, said = imported(capsys, "facts_open.yaml", "--filter", "first_word", "--out", "s.yaml")
    assert code == 2
    assert "it would cut 1 of them, first 'carbon dioxide'; nothing was imported" in said["error"]
    one_word()
    code, said = imported(capsys, "facts_open.yaml", "--filter", "first_word", "--out", "s.yaml")
    assert code == 0
    assert (said["tool"], said["cases"], said["checks"]) == ("lm-evaluation-harness", 11, ["exact"])
    path = Held(LM_OPEN, "", 0).path
    judged = gate(capsys, "--responses", str(path), "--filter", "none", "--suite", "s.yaml")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert judged["passed"] == sum(row["exact_match"] for row in rows if row["filter"] == "first_word") == 3


@pytest.mark.parametrize(("metric", "right"), [("acc", 9), ("acc_norm", 10)])
def test_choices_are_judged_as_lm_eval_did(metric: str, right: int, capsys: pytest.CaptureFixture[str]) -> None:
    task = yaml.safe_load(Path("facts_choice.yaml").read_text()) | {"metric_list": [{"metric": metric}]}
    Path("t.yaml").write_text(json.dumps(task))
    assert imported(capsys, "t.yaml", "--out", "s.yaml")[0] == 0
    path = Held(LM_CHOICE, "", 0).path
    assert gate(capsys, "--responses", str(path), "--suite", "s.yaml")["passed"] == right
    assert sum(json.loads(line)[metric] for line in path.read_text().splitlines()) == right


def test_what_the_suite_of_a_task_says(capsys: pytest.CaptureFixture[str]) -> None:
    one_word()
    imported(capsys, "facts_open.yaml", "--filter", "first_word", "--out", "s.yaml")
    suite = load_suite(Path("s.yaml"), build_check)
    assert suite.cases[0].prompt == "Q: Which colour is the sky?\nA: blue\n\nQ: Which organ pumps blood?\nA:"
    assert (suite.settings.stop, suite.settings.max_new_tokens, suite.settings.form) == (("\n",), 12, "raw")
    assert suite.answer.extract == (r"\A[\s\S]*?([A-Za-z0-9]+)",)
    assert Path("s.yaml").read_text().startswith("# Imported from facts_open.yaml, a task of lm-evaluation-harness.\n")
    assert main(["suite", "import", "facts_choice.yaml", "--out", "c.yaml"]) == 0
    said = capsys.readouterr().out
    assert "note: the suite judges by acc, the first metric, and not by acc_norm" in said
    assert "next: tunegate gate MODEL --suite c.yaml" in said


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("facts_open.yaml", {}, "facts_open.yaml: the file has 2 filters; choose one: --filter first_word or"),
        ("facts_open.yaml", {"output_type": "loglikelihood"}, "output_type: 'loglikelihood': only generate_until"),
        ("facts_open.yaml", {"dataset_path": "squad"}, "dataset_path: 'squad' is not local data"),
        ("facts_open.yaml", {"num_fewshot": 3}, "num_fewshot: few-shot examples cannot be imported"),
        ("facts_open.yaml", {"process_docs": "x"}, "process_docs: this key of lm-evaluation-harness cannot be"),
        ("facts_open.yaml", {"metric_list": [{"metric": "bleu"}]}, "there is no equal check for the metric 'bleu'"),
        ("facts_open.yaml", {"generation_kwargs": {"num_beams": 4}}, "generation_kwargs.num_beams: this option"),
        ("facts_open.yaml", {"filter_list": [{"filter": [{"function": "majority_vote"}]}]}, "'majority_vote'"),
        ("facts_open.yaml", {"test_split": "dev"}, "there is no file for the split 'dev'"),
        ("facts_open.yaml", {"doc_to_text": "{{query}}"}, "document 1: doc_to_text: the row has no field 'query'"),
        ("facts_choice.yaml", {"doc_to_target": "{{question}}"}, "doc_to_target: the number or text of a choice"),
        ("facts_choice.yaml", {"target_delimiter": ""}, "target_delimiter: only one space"),
        ("facts_choice.yaml", {"metric_list": [{"metric": "f1"}]}, "there is no check of choices for the metric 'f1'"),
    ],
)  # fmt: skip
def test_what_no_suite_has_is_refused_by_its_name(
    file: str, changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(file).write_text(json.dumps(yaml.safe_load(Path(file).read_text()) | changes))
    code, said = imported(capsys, file, "--out", "s.yaml")
    assert code == 2
    assert words in said["error"]
    assert "\n" not in said["error"]
    assert not Path("s.yaml").exists()


def test_python_functions_are_refused_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("facts_open.yaml").open("a") as file:
        file.write("process_docs: !function utils.process\n")
    code, said = imported(capsys, "facts_open.yaml", "--out", "s.yaml")
    assert code == 2
    assert "process_docs: the Python function utils.process cannot be imported" in said["error"]


def test_a_template_is_rendered_in_a_sandbox() -> None:
    row = {"q": "2+2?", "inner": {"a": 1}, "choices": ["x", "y"]}
    assert fill_template("{{q}} {{ inner.a }}", row, "t") == "2+2? 1"
    assert fill_template("{% for c in choices %}{{ loop.index }}{{ c }} {% endfor %}", row, "t") == "1x 2y "
    for template in ("{{ q.__class__.__mro__[1] }}", "{{ missing|upper }}", "{{ q|nothing }}", "{% if %}", "{{ 1/0 }}"):
        with pytest.raises(ConfigError, match="t: the template cannot be rendered in a sandbox"):
            fill_template(template, row, "t")


def test_no_file_is_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = imported(capsys, "facts_choice.yaml", "--out", "questions.yaml")
    assert code == 2
    assert "questions.jsonl: already exists, and is not overwritten" in said["error"]
    assert Path("questions.jsonl").read_text() == (HELD / "questions.jsonl").read_text()


# --- promptfoo, Inspect ----------------------------------------------------------------------------------------------


def test_tests_of_promptfoo(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = imported(capsys, "two.yaml", "--out", "s.yaml")
    assert code == 2
    assert "the file has 2 prompts; choose one: --prompt short or --prompt plain" in said["error"]
    code, said = imported(capsys, "two.yaml", "--prompt", "short", "--out", "s.yaml")
    assert (code, said["cases"], said["checks"]) == (0, 12, ["exact"])
    path = str(Held("promptfoo/two.json", "", 0).path)
    words = ["--responses", path, "--prompt", "short", "--provider", "stub", "--suite", "s.yaml"]
    assert [gate(capsys, *words)[name] for name in ("passed", "failed", "invalid")] == [10, 1, 1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"tests": [{"vars": {"q": "x"}, "assert": [{"type": "llm-rubric", "value": "good"}]}]},
            "the assertion 'llm-rubric'",
        ),
        (
            {"tests": [{"vars": {"q": "x"}, "assert": [{"type": "equals", "value": "x", "weight": 2}]}]},
            "assert[0].weight",
        ),
        (
            {"tests": [{"vars": {"q": ["x", "y"]}, "assert": [{"type": "equals", "value": "x"}]}]},
            "tests[0].vars.q: only",
        ),
        ({"tests": "file://tests.csv"}, "tests: only tests in this file"),
        ({"tests": [{"vars": {"q": "x"}}]}, "tests[0]: the test asserts nothing"),
        ({"prompts": ["{{ q | upper }}"]}, "prompts[0]: only variables such as {{question}}"),
        ({"prompts": ["file://prompt.txt"]}, "prompts[0]: only a prompt in this file"),
        ({"scenarios": []}, "scenarios: this key of promptfoo cannot be imported"),
    ],
)
def test_what_is_refused_of_promptfoo(changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    test = {"vars": {"q": "x"}, "assert": [{"type": "equals", "value": "x"}]}
    Path("p.yaml").write_text(json.dumps({"prompts": ["{{q}}"], "tests": [test], **changes}))
    code, said = imported(capsys, "p.yaml", "--out", "s.yaml")
    assert code == 2
    assert words in said["error"]


def test_a_data_set_of_inspect(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": f"q{n}", "input": row["question"], "target": row["answer"]} for n, row in enumerate(QUESTIONS)]
    write_jsonl(Path("data.jsonl"), rows)
    assert imported(capsys, "data.jsonl", "--out", "s.yaml")[1]["checks"] == ["exact"]
    path = str(Held("inspect/facts.json", "", 0).path)
    assert gate(capsys, "--responses", path, "--suite", "s.yaml")["passed"] == 9
    with_choices = [{**row, "choices": ["a", "b"], "target": "B"} for row in rows]
    write_jsonl(Path("choices.jsonl"), with_choices)
    code, said = imported(capsys, "choices.jsonl", "--out", "c.yaml")
    assert (code, said["checks"]) == (0, ["choice"])
    write_jsonl(Path("box.jsonl"), [{**rows[0], "sandbox": "docker"}])
    code, said = imported(capsys, "box.jsonl", "--out", "b.yaml")
    assert (code, "sandbox: a sample with a sandbox cannot be imported" in said["error"]) == (2, True)
    code, said = imported(capsys, "questions.jsonl", "--out", "b.yaml")
    assert (code, "rows of Inspect, with `input` and `target`, were expected" in said["error"]) == (2, True)
    task = "task: t\ndataset_path: json\ndataset_kwargs: {data_files: away.jsonl}\ndoc_to_text: a\ndoc_to_target: b\n"
    Path("other.yaml").write_text(task)
    code, said = imported(capsys, "other.yaml", "--out", "b.yaml")
    assert (code, "away.jsonl is neither beside the task nor in the working folder" in said["error"]) == (2, True)
    Path("other.yaml").write_text("task: part\ninclude: whole.yaml\n")
    code, said = imported(capsys, "other.yaml", "--out", "b.yaml")
    assert (code, "other.yaml:2: include: this key of lm-eval" in said["error"]) == (2, True)
    Path("other.yaml").write_text("a: 1\n")
    code, said = imported(capsys, "other.yaml", "--out", "b.yaml")
    assert (code, "this is not a task that can be imported; give a task of" in said["error"]) == (2, True)
