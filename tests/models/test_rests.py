"""A server that was refused rests, and one that was gone is looked for: when each of them is asked again."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tunegate.models import shared_queue
from tunegate.models.back_pressure import Window
from tunegate.models.openai_client import Server
from tunegate.models.shared_queue import Attempt, Endpoint, How, ask_shared

pytest.importorskip("openai")


class Clock:
    """A clock whose reading number `at`, after a rest began, is at the end of the rest."""

    def __init__(self, endpoint: Endpoint, at: int) -> None:
        self.endpoint, self.at, self.ahead, self.readings = endpoint, at, 0.0, 0

    def monotonic(self) -> float:
        now = time.monotonic() + self.ahead
        if now < self.endpoint.rests_until:
            self.readings += 1
            if self.readings == self.at:
                self.ahead += self.endpoint.rests_until - now
                return self.endpoint.rests_until
        return now


@pytest.mark.parametrize("at", range(1, 6))
def test_a_rest_that_ends_between_two_looks_at_the_clock_is_noticed(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Endpoint(Server("http://127.0.0.1:1"), Window(8))
    monkeypatch.setattr(shared_queue, "time", SimpleNamespace(monotonic=Clock(endpoint, at).monotonic))
    monkeypatch.setattr(shared_queue, "FIRST_REST_S", 0.5)
    asked: list[str] = []

    async def ask(client: Any, place: int, question: str) -> Attempt[str]:
        asked.append(question)
        return Attempt("no", 1, "refused", 0.0) if len(asked) == 1 else Attempt("yes")

    async def admits(place: int) -> bool | None:
        return None

    found: list[str] = []
    how = How(ask, admits, lambda: "nobody", 4)
    thread = threading.Thread(
        target=lambda: found.extend(said.answer for _, said in ask_shared([endpoint], ["a"], how)), daemon=True
    )
    thread.start()
    thread.join(10)
    assert found == ["yes"]


def test_a_look_that_takes_longer_than_a_batch_is_waited_for_by_the_next() -> None:
    here = Endpoint(Server("http://127.0.0.1:1"), Window(1))
    gone = Endpoint(Server("http://127.0.0.1:2"), Window(1), out=True)
    looks: list[int] = []

    async def ask(client: Any, place: int, question: str) -> Attempt[str]:
        await asyncio.sleep(0.05)
        return Attempt("yes")

    async def admits(place: int) -> bool | None:
        looks.append(place)
        await asyncio.sleep(0.5)
        return True

    until = time.monotonic() + 10
    while gone.out and time.monotonic() < until:
        assert [said.answer for _, said in ask_shared([here, gone], ["a"], How(ask, admits, lambda: "nobody", 4))]
    assert looks == [1]
    assert not gone.out
