"""Reads a command line with argparse, and refuses a wrong one in one line: unknown words, and numbers out of bounds."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from math import isfinite
from typing import NoReturn

from tunegate.exceptions import nearest


class Parser(argparse.ArgumentParser):
    """Argparse with one-line errors that name the nearest known word."""

    def error(self, message: str) -> NoReturn:
        raise WrongUsage(f"{self.prog}: {message.removeprefix('argument ')}; try `{self.prog} --help`")

    def refuse_unknown(self, words: Sequence[str]) -> None:
        """Refuse the first word that is not a command or option known at its position.

        Argparse would first report what is missing, and would blame the program, not the command, for an unknown flag.
        """
        choices = next((action.choices for action in self._actions if action.nargs == argparse.PARSER), None)
        commands = dict[str, Parser](choices or {})  # pyright: ignore[reportArgumentType, reportCallIssue]
        for place, word in enumerate(words):
            if word == "--":
                return
            if _FLAG.match(word):
                self._refuse_unknown_flag(word)
            elif commands and word not in commands:
                self.error(f"no command is named {word!r}{nearest(word, commands)}")
            elif commands:
                commands[word].refuse_unknown(words[place + 1 :])
                return

    def _refuse_unknown_flag(self, word: str) -> None:
        """A flag may be abbreviated, and `-hx` is `-h` with `x` attached."""
        known = [option for action in self._actions for option in action.option_strings]
        name = word.split("=")[0] if word.startswith("--") else word[:2]
        if not any(option.startswith(name) for option in known):
            self.error(f"unknown argument {word}{nearest(name, known)}")


def whole(least: int | None = None) -> Callable[[str], int]:
    """The type of an option that takes a whole number.

    >>> whole(least=1)("0")
    Traceback (most recent call last):
    ...
    argparse.ArgumentTypeError: expected at least 1, got 0
    """

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from error
        if least is not None and value < least:
            raise argparse.ArgumentTypeError(f"expected at least {least}, got {value}")
        return value

    return read


def number(
    what: str, *, least: float | None = None, above: float | None = None, most: float | None = None
) -> Callable[[str], float]:
    """The type of an option that takes a number; `what` says what it is, `above` is a bound that is itself too low.

    >>> number("days", least=0)("-1")
    Traceback (most recent call last):
    ...
    argparse.ArgumentTypeError: expected days, at least 0, got -1
    """
    bounds = {"at least": least, "above": above, "at most": most}
    within = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
    expected = f"{what}, {within}" if within else what

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from error
        low = (least is None or value >= least) and (above is None or value > above)
        if not isfinite(value) or not low or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text}")
        return value

    return read


COUNT, SEED = whole(least=1), whole()
POINTS = number("percentage points", least=0, most=100)


class WrongUsage(Exception):
    """The command line is wrong; the message is one line that says what to try."""


_FLAG = re.compile(r"-(?!\d|\.\d)\S+$")
"""What argparse reads as a flag, not a value: values such as numbers and sentences may begin with a dash."""
