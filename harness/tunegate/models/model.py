"""The interface between engine and models: the Model protocol, a fake for tests, and stored answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

from tunegate.cases.case import Case, Prompt
from tunegate.exceptions import Tampered
from tunegate.reading.chats import Message

FinishReason = Literal["stop", "length", "unknown"]

Form = Literal["auto", "chat", "raw"]
"""How a model is asked a plain prompt: as a chat, through the chat template, or as raw text. `auto`: as a chat if an
answer is generated and there is a template, raw if choices are scored."""

SystemAs = Literal["system", "first_user"]
"""Where a system message goes: into its own message, or before the user's first question."""


@dataclass(frozen=True, slots=True)
class ChoiceScore:
    """Log-likelihood (natural log, summed over tokens) of one choice, and its length in bytes of UTF-8.

    A reward model gives its reward instead, and None for the length: a reward is not a sum over tokens.
    """

    log_likelihood: float
    n_bytes: int | None


@dataclass(frozen=True, slots=True)
class ImportedScore:
    """A score that another tool gave an answer. `passed`: whether the tool says that it passes; None if it does not."""

    name: str
    value: float
    passed: bool | None = None


class Fault(StrEnum):
    """Why a case has no answer: distinguishes a case that may be asked again from one with an unusable answer."""

    NO_REPLY = "no_reply"
    """No part of an answer arrived: no connection, a time-out, or a server that failed at every try."""
    REJECTED = "rejected"
    """The request was refused (status 4xx), or the case could not be turned into a request."""
    BAD_REPLY = "bad_reply"
    """The reply is not an answer: malformed, without text, or ended by a filter, an error or a tool call."""


@dataclass(frozen=True, slots=True)
class Response:
    """A model's answer to one case. `error` says why there is none; such a case is INVALID, not wrong.

    `fault` is the kind of error. It is None if there is an answer, or if a model does not report the kind. `tries` is
    how often the model was asked until this response. `imported` are the scores of the tool that asked, if the answer
    comes from its file: only the check `imported` reads them. `by` is the server that answered, if there are several.
    """

    text: str
    finish_reason: FinishReason = "unknown"
    n_tokens: int | None = None
    choice_scores: tuple[ChoiceScore, ...] = ()
    error: str | None = None
    fault: Fault | None = None
    tries: int = 1
    imported: tuple[ImportedScore, ...] = ()
    by: str = ""

    @property
    def came(self) -> bool:
        """Whether the model answered, even with an answer that cannot be used."""
        return self.error is None or self.fault is Fault.BAD_REPLY or bool(self.text)


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How answers are generated. Greedy unless `temperature` is above 0; `stop` strings end an answer and are removed.
    Each case is answered `samples` times. What the settings from `top_p` on do: `sampling_spec.SamplingSpec`."""

    max_new_tokens: int = 128
    system: str | None = None
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int = 0
    samples: int = 1
    form: Form = "auto"
    system_as: SystemAs = "system"
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None

    def facts(self) -> dict[str, Any]:
        """The settings for a hash; newer settings are included only if they are set, so that older hashes stay
        valid."""
        later = {"samples": 1, "form": "auto", "system_as": "system"}
        return {name: value for name, value in asdict(self).items() if later.get(name) != value}

    def asks(self, prompt: Prompt) -> Prompt:
        """The prompt with its own system message, or that of the settings, in its place."""
        return chat(prompt, self.system, self.system_as)


class Model(Protocol):
    """Anything that answers prompts.

    Both methods yield `(index into cases, response)` in the order in which answers are ready, each index once. They
    report errors of one case in `Response.error` and raise TunegateError only when nothing can be answered. `sha256`
    identifies the weights (None if there are none to hash: stored responses, remote servers). `dtype` is the number
    type of its computations, which may change an answer (None if unknown). `block_size` is the preferred number of
    cases per call: the runner asks block by block, and a resumed gate asks the same blocks, so that an answer never
    depends on where a run was interrupted.

    Example:
        >>> import tunegate
        >>> from tunegate.models.model import Response
        >>> class Echo:
        ...     name, sha256, dtype, block_size = "echo", None, None, 16
        ...     def generate(self, cases, settings):
        ...         for index, case in enumerate(cases):
        ...             yield index, Response(case.prompt_text)
        ...     score_choices = generate
        >>> tunegate.run_gate(Echo(), "facts.yaml", progress=False).failed
        3
    """

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def dtype(self) -> str | None: ...
    @property
    def block_size(self) -> int: ...
    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]: ...
    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]: ...


OpenJudge = Callable[[str], Model]
"""Opens a model that judges answers, by the name that the user gave it."""


def answers_the_same(model: Model) -> bool:
    """Whether the model would answer the same again: its weights are known, or its answers are stored."""
    return model.sha256 is not None or isinstance(model, StoredResponses)


def request_of(model: Model) -> Mapping[str, Any]:
    """The additional request fields of a model on a server; empty for any other model."""
    return getattr(model, "request", {})


def servers_of(model: Model) -> Sequence[Mapping[str, Any]]:
    """What each of several servers says about itself; empty for any other model."""
    return getattr(model, "servers", ())


def import_of(model: Model) -> Mapping[str, str] | None:
    """What the file of another tool says about the answers; None for a model, and for rows of the user's own."""
    return model.imported if isinstance(model, StoredResponses) else None


def file_of(model: Model) -> Mapping[str, str] | None:
    """The `path` and the `sha256` of the file of stored answers; None for a model, and for answers of no file."""
    return model.file if isinstance(model, StoredResponses) else None


def notes_of(model: Model) -> tuple[str, ...]:
    """Oddities of a model that do not prevent a verdict; the method is optional."""
    return getattr(model, "notes", ())


def check_weights(model: Model) -> None:
    """Raise Tampered if the files that a model was loaded from are no longer those that were hashed; the method
    `sha256_now` is optional, and models without files lack it."""
    now: Callable[[], str] | None = getattr(model, "sha256_now", None)
    if now is not None and now() != model.sha256:
        raise Tampered(
            f"model {model.name}: its files changed while it was in use; a verdict is about one set of bytes"
        )


def templates_of(model: Model) -> tuple[str, ...]:
    """The chat templates of a model; empty for a model that is asked without templates."""
    return getattr(model, "chat_templates", ())


def chat(prompt: Prompt, system: str | None, system_as: SystemAs = "system") -> Prompt:
    """Add the system message of the settings to a prompt without its own.

    With `first_user`, the system message (the prompt's own or this one) goes before the first question instead,
    followed by a blank line; a plain prompt then stays plain.
    """
    if system_as == "first_user" and isinstance(prompt, str):
        return prompt if system is None else f"{system}\n\n{prompt}"
    if system is None and system_as == "system":
        return prompt
    messages = as_messages(prompt)
    if system is not None and not (messages and messages[0]["role"] == "system"):
        messages = (Message(role="system", content=system), *messages)
    return messages if system_as == "system" else _before_first_question(messages)


def _before_first_question(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    if not messages or messages[0]["role"] != "system":
        return messages
    system, rest = messages[0]["content"], messages[1:]
    if not rest or rest[0]["role"] != "user":
        return (Message(role="user", content=system), *rest)
    return (Message(role="user", content=f"{system}\n\n{rest[0]['content']}"), *rest[1:])


def as_messages(prompt: Prompt) -> tuple[Message, ...]:
    """The prompt as chat messages; plain text becomes one user turn."""
    return (Message(role="user", content=prompt),) if isinstance(prompt, str) else prompt


@dataclass(frozen=True)
class ScriptedModel:
    """A fake for tests that gives scripted answers. `sha256` may be set to imitate any weights."""

    script: Callable[[Case], str | Response]
    name: str = "scripted"
    sha256: str | None = None
    dtype: str | None = None
    block_size: int = 16

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        for index, case in enumerate(cases):
            answer = self.script(case)
            yield index, answer if isinstance(answer, Response) else Response(answer, "stop")

    score_choices = generate


@dataclass(frozen=True)
class StoredResponses:
    """Stored answers by case id. A case without an answer is INVALID: it was never answered.

    `imported` is what the file of another tool says about itself: its tool, and the tool's version, model and settings.
    Nothing here can check it. `file` has the `path` and the `sha256` of the file that they were read from.
    """

    responses: Mapping[str, Response]
    name: str = "responses"
    sha256: str | None = None
    dtype: str | None = None
    block_size: int = 1024
    imported: Mapping[str, str] | None = None
    file: Mapping[str, str] | None = None

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        for index, case in enumerate(cases):
            missing = Response("", error=f"no response with id {case.id!r} in {self.name}", fault=Fault.NO_REPLY)
            yield index, self.responses.get(case.id, missing)

    score_choices = generate
