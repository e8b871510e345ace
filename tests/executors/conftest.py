"""A folder with a suite of 40 cases, and the stub backend on the path of this process and of those that it starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.judge_files import write_cases
from tests.support.ray_cluster import Nodes
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
    write_cases()
    Path("suite.yaml").write_text(SUITE)
    return tmp_path


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    ray = pytest.importorskip("ray")
    site = install(tmp_path_factory.mktemp("for-ray") / "site")
    before = os.environ.get("PYTHONPATH")
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(site)}  # what nodes start from
    sys.path.insert(0, str(site))
    found = Nodes(site)
    yield found
    ray.shutdown()
    found.cluster.shutdown()
    sys.path.remove(str(site))
    del os.environ["PYTHONPATH"]
    if before is not None:
        os.environ["PYTHONPATH"] = before
