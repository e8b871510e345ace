"""Method rlhf, rewards: the value of an answer, from a reward model or from a suite's checks.

An answer that cannot be rewarded (a check is INVALID, a reward is not a number) gets None and does not change the
policy. With too many of them, the training stops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tunegate.cases.case import Case
from tunegate.checks import check as checks
from tunegate.checks.answers.part import AUTO, AnswerRule
from tunegate.checks.check import Check, Sample
from tunegate.checks.outcome import Finding, Verdict
from tunegate.exceptions import CannotJudge, SettingError, nearest
from tunegate.models.model import FinishReason, Response
from tunegate.models.reward_model import RewardModel, check_same_tokenizer
from tunegate_trainers.policy_options import Reward
from tunegate_trainers.task import Task

SEEN_BEFORE_GIVING_UP = 20
"""The minimum number of answers for a meaningful share without reward."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A policy's answer to the prompt of a case, whose reference, if any, is the row's completion."""

    case: Case
    text: str
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Scored:
    """A reward, or the reason why there is none."""

    reward: float | None
    reason: str = ""


Score = Callable[[Sequence[Answer]], Sequence[Scored]]


class Rewards:
    """Scores answers, and stops the training when too many get no reward."""

    def __init__(self, score: Score, max_invalid: float) -> None:
        self.score = score
        self.max_invalid = max_invalid
        self.seen = 0
        self.invalid = 0
        self.last_fault = ""

    def __call__(self, answers: Sequence[Answer]) -> list[float | None]:
        """One reward per answer, or None; raises CannotJudge if too many have none."""
        scored = [_finite(one) for one in self.score(answers)]
        faults = [one.reason for one in scored if one.reward is None]
        self.seen += len(scored)
        self.invalid += len(faults)
        self.last_fault = faults[-1] if faults else self.last_fault
        if faults and len(faults) == len(scored):
            raise CannotJudge(f"no reward for any of the {len(scored)} answers of a step: {self.last_fault}")
        if self.seen >= SEEN_BEFORE_GIVING_UP and self.invalid > self.max_invalid * self.seen:
            raise CannotJudge(
                f"no reward for {self.invalid} of {self.seen} answers, more than options.max_invalid "
                f"{self.max_invalid:g} allows: {self.last_fault}"
            )
        return [one.reward for one in scored]


def rewards_of(task: Task) -> Rewards:
    """The reward of a job; raises ConfigError if it cannot reward the job's answers."""
    reward: Reward = task.options.reward
    if reward.suite is not None:
        suite = task.suite(reward.suite)
        score = by_checks(suite.checks, reward.check, reward.suite, suite.answer)
    elif reward.model is not None:
        score = by_model(Path(reward.model), Path(task.job.model))
    else:
        raise SettingError(
            "options.reward.stage", f"only `tunegate run` can find {reward.stage!r}; give `model` instead"
        )
    return Rewards(score, task.options.max_invalid)


def by_model(folder: Path, policy: Path) -> Score:
    """The reward that a reward model gives."""
    check_same_tokenizer(folder, policy)
    model = RewardModel.load(folder)

    def one(answer: Answer) -> Scored:
        try:
            return Scored(model.rewards([(answer.case.prompt, answer.text)])[0])
        except ValueError as error:  # longer than the model's context
            return Scored(None, f"{folder}: {error}")

    def score(answers: Sequence[Answer]) -> Sequence[Scored]:
        try:
            return [Scored(reward) for reward in model.rewards([(a.case.prompt, a.text) for a in answers])]
        except ValueError:
            return [one(answer) for answer in answers]

    return score


def by_checks(judges: Sequence[Check], name: str | None, suite: str, answer: AnswerRule = AUTO) -> Score:
    """The share of the checks that pass, or the value of the check `name`; checks see what `answer` selects."""
    names = checks.unique_names(judges)
    if name is not None and name not in names:
        raise SettingError("options.reward.check", f"{suite!r} has no check {name!r}{nearest(name, names)}")
    asked = [check for check in judges if check.can_fail] if name is None else [judges[names.index(name)]]
    if not asked:
        raise SettingError(
            "options.reward.suite", f"no check of {suite!r} can fail, so all answers would be equally good"
        )
    for check in asked:
        if check.needs_choices:
            raise SettingError(
                "options.reward.suite", f"{check.name} of {suite!r} judges choices; a policy generates answers"
            )

    def score(answers: Sequence[Answer]) -> Sequence[Scored]:
        samples = [Sample(one.case, Response(one.text, one.finish_reason)) for one in answers]
        return [_of_findings(outcome.findings, name) for outcome in checks.judge(asked, samples, answer)]

    return score


def _of_findings(findings: Sequence[Finding], name: str | None) -> Scored:
    for finding in findings:
        if finding.verdict is Verdict.INVALID:
            return Scored(None, f"{finding.check}: {finding.reason}")
    if name is None:
        return Scored(sum(finding.verdict is Verdict.PASS for finding in findings) / len(findings))
    value = findings[0].value
    if not isinstance(value, bool | int | float):
        return Scored(None, f"{name}: its value {value!r} is not a number")
    return Scored(float(value))


def _finite(scored: Scored) -> Scored:
    if scored.reward is None or math.isfinite(scored.reward):
        return scored
    return Scored(None, "the reward is not a number")
