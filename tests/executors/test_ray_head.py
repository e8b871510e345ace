"""The head of a Ray cluster dies: Ray would end the command after a minute with exit code 1, as a failed gate does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.ray_cluster import Nodes
from tests.support.stub_backend import asked, write_stub

pytest.importorskip("ray")


def without_head(project: Path, monkeypatch: pytest.MonkeyPatch, nodes_end_after_s: int) -> tuple[int, Any]:
    """The exit code and the JSON of a gate of 80 s whose cluster loses its head after a few seconds."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", str(nodes_end_after_s))
    nodes = Nodes(project)
    monkeypatch.delenv("RAY_gcs_rpc_server_reconnect_timeout_s")
    stub = write_stub(project / "stub", delay_s=4, block_size=1)
    command = [sys.executable, "-c", "from tunegate.cli import console_main; console_main()", "gate", stub]
    command += ["--suite", "suite.yaml", "--executor", f"ray:{nodes.cluster.address}", "--json"]
    env = os.environ | {"TUNEGATE_TRUST": str(project)}
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as gate:
            until = time.monotonic() + 120
            while len(asked(project / "stub")) < 3 and time.monotonic() < until:
                time.sleep(0.1)
            nodes.cluster.remove_node(nodes.cluster.head_node, allow_graceful=False)
            printed, _ = gate.communicate(timeout=200)
    finally:
        nodes.cluster.shutdown()
    return gate.returncode, json.loads(printed)


@pytest.mark.slow
def test_the_nodes_end_too_and_the_gate_is_invalid(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exit_code, printed = without_head(project, monkeypatch, nodes_end_after_s=5)
    assert exit_code == 3
    assert "no worker is left to answer" in printed["error"]


@pytest.mark.slow
def test_the_nodes_live_on_and_the_gate_is_decided(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exit_code, printed = without_head(project, monkeypatch, nodes_end_after_s=600)
    assert (exit_code, printed["verdict"], printed["passed"]) == (0, "PASS", 40)
