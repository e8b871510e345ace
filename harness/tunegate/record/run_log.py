"""The log of a run under way: an appended event is on disk and in `RunLog.record` at once.

The whole file is read and checked when it is opened, and again before a PASS is written; in between, the record is
folded from the events that were written.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.exceptions import (
    CannotJudge,
    TunegateError,
    is_out_of_memory,
    message_of,
    without_addresses,
)
from tunegate.record.event import Event
from tunegate.record.event_log import EventLog
from tunegate.record.fold import Fold, folded
from tunegate.record.gate_events import GateDecided, OfGate
from tunegate.record.record import RunRecord
from tunegate.record.run_events import FaultMet, RunDecided


class RunLog:
    """The open, locked log of a run folder. Appending is durable: the line is on disk when `append` returns."""

    def __init__(self, lines: EventLog, fold: Fold) -> None:
        self.folder = lines.folder
        self._lines = lines
        self._fold = fold

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open or create the log; refuses a folder that another process is writing to (ConfigError), and a record
        that is not valid (Tampered)."""
        lines = EventLog.open(folder)
        try:
            return cls(lines, folded(folder))
        except BaseException:
            lines.close()
            raise

    @property
    def record(self) -> RunRecord:
        """The current record; raises unless the open file is still the file at this path."""
        self._lines.check_in_place()
        return self._fold.record

    def judged(self, of: OfGate) -> Mapping[str, Outcome]:
        """The outcomes of a draw so far, by the id of their case."""
        return self._fold.judged(of)

    def check_whole(self) -> None:
        """Read the whole file again; raises Tampered when it differs from the record that was written."""
        self._lines.check_whole()

    def append(self, *events: Event, durable: bool = True) -> None:
        """Write events; a `durable` event is on disk when this returns, others a fraction of a second later.

        Nothing passes on a record that was changed on disk meanwhile: before a PASS the file is read again.
        """
        for event in events:
            if _passes(event):
                self.check_whole()
            for written in self._lines.append(event.to_json(), durable=durable):
                self._fold.take(written)

    @contextmanager
    def faults_on_record(self) -> Generator[None]:
        """Record any error that ends the work inside, then raise it; faults of disk or memory become CannotJudge.

        What ends the process at once is not recorded: the record then simply stops.
        """
        try:
            yield
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            reason = _described(error)
            self.append(FaultMet(reason=reason))
            if isinstance(error, OSError) or is_out_of_memory(error):
                raise CannotJudge(reason) from error
            raise

    def check_in_place(self) -> None:
        """Raise unless the open file is still the file at this path, with the length that was written."""
        self._lines.check_in_place()

    def close(self) -> None:
        self._lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _passes(event: Event) -> bool:
    """Whether an event is the PASS of a run or of a gate run alone; the gates within a run pass with the run."""
    match event:
        case RunDecided(verdict=Verdict.PASS):
            return True
        case GateDecided(verdict=Verdict.PASS, stage=None, purpose="gate" | "confirm" | "retention"):
            return True
        case _:
            return False


def _described(error: BaseException) -> str:
    message = without_addresses(" ".join(message_of(error).split()))
    match error:
        case TunegateError():
            return str(error)
        case KeyboardInterrupt():
            return "interrupted"
        case MemoryError():
            return f"out of memory: {message}" if message else "out of memory"
        case OSError(strerror=str(why), filename=str(place)):
            return f"{place}: {why}"
        case _:
            return f"{type(error).__name__}: {message}"
