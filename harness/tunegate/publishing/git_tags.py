"""Git tags in GTO's format: `NAME@v1.2.3` registers a version of a model, `NAME#STAGE#N` assigns it to a stage."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.hashes import sha256_of
from tunegate.promotion.entry import ATTESTATION

_GTO_NAME = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]")


def publish(folder: Path, entry: Path, attestation: Mapping[str, Any], name: str, stage: str) -> list[str]:
    """Tag the commit that is checked out around `folder`; returns the new tags. Nothing is pushed.

    The message of a tag names the model and its attestation by their hashes.
    """
    message = (
        f"Promoted by Tunegate\n\nmodel_sha256: {attestation['model_sha256']}\n"
        f"attestation_sha256: {sha256_of(entry / ATTESTATION)}\n"
    )
    there = _git(folder, "tag", "--list").split()
    here = _git(folder, "tag", "--points-at", "HEAD").split()
    made: list[str] = []
    registered = [tag for tag in here if re.fullmatch(rf"{name}@v\d+\.\d+\.\d+", tag)]
    if registered and str(attestation["model_sha256"]) not in _git(folder, "tag", "--list", "-n9", registered[0]):
        raise ConfigError(
            f"git:{name}: the tag {registered[0]} registers another model at this commit; make a new commit first"
        )
    if not registered:
        made.append(next_version(name, there))
    if _last_of_stage(name, stage, there) not in here:
        made.append(next_stage(name, stage, there))
    for tag in made:
        _git(folder, "tag", "--annotate", "--message", message, tag, "HEAD")
    return made


def check_names(name: str, stage: str) -> None:
    """Raise ConfigError for a name that GTO would not read."""
    for word in (name, stage):
        if not _GTO_NAME.fullmatch(word):
            raise ConfigError(
                f"git:{name}@{stage}: {word!r}: expected lower-case letters, digits and '-', beginning with a letter, "
                "as GTO requires"
            )


def next_version(name: str, tags: Sequence[str]) -> str:
    """The next patch version of a model.

    >>> next_version("genes", ["genes@v0.0.9", "other@v3.0.0"])
    'genes@v0.0.10'
    """
    found = [re.fullmatch(rf"{name}@v(\d+)\.(\d+)\.(\d+)", tag) for tag in tags]
    major, minor, patch = max((tuple(map(int, one.groups())) for one in found if one), default=(0, 0, 0))
    return f"{name}@v{major}.{minor}.{patch + 1}"


def next_stage(name: str, stage: str, tags: Sequence[str]) -> str:
    """The next assignment; GTO counts all assignments of a model, over all stages.

    >>> next_stage("genes", "production", ["genes#staging#1"])
    'genes#production#2'
    """
    numbers = [int(found[1]) for tag in tags if (found := re.fullmatch(rf"{name}#[^#!]+!?#(\d+)", tag))]
    return f"{name}#{stage}#{max(numbers, default=0) + 1}"


def _last_of_stage(name: str, stage: str, tags: Sequence[str]) -> str:
    """The latest assignment of the stage; empty if there is none."""
    numbers = [int(found[1]) for tag in tags if (found := re.fullmatch(rf"{name}#{stage}#(\d+)", tag))]
    return f"{name}#{stage}#{max(numbers)}" if numbers else ""


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CannotJudge("git is not installed, and --to git:… needs it; install git") from error
    if done.returncode:
        raise CannotJudge(f"git {words[0]}: {' '.join(done.stderr.split())}")
    return done.stdout
