"""Asking a server: what comes back, in which order, and when a question raises."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tunegate.models.openai_client import Server, ask_all

pytest.importorskip("openai")

NOWHERE = Server("http://127.0.0.1:9/v1", concurrency=2)


def test_answers_come_when_they_are_there_and_only_so_many_are_asked_for_at_once() -> None:
    under_way: list[int] = []
    most = 0
    last = asyncio.Event()

    async def ask(client: Any, question: str) -> str:
        nonlocal most
        under_way.append(1)
        most = max(most, len(under_way))
        if question == "hard":
            await last.wait()
        if question == "last":
            last.set()
        under_way.pop()
        return f"re: {question}"

    answers = list(ask_all(NOWHERE, ["hard", "easy", "last"], ask))
    assert answers == [(1, "re: easy"), (2, "re: last"), (0, "re: hard")]
    assert most == 2


def test_what_a_question_raises_is_raised_where_the_answers_are_waited_for() -> None:
    async def ask(client: Any, question: int) -> int:
        return 1 // question

    with pytest.raises(ZeroDivisionError):
        list(ask_all(NOWHERE, [1, 0], ask))


def test_within_a_loop_that_runs_already_as_in_a_notebook() -> None:
    async def ask(client: Any, question: int) -> int:
        return question

    async def cell() -> list[tuple[int, int]]:
        return list(ask_all(NOWHERE, [7], ask))

    assert asyncio.run(cell()) == [(0, 7)]
