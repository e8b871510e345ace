"""Every error that Tunegate raises on purpose; each has the exit code of the command line.

TunegateError
├── ConfigError        2  the files or the command line are wrong; nothing was run
│   ├── SettingError   2  a setting of a stage is wrong; the error knows its key
│   ├── OutOfMemory    2  a training does not fit into memory
│   ├── NotThere       2  a named file does not exist, or is not of the expected kind
│   └── MissingExtra   2  an optional dependency is not installed
├── CannotJudge        3  no verdict can be reached (a leak, a broken model, a full disk)
│   ├── Diverged       3  a training left the finite numbers, or moved too far from where it began
│   └── WorkersFailed  3  the workers of an executor no longer answer
├── Inconclusive       4  too little evidence for a verdict, such as too few fresh cases
└── Tampered           5  bytes on disk differ from the hashes on record
"""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable


class TunegateError(Exception):
    """Base class; `str(error)` is one line that says what is wrong and what to do."""

    exit_code = 3


class ConfigError(TunegateError):
    """Wrong input from the user: a file, a key, an option."""

    exit_code = 2


class SettingError(ConfigError):
    """A wrong setting of a stage: its dotted key below the stage (`args.max_length`), and what is wrong with it."""

    def __init__(self, key: str, fault: str) -> None:
        super().__init__(f"{key}: {fault}")
        self.key, self.fault = key, fault

    @property
    def path(self) -> tuple[str | int, ...]:
        """The key as a path: `options.rewards.0` as `("options", "rewards", 0)`."""
        return tuple(int(part) if part.isdecimal() else part for part in self.key.split("."))


class OutOfMemory(ConfigError):
    """A training does not fit into memory: its settings are too large."""


class NotThere(ConfigError):
    """A named file does not exist, or is not of the expected kind; the reader of the naming file adds the line."""


class MissingExtra(ConfigError):
    """A part of Tunegate needs an optional extra that is not installed."""

    def __init__(self, what: str, extra: str, cause: ImportError) -> None:
        super().__init__(f"{what} needs the extra '{extra}' ({cause}): pip install 'tunegate[{extra}]'")


class CannotJudge(TunegateError):
    """No verdict could be reached; counts neither as the model's failure nor as a pass."""

    exit_code = 3


class Diverged(CannotJudge):
    """A training was stopped because its loss, weights or distance to the input model show that it went wrong."""


class WorkersFailed(CannotJudge):
    """The workers of an executor are lost, or cannot open a judge; this says nothing about any answer."""


class Inconclusive(TunegateError):
    """The evidence ran out before a verdict was reached."""

    exit_code = 4


class Tampered(TunegateError):
    """Recorded hashes and the bytes on disk disagree."""

    exit_code = 5


ENDS_GATE = (Tampered, WorkersFailed)
"""Errors that are not about an answer, even if they are raised while a check judges one: they end the gate."""


def from_outside(error: BaseException) -> TunegateError | None:
    """An error of file names, disk or memory as a one-line error; None for a bug in Tunegate."""
    match error:
        case TunegateError():
            return error
        case OSError(errno=number, strerror=str(why), filename=str(place)):
            return (ConfigError if number in _OF_NAMES else CannotJudge)(f"{place}: {why}")
        case OSError(strerror=str(why)):
            return CannotJudge(why)
        case ValueError() if "embedded null" in str(error):
            return ConfigError("a file name contains the NUL character, which is not allowed; remove it")
        case UnicodeEncodeError(object=str(text)):
            return ConfigError(f"{text!r:.80}: not valid Unicode, so it cannot be written")
        case RuntimeError() if "home directory" in str(error):
            return ConfigError(f"`~`: {error}")
        case MemoryError():
            return CannotJudge("out of memory")
        case RecursionError():
            return CannotJudge("a value is nested too deeply to be read")
        case _:
            return None


_OF_NAMES = {
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.EEXIST),
    *(errno.EACCES, errno.EPERM, errno.EINVAL),
}
"""System errors that the user can fix by giving another file name."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's own error, or torch's, a RuntimeError that only its text identifies."""
    said = message_of(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said


def message_of(error: BaseException) -> str:
    """The message of an exception; the `__str__` of a foreign exception may itself raise."""
    try:
        return str(error)
    except Exception as fault:
        return f"a message that cannot be printed ({type(fault).__name__})"


def without_addresses(text: str) -> str:
    """Replace `<Metric object at 0x7f31…>` by `<Metric object>`: memory addresses differ from run to run."""
    return _ADDRESS.sub("", text) if " at 0x" in text else text


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{6,}")

LISTED = 12
"""An error lists at most this number of known names: a bank may have 100,000 ids."""


def nearest(name: str, known: Iterable[str], *, n: int = 3) -> str:
    """Return " (did you mean 'a' or 'b'?)" for a misspelled name, or the list of known names if none is similar."""
    options = sorted(known)
    folded = {option.casefold(): option for option in reversed(options)}
    close = [folded[found] for found in difflib.get_close_matches(name.casefold(), folded, n=n, cutoff=0.5)]
    if close:
        return f" (did you mean {' or '.join(repr(option) for option in close)}?)"
    more = f" and {len(options) - LISTED} more" if len(options) > LISTED else ""
    return f" (known: {', '.join(options[:LISTED])}{more})" if options else ""
