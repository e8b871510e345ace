"""A folder with a suite of 40 cases, and the stub backend on the path of this process and of those that it starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.stub_backend import install

SUITE = "cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 40, accept: 36}\ngenerate: {max_new_tokens: 8}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    site = install(tmp_path / "site")
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    others = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *([others] if others else [])]))
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"c{n:02d}", "prompt": f"Question {n}?" * (1 + n % 3)} for n in range(40)]
    write_jsonl(Path("cases.jsonl"), [{**row, "reference": f"answer {row['id']}"} for row in rows])
    Path("suite.yaml").write_text(SUITE)
    return tmp_path
