"""The code blocks of docs/python.md, and the check of docs/contributing.md, run as they are, each in its own folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tunegate
from tests.support.places import ROOT

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.M | re.S)


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == 2
    assert PAGE.count("```py\n") == 1  # the one that trains, in test_face_training


CONTRIBUTING = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
OWN_CHECK = re.findall(r"^```python\n(import tunegate\n.*?)^```", CONTRIBUTING, flags=re.M | re.S)


@pytest.mark.parametrize("block", [*BLOCKS, *OWN_CHECK], ids=["function", "check", "contributing"])
def test_a_block_runs_as_a_script(block: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(block, encoding="utf-8")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = re.findall(r"# ([A-Z]+ \d+ of \d+)", block)
    assert all(line in done.stdout for line in said)


def test_the_page_names_every_name() -> None:
    shown = {name for name in tunegate.__all__ if re.search(rf"\b{name}\b", PAGE)}
    assert set(tunegate.__all__) - shown <= {"gate", "Model", "Outcome", "Sample", "Verdict", "GateResult"}
