"""Row numbers of the user's files.

A trainer counts the lines of the file that the run wrote: shuffled, repaired, with general data mixed in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunegate.data.faults import counted, ranges
from tunegate.data.training_data import Example
from tunegate.pipeline.pipeline import Stage


def as_in_the_files(summary: Mapping[str, Any], examples: Sequence[Example]) -> dict[str, Any]:
    """A training's summary with `dropped_rows` as row numbers of the stage's data, and `dropped_replay_rows` as those
    of its general data; `examples` are the lines of the file that the training read."""
    lines: Sequence[int] = summary.get("dropped_rows") or ()
    dropped = [examples[line - 1] for line in lines]
    general = _numbers(example for example in dropped if example.general)
    return {
        **summary,
        **({"dropped_rows": _numbers(one for one in dropped if not one.general)} if "dropped_rows" in summary else {}),
        **({"dropped_replay_rows": general} if general else {}),
    }


def in_error(error: str, data: str, examples: Sequence[Example], stage: Stage) -> str:
    """A training's error with the line number in `data` replaced by the user's file and row."""

    def place(found: re.Match[str]) -> str:
        line = int(found[1])
        if not 0 < line <= len(examples):
            return found[0]
        file = stage.replay if examples[line - 1].general and stage.replay is not None else stage.data
        return f"{file.path}:{examples[line - 1].number}"

    return re.sub(rf"{re.escape(data)}:(\d+)", place, error)


def left_out(summary: Mapping[str, Any], stage: Stage) -> str:
    """A sentence about the rows that were too long; empty if there were none.

    `2 rows of pairs.jsonl left out (longer than max_length 100): rows 3, 6`
    """
    why = f"longer than {_limit(summary)}"
    files = {"dropped_rows": stage.data, "dropped_replay_rows": stage.replay}
    return "; ".join(
        f"{counted(len(rows), 'row')} of {data.path.name} left out ({why}): rows {ranges(rows)}"
        for key, data in files.items()
        if data is not None and (rows := summary.get(key))
    )


def _limit(summary: Mapping[str, Any]) -> str:
    """The limit that the rows exceed: `max_length 100`."""
    name, tokens = summary.get("row_limit") or ("max_length", None)
    return name if tokens is None else f"{name} {tokens}"


def _numbers(examples: Iterable[Example]) -> list[int]:
    return sorted({example.number for example in examples})
