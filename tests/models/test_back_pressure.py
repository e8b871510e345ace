"""How many requests at once a server is found to take, with a simulated server instead of time."""

from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from tunegate.models.back_pressure import BEGIN, Window


def simulate(window: Window, capacity: int, answers: int, seconds: float = 1.0) -> list[int]:
    """The window after each answer of a server that computes `capacity` requests at once, each in `seconds`."""
    now, sizes = 0.0, list[int]()
    free = [0.0] * capacity  # when each place of the server is free
    under_way: list[tuple[float, float]] = []
    while len(sizes) < answers:
        while len(under_way) < window.size:
            ends = max(now, heapq.heappop(free)) + seconds
            heapq.heappush(free, ends)
            heapq.heappush(under_way, (ends, now))
        full = len(under_way) >= window.size
        now, sent = heapq.heappop(under_way)
        window.answered(now - sent, full=full)
        sizes.append(window.size)
    return sizes


@given(st.integers(1, 100), st.integers(1, 60))
def test_a_window_stays_within_its_bound(most: int, capacity: int) -> None:
    sizes = simulate(Window(most), capacity, 400)
    assert min(sizes) >= 1
    assert max(sizes) <= most


def test_a_server_that_takes_more_is_sent_more():
    assert simulate(Window(64), 64, 2000)[-1] == 64


def test_a_server_that_is_full_is_not_sent_more_for_long():
    """It answers as many per second, however many wait: a longer queue helps nobody."""
    sizes = simulate(Window(256), 16, 4000)[2000:]
    assert sorted(sizes)[len(sizes) // 2] <= 24
    assert min(sizes) >= 12


def test_the_window_is_halved_for_each_refusal_and_grows_again():
    window = Window(32)
    simulate(window, 32, 1000)
    sizes = [window.size]
    for _ in range(7):
        window.refused()
        sizes.append(window.size)
    assert sizes == [32, 16, 8, 4, 2, 1, 1, 1]
    assert simulate(window, 32, 20_000)[-1] == 32


@given(st.integers(1, BEGIN))
def test_nothing_is_tried_beyond_what_the_user_allows(most: int) -> None:
    assert simulate(Window(most), 64, 100)[-1] == most


def test_answers_while_few_cases_are_left_tell_no_rate():
    window = Window(64)
    for second in range(200):
        window.answered(1.0, full=second % 16 < 15)
    assert window.size == BEGIN
