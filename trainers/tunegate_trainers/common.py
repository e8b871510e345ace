"""Shared by all training methods: load the input model, fit the rows, train, save, and report."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tunegate.exceptions import ConfigError, Diverged
from tunegate.models import adapters, loading
from tunegate.models.adapter_base import write_base
from tunegate.models.fewshot import FILE as EXAMPLES
from tunegate.models.fingerprint import ADAPTER_CONFIG
from tunegate.models.open_model import find_model
from tunegate.progress import is_drawn_on
from tunegate.training.trainer import TrainJob, checkpoints_of
from tunegate_trainers import (
    checkpoints,
    curriculum,
    effects,
    freezing,
    peft_configs,
    quantized,
    ranks,
    row_order,
    turn_ends,
)
from tunegate_trainers.task import Task
from tunegate_trainers.training_rows import Loaded, Rows

Log = list[dict[str, Any]]
Summary = dict[str, Any]
Built = tuple[Any, "Rows"]
"""A trainer of TRL, ready to train, and the rows it was given."""


def run(task: Task, build: Callable[[Task, Loaded], Built]) -> tuple[Log, Summary]:
    """Train a job and write the model to `job.output`; returns (log, summary). Raises if there is no model."""
    job = task.job
    score_completions_only()
    loaded = load(job)
    ordered = replace(task, job=curriculum.arrange(job, loaded))
    if job.method in turn_ends.CHATS and not hasattr(task.options, "chat_template"):  # others do it themselves
        turn_ends.settle(loaded.model, loaded.tokenizer)
    trainer, rows = build(ordered, loaded)
    ranks.check(trainer, job)
    row_order.repeat_when_resumed(trainer)
    freezing.freeze(trainer, job.train)
    watch(trainer, job)
    gate = watch_gate(task, trainer, loaded.tokenizer)
    try:
        threads = checkpoints.resume(trainer, job)
        seen = {} if gate is None else {"watch": gate.finish(trainer)}
        check_finite(trainer.model, trainer.state.global_step)
        rates = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
        effects.check_learned(trainer.state.global_step, rates)
    finally:
        task.log[:] = log = [finite(entry) for entry in trainer.state.log_history]
    summary = {
        **_summary(trainer, rows, log),
        "threads": threads[-1] if len(threads) == 1 else threads,
        "dropped_rows": curriculum.rows_of(ordered.job, rows.dropped),
        **seen,
    }
    weights = ranks.gathered_weights(trainer)
    if ranks.is_main():
        save(trainer.model, loaded.tokenizer, job, weights)
    return log, summary


def score_completions_only() -> None:
    """On a CPU, let TRL's fused LM head score the completion tokens only, as it does on a GPU.

    On a CPU, TRL 1.16 projects every position onto the vocabulary and discards what the loss does not need (a rule for
    accelerators that compile per shape). Losses are the same to the last bit; with prompts of 90 tokens and answers of
    6, a step takes 1.4 s instead of 3.3 s.
    """
    from trl.trainer import utils

    utils._use_triton = lambda device: device.type in ("cpu", "cuda", "xpu")  # pyright: ignore[reportPrivateImportUsage]


def load(job: TrainJob) -> Loaded:
    """The model folder of the job (full weights or adapter), in the best precision for training on this machine.

    Full training uses float32: a step of 1e-5 is lost in the 8 bits of bfloat16. With an adapter, whose own weights
    PEFT keeps in float32, the base may be bfloat16, but not float16: small gradients would become 0.
    """
    peft_configs.check_save(job.peft, job.save)
    source = find_model(job.model)
    if (source.folder / EXAMPLES).exists():  # an adapter on it would be asked with these examples
        raise ConfigError(
            f"{source.folder}: {EXAMPLES}: this model has examples in its prompt; train the model that it was made from"
        )
    peft_configs.check_input(source.adapters)
    tokenizer = loading.load_tokenizer(*reversed(source.adapters), source.folder)
    device = loading.choose_device(None)
    dtype = training_dtype(loading.choose_dtype("auto", device), adapter=job.peft is not None)
    bits = (job.peft or {}).get("quantize")
    model = quantized.load(source.folder, bits, dtype) if bits else loading.load_weights(source.folder, dtype)
    merged = source.adapters if job.peft is None else source.adapters[:-1]
    for adapter in merged:
        model = adapters.load_adapter(model, adapter).requires_grad_(job.peft is None)
    if merged != source.adapters:
        return Loaded(_continued(model, source.adapters[-1], job.peft or {}), tokenizer, None)
    return Loaded(model, tokenizer, None if job.peft is None else peft_configs.config_of(job.peft))


def training_dtype(fastest: Any, *, adapter: bool) -> Any:
    """The number type of the weights during training, given the fastest for answering, as dtypes of torch."""
    import torch

    return torch.bfloat16 if adapter and fastest == torch.bfloat16 else torch.float32


def _continued(base: Any, folder: Path, peft: Mapping[str, Any]) -> Any:
    """The adapter of the previous stage, trainable; its shape is fixed, so `peft` must not give another."""
    model = adapters.put_adapter(base, folder, is_trainable=True)
    peft_configs.check_continued(model.peft_config["default"], peft, folder)
    return model


def watch(trainer: Any, job: TrainJob) -> None:
    """Show one progress bar instead of a line for each step, and stop when the loss is no longer a number.

    If standard error is not a terminal, a bar would fill it: print a line now and then instead.
    """
    from transformers import PrinterCallback, ProgressCallback

    from tunegate_trainers.progress import FiniteLoss, QuietProgress
    from tunegate_trainers.training_log import LoggedProgress

    drawn = is_drawn_on(sys.stderr) and not trainer.args.disable_tqdm
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    for callback in (QuietProgress() if drawn else LoggedProgress(job.label, sys.stderr), FiniteLoss()):
        trainer.add_callback(callback)


def watch_gate(task: Task, trainer: Any, tokenizer: Any) -> Any | None:
    """Make a trainer watch a gate, if the job sets `watch`; its `finish` restores the best weights."""
    if task.job.watch is None:
        return None
    from tunegate_trainers.watch import GateWatch

    gate = GateWatch(task, trainer, tokenizer)
    trainer.add_callback(gate)
    return gate


def arguments(job: TrainJob) -> dict[str, Any]:
    """The arguments for TRL's config class: what a CPU and a complete log need, then the job's own `args`."""
    import torch

    on_gpu = torch.cuda.is_available()
    defaults = {
        "logging_steps": 1,  # the curve is evidence
        "logging_first_step": True,  # shows dpo's first margin, which must be 0
        "logging_nan_inf_filter": False,  # a loss that is not a number must be seen, not smoothed away
        **checkpoints.DEFAULTS,
        **({} if job.curriculum is None else curriculum.ARGS),
        "report_to": [],
        "bf16": False,  # autocast; the weights themselves are bfloat16 where that is faster
        "gradient_checkpointing": False,
        "use_cpu": not on_gpu,
        "dataloader_pin_memory": on_gpu,
        "disable_tqdm": False,
        "ddp_find_unused_parameters": freezing.leaves_out(job.train),
    }
    return defaults | dict(job.args) | {"output_dir": str(checkpoints_of(job)), "seed": job.seed}


def save(model: Any, tokenizer: Any, job: TrainJob, weights: Mapping[str, Any] | None = None) -> None:
    """Write model, tokenizer and generation settings to `job.output`, which appears complete or not at all.

    `weights` are those of the model if it does not have them itself.
    """
    folder = partial(job)
    if hasattr(model, "merge_and_unload"):
        if "ref" in model.peft_config:
            model.delete_adapter("ref")  # dpo's frozen copy of the input adapter
        model.peft_config["default"].base_model_name_or_path = str(_base_of(job))
        model = adapters.merged(model) if job.save == "merged" else model
    with loading.quiet_transformers():
        model.save_pretrained(folder, state_dict=weights)
        if model.can_generate():
            model.generation_config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    if (folder / ADAPTER_CONFIG).exists():
        write_base(folder, find_model(str(_base_of(job))).sha256)
    shutil.rmtree(job.output, ignore_errors=True)
    folder.replace(job.output)


def _base_of(job: TrainJob) -> Path:
    """The folder of an adapter's base model; if the job continues an adapter, that adapter's base."""
    source = find_model(job.model)
    return [source.folder, *source.adapters[:-1]][-1].resolve()


def partial(job: TrainJob) -> Path:
    """The folder to which the model is written before it is complete."""
    return Path(f"{job.output}.partial")


def check_finite(model: Any, step: int) -> None:
    """Refuse weights that are not numbers: the last update comes after the last logged loss."""
    for name, weights in model.named_parameters():
        if weights.requires_grad and not weights.isfinite().all():
            raise Diverged(f"diverged at step {step}: {name} is not finite; lower args.learning_rate")


def finite(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A log entry for JSON: infinite and undefined numbers become None."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in entry.items()
    }


def _summary(trainer: Any, rows: Rows, log: Log) -> Summary:
    losses = [entry["loss"] for entry in log if "loss" in entry]
    margins = [entry["rewards/margins"] for entry in log if entry.get("step") == 1 and "rewards/margins" in entry]
    tokens = [entry["num_tokens"] for entry in log if "num_tokens" in entry]
    parameters = list(trainer.model.parameters())
    return {
        "rows": len(rows.kept),
        "rows_dropped": len(rows.dropped),
        "dropped_rows": rows.dropped,
        **rows.facts,
        "tokens": int(tokens[-1]) if tokens else None,
        "steps": trainer.state.global_step,
        "epochs": trainer.state.epoch,
        "loss": losses[-1] if losses else None,
        **({"first_margin": margins[0]} if margins and hasattr(trainer, "ref_model") else {}),
        "dtype": str(parameters[0].dtype).removeprefix("torch."),
        "device": str(parameters[0].device),
        "trainable_parameters": sum(weights.numel() for weights in parameters if weights.requires_grad),
        "processes": ranks.processes(),
        "versions": {name: version(name) for name in ("trl", "transformers", "peft", "torch")},
    }
