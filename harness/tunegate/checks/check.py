"""The seam between the engine and the checks: what a check is given, what it returns, and how a fault is contained."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, Protocol, cast, runtime_checkable

from tunegate.cases.case import Case, Prompt
from tunegate.checks.answers.part import AUTO, AnswerRule, Part, as_judged, part_of
from tunegate.checks.outcome import ErrorSpan, Finding, Outcome, Verdict, combine
from tunegate.exceptions import message_of, without_addresses
from tunegate.models.model import Response


@dataclass(frozen=True, slots=True)
class Sample:
    """What a check looks at: a case, the response to it, and which model gave it: its fingerprint, if any, and name.

    `variants` are the responses to the prompts that the check asked for beside the case's own, in its order. Where only
    a part of an answer is judged, that part is the response's text, `whole` is all of it, and the part begins at
    `start` of it; `answer` is the rule, by which the case's references are taken apart already.

    Example:
        >>> import tunegate
        >>> class SaysItsTopic(tunegate.Check):
        ...     def judge(self, sample: tunegate.Sample) -> bool:
        ...         return sample.case.fields["topic"] in sample.response.text
        >>> row = {"id": "a", "prompt": "What is DNA?", "topic": "gene"}
        >>> suite = tunegate.Suite([row], [SaysItsTopic()], plan={"draw": 1, "accept": 1})
        >>> tunegate.run_gate({"a": "It holds genes."}, suite, progress=False).passed
        1
    """

    case: Case
    response: Response
    model_sha256: str | None = None
    model_name: str = ""
    variants: tuple[Response, ...] = ()
    whole: str | None = None
    start: int = 0
    answer: AnswerRule = AUTO


Need = Literal["reference", "choices", "context"]
"""What a check may ask of a case beside its prompt, by its name under `cases`."""


class Check(Protocol):
    """A metric with its pass condition.

    `judge` returns one finding per sample, in order. `batch_size` is how many samples it likes at once: 1 for plain
    functions, more for checks that gain from batching. `needs_choices` asks the model for the likelihood of each choice
    instead of a generated answer. `needs` is what a case must hold to be judged at all. `variants` are prompts that the
    model is asked beside the case's own, for checks that compare answers; it raises for a case that the check can make
    nothing of. `max_errors` caps error categories over a whole gate. `can_fail` is False for a check that only reports.
    `fingerprint` is everything that can change a finding: name, version, options, contents of the files it uses.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def needs_choices(self) -> bool: ...
    @property
    def needs(self) -> tuple[Need, ...]: ...
    @property
    def max_errors(self) -> dict[str, int]: ...
    @property
    def can_fail(self) -> bool: ...
    @property
    def fingerprint(self) -> str: ...
    def variants(self, case: Case) -> tuple[Prompt, ...]: ...
    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]: ...


@runtime_checkable
class LooksAtBank(Protocol):
    """A check that also looks at the whole bank before anything is asked, its references as they will be judged.

    `fault_of` says why a suite is refused, `remarks` what `tunegate check` tells.
    """

    def fault_of(self, cases: Sequence[Case]) -> str | None: ...
    def remarks(self, cases: Sequence[Case]) -> Sequence[str]: ...


@runtime_checkable
class LooksAtAnswer(Protocol):
    """A check with options that have nothing left to do once the suite's `answer` has taken its part of an answer."""

    def fault_with(self, answer: AnswerRule) -> str | None: ...


CheckBuilder = Callable[[object, Path], Check]
"""Builds a check from its entry in a suite file and the folder of that file.

Raises ConfigError that names the nearest check or option."""


def gate_can_fail(checks: Sequence[Check], drawn: int) -> bool:
    """Whether some answers to the `drawn` cases of a gate could fail it: a gate that nothing fails decides nothing."""
    return any(check.can_fail or any(cap < drawn for cap in check.max_errors.values()) for check in checks)


def judge(checks: Sequence[Check], samples: Sequence[Sample], answer: AnswerRule = AUTO) -> Iterator[Outcome]:
    """Run every check on every sample; one outcome per sample, in order.

    A sample holds the responses to the variants of all checks, as `variants_of` lists them; each check sees its own.
    A response that could not be generated is INVALID without asking any check. Checks that look at text see the part of
    it that `answer` says; where there is none, they are not asked, and a finding says why.
    """
    answered = [sample for sample in samples if sample.response.error is None]
    reads_text = any(not check.needs_choices for check in checks)
    parts = [_with_part(sample, answer) if reads_text else (sample, None) for sample in answered]
    as_asked = [(sample, sample.case) for sample in answered]
    texts = [
        (sample, asked)
        for (sample, part), (_, asked) in zip(parts, as_asked, strict=True)
        if not isinstance(part, Finding)
    ]
    columns = [
        (check, iter(_findings(check, name, checks, as_asked if check.needs_choices else texts)))
        for check, name in zip(checks, unique_names(checks), strict=True)
    ]
    rows = iter([_row(columns, part) for _, part in parts])
    judged = iter(parts)
    for sample in samples:
        if sample.response.error is None:
            yield _outcome(sample, next(rows), next(judged)[1])
        else:
            yield _outcome(sample, [Finding("model", Verdict.INVALID, reason=sample.response.error)])


def _findings(
    check: Check, name: str, checks: Sequence[Check], samples: Sequence[tuple[Sample, Case]]
) -> list[Finding]:
    return [_recorded(finding, name) for finding in _run(check, _with_own_variants(samples, checks, check))]


def _row(columns: Sequence[tuple[Check, Iterator[Finding]]], part: Part | Finding | None) -> list[Finding]:
    """The findings of one sample; those of checks that look at text also say what was left out of the answer."""
    if isinstance(part, Finding):
        return [part, *(next(findings) for check, findings in columns if check.needs_choices)]
    row = [(check, next(findings)) for check, findings in columns]
    return [finding if part is None or check.needs_choices else _told(finding, part) for check, finding in row]


def _told(finding: Finding, part: Part) -> Finding:
    """The finding with its spans where they stand in the whole answer, and with what was left out of that."""
    errors = tuple(replace(one, start=one.start + part.start, end=one.end + part.start) for one in finding.errors)
    return replace(finding, errors=errors, reason="; ".join(filter(None, (finding.reason, part.note))))


def _with_part(sample: Sample, answer: AnswerRule) -> tuple[Sample, Part | Finding | None]:
    """The sample with the part of its answers that is judged, and that part; or the finding that there is none."""
    part = part_of(sample.response, sample.case, answer)
    variants = [part_of(variant, sample.case, answer) for variant in sample.variants]
    lost = next((one for one in (part, *variants) if isinstance(one, Finding)), None)
    if lost is not None:
        return sample, lost
    texts = [cast(Part, one).text for one in (part, *variants)]
    case = as_judged(sample.case, answer)
    response, *others = [
        one if one.text == text else replace(one, text=text)
        for one, text in zip((sample.response, *sample.variants), texts, strict=True)
    ]
    own = cast(Part, part)
    return replace(
        sample,
        case=case,
        response=response,
        variants=tuple(others),
        whole=sample.response.text,
        start=own.start,
        answer=answer,
    ), own


def variants_of(checks: Sequence[Check], case: Case) -> tuple[Prompt, ...]:
    """The prompts that the checks want asked beside the case's own, those of the first check first."""
    return tuple(prompt for check in checks for prompt in check.variants(case))


def unaskable(checks: Sequence[Check], case: Case) -> str | None:
    """Why a check could not judge the case whatever the model says: it finds not in the row what it asks for."""
    for check in checks:
        try:
            check.variants(case)
        except Exception as error:  # a check of somebody else's may raise anything
            return f"{check.name}: {without_addresses(message_of(error)) or type(error).__name__}"
    return None


def lacking(check: Check, cases: Sequence[Case]) -> dict[Need, int]:
    """What a check needs, and how many of the cases lack it: whatever the model says, these are INVALID."""
    held: dict[Need, Callable[[Case], object]] = {
        "reference": lambda case: case.references,
        "choices": lambda case: case.choices,
        "context": lambda case: case.context,
    }
    without: dict[Need, int] = {need: sum(not held[need](case) for case in cases) for need in check.needs}
    return {need: number for need, number in without.items() if number}


def _with_own_variants(
    samples: Sequence[tuple[Sample, Case]], checks: Sequence[Check], check: Check
) -> Sequence[Sample]:
    """The samples, each with the case that was asked, whose variants they hold: its references are not taken apart."""
    if not any(sample.variants for sample, _ in samples):
        return [sample for sample, _ in samples]
    before = list(takewhile(lambda other: other is not check, checks))
    starts = [len(variants_of(before, asked)) for _, asked in samples]
    return [
        replace(sample, variants=sample.variants[start : start + len(check.variants(asked))])
        for (sample, asked), start in zip(samples, starts, strict=True)
    ]


def _run(check: Check, samples: Sequence[Sample]) -> Iterator[Finding]:
    for start in range(0, len(samples), check.batch_size):
        yield from _contained(check, samples[start : start + check.batch_size])


def _contained(check: Check, batch: Sequence[Sample]) -> Sequence[Finding]:
    """Judge a batch; when it raises, judge its samples one by one, so that only the culprits become INVALID."""
    try:
        findings = check.judge(batch)
        if len(findings) != len(batch):
            raise ValueError(f"the check returned {len(findings)} findings for {len(batch)} samples")
        _all_judged(findings)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a metric that calls sys.exit(0) or pytest.skip() must not end the gate with 0
        if len(batch) > 1:
            return [finding for sample in batch for finding in _contained(check, [sample])]
        reason = f"raised {type(error).__name__}: {message_of(error)}"
        return [
            Finding(check.name, Verdict.INVALID, reason=reason, version=check.version, detail=traceback.format_exc())
        ]
    return findings


def _recorded(finding: Finding, name: str) -> Finding:
    """The finding under its name in the suite; without addresses, so that judging twice records the same words."""
    return replace(finding, check=name, reason=_stable(finding.reason), detail=_stable(finding.detail))


def _stable(text: str | None) -> Any:
    return without_addresses(text) if isinstance(text, str) else text  # a check of somebody else's may leave anything


def _all_judged(findings: Sequence[object]) -> None:
    """Refuse what a check of somebody else's may return instead of a judgement."""
    for finding in findings:
        if not isinstance(finding, Finding):
            raise TypeError(f"the check returned {type(finding).__name__}, a Finding was expected")
        if finding.verdict not in (Verdict.PASS, Verdict.FAIL, Verdict.INVALID):
            raise ValueError(f"the check returned the verdict {finding.verdict!r}, a case has PASS, FAIL or INVALID")
        is_nan = finding.value != finding.value  # nothing else differs from itself
        if is_nan and finding.verdict is not Verdict.INVALID:
            raise ValueError(f"the check returned {finding.verdict} for the value {finding.value}")
        if not all(isinstance(error, ErrorSpan) for error in cast("Sequence[object]", finding.errors)):
            raise TypeError(f"the check returned the errors {finding.errors!r:.80}, ErrorSpans were expected")


def _outcome(sample: Sample, findings: Sequence[Finding], part: Part | Finding | None = None) -> Outcome:
    verdict, reason = combine(findings)
    case, response = sample.case, sample.response
    left_out = part.left_out if isinstance(part, Part) else None
    if left_out and not any(error.category == left_out.category for one in findings for error in one.errors):
        findings = [replace(findings[0], errors=(*findings[0].errors, left_out)), *findings[1:]]
    return Outcome(
        case_id=case.id,
        verdict=verdict,
        reason=reason,
        findings=tuple(findings),
        prompt=case.prompt,
        response=response.text,
        references=case.references,
        tags=case.tags,
        group=case.group,
        finish_reason=response.finish_reason,
        judged=part.text if isinstance(part, Part) and part.text != response.text else None,
    )


def unique_names(checks: Sequence[Check]) -> list[str]:
    """Names for a suite's checks: the second `regex` is `regex#2`."""
    seen: Counter[str] = Counter()
    names: list[str] = []
    for check in checks:
        seen[check.name] += 1
        names.append(check.name if seen[check.name] == 1 else f"{check.name}#{seen[check.name]}")
    return names
