"""`tunegate data`: the card of many rows, on 2 cores.

Goals: 1,000,000 rows (`python -m tests.bench data_card --rows 1000000`) under 180 s and 2 GB, near linear.

Rows have a prompt of 20 to 120 words and an answer of 30; one in ten has one of 780 one-word answers, so that the card
names the most common ones, and one in a hundred repeats the row before it.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

from tests.bench.leakage import CODE, WORDS, free_text
from tests.bench.processes import Cost, measure

ROWS, REPEATED = 100_000, 100


def main(rows: int = ROWS) -> None:
    half, whole = _cost(rows // 2), _cost(rows)
    more = rows - rows // 2
    print(f"{rows:,} rows: {whole.seconds:.1f} s ({whole.cpu_seconds:.1f} s of the processors),")
    print(f"  {whole.peak_mib:.0f} MiB in the largest process, {whole.tree_mib:.0f} MiB in all;")
    print(f"  {1e6 * (whole.cpu_seconds - half.cpu_seconds) / more:.0f} µs of a processor and", end=" ")
    print(f"{2**20 * (whole.peak_mib - half.peak_mib) / more:.0f} bytes per row;")
    print(f"  {whole.cpu_seconds / half.cpu_seconds:.2f} times the seconds of half as many rows", flush=True)


def _cost(rows: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        train, card = Path(folder) / "train.jsonl", Path(folder) / "card.json"
        _write(train, rows)
        cost = measure([sys.executable, "-c", CODE, "data", train.name, "--json"], folder, card)
        found = json.loads(card.read_text())
        if (found["trained"], found["repeated"]["exact"]) != (rows, rows // REPEATED):
            raise SystemExit(f"{rows:,} rows, {rows // REPEATED:,} of them repeated: the card says otherwise")
        return cost


def _write(file: Path, rows: int) -> None:
    rng = random.Random(1)
    line = ""
    with file.open("w") as out:
        for number in range(1, rows + 1):
            if number % REPEATED:
                answer = " ".join(rng.choices(WORDS, k=30 if number % 10 else 1))
                line = json.dumps({"prompt": f"{free_text(rng)} {number}", "completion": answer}) + "\n"
            out.write(line)


if __name__ == "__main__":
    main()
