"""What makes a training faster changes no loss and no gradient."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest

from tests.support.trainer_jobs import ARGS, MakeJob, real_training, task_of
from tunegate.training.trainer import TrainJob
from tunegate_trainers import common, freezing, sft

pytestmark = real_training

ROWS = [{"prompt": f"Which gene causes {'very ' * n}rare disease {n}?", "completion": f"BRCA{n}"} for n in range(8)]


def trainer_of(job: TrainJob) -> Any:
    return sft.build(task_of(job), common.load(job))[0]


def rows_of_batches(trainer: Any) -> list[list[int]]:
    """The lengths of the rows of each batch, in the order of training."""
    return [batch["attention_mask"].sum(1).tolist() for batch in trainer.get_train_dataloader()]


def loss_and_gradients(trainer: Any, rows: list[Any]) -> tuple[Any, dict[str, Any], int]:
    """The summed loss of a batch's answers, its gradients, and the number of tokens that it is over."""
    batch = trainer.data_collator(rows)
    trainer.model.zero_grad()
    trainer.model.eval()
    scored = int((batch["labels"][:, 1:] != -100).sum())
    loss = trainer.model(**batch).loss * scored
    loss.backward()
    found = {
        name: weights.grad.clone() for name, weights in trainer.model.named_parameters() if weights.grad is not None
    }
    return loss.detach(), found, scored


def test_rows_of_like_length_share_a_batch(make_job: MakeJob) -> None:
    ours, shuffled = (
        rows_of_batches(trainer_of(make_job(rows=ROWS * 4, args=ARGS | args)))
        for args in ({}, {"train_sampling_strategy": "random"})
    )
    assert sorted(chain(*ours)) == sorted(chain(*shuffled))  # each row once
    padding = [sum(max(batch) - min(batch) for batch in batches) for batches in (ours, shuffled)]
    assert padding[0] < padding[1] / 2


def test_the_order_that_a_user_declares_is_kept(make_job: MakeJob) -> None:
    trainer = trainer_of(make_job(rows=ROWS, curriculum={"by": "given", "order": "rising"}))
    lengths = [length for batch in rows_of_batches(trainer) for length in batch]
    assert lengths == [len(row["input_ids"]) for row in trainer.train_dataset]


def test_padding_changes_neither_loss_nor_gradients(make_job: MakeJob) -> None:
    """Rows of unlike length in one batch, and each alone: the sums are the same, so batches may be made by length."""
    import torch

    trainer = trainer_of(make_job(rows=ROWS, peft=None))  # trains in float32
    rows = [trainer.train_dataset[index] for index in (0, 7)]
    loss, gradients, scored = loss_and_gradients(trainer, rows)
    alone = [loss_and_gradients(trainer, [row]) for row in rows]
    assert scored == sum(each[2] for each in alone)
    torch.testing.assert_close(loss, alone[0][0] + alone[1][0], rtol=1e-5, atol=1e-5)
    assert gradients.keys() == alone[0][1].keys() != set()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, alone[0][1][name] + alone[1][1][name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trains", ["adapter", "layers"])
def test_no_graph_is_recorded_below_the_first_trained_layer(make_job: MakeJob, trains: str) -> None:
    if trains == "adapter":
        job = make_job(rows=ROWS, peft={"r": 4, "target_modules": ["q_proj", "v_proj"], "layers_to_transform": [1]})
    else:
        job = make_job(rows=ROWS, peft=None, train={"last_n_layers": 1})
    trainer = trainer_of(job)
    freezing.freeze(trainer, job.train)
    entering: list[bool] = []
    for layer in freezing.layers_of(trainer.model):
        layer.register_forward_pre_hook(lambda _, given: entering.append(given[0].requires_grad))
    loss_and_gradients(trainer, [trainer.train_dataset[0]])
    assert entering == [False, False]
    assert all(weights.grad is None for weights in freezing.layers_of(trainer.model)[0].parameters())
