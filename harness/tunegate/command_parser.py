"""Reads a command line with argparse, and refuses a wrong one in one line that names the nearest known word."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from tunegate.exceptions import nearest


class Parser(argparse.ArgumentParser):
    """Argparse with one-line errors that name the nearest known word."""

    def error(self, message: str) -> NoReturn:
        raise WrongUsage(f"{self.prog}: {message}; try `{self.prog} --help`")

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


class WrongUsage(Exception):
    """The command line is wrong; the message is one line that says what to try."""


_FLAG = re.compile(r"-(?!\d|\.\d)\S+$")
"""What argparse reads as a flag, not a value: values such as numbers and sentences may begin with a dash."""
