"""The shape of a suite: cases, checks, plan, generation."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from tunegate.cases.cases_spec import CasesSpec
from tunegate.checks.answers.extract import PRESETS, fault_of_rule
from tunegate.checks.answers.part import THINK
from tunegate.checks.outcome import CasePasses
from tunegate.exceptions import nearest
from tunegate.models.model import Form, GenerationSettings, SystemAs
from tunegate.models.responses_spec import ResponsesSpec
from tunegate.models.sampling_spec import NO_EFFECT, SamplingSpec, SweepSpec, Temperature, without_effect
from tunegate.reading.spec import FieldTemplate, Name, Spec, Text, listed, path_only
from tunegate.stats.plans import ASK_AGAIN
from tunegate.suites.limits_spec import LimitsSpec
from tunegate.verdicts.diversity import SMALLEST_RISK, WITHOUT_EXTRA, Measure


class DrawSpec(Spec):
    """How many cases to draw, and how many of them must pass."""

    draw: Annotated[int, Field(ge=1)]
    """How many cases are drawn."""
    accept: Annotated[int, Field(ge=1)]
    """How many of them must pass."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        return _reachable(self)


class RiskSpec(Spec):
    """What a run may get wrong, all its attempts included."""

    consumer: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """The chance that a model as bad as `at` is accepted in at least one attempt."""
    at: Annotated[float, Field(gt=0, lt=1)] = 0.85
    """The pass rate of a bad model."""
    producer: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """The chance that a model as good as `good` is not accepted at its first attempt."""
    good: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """The pass rate of a good model."""
    pipeline: bool = False
    """`producer` is the risk of the whole pipeline: its independent draws share it. A gate alone takes all of it."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.at >= self.good:
            raise ValueError(f"expected `at` below `good`, got at {self.at} and good {self.good}")
        return self


class PlanSpec(Spec):
    """How many cases a gate draws and how many must pass: by default 90 of 100.

    single: one draw; after a retry, a passing attempt must also pass a second draw, from sealed cases.
    double: every pass is confirmed by a second draw, from sealed cases.
    sequential: Wald's test; stops as soon as the verdict is certain enough.
    anytime: a test that stops as soon as it can, and that `tunegate gate --continue N` continues if it could not.
    """

    kind: Literal["single", "double", "sequential", "anytime"] = "single"
    """The kind of plan; see above."""
    draw: Annotated[int, Field(ge=1)] | None = None
    """Default: 100, or the number that `risk` requires."""
    accept: Annotated[int, Field(ge=1)] | None = None
    """Default: 90 % of the draw, or the number that `risk` requires."""
    confirm: DrawSpec | Annotated[int, Field(ge=1)] | Literal["never"] | None = None
    """The confirming draw; a number is its size. `never`: a pass after a retry needs no confirmation."""
    risk: RiskSpec | None = None
    """Compute the accept numbers so that the whole run keeps these risks."""
    spending: bool = False
    """Only `double`: keep the consumer's risk for any number of attempts, of all runs in the ledger: each attempt is
    confirmed by a larger draw than the one before."""
    curtail: bool | None = None
    """Stop asking when the verdict can no longer change. Default: true in a run, false in a single gate."""
    reuse: bool = False
    """If the bank has no fresh cases left, draw used cases again. The report marks this."""
    ask_again: Annotated[int, Field(ge=0, le=10)] = ASK_AGAIN
    """How often a question without an answer is asked again, when the gate is started again. A question with an answer
    on record is never asked again."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.risk is not None and self.accept is not None and self.kind == "single":
            raise ValueError("give `accept` or `risk`, which computes it, not both")
        if self.spending and (self.kind != "double" or self.confirm is not None):
            raise ValueError("spending: computes the confirming draws of `kind: double`; leave out `confirm`")
        if self.kind in ("sequential", "anytime") and self.curtail is False:
            raise ValueError(f"curtail: a plan that is {self.kind} always stops when its verdict is certain; omit it")
        return self if self.accept is None or self.draw is None else _reachable(self)


def _reachable(spec: Any) -> Any:
    if spec.accept > spec.draw:
        raise ValueError(f"expected accept to be at most draw ({spec.draw}), got {spec.accept}")
    return spec


class SliceSpec(Spec):
    """The minimum pass rate of the cases with a tag."""

    min: Annotated[float, Field(gt=0, le=1)]
    """The minimum pass rate."""
    at_least: Annotated[int, Field(ge=1)] = 1
    """How many cases with the tag a draw contains at least; with fewer, a pass is INCONCLUSIVE."""


class GapSpec(Spec):
    """The maximum difference between the pass rates of groups."""

    between: Annotated[list[str], Field(min_length=2)]
    """Tags, written `field=value`; each is a group."""
    max: Annotated[float, Field(ge=0, le=100)] = 10.0
    """The maximum difference in percentage points."""
    at_least: Annotated[int, Field(ge=1)] = 20
    """How many cases of each group a draw contains at least; with fewer, a pass is INCONCLUSIVE."""

    @field_validator("between")
    @classmethod
    def _different(cls, between: list[str]) -> list[str]:
        if len(set(between)) < len(between):
            raise ValueError(f"expected different tags, got {between}")
        return between


def _minimum_only(value: Any) -> Any:
    return {"min": value} if isinstance(value, int | float) else value


class RetentionRiskSpec(Spec):
    """What a retention test may get wrong; the number of cases and the largest net loss are computed from it."""

    consumer: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """The chance that a model that lost `max_drop` points gets through in at least one attempt."""
    producer: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """The chance that a model that lost nothing fails an attempt."""
    differ: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The largest share of cases on which the two models are expected to differ; more needs more cases."""


class RetentionSpec(Spec):
    """What every stage must retain: the new and the earlier model are asked the same fresh cases in every attempt."""

    max_drop: Annotated[float, Field(ge=0, le=100)] = 5.0
    """By how many percentage points the pass rate may fall."""
    risk: RetentionRiskSpec | None = None
    """Compute how many cases are asked, and how many more may be lost than won, so that the run keeps these risks."""
    reuse: bool = False
    """Ask cases again if too few are left that no draw asked before; never those that chose the earlier model. The
    report marks it."""

    @model_validator(mode="after")
    def _solvable(self) -> Self:
        if self.risk is not None and not 0 < self.max_drop <= 100 * self.risk.differ + 1e-9:
            raise ValueError(
                f"expected `max_drop` above 0 and `risk.differ` at least `max_drop` / 100, got max_drop "
                f"{self.max_drop:g} and differ {self.risk.differ:g}; a model that lost {self.max_drop:g} points "
                f"differs on at least {self.max_drop:g} % of the cases"
            )
        return self


def _stop(text: str) -> str:
    if not text:
        raise ValueError("an empty string cannot end an answer; leave it out")
    slip = re.search(r"\\[nrt]", text)
    if slip:
        raise ValueError(
            f"{text!r} contains a backslash and the letter {slip[0][1]}, which no answer contains; in YAML, write "
            f'"{text}" in double quotes for {_ESCAPED[slip[0][1]]}'
        )
    return text


_ESCAPED = {"n": "a line break", "r": "a carriage return", "t": "a tab"}


class GenerateSpec(SamplingSpec):
    """How answers are generated; greedy by default."""

    max_new_tokens: Annotated[int, Field(ge=1)] = 128
    """The longest answer, in tokens."""
    system: Text | None = None
    """A system message for every prompt without one. A message that reveals answers of cases is refused."""
    stop: Annotated[list[Annotated[str, AfterValidator(_stop)]], BeforeValidator(listed)] = []
    """Texts that end an answer and are cut off. Write a line break in double quotes: "\\n"."""
    temperature: Temperature = 0.0
    """0 is greedy: always the most likely token."""
    seed: int = 0
    """The seed of sampling at a temperature above 0."""
    samples: Annotated[int, Field(ge=1, le=100)] = 1
    """How many answers to generate for each case; `case_passes` says which of them must pass. Counts and intervals are
    of cases, not of answers."""
    form: Form | None = None
    """chat: plain prompts go through the chat template; raw: they stay unchanged. Default, auto: chat if an answer is
    generated and there is a template, raw if choices are scored; a suite that does both must set `auto` itself."""
    system_as: SystemAs = "system"
    """first_user: put system messages before the first question, for chat templates without system messages."""

    @model_validator(mode="after")
    def _drawn_at_a_temperature(self) -> Self:
        if (name := without_effect(self.settings)) is not None:
            raise ValueError(f"{name}: {NO_EFFECT}")
        if self.samples > 1 and not self.temperature:
            raise ValueError(f"{self.samples} samples at temperature 0 are identical; set `temperature`, such as 0.7")
        return self

    @property
    def settings(self) -> GenerationSettings:
        """The settings, from the file's spec to the engine's type."""
        values: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        values |= {"stop": tuple(self.stop), "form": self.form or "auto"}
        return GenerationSettings(**values)


class AnswerSpec(Spec):
    """Which part of an answer the checks judge; the whole answer stays on record.

    Short forms: `answer: think`, `answer: whole`, or what to extract, as in `answer: boxed`.
    """

    after: Annotated[str, Field(min_length=1)] | None = None
    """Judge the text after the last of these marks, such as `</think>`; without the mark an answer misses. `think`: the
    text after the reasoning, whatever its marks; an answer without reasoning is judged as a whole."""
    extract: Annotated[list[str], BeforeValidator(listed)] = []
    """Judge the last match of this: `boxed`, `letter`, `last_number`, `fenced_json`, or a regular expression with one
    group. Of several, the first with a match applies. An answer without a match misses; reasoning is not searched."""
    whole: bool = False
    """Judge the whole answer, including reasoning and control tokens."""

    @field_validator("extract")
    @classmethod
    def _known(cls, rules: list[str]) -> list[str]:
        for rule in rules:
            fault = None if rule in PRESETS else fault_of_rule(rule)
            if fault:
                raise ValueError(fault + (nearest(rule, PRESETS) if rule.isidentifier() else ""))
        return rules

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.whole and (self.after is not None or self.extract):
            raise ValueError("`whole` judges the whole answer; remove it, or remove `after` and `extract`")
        if not (self.whole or self.after is not None or self.extract):
            raise ValueError("give `after`, `extract`, or `whole: true`")
        return self


def _answer_in_short(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.isidentifier() and value not in (known := (THINK, "whole", *PRESETS)):
        raise ValueError(
            f"expected one of {', '.join(known)}, or a regular expression with one group, got {value!r}"
            f"{nearest(value, known)}"
        )
    return {"whole": True} if value == "whole" else {"after": value} if value == THINK else {"extract": [value]}


class AgainstSpec(Spec):
    """The texts that the diversity of the answers is compared with. A single string is the path of their file."""

    path: str
    """A file of rows, relative to this file; at least as many rows as a draw has cases."""
    text: FieldTemplate = "{completion}"
    """The text of a row."""


class DiversitySpec(Spec):
    """How diverse the answers of a draw must be, compared with other texts: docs/diversity.md."""

    at_least: Annotated[float, Field(gt=0, le=1)] = 0.8
    """The lowest share of the other texts' diversity. A draw fails only if the upper limit of its share is lower."""
    measures: Annotated[list[Measure], Field(min_length=1), BeforeValidator(listed)] = list(WITHOUT_EXTRA)
    """How diversity is measured; each measure must hold. Default: all but `vendi`, which needs the extra
    `similarity`."""
    against: Annotated[AgainstSpec | None, BeforeValidator(path_only)] = None
    """The other texts, such as the training data. Default: the first reference of each case."""
    risk: Annotated[float, Field(ge=SMALLEST_RISK, lt=0.5)] = 0.05
    """The chance that a draw fails although its model's answers have the share `at_least` by each measure."""

    @field_validator("measures")
    @classmethod
    def _once(cls, measures: list[Measure]) -> list[Measure]:
        if len(set(measures)) < len(measures):
            raise ValueError(f"expected different measures, got {', '.join(measures)}")
        return measures


class SuiteSpec(Spec):
    """A suite: cases, the checks that judge them, the plan, and how answers are generated."""

    name: Name | None = None
    """Default: the name of the file."""
    cases: Annotated[CasesSpec, BeforeValidator(path_only)]
    """The test cases; a single string is the path of their file."""
    checks: Annotated[list[str | dict[str, Any]], Field(min_length=1)]
    """Every check must pass for a case to pass; docs/checks.md lists them."""
    plan: PlanSpec = PlanSpec()
    """How many cases to draw, and how many must pass."""
    generate: GenerateSpec = GenerateSpec()
    """How answers are generated."""
    responses: ResponsesSpec = ResponsesSpec()
    """How the rows of `--responses FILE` are read."""
    answer: Annotated[AnswerSpec | None, BeforeValidator(_answer_in_short)] = None
    """Which part of an answer is judged. Default: all of it, except control tokens at its end and the text after them;
    an answer with reasoning is then INVALID."""
    sealed: Annotated[float, Field(ge=0, le=0.9)] | None = None
    """The share of cases reserved for confirming draws. Default: a third, if the bank is large enough."""
    slices: dict[str, Annotated[SliceSpec, BeforeValidator(_minimum_only)]] = {}
    """Tag, written `field=value`, to the minimum pass rate of its cases."""
    gap: GapSpec | None = None
    """Groups that must have similar pass rates."""
    diversity: DiversitySpec | None = None
    """How diverse the answers of a draw must be; `{}` gives the default rule. It finds a model that has collapsed onto
    a few answers."""
    sweep: SweepSpec | None = None
    """Settings of sampling that `tunegate sweep` tries, such as `temperature: [0, 0.4, 0.8]`; only that command reads
    them."""
    weight: dict[str, Annotated[float, Field(gt=0, le=1)]] = {}
    """Tag to its share in production, if the bank has other shares: a weighted pass rate is shown beside the verdict.
    Every case has exactly one of the tags."""
    limits: LimitsSpec | None = None
    """What serving the model may cost: a gate passes only if these are kept too."""
    retention: RetentionSpec | None = None
    """Makes it a retention suite."""
    case_passes: CasePasses | None = None
    """With several `samples`: whether `all` answers to a case must pass for the case to pass (the default), a
    `majority` (more than half), or `any`."""
    allow: Annotated[list[Literal["told_answers"]], BeforeValidator(listed)] = []
    """Guards to switch off; the record and the report say so. `told_answers`: the suite or the chat template may reveal
    answers before the question."""

    @model_validator(mode="after")
    def _vote_needs_samples(self) -> Self:
        if self.case_passes is not None and self.generate.samples == 1:
            raise ValueError("`case_passes` needs several answers to a case: set `generate: {samples: 5}`")
        return self

    @model_validator(mode="after")
    def _limits_need_a_gate(self) -> Self:
        if self.limits is not None and self.retention is not None:
            raise ValueError("`limits` has no effect in a retention suite; put it into the suite of a gate")
        return self

    @model_validator(mode="after")
    def _slices_need_the_whole_draw(self) -> Self:
        if (self.slices or self.gap or self.diversity) and self.plan.kind in ("sequential", "anytime"):
            raise ValueError(
                f"a plan that is {self.plan.kind} may stop before its slices, groups and diversity can be judged; use "
                "`single` or `double`"
            )
        return self
