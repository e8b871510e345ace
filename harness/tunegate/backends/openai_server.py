"""Models behind any server that speaks OpenAI's chat API: llama.cpp, vLLM, a cloud service."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tunegate.backends.openai_client import Server, ask_all
from tunegate.cases import Case
from tunegate.exceptions import ConfigError
from tunegate.models import Fault, FinishReason, GenerationSettings, Response, as_messages, chat

FINISH_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}
PASSING_STATUSES = (408, 409, 429)
"""A time-out, a lock and a limit on requests: the same request may be answered later."""


@dataclass(frozen=True)
class OpenAIModel:
    """A model behind a server. Whatever goes wrong with one request is that case's `Response.error`.

    `openai_client.Server` says how patiently it is asked. `sha256` is None: what a server runs cannot be hashed from
    here. The key comes from the environment variable OPENAI_API_KEY; local servers want none.
    """

    base_url: str
    model: str
    timeout_s: float = 60.0
    max_retries: int = 3
    concurrency: int = 8
    sha256: None = None
    dtype: None = None

    @classmethod
    def from_url(cls, url: str) -> OpenAIModel:
        """From `http://host:port/v1#model-name`."""
        base_url, _, model = url.partition("#")
        if not model:
            raise ConfigError(f"model {url!r}: say which of the server's models: {base_url}#MODEL-NAME")
        return cls(base_url, model)

    @property
    def name(self) -> str:
        return f"{self.base_url}#{self.model}"

    @property
    def block_size(self) -> int:
        """Enough to keep all connections busy."""
        return 4 * self.concurrency

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        """Ask for all answers, `concurrency` at a time; each is yielded when it arrives."""
        key = os.environ.get("OPENAI_API_KEY") or "none"
        server = Server(self.base_url, self.timeout_s, self.max_retries, self.concurrency, key)
        return ask_all(server, cases, lambda client, case: self._answer(client, case, settings))

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        """Not possible: the chat API does not tell the likelihood of a given text."""
        raise ConfigError(
            f"model {self.name}: servers do not tell how likely a given choice is, which this suite's checks need; "
            "gate the model's weights instead, or ask for the letter of the choice and check it with `exact`"
        )

    async def _answer(self, client: Any, case: Case, settings: GenerationSettings) -> Response:
        request: dict[str, Any] = {
            "model": self.model,
            "messages": list(as_messages(chat(case.prompt, settings.system))),
            "max_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            "seed": _seed(settings, case),
        }
        if settings.stop:
            request["stop"] = list(settings.stop)
        try:
            completion = await client.chat.completions.create(**request)
        except Exception as error:  # whatever client or server came up with, this case has no answer
            return Response("", error=f"{self.name}: {_in_words(error)}", fault=_fault(error))
        try:
            choice = completion.choices[0]
            text, finish_reason = choice.message.content, choice.finish_reason
            n_tokens = completion.usage.completion_tokens if completion.usage else None
        except (AttributeError, IndexError, TypeError):  # the client does not check what a server sends
            return self._bad_reply(f"is no chat completion: {str(completion)[:200]!r}")
        if not isinstance(text, str):
            return self._bad_reply(f"holds no text (finish_reason {finish_reason})")
        return Response(text, FINISH_REASONS.get(finish_reason, "unknown"), n_tokens)

    def _bad_reply(self, what: str) -> Response:
        return Response("", error=f"{self.name}: the server's answer {what}", fault=Fault.BAD_REPLY)


def _fault(error: Exception) -> Fault:
    """What kind of fault the client raised: by now it has repeated what may pass (`Server`)."""
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIStatusError):
        passing = error.status_code in PASSING_STATUSES or error.status_code >= 500
        return Fault.NO_REPLY if passing else Fault.REJECTED
    return Fault.NO_REPLY if isinstance(error, APIConnectionError) else Fault.BAD_REPLY


def _seed(settings: GenerationSettings, case: Case) -> int:
    """A seed of its own for every case, so that the order of requests does not matter."""
    return int.from_bytes(hashlib.sha256(f"{settings.seed}\0{case.id}".encode()).digest()[:4], "big") >> 1


def _in_words(error: Exception) -> str:
    """What went wrong, in one line: the type tells time-outs, refusals and malformed answers apart."""
    words = [
        str(part).strip().splitlines()[0].rstrip(".")[:300]
        for part in (error, error.__cause__)
        if str(part or "").strip()
    ]
    return ": ".join([type(error).__name__, *words])
