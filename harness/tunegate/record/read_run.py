"""Reading and checking a whole record from its folder, and reading values out of it that may be forged."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tunegate.exceptions import Tampered, from_outside
from tunegate.record.fold import folded
from tunegate.record.record import RunRecord


def read_run(folder: Path) -> RunRecord:
    """The record in a run folder; raises Tampered if it was changed or no run could have written it."""
    return folded(folder).record


@contextmanager
def reading(place: object) -> Generator[None]:
    """Turn errors while values are read out of a record into Tampered.

    The hashes of a record may have been recomputed around values that Tunegate did not write.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if from_outside(error) is not None:
            raise
        raise Tampered(f"{place}: the record is not valid: {error!r:.200}") from error
