"""Answers per second of two servers against one, and with one that is slow; the stand-ins take a fixed time an answer.

Each runs in its own process, as servers do. A gate asks the cases block by block; so does this.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

from tests.support.pool_servers import PoolServer
from tunegate.cases.case import Case
from tunegate.models.model import GenerationSettings
from tunegate.models.open_model import open_model

CASES = 400
SECONDS = 0.5
ROWS: tuple[tuple[str, Sequence[float], int], ...] = (
    ("one", [SECONDS], 8),
    ("two", [SECONDS] * 2, 8),
    ("three", [SECONDS] * 3, 8),
    ("two and one five times slower", [SECONDS, SECONDS, 5 * SECONDS], 8),
    ("two, --concurrency 32", [SECONDS] * 2, 32),
)


def serve(seconds: float, ready: Connection) -> None:
    server = PoolServer(seconds=seconds)
    server.start()
    ready.send(server.url)
    ready.recv()


@contextmanager
def processes(seconds: Sequence[float]) -> Generator[list[str]]:
    """Yields the addresses of servers that take so many seconds for an answer."""
    context, started = multiprocessing.get_context("spawn"), []
    for one in seconds:
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(one, there), daemon=True)
        process.start()
        started.append((process, here))
    try:
        yield [here.recv() for _, here in started]
    finally:
        for process, _ in started:
            process.terminate()


def main() -> None:
    cases = [Case(f"c{number}", f"question {number}") for number in range(CASES)]
    first = 0.0
    print(f"{CASES} cases, {SECONDS:g} s an answer; ratios to one server in this run")
    for name, seconds, concurrency in ROWS:
        with processes(seconds) as urls:
            model = open_model(",".join(urls), asking={"concurrency": concurrency})
            started, by = time.perf_counter(), Counter[str]()
            for start in range(0, CASES, model.block_size):
                for _, response in model.generate(cases[start : start + model.block_size], GenerationSettings()):
                    assert response.error is None, response.error
                    by[response.by] += 1
            took = time.perf_counter() - started
        assert by.total() == CASES
        rate = CASES / took
        first = first or rate
        shares = ", ".join(str(by[url]) for url in urls) if len(urls) > 1 else str(CASES)
        print(f"{name:32} {rate:7.1f} answers/s   {rate / first:5.2f} x   answered {shares}", flush=True)


if __name__ == "__main__":
    main()
