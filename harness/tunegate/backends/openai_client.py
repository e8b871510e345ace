"""Asking servers that speak OpenAI's API: every try has a deadline, and neither Ctrl-C nor a notebook is in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from tunegate.optional import optional_import

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Question = TypeVar("Question")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server listens, and how patiently it is asked.

    A try ends after `timeout_s`. A request is repeated up to `max_retries` times, with growing pauses, when the
    connection fails, the time is up, or the server answers 408, 409, 429 or 5xx. `concurrency` requests are under way
    at once. Servers that want no key are given the key "none".
    """

    base_url: str
    timeout_s: float = 60.0
    max_retries: int = 3
    concurrency: int = 4
    api_key: str = "none"  # the client wants one, and would look into the environment itself


def open_client(server: Server) -> AsyncOpenAI:
    """A client whose every try ends after `timeout_s`; the library's own timeout starts anew with each byte."""
    optional_import("openai", "judge", "asking a server")
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    class WithDeadline(DefaultAsyncHttpxClient):
        async def send(self, request: Any, **how: Any) -> Any:
            try:
                async with asyncio.timeout(server.timeout_s):
                    return await super().send(request, **how)
            except TimeoutError as error:
                http = import_module(type(request).__module__.partition(".")[0])  # httpx or httpx2: openai tries again
                raise http.ReadTimeout(f"no whole reply within {server.timeout_s:g} s", request=request) from error

    return AsyncOpenAI(
        base_url=server.base_url,
        api_key=server.api_key,
        timeout=server.timeout_s,
        max_retries=server.max_retries,
        http_client=WithDeadline(),
    )


def ask_all(
    server: Server, questions: Sequence[Question], ask: Callable[[AsyncOpenAI, Question], Awaitable[Answer]]
) -> Iterator[tuple[int, Answer]]:
    """Ask all questions, `concurrency` at a time; each answer is yielded, with the question's index, when it arrives.

    The requests run in a thread that ends with the process: Ctrl-C does not wait for it, and notebooks run a loop
    already. Once the iterator is closed no further request is sent. What `ask` raises is raised here.
    """
    answers: SimpleQueue[tuple[int, Answer] | BaseException] = SimpleQueue()
    closed = Event()

    async def ask_in_turn() -> None:
        slots = asyncio.Semaphore(server.concurrency)

        async def one(client: AsyncOpenAI, index: int, question: Question) -> None:
            async with slots:
                if not closed.is_set():
                    answers.put((index, await ask(client, question)))

        async with open_client(server) as client:
            await asyncio.gather(*(one(client, index, question) for index, question in enumerate(questions)))

    def work() -> None:
        try:
            asyncio.run(ask_in_turn())
        except BaseException as error:
            answers.put(error)

    thread = Thread(target=work, name="server", daemon=True)
    thread.start()
    try:
        for _ in questions:
            answer = answers.get()
            if isinstance(answer, BaseException):
                raise answer
            yield answer
        thread.join()
    finally:
        closed.set()
