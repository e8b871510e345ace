"""The names of `tunegate`: lazily imported, each with an example that runs; gates from Python on whatever answers."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tunegate
from tests.support.bank import Bank, write_jsonl
from tests.support.tiny_model import make_tiny_model
from tunegate.cli import main
from tunegate.exceptions import CannotJudge, ConfigError, MissingExtra
from tunegate.models.model import ScriptedModel
from tunegate.record.read_run import read_run

ROWS = [{"id": f"c{n}", "prompt": f"What is {n}?", "reference": f"answer {n}", "tags": ["t=x"]} for n in range(10)]
PLAN, ONE = {"draw": 10, "accept": 9}, {"draw": 1}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def suite_of(rows: Any = ROWS, checks: Any = ("exact",), plan: Any = PLAN, **more: Any) -> tunegate.Suite:
    return tunegate.Suite(rows, checks, plan=plan, **more)


def right(prompt: str) -> str:
    return "answer " + prompt.removeprefix("What is ").removesuffix("?")


def gate_of(model: Any, suite: Any = None, **more: Any) -> tunegate.GateResult:
    return tunegate.run_gate(model, suite or suite_of(), progress=False, **more)


# --- the names -----------------------------------------------------------------------------------------------------


@pytest.fixture
def _files(tmp_path: Path) -> None:
    """What the examples open."""
    questions = [{"id": c, "prompt": f"Capital of {c}?", "reference": a} for c, a in CAPITALS.items()]
    write_jsonl(tmp_path / "questions.jsonl", questions)
    (tmp_path / "facts.yaml").write_text("cases: questions.jsonl\nchecks: [exact]\nplan: {draw: 3, accept: 3}\n")


CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid"}
WITH_TRAINING = {"run_pipeline", "load_pipeline", "RunResult", "TrainerCallback"}
"""Their examples are run where there is a model to train: in `test_face_training`."""


@pytest.mark.parametrize("name", tunegate.__all__)
def test_every_name_has_a_docstring_with_an_example(name: str) -> None:
    doc = inspect.getdoc(getattr(tunegate, name))
    assert doc, name
    assert "Example:" in doc
    assert ">>> " in doc


@pytest.mark.usefixtures("_files")
@pytest.mark.parametrize("name", [name for name in tunegate.__all__ if name not in WITH_TRAINING])
def test_the_example_of_a_name_runs(name: str) -> None:
    found = getattr(tunegate, name)
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    [example] = doctest.DocTestFinder(recurse=False).find(found, name, globs={"__name__": "example"})
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=flags)
    runner.run(example, out=told.append)
    assert runner.failures == 0, "".join(told)
    assert runner.tries > 0


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'run_gates'"):
        _ = tunegate.run_gates  # type: ignore[attr-defined]
    assert set(tunegate.__all__) <= set(dir(tunegate))


# --- suites ----------------------------------------------------------------------------------------------------------


def test_a_suite_made_in_python_equals_the_same_suite_in_a_file(make_bank: Callable[..., Bank]) -> None:
    bank = make_bank(10, plan="{draw: 10, accept: 9}")
    rows = [json.loads(line) for line in (bank.folder / "cases.jsonl").read_text().splitlines()]
    assert suite_of(rows).sha256 == tunegate.load_suite(bank.suite).sha256
    assert suite_of("cases.jsonl").sha256 == tunegate.load_suite(bank.suite).sha256


def test_rows_come_from_a_data_frame_a_dataset_or_cases() -> None:
    pandas, datasets = pytest.importorskip("pandas"), pytest.importorskip("datasets")
    rows = [{key: value for key, value in row.items() if key != "tags"} for row in ROWS]
    made = [suite_of(rows), suite_of(pandas.DataFrame(rows)), suite_of(datasets.Dataset.from_list(rows))]
    assert len({suite.sha256 for suite in made}) == 1
    cases = [tunegate.Case(row["id"], row["prompt"], (row["reference"],)) for row in rows]
    assert gate_of(right, suite_of(cases)).passed == 10


def test_numbers_of_numpy_and_gaps_of_pandas_are_plain_values() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"prompt": ["a", "b"], "reference": [1, 2], "note": [None, 2.5]})
    suite = suite_of(frame, plan={"draw": 2, "accept": 1})
    assert [case.references for case in suite.cases] == [("1",), ("2",)]
    assert [case.fields["note"] for case in suite.cases] == [None, 2.5]


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: suite_of([]), "cases: expected at least one case, got none"),
        (lambda: suite_of([1]), "cases:1: expected a dict, got int"),
        (lambda: suite_of({"a": 1}), "cases: expected a list of dicts, a DataFrame, a datasets.Dataset or the path of"),
        (lambda: suite_of([{"prompt": "a", "x": object()}]), "cases:1: x: expected text, numbers, lists or dicts"),
        (lambda: suite_of(ROWS[:1] * 2), "cases:2: the id 'c0' is duplicated"),
        (lambda: suite_of([{"prmpt": "a"}]), "cases:1: the row has no field 'prompt'"),
        (
            lambda: suite_of(checks=["exct"]),
            "Suite 'suite': checks[0]: check 'exct': unknown check (did you mean 'exact'?)",
        ),
        (lambda: suite_of(checks="exact"), "checks: expected a list, got 'exact'"),
        (lambda: suite_of(checks=[]), "checks: at least 1 expected"),
        (
            lambda: suite_of(checks=[3]),
            "checks[0]: expected a name, a mapping or an object of a subclass of tunegate.",
        ),
        (lambda: suite_of(plan={"drw": 3}), "Suite 'suite': plan.drw: unknown key (did you mean 'draw'?)"),
        (lambda: suite_of(plan=100), "write Plan(draw=100, accept=90)"),
        (lambda: suite_of(plan=None), "the bank has 10 cases, but the plan draws 100"),
        (lambda: suite_of(generat={}), "Suite: generat: unknown keyword (did you mean 'generate'?)"),
        (lambda: suite_of([tunegate.Case("a", "?", "x")]), "cases:1: references: expected a tuple of strings"),  # type: ignore[arg-type]
        (
            lambda: suite_of([tunegate.Case("a", "?"), {"prompt": "b"}]),
            "cases:2: expected a Case, like the cases before it",
        ),
        (lambda: suite_of([tunegate.Case("a", "?")] * 2), "cases:2: the id 'a' is duplicated, first in case 1"),
        (lambda: gate_of(right, 3), "suite: expected a Suite or the path of a suite file, got int"),
        (
            lambda: gate_of(right, plan={"draw": 20}),
            "plan: suite 'suite': the bank has 10 cases, but the plan draws",
        ),
        (lambda: gate_of(right, plan=tunegate.Plan(5, 6)), "plan: expected accept to be at most draw (5), got 6"),
        (lambda: gate_of(right, seed="1"), "seed: expected a whole number, got '1'"),
        (lambda: gate_of(3), "or a mapping from case id to answer, got int"),
        (lambda: gate_of({}), "none of the 0 ids of the answers is the id of a case"),
        (lambda: gate_of({"c": "x"}), "none of the 1 ids of the answers is the id of a case, first 'c'"),
        (lambda: gate_of({"c1": 3}), "the answer to case 'c1': expected a string, got int"),
        (lambda: gate_of({"c1": ["x", "y"]}), "case 'c1': expected 1 answers (`generate.samples`), got 2"),
        (lambda: gate_of(lambda: "x"), "the function must accept one prompt"),
        (lambda: gate_of(right, batch_size=0), "batch_size: expected 1 or more, got 0"),
        (lambda: gate_of(right, dtype="float32"), "dtype: only for models that are opened by path or address"),
        (lambda: gate_of("no/such/folder"), "no such file or folder"),
        (lambda: gate_of((1, 2)), "expected a pair of a transformers model and its tokenizer"),
        (
            lambda: gate_of(right, suite_of([{**ROWS[0], "choices": ["answer 0", "b"]}], ["choice"], {"draw": 1})),
            "not the likelihood of a choice",
        ),
    ],
)
def test_wrong_input_is_one_clear_line(make: Callable[[], Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


# --- whatever answers ------------------------------------------------------------------------------------------------


async def right_async(prompt: str) -> str:
    await asyncio.sleep(0)
    return right(prompt)


def right_batched(prompts: list[str]) -> list[str]:
    return [right(prompt) for prompt in prompts]


async def right_batched_async(prompts: list[str]) -> list[str]:
    return right_batched(prompts)


def right_messages(messages: list[dict[str, str]]) -> str:
    return right(messages[-1]["content"])


class Answers:
    def __call__(self, prompt: str) -> str:
        return right(prompt)


@pytest.mark.parametrize(
    "model",
    [
        right, right_async, right_batched, right_batched_async, right_messages, Answers(), lambda prompt: right(prompt),
        {row["id"]: row["reference"] for row in ROWS}, ScriptedModel(lambda case: case.references[0]),
    ],
)  # fmt: skip
def test_functions_and_stored_answers_answer(model: Any) -> None:
    result = gate_of(model)
    assert (result.verdict, result.passed, result.drawn) == ("PASS", 10, 10)


def test_the_likeliest_label_of_a_classifier_is_its_answer() -> None:
    class Classifier:
        task = "text-classification"

        def __call__(self, prompt: str) -> list[dict[str, Any]]:
            return [{"label": right(prompt), "score": 0.9}]

    assert gate_of(Classifier()).passed_gate


def test_an_async_function_is_asked_where_a_loop_runs_already() -> None:
    async def in_a_notebook() -> tunegate.GateResult:
        return gate_of(right_async)

    assert asyncio.run(in_a_notebook()).passed_gate


def test_a_batched_function_gets_as_many_prompts_as_asked() -> None:
    sizes: list[int] = []

    def batched(prompts):  # type: ignore[no-untyped-def]
        sizes.append(len(prompts))
        return right_batched(prompts)

    assert gate_of(batched, batch_size=4).passed_gate
    assert max(sizes) <= 4


def test_a_chat_is_given_as_messages_with_the_system_message_of_the_suite() -> None:
    seen: list[Any] = []

    def model(prompt: Any) -> str:
        seen.append(prompt)
        return "x"

    gate_of(model, suite_of(generate={"system": "Be brief."}))
    assert seen[0][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda prompt: None, "the function must return a text, got nothing"),
        (lambda prompt: [right(prompt)], "the function must return a text, got a list; if the function answers many"),
        (lambda prompt: 1 / 0, "the function raised ZeroDivisionError"),
        (lambda prompt: exit(0), "the function raised SystemExit"),
    ],
)
def test_what_a_function_cannot_answer_is_invalid(answer: Callable[[str], Any], reason: str) -> None:
    result = gate_of(answer)
    assert (result.verdict, result.invalid, result.failed) == ("INVALID", 10, 0)
    assert reason in result.cases[0]["reason"]


def test_a_batch_of_too_few_answers_is_invalid() -> None:
    result = gate_of(lambda prompts: right_batched(prompts)[1:], batch_size=10)
    assert (result.verdict, result.invalid) == ("INVALID", 10)


def test_a_case_without_a_stored_answer_is_refused_and_one_whose_answer_is_none_is_invalid() -> None:
    with pytest.raises(
        ConfigError, match=r"9 of 10 cases that may be drawn .* have no answer; add rows for c1, c2, c3, …"
    ):
        gate_of({"c0": "answer 0"})
    result = gate_of({"c0": "answer 0", **{f"c{n}": None for n in range(1, 10)}, "zz": "?"})
    assert (result.verdict, result.passed, result.invalid) == ("INVALID", 1, 9)
    assert result.notes == ["1 of 11 ids belong to no case, first 'zz'; not used"]


def test_a_function_that_is_asked_again_is_asked_anew_and_the_earlier_verdict_is_told() -> None:
    asked: list[str] = []

    def flaky(prompt: str) -> str:
        asked.append(prompt)
        return right(prompt) if len(asked) > 10 else "?"

    first, second = gate_of(flaky), gate_of(flaky)
    assert (first.verdict, second.verdict, len(asked)) == ("FAIL", "PASS", 20)
    assert first.folder != second.folder
    assert list(second.run.earlier) == ["FAIL"]
    assert "this is not the first try" in second._repr_html_()


# --- the result ----------------------------------------------------------------------------------------------------


def test_the_result_tells_every_case() -> None:
    result = gate_of(lambda prompt: right(prompt) if "3" not in prompt else "<b>no</b>")
    assert (result.verdict, result.passed_gate, result.passed, result.failed) == ("PASS", True, 9, 1)
    assert 0.5 < result.interval[0] < 0.9 < result.interval[1]
    [missed] = [case for case in result.cases if case["verdict"] == "FAIL"]
    assert {key: missed[key] for key in ("id", "prompt", "response", "references", "tags", "scores")} == {
        "id": "c3", "prompt": "What is 3?", "response": "<b>no</b>", "references": ["answer 3"], "tags": ["t=x"],
        "scores": {"exact": False},
    }  # fmt: skip
    assert "is not" in missed["reason"]
    assert repr(result).startswith("GateResult(PASS: 9 of 10, 9 needed; record: tunegate-runs")


def test_a_result_is_neither_true_nor_false() -> None:
    with pytest.raises(TypeError, match=r"use `\.passed_gate` or `\.verdict`"):
        assert gate_of(right)


def test_the_record_is_that_of_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    result = gate_of(right, folder="here")
    assert result.record == Path("here/events.jsonl")
    assert main(["report", "here", "--recheck"]) == 0
    assert "rechecked" in capsys.readouterr().err
    assert read_run(result.folder).gates["suite"].passed == 10
    assert result.report(tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_a_data_frame_of_the_cases() -> None:
    pytest.importorskip("pandas")
    frame = gate_of(right).to_pandas()
    assert len(frame) == 10
    assert frame["score.exact"].all()


def test_without_pandas_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    result = gate_of(right)
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"GateResult\.to_pandas needs the extra 'data'"):
        result.to_pandas()


def test_the_first_screen_in_a_notebook_runs_nothing_and_escapes_what_a_model_says() -> None:
    page = gate_of(lambda prompt: "<script>alert(1)</script>")._repr_html_()
    assert "FAIL" in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"<(script|style|link|img|iframe|svg)|\son\w+=|class=|src=|href=", page)
    assert page.count("<tr") == 6


def test_a_plan_of_the_call_replaces_that_of_the_suite() -> None:
    result = gate_of(right, plan=tunegate.Plan(draw=4, accept=2), seed=3)
    assert (result.drawn, result.accept, result.passed) == (4, 2, 4)


def test_a_check_that_exits_the_process_or_raises_makes_a_case_invalid() -> None:
    class Ends(tunegate.Check):
        def judge(self, sample: tunegate.Sample) -> bool:
            raise SystemExit(0)

    assert gate_of(right, suite_of(checks=[Ends()])).verdict == "INVALID"


# --- models in memory ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    transformers = pytest.importorskip("transformers")
    folder = make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")
    auto = transformers.AutoModelForCausalLM, transformers.AutoTokenizer
    return auto[0].from_pretrained(folder), auto[1].from_pretrained(folder), folder


def test_a_model_in_memory_answers_as_the_same_model_on_disk(loaded: tuple[Any, Any, Path]) -> None:
    transformers = importlib.import_module("transformers")
    model, tokenizer, folder = loaded
    suite = suite_of(generate={"max_new_tokens": 4})
    on_disk = [case["response"] for case in gate_of(str(folder), suite, dtype="float32").cases]
    pipe = transformers.pipeline("text-generation", model=model, tokenizer=tokenizer)
    model.train()
    for given in ((model, tokenizer), pipe, SimpleNamespace(model=model, processing_class=tokenizer)):
        result = gate_of(given, suite)
        assert [case["response"] for case in result.cases] == on_disk
        assert len(str(read_run(result.folder).start["model_sha256"])) == 64
    assert model.training


def test_changed_weights_are_another_model(loaded: tuple[Any, Any, Path]) -> None:
    torch = importlib.import_module("torch")
    model, tokenizer, _ = loaded
    suite = suite_of(generate={"max_new_tokens": 1})
    before, again = gate_of((model, tokenizer), suite), gate_of((model, tokenizer), suite)
    with torch.no_grad():
        weights = next(model.parameters())
        weights[0, 0] += 1
    after = gate_of((model, tokenizer), suite)
    hashes = [read_run(result.folder).start["model_sha256"] for result in (before, again, after)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_model_in_memory_without_its_tokenizer_is_refused(loaded: tuple[Any, Any, Path]) -> None:
    with pytest.raises(ConfigError, match="needs its tokenizer"):
        gate_of(loaded[0])


def test_a_template_that_gives_answers_away_is_refused_in_memory_too(loaded: tuple[Any, Any, Path]) -> None:
    import copy

    tokenizer = copy.deepcopy(loaded[1])
    told = " ".join(f"What is {n}? answer {n}." for n in range(10))
    tokenizer.chat_template = f"{{{{ '{told}' }}}}" + tokenizer.chat_template
    with pytest.raises(CannotJudge, match="chat template"):
        gate_of((loaded[0], tokenizer))
