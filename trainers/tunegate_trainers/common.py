"""What all training methods share: load the input model, fit the rows, train, save, and report."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.rows import Row, read_rows
from tunegate.training import TrainJob
from tunegate_trainers.progress import FiniteLoss, QuietProgress

Messages = list[dict[str, str]]
Built = tuple[Any, "Rows"]
"""A trainer of TRL, ready to train, and the rows it was given."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The stage's input: model and tokenizer. `peft_config` is the new adapter to train on top, None if there is none.

    `model` is a PeftModel where the input was an adapter folder that training continues.
    """

    model: Any
    tokenizer: Any
    peft_config: Any | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows ready for TRL, and the line numbers of those that do not fit `max_length`."""

    kept: list[Row]
    dropped: list[int]


def run(job: TrainJob, build: Callable[[TrainJob, Loaded], Built]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Train as the job says and put the model at `job.output`; returns (log, summary). Raises when there is no model."""
    score_completions_only()
    loaded = load(job)
    trainer, rows = build(job, loaded)
    trainer.remove_callback(_progress_callback())
    for callback in (QuietProgress(), FiniteLoss()):
        trainer.add_callback(callback)
    trainer.train()
    _check_finite(trainer.model, trainer.state.global_step)
    log = [finite_entry(entry) for entry in trainer.state.log_history]
    summary = _summary(trainer, rows, log)
    save(trainer.model, loaded.tokenizer, job)
    return log, summary


def score_completions_only() -> None:
    """On a CPU, let TRL's fused LM head score the completion tokens only, as it does on a GPU.

    Off the GPU, TRL 1.16 projects every position onto the vocabulary and throws away what the loss does not need (a
    rule made for accelerators that compile per shape). Losses are the same to the last bit; with prompts of 90 tokens
    and answers of 6, a step takes 1.4 s instead of 3.3 s.
    """
    from trl.trainer import utils

    utils._use_triton = lambda device: device.type in ("cpu", "cuda", "xpu")  # pyright: ignore[reportPrivateUsage]


def load(job: TrainJob) -> Loaded:
    """Load the model folder (full weights or adapter) in the dtype that this machine trains best in."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = Path(job.model).resolve()
    is_adapter = (folder / "adapter_config.json").exists()
    if job.peft is None and job.save == "adapter":
        raise ConfigError("save: 'adapter' needs `peft`: training all weights leaves no adapter to save")
    dtype = torch.bfloat16 if job.peft is not None and has_bf16() else torch.float32
    base = _adapter_base(folder) if is_adapter else folder
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, local_files_only=True)
    tokenizer_folder = folder if (folder / "tokenizer_config.json").exists() else base
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
    if is_adapter:
        return Loaded(_with_adapter(model, folder, job), tokenizer, None)
    return Loaded(model, tokenizer, None if job.peft is None else lora_config(job.peft))


def has_bf16() -> bool:
    """Whether this machine multiplies bfloat16 natively; elsewhere it is emulated, and slower than float32."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def lora_config(peft: Mapping[str, Any]) -> Any:
    """A fresh `peft.LoraConfig`; PEFT writes into it, so every training gets its own."""
    from peft import LoraConfig

    return LoraConfig(**{"task_type": "CAUSAL_LM", "target_modules": "all-linear", **peft})


def _adapter_base(folder: Path) -> Path:
    from peft import PeftConfig

    base = Path(str(PeftConfig.from_pretrained(str(folder)).base_model_name_or_path))
    if not base.is_dir():
        raise ConfigError(f"{folder / 'adapter_config.json'}: its base model {str(base)!r} is not a folder here")
    return base


def _with_adapter(model: Any, folder: Path, job: TrainJob) -> Any:
    """The adapter on its base: continued where adapters are trained, merged where all weights are."""
    from peft import PeftModel

    adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=job.peft is not None)
    if job.peft is None:
        return adapted.merge_and_unload()
    config = adapted.peft_config["default"].to_dict()
    for name, asked in job.peft.items():
        if name != "target_modules" and config.get(name) != asked:
            raise ConfigError(
                f"peft.{name}: {asked!r}, but the input {folder} is an adapter with {config.get(name)!r}, which "
                "training continues; use the same value, or `save: merged` in the stage before"
            )
    return adapted


def arguments(job: TrainJob, folder: Path | None = None) -> dict[str, Any]:
    """The arguments for TRL's config class: what a CPU and a log of every step need, then the job's own `args`."""
    import torch

    defaults = {
        "logging_steps": 1,  # the curve is evidence; the first step of dpo must show its margin
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # a loss that is not a number must be seen, not smoothed away
        "save_strategy": "no",
        "report_to": [],
        "bf16": False,  # the weights are loaded as bfloat16 where that is faster; autocast on top costs time
        "gradient_checkpointing": False,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "disable_tqdm": False,
    }
    return defaults | dict(job.args) | {"output_dir": str(folder or partial(job)), "seed": job.seed}


def fit_rows(job: TrainJob, tokenizer: Any, max_length: int | None, keys: Sequence[str]) -> Rows:
    """Read the job's rows, put them into TRL's format, and leave out those longer than `max_length` tokens.

    TRL would cut such rows without a word. `keys` names the fields of a row, the first being the prompt.
    """
    completions = keys[1:]
    kept: list[Row] = []
    dropped: list[int] = []
    for number, row in read_rows(Path(job.data)):
        _check_row(row, keys, f"{job.data}:{number}")
        formatted = to_trl(row, completions, tokenizer)
        if max_length is not None and _length(formatted, completions, tokenizer) > max_length:
            dropped.append(number)
        else:
            kept.append(formatted)
    if not kept:
        raise ConfigError(f"{job.data}: none of {len(dropped)} rows fits max_length {max_length}; raise args.max_length")
    return Rows(kept, dropped)


def _check_row(row: Row, keys: Sequence[str], where: str) -> None:
    for key in keys:
        if key not in row:
            raise ConfigError(f"{where}: {key!r} is missing; a row has {', '.join(keys)}")
        if not isinstance(row[key], str) and not (key == "prompt" and isinstance(row[key], list)):
            raise ConfigError(f"{where}: {key!r} must be text, got {type(row[key]).__name__}")


def to_trl(row: Row, completions: Sequence[str], tokenizer: Any) -> Row:
    """A row as TRL takes it: a conversation where the tokenizer has a chat template, exactly as the gate will ask."""
    prompt = row["prompt"]
    if tokenizer.chat_template is None:
        if not isinstance(prompt, str):
            raise ConfigError("prompt: chat messages need a tokenizer with a chat template; this model has none")
        return {"prompt": prompt, **{key: row[key] for key in completions}}
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return {"prompt": messages, **{key: [{"role": "assistant", "content": row[key]}] for key in completions}}


def _length(row: Row, completions: Sequence[str], tokenizer: Any) -> int:
    """Tokens of the row's longest prompt-and-completion."""
    if tokenizer.chat_template is None:
        texts = [row["prompt"] + row[key] + tokenizer.eos_token for key in completions]
        return max(len(tokenizer(text)["input_ids"]) for text in texts)
    chats: list[Messages] = [row["prompt"] + row[key] for key in completions]
    return max(len(tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"]) for chat in chats)


def save(model: Any, tokenizer: Any, job: TrainJob) -> None:
    """Write model, tokenizer and generation settings to `job.output`, which appears whole or not at all."""
    folder = partial(job)
    if hasattr(model, "merge_and_unload"):
        if "ref" in model.peft_config:
            model.delete_adapter("ref")  # DPO's frozen copy of the input adapter
        model = model.merge_and_unload() if job.save == "merged" else model
    model.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.rmtree(job.output, ignore_errors=True)
    folder.replace(job.output)


def partial(job: TrainJob) -> Path:
    """Where the model is written before it is complete."""
    return Path(f"{job.output}.partial")


def finite_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A log entry with what JSON can hold: infinite and undefined numbers become None."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in entry.items()
    }


def _check_finite(model: Any, step: int) -> None:
    """The last update is after the last logged loss."""
    for name, weights in model.named_parameters():
        if weights.requires_grad and not weights.isfinite().all():
            raise CannotJudge(f"diverged at step {step}: {name} is no longer finite; lower args.learning_rate")


def _progress_callback() -> type:
    from transformers import ProgressCallback

    return ProgressCallback


def _summary(trainer: Any, rows: Rows, log: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    losses = [entry["loss"] for entry in log if "loss" in entry]
    margins = [entry["rewards/margins"] for entry in log if "rewards/margins" in entry]
    weights = next(trainer.model.parameters())
    return {
        "rows": len(rows.kept),
        "rows_dropped": len(rows.dropped),
        "dropped_rows": rows.dropped,
        "tokens": int(next((entry["num_tokens"] for entry in reversed(log) if "num_tokens" in entry), 0)),
        "steps": trainer.state.global_step,
        "epochs": trainer.state.epoch,
        "loss": losses[-1] if losses else None,
        **({"first_margin": margins[0]} if margins else {}),
        "dtype": str(weights.dtype).removeprefix("torch."),
        "device": str(weights.device),
        "trainable_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "versions": {name: version(name) for name in ("trl", "transformers", "peft", "torch")},
    }
