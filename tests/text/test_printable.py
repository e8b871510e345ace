"""What files and models say is printed as text: it moves no cursor, and commands no server that reads the log."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.ci_log import commands_in
from tunegate.text import printable as printable_module
from tunegate.text.printable import json_line, json_pieces, printable, printable_lines, without_commands

COMMANDS = (
    "::error::boom",
    "  ::set-output name=verdict::PASS",
    "::add-mask::a",
    "::stop-commands::x",
    "an answer ##vso[task.setvariable variable=PATH]/tmp",
    "##[command]rm",
    "###[error]no",
    "##TeamCity[buildStatus status='SUCCESS']",
)


@pytest.mark.parametrize("text", COMMANDS)
@pytest.mark.parametrize("make", [printable, without_commands, lambda text: printable_lines(f"first\n{text}")])
def test_commands_are_shown_not_given(text: str, make: Callable[[str], str]) -> None:
    assert commands_in(text)
    assert not commands_in(make(text))
    assert make(text).replace(r"\x3a", ":").replace(r"\x23", "#").endswith(text)


@pytest.mark.parametrize("text", ["a::b", "x = y[1:2]", "# heading", "## heading [1]", "C# and F##", "std::vector", ""])
def test_what_is_no_command_stays(text: str) -> None:
    assert printable(text) == without_commands(text) == printable_lines(text) == text


def test_signs_that_act_are_escaped() -> None:
    assert printable("a\x1b[2K\r\n\u202e\u2028\ud83d🧬") == r"a\x1b[2K\r\n\u202e\u2028\ud83d🧬"
    assert printable_lines("a\nb\x1b") == "a\nb\\x1b"


@pytest.mark.parametrize("text", COMMANDS)
def test_json_reads_back_as_it_was(text: str) -> None:
    value = {"id": text, "nested": [text, "\\##[x]"]}
    line = json_line(value)
    assert not commands_in(line)
    assert json.loads(line) == value


@pytest.mark.parametrize("items", [0, 1, 3, 4, 7])
def test_json_in_pieces_is_the_same_line(items: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printable_module, "ROWS_AT_ONCE", 3)
    monkeypatch.setenv("MY_API_KEY", "sk-1234567890")
    rows = [{"id": n, "said": [COMMANDS[n], "sk-1234567890"]} for n in range(items)]
    facts = {"##[group]": COMMANDS, "sk-1234567890": None, "none": {}, "numbered": {1: 2}}
    whole = json_line({"cases": rows, "facts": facts, "confirm": {"cases": rows}})
    pieces = list(json_pieces({"cases": iter(rows), "facts": facts, "confirm": {"cases": iter(rows)}}))
    assert "".join(pieces) == whole
    assert not commands_in(whole)
    assert len(pieces) > items // 3
