"""Reading a record from its folder, checked whole, and reading things out of it that may have been forged."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tunegate.exceptions import Tampered, from_outside
from tunegate.record.fold import folded
from tunegate.record.record import RunRecord


def read_run(folder: Path) -> RunRecord:
    """The record that a run folder holds; raises Tampered where it was changed, or holds what no run writes."""
    return folded(folder).record


@contextmanager
def reading(place: object) -> Generator[None]:
    """What is read out of a record within: where the record does not hold what it must, Tampered is raised.

    The hashes of a record may have been made anew around values that nothing here has written.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if from_outside(error) is not None:
            raise
        raise Tampered(f"{place}: the record does not hold what it must: {error!r:.200}") from error
