"""The command line: arguments and exit codes. The folder `commands` does the work.

Results go to standard output, everything else to standard error. Exit codes: 0 passed, 1 a gate failed, 2 usage or
configuration, 3 invalid (no verdict could be reached or printed), 4 inconclusive, 5 tampered, 130 interrupted
(Ctrl-C), 143 terminated (SIGTERM).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from tunegate.command_line import build_parser
from tunegate.command_parser import WrongUsage
from tunegate.exceptions import CannotJudge, Inconclusive, from_outside, message_of
from tunegate.standard_streams import (
    Terminated,
    flushed,
    give_up,
    no_exit_but_ours,
    open_streams,
    terminate_as_interrupted,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Shows no traceback for faults of the user or the disk."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        parser = build_parser()
        parser.refuse_unknown(arguments)
        options = parser.parse_args(arguments)
    except WrongUsage as error:
        return _refuse(str(error), as_json="--json" in arguments)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from tunegate.commands import console
        from tunegate.trust.allowed import trusting

        handler = _handler(options.command)
        with trusting(getattr(options, "trust", None) or ()):
            exit_code = int(handler(options))
        console.flush()
        return exit_code
    except KeyboardInterrupt as error:
        command = _without_secrets(shlex.join(["tunegate", *arguments]))
        print(f"\ninterrupted; to go on: {command}", file=sys.stderr)
        return 143 if isinstance(error, Terminated) else 130
    except BrokenPipeError:
        give_up(sys.stdout)  # the reader closed the pipe
        return 3
    except BaseException as error:  # a user's module that exits with 0, in any way, has not passed a gate
        known = from_outside(error)
        if known is not None:
            return _fail(options, str(known), known.exit_code)
        from tunegate.text.printable import printable_lines

        print(printable_lines(_without_secrets(traceback.format_exc())), file=sys.stderr)
        return _fail(options, f"internal error: {type(error).__name__}: {message_of(error)}", 3)


def _handler(command: str) -> Any:
    """The function that carries out a command."""
    if command == "gate":  # without what the other commands import
        from tunegate.commands.gate import gate

        return gate
    from tunegate.commands import main as commands

    return getattr(commands, command.replace("-", "_"))


def _refuse(message: str, *, as_json: bool) -> int:
    """End a command before it began; with --json the error is on standard output, where scripts look."""
    from tunegate.commands import console

    message = _without_secrets(message)
    print(console.printable(message), file=sys.stderr)
    if as_json:
        console.show_json({"verdict": None, "error": message.partition(": ")[2], "exit_code": 2})
    return 2


def _without_secrets(text: str) -> str:
    from tunegate.addresses import without_secrets

    return without_secrets(text)


def _fail(options: argparse.Namespace, message: str, exit_code: int) -> int:
    from tunegate.commands import console

    message = _without_secrets(message)
    verdict = "INCONCLUSIVE" if exit_code == Inconclusive.exit_code else None
    print(
        console.printable(f"tunegate {options.command}: {f'{verdict}: ' if verdict else ''}{message}"), file=sys.stderr
    )
    if options.json:
        with contextlib.suppress(CannotJudge, BrokenPipeError):  # standard output itself is at fault
            console.show_json({"verdict": verdict, "error": message, "exit_code": exit_code})
    return exit_code


COLLECT_GARBAGE_AFTER = 50_000, 20, 50
"""Python looks for cycles after every 700 new objects, and a gate on many cases makes millions."""


def console_main() -> NoReturn:
    """The `tunegate` script.

    It never ends with Python's own exit code 1, which means that a gate failed: an error while an error or a result is
    printed ends with 3.
    """
    exit_code = 3
    gc.set_threshold(*COLLECT_GARBAGE_AFTER)
    try:
        open_streams()
        terminate_as_interrupted()
        with no_exit_but_ours():
            exit_code = main()
    except SystemExit as stop:  # of `--help` and `--version`
        exit_code = stop.code if isinstance(stop.code, int) else 3
    except BaseException as error:
        with contextlib.suppress(Exception):
            print(f"tunegate: {from_outside(error) or type(error).__name__}", file=sys.stderr)
    gc.disable()  # Python would look for cycles once more, which takes 0.3 s after torch was imported
    sys.exit(flushed(exit_code))
