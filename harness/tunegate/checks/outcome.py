"""The result of a case: the verdicts, the findings of its checks, and the outcome that they add up to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from tunegate.cases.case import Prompt


class Verdict(StrEnum):
    """The possible verdicts. A case is never INCONCLUSIVE; a gate can be.

    Example:
        >>> import tunegate
        >>> tunegate.Verdict.FAIL.exit_code, tunegate.Verdict.FAIL == "FAIL"
        (1, True)
    """

    PASS = "PASS"
    FAIL = "FAIL"
    INVALID = "INVALID"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def exit_code(self) -> int:
        """The exit code of a command that ends with this verdict."""
        return {"PASS": 0, "FAIL": 1, "INVALID": 3, "INCONCLUSIVE": 4}[self.value]


@dataclass(frozen=True, slots=True)
class ErrorSpan:
    """An error category and the part of the response that shows it: `response[start:end] == text`.

    A category without a place (`empty`, `truncated`) has `start == end` and an empty text.
    """

    category: str
    start: int = 0
    end: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check on one response.

    `value` is the measured value: a score, a boolean or a label. `cutoff` is the bound that a numeric value was
    compared with, for the reader. `detail` holds what auditors need and readers rarely do: a judge's raw answer or a
    traceback.

    Example:
        >>> import tunegate
        >>> tunegate.Finding("tone", tunegate.Verdict.FAIL, value="rude", reason="calls the user names").value
        'rude'
    """

    check: str
    verdict: Verdict
    value: float | bool | str | None = None
    reason: str = ""
    version: str = "1"
    cutoff: float | None = None
    errors: tuple[ErrorSpan, ...] = ()
    detail: str | None = None


HUMAN = "human"
"""The name of the check that takes over people's verdicts."""
NO_LABEL = "no label"
"""The value of its finding for an answer that nobody has labelled yet."""


def is_human(known_as: str) -> bool:
    """Whether a check, by its name in a suite or on record, takes over people's verdicts.

    >>> is_human("human#2"), is_human("exact")
    (True, False)
    """
    return known_as.partition("#")[0] == HUMAN


def is_unlabelled(finding: Finding) -> bool:
    """Whether a finding only says that nobody has labelled the answer yet."""
    return is_human(finding.check) and finding.verdict is Verdict.INVALID and finding.value == NO_LABEL


@dataclass(frozen=True, slots=True)
class SampleOutcome:
    """One of several answers to a case, after all checks."""

    response: str
    verdict: Verdict
    reason: str
    findings: tuple[Finding, ...]
    finish_reason: str = "unknown"
    judged: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case after all its checks. `judged` is the part of the response that they saw, if that is not all of it.

    `samples` are its answers if it was answered several times; the other fields are then those of the first answer with
    the verdict of the case. Older records have neither.

    Example:
        >>> import tunegate
        >>> outcome = tunegate.run_gate(lambda prompt: "Paris", "facts.yaml", progress=False).outcomes[0]
        >>> isinstance(outcome, tunegate.Outcome), outcome.response, list(outcome.scores)
        (True, 'Paris', ['exact'])
    """

    case_id: str
    verdict: Verdict
    reason: str
    findings: tuple[Finding, ...]
    prompt: Prompt
    response: str
    references: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    group: str | None = None
    finish_reason: str = "unknown"
    judged: str | None = None
    samples: tuple[SampleOutcome, ...] = ()

    @property
    def scores(self) -> dict[str, float | bool | str | None]:
        """The measured values by check name."""
        return {finding.check: finding.value for finding in self.findings}

    @property
    def errors(self) -> tuple[ErrorSpan, ...]:
        """All error spans that the checks found in the response."""
        return tuple(error for finding in self.findings for error in finding.errors)

    @property
    def by_people(self) -> bool:
        """Whether people's labels are part of its verdict."""
        return any(is_human(finding.check) for one in self.samples or (self,) for finding in one.findings)

    @property
    def awaits_people(self) -> bool:
        """Whether only people's verdict is missing: no label, or they could not tell."""
        unjudged = self._unjudged
        return bool(unjudged) and all(is_human(finding.check) for finding in unjudged)

    @property
    def awaits_label(self) -> bool:
        """Whether only a label is missing: nobody has said anything about an answer yet."""
        unjudged = self._unjudged
        return bool(unjudged) and all(map(is_unlabelled, unjudged))

    @property
    def _unjudged(self) -> list[Finding]:
        """What kept the case from having a verdict."""
        if self.verdict is not Verdict.INVALID:
            return []
        findings = [finding for one in self.samples or (self,) for finding in one.findings]
        return [finding for finding in findings if finding.verdict is Verdict.INVALID]

    @property
    def error_categories(self) -> frozenset[str]:
        """The error categories in any of its answers."""
        judged = (self.findings, *(sample.findings for sample in self.samples))
        return frozenset(error.category for findings in judged for finding in findings for error in finding.errors)


def never_ended(outcomes: Iterable[Outcome]) -> int:
    """How many answers passed if none of them ended: all reached the token limit, although it leaves room for the right
    answer. 0 if any answer ended, or if there are too few to tell.

    A check such as `contains` passes them, but a user would wait forever.
    """
    passed = [outcome for outcome in outcomes if outcome.verdict is Verdict.PASS]
    ran_on = [one for one in passed if one.finish_reason == "length" and _longer_than_right(one)]
    return len(passed) if len(passed) >= FEWEST_UNENDED and len(ran_on) == len(passed) else 0


FEWEST_UNENDED = 3


def _longer_than_right(outcome: Outcome) -> bool:
    """Whether the answer is longer than a right one: a suite that allows only one letter cuts every answer on
    purpose."""
    return not outcome.references or len(outcome.response.strip()) > min(map(len, outcome.references))


def combine(findings: Sequence[Finding]) -> tuple[Verdict, str]:
    """Combine the findings of one case into its verdict and reason.

    A case passes when all its checks pass. One check that could not judge makes the case INVALID, whatever the others
    say: an incomplete examination is neither a failure nor a pass. A case without findings is INVALID too.
    """
    if not findings:
        return Verdict.INVALID, "no check judged this case"
    unjudged = [finding for finding in findings if finding.verdict not in (Verdict.PASS, Verdict.FAIL)]
    missed = [finding for finding in findings if finding.verdict == Verdict.FAIL]
    for verdict, culprits in ((Verdict.INVALID, unjudged), (Verdict.FAIL, missed)):
        if culprits:
            return verdict, "; ".join(f"{finding.check}: {finding.reason}" for finding in culprits)
    return Verdict.PASS, ""


def keep_findings(before: Sequence[Finding], outcome: Outcome) -> Outcome:
    """The outcome of an answer that was judged before: earlier decisions of checks are kept, but not those of people,
    who may have changed their minds."""
    again = outcome.findings
    if [finding.check for finding in before] != [finding.check for finding in again]:
        return outcome
    decided = (Verdict.PASS, Verdict.FAIL)
    findings = tuple(
        old if old.verdict in decided and not is_human(old.check) else new
        for old, new in zip(before, again, strict=True)
    )
    verdict, reason = combine(findings)
    return replace(outcome, findings=findings, verdict=verdict, reason=reason)


CasePasses = Literal["all", "majority", "any"]
"""Which of several answers must pass for their case to pass; a majority is more than half."""


def vote(verdicts: Sequence[Verdict], passes: CasePasses) -> Verdict:
    """The verdict of a case from those of its answers; INVALID if an answer that was not judged could change it.

    >>> vote([Verdict.PASS, Verdict.INVALID, Verdict.PASS], "majority")
    <Verdict.PASS: 'PASS'>
    """
    n, passed = len(verdicts), sum(verdict is Verdict.PASS for verdict in verdicts)
    unjudged = sum(verdict not in (Verdict.PASS, Verdict.FAIL) for verdict in verdicts)
    needed = {"all": n, "majority": n // 2 + 1, "any": 1}[passes]
    if n and passed >= needed:
        return Verdict.PASS
    return Verdict.FAIL if n and passed + unjudged < needed else Verdict.INVALID


def of_samples(outcomes: Sequence[Outcome], passes: CasePasses) -> Outcome:
    """The outcome of a case from the outcomes of its answers (at least one)."""
    if len(outcomes) == 1:
        return outcomes[0]
    verdict = vote([outcome.verdict for outcome in outcomes], passes)
    passed = sum(outcome.verdict is Verdict.PASS for outcome in outcomes)
    shown = next(outcome for outcome in outcomes if outcome.verdict is verdict)
    samples = tuple(
        SampleOutcome(o.response, o.verdict, o.reason, o.findings, o.finish_reason, o.judged) for o in outcomes
    )
    reason = f"{passed} of {len(outcomes)} answers passed{f'; {shown.reason}' if shown.reason else ''}"
    return replace(shown, reason=reason, samples=samples)


def shallow(instance: Any) -> dict[str, Any]:
    """The fields of a slotted dataclass, not copied: `asdict` makes deep copies, which took half the time of a gate."""
    return {name: getattr(instance, name) for name in instance.__slots__}
