"""README.md says what is so: its tree is that of the files, its first gate runs, and its commands exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tests.support.readme_curve import SVG, draw
from tests.support.readme_tree import README, with_tree
from tunegate.cli import build_parser, main

TEXT = README.read_text(encoding="utf-8")


def test_tree_is_current() -> None:
    assert with_tree(TEXT) == TEXT, "run `make readme`"


def test_first_gate_is_short_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = next(block for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.S) if block.startswith("cases:"))
    assert len(gate.splitlines()) <= 9
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facts.yaml").write_text(gate)
    rows = [{"id": f"q{n}", "question": f"{n} + 1?", "answer": str(n + 1)} for n in range(100)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for right, exit_code in ((90, 0), (89, 1)):
        answers = [{"id": f"q{n}", "response": str(n + 1) if n < right else "?"} for n in range(100)]
        (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
        assert main(["gate", "--responses", "answers.jsonl", "--suite", "facts.yaml"]) == exit_code


def test_every_command_it_shows_is_understood() -> None:
    shown = re.findall(r"^(?:- run: )?tunegate ([^#\n]*[^#\s])", TEXT, re.M)
    assert len(shown) > 6
    for line in shown:
        build_parser().parse_args(line.split("&&")[0].split())


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_drawn_operating_characteristic_is_current() -> None:
    assert SVG.read_text(encoding="utf-8") == draw(), "run `python -m tests.support.readme_curve`"
