"""`imported`: the score of another tool, for answers that come from its file."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator

from tunegate.checks.check import Sample
from tunegate.checks.outcome import Finding
from tunegate.models.model import ImportedScore
from tunegate_suites.base import Bounds, CaseCheck


class Imported(CaseCheck, Bounds):
    """The tool that asked the model gave its answer a passing score.

    The score is the tool's own: nothing here judged the answer again. It is found by its name in the tool's file, such
    as `exact_match` of lm-evaluation-harness, a scorer of Inspect, a metric of DeepEval, or `success` of promptfoo.
    Without `min` and `max` the tool's own verdict counts; a score of 1 is a pass and 0 is a miss, and for any other
    number without a verdict the case is INVALID. A pipeline promotes no model by such a score, unless it says
    `promote: {imported: true}`.
    """

    shorthand: ClassVar[str | None] = "score"
    example: ClassVar[str] = "imported: exact_match"
    passes_when: ClassVar[str] = "the tool's own score passes (imported, not judged again)"

    score: str
    """the name of the score in the file"""

    @model_validator(mode="after")
    def _bounds_make_sense(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"nothing passes: min {self.min:g} is above max {self.max:g}")
        return self

    def judge_one(self, sample: Sample) -> Finding:
        scores = {one.name: one for one in sample.response.imported}
        if not scores:
            return self.invalid("imported: the answer has no score of another tool; only files of other tools have")
        if self.score not in scores:
            return self.invalid(f"imported: the file has no score {self.score!r} here; it has {_listed(scores)}")
        return self._by_bounds(scores[self.score]) if self.cutoff is not None else self._by_verdict(scores[self.score])

    def _by_bounds(self, score: ImportedScore) -> Finding:
        ok = self.holds(score.value)
        words = f"imported: {score.name} {score.value:g} {'is' if ok else 'is not'} {self.in_words}"
        return self.passed(ok, score.value, words, cutoff=self.cutoff)

    def _by_verdict(self, score: ImportedScore) -> Finding:
        if score.passed is None:
            return self.invalid(
                f"imported: {score.name} is {score.value:g}, and the tool does not say whether that passes: set `min`"
            )
        return self.passed(score.passed, score.value, f"imported: {score.name} is {score.value:g}")


def _listed(scores: dict[str, ImportedScore]) -> str:
    return ", ".join(map(repr, scores))
