"""`tunegate check` on banks: for how many attempts they last, said before anything is trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bank import Bank as Asked
from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, write_pipeline
from tunegate.cases.bank import Bank
from tunegate.cases.case import Case
from tunegate.cli import main
from tunegate.stats.plans import GatePlan
from tunegate.stats.sampling import SinglePlan
from tunegate.suites.fitting_plan import fitting_plan, supported_attempts
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check


def bank(working: int, sealed: int) -> Bank:
    cases = tuple(Case(str(number), f"{number}?") for number in range(working + sealed))
    return Bank(cases[:working], cases[working:])


ONE = SinglePlan(100, 90)


@pytest.mark.parametrize(
    ("working", "sealed", "plan", "attempts"),
    [
        (350, 0, GatePlan(ONE), 3),
        (350, 0, GatePlan(ONE, ONE, "after_retry"), 1),  # nothing can confirm a second one
        (350, 100, GatePlan(ONE, ONE, "after_retry"), 2),
        (350, 500, GatePlan(ONE, ONE, "after_retry"), 3),
        (350, 200, GatePlan(ONE, ONE, "always"), 2),
        (99, 500, GatePlan(ONE, ONE, "always"), 0),
        (100, 0, GatePlan(ONE, reuse=True), None),
        (100, 100, GatePlan(ONE, ONE, "after_retry", reuse=True), None),
        (100, 99, GatePlan(ONE, ONE, "after_retry", reuse=True), 1),
    ],
)
def test_a_bank_supports_so_many_attempts(working: int, sealed: int, plan: GatePlan, attempts: int | None) -> None:
    assert supported_attempts(bank(working, sealed), plan) == attempts


def test_check_says_how_far_the_banks_reach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_pipeline(tmp_path / "project", bank=20)
    assert main(["check", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    suite, stage = facts["suites"]["facts"], facts["stages"]["sft"]
    assert suite["working"] + suite["sealed"] == 20
    assert stage["supported_attempts"]["facts"] == min(suite["working"] // 5, 1 + suite["sealed"] // 5)
    rule = {"net_loss": 0, "differ": 0.1, "attempts": 3, "risk": None, "tier": None}
    kept = {"max_drop": 5.0, "since": "sft", "draw": 5, "kept": rule, "reuse": False, "again": False}
    retained = facts["stages"]["align"]["retention"]
    assert list(retained) == ["facts", "style"]
    assert all({**one, "slips": None} == {**kept, "slips": None} for one in retained.values())
    assert main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "must retain: facts, style" in out
    assert "has fresh cases for at least 2 attempts" in out
    path.write_text(PIPELINE.replace("draw: 5, accept: 4", "draw: 9, accept: 8"))
    assert main(["check", str(path)]) == 0
    assert "has fresh cases for at least 1 attempt; each uses 9 of" in capsys.readouterr().out


@pytest.mark.usefixtures("project_ledger")
def test_check_of_a_suite_alone_says_for_how_many_gates_its_cases_last(
    make_bank: Callable[..., Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each number is what gates then find: a bank of 25 without sealed cases has none that could confirm a second."""

    def lasts() -> tuple[str, int]:
        capsys.readouterr()
        assert main(["check", "suite.yaml"]) == 0
        [line] = [line for line in capsys.readouterr().out.splitlines() if "fresh cases for" in line]
        assert main(["check", "suite.yaml", "--json"]) == 0
        return line, json.loads(capsys.readouterr().out)["suites"]["suite"]["fresh_attempts"]

    for cases, attempts in ((10, 1), (25, 1), (60, 2)):
        shutil.rmtree("tunegate-ledger", ignore_errors=True)
        bank = make_bank(cases, plan="{draw: 10, accept: 9}")
        second = "then a second model" if attempts == 1 else "then another model"
        line = (
            f"suite suite: fresh cases for {attempts} attempt{'s'[: attempts > 1]}; {second} cannot be gated without "
        )
        assert lasts() == (f"{line}more cases", attempts)
        for number in range(attempts):
            assert lasts()[1] == attempts - number
            answers = f"answers{number}.jsonl"
            more = {"id": f"more-{number}", "response": "of another model"}
            write_jsonl(Path(answers), [*({"id": i, "response": f"answer {i}"} for i in bank.ids), more])
            assert main(["gate", "--responses", answers, "--suite", bank.suite]) == 0
        line, left = lasts()
        assert left == 0
        assert "fresh cases for no attempt (" in line
        assert "as the ledger says); a model cannot be gated without more cases" in line
        assert main(["gate", "--responses", bank.answers(cases - 1, "last.jsonl"), "--suite", bank.suite]) == 4


@pytest.mark.usefixtures("project_ledger")
def test_check_of_a_suite_that_reuses_its_cases(
    make_bank: Callable[..., Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    bank = make_bank(10, plan="{draw: 10, accept: 9, reuse: true}")
    said = "cases for any number of attempts: `plan: {reuse: true}` asks them again"
    assert main(["check", "suite.yaml"]) == 0
    assert said in capsys.readouterr().out
    for right, code in ((8, 1), (9, 0)):  # after a miss no pass is confirmed: its luck is unknown anyway
        answers = bank.answers(right, f"{right}.jsonl")
        assert main(["gate", "--responses", answers, "--suite", "suite.yaml"]) == code
        assert main(["check", "suite.yaml"]) == 0
        assert said in capsys.readouterr().out


def test_a_baseline_is_measured_once_and_nothing_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shots = "stages:\n  - {name: shots, method: fewshot, data: train.jsonl, gates: [facts]}\n"
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("stages:\n", shots, 1))
    assert main(["check", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "stage shots: fewshot on 8 rows, nothing is trained; gates: facts" in lines
    assert not [line for line in lines if line.startswith("note: stage shots")]
    assert main(["check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"]["shots"]["max_attempts"] == 1


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("{draw: 5, accept: 6}", "expected accept to be at most draw (5), got 6"),
        ("{draw: 21}", "the bank has 20 cases, but the plan draws 21"),
        ("{kind: double, draw: 10, accept: 9, confirm: {draw: 12, accept: 11}}", "confirmed by 12 sealed cases"),
        ("{draw: 5, risk: {}}", "5 cases cannot keep a consumer's risk of 0.05"),
        ("{kind: triple}", "plan.kind: "),
        ("{kind: double, confirm: never}", "contradicts"),
        ("{draw: 5, accept: 4, risk: {}}", "not both"),
        ("{risk: {at: 0.95, good: 0.9}}", "expected `at` below `good`"),
        ("{draw: 5, confirm: {draw: 3, accept: 4}}", "expected accept to be at most draw (3), got 4"),
    ],
)
def test_a_plan_that_cannot_be_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], plan: str, message: str
) -> None:
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("{draw: 5, accept: 4}", plan), bank=20)
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_double_plan_needs_sealed_cases_for_all_its_attempts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Solved for one attempt the confirming draw is small; for the stage's ten it is larger than what is sealed."""
    text = PIPELINE.replace("{draw: 5, accept: 4}", "{kind: double}").replace("max_attempts: 3", "max_attempts: 10")
    path = write_pipeline(tmp_path / "project", text, bank=200)
    assert main(["check", str(path)]) == 2
    error = capsys.readouterr().err
    assert "every pass is confirmed by 101 sealed cases" in error
    assert " 1 more " in error, "of 100 + 101 there are 200"
    assert "this bank has enough cases for one attempt of `plan: {kind: double, draw: " in error


def cases(number: int) -> tuple[Case, ...]:
    return tuple(Case(str(one), f"What is {one}?", references=("x",)) for one in range(number))


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("number", [12, 40, 70, 140, 200, 300, 600])
def test_a_proposed_plan_can_be_written_and_served(tmp_path: Path, number: int, attempts: int) -> None:
    found = fitting_plan(cases(number), attempts)
    assert found is not None
    rows = [{"id": str(one), "prompt": f"What is {one}?", "reference": "x"} for one in range(number)]
    (tmp_path / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = "\n".join(found.keys.replace(", sealed", "\nsealed").splitlines())
    (tmp_path / "suite.yaml").write_text(f"cases: cases.jsonl\nchecks: [exact]\n{keys}\n")
    suite = load_suite(tmp_path / "suite.yaml", build_check)
    assert suite.rule.resolve(found.attempts) == found.plan
    supported = supported_attempts(suite.bank, suite.rule.resolve(found.attempts))
    assert supported is not None
    assert supported >= found.attempts


def test_the_risk_is_kept_where_the_bank_allows_it() -> None:
    kept = {number: fitting_plan(cases(number), 1) for number in (30, 60, 150, 300)}
    lucky = {number: found.plan.acceptance_within(0.85, 1) for number, found in kept.items() if found}
    assert lucky[150] <= 0.05
    assert lucky[300] <= 0.05
    assert 0.05 < lucky[60] < lucky[30]
    assert fitting_plan(cases(9), 1) is None


def test_a_shortage_is_counted_and_a_plan_is_proposed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = PIPELINE.replace("draw: 5, accept: 4", "draw: 90, accept: 81")
    path = write_pipeline(tmp_path / "project", text, bank=200)
    assert main(["check", str(path)]) == 0
    [note] = [line for line in capsys.readouterr().out.splitlines() if "the bank of facts has fresh cases" in line]
    assert "3 attempts need about" in note
    assert "this bank has enough cases for" in note
    assert main(["check", str(path), "--json"]) == 0
    assert (
        "this bank has enough cases for" in json.loads(capsys.readouterr().out)["stages"]["sft"]["proposals"]["facts"]
    )


@pytest.mark.parametrize(
    ("check", "field", "missing"),
    [
        ("exact", "reference", "reference"),
        ("contains", "reference", "reference"),
        ("{rougeL: 0.5}", "reference", "reference"),
        ("{similarity: 0.5}", "reference", "reference"),
        ("choice", "choices", "choices"),
    ],
)
def test_cases_without_what_a_check_compares_with_are_refused(
    check: str, field: str, missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text(
        f"cases: cases.jsonl\nchecks:\n  - {{regex: a+}}\n  - {check}\nplan: {{draw: 5, accept: 4}}\n"
        "generate: {form: auto}\n"
    )
    rows = [{"id": n, "prompt": f"{n}?", "reference": "a", "choices": ["a", "b"]} for n in range(10)]
    write_jsonl(tmp_path / "cases.jsonl", rows)
    assert main(["check", str(path)]) == 0
    write_jsonl(tmp_path / "cases.jsonl", [{k: v for k, v in row.items() if k != field} for row in rows])
    capsys.readouterr()
    assert main(["check", str(path)]) == 2
    name = check.strip("{").partition(":")[0]
    assert capsys.readouterr().err == (
        f"tunegate check: {path}:4: checks[1]: {name} needs `{missing}` in each case, but none of the 10 cases of "
        f"cases.jsonl has it: all would be INVALID; add `{missing}` to the rows, or name the field: "
        f'`cases: {{{missing}: "{{field}}"}}`\n'
    )


def test_a_few_cases_without_a_reference_are_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "facts.yaml"
    path.write_text("cases: cases.jsonl\nchecks: [exact, {contains: a}]\nplan: {draw: 5, accept: 4}\n")
    rows = [{"id": n, "prompt": f"{n}?", "references": ["a"] if n else []} for n in range(10)]
    write_jsonl(tmp_path / "cases.jsonl", rows)
    assert main(["check", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[3]
        == "note: suite facts: exact needs `reference` in each case, but 1 of 10 cases has none: INVALID if drawn"
    )


# --- attempts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retrain", "attempts", "note"),
    [
        ("{max_attempts: 3, rows: [2, 4, 8]}", "at most 3 attempts", ""),
        (
            "{auto: false, max_attempts: 3}",
            "one attempt",
            "max_attempts is 3, but no `retrain` list has a second value: only one",
        ),
        ("{max_attempts: 3}", "at most 3 attempts", ""),
        ("auto", "at most 3 attempts", ""),
        ("{auto: true, max_attempts: 9}", "at most 6 attempts", "max_attempts is 9, but the `retrain` lists have"),
        ("{max_attempts: 2, rows: [8]}", "one attempt", "max_attempts is 2, but no `retrain` list has a second value"),
        (
            "{max_attempts: 9, rows: [4, 8], epochs: [1.0, 2.0]}",
            "at most 3 attempts",
            "max_attempts is 9, but the `retrain` lists have values for 3 attempts",
        ),
        ("{max_attempts: 4, rows: [4, 8], epochs: [1.0, 2.0], search: optuna}", "at most 4 attempts", ""),
        ("{rows: [2]}", "one attempt", ""),
        ("{max_attempts: 1}", "one attempt", ""),
    ],
)
def test_attempts_that_cannot_happen_are_a_note(
    retrain: str, attempts: str, note: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("{max_attempts: 3, rows: [2, 4, 8]}", retrain))
    assert main(["check", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    stage = next(line for line in lines if line.startswith("stage sft: "))
    assert f", {attempts}; gates" in stage
    notes = [line for line in lines if line.startswith("note: stage sft: max_attempts")]
    assert [one.startswith(f"note: stage sft: {note}") for one in notes] == ([True] if note else [])


AUTO = """\
stage sft: at most 3 trainings; after a miss by noise, the same weights are asked fresh cases first
stage sft: values to try: epochs 3, 6 (default); learning_rate 2e-05, 1e-05 (default); replay 0, 0.1, 0.25 (default)
stage sft: after diverged, the training failed, learning rate too high, overfit: learning_rate
stage sft: after out of memory, label noise: nothing to try
stage sft: after forgetting: replay, then learning_rate
stage sft: after learning rate too low, never stops, length: epochs
stage sft: after truncation, format, class imbalance, weak kinds, underfit, the gate was missed, near miss: epochs, \
then learning_rate
stage sft: after repetition: learning_rate, then epochs
"""
RETAINED = (
    "  general: {cases: cases.jsonl, checks: [exact], plan: {draw: 5, accept: 4}, retention: {max_drop: 5}}\nstages:"
)


def test_the_values_to_try_are_told_with_their_causes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = PIPELINE.replace("{max_attempts: 3, rows: [2, 4, 8]}", "auto").replace("stages:", RETAINED)
    path = write_pipeline(tmp_path / "project", text)
    assert main(["check", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = [line for line in lines if line.startswith("stage sft: ")][1:]
    assert told == AUTO.splitlines()
    assert main(["check", str(path), "--json"]) == 0
    stage = json.loads(capsys.readouterr().out)["stages"]["sft"]
    assert (stage["possible_trainings"], stage["redraws"]) == (3, True)
    assert stage["default_ladders"] == ["epochs", "learning_rate", "replay"]
    assert stage["ways"]["forgetting"] == ["replay", "learning_rate"]


def test_a_stage_with_one_training_has_no_values_to_try(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_pipeline(tmp_path / "project", PIPELINE)
    assert main(["check", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "stage sft: values to try: rows 2, 4, 8" in lines
    assert [line.partition(":")[0] for line in lines].count("stage align") == 1


# --- the model -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "exit_code", "message"),
    [
        ("./nix", 2, "model '{folder}/nix': no such file or folder (known: base, empty, not.gguf)"),
        ("./bas", 2, "model '{folder}/bas': no such file or folder (did you mean 'base'?)"),
        ("package:tunegate_suites/x.gguf", 2, "model 'package:tunegate_suites/x.gguf': the package 'tunegate_suites'"),
        ("package:llm_smolm/x.gguf", 2, "model 'package:llm_smolm/x.gguf': the package 'llm_smolm' is not installed"),
        (
            "./empty",
            2,
            "model '{folder}/empty': the folder has neither config.json (a model) nor adapter_config.json",
        ),
        ("./cases.jsonl", 2, "model '{folder}/cases.jsonl': a model folder or a .gguf file was expected, got the file"),
        ("./not.gguf", 2, "{folder}/not.gguf: this is not a GGUF file: it begins with b'abcd' instead of b'GGUF'"),
        ("http://127.0.0.1:1/v1#m", 3, "model 'http://127.0.0.1:1/v1#m': a pipeline trains a model on disk, but this"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_model_that_is_not_there_is_refused(
    command: str, model: str, exit_code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("model: base", f"model: {model}"))
    (path.parent / "empty").mkdir()
    (path.parent / "not.gguf").write_text("abcd")
    assert main([command, str(path)]) == exit_code
    said = capsys.readouterr()
    assert message.format(folder=path.parent) in said.err
    assert "ok" not in said.out
    assert not (path.parent / "runs").exists()


def test_check_downloads_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("model: base", "model: some-one/some-model"))
    assert main(["check", str(path)]) == 0
    assert f"{path}: ok" in capsys.readouterr().out


def write_model(folder: Path) -> None:
    """A model of two layers as far as its files show it: a configuration, and the header of its weights."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": 2}))
    names = [f"model.layers.{n}.self_attn.{name}_proj.weight" for n in range(2) for name in "qkv"]
    header = json.dumps({"__metadata__": {}} | {name: {"shape": [1]} for name in names}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


@pytest.mark.parametrize("layers", ["2", "[0, 2]", "[-1, 2]"])
@pytest.mark.parametrize("command", ["check", "run"])
def test_layers_that_the_model_does_not_have_are_refused(
    command: str, layers: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peft = f"data: train.jsonl\n    peft: {{layers_to_transform: {layers}}}\n"
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("data: train.jsonl\n", peft))
    write_model(path.parent / "base")
    assert main([command, str(path)]) == 2
    beyond = layers.strip("[]").removeprefix("0, ")
    assert capsys.readouterr().err == (
        f"tunegate {command}: {path}: stage sft: peft.layers_to_transform: "
        f"expected layers from 0 to 1 (the model's), got {beyond}\n"
    )
    assert not (path.parent / "runs").exists()


def test_names_that_no_weight_has_are_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    peft = "data: train.jsonl\n    peft: {layers_to_transform: [0, 1], target_modules: [q_proj, k_prj, lm_head]}\n"
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("data: train.jsonl\n", peft))
    assert main(["check", str(path)]) == 0
    assert "peft" not in capsys.readouterr().out  # of a model without weights nothing is known
    write_model(path.parent / "base")
    assert main(["check", str(path)]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if "peft" in line]
    assert notes == [
        "note: stage sft: peft.target_modules: the model has no weight named 'k_prj' "
        "(did you mean 'k_proj' or 'v_proj' or 'q_proj'?)"
    ]
