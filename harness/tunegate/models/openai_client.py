"""Asking servers with OpenAI's API: every try has a deadline, and it works with Ctrl-C and in notebooks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from tunegate.addresses import MIN_SECRET_CHARS, check_unencrypted, is_loopback, secrets_in, without_secrets
from tunegate.models.guarded import guarded
from tunegate.optional import optional_import

if TYPE_CHECKING:
    from ssl import SSLContext

    from openai import AsyncOpenAI

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Say = Callable[[int, Answer], None]
"""Takes the index of a question and its answer."""

FIXED_FIELDS = ("model", "messages", "stream", "n")
"""Request fields that users cannot set: they define the model, the prompt and the form of the reply."""
OPENAI_HOST = "api.openai.com"
NEEDED_HEADERS = ("accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent")
NO_KEY = "none"
"""The key for servers that need none: the client requires one and would otherwise read the environment itself."""


@dataclass(frozen=True, slots=True)
class Server:
    """The address of a server, and its time limits and retries.

    A try ends after `timeout_s`. A request is repeated up to `max_retries` times, with growing pauses, if the
    connection fails, the reply is incomplete, the time limit is reached, or the status is 408, 409, 429 or 5xx.
    `concurrency` requests run at once. User name, password and query of `base_url` are sent with every request.
    Raises ConfigError for a key that would leave this machine over plain http.
    """

    base_url: str
    timeout_s: float = 60.0
    max_retries: int = 3
    concurrency: int = 4
    api_key: str = NO_KEY

    def __post_init__(self) -> None:
        key = "" if self.api_key == NO_KEY else "the key"
        check_unencrypted(self.base_url, without_secrets(self.base_url), key)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must not appear in a record or on a terminal."""
        return (*((self.api_key,) if self.api_key != NO_KEY else ()), *secrets_in(self.base_url))

    def describe(self, error: BaseException) -> str:
        """The error in one line without secrets; its type distinguishes time-outs, refusals and malformed answers."""
        words = [
            str(part).strip().splitlines()[0].rstrip(".")[:300]
            for part in (error, error.__cause__)
            if str(part or "").strip()
        ]
        line = without_secrets(": ".join([type(error).__name__, *words]))
        for secret in self.secrets:
            line = line.replace(secret, "***") if len(secret) >= MIN_SECRET_CHARS else line
        return line


def open_client(server: Server) -> AsyncOpenAI:
    """A client with the limits of `guarded`."""
    optional_import("openai", "server", "asking a server")
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    parts = urlsplit(server.base_url)
    client = guarded(DefaultAsyncHttpxClient, server.timeout_s, server.secrets, own_headers(server))
    return AsyncOpenAI(
        base_url=urlunsplit(parts._replace(query="", fragment="")),
        default_query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        default_headers={"Accept-Encoding": "identity"},
        api_key=server.api_key,
        timeout=server.timeout_s,
        max_retries=server.max_retries,
        # A proxy of the environment is not on the way to this machine: it would read what is not encrypted.
        http_client=client(
            verify=_tls_context(DefaultAsyncHttpxClient), trust_env=not is_loopback(parts.hostname or "")
        ),
    )


def own_headers(server: Server, environment: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """What openai's client must not add from the environment, for any server except OpenAI's own.

    It sends the organisation, the project and all lines of OPENAI_CUSTOM_HEADERS, which may hold keys, to any address.

    >>> own_headers(Server("https://a.example"), {"OPENAI_CUSTOM_HEADERS": "X-Gateway-Key: abc"})["x-gateway-key"]
    """
    parts = urlsplit(server.base_url)
    if (parts.scheme, parts.hostname) == ("https", OPENAI_HOST):
        return {}
    lines = environment.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
    named = {line.partition(":")[0].strip().lower() for line in lines} - {"", *NEEDED_HEADERS}
    own = {"authorization": f"Bearer {server.api_key}"} if "authorization" in named else {}
    return {**dict.fromkeys(("openai-organization", "openai-project", *sorted(named))), **own}


def _tls_context(client: type[Any]) -> SSLContext:
    """The certificates that the client trusts, read once: there is a client per block of questions, and reading them
    takes 20 ms of processor time, more than the questions to a server on the same machine."""
    base = next(one for one in client.__mro__ if one.__name__ == "AsyncClient")
    package = base.__module__.partition(".")[0]  # httpx or httpx2
    return _read_certificates(package, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _read_certificates(package: str, *places: str | None) -> SSLContext:
    """`places` are the variables by which a user names other certificates; the package reads them itself."""
    return import_module(package).create_ssl_context()


@dataclass
class ChatRequests:
    """Sends chat requests and remembers which fields the server refused: newer servers need `max_completion_tokens`.

    `fields` are added to every request and override its own; a field that is None is left out.
    """

    fields: Mapping[str, Any]
    renamed: bool = False

    async def send(self, client: AsyncOpenAI, request: Mapping[str, Any]) -> str:
        """The body of the reply; raises the errors of openai's client, and BadReply."""
        from openai import BadRequestError, UnprocessableEntityError

        body = self._body(request)
        try:
            return await _send(client, body)
        except (BadRequestError, UnprocessableEntityError) as error:
            if "max_tokens" not in body or "max_completion_tokens" not in error.response.text:
                raise
            self.renamed = True
        return await _send(client, self._body(request))

    def _body(self, request: Mapping[str, Any]) -> dict[str, Any]:
        body = {**request, **self.fields}
        limit = "max_completion_tokens"
        if body.get(limit) is not None:
            body["max_tokens"] = None
        elif self.renamed and "max_tokens" in body:
            body = {limit if name == "max_tokens" else name: value for name, value in body.items()}
        return {name: value for name, value in body.items() if value is not None}


async def _send(client: AsyncOpenAI, body: Mapping[str, Any]) -> str:
    """The raw body of the reply: for a web page with status 200, the client itself would raise an AttributeError."""
    fields = {name: value for name, value in body.items() if name not in ("model", "messages")}
    raw = client.chat.completions.with_raw_response
    return (await raw.create(model=body["model"], messages=body["messages"], extra_body=fields)).text


def ask_all(
    server: Server, questions: Sequence[Question], ask: Callable[[AsyncOpenAI, Question], Awaitable[Answer]]
) -> Iterator[tuple[int, Answer]]:
    """Ask all questions, `concurrency` at a time; each answer is yielded, with the question's index, when it arrives.

    Errors of `ask` are raised here. What else holds: `heard`.
    """

    async def ask_in_turn(say: Say[Answer], closed: Event) -> None:
        slots = asyncio.Semaphore(server.concurrency)

        async def one(client: AsyncOpenAI, index: int, question: Question) -> None:
            async with slots:
                if not closed.is_set():
                    say(index, await ask(client, question))

        async with open_client(server) as client:
            await asyncio.gather(*(one(client, index, question) for index, question in enumerate(questions)))

    return heard(len(questions), ask_in_turn)


def heard(n: int, work: Callable[[Say[Answer], Event], Awaitable[None]]) -> Iterator[tuple[int, Answer]]:
    """The `n` answers that the coroutine `work` says, each with its question's index, when it is said.

    It runs in a thread that ends with the process: Ctrl-C does not wait for it, and notebooks already run an event
    loop. After the iterator is closed, the event that `work` gets is set, and it must send no further request. Errors
    of `work` are raised here.
    """
    answers: SimpleQueue[tuple[int, Answer] | BaseException] = SimpleQueue()
    closed = Event()

    async def whole() -> None:
        await work(lambda index, answer: answers.put((index, answer)), closed)

    def in_thread() -> None:
        try:
            asyncio.run(whole())
        except BaseException as error:
            answers.put(error)

    thread = Thread(target=in_thread, name="server", daemon=True)
    thread.start()
    try:
        for _ in range(n):
            answer = answers.get()
            if isinstance(answer, BaseException):
                raise answer
            yield answer
        thread.join()
    finally:
        closed.set()
