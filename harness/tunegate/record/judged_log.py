"""How the checks judged the answers of one draw, and which answers may still be judged.

An answer that a check could not judge is judged again when the gate is started again, as often as a question may be
asked: without that limit, a judge that says nothing when in doubt would pass everything in the end. People's labels are
the exception: they are read again until the gate is decided, even if they gave a verdict before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.record.frozen import FrozenDict


@dataclass(frozen=True, slots=True)
class JudgedLog:
    """The latest outcome of each case by its id, and how often each case was judged without a verdict."""

    outcomes: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    in_vain: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, outcome: Outcome) -> None:
        """Add an outcome; raises ValueError when the case already has a verdict, unless people gave it."""
        before = self.outcomes.get(outcome.case_id)
        if before is not None and before.verdict is not Verdict.INVALID and not before.by_people:
            raise ValueError(f"{outcome.case_id!r} already has a verdict, but is judged again")
        self.outcomes[outcome.case_id] = outcome
        in_vain = outcome.verdict is Verdict.INVALID and not is_unanswered(outcome) and not outcome.awaits_people
        self.in_vain[outcome.case_id] = self.in_vain.get(outcome.case_id, 0) + in_vain

    def frozen(self) -> JudgedLog:
        """A copy that cannot be added to."""
        return JudgedLog(FrozenDict(self.outcomes), FrozenDict(self.in_vain))

    def may_be_judged(self, case_id: str, ask_again: int) -> bool:
        """Whether the case has no verdict yet, or people's, and was not judged in vain too often."""
        outcome = self.outcomes.get(case_id)
        if outcome is None:
            return True
        is_open = outcome.verdict is Verdict.INVALID or outcome.by_people
        return is_open and self.in_vain.get(case_id, 0) <= ask_again

    @property
    def judged_again(self) -> int:
        """How many cases were judged more than once."""
        return sum(times > self._is_open(case_id) for case_id, times in self.in_vain.items())

    @property
    def most_judged_until_a_verdict(self) -> int:
        """The largest number of times that a case with a verdict was judged."""
        return max((times + 1 for case_id, times in self.in_vain.items() if not self._is_open(case_id)), default=0)

    def spent(self, ask_again: int) -> int:
        """How many answers have no verdict and may not be judged again."""
        return sum(times > ask_again and self._is_open(case_id) for case_id, times in self.in_vain.items())

    def _is_open(self, case_id: str) -> bool:
        return self.outcomes[case_id].verdict is Verdict.INVALID

    @property
    def in_words(self) -> str:
        """`12 answers were judged again after a judgement without a verdict`; empty if each was judged once."""
        again = self.judged_again
        return (
            f"{again} answer{'s were' if again > 1 else ' was'} judged again after a judgement without a verdict"
            if again
            else ""
        )


def is_unanswered(outcome: Outcome) -> bool:
    """Whether the case has no answer that a check could judge."""
    answers = outcome.samples or (outcome,)
    return all([finding.check for finding in answer.findings] == ["model"] for answer in answers)
