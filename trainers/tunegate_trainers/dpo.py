"""Direct preference optimisation: chosen answers become more likely than rejected ones (TRL's DPOTrainer).

The reference, with which the margin is measured, is the stage's input model: the model with the adapter switched off,
TRL's frozen copy of a continued adapter, or, in full training, a second copy loaded here. (By default, TRL would load
that copy by the name in the model's config, which may be an older model.) So the margin of the first step is 0.
"""

from __future__ import annotations

from tunegate.exceptions import SettingError
from tunegate_trainers import common, training_rows
from tunegate_trainers.settings import Settings
from tunegate_trainers.task import MethodOptions, Task

ROW = ("prompt", "chosen", "rejected")
SMOOTHED = {"robust", "exo_pair", "aot", "aot_unpaired"}
"""The losses of TRL 1.16 that `label_smoothing` changes."""


class Options(MethodOptions):
    """No options."""

    config_file = "trainer/dpo_config.py"

    def check(self, settings: Settings) -> None:
        losses = settings.args.get("loss_type", "sigmoid")
        asked = {losses} if isinstance(losses, str) else set(losses)
        if settings.args.get("label_smoothing") and not asked & SMOOTHED:
            raise SettingError(
                "args.label_smoothing",
                f"TRL's loss {', '.join(sorted(asked))} ignores it; use loss_type {', '.join(sorted(SMOOTHED))}",
            )


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """Train on rows of prompt, chosen and rejected answer. Returns (log, summary)."""
    return common.run(task, build)


def build(task: Task, loaded: training_rows.Loaded) -> common.Built:
    """The trainer, not yet started."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer  # pyright: ignore[reportPrivateImportUsage]

    config = DPOConfig(**common.arguments(task.job))
    rows = training_rows.fit_rows(task.job, loaded.tokenizer, config.max_length, ROW)
    trainer = DPOTrainer(
        model=loaded.model,
        ref_model=common.load(task.job).model if task.job.peft is None else None,
        args=config,
        train_dataset=Dataset.from_list(rows.kept),
        processing_class=loaded.tokenizer,
        peft_config=loaded.peft_config,
    )
    return trainer, rows
