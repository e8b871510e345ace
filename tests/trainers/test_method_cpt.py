"""Continued pre-training on a tiny real model: documents stay apart in a packed row, and no token is lost."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.trainer_jobs import ARGS, ROWS, MakeJob, real_training, task_of
from tunegate.data.spec import DataSpec
from tunegate.data.training_data import load_training_data
from tunegate.exceptions import ConfigError
from tunegate.models.open_model import open_model
from tunegate_trainers import common, cpt, validate
from tunegate_trainers.process import run

pytestmark = real_training

A = "Mutations in the BRCA1 gene cause hereditary breast cancer, which runs in families."
B = "The capital of France is Paris. The capital of Italy is Rome."
C = "This condition is inherited in an autosomal dominant pattern, as many others are, too, and so on."
ONE_ROW = {"max_length": 256, "disable_tqdm": True}


def loss_sum(make_job: MakeJob, texts: list[str], **args: Any) -> tuple[float, int]:
    """The untrained model's loss over all tokens of these texts, packed into one row, and how many count."""
    job = make_job("cpt", rows=[{"text": text} for text in texts], peft=None, args=ONE_ROW | args)
    trainer, _ = cpt.build(task_of(job), common.load(job))
    trainer.model.eval()
    batches = list(trainer.get_train_dataloader())
    assert len(batches) == 1
    assert batches[0]["input_ids"].shape[0] == 1
    counted = int((batches[0]["labels"][:, 1:] != -100).sum())
    return trainer.compute_loss(trainer.model, batches[0]).item() * counted, counted


def test_the_loss_of_a_document_does_not_depend_on_what_it_is_packed_with(make_job: MakeJob) -> None:
    alone = {text: loss_sum(make_job, [text])[0] for text in (A, B, C)}
    assert loss_sum(make_job, [A, B])[0] == pytest.approx(alone[A] + alone[B], rel=1e-5)
    assert loss_sum(make_job, [C, A, B])[0] == pytest.approx(sum(alone.values()), rel=1e-5)


def test_packed_as_trl_likes_it_best_a_document_would_see_the_one_before(make_job: MakeJob) -> None:
    """What the other packing does, and the test above would see; so it is refused."""
    apart = loss_sum(make_job, [A, B])[0]
    assert loss_sum(make_job, [A, B], packing_strategy="wrapped")[0] != pytest.approx(apart, rel=1e-3)
    with pytest.raises(ConfigError, match=r"args\.packing_strategy: 'wrapped' lets a document see the one before"):
        validate(make_job("cpt", args={"packing_strategy": "wrapped"}))


def test_every_token_counts_once_however_a_document_is_cut(make_job: MakeJob) -> None:
    _, counted = loss_sum(make_job, [A, C])
    tokenizer = common.load(make_job("cpt")).tokenizer
    assert counted == sum(len(tokenizer(text)["input_ids"]) + 1 for text in (A, C))  # and the end of each
    job = make_job("cpt", rows=[{"text": A}, {"text": C}], args=ONE_ROW | {"max_length": 16})
    trainer, rows = cpt.build(task_of(job), common.load(job))
    cut = sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in trainer.get_train_dataloader())
    assert cut == counted
    assert (len(rows.kept), rows.dropped) == (2, [])
    assert max(len(row["input_ids"]) for row in trainer.train_dataset) <= 16


@given(st.lists(st.integers(), min_size=2, max_size=60), st.integers(2, 20))
def test_chunks_overlap_by_one_token_and_lose_none(ids: list[int], size: int) -> None:
    cut = cpt.chunks(ids, size)
    assert all(2 <= len(chunk) <= size for chunk in cut)
    assert [ids[0], *(token for chunk in cut for token in chunk[1:])] == ids
    assert all(before[-1] == after[0] for before, after in pairwise(cut))


def test_a_document_is_trained_as_it_is_asked(make_job: MakeJob) -> None:
    """The perplexity check scores a text after an empty prompt: after the begin-of-text token."""
    from tunegate.models.prompting import context_free

    tokenizer = common.load(make_job("cpt")).tokenizer
    ids = cpt.document_ids(tokenizer, "Which gene?")
    assert ids[0] == context_free(tokenizer)[0]
    assert tokenizer.decode(ids[1:]) == "Which gene?<|im_end|>"


def test_training_makes_its_text_likelier(make_job: MakeJob) -> None:
    rows = ROWS["cpt"]
    log, summary = run(make_job("cpt", args={"learning_rate": 1e-2, "max_steps": 8, "disable_tqdm": True}))
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert losses[-1] < losses[0] / 2
    assert (summary["rows"], summary["rows_dropped"], summary["chunks"]) == (len(rows), 0, len(rows))
    json.dumps([log, summary], allow_nan=False)


def test_a_document_of_100_000_tokens_is_cut_and_none_of_it_lost(make_job: MakeJob) -> None:
    long = "The gene BRCA1 is on a chromosome. " * 6_000
    job = make_job("cpt", rows=[{"text": long}, {"text": A}], options={"chunk_tokens": 128})
    loaded = common.load(job)
    trainer, rows = cpt.build(task_of(job), loaded)
    tokens = len(loaded.tokenizer(long)["input_ids"]) + len(loaded.tokenizer(A)["input_ids"])
    assert tokens > 60_000
    lengths = [length for row in trainer.train_dataset for length in row["seq_lengths"]]
    assert max(lengths) <= 128
    assert sum(lengths) - len(lengths) == tokens + 2  # the overlap of each chunk; the end of each document
    assert rows.facts["chunks"] == len(lengths)


def test_a_text_file_is_data(make_job: MakeJob, tmp_path: Path) -> None:
    (tmp_path / "raw.txt").write_text(f"Title\n{A}\n\nOther title\n{B}\n")
    data = load_training_data(DataSpec(path="raw.txt"), "cpt", tmp_path)
    assert [example.answers for example in data.examples] == [{"text": f"Title\n{A}"}, {"text": f"Other title\n{B}"}]
    assert [example.number for example in data.examples] == [1, 4]
    job = make_job("cpt", rows=[json.loads(example.to_json()) for example in data.examples], args=ARGS)
    assert run(job)[1]["rows"] == 2
    open_model(job.output)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": {"chunk_tokens": 1}}, r"options\.chunk_tokens: should be greater than or equal to 2"),
        (
            {"options": {"chunk_tokens": 300}, "args": {"max_length": 200}},
            r"expected at most 200 \(args.max_length\), got 300",
        ),
        ({"args": {"max_length": None}}, r"args\.max_length: expected a number"),
    ],
)
def test_wrong_settings_are_named(make_job: MakeJob, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(make_job("cpt", **changes))
