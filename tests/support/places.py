"""Where this checkout is, and the files that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
FILES = TESTS / "files"
