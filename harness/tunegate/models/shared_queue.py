"""One queue of questions for several servers: who asks what next, and what becomes of a question that got no answer.

A question is under way at one server at a time, and one that got its answer is never asked again. A server that
refuses for now (429, 503, …) is sent half as much, after a rest. One that is gone (no connection, no reply in time)
must first prove itself again: its questions go to the others meanwhile. All runs in one event loop, without locks.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence, Set
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from tunegate.models.back_pressure import Window
from tunegate.models.openai_client import Say, Server, heard, open_client

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Question = TypeVar("Question")
Answer = TypeVar("Answer")

FIRST_REST_S = 0.5
"""How long a server that refused rests; doubled each time, as openai's client does."""
REFUSALS = 4
"""A server that refused this often in a row, without an answer between, counts as gone."""
MOST_RETURNS = 3
"""A server that was admitted again this often, and answered nothing between, is not looked for any more."""
RETURNS_S = (0.0, 0.5, 1.0, 2.0, 4.0)
"""The pauses before each look whether a server that was gone is back."""


@dataclass(frozen=True, slots=True)
class Attempt(Generic[Answer]):
    """What came of one request: an answer, or an error in its place. `tries` counts what may have reached the model.

    `lost` says that another request may bring an answer: the server `refused` for now, or is `gone`. `rest_s` is how
    long the server wants to be left alone.
    """

    answer: Answer
    tries: int = 1
    lost: Literal["", "refused", "gone"] = ""
    rest_s: float = 0.0


@dataclass
class Endpoint:
    """A server and what is known of it; kept from one batch of questions to the next. Times are of `time.monotonic`.

    `seconds` is the smoothed time of an answer. An endpoint that is `out` is not asked until it is admitted again; one
    that is `retired` came back as another model, and is never asked again.
    """

    server: Server
    window: Window
    under_way: int = 0
    seconds: float | None = None
    refusals: int = 0
    returns: int = 0
    failed_at: float = 0.0
    rests_until: float = 0.0
    out: bool = False
    retired: bool = False
    look: Future[bool | None] | None = None
    """The look under way whether it is back."""

    def may_send(self, now: float) -> bool:
        return not self.out and self.under_way < self.window.size and now >= self.rests_until

    @property
    def rate(self) -> float:
        """Answers per second at this window; 0 if unknown, or while it is not asked."""
        asked = not self.out and time.monotonic() >= self.rests_until
        return self.window.size / self.seconds if self.seconds and asked else 0.0

    def answered(self, seconds: float, *, full: bool) -> None:
        self.refusals = self.returns = 0
        self.window.answered(seconds, full=full)
        self.seconds = seconds if self.seconds is None else 0.8 * self.seconds + 0.2 * seconds

    def failed(self, sent: float, attempt: Attempt[Any]) -> None:
        """Note a request, sent at the time `sent`, without an answer. What was sent before the failure was known says
        nothing new."""
        if sent < self.failed_at:
            return
        self.failed_at = time.monotonic()
        self.refusals += 1
        self.window.refused()
        self.out = attempt.lost == "gone" or self.refusals >= REFUSALS
        rest = max(attempt.rest_s, FIRST_REST_S * 2 ** (self.refusals - 1))
        self.rests_until = self.failed_at + (0.0 if self.out else rest)


@dataclass(frozen=True, slots=True)
class Said(Generic[Answer]):
    """The answer to a question, all tries that it took, and the index of the endpoint that gave it (None: nobody)."""

    answer: Answer
    tries: int
    endpoint: int | None


@dataclass(frozen=True)
class How(Generic[Question, Answer]):
    """How a batch is asked. `ask` sends a question to the endpoint with this index. `admits` looks at an endpoint that
    was gone: True if it is as before, False if it is another model, None if it does not answer. `nobody` is the answer
    where no endpoint is left. A question is given up after `most_tries`."""

    ask: Callable[[AsyncOpenAI, int, Question], Awaitable[Attempt[Answer]]]
    admits: Callable[[int], Awaitable[bool | None]]
    nobody: Callable[[], Answer]
    most_tries: int


def ask_shared(
    endpoints: Sequence[Endpoint], questions: Sequence[Question], how: How[Question, Answer]
) -> Iterator[tuple[int, Said[Answer]]]:
    """Ask all questions; each answer is yielded, with the question's index, when it arrives (`openai_client.heard`)."""

    async def work(say: Say[Said[Answer]], closed: Event) -> None:
        await _Batch(endpoints, questions, how, say, closed).run()

    return heard(len(questions), work)


@dataclass
class _Batch(Generic[Question, Answer]):
    """The questions of one call, while they are asked."""

    endpoints: Sequence[Endpoint]
    questions: Sequence[Question]
    how: How[Question, Answer]
    say: Say[Said[Answer]]
    closed: Event
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: deque[int] = field(default_factory=deque[int])
    left: int = 0
    tries: Counter[int] = field(default_factory=Counter[int])
    failed_at: dict[int, list[int]] = field(default_factory=lambda: defaultdict[int, list[int]](list))
    returning: set[int] = field(default_factory=set[int])
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    clients: list[AsyncOpenAI] = field(default_factory=list["AsyncOpenAI"])
    looked: dict[int, float] = field(default_factory=dict[int, float])
    lost: dict[int, Said[Answer]] = field(default_factory=dict[int, Said[Answer]])
    error: BaseException | None = None

    async def run(self) -> None:
        self.waiting.extend(range(len(self.questions)))
        self.left = len(self.questions)
        for endpoint in self.endpoints:
            endpoint.under_way = 0  # what an earlier batch left open was cancelled
        async with AsyncExitStack() as stack:
            self.clients = [await stack.enter_async_context(open_client(one.server)) for one in self.endpoints]
            try:
                await self._until_all_are_answered()
            finally:
                for task in self.tasks:
                    task.cancel()
                await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _until_all_are_answered(self) -> None:
        while self.left and not self.closed.is_set():
            self.changed.clear()
            self._look_for_returns()
            now = time.monotonic()  # before anything is sent: a rest that ends meanwhile must still wake this loop
            self._send()
            if all(one.out and not one.under_way for one in self.endpoints) and not self.returning:
                self._give_up()
                return
            rests = [one.rests_until - now for one in self.endpoints if not one.out and one.rests_until > now]
            with suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), min(rests, default=None))
            if self.error is not None:
                raise self.error

    def _send(self) -> None:
        """Send as much as may be sent now, one by one to the endpoint with the most room."""
        while self.waiting and not self.closed.is_set():
            now = time.monotonic()
            found = [
                (one.under_way / one.window.size, place, question)
                for place, one in enumerate(self.endpoints)
                if one.may_send(now) and (question := self._next_for(place)) is not None
            ]
            if not found:
                return
            _, place, question = min(found)
            self.waiting.remove(question)
            self.endpoints[place].under_way += 1
            self._start(self._one(place, question))

    def _next_for(self, place: int) -> int | None:
        """The next question for an endpoint: not one that it failed to answer while another endpoint could, and none
        that those who could will have answered sooner. So each question has an endpoint that takes it."""
        inside = frozenset(other for other, one in enumerate(self.endpoints) if not one.out)
        takes: dict[frozenset[int], bool] = {}
        for question in self.waiting:
            able = inside.difference(self.failed_at.get(question, ())) or inside
            if able not in takes:
                takes[able] = place in able and not self._is_sooner(able - {place}, place)
            if takes[able]:
                return question
        return None

    def _is_sooner(self, others: Set[int], place: int) -> bool:
        """Whether others will have answered all that waits sooner than an endpoint could answer one question."""
        own, ones = self.endpoints[place].seconds, [self.endpoints[other] for other in others]
        rate, times = sum(one.rate for one in ones), [one.seconds for one in ones if one.seconds is not None]
        return own is not None and rate > 0 and min(times) + len(self.waiting) / rate < own

    async def _one(self, place: int, question: int) -> None:
        """Ask one question at one endpoint."""
        endpoint, sent = self.endpoints[place], time.monotonic()
        full = endpoint.under_way >= endpoint.window.size
        attempt = await self.how.ask(self.clients[place], place, self.questions[question])
        endpoint.under_way -= 1
        self.tries[question] += attempt.tries
        said = Said(attempt.answer, self.tries[question], place)
        if attempt.lost:
            endpoint.failed(sent, attempt)
            self.failed_at[question].append(place)
        else:
            endpoint.answered(time.monotonic() - sent, full=full)
        if attempt.lost and self._may_be_asked_again(question):
            self.lost[question] = said
            self.waiting.appendleft(question)
        else:
            self._answer(question, said)

    def _may_be_asked_again(self, question: int) -> bool:
        """Requests without a connection do not count as tries, but are limited, too."""
        requests, most = len(self.failed_at[question]), self.how.most_tries
        return self.tries[question] < most and requests < most + len(self.endpoints)

    def _answer(self, question: int, said: Said[Answer]) -> None:
        self.left -= 1
        self.say(question, said)

    def _give_up(self) -> None:
        """No endpoint is left: each open question gets its last error, or the reason why nobody was asked."""
        while self.waiting:
            question = self.waiting.popleft()
            self._answer(question, self.lost.get(question) or Said(self.how.nobody(), 0, None))

    def _look_for_returns(self) -> None:
        """Start to look for each endpoint that is out, once in a batch and after each time that it went out."""
        for place, one in enumerate(self.endpoints):
            may_return = one.out and not one.retired and one.returns < MOST_RETURNS
            if may_return and place not in self.returning and one.failed_at != self.looked.get(place):
                self.looked[place] = one.failed_at
                self.returning.add(place)
                self._start(self._return(place))

    async def _return(self, place: int) -> None:
        endpoint = self.endpoints[place]
        try:
            for pause in RETURNS_S:
                await asyncio.sleep(pause)
                admitted = await self._admitted(place)
                if admitted is not None:
                    endpoint.out, endpoint.retired, endpoint.refusals = not admitted, not admitted, 0
                    endpoint.returns += admitted
                    return
        finally:
            self.returning.discard(place)

    async def _admitted(self, place: int) -> bool | None:
        """Whether an endpoint is as it was before. The look goes on when this batch ends: the next one waits for it."""
        endpoint = self.endpoints[place]
        if endpoint.look is None:
            endpoint.look = _in_thread(self.how.admits, place)
        try:
            return await asyncio.wrap_future(endpoint.look)
        finally:
            if endpoint.look.done():
                endpoint.look = None

    def _start(self, work: Awaitable[None]) -> None:
        async def watched() -> None:
            try:
                await work
            except Exception as error:
                self.error = self.error or error
            self.changed.set()

        task = asyncio.ensure_future(watched())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


def _in_thread(admits: Callable[[int], Awaitable[bool | None]], place: int) -> Future[bool | None]:
    """Look at an endpoint in an event loop of its own, in a thread that ends with the process."""
    future: Future[bool | None] = Future()
    future.set_running_or_notify_cancel()  # who no longer waits for it does not cancel it

    async def look() -> bool | None:
        return await admits(place)

    def work() -> None:
        try:
            future.set_result(asyncio.run(look()))
        except Exception as error:
            future.set_exception(error)

    Thread(target=work, name="return", daemon=True).start()
    return future
