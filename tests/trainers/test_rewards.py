"""The rewards of answers: from checks, and what happens where there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tunegate.cases.case import Case
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate_suites import build_check
from tunegate_trainers import rewards
from tunegate_trainers.rewards import Answer, Rewards, Scored


def answer(text: str, reference: str | None = "BRCA1") -> Answer:
    return Answer(Case("a", "Which gene?", () if reference is None else (reference,)), text, "stop")


def test_a_check_rewards_with_the_share_that_passes_or_with_its_value() -> None:
    checks = [build_check(entry, Path()) for entry in ("exact", {"rougeL": {"min": 0.1}})]
    share = rewards.by_checks(checks, None, "facts")
    answers = [answer("BRCA1"), answer("it is BRCA1"), answer("none")]
    assert [one.reward for one in share(answers)] == [1.0, 0.5, 0.0]
    value = rewards.by_checks(checks, "rougeL", "facts")
    assert [one.reward for one in value(answers)] == pytest.approx([1.0, 0.5, 0.0])


def test_checks_that_cannot_reward_are_refused() -> None:
    exact = build_check("exact", Path())
    with pytest.raises(ConfigError, match=r"reward\.check: 'facts' has no check 'exat' \(did you mean 'exact'"):
        rewards.by_checks([exact], "exat", "facts")
    with pytest.raises(ConfigError, match="choice of 'facts' judges choices; a policy generates answers"):
        rewards.by_checks([build_check("choice", Path())], None, "facts")
    with pytest.raises(ConfigError, match="no check of 'facts' can fail"):
        rewards.by_checks([build_check({"errors": {"report": ["empty"]}}, Path())], None, "facts")


def scoring(*values: float | None) -> Callable[[Sequence[Answer]], Sequence[Scored]]:
    return lambda answers: [Scored(value, "the judge was away") for value in values]


def test_what_cannot_be_rewarded_is_no_zero() -> None:
    some = Rewards(scoring(1.0, None, math.nan, math.inf), max_invalid=0.75)
    assert some([answer("")] * 4) == [1.0, None, None, None]


def test_too_many_without_reward_end_the_training() -> None:
    never = Rewards(scoring(None, math.nan), max_invalid=0.5)
    with pytest.raises(CannotJudge, match=r"no reward for any of the 2 answers of a step: the reward is not a number"):
        never([answer("")] * 2)
    often = Rewards(scoring(1.0, None), max_invalid=0.4)
    for _ in range(9):
        often([answer("")] * 2)
    with pytest.raises(CannotJudge, match=r"no reward for 10 of 20 answers.*the judge was away"):
        often([answer("")] * 2)


def test_the_reason_is_told_also_when_the_last_answers_were_fine() -> None:
    given = iter([[1.0, None], *[[1.0, 1.0]] * 9])
    seldom = Rewards(lambda answers: [Scored(value, "the judge was away") for value in next(given)], max_invalid=0.04)
    for _ in range(9):
        seldom([answer("")] * 2)
    with pytest.raises(CannotJudge, match=r"no reward for 1 of 20 answers.*the judge was away"):
        seldom([answer("")] * 2)
