"""Trainings: real ones of TRL, on a tiny real model."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny_model import make_tiny_model
from tests.support.trainer_jobs import ARGS, LORA, SFT_ROWS, MakeJob, real_training, task_of
from tunegate.cases.case import Case
from tunegate.exceptions import CannotJudge, ConfigError, Diverged
from tunegate.models.open_model import find_model, open_model
from tunegate.models.prompting import answer_prompt
from tunegate.training.trainer import SubprocessTrainer, checkpoints_of
from tunegate_trainers import common, sft
from tunegate_trainers.config_fields import fields_of
from tunegate_trainers.process import failure_of, main, run
from tunegate_trainers.settings import TRAINING_ARGUMENTS, method_module, read_options, validate_args

pytestmark = real_training


def weights_sha256(folder: str) -> str:
    return hashlib.sha256(Path(folder, "model.safetensors").read_bytes()).hexdigest()


def load_plain(folder: str) -> tuple[Any, Any]:
    """What somebody without PEFT or Tunegate does."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


# Settings


def test_importing_the_package_imports_no_torch() -> None:
    code = (
        "import sys, tunegate_trainers as t; from tunegate.training.trainer import TrainJob;"
        "t.validate(TrainJob('dpo', '', '', '', 1, {'beta': 0.1}, {'r': 4}));"
        "print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_names_read_from_the_sources_are_those_of_the_classes() -> None:
    from trl import DPOConfig, SFTConfig

    for method, config in (("sft", SFTConfig), ("dpo", DPOConfig)):
        sources = (*TRAINING_ARGUMENTS, ("trl", method_module(method).Options.config_file))
        assert set(fields_of(*sources)) == {field.name for field in fields(config)}


@pytest.mark.parametrize(
    ("method", "args", "message"),
    [
        ("sftt", {}, "'sftt' is not a training method (did you mean 'sft'"),
        (
            "sft",
            {"learning_rat": 1e-3},
            "args.learning_rat: not an argument of TRL's config class for sft (did you mean 'learning_rate'",
        ),
        ("sft", {"beta": 0.1}, "args.beta: not an argument of TRL's config class for sft"),
        ("dpo", {"learning_rate": "1e-3"}, "args.learning_rate: expected float, got '1e-3'"),
        ("dpo", {"max_steps": 1.5}, "args.max_steps: expected int, got 1.5"),
        ("sft", {"num_train_epochs": True}, "args.num_train_epochs: expected float, got True"),
        ("sft", {"seed": 3}, "args.seed: remove it"),
        ("sft", {"output_dir": "x"}, "args.output_dir: remove it"),
    ],
)
def test_wrong_args_are_named(method: str, args: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_args(method, args)
    assert message in str(error.value)


def check_args(method: str, args: dict[str, Any]) -> None:
    validate_args(method, args, read_options(method, {}).args_file)


def test_right_args_pass() -> None:
    check_args("sft", {"learning_rate": 1, "warmup_steps": 0.1, "lr_scheduler_type": "cosine", "max_length": None})
    check_args("dpo", {"beta": 0.1, "loss_type": ["sigmoid", "sft"], "bf16": None})


# Supervised fine-tuning


def test_training_sees_exactly_what_a_gate_asks(make_job: MakeJob) -> None:
    job = make_job(rows=[{"prompt": "Which gene?", "completion": "BRCA1"}])
    loaded = common.load(job)
    trainer, _ = sft.build(task_of(job), loaded)
    example = trainer.train_dataset[0]
    asked = answer_prompt(loaded.tokenizer, Case("1", "Which gene?"), None)
    assert example["input_ids"][: len(asked)] == asked
    assert example["labels"][: len(asked)] == [-100] * len(asked)  # only the completion counts
    assert loaded.tokenizer.decode(example["labels"][len(asked) :]) == "BRCA1<|im_end|>\n"


def test_a_chat_prompt_keeps_its_system_message(make_job: MakeJob) -> None:
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which gene?"})
    job = make_job(rows=[{"prompt": list(messages), "completion": "BRCA1"}])
    loaded = common.load(job)
    trainer, _ = sft.build(task_of(job), loaded)
    asked = answer_prompt(loaded.tokenizer, Case("1", messages), None)  # type: ignore[arg-type]
    assert trainer.train_dataset[0]["input_ids"][: len(asked)] == asked


def test_without_a_chat_template_prompts_stay_text(make_job: MakeJob, tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "plain", chat_template=False)
    job = make_job(rows=[{"prompt": "Which gene? ", "completion": "BRCA1"}], model=str(tmp_path / "plain"))
    loaded = common.load(job)
    trainer, _ = sft.build(task_of(job), loaded)
    assert loaded.tokenizer.decode(trainer.train_dataset[0]["input_ids"]) == "Which gene? BRCA1<|im_end|>"
    chat = make_job(
        rows=[{"prompt": [{"role": "user", "content": "?"}], "completion": "!"}], model=str(tmp_path / "plain")
    )
    with pytest.raises(ConfigError, match="this model has none"):
        sft.build(task_of(chat), loaded)


def test_scoring_completions_only_changes_no_loss(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl.trainer import utils

    job, losses, asked = make_job(), [], []
    monkeypatch.setattr(utils, "_use_triton", utils._use_triton)  # put back what score_completions_only replaces
    for only_completions in (False, True):
        if only_completions:
            common.score_completions_only()
            answer = utils._use_triton
            utils._use_triton = lambda device, answer=answer: asked.append(answer(device)) or asked[-1]
        trainer, _ = sft.build(task_of(job), common.load(job))
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert asked == [True] * 3  # TRL still asks at every step: if not, score_completions_only has lost its effect


def test_a_merged_model_needs_no_peft(make_job: MakeJob) -> None:
    job = make_job()
    log, summary = run(job)
    model, tokenizer = load_plain(job.output)
    assert tokenizer.chat_template is not None
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert weights_sha256(job.output) != weights_sha256(job.model)
    assert not Path(f"{job.output}.partial").exists()
    assert [entry["step"] for entry in log if "loss" in entry] == [1, 2, 3]
    assert summary["rows"] == 6
    assert summary["rows_dropped"] == 0
    assert summary["steps"] == 3
    assert summary["epochs"] == 1.0
    assert summary["tokens"] > 100
    assert summary["trainable_parameters"] > 0
    assert summary["loss"] == [entry["loss"] for entry in log if "loss" in entry][-1]
    assert set(summary["versions"]) == {"trl", "transformers", "peft", "torch"}
    json.dumps([log, summary], allow_nan=False)


def test_training_lowers_the_loss_and_full_training_too(make_job: MakeJob) -> None:
    for peft in (LORA, None):
        log, summary = run(make_job(peft=peft, args=ARGS | {"max_steps": 12}))
        losses = [entry["loss"] for entry in log if "loss" in entry]
        assert losses[-1] < losses[0] / 2
        assert summary["dtype"] == "float32" if peft is None else summary["dtype"] in ("float32", "bfloat16")


def test_rows_that_do_not_fit_are_reported_and_not_cut(make_job: MakeJob) -> None:
    rows = [*SFT_ROWS[:2], {"prompt": "word " * 200, "completion": "x"}, {"prompt": "?", "completion": "word " * 200}]
    _, summary = run(make_job(rows=rows, args=ARGS | {"max_length": 100, "max_steps": 1}))
    assert summary["rows"] == 2
    assert summary["rows_dropped"] == 2
    assert summary["dropped_rows"] == [3, 4]
    with pytest.raises(ConfigError, match="all 4 rows are longer than max_length 10"):
        run(make_job(rows=rows, args=ARGS | {"max_length": 10}))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "?"}, "'completion' is missing"),
        ({"prompt": "?", "completion": 3}, "'completion': expected text, got int"),
    ],
)
def test_a_wrong_row_is_named(make_job: MakeJob, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        run(make_job(rows=[SFT_ROWS[0], row]))
    assert ":2:" in str(error.value)


def test_the_same_seed_gives_the_same_weights(make_job: MakeJob) -> None:
    jobs = [make_job(name=f"out{n}", seed=seed) for n, seed in enumerate((1, 1, 2))]
    for job in jobs:
        run(job)
    first, again, other = (weights_sha256(job.output) for job in jobs)
    assert first == again
    assert first != other


# Chains, and what dpo measures against


@pytest.mark.parametrize(
    ("peft", "save"),
    [
        pytest.param(LORA, "adapter", id="lora-adapter"),
        pytest.param(None, "merged", id="full-merged"),
        pytest.param(LORA, "merged", id="lora-merged", marks=pytest.mark.slow),
        pytest.param(None, "adapter", id="full-adapter", marks=pytest.mark.slow),
    ],
)
def test_dpo_starts_from_its_input(make_job: MakeJob, save: str, peft: dict[str, Any] | None) -> None:
    """The first margin is 0 only if the reference is the stage's input, not the base model by its name."""
    first = make_job(name="sft", save=save, args=ARGS | {"max_steps": 8})
    run(first)
    second = make_job("dpo", name="dpo", model=first.output, peft=peft, save="merged", args=ARGS | {"max_steps": 8})
    log, summary = run(second)
    assert summary["first_margin"] == pytest.approx(0.0, abs=1e-6)
    margins = [entry["rewards/margins"] for entry in log if "rewards/margins" in entry]
    assert margins[-1] > 0.01  # and it learns
    assert next(entry["loss"] for entry in log if "loss" in entry) == pytest.approx(0.6931, abs=1e-3)
    load_plain(second.output)


def test_adapters_chain_on_the_same_base(make_job: MakeJob) -> None:
    from peft import PeftModel

    first = make_job(name="sft", save="adapter")
    run(first)
    second = make_job("dpo", name="dpo", model=first.output, save="adapter")
    _, summary = run(second)
    assert not list(Path(second.output).glob("**/ref*"))  # TRL's copy of the input
    found = find_model(second.output)
    assert found.folder == Path(first.model)
    assert found.adapters == (Path(second.output),)
    model, tokenizer = load_plain(first.model)
    names = [name for name, _ in PeftModel.from_pretrained(model, second.output).named_parameters() if "lora_A" in name]
    assert names
    assert tokenizer.chat_template == load_tokenizer(second.output).chat_template
    assert summary["trainable_parameters"] == run(first)[1]["trainable_parameters"]


def load_tokenizer(folder: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_a_merged_model_is_gated_as_its_adapter(make_job: MakeJob) -> None:
    """Bit for bit, where the base model is stored in the precision that it is trained and gated in, as most are."""
    from tunegate.models.hf import HFModel
    from tunegate.models.loading import choose_dtype

    base = make_job().model
    model, _ = load_plain(base)
    model.to(choose_dtype("auto", "cpu")).save_pretrained(base)
    weights: list[dict[str, Any]] = []
    for save in ("merged", "adapter"):
        job = make_job(name=save, save=save, args=ARGS | {"max_steps": 6})
        run(job)
        gated = open_model(job.output)
        assert isinstance(gated, HFModel)
        weights.append(gated.model.state_dict())
    assert weights[0].keys() == weights[1].keys()
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])


def test_an_adapter_keeps_its_shape(make_job: MakeJob) -> None:
    first = make_job(name="sft", save="adapter")
    run(first)
    with pytest.raises(ConfigError, match=r"peft\.r: expected 4, as in the continued input adapter"):
        run(make_job(name="again", model=first.output, peft={"r": 8}))


def test_full_training_has_no_adapter_to_save(make_job: MakeJob) -> None:
    with pytest.raises(ConfigError, match="without it no adapter is trained"):
        run(make_job(peft=None, save="adapter"))


# What goes wrong


SLOW = [pytest.param(method, marks=pytest.mark.slow) for method in ("cpt", "explain", "kto", "orpo")]


@pytest.mark.parametrize("method", ["sft", "dpo", *SLOW])
def test_divergence_is_an_error_and_leaves_no_model(make_job: MakeJob, method: str, tmp_path: Path) -> None:
    options = {"form": "system"} if method == "explain" else {}
    args = ARGS | {"learning_rate": 1e30, "max_grad_norm": 0.0, "max_steps": 10}
    job = make_job(method, args=args, options=options)
    with pytest.raises(CannotJudge, match=r"diverged at step [123]: loss is nan"):
        run(job)
    assert not Path(job.output).exists()
    assert not Path(f"{job.output}.partial").exists()


def test_a_training_that_fails_keeps_its_log(make_job: MakeJob) -> None:
    args = ARGS | {"learning_rate": 1e30, "max_grad_norm": 0.0, "max_steps": 10}
    job = make_job(args=args)
    folder = Path(job.output).parent
    (folder / "job.json").write_text(json.dumps(asdict(job)))
    assert main(folder / "job.json", folder / "result.json") == 1
    result = json.loads((folder / "result.json").read_text())
    assert "diverged" in result["error"]
    losses = [entry["loss"] for entry in result["log"]]
    assert losses[0] > 0
    assert losses[-1] is None  # the one that is no number


def test_the_last_update_is_checked_too(make_job: MakeJob) -> None:
    job = make_job(args=ARGS | {"learning_rate": 1e38, "max_steps": 1, "max_grad_norm": 0.0, "weight_decay": 1e3})
    with pytest.raises(CannotJudge, match=r"diverged at step 1: .* is not finite"):
        run(job)


def test_errors_become_one_line_in_the_result(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(args={"learning_rat": 1.0})
    (tmp_path / "job.json").write_text(json.dumps(asdict(job)))
    assert main(tmp_path / "job.json", tmp_path / "result.json") == 1
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["error"].startswith("args.learning_rat: not an argument of TRL's config class for sft")
    assert result["log"] == []


def test_running_out_of_memory_comes_with_its_remedy() -> None:
    import torch

    for error in (
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ):
        assert failure_of(error)[0] == "out of memory"
        assert failure_of(error)[1].startswith("out of memory: lower args.per_device_train_batch_size")
    assert failure_of(ValueError("first\nsecond")) == ("other", "ValueError: first")
    assert failure_of(Diverged("at step 3")) == ("diverged", "at step 3")


# The real process


@pytest.mark.slow
def test_in_its_own_process_it_gives_the_same_weights_and_is_quiet(
    make_job: MakeJob, capfd: pytest.CaptureFixture[str]
) -> None:
    jobs = [make_job(name="one"), make_job(name="two")]
    results = [SubprocessTrainer()(job) for job in jobs]
    assert [result.error for result in results] == [None, None]
    assert [result.summary["steps"] for result in results] == [3, 3]
    assert weights_sha256(jobs[0].output) == weights_sha256(jobs[1].output)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "Warning" not in printed.err
    assert "{'loss'" not in printed.err


@pytest.mark.slow
def test_a_killed_training_leaves_no_model(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job(args=ARGS | {"max_steps": 100_000, "save_strategy": "steps", "save_steps": 10})
    (tmp_path / "job.json").write_text(json.dumps(asdict(job)))
    files = [str(tmp_path / "job.json"), str(tmp_path / "result.json")]
    command = [sys.executable, "-m", "tunegate.training.training_process", *files]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list(checkpoints_of(job).glob("checkpoint-*")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path(job.output).exists()
    assert not (tmp_path / "result.json").exists()
    run(make_job())  # what it left behind is in nobody's way
    assert Path(job.output).exists()
