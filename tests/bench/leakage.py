"""`tunegate leakage`: 100,000 training rows against 1,000 cases. Goal: under 60 s on 2 cores, and under 2 GB.

Two kinds of training data: texts of 20 to 120 words, and one template of 40 words with a name and a figure filled in,
where every row shares nearly all its words with every case. A hundred cases are planted in each; all must be found.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.processes import measure

ROWS, CASES, PLANTED = 100_000, 1_000, 100
CODE = "import tunegate.cli; tunegate.cli.console_main()"
COMMAND = [sys.executable, "-c", CODE, "leakage", "train.jsonl", "--suite", "suite.yaml", "--json"]
TEMPLATE = (
    "You are a careful assistant of a hospital. Read the record of the patient named below and answer in one word "
    "whether the treatment should go on. If the record does not say, answer unknown. "
    "The patient is {name}, the last reading was {figure}. Should the treatment go on?"
)


def main() -> None:
    for label, text in (("free texts", _free_text), ("one template", _filled_template)):
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), text)
            cost = measure(COMMAND, cwd=folder)
            found = _found(folder)
        print(f"{label}: {cost.seconds:.1f} s, {cost.peak_mib:.0f} MiB, {found} of {PLANTED} planted rows found")


def _found(folder: str) -> int:
    """The planted rows that are named; any other row that is named is an error."""
    output = subprocess.run(COMMAND, cwd=folder, capture_output=True, text=True, check=False).stdout
    rows = {leak["train_row"] for leak in json.loads(output)["leaks"]}
    if any(row > PLANTED for row in rows):
        raise SystemExit(f"{len([row for row in rows if row > PLANTED])} rows are named that no one planted")
    return len(rows)


def _write(folder: Path, text: object) -> None:
    assert callable(text)
    rng = random.Random(1)
    cases = [str(text(rng)) for _ in range(CASES)]
    (folder / "suite.yaml").write_text("cases: cases.jsonl\nchecks: [exact]\n")
    with (folder / "cases.jsonl").open("w") as file:
        for number, case in enumerate(cases):
            file.write(json.dumps({"id": str(number), "prompt": case, "reference": "yes"}) + "\n")
    with (folder / "train.jsonl").open("w") as file:
        for number in range(ROWS):
            prompt = f"{cases[number]} Thanks." if number < PLANTED else text(rng)
            file.write(json.dumps({"prompt": prompt, "completion": " ".join(rng.choices(WORDS, k=30))}) + "\n")


WORDS = [
    f"{start}{middle}{end}"
    for start in "bdfgklmnprst"
    for middle in ("a", "e", "i", "o", "u")
    for end in "dfklmnprstxyz"
]


def _free_text(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(20, 120)))


def _filled_template(rng: random.Random) -> str:
    name = " ".join(rng.choices(WORDS, k=2)).title()
    return TEMPLATE.format(name=name, figure=rng.randint(0, 10**6))


if __name__ == "__main__":
    main()
