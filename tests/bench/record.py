"""How often the record of a run is read again while it is written, and what the engine itself costs, without a model.

One pipeline of two stages and five draws, answered by a script, with 5, 100 and 1,000 cases a draw. Counted are the
bytes of `events.jsonl` that were read, each opening of the file as the whole of it as it then was (a copy into the
registry too); and each line is parsed once as it is written. Goal: 3 logs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

DRAWS = (5, 100, 1000)
EVENTS = "events.jsonl"


class Reads:
    """The bytes of records that were opened to be read; an audit hook cannot be taken off again, so it is one."""

    bytes = 0

    @classmethod
    def note(cls, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and str(arguments[0]).endswith(EVENTS) and str(arguments[1]).startswith("r"):
            cls.bytes += Path(str(arguments[0])).stat().st_size


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))  # where the tests find their helpers
    sys.addaudithook(Reads.note)
    for draw in DRAWS:
        with tempfile.TemporaryDirectory() as folder:
            _measure(Path(folder) / "project", draw)


def _measure(folder: Path, draw: int) -> None:
    from tests.support import fake_pipeline

    text = fake_pipeline.PIPELINE.replace("draw: 5, accept: 4", f"draw: {draw}, accept: {draw * 4 // 5}")
    path = fake_pipeline.write_pipeline(folder, text, bank=4 * draw)
    Reads.bytes, started = 0, time.process_time()
    run = fake_pipeline.carry_out(path)
    seconds = time.process_time() - started
    size = (run.folder / EVENTS).stat().st_size
    print(
        f"{draw:5,} cases a draw: {run.verdict}, log {size / 1e6:.2f} MB, read {Reads.bytes / 1e6:.2f} MB "
        f"({Reads.bytes / size:.1f} logs), {seconds:.2f} s of processor time"
    )
