"""The file of answers next to the generated rows: a command that was interrupted continues where it stopped.

Its first line says what was asked of which model; every further line is one answer. Answers are added block by block,
so that a resumed command asks the same blocks as one that was never interrupted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.models.model import Response
from tunegate.record.answer_log import answers_from_json, answers_to_json
from tunegate.whole_files import write_whole

SUFFIX = ".answers.jsonl"


class AnswersFile:
    """The answers so far, by the id of the question. One process at a time may have it."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Begin or continue the file; raises ConfigError if it has answers to other questions.

        A question without a reply is not kept: the next command asks it again.
        """
        self.path = path
        self.facts: dict[str, Any] = json.loads(json.dumps(facts))
        rows = _read(path)
        if rows:
            self._check_same(rows[0])
        self.responses = self._answers(rows[1:])
        try:
            write_whole(path, "".join(_lines([self.facts, *answers_to_json(self.responses)])))
        except OSError as error:
            raise _unwritten(path, error) from error

    def add(self, responses: Mapping[str, Response]) -> None:
        """Add the answers of a block, on the disk when this returns; raises CannotJudge."""
        came = {question: response for question, response in responses.items() if response.came}
        try:
            with self.path.open("ab") as file:
                file.write("".join(_lines(answers_to_json(came))).encode("utf-8", "backslashreplace"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritten(self.path, error) from error
        self.responses |= responses

    def _check_same(self, earlier: Mapping[str, Any]) -> None:
        differ = [name for name in {**self.facts, **earlier} if self.facts.get(name) != earlier.get(name)]
        if differ:
            name = differ[0]
            raise ConfigError(
                f"{self.path}: its answers were made with another `{name}`: {_short(earlier.get(name))}, now "
                f"{_short(self.facts.get(name))}; name another file with --out, or remove this one"
            )

    def _answers(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Response]:
        try:
            return answers_from_json(rows)
        except ValueError as error:
            raise ConfigError(f"{self.path}: is not a file of answers: {error}; remove it, or name another") from error


def _read(path: Path) -> list[dict[str, Any]]:
    """The whole lines; a last line that a crash cut off has no line break, and is left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; name another file with --out") from error
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            row: object = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise ConfigError(f"{path}:{number}: is not a line of a file of answers; remove the file, or name another")
        rows.append(cast("dict[str, Any]", row))
    return rows


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _unwritten(path: Path, error: OSError) -> CannotJudge:
    return CannotJudge(f"{path}: cannot be written: {error.strerror}")
