"""`tunegate leakage`: training rows against 1,000 cases, on 2 cores and under 2 GB.

Goals: 100,000 rows under 60 s; a million (`python -m tests.bench leakage --rows 1000000`) under 180 s, near linear.

Two kinds of training data: texts of 20 to 120 words, and one template of 40 words with a name and a figure filled in,
where every row shares nearly all its words with every case. A hundred cases are planted in each; all must be found.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench.processes import Cost, measure

ROWS, CASES, PLANTED = 100_000, 1_000, 100
CODE = "import tunegate.cli; tunegate.cli.console_main()"
COMMAND = [sys.executable, "-c", CODE, "leakage", "--suite", "suite.yaml", "--json"]
TEMPLATE = (
    "You are a careful assistant of a hospital. Read the record of the patient named below and answer in one word "
    "whether the treatment should go on. If the record does not say, answer unknown. "
    "The patient is {name}, the last reading was {figure}. Should the treatment go on?"
)


def main(rows: int = ROWS) -> None:
    for label, text in (("free texts", free_text), ("one template", _filled_template)):
        with tempfile.TemporaryDirectory() as folder:
            half, whole = (_cost(Path(folder), text, count) for count in (rows // 2, rows))
        print(f"{rows:,} rows, {label}: {whole.seconds:.1f} s ({whole.cpu_seconds:.1f} s of the processors), ")
        print(f"  {whole.tree_mib:.0f} MiB in all processes; {PLANTED} of {PLANTED} planted rows found, and no others")
        print(f"  {1e6 * (whole.cpu_seconds - half.cpu_seconds) / (rows - rows // 2):.0f} µs of a processor per row;")
        print(f"  {whole.cpu_seconds / half.cpu_seconds:.2f} times the seconds of half as many rows", flush=True)


def _cost(folder: Path, text: Callable[[random.Random], str], rows: int) -> Cost:
    _write(folder, text, rows)
    cost = measure([*COMMAND, "train.jsonl"], str(folder), folder / "found.json")
    _check_found(folder / "found.json")
    return cost


def _check_found(output: Path) -> None:
    """Every planted row must be named, and no other."""
    rows = {(leak["train_file"], leak["train_row"]) for leak in json.loads(output.read_text())["leaks"]}
    if rows != {("train.jsonl", row) for row in range(1, PLANTED + 1)}:
        raise SystemExit(f"{PLANTED} rows were planted; found {len(rows)}: {sorted(rows)[:5]} and so on")


def _write(folder: Path, text: Callable[[random.Random], str], rows: int) -> None:
    """Write the suite and the training rows, `train.jsonl`."""
    rng = random.Random(1)
    cases = [text(rng) for _ in range(CASES)]
    (folder / "suite.yaml").write_text("cases: cases.jsonl\nchecks: [exact]\n")
    with (folder / "cases.jsonl").open("w") as file:
        for number, case in enumerate(cases):
            file.write(json.dumps({"id": str(number), "prompt": case, "reference": "yes"}) + "\n")
    with (folder / "train.jsonl").open("w") as file:
        for number in range(rows):
            prompt = f"{cases[number]} Thanks." if number < PLANTED else text(rng)
            file.write(json.dumps({"prompt": prompt, "completion": " ".join(rng.choices(WORDS, k=30))}) + "\n")


def write_free_texts(folder: Path, rows: int) -> None:
    _write(folder, free_text, rows)


WORDS = [
    f"{start}{middle}{end}"
    for start in "bdfgklmnprst"
    for middle in ("a", "e", "i", "o", "u")
    for end in "dfklmnprstxyz"
]


def free_text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(20, 120)))


def _filled_template(rng: random.Random) -> str:
    name = " ".join(rng.choices(WORDS, k=2)).title()
    return TEMPLATE.format(name=name, figure=rng.randint(0, 10**6))


if __name__ == "__main__":
    main()
