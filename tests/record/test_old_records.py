"""Records and a registry that version 0.1 wrote, before its events had types: they open, report and verify as they did.

`projects.tar.gz` was made at commit 6392887: a run with everything in it (`fake_story`), a run that learnt from its own
answers, and a lone gate of three answers a case, some of which were asked for twice.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.support.places import FILES
from tunegate.cli import main

PROJECTS = FILES / "record-0.1" / "projects.tar.gz"
PROMOTED = "7d432567f0bc2a34806def01d0759dc8251dfb515758ce48ba193100e8438d25"
GATES = """\
base            general (baseline)   74/100  measured  0 s
sft    1        (training)                             0 s
sft    1        facts                22/33   FAIL      0 s
sft    1        tone                 22/33   FAIL      0 s
sft    2        (training)                             0 s
sft    2        facts                93/100  PASS      0 s
sft    2        tone                 62/73   FAIL      0 s
sft    2        general (retention)  72/100  PASS      0 s
sft    2        facts (confirm)      95/100  PASS      0 s
align  1        (training)                             0 s
align  1        facts                95/100  PASS      0 s
align  1        general (retention)  73/100  PASS      0 s
align  1        facts (retention)    93/100  PASS      0 s
align  1        tone (retention)     63/73   PASS      0 s
"""


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    with tarfile.open(PROJECTS) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """The exit code of a command, and all that it printed."""
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_a_run_is_reported_and_decided_again(projects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "report", projects / "story" / "run", "--recheck")
    assert code == 0
    assert GATES in text
    assert "PASS: passed, but waived: sft tone" in text
    assert "rechecked: the outcomes on record give the recorded verdicts for all 11 gates" in text
    page = (projects / "story" / "run" / "report.html").read_text()
    assert "ticket 412" in page


def test_a_promotion_is_verified(projects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry, model = projects / "story" / "registry", projects / "story" / "run" / "align" / "attempt-1" / "model"
    code, text = said(capsys, "verify", model, "--registry", registry, "--allow-waived")
    assert code == 0
    assert f"promoted: {PROMOTED}" in text
    assert "  align#1 facts: 95 of 100" in text
    assert "aliases of these bytes: production" in text


def test_a_run_that_learnt_from_its_own_answers_is_read(projects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "report", projects / "own" / "run", "--recheck", "--json")
    assert code == 0
    run, _ = json.JSONDecoder().raw_decode(text)
    assert (run["verdict"], len(run["gates"])) == ("PASS", 1)


def test_a_lone_gate_says_what_was_asked_again(projects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "report", projects / "gate" / "run", "--recheck")
    assert code == 0
    assert "rechecked: the outcomes on record give the recorded verdict for the one gate" in text
    assert "13 answers were asked for twice" in (projects / "gate" / "run" / "report.html").read_text()
