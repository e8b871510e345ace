"""Few-shot prompting: nothing is trained; the input model is asked with the most similar rows in its prompt.

The baseline that a fine-tune must beat. Its output is a folder with the unchanged weights (hard links, where
that is possible) and `fewshot.json` (`tunegate.models.fewshot`).
"""

from __future__ import annotations

import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tunegate.exceptions import SettingError
from tunegate.models.fewshot import FILE, Shot, without_system, write_shots
from tunegate.models.fingerprint import ALWAYS_LEFT_OUT
from tunegate.models.open_model import find_model
from tunegate.models.sentences import SentenceModel, default_model
from tunegate.reading.chats import Message
from tunegate.reading.rows import Row, read_rows
from tunegate_trainers import common, training_rows
from tunegate_trainers.settings import Settings
from tunegate_trainers.task import MethodOptions, Task

ROW = ("prompt", "completion")


class Options(MethodOptions):
    """How many examples, and which."""

    k: Annotated[int, Field(ge=1)] = 4
    """How many rows to put before a question."""
    similarity: Literal["words", "embedding"] = "words"
    """Choose rows that share most words with the question, rare words above all, or rows most similar in meaning."""

    def check(self, settings: Settings) -> None:
        for name in ("peft", "train", "launcher", "curriculum", "watch"):
            if getattr(settings, name) is not None:
                raise SettingError(f"{name}", "remove it; fewshot trains no weights")
        self.sentences()

    def sentences(self) -> SentenceModel | None:
        """The model that compares rows by meaning, None to compare words; raises MissingExtra."""
        return default_model("options.similarity: embedding") if self.similarity == "embedding" else None


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """Save the rows with the weights; nothing is learned. Returns an empty log and the summary."""
    job, folder = task.job, common.partial(task.job)
    shots = [_shot(row, f"{job.data}:{number}") for number, row in read_rows(Path(job.data))]
    source, sentences = find_model(job.model), task.options.sentences()
    if source.adapters:
        loaded = common.load(job)
        folder.mkdir(parents=True)
        write_shots(folder, shots, task.options.k, sentences)
        common.save(loaded.model, loaded.tokenizer, job)
    else:
        ignored = shutil.ignore_patterns(FILE, *ALWAYS_LEFT_OUT)
        shutil.copytree(source.folder, folder, copy_function=_link_or_copy, ignore=ignored)
        write_shots(folder, shots, task.options.k, sentences)
        shutil.rmtree(job.output, ignore_errors=True)
        folder.replace(job.output)
    versions = {"transformers": version("transformers"), "torch": version("torch")}
    facts = {"rows": len(shots), "rows_dropped": 0, "dropped_rows": [], "steps": 0}
    return [], {**facts, **task.options.model_dump(), "versions": versions}


def _shot(row: Row, where: str) -> Shot:
    training_rows.check_row(row, ROW, where)
    prompt: Any = row["prompt"]
    if isinstance(prompt, str):
        return Shot(prompt, row["completion"])
    return Shot(
        without_system([Message(role=turn["role"], content=turn["content"]) for turn in prompt]), row["completion"]
    )


def _link_or_copy(source: str, target: str) -> None:
    """A second name for a file that nobody writes to, or a copy on another file system."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)
