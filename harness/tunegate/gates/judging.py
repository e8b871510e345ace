"""From the answers of a draw to the rows of its record: what the checks and the rules of the suite say of each case.

If the checks are pure, many answers, such as stored ones, are judged in blocks by several processes. The rows and their
order are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any

from tunegate.checks.answers.part import AnswerRule
from tunegate.checks.check import Check, Sample, is_deterministic, judge
from tunegate.checks.outcome import CasePasses, Outcome, keep_findings, of_samples
from tunegate.processes import in_order
from tunegate.record.outcome_json import verdict_to_json
from tunegate.suites.suite import Suite

Row = dict[str, Any]
"""An outcome as the record holds it."""
SPREAD_FROM, JUDGED_AT_ONCE = 20_000, 500
"""The number of samples from which other processes judge too, and the number of cases whose answers a process
gets at once."""
NEVER: Mapping[str, Outcome] = MappingProxyType({})
"""No case was judged before."""


@dataclass(frozen=True, slots=True)
class Judging:
    """What a suite says about judging, without its bank, which is large."""

    checks: Sequence[Check]
    answer: AnswerRule
    samples: int
    passes: CasePasses

    @classmethod
    def of(cls, suite: Suite) -> Judging:
        return cls(suite.checks, suite.answer, suite.settings.samples, suite.case_passes)

    @property
    def is_pure(self) -> bool:
        """Whether all of its checks are pure."""
        return all(map(_is_pure, self.checks))

    def outcomes(
        self, samples: Sequence[Sample], before: Mapping[str, Outcome] = NEVER, at_once: int | None = None
    ) -> Iterator[Outcome]:
        """The outcomes of cases, in order, from all answers to each case; `at_once` answers are judged in one call.

        `before` are earlier outcomes by case: a check's earlier decision counts, whatever the check says now.
        """
        size = at_once or max(1, len(samples))
        parts = (samples[start : start + size] for start in range(0, len(samples), size))
        judged = chain.from_iterable(judge(self.checks, part, self.answer) for part in parts)
        for answers in zip(*[_with_findings_of_before(before, judged)] * self.samples, strict=True):
            yield of_samples(answers, self.passes)

    def rows(self, block: tuple[Sequence[Sample], Mapping[str, Outcome]]) -> list[Row]:
        """The rows of a block: judged all at once, since a block that is interrupted is lost anyway."""
        return list(map(verdict_to_json, self.outcomes(*block)))


def judged_rows(suite: Suite, samples: Sequence[Sample], before: Mapping[str, Outcome]) -> Iterator[Row]:
    """The rows of the record for cases, in order, from all answers to each case; `before` are their earlier outcomes.

    As few answers are judged at a time as the checks allow, so that an interruption loses few judged cases.
    """
    judging = Judging.of(suite)
    if len(samples) < SPREAD_FROM or not judging.is_pure:
        at_once = max(check.batch_size for check in suite.checks)
        yield from map(verdict_to_json, judging.outcomes(samples, before, at_once))
        return
    size = JUDGED_AT_ONCE * judging.samples
    parts = (samples[start : start + size] for start in range(0, len(samples), size))
    blocks = ((part, {name: before[name] for one in part if (name := one.case.id) in before}) for part in parts)
    yield from chain.from_iterable(in_order(_rows_by, judging, blocks))


def _rows_by(judging: Judging) -> Callable[[tuple[Sequence[Sample], Mapping[str, Outcome]]], list[Row]]:
    return judging.rows


def _with_findings_of_before(before: Mapping[str, Outcome], again: Iterator[Outcome]) -> Iterator[Outcome]:
    """Outcomes of answers, some of which were judged before: a check's earlier decision counts, whatever it says
    now (`keep_findings`)."""
    numbers: Counter[str] = Counter()
    for outcome in again:
        earlier = before.get(outcome.case_id)
        answers = () if earlier is None else earlier.samples or (earlier,)
        number, numbers[outcome.case_id] = numbers[outcome.case_id], numbers[outcome.case_id] + 1
        yield keep_findings(answers[number].findings, outcome) if number < len(answers) else outcome


def _is_pure(check: Check) -> bool:
    """Whether any process can judge with a copy of the check: it is from the library, and asks no model."""
    return is_deterministic(check) and type(check).__module__.partition(".")[0] in ("tunegate", "tunegate_suites")
