"""Judging the stored answers of a draw again: what the record says about an answer must follow from the answer itself.

Somebody can write a record by hand, with verdicts that agree with each other but not with the answers. So the checks
that need only the case and the answer (`Check.deterministic`) judge every answer again. Checks that ask a model or
a server, or run the user's code, are believed; their names are returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import cast

from tunegate.cases.bank import Part
from tunegate.cases.case import question_of
from tunegate.checks.check import Check, Sample, is_deterministic, unique_names
from tunegate.checks.outcome import Finding, Outcome, SampleOutcome, Verdict, combine
from tunegate.exceptions import CannotJudge, Tampered
from tunegate.gates.ask import samples_of
from tunegate.gates.diversity import measure_again
from tunegate.gates.judging import Judging
from tunegate.models.model import StoredResponses
from tunegate.record.record import GateRecord
from tunegate.record.typed_json import as_recorded
from tunegate.suites.suite import Suite


def judge_again(gate: GateRecord, suite: Suite) -> list[str]:
    """Judge the answers of a draw again by its suite; returns the names of the checks that had to be believed.

    Raises Tampered if the suite has changed, if a case on record differs from the case in the bank, or if a check
    disagrees with its finding on record; CannotJudge if a check can't judge an answer here that it judged then.
    """
    if gate.suite_sha256 != suite.sha256:
        raise Tampered(
            f"gate {gate.key!r}: it used the suite {gate.suite_sha256[:12]}…, but {suite.path or suite.name} "
            f"is now {suite.sha256[:12]}…; restore its files"
        )
    by_id = {case.id: case for case in suite.cases}
    _check_cases(gate, suite)
    names = unique_names(suite.checks)
    believed = [name for check, name in zip(suite.checks, names, strict=True) if not is_deterministic(check)]
    versions = {name: check.version for check, name in zip(suite.checks, names, strict=True)}
    asked = [by_id[outcome.case_id] for outcome in gate.outcomes]
    try:
        samples = samples_of(suite, _Named(gate.model, gate.model_sha256), asked, gate.answers.responses)
    except KeyError as error:
        raise Tampered(f"gate {gate.key!r}: the answer to {error.args[0]!r} is not on record") from error
    for then, now in zip(gate.outcomes, _judged(suite, samples), strict=True):
        _compare(gate, then, now, frozenset(believed), versions)
    return believed + measure_again(gate, suite.diversity, suite.diversity_texts)


def compare_answers(gate: GateRecord, stored: StoredResponses) -> None:
    """Compare the answers on record with those of the file that they were read from; raises Tampered if one differs."""
    for question, response in gate.answers.responses.items():
        given = stored.responses.get(question)
        if given is None or replace(response, tries=given.tries) != given:
            raise Tampered(
                f"gate {gate.key!r}: the answer to {question!r} on record is not that of the file {stored.name}"
            )


def _check_cases(gate: GateRecord, suite: Suite) -> None:
    """Raise Tampered unless the drawn cases are in the registered part of the bank, with the same questions."""
    part = {case.id: case for case in suite.bank.part(cast(Part, gate.part))}
    for case_id in (*gate.case_ids, *(outcome.case_id for outcome in gate.outcomes)):
        if case_id not in part:
            raise Tampered(f"gate {gate.key!r}: case {case_id!r} is on record, but not a {gate.part} case of the bank")
    if tuple(suite.check_names) != gate.checks or gate.bank not in (0, len(part)):  # older records do not say the bank
        raise Tampered(
            f"gate {gate.key!r}: its checks, or the size of its bank, are not those of {suite.path or suite.name}"
        )
    asked_with = as_recorded(asdict(suite.settings))
    if any(asked_with.get(name) != value for name, value in gate.settings.items()):
        raise Tampered(f"gate {gate.key!r}: asked with other settings than {suite.path or suite.name} gives")
    for case_id, question in zip(gate.case_ids, gate.questions, strict=False):
        if question_of(part[case_id]) != question:
            raise Tampered(f"gate {gate.key!r}: case {case_id!r} has another question in the bank than on record")


@dataclass(frozen=True, slots=True)
class _Named:
    """The model that gave the answers, as the record names it."""

    name: str
    sha256: str | None


@dataclass(frozen=True)
class _Believed:
    """A check that is not run again: it has the check's properties, and passes every answer."""

    check: Check

    def __getattr__(self, name: str) -> object:
        return getattr(self.check, name)

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        return [Finding(self.check.name, Verdict.PASS) for _ in samples]


def _judged(suite: Suite, samples: Sequence[Sample]) -> Iterator[Outcome]:
    checks = [check if is_deterministic(check) else _Believed(check) for check in suite.checks]
    return replace(Judging.of(suite), checks=checks).outcomes(samples)  # type: ignore[arg-type]


def _compare(
    gate: GateRecord, then: Outcome, now: Outcome, believed: frozenset[str], versions: Mapping[str, str]
) -> None:
    place = f"gate {gate.key!r}: case {then.case_id!r}"
    for field in ("prompt", "references", "tags", "group"):
        if getattr(then, field) != getattr(now, field):
            raise Tampered(f"{place}: the record and the bank have different values of {field!r}")
    for one, again in zip(then.samples or (then,), now.samples or (now,), strict=True):
        found, expected = _verdicts(one, believed), _verdicts(again, believed)
        if found == expected:
            _compare_told(place, one, again, believed, versions)
            continue
        for name, verdict in expected.items():
            if verdict is Verdict.INVALID and found.get(name) is not Verdict.INVALID:
                reason = next(finding.reason for finding in again.findings if finding.check == name)
                raise CannotJudge(f"{place}: {name} can't judge its answer again here: {reason}")
        wrong = next(name for name in (*expected, *found) if found.get(name) is not expected.get(name))
        said = found[wrong].value if wrong in found else "nothing"
        again_said = expected[wrong].value if wrong in expected else "nothing"
        raise Tampered(f"{place}: {wrong} finds {again_said} in the answer on record, but the record says {said}")


def _compare_told(
    place: str,
    one: Outcome | SampleOutcome,
    again: Outcome | SampleOutcome,
    believed: frozenset[str],
    versions: Mapping[str, str],
) -> None:
    """Compare what readers see besides the verdicts: values, cutoffs, reasons, and versions.

    A finding's version is compared only if it is the check's own: `human` adds the hash of the labels, which grow.
    """
    for then, now in zip(one.findings, again.findings, strict=True):
        told = [_told(then), _told(now)]
        if now.version == versions.get(now.check, now.version):
            told = [[*told[0], then.version], [*told[1], now.version]]
        if then.check not in believed and now.verdict is not Verdict.INVALID and told[0] != told[1]:
            raise Tampered(f"{place}: {then.check} tells something else of the answer on record than the record does")
    if combine(one.findings)[1] != one.reason:
        raise Tampered(f"{place}: its findings give another reason than the record says")
    if one.judged != again.judged:
        raise Tampered(f"{place}: another part of its answer is judged than the record says")


def _told(finding: Finding) -> list[object]:
    """Numbers as another machine may compute them: the last digits may differ."""
    numbers = [as_recorded(one) for one in (finding.value, finding.cutoff)]
    return [finding.reason, *(float(f"{one:.6g}") if type(one) is float else one for one in numbers)]


def _verdicts(judged: Outcome | SampleOutcome, believed: frozenset[str]) -> Mapping[str, Verdict]:
    return {finding.check: finding.verdict for finding in judged.findings if finding.check not in believed}
