"""`tunegate explain-case` on real weights: words, page and JSON; other weights than those that answered are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.one_thread import one_thread as one_thread
from tests.support.tiny_model import make_adapter, make_tiny_model
from tunegate.attribution.explanation import METHODS, QUICK, explanation_from_json
from tunegate.cli import main
from tunegate.command_actions import EXPLAINED_BY

torch = pytest.importorskip("torch")
pytest.importorskip("captum", reason="the extra attribution is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
Capture = pytest.CaptureFixture[str]
SUITE = "{cases: cases.jsonl, checks: [exact], plan: {draw: 3, accept: 2}, generate: {max_new_tokens: 4}}"
PROMPTS = ["Which gene causes it?", "What is the capital of France? Paris or Rome.", "How many people have it?"]


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, and the record of a gate that it failed."""
    folder = tmp_path_factory.mktemp("gated")
    make_tiny_model(folder / "model")
    rows = [{"id": f"q{n}", "prompt": prompt, "reference": "dominant"} for n, prompt in enumerate(PROMPTS)]
    write_jsonl(folder / "cases.jsonl", rows)
    (folder / "suite.yaml").write_text(SUITE)
    command = ["gate", str(folder / "model"), "--suite", str(folder / "suite.yaml"), "--ledger", "none"]
    assert main([*command, "--run", str(folder / "record"), "--dtype", "float32"]) == 1
    return folder


def explained(gated: Path, capsys: Capture, *words: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["explain-case", str(gated / "record"), *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_words_come_first_and_every_method_gives_a_strip(gated: Path, capsys: Capture, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["explain-case", str(gated / "record"), "q1", "--out", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "case q1 of gate suite: FAIL"
    assert lines[2].startswith("The answer and the reference first differ at token 1: ")
    assert lines[3].startswith("The answer depends most on the ")
    assert [line for line in lines if line.startswith("  integrated gradients (by token, 34 passes): ")]
    assert lines[-1] == f"page: {page}"
    assert page.stat().st_size < 500_000
    assert "default-src &#x27;none&#x27;" in page.read_text()


def test_the_figures_are_those_of_the_model(gated: Path, capsys: Capture, tmp_path: Path) -> None:
    """Held against a plain loop: one sequence, no cache, no padding."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    code, told = explained(gated, capsys, "q0", "--method", "ablation", "--out", str(tmp_path / "p.html"))
    assert code == 0
    one = explanation_from_json(told["explanations"][0])
    model = AutoModelForCausalLM.from_pretrained(gated / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(gated / "model")
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": PROMPTS[0]}], tokenize=False, add_generation_prompt=True
    )
    assert one.prompt == PROMPTS[0]
    answer = tokenizer(one.answer, add_special_tokens=False)["input_ids"]

    def first(prompt: str) -> float:
        ids = torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]])
        with torch.no_grad():
            return float(torch.log_softmax(model(ids).logits[0, -1], -1)[answer[0]])

    assert one.answer_tokens[0].log_probability == pytest.approx(first(text), abs=2e-3)
    [strip] = one.strips
    words = one.texts("word")
    without_last = text.replace(PROMPTS[0], PROMPTS[0].removesuffix(f" {words[-1]}"))
    assert strip.weights[-1] == pytest.approx(first(text) - first(without_last), abs=2e-3)


def test_only_the_named_methods_run(gated: Path, capsys: Capture, tmp_path: Path) -> None:
    words = [word for method in QUICK for word in ("--method", method)]
    _, told = explained(gated, capsys, "q0", *words, "--out", str(tmp_path / "p.html"))
    [one] = told["explanations"]
    assert [strip["method"] for strip in one["strips"]] == ["ablation", "input_x_gradient"]
    assert one["lens"] is not None
    assert one["heads"] == []


def test_the_seed_changes_what_is_drawn(gated: Path, capsys: Capture, tmp_path: Path) -> None:
    words = ("q0", "--method", "lime", "--out", str(tmp_path / "p.html"))
    one, again, other = (explained(gated, capsys, *words, "--seed", seed)[1] for seed in "112")
    assert one == again
    assert one["explanations"][0]["strips"] != other["explanations"][0]["strips"]


def test_without_a_case_the_misses_are_listed(gated: Path, capsys: Capture) -> None:
    assert main(["explain-case", str(gated / "record")]) == 0
    assert "3 missed cases" in capsys.readouterr().out
    code, told = explained(gated, capsys)
    assert (code, {one["case"] for one in told["missed"]}) == (0, {"q0", "q1", "q2"})


def test_another_model_explains_the_same_answer(gated: Path, capsys: Capture, tmp_path: Path) -> None:
    adapter = make_adapter(gated / "model", tmp_path / "adapter")
    words = ("q0", "--method", "ablation", "--out", str(tmp_path / "p.html"), "--against", str(adapter))
    _, told = explained(gated, capsys, *words)
    own, other = told["explanations"]
    assert own["answer"] == other["answer"]
    assert own["pieces"] == other["pieces"]
    assert own["strips"][0]["weights"] != other["strips"][0]["weights"]
    assert other["model"] == str(adapter)
    assert "The other model: " in (tmp_path / "p.html").read_text()


def test_other_weights_are_tampered_and_moved_ones_are_found(gated: Path, capsys: Capture, tmp_path: Path) -> None:
    record, page = str(gated / "record"), str(tmp_path / "p.html")
    moved = make_tiny_model(tmp_path / "moved")
    other = make_tiny_model(tmp_path / "other", seed=1)
    command = ["explain-case", record, "q0", "--method", "ablation", "--out", page, "--model"]
    assert main([*command, str(moved)]) == 0
    assert main([*command, str(other)]) == 5
    assert "answered case 'q0'; restore these weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (["nowhere", "q0"], 2, "nowhere: no record of a run or a gate"),
        (["RECORD", "q9"], 2, "no answer to a case 'q9' is on record (did you mean"),
        (["RECORD", "q0", "--method", "shap"], 2, "invalid choice: 'shap'"),
        (["RECORD", "--method", "lime"], 2, "--method: has no effect without a case"),
        (["RECORD", "--out", "p.html"], 2, "--out: has no effect without a case"),
        (["RECORD", "q0", "--model", "http://127.0.0.1:9/v1#m"], 2, "needs the weights, which a server does not give"),
        (["RECORD", "q0", "--against", "no-such-model"], 2, "no such file or folder"),
    ],
)
def test_one_line_says_what_is_wrong(gated: Path, capsys: Capture, words: list[str], exit_code: int, said: str) -> None:
    words = [word.replace("RECORD", str(gated / "record")) for word in words]
    assert main(["explain-case", *words]) == exit_code
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_stored_answers_have_no_weights(gated: Path, capsys: Capture, tmp_path: Path) -> None:
    answers = write_jsonl(tmp_path / "answers.jsonl", [{"id": f"q{n}", "response": "recessive"} for n in range(3)])
    command = ["gate", "--responses", str(answers), "--suite", str(gated / "suite.yaml"), "--ledger", "none"]
    assert main([*command, "--run", str(tmp_path / "record")]) == 1
    assert main(["explain-case", str(tmp_path / "record"), "q0"]) == 2
    assert "the record names no weights" in capsys.readouterr().err


def test_the_command_line_names_every_method() -> None:
    assert EXPLAINED_BY == METHODS
