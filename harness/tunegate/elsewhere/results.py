"""What is read from a file of another tool: answers with their questions, the tool's own scores, and its statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from tunegate.cases.case import Prompt
from tunegate.exceptions import LISTED, ConfigError, nearest
from tunegate.models.model import Fault, ImportedScore, Response


@dataclass(frozen=True, slots=True)
class Imported:
    """An answer from another tool's file, with its question.

    `id` is the tool's id of the question. `prompt` is what the model was asked, None if the file does not say;
    `questions` are further forms of it, such as the question before a template was filled. `references` are the
    expected answers; `choices` are the options whose log-likelihoods the response holds, in the same order, or that the
    model could choose from. `place` is the file with the line or the key.
    """

    id: str
    prompt: Prompt | None
    response: Response
    references: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    questions: tuple[Prompt, ...] = ()
    place: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """The answers of one file.

    `tool` is the name of the tool that wrote it, `name` the name of its task or run. `told` is what the file says about
    the model, the tool's version and its settings; nothing here can check it. `contains`: the tool looked for the
    target in the answer. `notes` are for people.
    """

    tool: str
    name: str
    answers: tuple[Imported, ...]
    told: Mapping[str, str] = field(default_factory=dict[str, str])
    contains: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picks:
    """Which part of a file is meant, if it has several: the values of the flags of the same name."""

    filter: str | None = None
    prompt: str | None = None
    provider: str | None = None
    epoch: str | None = None

    @property
    def given(self) -> list[str]:
        """The flags that were given."""
        return [one.name for one in fields(self) if getattr(self, one.name) is not None]


def pick(what: str, wanted: str | None, found: Iterable[str], path: Path) -> str | None:
    """The wanted part, or the only part that was found; None if there is none.

    A part is never picked silently: raises ConfigError with the list of parts if there are several and none is wanted,
    or if the wanted part is not among them.
    """
    names = list(dict.fromkeys(found))
    if wanted is not None and wanted not in names:
        raise ConfigError(f"{path}: --{what}: the file has no {what} {wanted!r}{nearest(wanted, names)}")
    if wanted is None and len(names) > 1:
        raise ConfigError(
            f"{path}: the file has {len(names)} {what}s; choose one: "
            f"{' or '.join(f'--{what} {_quoted(name)}' for name in names[:LISTED])}"
        )
    return wanted if wanted is not None else next(iter(names), None)


def _quoted(name: str) -> str:
    return name if name and all(sign.isalnum() or sign in "._-/" for sign in name) else repr(name)


def no_answer(why: str, scores: Sequence[ImportedScore] = ()) -> Response:
    """The response to a question that the tool got no answer to: its case is INVALID, and stays in the denominator."""
    cause = " ".join(why.split())
    return Response("", error=f"the tool got no answer: {cause[:300]}", fault=Fault.NO_REPLY, imported=tuple(scores))


def passes(value: float) -> bool | None:
    """Whether a score passes if the tool does not say so: 1 passes, 0 fails, and None for any other number."""
    return value == 1 if value in (0, 1) else None


def number_of(name: str) -> tuple[int, str]:
    """A key to sort ids such as `facts.test.7` by: the number at their end, then the text."""
    digits = name[len(name.rstrip("0123456789")) :]
    return (int(digits) if digits and len(digits) < 19 else -1, name)
