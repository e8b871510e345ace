"""Progress: a bar where someone watches, a line now and then in a log, and nothing for what is done at once."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import termios
import time
from dataclasses import dataclass

import pytest

from tunegate.progress import Bar, is_drawn_on, rate_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass
class Clock:
    """Stands still until it is told."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def lines_of(seconds: list[float], total: int | None = None, begun_with: int = 0) -> list[str]:
    """What a log shows of a gate of which one case is judged after each of these times."""
    log, clock = io.StringIO(), Clock()
    total = begun_with + len(seconds) if total is None else total
    with Bar(log, clock) as bar:
        bar.update("facts", begun_with, total)
        for done, waited in enumerate(seconds, start=begun_with + 1):
            clock.now += waited
            bar.update("facts", done, total)
    return log.getvalue().splitlines()


@pytest.mark.parametrize(("rows", "columns", "drawn"), [(40, 110, True), (0, 110, False), (0, 0, False)])
def test_a_terminal_of_no_size_is_a_log(rows: int, columns: int, drawn: bool) -> None:
    """As `script` and some containers give them out: on 0 rows tqdm draws nothing, for minutes."""
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    with os.fdopen(leader), os.fdopen(follower, "w") as terminal:
        assert is_drawn_on(terminal) is drawn
    assert not is_drawn_on(io.StringIO())
    assert is_drawn_on(Terminal())


def test_a_gate_of_stored_answers_logs_nothing() -> None:
    assert lines_of([0.001] * 100) == []
    assert lines_of([0.09] * 100) == []


def test_a_log_tells_cases_rate_and_time_left() -> None:
    lines = lines_of([2.0] * 12, total=100)
    assert lines == [
        "facts: 5 of 100 cases, 0.5 a second, about 3 min 10 s left",
        "facts: 10 of 100 cases, 0.5 a second, about 3 min 0 s left",
    ]
    assert "%" not in "".join(lines), "how far a gate has come is no pass rate"


def test_a_log_names_what_is_counted() -> None:
    """Not everything that is counted is a case: an explanation counts passes, a data card counts rows."""
    log, clock = io.StringIO(), Clock()
    with Bar(log, clock) as bar:
        for done in (0, 40):
            bar.update("explaining q1", done, 321, "passes")
            clock.now += 20.0
    assert log.getvalue().splitlines() == ["explaining q1: 40 of 321 passes, 2 a second, about 2 min 20 s left"]


@pytest.mark.parametrize("of", ["passes", "rows"])
def test_it_says_what_it_counts(of: str) -> None:
    log, clock, terminal = io.StringIO(), Clock(), Terminal()
    for bar in (Bar(log, clock), Bar(terminal, clock)):
        for done in range(4):
            bar.update("explaining q7", done, 100, of)
            clock.now += 11.0
            time.sleep(0.11)  # tqdm draws no more often
    assert log.getvalue().splitlines()[0] == f"explaining q7: 1 of 100 {of}"
    assert f" {of}/s" in terminal.getvalue() or f"s/ {of}" in terminal.getvalue()
    assert "case" not in log.getvalue() + terminal.getvalue()


def test_the_rate_is_that_of_this_process() -> None:
    lines = lines_of([5.0, 5.0], total=100, begun_with=60)
    assert lines == ["facts: 62 of 100 cases, 0.2 a second, about 3 min 10 s left"]


def test_one_case_tells_no_rate() -> None:
    """The first may have waited for weights to load, or for a batch: it says nothing of the ninety-nine that follow."""
    assert lines_of([42.0], total=100) == ["facts: 1 of 100 cases"]
    assert lines_of([42.0, 10.0], total=100)[1] == "facts: 2 of 100 cases, 0.038 a second, about 42 min 28 s left"
    assert lines_of([42.0], total=100, begun_with=60) == ["facts: 61 of 100 cases"]


def test_a_rate_is_known_from_two_pieces_and_three_seconds_on() -> None:
    assert rate_of(1, 42.0) is None
    assert rate_of(50, 2.9) is None
    assert rate_of(2, 4.0) == 0.5


def test_an_hour_costs_few_lines() -> None:
    lines = lines_of([1.0] * 3600)
    assert len(lines) == 6 + 59 - 1
    assert lines[-1].startswith("facts: 35")


def test_many_cases_at_once_are_one_line() -> None:
    """A batch is judged in no time after a long silence; its cases must not each print a line."""
    assert len(lines_of([30.0, *[0.0] * 31, 30.0, *[0.0] * 31], total=100)) == 2


def test_each_gate_begins_anew() -> None:
    log, clock = io.StringIO(), Clock()
    with Bar(log, clock) as bar:
        for gate in ("facts", "quality", "quality"):
            for done in range(3):
                bar.update(gate, done, 2)
                clock.now += 9.0
    assert log.getvalue() == ""


def test_what_is_said_stands_in_the_log() -> None:
    log = io.StringIO()
    Bar(log).say("sft#1: training on 80 rows\x1b[2K")
    assert log.getvalue() == "sft#1: training on 80 rows\\x1b[2K\n"


def test_a_terminal_shows_a_bar_that_goes() -> None:
    terminal = Terminal()
    with Bar(terminal) as bar:
        for done in range(11):
            bar.update("facts", done, 10)
    assert "facts: |" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")
    assert "\n" not in terminal.getvalue()


def test_a_bar_tells_the_time_left_once_it_is_known() -> None:
    terminal, clock = Terminal(), Clock()
    drawn: list[str] = []
    with Bar(terminal, clock) as bar:
        for done in range(4):
            bar.update("facts", done, 100)
            clock.now += 2.0
            drawn.append(terminal.getvalue().rpartition("\r")[2])
            time.sleep(0.11)  # tqdm draws no more often
    assert [("left" in line, line.count(f"{n} of 100")) for n, line in enumerate(drawn)] == [
        (False, 1),
        (False, 1),
        (True, 1),
        (True, 1),
    ]
