"""The interface between engine and checks: a check's input, its result, and how its errors are contained."""

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
from tunegate.exceptions import ENDS_GATE, message_of, without_addresses
from tunegate.models.model import OpenJudge, Response


@dataclass(frozen=True, slots=True)
class Sample:
    """The input of a check: a case, the response to it, and the model's name and fingerprint (if it has one).

    `variants` are the responses to the additional prompts of the check, in its order. If only a part of an answer is
    judged, the response's text is that part, `whole` is the whole answer, and `start` is the position of the part in
    it; `answer` is the rule that selected the part, and has already been applied to the case's references. `open_judge`
    opens a judge's model on the workers of the model that answered; None: judges are opened in this process.

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
    open_judge: OpenJudge | None = None


Need = Literal["reference", "choices", "context"]
"""The parts of a case that a check may require, by their names under `cases`."""


class Check(Protocol):
    """A metric with its pass condition.

    `judge` returns one finding per sample, in order. `batch_size` is the preferred number of samples per call: 1 for
    plain functions, more for checks that benefit from batching. `needs_choices` asks the model for the likelihood of
    each choice instead of a generated answer. `needs` lists the parts that a case must have to be judged. `variants`
    gives additional prompts for the model, for checks that compare answers; it raises for a case that the check cannot
    use. `max_errors` caps error categories over a whole gate. `can_fail` is False for a check that only reports.
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


def is_deterministic(check: Check) -> bool:
    """Whether a finding follows from the case and the answer alone: no model, no server, none of the user's code.

    Such a check can judge a stored answer again, anywhere, with the same result. A check of another package that does
    not say so is not.
    """
    return getattr(check, "deterministic", False) is True


@runtime_checkable
class LooksAtBank(Protocol):
    """A check that also examines the whole bank before anything is asked, with references as they will be judged.

    `fault_of` gives the reason to refuse a suite, `remarks` the notes that `tunegate check` shows.
    """

    def fault_of(self, cases: Sequence[Case]) -> str | None: ...
    def remarks(self, cases: Sequence[Case]) -> Sequence[str]: ...


@runtime_checkable
class LooksForErrors(Protocol):
    """A check that looks for error categories in answers: all of them by name, found or not."""

    @property
    def error_categories(self) -> tuple[str, ...]: ...


def error_categories(checks: Sequence[Check]) -> list[str]:
    """The error categories that the checks look for, each once: what is not found is known only with these."""
    looking = (check for check in checks if isinstance(check, LooksForErrors))
    return list(dict.fromkeys(name for check in looking for name in check.error_categories))


@runtime_checkable
class LooksAtAnswer(Protocol):
    """A check with options that are useless if the suite's `answer` already extracts a part of an answer."""

    def fault_with(self, answer: AnswerRule) -> str | None: ...


class CheckBuilder(Protocol):
    """Builds a check from its entry in a suite file, the folder of that file, and the file.

    Raises ConfigError with the nearest check or option, or with what the file may not do.
    """

    def __call__(self, entry: object, base_dir: Path, *, file: Path | None = None) -> Check: ...


def gate_can_fail(checks: Sequence[Check], drawn: int) -> bool:
    """Whether any answers to the `drawn` cases could fail a gate: a gate that cannot fail decides nothing."""
    return any(check.can_fail or any(cap < drawn for cap in check.max_errors.values()) for check in checks)


def judge(checks: Sequence[Check], samples: Sequence[Sample], answer: AnswerRule = AUTO) -> Iterator[Outcome]:
    """Run every check on every sample; one outcome per sample, in order.

    A sample holds the responses to the variants of all checks, in the order of `variants_of`; each check sees its own.
    A response that could not be generated is INVALID without running any check. Checks that read text get the part that
    `answer` selects; if there is none, they do not run, and a finding says why.
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
    """The findings of one sample; findings of checks that read text also say what was left out of the answer."""
    if isinstance(part, Finding):
        return [part, *(next(findings) for check, findings in columns if check.needs_choices)]
    row = [(check, next(findings)) for check, findings in columns]
    return [
        finding if part is None or check.needs_choices else _in_whole_answer(finding, part) for check, finding in row
    ]


def _in_whole_answer(finding: Finding, part: Part) -> Finding:
    """The finding with its spans as positions in the whole answer, and with a note about the text left out."""
    if part.start == 0 and not part.note and finding.errors == () and type(finding.reason) is str:
        return finding
    errors = tuple(replace(one, start=one.start + part.start, end=one.end + part.start) for one in finding.errors)
    return replace(finding, errors=errors, reason="; ".join(filter(None, (finding.reason, part.note))))


def _with_part(sample: Sample, answer: AnswerRule) -> tuple[Sample, Part | Finding | None]:
    """The sample with the judged part of its answers, and that part, or a finding if there is none."""
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
    """The additional prompts of the checks for a case, those of the first check first."""
    return tuple(prompt for check in checks for prompt in check.variants(case))


def unaskable(checks: Sequence[Check], case: Case) -> str | None:
    """Why a check could not judge the case whatever the model answers: the row does not have what the check needs."""
    for check in checks:
        try:
            check.variants(case)
        except Exception as error:  # third-party checks may raise anything
            return f"{check.name}: {without_addresses(message_of(error)) or type(error).__name__}"
    return None


def lacking(check: Check, cases: Sequence[Case]) -> dict[Need, int]:
    """The parts that a check needs, with the number of cases that lack each: these are INVALID for every answer."""
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
    """The samples with the cases as asked, which determine the variants: there the `answer` rule is not applied."""
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
    """Judge a batch; if it raises, judge its samples one by one, so that only the faulty samples become INVALID."""
    try:
        findings = check.judge(batch)
        if len(findings) != len(batch):
            raise ValueError(f"the check returned {len(findings)} findings for {len(batch)} samples")
        _all_judged(findings)
    except (KeyboardInterrupt, *ENDS_GATE):
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
    """The finding under its name in the suite; without memory addresses, so that judging twice gives the same text."""
    reason, detail = _stable(finding.reason), _stable(finding.detail)
    if finding.check == name and reason is finding.reason and detail is finding.detail:
        return finding
    return replace(finding, check=name, reason=reason, detail=detail)


def _stable(text: str | None) -> Any:
    return without_addresses(text) if isinstance(text, str) else text  # third-party checks may return anything


def _all_judged(findings: Sequence[object]) -> None:
    """Refuse return values of third-party checks that are not valid findings."""
    for finding in findings:
        if not isinstance(finding, Finding):
            raise TypeError(f"the check must return a Finding, got {type(finding).__name__}")
        if finding.verdict not in (Verdict.PASS, Verdict.FAIL, Verdict.INVALID):
            raise ValueError(f"the check must return the verdict PASS, FAIL or INVALID, got {finding.verdict!r}")
        is_nan = finding.value != finding.value  # only NaN differs from itself
        if is_nan and finding.verdict is not Verdict.INVALID:
            raise ValueError(f"the check returned {finding.verdict} for the value {finding.value}")
        if not all(isinstance(error, ErrorSpan) for error in cast("Sequence[object]", finding.errors)):
            raise TypeError(f"the check must return ErrorSpans as errors, got {finding.errors!r:.80}")


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


IMPORTED = "imported"
"""The name of the check that takes over the score of another tool, which nothing here judged again."""


def is_imported(known_as: str) -> bool:
    """Whether a check, by its name in a suite or on record, takes over the score of another tool.

    >>> is_imported("imported#2"), is_imported("exact")
    (True, False)
    """
    return known_as.partition("#")[0] == IMPORTED


def unique_names(checks: Sequence[Check]) -> list[str]:
    """Unique names for a suite's checks: the second `regex` is `regex#2`."""
    seen: Counter[str] = Counter()
    names: list[str] = []
    for check in checks:
        seen[check.name] += 1
        names.append(check.name if seen[check.name] == 1 else f"{check.name}#{seen[check.name]}")
    return names
