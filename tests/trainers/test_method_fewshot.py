"""Few-shot prompting: which examples are taken, how they are put, and that they lie with the weights."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import SUITE, carry_out, tools, write_pipeline
from tests.support.tiny_model import make_tiny_model
from tests.support.trainer_jobs import SFT_ROWS, MakeJob, real_training
from tunegate.cases.case import Case, Prompt
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.models.fewshot import FewShotModel, MeaningIndex, Shot, WordIndex, with_shots_of
from tunegate.models.model import GenerationSettings, ScriptedModel
from tunegate.models.open_model import find_model, open_model
from tunegate.reading.chats import Message
from tunegate_trainers import common, validate
from tunegate_trainers.process import run

pytestmark = real_training

SHOTS = [
    Shot("Which gene causes Kabuki syndrome?", "KMT2D"),
    Shot("How many people have Kabuki syndrome?", "1 in 32,000"),
    Shot("What is the capital of France?", "Paris"),
]
UNTOUCHED: dict[str, Any] = {"peft": None, "args": {}}


def turn(role: Any, content: str) -> Message:
    return Message(role=role, content=content)


def asked(prompt: Prompt, k: int = 2, *, chat: bool = True) -> Prompt:
    return FewShotModel(ScriptedModel(lambda case: ""), SHOTS, k, chat).with_shots(Case("1", prompt)).prompt


# Which


def test_the_nearest_share_rare_words() -> None:
    index = WordIndex([str(shot.prompt) for shot in SHOTS])
    assert index.nearest("Which gene causes Noonan syndrome?", 3) == [0, 1]
    assert index.nearest("CAPITAL of Italy, people?", 2) == [2, 1]
    assert index.nearest("Nothing alike", 2) == []


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=6), min_size=1, max_size=6), st.integers(1, 7))
def test_the_cosines_are_those_of_tf_idf(bags: list[list[str]], k: int) -> None:
    """Against the formula written out, for the first text as the question."""

    def vector(bag: list[str]) -> list[float]:
        idf = [math.log((1 + len(bags)) / (1 + sum(word in other for other in bags))) + 1 for word in "abcd"]
        return [bag.count(word) * weight for word, weight in zip("abcd", idf, strict=True)]

    def cosine(place: int) -> float:
        one, other = vector(bags[place]), vector(bags[0])
        return round(sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other), 9)

    alike = [place for place in range(len(bags)) if cosine(place) > 0]
    nearest = WordIndex([" ".join(bag) for bag in bags]).nearest(" ".join(bags[0]), k)
    assert nearest == sorted(alike, key=lambda place: (-cosine(place), place))[:k]


def test_the_nearest_by_meaning_are_those_of_the_highest_cosine_and_the_first_of_equals() -> None:
    places = {
        "gene": (1.0, 0.0),
        "DNA": (0.8, 0.6),
        "RNA": (0.8, 0.6),
        "Paris": (0.0, 1.0),
        "chromosome": (0.98, 0.199),
    }
    asked: list[Sequence[str]] = []

    def embed(texts: Sequence[str]) -> dict[str, Any]:
        asked.append(texts)
        return {text: np.array(places[text]) for text in texts}

    index = MeaningIndex(embed, ["Paris", "RNA", "DNA", "gene"])
    assert index.nearest("chromosome", 3) == [3, 1, 2]
    assert index.nearest("Paris", 9) == [0, 1, 2, 3]
    assert asked[0] == ["Paris", "RNA", "DNA", "gene"]
    assert [list(texts) for texts in asked[1:]] == [["chromosome"], ["Paris"]]  # the rows are embedded once


def test_embeddings_that_are_no_numbers_choose_nothing() -> None:
    index = MeaningIndex(lambda texts: {text: np.array([math.nan, 1.0]) for text in texts}, ["a", "b"])
    with pytest.raises(CannotJudge, match="the sentence embeddings contain NaN"):
        index.nearest("c", 1)


# How


def test_they_stand_as_turns_before_the_question_the_likest_last() -> None:
    assert asked("Which gene causes Noonan syndrome?") == (
        turn("user", "How many people have Kabuki syndrome?"),
        turn("assistant", "1 in 32,000"),
        turn("user", "Which gene causes Kabuki syndrome?"),
        turn("assistant", "KMT2D"),
        turn("user", "Which gene causes Noonan syndrome?"),
    )


def test_a_system_message_stays_on_top() -> None:
    question = (turn("system", "Be brief."), turn("user", "Which gene causes Noonan syndrome?"))
    prompt = asked(question, 1)
    assert isinstance(prompt, tuple)
    assert [message["role"] for message in prompt] == ["system", "user", "assistant", "user"]


def test_without_a_chat_template_they_are_text() -> None:
    assert asked("Which gene causes Noonan syndrome? ", 1, chat=False) == (
        "Which gene causes Kabuki syndrome?KMT2D\n\nWhich gene causes Noonan syndrome? "
    )


def test_an_empty_prompt_gets_none() -> None:
    assert asked("") == ""


# The folder


def test_nothing_is_trained_and_the_examples_lie_with_the_weights(make_job: MakeJob) -> None:
    job = make_job("fewshot", options={"k": 2}, **UNTOUCHED)
    log, summary = run(job)
    assert log == []
    assert (summary["rows"], summary["rows_dropped"], summary["k"]) == (6, 0, 2)
    json.dumps(summary, allow_nan=False)
    assert os.path.samefile(f"{job.model}/model.safetensors", f"{job.output}/model.safetensors")
    model = open_model(job.output)
    assert isinstance(model, FewShotModel)
    assert model.sha256 == find_model(job.output).sha256
    assert model.shots[0] == Shot(SFT_ROWS[0]["prompt"], SFT_ROWS[0]["completion"])
    [(_, response)] = model.generate([Case("1", SFT_ROWS[0]["prompt"])], GenerationSettings(4))
    assert response.error is None


def test_the_model_answers_as_when_the_examples_were_written_out(make_job: MakeJob) -> None:
    job = make_job("fewshot", options={"k": 2}, **UNTOUCHED)
    run(job)
    few, plain = open_model(job.output), open_model(job.model)
    assert isinstance(few, FewShotModel)
    case = Case("1", "What is the inheritance pattern of 3?", choices=("autosomal", "X-linked"))
    settings = GenerationSettings(6, "Be brief.")
    for ask in ("generate", "score_choices"):
        assert list(getattr(few, ask)([case], settings)) == list(getattr(plain, ask)([few.with_shots(case)], settings))


def test_examples_are_chosen_by_what_they_mean_where_the_stage_says_so(make_job: MakeJob) -> None:
    pytest.importorskip("sentence_transformers")
    about = [
        "Who painted the Mona Lisa?",
        "How tall is Mount Everest?",
        "Which illness does this mutation bring about?",
    ]
    rows = [{"prompt": question, "completion": "?"} for question in about]
    job = make_job("fewshot", rows=rows, options={"k": 1, "similarity": "embedding"}, **UNTOUCHED)
    _, summary = run(job)
    assert (summary["k"], summary["similarity"]) == (1, "embedding")
    model = open_model(job.output)
    assert isinstance(model, FewShotModel)
    prompt = model.with_shots(Case("1", "What disorder is caused by defects of the gene?")).prompt
    assert isinstance(prompt, tuple)
    assert prompt[0]["content"] == about[2]  # the only one that shares no word with the question
    file = Path(job.output, "fewshot.json")
    sha = json.loads(file.read_text())["embedding_sha256"]
    file.write_text(file.read_text().replace(sha, "0123456789abcdef"))
    with pytest.raises(CannotJudge) as caught:
        open_model(job.output)
    assert str(caught.value) == (
        f"{file}: the examples are chosen with the embedding weights 0123456789ab, but {sha[:12]} are installed; "
        "install the former, or run the stage again"
    )


def test_other_examples_are_another_model(make_job: MakeJob) -> None:
    jobs = [
        make_job("fewshot", name=f"out{n}", rows=SFT_ROWS[:rows], options={"k": k}, **UNTOUCHED)
        for n, (rows, k) in enumerate([(6, 2), (5, 2), (6, 3), (6, 2)])
    ]
    for job in jobs:
        run(job)
    sha = [find_model(job.output).sha256 for job in jobs]
    assert len({find_model(jobs[0].model).sha256, *sha[:3]}) == 4
    assert sha[3] == sha[0]


def test_an_input_with_examples_is_left_as_it_is(make_job: MakeJob) -> None:
    first = make_job("fewshot", name="first", **UNTOUCHED)
    run(first)
    before = Path(first.output, "fewshot.json").read_bytes()
    second = make_job("fewshot", name="second", rows=SFT_ROWS[:2], model=first.output, **UNTOUCHED)
    run(second)
    assert Path(first.output, "fewshot.json").read_bytes() == before
    assert len(json.loads(Path(second.output, "fewshot.json").read_text())["shots"]) == 2


def test_an_adapter_is_merged(make_job: MakeJob) -> None:
    tuned = make_job(name="sft", save="adapter")
    run(tuned)
    job = make_job("fewshot", model=tuned.output, **UNTOUCHED)
    run(job)
    assert not find_model(job.output).adapters
    assert isinstance(open_model(job.output), FewShotModel)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"args": {"learning_rate": 1e-3}, "peft": None}, "args: fewshot takes none; remove learning_rate"),
        ({"args": {}, "peft": {"r": 4}}, "peft: remove it; fewshot trains no weights"),
        ({**UNTOUCHED, "watch": {"gate": "facts", "every_steps": 5}}, "watch: remove it; fewshot trains no weights"),
        ({**UNTOUCHED, "save": "adapter"}, "save: 'adapter' needs `peft`: without it no adapter is trained"),
        (
            {**UNTOUCHED, "options": {"similarity": "meaning"}},
            r"options\.similarity: should be 'words' or 'embedding', got 'meaning'",
        ),
        ({**UNTOUCHED, "options": {"k": 0}}, r"options\.k: should be greater than or equal to 1, got 0"),
        ({**UNTOUCHED, "options": {"shots": 3}}, r"options\.shots: not an option of fewshot"),
    ],
)
def test_wrong_settings_are_named(make_job: MakeJob, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(make_job("fewshot", **changes))


@pytest.mark.parametrize(
    "content", ["{}", '{"k": 1, "shots": [{"prompt": "?"}]}', '{"k": 1, "shots": [{"prompt": 3}]}', "[]"]
)
def test_a_broken_file_of_examples_is_named(tmp_path: Path, content: str) -> None:
    make_tiny_model(tmp_path)
    (tmp_path / "fewshot.json").write_text(content)
    with pytest.raises(CannotJudge, match=r"fewshot\.json: "):
        with_shots_of(tmp_path, ScriptedModel(lambda case: ""), chat=True)


# The leakage guard


def test_an_example_is_never_a_case_of_a_gate(tmp_path: Path) -> None:
    """The rows of a fewshot stage go through the leakage guard like all others: refused, or left out."""
    path = write_pipeline(
        tmp_path / "project",
        f"""\
name: small
model: base
suites:
  facts: {SUITE}
stages:
  - {{name: shots, method: fewshot, data: train.jsonl, gates: [facts]}}
  - {{name: sft, method: sft, data: clean.jsonl, gates: [facts]}}
""",
    )
    rows = [{"prompt": f"train {i}?", "completion": f"{i}!"} for i in range(8)]
    write_jsonl(path.parent / "clean.jsonl", rows)
    write_jsonl(path.parent / "train.jsonl", [*rows, {"prompt": "Case 3?", "completion": "3!"}])
    refused = carry_out(path, tools({"sft#1": 1.0}))
    assert refused.verdict is Verdict.INVALID
    assert "train.jsonl:9 = facts/3" in refused.reason
    assert not refused.stages
    path.write_text(path.read_text() + "leakage: drop_from_train\n")
    run_record = carry_out(path, tools({"sft#1": 1.0}), run="run2")
    given = (run_record.folder / "shots/attempt-1/data.jsonl").read_text()
    assert "train 7?" in given
    assert "Case 3?" not in given


def test_no_stage_trains_a_model_that_is_asked_with_examples(make_job: MakeJob) -> None:
    """An adapter on it would be gated with them, and no leakage guard has seen them."""
    shots = make_job("fewshot", name="shots", **UNTOUCHED)
    run(shots)
    with pytest.raises(ConfigError, match=r"fewshot\.json: this model has examples in its prompt"):
        common.load(make_job("sft", model=shots.output, save="adapter"))
