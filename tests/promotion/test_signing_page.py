"""The page on signing: every command on it is run, and what it shows is what was printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.docs_reference import DOCS
from tests.support.fake_pipeline import PIPELINE, carry_out, write_pipeline

PAGE = (DOCS / "signing.md").read_text(encoding="utf-8")
TEXT = PIPELINE.replace("name: small", "name: my-expert").replace("promote: {to: production, registry: registry}\n", "")
CHANGING = re.compile(r"[A-Za-z0-9+/]{43}=|[0-9a-f]{64}")


@pytest.mark.skipif(not shutil.which("jq") or not shutil.which("openssl"), reason="jq or openssl is not installed")
def test_the_page_runs(tmp_path: Path) -> None:
    """The commands of a block begin in the project; the hashes and the key are others each time."""
    carry_out(write_pipeline(tmp_path, TEXT), run="runs/my-expert")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    blocks = re.findall(r"```(\w*)\n(.*?)```(?:\n\n```\n(.*?)```)?", PAGE, re.S)
    run = [(kind, block, shown) for kind, block, shown in blocks if kind in ("sh", "python")]
    assert len(run) >= 9
    for kind, block, shown in run:
        words = ["bash", "-ec", block] if kind == "sh" else [sys.executable, "-c", block]
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), block
        printed = CHANGING.sub("…", done.stdout).splitlines()
        assert shown
        for line in CHANGING.sub("…", shown).splitlines():
            assert line in printed, block
    left = subprocess.run(["tunegate", "verify", "production"], cwd=tmp_path, env=environment, capture_output=True)
    assert left.returncode == 0  # no command left a file in the registry


def test_the_program_for_node_is_that_of_the_tests() -> None:
    """What the page leaves out is how the test names files and refuses: each call is there."""
    program = (Path(__file__).parents[1] / "interop" / "verify.mjs").read_text()
    for part in ("bundleFromJSON(JSON.parse(readFileSync(", "certificateAuthorities: []", "tlogThreshold: 0"):
        assert part in PAGE
        assert part in program
