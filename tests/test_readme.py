"""README.md says what is so: it is short, its first gate runs, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import limits_picture
from tests.support.readme_curve import SVG, draw
from tests.support.readme_tree import README
from tunegate.cli import main
from tunegate.command_line import build_parser

TEXT = README.read_text(encoding="utf-8")


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 200


def test_first_gate_is_short_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = next(block for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.S) if block.startswith("cases:"))
    assert len(gate.splitlines()) <= 9
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facts.yaml").write_text(gate)
    rows = "".join(f"q{n},{n} + 1?,{n + 1}\n" for n in range(100))
    (tmp_path / "questions.csv").write_text("id,question,answer\n" + rows)
    for right, exit_code in ((90, 0), (89, 1)):
        answers = "".join(f"q{n},{n + 1 if n < right else '?'}\n" for n in range(100))
        (tmp_path / "answers.csv").write_text("id,response\n" + answers)
        assert main(["gate", "--responses", "answers.csv", "--suite", "facts.yaml"]) == exit_code


def test_every_command_it_shows_is_understood() -> None:
    shown = re.findall(r"^(?:- run: )?tunegate (.*?)(?: +# .*)?$", TEXT, re.M)
    assert len(shown) > 6
    for line in shown:
        build_parser().parse_args(line.split("&&")[0].split())


def test_the_drawn_operating_characteristic_is_current() -> None:
    assert SVG.read_text(encoding="utf-8") == draw(), "run `python -m tests.support.readme_curve`"


def test_the_picture_of_limits_is_that_of_the_code():
    drawn = limits_picture.picture()
    assert limits_picture.SVG.read_text(encoding="utf-8") == drawn, "run `python -m tests.support.limits_picture`"
