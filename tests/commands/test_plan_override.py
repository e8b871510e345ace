"""Another draw than the suite's plan: the share that must pass stays, and no confirming draw is lost without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import Bank
from tunegate.cli import main
from tunegate.commands.plan_override import override
from tunegate.exceptions import ConfigError
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check


@pytest.fixture
def suite_with(make_bank: Callable[..., Any]) -> Callable[..., Suite]:
    def load(plan: str, n: int = 600, **more: str) -> Suite:
        folder = make_bank(n, plan=plan, **more).folder
        return load_suite(folder / "suite.yaml", build_check)

    return load


@pytest.mark.parametrize(
    ("draw", "accept", "numbers"),
    [
        (None, None, (100, 90)),
        (300, None, (300, 270)),
        (15, None, (15, 14)),  # 13.5, rounded up
        (1, None, (1, 1)),
        (None, 80, (100, 80)),
        (300, 150, (300, 150)),
    ],
)
def test_one_number_alone_keeps_the_share_or_the_draw(
    suite_with: Callable[..., Suite], draw: int | None, accept: int | None, numbers: tuple[int, int]
) -> None:
    plan = override(suite_with("{draw: 100, accept: 90, curtail: true, reuse: true}"), draw, accept)
    assert (plan.draw, plan.accept) == numbers
    assert (plan.curtail, plan.reuse) == (True, True)
    assert plan.confirmation(attempt=1) is None


@pytest.mark.parametrize("kind", ["double", "sequential"])
@pytest.mark.parametrize("numbers", [(50, None), (None, 45), (50, 45)])
def test_a_plan_of_more_than_one_draw_is_not_undone(
    suite_with: Callable[..., Suite], kind: str, numbers: tuple[int | None, int | None]
) -> None:
    suite = suite_with(f"{{kind: {kind}}}")
    with pytest.raises(ConfigError, match=f"is {kind}, and only a single plan can be overridden; leave"):
        override(suite, *numbers)
    assert override(suite, None, None) == suite.plan


@pytest.mark.parametrize(
    ("draw", "accept", "message"),
    [
        (0, None, "a draw has at least 1 case"),
        (-5, None, "a draw has at least 1 case"),
        (50, 51, "draw 50, accept 51: accept must be"),
        (None, 101, "draw 100, accept 101: accept must be"),
        (601, None, "draw 601: the bank of suite 'suite' has only 392 cases"),
    ],
)
def test_numbers_that_no_draw_can_have(
    suite_with: Callable[..., Suite], draw: int | None, accept: int | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        override(suite_with("{}"), draw, accept)


def test_a_suite_with_another_hash_is_not_the_exam(
    make_bank: Callable[..., Bank], capsys: pytest.CaptureFixture[str]
) -> None:
    bank = make_bank(20, plan="{draw: 10, accept: 9}")
    suite = load_suite(Path(bank.suite), build_check)
    command = ["gate", "--responses", bank.answers(20), "--suite", bank.suite, "--expect-suite"]
    assert main([*command, suite.sha256]) == 0
    Path(bank.suite).write_text(Path(bank.suite).read_text().replace("accept: 9", "accept: 1"))
    capsys.readouterr()
    assert main([*command, suite.sha256]) == 5
    said = capsys.readouterr().err
    assert "not the suite that --expect-suite names: its sha256 is" in said
    assert said.count("\n") == 1
    assert main([*command, "abc"]) == 2
