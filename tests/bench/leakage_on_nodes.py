"""`tunegate leakage --executor ray`: two nodes of a cluster on this machine, with one core each, against one node.

    python -m tests.bench leakage_on_nodes --rows 100000

Beside them, one process and two processes. The output must be the same. The processor time is that of the command
itself, with processes that it starts, but without Ray's nodes: with `ray` it is what the main process must do.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench.executor import cluster
from tests.bench.leakage import COMMAND, ROWS, write_free_texts
from tests.bench.processes import measure


def main(rows: int = ROWS) -> None:
    with tempfile.TemporaryDirectory() as place, cluster() as (address, add_node):
        half, whole = Path(place, "half"), Path(place, "whole")
        for folder, count in ((half, rows // 2), (whole, rows)):
            folder.mkdir()
            write_free_texts(folder, count)
        tell("one process", rows, half, whole, "processes:1")
        tell("two processes", rows, half, whole, "processes:2")
        tell("one node of Ray", rows, half, whole, f"ray:{address}")
        add_node()
        tell("two nodes of Ray", rows, half, whole, f"ray:{address}")
        outputs = {found.read_bytes() for found in whole.glob("*.json")}
        print(f"the outputs are the same: {len(outputs) == 1}", flush=True)


def tell(label: str, rows: int, half: Path, whole: Path, executor: str) -> None:
    command = [*COMMAND, "train.jsonl", "--executor", executor]
    short, long = (measure(command, str(folder), folder / f"{label}.json") for folder in (half, whole))
    further = rows - rows // 2
    print(f"{rows:,} rows, {label}: {long.seconds:.1f} s, a further row {per(long.seconds - short.seconds, further)}")
    print(
        f"  the command itself: {long.cpu_seconds:.1f} s of a processor, a further row "
        f"{per(long.cpu_seconds - short.cpu_seconds, further)}",
        flush=True,
    )


def per(seconds: float, rows: int) -> str:
    return f"{1e6 * seconds / rows:.0f} µs"


if __name__ == "__main__":
    main()
