"""`python -m tests.support.launched job.json result.json`: a training that tells on itself, launched as the real one.

The environment says what each process does beside training: `seen` writes the rows that it is given to `seen-RANK.txt`,
`fail` makes the second process fail in the middle, `hang` makes all wait at the first step.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunegate.standard_streams import die_with_standard_input
from tunegate_trainers import common, process, ranks, settings, sft, training_rows
from tunegate_trainers.task import Task

MODE = "TUNEGATE_TEST_MODE"
Options = sft.Options


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """The method sft, whose batches are watched."""

    def build(task: Task, loaded: training_rows.Loaded) -> common.Built:
        trainer, rows = sft.build(task, loaded)
        trainer.data_collator = watched(trainer.data_collator, loaded.tokenizer, Path(task.job.output).parent)
        return trainer, rows

    return common.run(task, build)


def watched(collate: Callable[[Any], Any], tokenizer: Any, folder: Path) -> Callable[[Any], Any]:
    batches = 0

    def collate_and_tell(rows: Any) -> Any:
        nonlocal batches
        batches += 1
        if os.environ[MODE] == "hang":
            (folder / f"pid-{ranks.rank()}").write_text(str(os.getpid()))
            time.sleep(600)
        if os.environ[MODE] == "fail" and ranks.rank() == 1 and batches == 2:
            raise RuntimeError("the second process broke\nwith much to say about it")
        with (folder / f"seen-{ranks.rank()}.txt").open("a") as file:
            file.writelines(tokenizer.decode(row["input_ids"]).replace("\n", " ") + "\n" for row in rows)
        return collate(rows)

    return collate_and_tell


if __name__ == "__main__":
    process.set_environment()
    die_with_standard_input()
    settings.METHODS["sft"] = "tests.support.launched"
    sys.exit(process.main(Path(sys.argv[1]), Path(sys.argv[2])))
