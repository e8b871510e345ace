"""Method kto: thumbs up and down, shuffled, compared with the stage's input model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.trainer_jobs import ARGS, MakeJob, real_training, task_of
from tunegate.cases.case import Case
from tunegate.data.spec import DataSpec
from tunegate.data.training_data import load_training_data
from tunegate.exceptions import ConfigError
from tunegate.models.model import GenerationSettings
from tunegate.models.open_model import open_model
from tunegate.models.prompting import answer_prompt
from tunegate.reading.files import resolve
from tunegate.reading.rows import read_rows
from tunegate_trainers import common, kto
from tunegate_trainers.process import run
from tunegate_trainers.settings import validate

pytestmark = real_training
THUMBS = [
    {"prompt": "Which gene?", "completion": answer, "label": answer == "BRCA1"}
    for answer in ("BRCA1", "BRCA2", "BRCA1", "autosomal", "BRCA1", "Italy")
]


def likelihoods(folder: str) -> list[float]:
    model = open_model(folder, dtype="float32")
    case = Case("1", ({"role": "user", "content": "Which gene?"},), choices=("BRCA1", "BRCA2"))
    ((_, response),) = model.score_choices([case], GenerationSettings())
    return [score.log_likelihood for score in response.choice_scores]


@pytest.mark.parametrize("peft", [None, {"r": 4}], ids=["full", "lora"])
def test_the_wanted_answer_gains_on_the_unwanted_one(make_job: MakeJob, peft: dict[str, Any] | None) -> None:
    job = make_job("kto", rows=THUMBS, peft=peft, args={**ARGS, "per_device_train_batch_size": 6, "max_steps": 6})
    log, summary = run(job)
    assert log[0]["kl"] == pytest.approx(0.0, abs=1e-6)  # the reference is what the stage starts from
    assert log[0]["rewards/chosen"] == pytest.approx(0.0, abs=1e-6)
    assert log[0]["rewards/rejected"] == pytest.approx(0.0, abs=1e-6)
    assert summary["first_margin"] == pytest.approx(0.0, abs=1e-6)
    (good, bad), (good_before, bad_before) = likelihoods(job.output), likelihoods(job.model)
    assert good - bad > good_before - bad_before + 0.5


def test_a_first_batch_of_one_kind_has_no_margin_and_a_later_one_is_not_the_first(make_job: MakeJob) -> None:
    rows = [{**THUMBS[0], "label": n > 1} for n in range(8)]
    log, summary = run(make_job("kto", rows=rows, args={**ARGS, "max_steps": 4}))
    assert min(entry["step"] for entry in log if "rewards/margins" in entry) == 2
    assert "first_margin" not in summary


@pytest.mark.parametrize("peft", [None, {"r": 4}], ids=["full", "lora"])
def test_the_reference_of_a_later_stage_is_its_own_input(make_job: MakeJob, peft: dict[str, Any] | None) -> None:
    """TRL would find a reference by the name in the model's config: that of the base model, where the input is an
    adapter on it."""
    first = make_job("sft", "first", save="adapter")
    run(first)
    log, _ = run(make_job("kto", "second", rows=THUMBS, model=first.output, peft=peft))
    assert log[0]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert all(abs(log[0][key]) < 1e-6 for key in ("rewards/chosen", "rewards/rejected") if key in log[0])


def test_it_sees_what_a_gate_asks_in_an_order_of_the_seed(make_job: MakeJob) -> None:
    """TRL takes kto's rows as they come, so that sorted thumbs would give batches of one kind."""
    rows = [{"prompt": f"Which gene {n}?", "completion": "BRCA1", "label": n < 8} for n in range(16)]
    orders: dict[int, list[Any]] = {}
    for seed in (1, 1, 2):
        job = make_job("kto", rows=rows, seed=seed)
        loaded = common.load(job)
        trainer, _ = kto.build(task_of(job), loaded)
        order = [row["prompt_ids"] for row in trainer.train_dataset]
        asked = [answer_prompt(loaded.tokenizer, Case("1", row["prompt"]), None) for row in rows]
        assert sorted(order) == sorted(asked)
        assert order != asked
        assert orders.setdefault(seed, order) == order
        kinds = {loaded.tokenizer.decode(row["prompt_ids"]): row["label"] for row in trainer.train_dataset}
        assert sum(kinds.values()) == 8  # labels stay with their prompts
        assert all(kinds[loaded.tokenizer.decode(ids)] == row["label"] for ids, row in zip(asked, rows, strict=True))
    assert orders[1] != orders[2]


def test_a_batch_of_one_is_refused_before_training(make_job: MakeJob) -> None:
    with pytest.raises(ConfigError, match=r"args\.per_device_train_batch_size: kto needs 2 or more, got 1"):
        validate(make_job("kto", args={"per_device_train_batch_size": 1}))
    validate(make_job("kto", args={"beta": 0.2, "desirable_weight": 1.5, "loss_type": "apo_zero_unpaired"}))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (True, "the label is true in all 6 rows.*: add bad"),
        (False, "the label is false in all 6 rows.*: add good"),
    ],
)
def test_thumbs_of_one_kind_only_are_refused(make_job: MakeJob, label: bool, message: str) -> None:
    job = make_job("kto", rows=[{**row, "label": label} for row in THUMBS])
    with pytest.raises(ConfigError, match=message):
        load_training_data(DataSpec(path=job.data), "kto", Path(job.data).parent)
    with pytest.raises(ConfigError, match="all labels are the same"):
        run(job)


def test_an_empty_completion_is_refused(make_job: MakeJob) -> None:
    job = make_job("kto", rows=[*THUMBS, {"prompt": "Which gene?", "completion": " ", "label": True}])
    with pytest.raises(ConfigError, match="the completion is empty; a model cannot learn from it"):
        load_training_data(DataSpec(path=job.data), "kto", Path(job.data).parent)


SHIPPED = "package:tunegate_suites/data/oasst"


def test_it_learns_from_the_shipped_thumbs_of_people(make_job: MakeJob) -> None:
    spec = DataSpec(path=f"{SHIPPED}/thumbs.jsonl", messages="messages")
    rows = [json.loads(example.to_json()) for example in load_training_data(spec, "kto", Path()).examples[:24]]
    _, summary = run(make_job("kto", rows=rows, args={**ARGS, "per_device_train_batch_size": 8, "max_length": 512}))
    assert (summary["rows"], summary["first_margin"]) == (24, pytest.approx(0.0, abs=1e-6))


def test_the_shipped_thumbs_share_no_conversation_with_the_pairs_that_judge_what_they_taught() -> None:
    thumbs = [row for _, row in read_rows(resolve(f"{SHIPPED}/thumbs.jsonl", Path()))]
    held_out = [row for _, row in read_rows(resolve(f"{SHIPPED}/held_out.jsonl", Path()))]
    assert not {row["tree"] for row in thumbs} & {row["tree"] for row in held_out}
    assert not {row["messages"][0]["content"] for row in thumbs} & {row["messages"][0]["content"] for row in held_out}
    assert all(row["label"] == (row["up"] > row["down"]) and row["up"] != row["down"] for row in thumbs)
    assert sum(row["label"] for row in thumbs) in range(40, len(thumbs) - 40)  # enough of both kinds
