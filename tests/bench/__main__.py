"""`make bench`: speed and memory as ratios or whole-process figures within one run; nothing here passes or fails."""

from __future__ import annotations

import argparse
import importlib
from inspect import signature
from pathlib import Path

BENCHES = (
    "startup", "stored_answers", "record", "hostile", "leakage", "data_card", "leak_labels", "report", "generation",
    "gate", "servers", "executor", "attempts", "training",
)  # fmt: skip


def main() -> None:
    known = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (default: {' '.join(BENCHES)})"
    )
    parser.add_argument(
        "--rows", type=int, help="how many rows, for benches that can measure any number (leakage, data_card)"
    )
    options = parser.parse_args()
    names = options.names or BENCHES
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"no bench is named {', '.join(unknown)}; there are {', '.join(known)}")
    for name in names:
        print(f"--- {name}", flush=True)
        main_of = importlib.import_module(f"tests.bench.{name}").main
        main_of(*([options.rows] if options.rows and signature(main_of).parameters else []))


if __name__ == "__main__":
    main()
