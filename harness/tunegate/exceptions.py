"""Every error that Tunegate raises on purpose; each knows the exit code that the command line ends with.

TunegateError
├── ConfigError        2  the files or the command line are wrong; nothing was run
│   ├── NotThere       2  no file, or none of the kind that is wanted, lies where one was named
│   └── MissingExtra   2  an optional dependency is not installed
├── CannotJudge        3  no verdict can be reached (a leak, a broken model, a full disk)
│   └── Diverged       3  a training left the finite numbers, or moved too far from where it began
├── Inconclusive       4  the bank has too few fresh cases left
└── Tampered           5  bytes on disk differ from those that the record vouches for
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


class NotThere(ConfigError):
    """No file, or none of the kind that is wanted, lies where one was named; a file that named it adds its line."""


class MissingExtra(ConfigError):
    """A part of Tunegate needs packages of an extra that is not installed."""

    def __init__(self, what: str, extra: str, cause: ImportError) -> None:
        super().__init__(f"{what} needs the extra '{extra}' ({cause}): pip install 'tunegate[{extra}]'")


class CannotJudge(TunegateError):
    """No verdict could be reached; never counted as the model's failure, never as a pass."""

    exit_code = 3


class Diverged(CannotJudge):
    """A training was stopped because its loss, weights or distance to the input model show that it went wrong."""


class Inconclusive(TunegateError):
    """The evidence ran out before a verdict was reached."""

    exit_code = 4


class Tampered(TunegateError):
    """Recorded hashes and the bytes on disk disagree."""

    exit_code = 5


def from_outside(error: BaseException) -> TunegateError | None:
    """What names, disk and memory did, as an error of one line; None for what is a fault of Tunegate's own."""
    match error:
        case TunegateError():
            return error
        case OSError(errno=number, strerror=str(why), filename=str(place)):
            return (ConfigError if number in _OF_NAMES else CannotJudge)(f"{place}: {why}")
        case OSError(strerror=str(why)):
            return CannotJudge(why)
        case ValueError() if "embedded null" in str(error):
            return ConfigError("a name holds the character NUL, which no file name can hold")
        case UnicodeEncodeError(object=str(text)):
            return ConfigError(f"{text!r:.80}: not valid Unicode, so it cannot be written down")
        case RuntimeError() if "home directory" in str(error):
            return ConfigError(f"`~`: {error}")
        case MemoryError():
            return CannotJudge("out of memory")
        case RecursionError():
            return CannotJudge("something here is nested too deeply to be read")
        case _:
            return None


_OF_NAMES = {
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.EEXIST),
    *(errno.EACCES, errno.EPERM, errno.EINVAL),
}
"""Errors of a system call that another name on the command line or in a file would mend."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's own error, or torch's, a RuntimeError that only its message identifies."""
    said = message_of(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said


def message_of(error: BaseException) -> str:
    """What an exception says of itself; somebody else's may fail even at that."""
    try:
        return str(error)
    except Exception as fault:
        return f"a message that cannot be told ({type(fault).__name__})"


def without_addresses(text: str) -> str:
    """The text with `<Metric object at 0x7f31…>` as `<Metric object>`: an address differs from run to run."""
    return _ADDRESS.sub("", text) if " at 0x" in text else text


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{6,}")

LISTED = 12
"""How many known names an error lists at most: a bank has 100,000 ids, a folder may have as many files."""


def nearest(name: str, known: Iterable[str], *, n: int = 3) -> str:
    """Return " (did you mean 'a' or 'b'?)" for a misspelled name, or a list of what is known when nothing is near."""
    options = sorted(known)
    folded = {option.casefold(): option for option in reversed(options)}
    close = [folded[found] for found in difflib.get_close_matches(name.casefold(), folded, n=n, cutoff=0.5)]
    if close:
        return f" (did you mean {' or '.join(repr(option) for option in close)}?)"
    more = f" and {len(options) - LISTED} more" if len(options) > LISTED else ""
    return f" (known: {', '.join(options[:LISTED])}{more})" if options else ""
