"""Numbers on the command line: each option has bounds, and a number outside them is refused in one line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.cli import main
from tunegate.command_line import build_parser
from tunegate.command_parser import number, whole

Capture = pytest.CaptureFixture[str]


def commands(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, argparse.Action]]:
    """Every option of every command, with the words that name the command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from commands(command, (*path, name))
        else:
            yield " ".join(path), action


def test_every_number_has_bounds() -> None:
    """A bare `int` or `float` takes -1, nan and inf, which no option means."""
    free = [(name, one.option_strings) for name, one in commands(build_parser()) if one.type in (int, float)]
    assert not free
    types = [one.type for _, one in commands(build_parser()) if callable(one.type)]
    assert len(types) > 30, "the walk finds the options"
    for read in types:
        for text in ("nan", "inf", "x", ""):
            with pytest.raises(argparse.ArgumentTypeError, match=r"^expected .+, got "):
                read(text)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("registry gc --keep -1", "tunegate registry gc: --keep: expected days, at least 0, got -1; try "),
        ("registry gc --keep nan", "--keep: expected days, at least 0, got nan"),
        ("gate m --suite s.yaml --batch-size 0", "gate: --batch-size: expected at least 1, got 0"),
        ("gate m --suite s.yaml --seed 1.5", "--seed: expected a whole number, got '1.5'"),
        ("gate m --suite s.yaml --continue 0", "--continue: expected at least 1, got 0"),
        ("data x.jsonl --max-length 0", "--max-length: expected at least 1, got 0"),
        ("judge j.yaml --labels l --repeats 0", "--repeats: expected at least 1, got 0"),
        ("suite cue a b --cue present --text t --label a=b --out o --rows -3", "--rows: expected at least 1, got -3"),
        ("review g --n 0", "--n: expected at least 1, got 0"),
        ("bake-off m --suite s --draw 2.5", "--draw: expected a whole number, got '2.5'"),
        ("compare a b --max-drop -1", "--max-drop: expected percentage points, at least 0 and at most 100, got -1"),
        ("generate m --prompts p --out o --top-p inf", "--top-p: expected a number, got inf"),
    ],
)
def test_a_number_out_of_bounds_is_one_line(words: str, says: str, capsys: Capture) -> None:
    assert main(words.split()) == 2
    said = capsys.readouterr().err.strip()
    assert says in said
    assert "\n" not in said


@given(st.integers(), st.integers())
def test_whole_numbers_from_a_bound(value: int, least: int) -> None:
    if value >= least:
        assert whole(least)(str(value)) == value
    else:
        with pytest.raises(argparse.ArgumentTypeError):
            whole(least)(str(value))


@given(st.floats())
def test_numbers_within_bounds(value: float) -> None:
    if 0 < value <= 1:
        assert number("a share", above=0, most=1)(repr(value)) == value
    else:
        with pytest.raises(argparse.ArgumentTypeError):
            number("a share", above=0, most=1)(repr(value))
