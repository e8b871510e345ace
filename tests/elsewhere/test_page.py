"""docs/elsewhere.md: its commands are understood, and each tool that is read has its line."""

from __future__ import annotations

import re
import shlex

from tests.support.places import ROOT
from tunegate.command_line import build_parser
from tunegate.elsewhere.read import FORMATS

PAGE = (ROOT / "docs" / "elsewhere.md").read_text(encoding="utf-8")


def test_every_command_is_understood() -> None:
    shown = re.findall(r"^(?:\$ )?(tunegate .*?)(?: +# .*)?$", PAGE, re.M) + re.findall(r"\| `(tunegate .*?)` \|", PAGE)
    commands = [line for line in shown if not line.startswith("tunegate gate: ")]
    assert len(commands) > 9
    for command in commands:
        build_parser().parse_args(shlex.split(command)[1:])


def test_every_tool_has_its_line() -> None:
    lines = re.findall(r"^\| (.*?) \| .* \| `tunegate gate --responses (\S+)(.*)` \|$", PAGE, re.M)
    assert [tool for tool, *_ in lines] == [one.tool for one in FORMATS]
    for (_, _, flags), one in zip(lines, FORMATS, strict=True):
        assert tuple(re.findall(r"--(\w+)", flags)) == one.chooses
