"""Jobs for real trainings on a tiny real model; the fixtures `make_job` and `training` stand in conftest.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny_model import make_tiny_model
from tunegate.training.trainer import TrainJob
from tunegate_trainers.settings import read_options
from tunegate_trainers.task import Task

SFT_ROWS = [{"prompt": f"What is the inheritance pattern of {n}?", "completion": "autosomal"} for n in range(6)]
PAIRS = [{"prompt": f"Which gene causes {n}?", "chosen": "BRCA1", "rejected": "BRCA2"} for n in range(6)]
ROWS: dict[str, list[dict[str, Any]]] = {
    "cpt": [{"text": f"Mutations in the BRCA{n} gene cause hereditary breast cancer in families."} for n in range(6)],
    "sft": SFT_ROWS,
    "explain": [{**row, "explanation": "One copy of the gene is enough."} for row in SFT_ROWS],
    "dpo": PAIRS,
    "kto": [{**row, "label": n % 2 == 0} for n, row in enumerate(SFT_ROWS)],
    "orpo": PAIRS,
    "reward": PAIRS,
    "rlhf": [{"prompt": row["prompt"]} for row in PAIRS],
    "fewshot": SFT_ROWS,
    "command": SFT_ROWS,
}
"""Rows of each method, as the engine renders them."""
ARGS = {"per_device_train_batch_size": 2, "learning_rate": 1e-2, "max_steps": 3, "disable_tqdm": True}
LORA = {"r": 4}

MakeJob = Callable[..., TrainJob]

real_training = [
    pytest.mark.usefixtures("training"),
    # TRL and transformers warn of each other's renamed options; the process that trains ignores that too.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]
"""The marks of a test file that trains: `pytestmark = real_training`."""


def job_maker(folder: Path) -> MakeJob:
    """Makes jobs on the tiny model; `rows` are written to the data file, other keywords replace the job's fields."""

    def make(method: str = "sft", name: str = "out", rows: list[dict[str, Any]] | None = None, **more: Any) -> TrainJob:
        model = folder / "base"
        if not model.exists():
            make_tiny_model(model)
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows or ROWS[method]), encoding="utf-8")
        return TrainJob(
            **{"model": str(model), "seed": 1, "args": ARGS, "peft": LORA, "save": "merged"}
            | {"method": method, "data": str(data), "output": str(folder / name)}
            | more
        )

    return make


def task_of(job: TrainJob) -> Task:
    """The job as its method takes it."""
    return Task(job, read_options(job.method, job.options))
