"""A sweep: one model with several settings of sampling, the same cases; how often it is right, and how diverse it is.

As with prompts, the cases on which a setting was chosen count for the choice alone: the verdict comes from fresh cases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.choosing.bake_off import BakeOff, Ranked
from tunegate.choosing.prompts import Confirmed
from tunegate.gates.diversity import HALVES, answers_of, figure_of
from tunegate.models.sampling_grid import Setting
from tunegate.stats.half_samples import interval_around, random_halves
from tunegate.stats.paired import Interval
from tunegate.text.words import length_in_words
from tunegate.verdicts.diversity import WITHOUT_EXTRA, DiversityRule, Measure

DEFAULT: Measure = "distinct_2"
"""The measure of a suite whose rule on diversity names none, or that has no rule."""
NOT_WORSE = ("best", "not shown worse")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the answers of a draw, and its 95 % interval."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Spread:
    """How diverse the answers with a setting are, by one measure.

    `across` compares the first answers to different prompts. `within` compares the answers to the same prompt, and is
    the mean of all prompts; None if each prompt has one answer.
    """

    measure: Measure
    across: Figure
    within: Figure | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers with a setting: how diverse they are by each measure, and how many words they have on average.

    All measures depend on the length of the texts, so the words are shown beside them.
    """

    spreads: tuple[Spread, ...]
    words: float


def measures_of(rule: DiversityRule | None) -> tuple[Measure, ...]:
    """The measures to draw; a setting is chosen by the first of them.

    >>> measures_of(None), measures_of(DiversityRule())[:2]
    (('distinct_2',), ('distinct_2', 'distinct_1'))
    """
    named = () if rule is None else rule.measures
    return named if named not in ((), WITHOUT_EXTRA) else tuple(dict.fromkeys((DEFAULT, *named)))


def describe(outcomes: Sequence[Outcome], measures: Sequence[Measure]) -> Answers:
    """Measure the answers of a draw; cases of a group stay together in the halves. Raises MissingExtra, CannotJudge."""
    answers = [answers_of(one) for one in outcomes]
    grouped: dict[str, list[int]] = {}
    for at, one in enumerate(outcomes):
        grouped.setdefault(one.group or one.case_id, []).append(at)
    units = list(grouped.values())
    texts = [text for some in answers for text in some]
    words = sum(map(length_in_words, texts)) / len(texts)
    return Answers(tuple(_spread(name, answers, units) for name in measures), words)


def _spread(name: Measure, answers: Sequence[Sequence[str]], units: Sequence[Sequence[int]]) -> Spread:
    across = _figure(figure_of(name, [some[0] for some in answers]), units, name)
    if all(len(some) == 1 for some in answers):
        return Spread(name, across)
    each = [figure_of(name, some)(range(len(some))) for some in answers]
    mean = _figure(lambda chosen: sum(each[at] for at in chosen) / len(chosen), units, name)
    return Spread(name, across, mean)


def _figure(of: Callable[[Sequence[int]], float], units: Sequence[Sequence[int]], name: Measure) -> Figure:
    value = of(sorted(at for unit in units for at in unit))
    low, high = interval_around(value, [of(half) for half in random_halves(units, HALVES)])
    return Figure(value, (low, high if name == "vendi" else min(1.0, high)))


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The ranked settings of `model`, each an entry of `choice` by its label.

    `answers` has no entry for a setting without a verdict. `accept` is the share of the draw that must pass.
    `confirmed` is None if a setting has no verdict, or if none passes.
    """

    model: str
    suite: str
    choice: BakeOff
    settings: Mapping[str, Setting]
    answers: Mapping[str, Answers]
    accept: float
    confirmed: Confirmed | None

    @property
    def passing(self) -> tuple[Ranked, ...]:
        """The settings that pass on the cases of the choice, the best first."""
        return tuple(one for one in self.choice.ranked if one.entry.verdict is Verdict.PASS)

    @property
    def chosen(self) -> Ranked | None:
        return chosen_of(self.choice, self.answers)

    @property
    def verdict(self) -> Verdict:
        """INVALID if a setting has no verdict, or if the chosen one was not confirmed; a miss is a result."""
        if self.choice.verdict is not Verdict.PASS or self.chosen is None:
            return self.choice.verdict
        told = self.confirmed is not None and self.confirmed.verdict in (Verdict.PASS, Verdict.FAIL)
        return Verdict.PASS if told else Verdict.INVALID


def chosen_of(choice: BakeOff, answers: Mapping[str, Answers]) -> Ranked | None:
    """Of the settings that pass and are not shown worse than the best, the one with the most diverse answers.

    Of two equally diverse settings, the setting that passes more cases. None if no setting passes, or if a setting
    has no verdict.
    """
    if choice.verdict is not Verdict.PASS:
        return None
    able = [one for one in choice.ranked if one.entry.verdict is Verdict.PASS and one.standing in NOT_WORSE]
    return max(able, key=lambda one: answers[one.entry.model].spreads[0].across.value, default=None)
