"""Files that the real tools wrote: which tool is recognised, and what is read of questions, answers and scores."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.elsewhere_files import EVERY_OPEN, FILES, HELD, LM_CHOICE, LM_OPEN, Held, named
from tunegate.elsewhere.read import FORMATS, read_results
from tunegate.elsewhere.results import Picks
from tunegate.exceptions import ConfigError, MissingExtra
from tunegate.models.model import ChoiceScore, ImportedScore, as_messages

QUESTIONS = [json.loads(line) for line in (HELD / "questions.jsonl").read_text().splitlines()]
every_file = pytest.mark.parametrize("held", FILES, ids=named)


def read(held: Held):  # type: ignore[no-untyped-def]
    if held.path.suffix == ".eval":
        pytest.importorskip("zstandard")
    found = read_results(held.path, Picks(**held.flags))
    assert found is not None
    return found


@every_file
def test_each_file_has_the_twelve_questions_with_their_targets(held: Held) -> None:
    results = read(held)
    assert results.tool == held.tool
    asked = {row["question"]: row["answer"] for row in QUESTIONS}
    for one in results.answers:
        question = next(text for text in asked if text in as_messages(one.prompt or "")[-1]["content"])
        assert one.references == (asked.pop(question),)
    assert not asked


@every_file
def test_an_error_of_the_tool_is_no_answer_and_keeps_its_place(held: Held) -> None:
    results = read(held)
    errors = {one.id: one.response.error for one in results.answers if one.response.error is not None}
    assert tuple(errors) == held.without
    assert all((error or "").startswith("the tool got no answer: ") for error in errors.values())


@every_file
def test_only_one_format_recognises_a_file(held: Held) -> None:
    if held.path.suffix == ".eval":
        return
    text = held.path.read_text()
    first = json.loads(text) if held.path.suffix == ".json" else json.loads(text.splitlines()[0])
    assert [one.tool for one in FORMATS if one.recognises(first)] == [held.tool]


def test_what_lm_eval_keeps() -> None:
    one = read(Held(LM_OPEN, "", 0, {"filter": "none"})).answers[0]
    assert one.response.text == " heart"
    assert one.response.imported == (ImportedScore("exact_match", 0.0, False),)
    assert one.id == "073ae7bd3611"
    results = read(Held(LM_CHOICE, "", 0))
    first = results.answers[0]
    assert first.choices == ("lung", "heart", "liver")
    assert first.response.choice_scores[1] == ChoiceScore(-0.4592795670032501, 5)
    assert [score.name for score in first.response.imported] == ["acc", "acc_norm"]
    assert results.told == {
        "task": "facts_choice",
        "filter": "none",
        "version": "0.4.13",
        "model": "local/SmolLM2-135M-Instruct",
        "transformers": "5.24.0",
    }


def test_what_inspect_keeps_is_the_same_in_both_forms() -> None:
    as_json, zipped = read(Held("inspect/facts.json", "", 0)), read(Held("inspect/facts.eval", "", 0))
    plain = {one.id: (one.prompt, one.references, one.response, one.questions) for one in as_json.answers}
    assert plain == {one.id: (one.prompt, one.references, one.response, one.questions) for one in zipped.answers}
    prompt, _, response, questions = plain["q0"]
    assert as_messages(prompt or "")[0] == {"role": "system", "content": "Answer in one word."}
    assert questions == ("Which organ pumps blood?",)
    assert response.imported == (ImportedScore("includes", 1.0, True), ImportedScore("exact", 1.0, True))
    assert response.finish_reason == "stop"


def test_without_zstandard_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtra, match=r"needs the extra 'inspect'.*pip install 'tunegate\[inspect\]'"):
        read_results(HELD / "inspect" / "facts.eval", Picks())


def test_what_promptfoo_deepeval_nemo_and_every_eval_ever_say_of_an_answer() -> None:
    scores = {held.tool: read(held).answers[0].response.imported for held in FILES}
    assert scores["DeepEval"] == (ImportedScore("Exact Match", 1.0, True),)
    assert scores["NeMo Evaluator"] == (ImportedScore("reward", 1.0, True),)
    assert scores["OpenAI evals"] == (ImportedScore("correct", 1.0, True),)
    assert scores["Every Eval Ever"] == (ImportedScore("score", 1.0, True),)
    promptfoo = read(Held("promptfoo/one.json", "", 0)).answers
    assert promptfoo[7].response.imported == (ImportedScore("success", 0.0, False), ImportedScore("same", 0.0, False))


# --- a part is never chosen silently --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "flags", "words"),
    [
        (LM_OPEN, {}, "2 filters; choose one: --filter first_word or --filter none"),
        (LM_OPEN, {"filter": "first"}, "--filter: the file has no filter 'first' .*'first_word'"),
        (LM_OPEN, {"filter": "none", "prompt": "x"}, "--prompt: has no effect on a file of lm-evaluation-harness"),
        ("inspect/two_epochs.json", {}, "2 epochs; choose one: --epoch 1 or --epoch 2"),
        ("promptfoo/two.json", {}, "2 prompts; choose one: --prompt short or --prompt plain"),
        ("promptfoo/two.json", {"prompt": "plain"}, "2 providers; choose one: --provider echo or --provider stub"),
        ("nemo/two_repeats.jsonl", {}, "2 epochs; choose one: --epoch 0 or --epoch 1"),
        (EVERY_OPEN, {}, "2 filters; choose one: --filter facts_open/first_word or --filter facts_open"),
    ],
)
def test_several_parts_are_listed_with_the_flag(file: str, flags: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_results(Held(file, "", 0).path, Picks(**flags))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("lm_eval/results_*.json", "the summary of lm-evaluation-harness; give the file samples_"),
        ("every_eval_ever/0ae95b72*f9c464.json", "the aggregate record of Every Eval Ever"),
        ("nemo/eval-*.json", "the summary of NeMo Evaluator"),
    ],
)
def test_a_summary_has_no_answers(file: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_results(Held(file, "", 0).path, Picks())


def test_other_files_are_the_users_own(tmp_path: Path) -> None:
    for name, text in {
        "a.jsonl": '{"id": "a", "response": "x"}\n',
        "a.csv": "id,response\na,x\n",
        "a.json": '[{"id": "a", "response": "x"}]',
        "b.json": '{"data": [{"id": "a", "response": "x"}]}',
        "c.jsonl": "not JSON\n",
        "d.json": "{",
        "e.jsonl": "",
    }.items():
        (tmp_path / name).write_text(text)
        if text:
            assert read_results(tmp_path / name, Picks()) is None, name
    assert read_results(tmp_path / "missing.jsonl", Picks()) is None


# --- what looks like a file of a tool, but lacks something ----------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "keys", "words"),
    [
        (LM_OPEN, ["target"], r"samples_facts_open.*jsonl:2: target: the key is missing; is the file complete"),
        (LM_OPEN, ["arguments", "gen_args_0", "arg_0"], r":2: arguments\.gen_args_0\.arg_0: the key is missing"),
        (LM_CHOICE, ["filtered_resps"], r":2: filtered_resps: the key is missing"),
        ("nemo/results.jsonl", ["reward"], r"results\.jsonl:2: reward: the key is missing"),
        (EVERY_OPEN, ["input", "raw"], r":2: input\.raw: the key is missing"),
        ("openai_evals/facts.jsonl", ["data"], r"facts\.jsonl:\d+: data: the key is missing"),
    ],
)
def test_a_missing_key_is_named_with_file_and_line(file: str, keys: list[str], words: str, tmp_path: Path) -> None:
    held = Held(file, "", 0)
    rows = [json.loads(line) for line in held.path.read_text().splitlines()]
    for place in (1, 2, 3) if "openai" in file else (1,):
        inner = rows[place]
        for key in keys[:-1]:
            inner = inner[key]
        inner.pop(keys[-1], None)
    path = tmp_path / held.path.name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = {LM_OPEN: "first_word", EVERY_OPEN: "facts_open/first_word"}
    with pytest.raises(ConfigError, match=words):
        read_results(path, Picks(filter=flags.get(file)))


def test_a_wrong_kind_says_what_was_expected_and_what_came(tmp_path: Path) -> None:
    log = json.loads((HELD / "inspect" / "facts.json").read_text())
    log["samples"][0]["target"] = {"text": "heart"}
    (tmp_path / "log.json").write_text(json.dumps(log))
    with pytest.raises(ConfigError, match=r"log\.json: samples\[0\]\.target: a text was expected, got an object; "):
        read_results(tmp_path / "log.json", Picks())


def test_a_number_that_is_also_the_text_of_another_choice_is_ambiguous(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in Held(LM_CHOICE, "", 0).path.read_text().splitlines()]
    for place, text in enumerate(("1", "0", "2")):
        rows[0]["arguments"][f"gen_args_{place}"]["arg_1"] = f" {text}"
    path = tmp_path / "samples_x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ConfigError, match="'1' may be the number of a choice or its text"):
        read_results(path, Picks())


def test_a_cut_archive_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("zstandard")
    whole = (HELD / "inspect" / "facts.eval").read_bytes()
    for size in (10, 2000, len(whole) // 2, len(whole) - 30):
        (tmp_path / "cut.eval").write_bytes(whole[:size])
        with pytest.raises(ConfigError, match=r"cut\.eval"):
            read_results(tmp_path / "cut.eval", Picks())


def test_a_log_without_its_end_is_told(tmp_path: Path) -> None:
    log = json.loads((HELD / "inspect" / "facts.json").read_text()) | {"status": "cancelled"}
    (tmp_path / "log.json").write_text(json.dumps(log))
    results = read_results(tmp_path / "log.json", Picks())
    assert results is not None
    assert "the status of this log is 'cancelled'" in results.notes[0]


def test_nothing_beside_the_file_is_needed(tmp_path: Path) -> None:
    path = Path(shutil.copy(Held(LM_CHOICE, "", 0).path, tmp_path))
    results = read_results(path, Picks())
    assert results is not None
    assert results.told == {"task": "facts_choice", "filter": "none"}


# --- forms that other set-ups of lm-evaluation-harness write ----------------------------------------------------------


def lm_eval_rows(folder: Path, change: Callable[[list[dict[str, Any]]], None], held: str = LM_OPEN) -> Path:
    lines = [json.loads(line) for line in Held(held, "", 0).path.read_text().splitlines()]
    rows = [row for row in lines if row["filter"] == lines[0]["filter"]]
    change(rows)
    path = folder / "samples_x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_chat_api_is_asked_by_a_chat(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "Which organ pumps blood?"}]

    def change(rows: list[dict[str, Any]]) -> None:
        rows[0]["arguments"]["gen_args_0"]["arg_0"] = json.dumps(chat)
        rows[1]["arguments"]["gen_args_0"]["arg_0"] = [json.dumps(chat)]
        rows[2]["arguments"] = [["Which gas?", {"until": []}]]
        rows[3]["arguments"]["gen_args_0"]["arg_0"] = "[{not JSON"

    results = read_results(lm_eval_rows(tmp_path, change), Picks())
    assert results is not None
    assert [one.prompt for one in results.answers[:4]] == [tuple(chat), tuple(chat), "Which gas?", "[{not JSON"]


def test_several_targets_and_equal_documents(tmp_path: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[0]["target"] = "['heart', 'the heart']"
        rows[1]["target"] = "[1, 2]"
        rows[2]["target"] = "[unclosed]"
        rows[4] = {**rows[3], "doc_id": 4}

    results = read_results(lm_eval_rows(tmp_path, change), Picks())
    assert results is not None
    assert [one.references for one in results.answers[:3]] == [("heart", "the heart"), ("[1, 2]",), ("[unclosed]",)]
    assert results.answers[4].id == f"{results.answers[3].id}-2"


def test_requests_without_a_question_are_left_out(tmp_path: Path) -> None:
    """Those of `acc_mutual_info`."""

    def change(rows: list[dict[str, Any]]) -> None:
        for number in range(3):
            said = rows[0]["arguments"][f"gen_args_{number}"]["arg_1"]
            rows[0]["arguments"][f"gen_args_{number + 3}"] = {"arg_0": "", "arg_1": said}
            rows[0]["filtered_resps"].append(["-9.5", "False"])

    results = read_results(lm_eval_rows(tmp_path, change, LM_CHOICE), Picks())
    assert results is not None
    assert results.answers[0].choices == ("lung", "heart", "liver")
    assert len(results.answers[0].response.choice_scores) == 3
