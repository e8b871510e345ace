"""Models on any server with OpenAI's chat API: llama.cpp, vLLM, a cloud service."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tunegate.addresses import addresses_in, check_address, check_key, check_unencrypted, without_secrets
from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.models.completions import read_completion
from tunegate.models.guarded import TRIES, incomplete_reply
from tunegate.models.model import Fault, GenerationSettings, Response, as_messages
from tunegate.models.openai_client import FIXED_FIELDS, NO_KEY, ChatRequests, Server, ask_all
from tunegate.models.probe import CLOSED, check_access, check_server
from tunegate.models.server_sampling import check_not_refused, sampling_fields
from tunegate.models.streamed import ON_CHUNK, STREAM, FirstToken, whole_reply
from tunegate.models.timing import HowTimed, Timing

if TYPE_CHECKING:
    from openai import AsyncOpenAI

KEY_VARIABLE = "OPENAI_API_KEY"
PASSING_STATUSES = (408, 409, 429)
"""Statuses for a time-out, a lock and a limit on requests: the same request may succeed later."""


@dataclass(frozen=True)
class OpenAIModel:
    """A model on a server. An error of one request becomes that case's `Response.error`.

    `openai_client.Server` documents time limits and retries. `sha256` is None: a server's weights cannot be hashed from
    here. The key comes from the environment variable `key_variable`; local servers need none. `request` adds fields to
    every request, or removes them with None: `{"temperature": None, "reasoning_effort": "low"}`.
    """

    base_url: str
    model: str
    timeout_s: float = 60.0
    max_retries: int = 3
    concurrency: int = 8
    request: Mapping[str, Any] = field(default_factory=dict[str, Any])
    key_variable: str = KEY_VARIABLE
    sha256: None = None
    dtype: None = None

    def __post_init__(self) -> None:
        for name in FIXED_FIELDS:
            if name in self.request:
                raise ConfigError(f"request: the field {name!r} is set by the gate; leave it out")

    @classmethod
    def from_url(cls, url: str, **how: Any) -> OpenAIModel:
        """The model at `http://host:port/v1#model-name`; `how` sets further fields."""
        if len(addresses_in(url)) > 1:
            raise ConfigError(f"model {without_secrets(url)}: several servers, where one is needed; name one of them")
        base_url, _, model = url.partition("#")
        if not model:
            place = without_secrets(base_url)
            raise ConfigError(f"model {place!r}: the name of the server's model is missing; write {place}#MODEL-NAME")
        if "," in model:  # llama.cpp takes any name: one server would answer for all that were meant
            raise ConfigError(
                f"model {without_secrets(url)!r}: a comma in a model's name; several servers are separated by commas, "
                "each with its http:// or https:// and its #MODEL-NAME"
            )
        check_address(base_url, f"model {without_secrets(url)!r}")
        return cls(base_url, model, **how)

    @property
    def name(self) -> str:
        """The address without user name, password and query, which are secrets, and the model's name."""
        return f"{without_secrets(self.base_url)}#{self.model}"

    @property
    def block_size(self) -> int:
        """Enough to keep all connections busy."""
        return 4 * self.concurrency

    def check(self) -> OpenAIModel:
        """Return self if the server answers and accepts our key; raises ConfigError otherwise. Waits for a server that
        is still loading its model."""
        check_server(self.server, self.name, self._access)
        return self

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        """Ask for all answers, `concurrency` at a time; each is yielded when it arrives.

        Raises ConfigError if the server denies access, instead of leaving every case without an answer.
        """
        self.check_settings(settings)

        async def ask(client: AsyncOpenAI, case: Case) -> Response:
            response, _ = await self.attempt(client, case, settings)
            return replace(response, tries=max(1, response.tries))

        return ask_all(self.server, cases, ask)

    def check_settings(self, settings: GenerationSettings) -> None:
        """Raise ConfigError for settings that no server takes, before the first question."""
        if settings.form == "raw":
            raise ConfigError(
                f"model {self.name}: `form: raw` is only for local models, since a server's chat API takes chats; "
                "leave "
                "it out"
            )
        sampling_fields(settings, self.base_url, self.name)

    def timed(self, cases: Sequence[Case], settings: GenerationSettings, how: HowTimed) -> Iterator[Timing]:
        """Time a request for each case, in order; each tries once, since a retry would hide a time-out.

        One at a time, each on a new connection; with `how.concurrency` above 1, that many at once.
        """
        server = replace(self.server, max_retries=0, concurrency=how.concurrency)
        size = 1 if how.concurrency == 1 else max(len(cases), 1)
        for start in range(0, len(cases), size):
            block = cases[start : start + size]
            found = dict(ask_all(server, block, lambda client, case: self._timed(client, case, settings, how)))
            yield from (found[index] for index in range(len(block)))

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        """Raises ConfigError: the chat API does not give the likelihood of a given text."""
        raise ConfigError(
            f"model {self.name}: servers do not give the likelihood of a choice, which this suite's checks need; "
            "gate the model's weights instead, or ask for the letter of the choice and check it with `exact`"
        )

    @property
    def server(self) -> Server:
        key = os.environ.get(self.key_variable, "").strip() or NO_KEY
        check_key(key, self.key_variable)
        said = "" if key == NO_KEY else f"the key in {self.key_variable}"
        check_unencrypted(self.base_url, f"model {self.name}", said)
        return Server(self.base_url, self.timeout_s, self.max_retries, self.concurrency, key)

    @cached_property
    def _requests(self) -> ChatRequests:
        return ChatRequests(self.request)

    async def attempt(
        self, client: AsyncOpenAI, case: Case, settings: GenerationSettings
    ) -> tuple[Response, Exception | None]:
        """The answer to a case, with the number of tries (0: no connection), and the error if there was no reply."""
        tries: list[int] = []
        TRIES.set(tries)  # only for this task
        try:
            reply = read_completion(await self._requests.send(client, self._request(case, settings)))
        except Exception as error:  # whatever the error, this case has no answer
            response = await self._without_reply(client, error, settings)
            return replace(response, tries=len(tries)), error
        if reply.fault is not None:
            error = f"{self.name}: the server's reply {reply.fault}"
            response = Response(reply.text, n_tokens=reply.n_tokens, error=error, fault=Fault.BAD_REPLY)
        else:
            response = Response(reply.text, reply.finish_reason, reply.n_tokens)
        return replace(response, tries=len(tries)), None

    async def _timed(self, client: AsyncOpenAI, case: Case, settings: GenerationSettings, how: HowTimed) -> Timing:
        first = FirstToken(how.clock)
        ON_CHUNK.set(first.hear)  # only for this task
        request = {**self._request(case, settings), **(STREAM if how.stream else {})}
        started = how.clock()
        try:
            body = await self._requests.send(client, request)
        except Exception as error:  # whatever the error, this request has no time
            return Timing(error=f"{self.name}: {self.server.describe(error)}")
        seconds = how.clock() - started
        reply = read_completion(whole_reply(body) if how.stream else body)
        if reply.fault is not None:
            return Timing(error=f"{self.name}: the server's reply {reply.fault}")
        if reply.cached_tokens and reply.prompt_tokens and reply.cached_tokens >= reply.prompt_tokens - 1:
            return Timing(error=f"{self.name}: the server had the whole prompt from an earlier request")
        first_token_s = None if first.at is None else first.at - started
        return Timing(seconds, first_token_s, reply.prompt_tokens, reply.n_tokens)

    def _request(self, case: Case, settings: GenerationSettings) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.model,
            "messages": list(as_messages(settings.asks(case.prompt))),
            "max_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            "seed": _seed(settings, case),
        }
        request |= sampling_fields(settings, self.base_url, self.name)
        return {**request, "stop": list(settings.stop)} if settings.stop else request

    async def _without_reply(self, client: AsyncOpenAI, error: Exception, settings: GenerationSettings) -> Response:
        fault = _fault(error)
        check_not_refused(error, settings, self.name, self.server.describe(error))
        if fault is Fault.REJECTED and getattr(error, "status_code", None) in CLOSED:
            await self._access(client)  # raises if the server does not only reject this case
        return Response("", error=f"{self.name}: {self.server.describe(error)}", fault=fault)

    async def _access(self, client: AsyncOpenAI) -> None:
        """Raise ConfigError if the server refuses even a fixed question that belongs to no case."""
        await check_access(client, self._requests, self.server, self.name, self.key_variable)


def _fault(error: Exception) -> Fault:
    """The kind of fault that the client raised, after its own retries (`Server`)."""
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIStatusError):
        passing = error.status_code in PASSING_STATUSES or error.status_code >= 500
        return Fault.NO_REPLY if passing else Fault.REJECTED
    return (
        Fault.NO_REPLY if isinstance(error, APIConnectionError) and incomplete_reply(error) is None else Fault.BAD_REPLY
    )


def _seed(settings: GenerationSettings, case: Case) -> int:
    """A separate seed for every case, so that the order of requests does not matter."""
    return int.from_bytes(hashlib.sha256(f"{settings.seed}\0{case.id}".encode()).digest()[:4], "big") >> 1
