"""Adapters of every kind that `peft` names: checked, trained, saved, opened."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.support.trainer_jobs import ARGS, LORA, MakeJob, real_training
from tunegate.cases.case import Case
from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.models.model import GenerationSettings
from tunegate.models.open_model import open_model
from tunegate.models.prompting import answer_prompt
from tunegate_trainers import peft_configs, quantized
from tunegate_trainers.process import run

pytestmark = real_training

PROMPT = {"type": "prompt_tuning", "num_virtual_tokens": 4}
SETTINGS: dict[str, dict[str, Any]] = {
    "lora": LORA,
    "ia3": {},
    "loha": {"r": 4, "alpha": 4},
    "lokr": {"r": 4, "alpha": 4},
    "oft": {"oft_block_size": 8},
    "prompt_tuning": PROMPT,
    "p_tuning": {"num_virtual_tokens": 4, "encoder_hidden_size": 16},
    "prefix_tuning": {"num_virtual_tokens": 4},
}


def test_the_names_read_from_the_sources_are_those_of_the_classes() -> None:
    import peft

    for kind in peft_configs.KINDS.values():
        names = {field.name for field in fields(getattr(peft, kind.config))}
        assert set(peft_configs._fields(kind)) == names | {short for short, _ in kind.short}


@pytest.mark.parametrize(
    ("peft", "message"),
    [
        ({"type": "lorra"}, "peft.type: no adapter is named 'lorra' (did you mean 'lora'"),
        ({"rank": 8}, "peft.rank: not an argument of peft.LoraConfig"),
        ({"r": "8"}, "peft.r: expected int, got '8'"),
        ({"alpha": "8"}, "peft.alpha: expected int, got '8'"),
        ({"alpha": 8, "lora_alpha": 8}, "peft.alpha: short for lora_alpha, which is also given"),
        ({"type": "ia3", "r": 8}, "peft.r: not an argument of peft.IA3Config"),
        (
            {"type": "prompt_tuning"},
            "peft.num_virtual_tokens: missing; give the number of tokens that prompt_tuning learns",
        ),
        (PROMPT, "save: what prompt_tuning learns cannot be merged into the weights; write `save: adapter`"),
        ({"quantize": 3}, "peft.quantize: expected 4 or 8, the bits of a weight, got 3"),
    ],
)
def test_wrong_settings_are_named(peft: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        peft_configs.check(peft, "merged")
    assert message in str(error.value)


def test_right_settings_pass() -> None:
    peft_configs.check(None, "merged")
    peft_configs.check({"r": 8, "target_modules": ["q_proj"], "layers_to_transform": [0, 1]}, "merged")
    for name, settings in SETTINGS.items():
        peft_configs.check({"type": name} | settings, "adapter")


def test_short_names_become_those_of_peft() -> None:
    short = {"r": 4, "alpha": 8, "dropout": 0.1, "dora": True, "rslora": True}
    config = peft_configs.config_of(short)
    assert (config.r, config.lora_alpha, config.lora_dropout, config.use_dora, config.use_rslora) == (
        *(4, 8, 0.1),
        *(True, True),
    )
    assert config.target_modules == "all-linear"
    assert peft_configs.config_of(short) is not config


def test_few_bits_need_a_gpu() -> None:
    with pytest.raises(ConfigError, match=r"weights of 4 bits need a GPU, but this machine has none; leave it out"):
        quantized.check(4, gpu=False)
    if not quantized.importlib.util.find_spec("bitsandbytes"):
        with pytest.raises(ConfigError, match=r"need a GPU and the package bitsandbytes, which is not installed"):
            peft_configs.check({"quantize": 8}, "adapter")


@pytest.mark.parametrize("name", peft_configs.KINDS)
def test_every_kind_trains_and_answers(make_job: MakeJob, name: str) -> None:
    kind = peft_configs.KINDS[name]
    peft = {"type": name} | SETTINGS[name]
    job = make_job(peft=peft, save="merged" if kind.merges else "adapter", args=ARGS | {"max_steps": 8})
    log, _ = run(job)
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert losses[-1] < losses[0], losses
    assert Path(job.output, "adapter_config.json").exists() is not kind.merges
    cases = [Case("a", "What is the inheritance pattern of 0?"), Case("b", "Which?")]
    answers = open_model(job.output).generate(cases, GenerationSettings(max_new_tokens=4))
    assert all(response.error is None for _, response in answers)
    if kind.merges:
        assert Path(job.output, "model.safetensors").read_bytes() != Path(job.model, "model.safetensors").read_bytes()


def test_dora_trains_a_magnitude(make_job: MakeJob) -> None:
    job = make_job(peft=LORA | {"dora": True, "rslora": True}, save="adapter")
    run(job)
    from safetensors import safe_open

    with safe_open(str(Path(job.output, "adapter_model.safetensors")), framework="pt") as file:
        assert any("magnitude" in key for key in file.keys())  # noqa: SIM118


def test_an_adapter_of_another_kind_or_shape_is_not_gone_on_with(make_job: MakeJob) -> None:
    first = make_job(name="first", save="adapter", args=ARGS | {"max_steps": 1})
    run(first)
    for peft, message in (
        ({"type": "ia3"}, "peft.type: expected 'lora', as in the continued input adapter"),
        ({"r": 8}, "peft.r: expected 4, as in the continued input adapter"),
        ({"r": 4, "alpha": 3}, "peft.lora_alpha: expected 8, as in the continued input adapter"),
    ):
        with pytest.raises(ConfigError) as error:
            run(make_job(name="again", model=first.output, peft=peft))
        assert message in str(error.value)


def test_an_adapter_for_another_base_is_told(make_job: MakeJob, tmp_path: Path) -> None:
    import json

    from tests.support.tiny_model import make_tiny_model

    first = make_job(name="first", save="adapter", args=ARGS | {"max_steps": 1})
    run(first)
    other = make_tiny_model(tmp_path / "other")
    config = json.loads((other / "config.json").read_text()) | {"num_hidden_layers": 1}
    (other / "config.json").write_text(json.dumps(config))
    adapter = Path(first.output, "adapter_config.json")
    adapter.write_text(json.dumps(json.loads(adapter.read_text()) | {"base_model_name_or_path": str(other)}))
    with pytest.raises(Tampered, match="the base model was replaced"):
        run(make_job(name="again", model=first.output))
    Path(first.output, "base_model.json").unlink()  # as of an adapter from elsewhere, whose base has no fingerprint
    with pytest.raises((CannotJudge, ConfigError), match="another base model"):
        run(make_job(name="again", model=first.output))


def test_nothing_is_trained_on_top_of_learned_prompts(make_job: MakeJob) -> None:
    first = make_job(name="first", peft=PROMPT, save="adapter", args=ARGS | {"max_steps": 1})
    run(first)
    with pytest.raises(ConfigError, match="no stage can train on top of a prompt_tuning adapter"):
        run(make_job(name="full", model=first.output, peft=None))


@pytest.mark.parametrize("name", [name for name, kind in peft_configs.KINDS.items() if not kind.merges])
def test_learned_prompts_answer_as_in_peft(make_job: MakeJob, name: str) -> None:
    """Also where prompts share their beginning, and where shorter ones are padded.

    As in PEFT means one forward pass for each token: PEFT 0.21.2 looks for the cache under the name that it has until
    transformers 5.23, and its own `generate` puts the learned prompt before every token where it has another.
    """
    import torch
    from peft import AutoPeftModelForCausalLM

    job = make_job(peft={"type": name} | SETTINGS[name], save="adapter", args=ARGS | {"max_steps": 8})
    run(job)
    cases = [Case(str(n), text) for n, text in enumerate(["What is BRCA1?", "What is it, and why?", "Which?"])]
    ours: Any = open_model(job.output, dtype="float32")
    answers = {index: response.text for index, response in ours.generate(cases, GenerationSettings(max_new_tokens=6))}
    theirs: Any = AutoPeftModelForCausalLM.from_pretrained(job.output, dtype=torch.float32)
    for index, case in enumerate(cases):
        ids = torch.tensor([answer_prompt(ours.tokenizer, case, None)])
        whole = ids
        for _ in range(6):
            with torch.no_grad():
                logits = theirs(input_ids=whole, attention_mask=torch.ones_like(whole)).logits
            whole = torch.cat([whole, logits[:, -1:].argmax(-1)], dim=1)
        assert answers[index] == ours.tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True)
