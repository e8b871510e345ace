"""The folder of an attempt: an identical training resumes from the checkpoints of a killed one; others are removed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunegate.data.training_data import Example, write_examples
from tunegate.exceptions import Tampered
from tunegate.record.record import AttemptRecord
from tunegate.training.trainer import TrainJob, checkpoints_of

IDENTITY = "training.json"
"""Identifies a training: its job, and the hashes of all its inputs."""
DATA = "data.jsonl"
"""The rows that the trainer reads."""


def identity_of(job: TrainJob, examples: Sequence[Example], inputs: Mapping[str, Any]) -> str:
    """What tells a training from every other one: its job, its rows, and the hashes of its inputs, as JSON."""
    rows = "\n".join(example.to_json() for example in examples)
    return json.dumps(
        {"job": asdict(job), "data": hashlib.sha256(rows.encode(errors="replace")).hexdigest(), **inputs},
        indent=1,
        default=str,
    )


def prepare(folder: Path, job: TrainJob, examples: Sequence[Example], inputs: Mapping[str, Any]) -> bool:
    """Make the folder of a job with its data in it; returns whether it contains a checkpoint of the same training.

    `inputs` are the facts that are not in the job: hashes of the input weights, versions of the libraries. A training
    is the same if all of this is equal, byte for byte; the files of any other training are removed. Raises Tampered if
    the folder, or that of its stage, is a link: Tunegate must not delete the files at its target.
    """
    for place in (folder.parent, folder):
        if place.is_symlink():
            raise Tampered(f"{place}: a link replaced the run's folder; its target was not touched; remove the link")
    identity = identity_of(job, examples, inputs)
    checkpoints = checkpoints_of(job)
    keep = (
        _read(folder / IDENTITY) == identity
        and not checkpoints.is_symlink()  # training deletes old checkpoints, also through a link
        and any(checkpoints.glob("checkpoint-*"))
    )
    for path in folder.iterdir() if folder.exists() else ():
        if not (keep and path == checkpoints):
            _remove(path)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / IDENTITY).write_text(identity, encoding="utf-8")
    write_examples(folder / DATA, examples)
    return keep


def remove_untrained(stage: Path, attempts: Mapping[int, AttemptRecord]) -> None:
    """Remove the folders of a stage whose trainings are not on record: they were begun ahead, and are not needed."""
    known = {number for number, attempt in attempts.items() if attempt.trained or attempt.error is not None}
    for folder in () if stage.is_symlink() else stage.glob("attempt-*"):
        number = folder.name.removeprefix("attempt-")
        if number.isdecimal() and int(number) not in known:
            _remove(folder)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def trained_rows(folder: Path, sha256: str) -> list[Mapping[str, Any]]:
    """The rows in the folder of an attempt, as its trainer read them.

    Empty if they are not those on record, by the hash of their file, or are no longer there.
    """
    try:
        text = (folder / DATA).read_bytes()
    except OSError:
        return []
    if hashlib.sha256(text).hexdigest() != sha256:
        return []
    return [json.loads(line) for line in text.decode(errors="replace").splitlines() if line]
