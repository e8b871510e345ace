"""The base of all checks. A check is a pydantic model: its fields are its options in the suite file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, field_validator, model_validator

from tunegate.cases.case import Case, Prompt
from tunegate.checks.answers.part import AnswerRule
from tunegate.checks.check import Need, Sample
from tunegate.checks.outcome import Finding, Verdict
from tunegate.exceptions import ConfigError
from tunegate.hashes import spaced_json
from tunegate.trust.wants import Wants
from tunegate_suites.options import BuildContext, files_in


class Options(BaseModel):
    """Options of a check, or of a part of one: unknown keys and values of the wrong type are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True, defer_build=True
    )

    def __getstate__(self) -> dict[Any, Any]:
        """For another process, without what was computed from the options: it cannot always be sent."""
        state, fields = super().__getstate__(), type(self).model_fields
        return {**state, "__dict__": {name: value for name, value in state["__dict__"].items() if name in fields}}


class CheckBase(Options):
    """Satisfies `checks.check.Check`. The first line of a subclass's docstring is its line in docs/checks.md."""

    shorthand: ClassVar[str | None] = None
    """The main option, which gets a value that is not a mapping: `contains: text`."""
    example: ClassVar[str] = ""
    """Example options, for error messages and the documentation."""
    passes_when: ClassVar[str] = ""
    """The pass condition in words, for the documentation."""
    extra: ClassVar[str | None] = None
    """The extra of the distribution that must be installed."""
    reads_answer_alone: ClassVar[bool] = False
    """Whether a finding follows from the case and the answer alone: no model, no server, none of the user's code."""
    revision: ClassVar[str] = "1"
    """The version of the check: raised whenever the same input may get a different finding."""

    _context: BuildContext = PrivateAttr(default=BuildContext("", Path()))

    def model_post_init(self, context: Any, /) -> None:
        self._context = (
            context if isinstance(context, BuildContext) else BuildContext(type(self).__name__.lower(), Path())
        )

    def prepare(self) -> None:
        """Called once after the options were validated, for further checks that raise ConfigError."""

    @property
    def name(self) -> str:
        return self._known_as

    @cached_property
    def _known_as(self) -> str:  # cached: pydantic finds private attributes slowly, and every finding has a name
        return self._context.name or type(self).__name__.lower()

    @property
    def condition(self) -> str:
        """What an answer must do, with the options, to go on after "the answers": `equal a reference`; empty: the
        general condition of a check of this name."""
        return ""

    @property
    def version(self) -> str:
        return self.revision

    @property
    def is_looked_at(self) -> bool:
        """Whether nothing of the file may run, and no server may be contacted."""
        return self._context.look

    @property
    def wants(self) -> Wants:
        """What the check would run, read, contact and load, known from its options alone."""
        return Wants(reads=tuple(file.path for file in files_in(self)))

    @property
    def inner(self) -> Sequence[object]:
        """Entries of further checks that the options name."""
        return ()

    @property
    def batch_size(self) -> int:
        return 1

    @property
    def needs_choices(self) -> bool:
        return False

    @property
    def deterministic(self) -> bool:
        """See `checks.check.is_deterministic`."""
        return self.reads_answer_alone

    @property
    def needs(self) -> tuple[Need, ...]:
        return ()

    @property
    def max_errors(self) -> dict[str, int]:
        return {}

    @property
    def can_fail(self) -> bool:
        return True

    def fault_with(self, answer: AnswerRule) -> str | None:
        """The option that is useless if the suite's `answer` already extracts a part of an answer, as an error."""
        return None

    def fault_of(self, cases: Sequence[Case]) -> str | None:
        """Why the check cannot judge cases of this bank, or would misjudge them; such a suite is refused."""
        return None

    def remarks(self, cases: Sequence[Case]) -> Sequence[str]:
        """Risks of this bank with this check, shown by `tunegate check`."""
        return ()

    def variants(self, case: Case) -> tuple[Prompt, ...]:
        return ()

    @property
    def fingerprint(self) -> str:
        """Name, version, options and the hashes of files, as JSON; equal for equal checks in any folder."""
        options = self.model_dump(mode="json", by_alias=True)
        facts = {"name": self.name, "version": self.version, "options": options, **self.further_facts()}
        return spaced_json(facts)

    def further_facts(self) -> dict[str, Any]:
        """Other facts that can change a finding, for example the weights of a model that the check uses."""
        return {}

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        raise NotImplementedError

    def config_error(self, option: str, message: str) -> ConfigError:
        """The error to raise from `prepare`."""
        return ConfigError(f"{self.name}.{option}: {message}")

    def passed(self, ok: bool, value: float | bool | str | None, reason: str, **more: Any) -> Finding:
        """A finding that passes or fails."""
        verdict = Verdict.PASS if ok else Verdict.FAIL
        return Finding(self.name, verdict, value, reason, self.version, **more)

    def invalid(self, reason: str, detail: str | None = None) -> Finding:
        """An INVALID finding with the reason."""
        return Finding(self.name, Verdict.INVALID, None, reason, self.version, detail=detail)


class CaseCheck(CheckBase):
    """A check that judges one case at a time: a subclass implements `judge_one`."""

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        return [self.judge_one(sample) for sample in samples]

    def judge_one(self, sample: Sample) -> Finding:
        raise NotImplementedError


class Bounds(Options):
    """The pass condition of a score: `min`, `max` or both, inclusive."""

    min: float | None = None
    """lowest score that passes"""
    max: float | None = None
    """highest score that passes"""

    def holds(self, score: float) -> bool:
        return (self.min is None or score >= self.min) and (self.max is None or score <= self.max)

    def holds_for_all(self, low: float, high: float) -> bool:
        """Whether every score from `low` to `high` passes."""
        return self.holds(low) and self.holds(high)

    @cached_property
    def in_words(self) -> str:
        """`>= 0.6`, `<= 3`, or both."""
        parts = [f">= {self.min:g}" if self.min is not None else "", f"<= {self.max:g}" if self.max is not None else ""]
        return " and ".join(part for part in parts if part)

    @cached_property
    def cutoff(self) -> float | None:
        return self.max if self.min is None else self.min


class NumericCheck(CheckBase, Bounds):
    """A check whose metric is a number. A score that is not finite is INVALID, never a pass or a miss."""

    score_range: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """Scores outside this range cannot occur; a bound outside it is a mistake (60 for 0.6)."""
    bounds_required: ClassVar[bool] = True
    passes_when: ClassVar[str] = "`min` <= score <= `max`"

    @property
    def condition(self) -> str:
        return f"score {self.in_words} by {self.name}" if self.in_words else ""

    @model_validator(mode="after")
    def _bounds_make_sense(self) -> Self:
        if self.bounds_required and self.min is None and self.max is None:
            raise ValueError("'min' or 'max' is missing: set the lowest or highest score that passes")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"nothing passes: min {self.min:g} is above max {self.max:g}")
        if self.cutoff is not None and self.holds_for_all(*self.score_range):
            low, high = self.score_range
            raise ValueError(f"nothing fails: every score is from {low:g} to {high:g}")
        return self

    @field_validator("min", "max")
    @classmethod
    def _bound_can_be_reached(cls, bound: float | None) -> float | None:
        low, high = cls.score_range
        if bound is not None and not low <= bound <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}, got {bound:g}")
        return bound

    def scored(self, score: float, note: str = "", detail: str | None = None) -> Finding:
        """The finding for a score."""
        if not math.isfinite(score):
            return self.invalid(f"the score is {score}", detail)
        ok = self.holds(score)
        reason = f"{self._digits(score, ok)} {'is' if ok else 'is not'} {self.in_words}{note}"
        verdict = Verdict.PASS if ok else Verdict.FAIL
        return Finding(self._known_as, verdict, score, reason, self.revision, self.cutoff, (), detail)

    def _digits(self, score: float, ok: bool) -> str:
        """Few digits, but enough to show which side of the bound the score is on (0.59999 is not shown as 0.6)."""
        short = f"{score:.4g}"
        return short if self.holds(float(short)) is ok else repr(score)
