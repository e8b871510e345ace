"""Method orpo: preference without a reference model."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny_model import make_tiny_model
from tests.support.trainer_jobs import ARGS, PAIRS, MakeJob, real_training, task_of
from tunegate.cases.case import Case
from tunegate.models.model import GenerationSettings
from tunegate.models.open_model import open_model
from tunegate.models.prompting import answer_prompt
from tunegate_trainers import common, orpo
from tunegate_trainers.process import run
from tunegate_trainers.settings import validate

pytestmark = real_training


def preferred(folder: str) -> float:
    """By how much the chosen answer of a held-out prompt is likelier than the rejected one."""
    model = open_model(folder, dtype="float32")
    case = Case("1", ({"role": "user", "content": "Which gene causes 8?"},), choices=("BRCA1", "BRCA2"))
    ((_, response),) = model.score_choices([case], GenerationSettings())
    chosen, rejected = (score.log_likelihood for score in response.choice_scores)
    return chosen - rejected


@pytest.mark.parametrize("peft", [None, {"r": 4}], ids=["full", "lora"])
def test_the_chosen_answer_gains_on_the_rejected_one(make_job: MakeJob, peft: dict[str, Any] | None) -> None:
    job = make_job("orpo", peft=peft, args={**ARGS, "max_steps": 8})
    log, summary = run(job)
    assert log[-2]["nll_loss"] < log[0]["nll_loss"]
    assert preferred(job.output) > preferred(job.model) + 0.5
    assert "first_margin" not in summary  # there is no reference whose margin would be 0


def test_no_second_model_is_loaded(make_job: MakeJob) -> None:
    job = make_job("orpo", peft=None)
    trainer, _ = orpo.build(task_of(job), common.load(job))
    assert getattr(trainer, "ref_model", None) is None
    assert "beta" in {field.name for field in fields(trainer.args)}
    validate(make_job("orpo", args={"beta": 0.2}))


@pytest.mark.parametrize("chat", [True, False], ids=["chat", "plain"])
def test_it_trains_on_the_tokens_of_sft(make_job: MakeJob, tmp_path: Path, chat: bool) -> None:
    """TRL's own rows have a token before the chat template and another one after it, which no gate asks."""
    from tunegate_trainers import sft

    model = str(make_tiny_model(tmp_path / "other", chat_template=chat))
    sft_rows = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in PAIRS]
    taught_job, job = make_job("sft", "taught", rows=sft_rows, model=model), make_job("orpo", model=model)
    taught, _ = sft.build(task_of(taught_job), common.load(taught_job))
    loaded = common.load(job)
    trainer, _ = orpo.build(task_of(job), loaded)
    row = trainer.train_dataset[0]
    asked = answer_prompt(loaded.tokenizer, Case("1", PAIRS[0]["prompt"]), None)
    assert row["prompt_input_ids"] == asked
    assert row["chosen_input_ids"] == taught.train_dataset[0]["input_ids"]
    assert [-100] * len(asked) == row["rejected_labels"][: len(asked)]
    answer = loaded.tokenizer.decode(row["rejected_labels"][len(asked) :], skip_special_tokens=True)
    assert answer.strip() == "BRCA2"


def test_an_answer_that_the_model_is_sure_of_has_a_gradient(make_job: MakeJob) -> None:
    """At a likelihood of 1, which bfloat16 reaches, TRL's odds have none that is a number."""
    import torch

    job = make_job("orpo")
    trainer, _ = orpo.build(task_of(job), common.load(job))
    chosen = torch.tensor([0.0, -0.7], requires_grad=True)
    rejected = torch.tensor([-2.0, 0.0], requires_grad=True)
    losses = trainer.odds_ratio_loss(chosen, rejected)[0]
    losses.sum().backward()
    assert losses.isfinite().all()
    assert chosen.grad is not None
    assert chosen.grad.isfinite().all()
    assert chosen.grad[1] > 0  # and what is not sure yet is learnt as before
