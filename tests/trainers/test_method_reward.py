"""Method reward: a reward model is trained, opened as a Model, and gated by pairwise accuracy."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.support.places import ROOT
from tests.support.tiny_model import make_adapter, make_tiny_model
from tests.support.trainer_jobs import ARGS, PAIRS, MakeJob, real_training, task_of
from tunegate.cases.case import Case
from tunegate.checks.check import Sample, judge
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.models.model import GenerationSettings
from tunegate.models.open_model import open_model
from tunegate.models.reward_model import RewardModel, check_same_tokenizer, scored_ids
from tunegate_suites import build_check
from tunegate_trainers import common, reward
from tunegate_trainers.process import run
from tunegate_trainers.settings import validate

pytestmark = real_training
HELD_OUT = [
    Case(str(n), f"Which gene causes {n}?", ("BRCA1",), choices=("BRCA1", "BRCA2")[:: 1 if n % 2 else -1])
    for n in range(6, 10)
]


def trained(make_job: MakeJob, name: str = "reward", **more: Any) -> tuple[RewardModel, common.Log, Path]:
    """A reward model after eight steps on six pairs."""
    job = make_job("reward", name, args={**ARGS, "max_steps": 8}, **more)
    log, _ = run(job)
    model = open_model(job.output, dtype="float32")
    assert isinstance(model, RewardModel)
    return model, log, Path(job.output)


@pytest.mark.parametrize("peft", [None, {"r": 4}], ids=["full", "lora"])
def test_a_trained_reward_model_prefers_what_was_chosen(make_job: MakeJob, peft: dict[str, Any] | None) -> None:
    model, log, folder = trained(make_job, peft=peft)
    assert log[0]["margin"] == 0.0  # the head begins as zeros
    assert log[0]["loss"] == pytest.approx(math.log(2))
    assert log[-2]["accuracy"] == 1.0
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["LlamaForSequenceClassification"]
    outcomes = judge([build_check("choice", Path())], samples(model))
    assert [outcome.verdict for outcome in outcomes] == [Verdict.PASS] * len(HELD_OUT)


def samples(model: RewardModel) -> list[Sample]:
    answers = model.score_choices(HELD_OUT, GenerationSettings())
    return [Sample(HELD_OUT[index], response) for index, response in answers]


def test_rewards_are_those_of_training(make_job: MakeJob) -> None:
    """The trainer's own tokens, and the reward that a plain forward pass gives, alone or in a batch."""
    job = make_job("reward", peft=None)
    loaded = common.load(job)
    trainer, _ = reward.build(task_of(job), loaded)
    row = trainer.train_dataset[0]
    pair = PAIRS[0]
    assert row["chosen_ids"] == scored_ids(loaded.tokenizer, pair["prompt"], pair["chosen"])
    assert row["rejected_ids"] == scored_ids(loaded.tokenizer, pair["prompt"], pair["rejected"])

    import torch

    model, _, _ = trained(make_job)
    answered = [(pair["prompt"], pair["chosen"]), (pair["prompt"], "a much longer answer than the other one")]
    with torch.no_grad():
        ids = [torch.tensor([scored_ids(model.tokenizer, *one)]) for one in answered]
        alone = [model.model(input_ids=one).logits.item() for one in ids]
    assert model.rewards(answered) == pytest.approx(alone, abs=1e-5)


def test_a_model_without_chat_template_is_trained_and_scored_on_plain_text(make_job: MakeJob, tmp_path: Path) -> None:
    plain = make_tiny_model(tmp_path / "plain", chat_template=False)
    job = make_job("reward", model=str(plain))
    loaded = common.load(job)
    trainer, _ = reward.build(task_of(job), loaded)
    expected = scored_ids(loaded.tokenizer, PAIRS[0]["prompt"], PAIRS[0]["chosen"])
    assert trainer.train_dataset[0]["chosen_ids"] == expected
    with pytest.raises(ConfigError, match="chat messages need a chat template"):
        scored_ids(loaded.tokenizer, ({"role": "user", "content": "?"},), "!")


def test_the_same_seed_gives_the_same_rewards(make_job: MakeJob) -> None:
    first, second = (trained(make_job, name)[0] for name in ("one", "two"))
    answered = [("Which gene?", "BRCA1")]
    assert first.rewards(answered) == second.rewards(answered) != [0.0]


def test_it_starts_from_an_adapter_too(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job("reward")
    adapter = make_adapter(Path(job.model), tmp_path / "adapter")
    model, log, _ = trained(make_job, "on-adapter", model=str(adapter))
    assert log[0]["margin"] == 0.0
    assert model.rewards([("Which gene?", "BRCA1")]) != [0.0]


def test_a_reward_model_answers_nothing(make_job: MakeJob) -> None:
    model, _, folder = trained(make_job)
    responses = dict(model.generate(HELD_OUT, GenerationSettings()))
    assert len(responses) == len(HELD_OUT)
    assert all("a reward model does not answer" in (response.error or "") for response in responses.values())
    with pytest.raises(
        ConfigError, match="a reward model, which scores answers but does not answer; name a language model"
    ):
        common.load(make_job("sft", model=str(folder)))


def test_what_cannot_be_scored_is_invalid_alone(make_job: MakeJob) -> None:
    model, _, _ = trained(make_job)
    too_long = Case("long", "x " * 300, ("a",), choices=("a", "b"))
    cases = [Case("none", "?"), too_long, HELD_OUT[0]]
    responses = dict(model.score_choices(cases, GenerationSettings()))
    assert responses[0].error == "the case has no choices"
    assert "exceed the model's 256 positions" in (responses[1].error or "")
    assert responses[2].error is None


@pytest.mark.parametrize("normalize", ["bytes", "chars"])
def test_a_reward_is_not_divided_by_length(make_job: MakeJob, normalize: str) -> None:
    model, _, _ = trained(make_job)
    (outcome, *_) = judge([build_check({"choice": {"normalize": normalize}}, Path())], samples(model))
    assert outcome.verdict is Verdict.INVALID
    assert "a reward model needs `normalize: false`" in outcome.reason


def test_another_tokenizer_is_refused(make_job: MakeJob, tmp_path: Path) -> None:
    model, _, folder = trained(make_job)
    base = tmp_path / "base"
    check_same_tokenizer(folder, base)
    plain = make_tiny_model(tmp_path / "plain", chat_template=False)
    with pytest.raises(ConfigError, match=r"another tokenizer than .*plain \(its chat template differs\)"):
        check_same_tokenizer(folder, plain)
    model.tokenizer.add_tokens([f"<new-{n}>" for n in range(3)])
    model.tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"another tokenizer than .*base \(its vocabulary differs\)"):
        check_same_tokenizer(folder, base)
    with pytest.raises(ConfigError, match="it is another model's tokenizer"):
        open_model(str(folder))


def test_an_adapter_for_another_base_is_refused(make_job: MakeJob, tmp_path: Path) -> None:
    """One of another width, which PEFT refuses itself, and one with more layers, of which PEFT only warns."""
    base = Path(make_job("reward").model)
    adapter = make_adapter(base, tmp_path / "adapter")
    for change, message in (
        ({"num_hidden_layers": 1}, "is for another base model: 4 of its parts do not exist"),
        ({"num_attention_heads": 8, "head_dim": 16}, "does not fit its base model: "),
    ):
        other = other_base(base, tmp_path / f"other-{len(change)}", change)
        config = json.loads((adapter / "adapter_config.json").read_text())
        (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(other)}))
        with pytest.raises(CannotJudge, match=message):
            open_model(str(adapter))
        with pytest.raises(CannotJudge, match=message):
            run(make_job("reward", model=str(adapter)))


def other_base(base: Path, folder: Path, change: dict[str, Any]) -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.from_pretrained(base)
    config.update(change)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def test_the_adapter_of_a_reward_model_is_neither_saved_nor_opened(make_job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="save: a reward model is always saved merged"):
        validate(make_job("reward", save="adapter"))
    adapter = make_adapter(Path(make_job("reward").model), tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "task_type": "SEQ_CLS"}))
    with pytest.raises(ConfigError, match="the adapter of a reward model; merge it"):
        open_model(str(adapter))


def test_a_classifier_is_no_reward_model(make_job: MakeJob) -> None:
    _, _, folder = trained(make_job)
    from transformers import AutoModelForSequenceClassification

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "id2label": {"0": "bad", "1": "good"}}))
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, ignore_mismatched_sizes=True)
    model.save_pretrained(folder)
    with pytest.raises(ConfigError, match="a classifier with 2 outputs"):
        open_model(str(folder))


def test_the_shipped_pairs_give_nothing_away_by_their_order() -> None:
    shipped = ROOT / "suites" / "tunegate_suites" / "data"
    for name, right in (("gene_pairs", lambda row: row["choices"].index(row["answer"])), ("oasst", in_letters)):
        rows = [json.loads(line) for line in (shipped / name / "held_out.jsonl").read_text().splitlines()]
        first = sum(right(row) == 0 for row in rows)
        assert 0.4 < first / len(rows) < 0.6
        assert all(len(set(row["choices"])) == 2 for row in rows)


def in_letters(row: dict[str, Any]) -> int:
    return "AB".index(row["answer"])
