"""Several servers as one model: nothing is lost and nothing is asked twice, whatever becomes of a server."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.pool_servers import PoolServer, pool_servers, spec_of
from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.models.model import Fault, GenerationSettings, Response
from tunegate.models.open_model import open_model

pytest.importorskip("openai")

SETTINGS = GenerationSettings(max_new_tokens=7)


def cases_of(n: int) -> list[Case]:
    return [Case(f"c{number}", f"question {number}") for number in range(n)]


def answers(model: Any, cases: Sequence[Case]) -> list[Response]:
    """The answers in the order of the cases, asked block by block as the runner does."""
    found: dict[int, Response] = {}
    for start in range(0, len(cases), model.block_size):
        for index, response in model.generate(cases[start : start + model.block_size], SETTINGS):
            assert start + index not in found
            found[start + index] = response
    return [found[index] for index in range(len(cases))]


def completed(servers: Sequence[PoolServer]) -> Counter[str]:
    return sum((one.completed for one in servers), Counter[str]())


def test_the_cases_of_a_killed_server_go_to_the_others_and_none_is_lost_or_asked_twice():
    """1,000 cases; of three servers one is killed in the middle and one is slow."""
    dying, slow, fast = PoolServer(seconds=0.005), PoolServer(seconds=0.2), PoolServer(seconds=0.005)
    dying.before = lambda question, number: dying.kill() if number == 100 else None
    cases = cases_of(1000)
    with pool_servers(dying, slow, fast) as servers:
        found = answers(open_model(spec_of(servers)), cases)
    assert [response.text for response in found] == [f"re: {case.prompt}" for case in cases]
    assert all(response.error is None for response in found)
    whole = completed(servers)
    assert set(whole) == {case.prompt for case in cases}
    assert max(whole.values()) == 1
    by = Counter(response.by for response in found)
    assert {name: by[name] for name in by} == {one.url: len(one.completed) for one in servers}
    assert min(by.values()) > 0
    assert by[slow.url] < by[fast.url] / 4
    again = [response for response in found if response.tries > 1]
    assert 0 < len(again) <= 9  # those that were under way at the server that was killed
    assert all(response.by != dying.url for response in again)


def test_two_servers_have_twice_as_many_requests_under_way_as_one():
    """The short form of `python -m tests.bench servers`: nothing is timed."""
    both = threading.Barrier(16)
    waits = lambda question, number: both.wait(60) if number < 8 else None  # noqa: E731
    with pool_servers(PoolServer(before=waits), PoolServer(before=waits)) as servers:
        found = answers(open_model(spec_of(servers)), cases_of(64))
    assert [one.most_at_once for one in servers] == [8, 8]
    assert not any(response.error for response in found)
