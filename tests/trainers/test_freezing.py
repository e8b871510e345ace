"""Training the upper layers only, and adding layers step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_pipeline import PIPELINE, load, write_pipeline
from tests.support.tiny_model import make_tiny_model
from tests.support.trainer_jobs import ARGS, LORA, MakeJob, real_training, task_of
from tunegate.exceptions import ConfigError
from tunegate.training.trainer import TrainJob
from tunegate_trainers import common, freezing, sft
from tunegate_trainers.process import run
from tunegate_trainers.settings import validate

pytestmark = real_training

Weights = dict[str, Any]
LAST_LAYER = {"last_n_layers": 1}


def weights_of(folder: str) -> Weights:
    from safetensors.torch import load_file

    return load_file(Path(folder, "model.safetensors"))


def changed(job: TrainJob) -> set[str]:
    """The names of the weights that a training changed by as much as one bit."""
    before, after = weights_of(job.model), weights_of(job.output)
    assert before.keys() == after.keys()
    return {name for name in before if not before[name].equal(after[name])}


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_what_is_frozen_stays_the_same_to_the_bit(make_job: MakeJob, method: str) -> None:
    job = make_job(method, peft=None, train=LAST_LAYER)
    _, summary = run(job)
    after = weights_of(job.output)
    trained = {name for name in after if name.startswith("model.layers.1.") or name == "model.norm.weight"}
    assert changed(job) == trained  # the head shares its weights with the embeddings and stays as it was
    assert summary["trainable_parameters"] == sum(after[name].numel() for name in trained)


def test_a_head_of_its_own_is_trained(make_job: MakeJob, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    make_tiny_model(tmp_path / "untied")
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "untied")
    model.config.tie_word_embeddings = False
    model.lm_head.weight = type(model.lm_head.weight)(model.lm_head.weight.detach().clone())
    model.save_pretrained(tmp_path / "untied")
    job = make_job(peft=None, train=LAST_LAYER, model=str(tmp_path / "untied"))
    run(job)
    assert "lm_head.weight" in changed(job)
    assert "model.embed_tokens.weight" not in changed(job)


def test_layers_are_added_one_by_one(make_job: MakeJob) -> None:
    train = {"last_n_layers": 2, "unfreeze_every": 3}
    early = make_job(name="early", peft=None, train=train, args=ARGS | {"max_steps": 3})
    late = make_job(name="late", peft=None, train=train, args=ARGS | {"max_steps": 4})
    for job in (early, late):
        run(job)
    assert not [name for name in changed(early) if name.startswith("model.layers.0.")]
    assert [name for name in changed(late) if name.startswith("model.layers.0.")]
    assert "model.embed_tokens.weight" not in changed(late)


def test_the_optimizer_knows_the_layers_that_come_later(make_job: MakeJob) -> None:
    job = make_job(peft=None, train={"last_n_layers": 2, "unfreeze_every": 2})
    trainer, _ = sft.build(task_of(job), common.load(job))
    freezing.freeze(trainer, job.train)
    trainer.train()
    known = {id(weights) for group in trainer.optimizer.param_groups for weights in group["params"]}
    layers = freezing.layers_of(trainer.model)
    assert {id(weights) for layer in layers for weights in layer.parameters()} <= known
    assert all(weights.requires_grad for layer in layers for weights in layer.parameters())


def test_full_is_what_happens_without_peft(make_job: MakeJob) -> None:
    jobs = [make_job(name=name, peft=None, train=train) for name, train in (("none", None), ("full", "full"))]
    for job in jobs:
        run(job)
    assert changed(jobs[1]) == set(weights_of(jobs[1].output))
    assert (
        Path(jobs[0].output, "model.safetensors").read_bytes() == Path(jobs[1].output, "model.safetensors").read_bytes()
    )


@pytest.mark.parametrize(
    ("train", "peft", "message"),
    [
        ("full", LORA, "train: full: trains the model's own weights, but `peft` trains an adapter"),
        (LAST_LAYER, LORA, r"train\.last_n_layers: trains the model's own weights, but `peft` trains an adapter"),
        ({"last_n_layers": 3}, None, r"train\.last_n_layers: expected at most 2, the model's layers, got 3"),
        (
            LAST_LAYER | {"unfreeze_every": 1},
            None,
            r"train\.unfreeze_every: with one layer there is nothing to unfreeze",
        ),
    ],
)
def test_what_cannot_be_is_one_line(make_job: MakeJob, train: Any, peft: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(make_job(peft=peft, train=train))


def test_the_contradiction_is_told_before_anything_is_trained(make_job: MakeJob) -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        validate(make_job(train="full"))


def test_a_model_without_a_list_of_layers_is_told() -> None:
    from torch.nn import Linear

    with pytest.raises(ConfigError, match=r"a Linear has no list of layers; use `train: full`"):
        freezing.layers_of(Linear(2, 2))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("{last_n_layers: 0}", r"train\.last_n_layers: should be greater than or equal to 1, got 0"),
        ("{last_layers: 3}", r"train\.last_layers: unknown key \(did you mean 'last_n_layers'"),
        ("ful", r"train: should be 'full', got 'ful'"),
    ],
)
def test_an_error_is_about_the_form_that_was_meant(tmp_path: Path, train: str, message: str) -> None:
    path = write_pipeline(tmp_path / "p", PIPELINE.replace("method: sft\n", f"method: sft\n    train: {train}\n"))
    with pytest.raises(ConfigError, match=message):
        load(path)
