"""The exam of a pull request: the suites of its base branch, so that a pull request cannot change its own exam."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunegate.exceptions import CannotJudge, ConfigError

REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never")
"""Options with which git runs neither the hooks of the checkout nor a command in a remote's address."""


@dataclass(frozen=True)
class Exam:
    """The file of each suite, and the folder in which to gate: admission records of judges are looked up there too."""

    places: dict[str, str]
    folder: Path


@contextmanager
def exam_of(base: str | None, suites: Sequence[str]) -> Generator[Exam]:
    """The exam in a checkout of the commit or branch `base`, or in the working folder if there is no base.

    The checkout has every file that a suite names: its cases, its plan, its checks in Python, its judges and their
    admissions. It is removed at the end.
    """
    if not base:
        yield Exam({suite: suite for suite in suites}, Path())
        return
    for suite in suites:
        _check_inside(suite)
    commit = _commit(base)
    with tempfile.TemporaryDirectory(prefix="tunegate-exam-") as folder:
        place = Path(folder).resolve() / "base"
        _git("worktree", "add", "--quiet", "--force", "--detach", str(place), commit)
        try:
            here = place / _below_root()
            yield Exam({suite: _in_base(suite, here, base) for suite in suites}, here)
        finally:
            _git("worktree", "remove", "--force", str(place))


def _is_shipped(suite: str) -> bool:
    """Whether a suite is part of an installed package, which a pull request cannot change."""
    return suite.startswith(("builtin:", "package:"))


def _check_inside(suite: str) -> None:
    path = Path(suite)
    if not _is_shipped(suite) and (path.is_absolute() or ".." in path.parts):
        raise ConfigError(f"{suite}: with --base, give a path below the working folder, without `..`")


def _in_base(suite: str, place: Path, base: str) -> str:
    if _is_shipped(suite):
        return suite
    path = (place / suite).resolve()
    if not path.is_relative_to(place) or not path.is_file():
        raise ConfigError(
            f"{suite}: the base {base} does not have this suite; merge the suite into the base first, then gate with it"
        )
    return str(path)


def _below_root() -> str:
    """The working folder, as a path below the root of the repository."""
    return _git("rev-parse", "--show-prefix")


def _commit(base: str) -> str:
    """The commit of a base; a branch is fetched from `origin`, so that a local branch of this name does not count."""
    if not REF.fullmatch(base) or ".." in base:
        raise ConfigError(f"--base {base!r}: expected a commit or the name of a branch")
    if SHA.fullmatch(base):
        if not _has(base):
            _git("fetch", "--quiet", "--no-tags", "--depth=1", "origin", base)
        return base
    if "origin" not in _git("remote").split():
        return _git("rev-parse", "--verify", "--quiet", f"refs/heads/{base}^{{commit}}")
    _git("fetch", "--quiet", "--no-tags", "--depth=1", "origin", f"refs/heads/{base}")
    return _git("rev-parse", "--verify", "FETCH_HEAD^{commit}")


def _has(commit: str) -> bool:
    done = subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True, check=False)
    return done.returncode == 0


def _git(*arguments: str) -> str:
    """The output of a git command; raises CannotJudge with its error."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(["git", *SAFE, *arguments], capture_output=True, text=True, env=environment, check=False)
    except FileNotFoundError as error:
        raise CannotJudge("--base needs git, which is not installed") from error
    if done.returncode:
        message = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise CannotJudge(f"git {arguments[0]}: {message}")
    return done.stdout.strip()
