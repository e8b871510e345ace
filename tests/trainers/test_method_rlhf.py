"""Method rlhf: policies are optimised against checks and reward models, and held near where they began."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support.fake_pipeline import SUITE, carry_out, load, tools, write_pipeline
from tests.support.tiny_model import make_tiny_model
from tests.support.trainer_jobs import MakeJob, real_training, task_of
from tunegate.cases.case import Case
from tunegate.checks.answers.part import AnswerRule
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.models.model import GenerationSettings
from tunegate.models.open_model import open_model
from tunegate.training.trainer import TrainJob, checkpoints_of
from tunegate_trainers import common, rewards, rlhf
from tunegate_trainers.process import run
from tunegate_trainers.settings import validate

pytestmark = real_training

ALGORITHMS = ("rloo", "grpo", "ppo")
MOST = (pytest.param("rloo", marks=pytest.mark.slow), "grpo", "ppo")
"""All of them too, but rloo, which shares our lines with grpo, in the long run of the tests only."""
PROMPTS = [{"prompt": f"Which gene causes {n}?", "completion": "BRCA1"} for n in range(16)]
ARGS = {"per_device_train_batch_size": 16, "max_completion_length": 6, "disable_tqdm": True}
RATES = {"rloo": (1e-2, 4e-2), "grpo": (6e-3, 3e-2), "ppo": (6e-3, 4e-2)}
"""Learning rates at which the tiny model learns in a few steps: all weights, an adapter."""
LETTER = "e"


class LetterCheck:
    """Likes answers by how often they hold a letter; a fake of a check."""

    name, version, batch_size, needs_choices, can_fail, fingerprint = "letter", "1", 8, False, True, "letter"
    needs: ClassVar[tuple[str, ...]] = ()
    max_errors: ClassVar[dict[str, int]] = {}

    def variants(self, case: Case) -> tuple[Any, ...]:
        return ()

    def judge(self, samples: Sequence[Any]) -> list[Any]:
        from tunegate.checks.outcome import Finding, Verdict

        counts = [sample.response.text.count(LETTER) for sample in samples]
        return [Finding("letter", Verdict.PASS if count else Verdict.FAIL, count) for count in counts]


class FakeSuite:
    answer = AnswerRule()

    def __init__(self, *checks: Any) -> None:
        self.checks = checks


def policy_job(make_job: MakeJob, algorithm: str, steps: int, name: str = "out", **more: Any) -> TrainJob:
    peft = more.pop("peft", None)
    args = {**ARGS, "max_steps": steps, "learning_rate": RATES[algorithm][peft is not None], **more.pop("args", {})}
    size = {"num_ppo_epochs": 2} if algorithm == "ppo" else {"num_generations": 4}
    options = {"algorithm": algorithm, "reward": {"suite": "letters", "check": "letter"}, "max_kl": 50.0}
    job = {"rows": PROMPTS, "peft": peft, "args": {**size, **args}, "suites": {"letters": {"name": "letters"}}}
    return make_job("rlhf", name, **{**job, **more, "options": {**options, **more.get("options", {})}})


def trained(job: TrainJob, *checks: Any) -> tuple[common.Log, common.Summary]:
    return run(job, lambda ref: FakeSuite(*(checks or (LetterCheck(),))))  # pyright: ignore[reportArgumentType]


def weights(job: TrainJob) -> str:
    file = next(Path(job.output).glob("*.safetensors"))
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("algorithm", "peft"),
    [
        pytest.param("grpo", {"r": 4}, id="grpo-lora"),
        pytest.param("ppo", None, id="ppo-full"),
        pytest.param("grpo", None, id="grpo-full", marks=pytest.mark.slow),
        pytest.param("ppo", {"r": 4}, id="ppo-lora", marks=pytest.mark.slow),
        pytest.param("rloo", None, id="rloo-full", marks=pytest.mark.slow),
        pytest.param("rloo", {"r": 4}, id="rloo-lora", marks=pytest.mark.slow),
    ],
)
def test_the_mean_reward_rises_from_where_the_model_was(
    make_job: MakeJob, algorithm: str, peft: dict[str, Any] | None
) -> None:
    count = {"ppo": 36}.get(algorithm, 20)
    job = policy_job(make_job, algorithm, count, peft=peft)
    log, summary = trained(job)
    steps = [entry for entry in log if "loss" in entry]
    assert len(steps) == count
    assert steps[0]["ratio"] == pytest.approx(1.0, abs=1e-4)
    assert steps[0]["kl"] == pytest.approx(0.0, abs=1e-5)
    for name in ("reward", "kl", "ratio", "clip_fraction", "entropy", "loss"):
        assert all(math.isfinite(entry[name]) for entry in steps), name
    means = [entry["reward"] for entry in steps]
    assert sum(means[-4:]) / 4 > 1.5 * sum(means[:4]) / 4
    assert summary["first_reward"] == means[0]
    assert summary["last_reward"] == means[-1]
    assert summary["max_kl"] == max(entry["kl"] for entry in steps) > 0
    assert summary["rows"] == len(PROMPTS)
    assert summary["tokens"] > 0
    [(_, response)] = open_model(job.output).generate([Case("a", "Which gene?")], GenerationSettings(4))
    assert response.error is None


def test_the_value_head_stays_out_of_the_model(make_job: MakeJob) -> None:
    from safetensors import safe_open

    job = policy_job(make_job, "ppo", 1)
    trained(job)
    names = []
    for folder in (job.model, job.output):
        with safe_open(Path(folder) / "model.safetensors", framework="pt") as file:
            names.append(sorted(file.keys()))
    assert names[0] == names[1]


@pytest.mark.parametrize("algorithm", MOST)
def test_the_same_seed_gives_the_same_weights(make_job: MakeJob, algorithm: str) -> None:
    jobs = [
        policy_job(make_job, algorithm, 2, name, peft={"r": 4}, seed=seed)
        for name, seed in (("a", 7), ("b", 7), ("c", 8))
    ]
    for job in jobs:
        trained(job)
    assert weights(jobs[0]) == weights(jobs[1]) != weights(jobs[2])


class Killed(LetterCheck):
    """Judges twice for each step of training, and is killed in the fourth step; in ppo, in the second batch."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def judge(self, samples: Sequence[Any]) -> list[Any]:
        self.calls -= 1
        if self.calls == 0:
            raise KeyboardInterrupt
        return super().judge(samples)


@pytest.mark.parametrize("algorithm", MOST)
def test_a_training_that_was_killed_comes_to_the_same_weights(make_job: MakeJob, algorithm: str) -> None:
    """From its checkpoint; ppo begins anew."""
    whole, killed = (policy_job(make_job, algorithm, 4, name, args={"save_steps": 2}) for name in ("whole", "killed"))
    trained(whole)
    suite = FakeSuite(Killed(3 if algorithm == "ppo" else 7))
    with pytest.raises(KeyboardInterrupt):
        rlhf.train(replace(task_of(killed), open_suite=lambda ref: suite))  # pyright: ignore[reportArgumentType]
    assert (checkpoints_of(killed) / "checkpoint-2").exists() == (algorithm != "ppo")
    trained(killed)
    assert weights(killed) == weights(whole)


@pytest.mark.parametrize("algorithm", MOST)
def test_an_adapter_goes_on_from_itself(make_job: MakeJob, algorithm: str) -> None:
    """The reference of an adapter that is trained on is that adapter, with all weights as with the adapter alone."""
    first = policy_job(make_job, algorithm, 3, "first", peft={"r": 4}, save="adapter")
    trained(first)
    for peft, save in (({"r": 4}, "adapter"), (None, "merged")):
        job = policy_job(make_job, algorithm, 1, f"second-{save}", model=first.output, peft=peft, save=save)
        log, _ = trained(job)
        assert log[0]["kl"] == pytest.approx(0.0, abs=1e-5)
        assert not (Path(job.output) / "ref").exists()


def test_ppo_adapts_its_penalty_and_accumulates(make_job: MakeJob) -> None:
    args = {"target_kl": 1e-6, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}
    args |= {"num_ppo_epochs": 2, "whiten_rewards": True}
    log, _ = trained(policy_job(make_job, "ppo", 6, args=args))
    ratios = [entry["ratio"] for entry in log if "ratio" in entry]
    assert ratios[0] == ratios[2] == ratios[4] == pytest.approx(1.0)  # fresh answers at every second step
    assert ratios[1] != ratios[0]
    assert log[-2]["beta"] > 0.05


@pytest.mark.parametrize("algorithm", ["rloo", "ppo"])
def test_a_policy_that_runs_away_is_stopped_with_the_step(make_job: MakeJob, algorithm: str) -> None:
    job = policy_job(make_job, algorithm, 24, options={"max_kl": 1e-4})
    log: common.Log = []
    with pytest.raises(CannotJudge, match=r"diverged at step \d+: KL .* above options.max_kl 0.0001; lower"):
        run(job, lambda ref: FakeSuite(LetterCheck()), log)  # pyright: ignore[reportArgumentType]
    assert not Path(job.output).exists()
    *before, last = [entry["kl"] for entry in log]
    assert last > 1e-4 >= max(before)  # what led to it is kept, under our names


# --- rewards ---


class Raises(LetterCheck):
    def judge(self, samples: Sequence[Any]) -> list[Any]:
        raise RuntimeError("the judge is down")


class Shy(LetterCheck):
    """Judges every second answer."""

    def judge(self, samples: Sequence[Any]) -> list[Any]:
        from tunegate.checks.outcome import Verdict

        findings = super().judge(samples)
        return [replace(one, verdict=Verdict.INVALID) if n % 2 else one for n, one in enumerate(findings)]


@pytest.mark.parametrize("algorithm", MOST)
def test_answers_that_no_check_could_judge_do_not_move_the_policy(make_job: MakeJob, algorithm: str) -> None:
    log, _ = trained(policy_job(make_job, algorithm, 2, options={"max_invalid": 0.6}), Shy())
    assert all(math.isfinite(entry["reward"]) for entry in log if "loss" in entry)


def test_a_check_that_is_down_ends_the_training(make_job: MakeJob) -> None:
    with pytest.raises(CannotJudge, match=r"no reward for any of the 16 .* raised RuntimeError: the judge is down"):
        trained(policy_job(make_job, "rloo", 1), Raises())


def reward_model(folder: Path, *, seed: int = 0, nan: bool = False, tokenizer: Path | None = None) -> Path:
    """A tiny reward model with random weights."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    base = tokenizer or make_tiny_model(folder / "base")
    torch.manual_seed(seed)
    config = AutoConfig.from_pretrained(base, num_labels=1)
    model = AutoModelForSequenceClassification.from_config(config)
    if nan:
        torch.nn.init.constant_(model.score.weight, math.nan)
    model.save_pretrained(folder / "reward")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder / "reward")
    return folder / "reward"


def by_model(make_job: MakeJob, folder: Path, algorithm: str = "ppo") -> TrainJob:
    job = policy_job(make_job, algorithm, 1)
    return TrainJob(**{**vars_of(job), "options": {"algorithm": algorithm, "reward": {"model": str(folder)}}})


def vars_of(job: TrainJob) -> dict[str, Any]:
    return {name: getattr(job, name) for name in TrainJob.__dataclass_fields__}


@pytest.mark.parametrize("algorithm", MOST)
def test_a_reward_model_rewards(make_job: MakeJob, tmp_path: Path, algorithm: str) -> None:
    log, summary = trained(by_model(make_job, reward_model(tmp_path), algorithm))
    assert math.isfinite(summary["first_reward"])
    assert log[0]["reward"] != 0


def test_a_reward_that_is_no_number_ends_the_training(make_job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(CannotJudge, match=r"no reward for any of the 16 answers.*the reward is not a number"):
        trained(by_model(make_job, reward_model(tmp_path, nan=True)))


def test_a_reward_model_of_another_tokenizer_is_refused(make_job: MakeJob, tmp_path: Path) -> None:
    other = make_tiny_model(tmp_path / "other", chat_template=False)
    with pytest.raises(ConfigError, match="the reward model has another tokenizer"):
        trained(by_model(make_job, reward_model(tmp_path, tokenizer=other)))


# --- data and settings ---


def test_prompts_that_are_too_long_are_left_out_and_told(make_job: MakeJob) -> None:
    rows = [*PROMPTS, {"prompt": "gene " * 400}]
    _, summary = trained(policy_job(make_job, "rloo", 1, rows=rows))
    assert (summary["rows"], summary["dropped_rows"]) == (16, [17])
    short = policy_job(make_job, "ppo", 1, options={"max_prompt_tokens": 3})
    with pytest.raises(
        ConfigError, match=r"expected at least 16 prompts, a batch of answers, got 0 \(16 more are longer than 3"
    ):
        trained(short)


def test_too_few_prompts_are_told_instead_of_training_nothing(make_job: MakeJob) -> None:
    with pytest.raises(ConfigError, match="expected at least 4 prompts, a batch of answers, got 2; add rows, or lower"):
        trained(policy_job(make_job, "grpo", 1, rows=PROMPTS[:2]))


SUITE_REWARD = {"suite": "facts"}
RLOO = {"algorithm": "rloo", "reward": SUITE_REWARD}
PPO = {"algorithm": "ppo", "reward": SUITE_REWARD}
TWO = {"num_processes": 2}
PROMPT_TUNING = {"type": "prompt_tuning", "num_virtual_tokens": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {**RLOO, "algorithm": "reinforce"}}, r"options\.algorithm: .*'rloo', 'grpo' or 'ppo'"),
        ({"options": {"algorithm": "ppo"}}, r"options\.reward: this key is required"),
        ({"options": {**PPO, "reward": {}}}, r"options\.reward: give either `stage`"),
        ({"options": {**PPO, "reward": {"stage": "a", "suite": "b"}}}, r"options\.reward: give either"),
        ({"options": {**PPO, "reward": {"stage": "a", "check": "b"}}}, "names a check of `suite`"),
        ({"options": {**PPO, "max_kl": 0}}, r"options\.max_kl: .*greater than 0"),
        ({"args": {"num_generations": 3}}, "3 does not divide the 8 answers that are generated at once"),
        ({"args": {"num_generations": 1}}, "expected 2 or more answers to compare, got 1"),
        ({"args": {"beta": 0.0}}, r"args\.beta: expected 1e-6 or more, got 0"),
        ({"args": {"num_generation": 2}}, r"args\.num_generation: not an argument of TRL's.*did you mean 'num_gen"),
        ({"options": PPO, "args": {"num_generations": 2}}, "not an argument of the config class for rlhf"),
        ({"options": PPO, "launcher": TWO}, "launcher: ppo trains in one process, got 2"),
        ({"launcher": TWO, "args": {"num_generations": 3, "per_device_train_batch_size": 4}}, "divide the 8 answers"),
        ({"peft": PROMPT_TUNING, "save": "adapter"}, "prompt_tuning learns prompts, but rlhf trains weights"),
    ],
)
def test_settings_that_cannot_be_are_told(make_job: MakeJob, change: dict[str, Any], message: str) -> None:
    given = {"options": RLOO, "args": {}, **change}
    with pytest.raises(ConfigError, match=message):
        validate(make_job("rlhf", **given))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_args_reach_the_config_of_the_algorithm(make_job: MakeJob, algorithm: str) -> None:
    args = {"temperature": 0.7, "max_completion_length": 12, "beta": 0.01}
    validate(make_job("rlhf", options={"algorithm": algorithm, "reward": SUITE_REWARD}, args=args))


def test_a_reward_stage_is_for_the_engine_to_find(make_job: MakeJob) -> None:
    job = policy_job(make_job, "ppo", 1)
    job = TrainJob(**{**vars_of(job), "options": {"algorithm": "ppo", "reward": {"stage": "taste"}}})
    with pytest.raises(ConfigError, match="only `tunegate run` can find"):
        rewards.rewards_of(task_of(job))


# --- in a pipeline ---

PIPELINE = f"""\
name: small
model: base
suites:
  facts: {SUITE}
  pairs: {SUITE}
stages:
  - {{name: taste, method: reward, data: pairs.jsonl, gates: [pairs]}}
  - name: align
    method: rlhf
    data: train.jsonl
    gates: [facts]
    options: {{algorithm: ppo, reward: {{stage: taste}}}}
"""


def test_a_pipeline_hands_over_what_the_method_takes(tmp_path: Path) -> None:
    """What the engine writes into the job is what the trainer reads: nothing is left for it to find."""
    for reward in ("stage: taste", "suite: pairs"):
        path = write_pipeline(tmp_path / reward.split()[1], PIPELINE.replace("stage: taste", reward))
        jobs: dict[str, TrainJob] = {}
        given = tools({"taste#1": 1.0, "align#1": 1.0})
        fake = given.train

        def train(job: TrainJob, jobs: dict[str, TrainJob] = jobs, fake: Any = fake) -> Any:
            jobs[job.method] = TrainJob(**json.loads(json.dumps(vars_of(job), default=str)))
            return fake(job)

        object.__setattr__(given, "train", train)
        carry_out(path, given)
        job = jobs["rlhf"]
        options: rlhf.Options = validate(job)
        if reward == "suite: pairs":
            assert options.reward.suite == "pairs"
            assert set(job.suites) == {"facts", "pairs"}
        else:
            assert options.reward.model is not None
            assert Path(options.reward.model).is_dir()


def test_a_reward_model_without_a_gate_is_not_taken(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("stage: taste", "model: somewhere"))
    with pytest.raises(ConfigError, match=r"options\.reward\.model: name the stage that trains the reward model"):
        load(path)
