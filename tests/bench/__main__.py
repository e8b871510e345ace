"""`make bench`: speed and memory as ratios or whole-process figures within one run; nothing here passes or fails."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

BENCHES = ("startup", "stored_answers", "record", "hostile", "leakage", "leak_labels", "report", "generation")


def main() -> None:
    known = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (default: {' '.join(BENCHES)})"
    )
    names = parser.parse_args().names or BENCHES
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"no bench is named {', '.join(unknown)}; there are {', '.join(known)}")
    for name in names:
        print(f"--- {name}", flush=True)
        importlib.import_module(f"tests.bench.{name}").main()


if __name__ == "__main__":
    main()
