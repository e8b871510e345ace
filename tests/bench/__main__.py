"""`make bench`: speed and memory as ratios or whole-process figures within one run; nothing here passes or fails."""

from __future__ import annotations

import importlib
import sys

BENCHES = ("startup", "stored_answers", "leakage", "leak_labels", "report", "generation")


def main() -> None:
    for name in sys.argv[1:] or BENCHES:
        print(f"--- {name}", flush=True)
        importlib.import_module(f"tests.bench.{name}").main()


if __name__ == "__main__":
    main()
