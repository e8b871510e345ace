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
MAX_CHANGED = 5
SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never")
"""Options with which git runs neither the hooks of the checkout nor a command in a remote's address."""


@dataclass(frozen=True)
class Exam:
    """Where each suite is read, and the folder in which to gate: records of judges are also searched for there.

    Of a base, `base` is its name, `commit` its commit, and `changed` has the suite files, and files beside them, that
    differ in the working folder: they do not count.
    """

    places: dict[str, str]
    folder: Path
    base: str = ""
    commit: str = ""
    changed: tuple[str, ...] = ()

    @property
    def in_words(self) -> str:
        """Where the suites are from, and which changes do not count; empty without a base."""
        if not self.base:
            return ""
        name = self.commit[:12] if self.base == self.commit else f"{self.base} ({self.commit[:12]})"
        shown = ", ".join(self.changed[:MAX_CHANGED]) + (", …" if len(self.changed) > MAX_CHANGED else "")
        here = f"; what differs here does not count before it is merged: {shown}" if shown else ""
        return f"the suites are those of the base {name}{here}"


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
            places = {suite: _in_base(suite, here, base) for suite in suites}
            yield Exam(places, here, base, commit, _changed(commit, suites))
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


def _changed(commit: str, suites: Sequence[str]) -> tuple[str, ...]:
    """The suite files, and files in folders of suites, that differ from those of the commit."""
    ours = [Path(suite) for suite in suites if not _is_shipped(suite)]
    looked_at = {str(path if path.parent == Path() else path.parent) for path in ours}
    if not looked_at:
        return ()
    named = _git("diff", "--no-ext-diff", "--relative", "--name-only", "-z", commit, "--", *sorted(looked_at))
    return tuple(filter(None, named.split("\0")))


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
    remote = "origin" in _git("remote").split()
    branch = f"refs/heads/{base.removeprefix('origin/') if remote else base}"
    where = ("ls-remote", "origin", branch) if remote else ("for-each-ref", branch)
    if not _git(*where):
        place = "origin" if remote else "this repository"
        raise ConfigError(f"--base {base}: {place} has no such branch; give a branch of it, or a commit in full")
    if not remote:
        return _git("rev-parse", "--verify", "--quiet", f"{branch}^{{commit}}")
    _git("fetch", "--quiet", "--no-tags", "--depth=1", "origin", branch)
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
