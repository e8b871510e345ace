"""Outcomes as the record holds them: plain JSON values, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tunegate.cases.case import sample_id
from tunegate.checks.outcome import Finding, Outcome, SampleOutcome, shallow
from tunegate.models.model import Response
from tunegate.record.typed_json import read_as

ENDLESS = ("nan", "inf", "-inf")
"""How an infinite cutoff is written."""


def verdict_to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome without its answers, which are on record before they are judged; `outcome_from_json` adds them."""
    data = outcome_to_json(outcome)
    for one in (data, *data.get("samples", ())):
        del one["response"], one["finish_reason"]
    return data


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain JSON values; `outcome_from_json` is its inverse, except for NaN, which JSON does not have."""
    data = {**shallow(outcome), "findings": [_finding_to_json(finding) for finding in outcome.findings]}
    del data["samples"]
    samples = [
        {**shallow(sample), "findings": [_finding_to_json(finding) for finding in sample.findings]}
        for sample in outcome.samples
    ]
    return {**data, "samples": samples} if samples else data


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    data: dict[str, Any] = {**shallow(finding), "errors": [shallow(error) for error in finding.errors]}
    for name in ("value", "cutoff"):
        if isinstance(data[name], float) and not math.isfinite(data[name]):
            data[name] = str(data[name])
    return data


def outcome_from_json(data: Mapping[str, Any], responses: Mapping[str, Response] | None = None) -> Outcome:
    """The outcome in a record, with its answers from `responses` unless the record holds them in the outcome.

    Raises KeyError, TypeError, AttributeError or ValueError for anything else.
    """
    values = dict(data)
    samples: list[Mapping[str, Any]] = values.pop("samples", [])
    if responses is not None:
        shown = values["case_id"]
        if samples != []:  # of several answers, the first that has the verdict of the case is shown
            named = [sample_id(shown, number) for number, _ in enumerate(samples, start=1)]
            shown = next(
                (name for name, one in zip(named, samples, strict=True) if one["verdict"] == values["verdict"]), shown
            )
            samples = [{**sample, **_answer(responses[name])} for sample, name in zip(samples, named, strict=True)]
        values |= _answer(responses[shown])
    values["findings"], cutoffs = _without_endless(values["findings"])
    outcome = read_as(Outcome, values)
    if not cutoffs and not samples:
        return outcome
    return replace(outcome, findings=_with(cutoffs, outcome.findings), samples=tuple(map(_sample, samples)))


def _answer(response: Response) -> dict[str, str]:
    return {"response": response.text, "finish_reason": response.finish_reason}


def _sample(data: Mapping[str, Any]) -> SampleOutcome:
    findings, cutoffs = _without_endless(data["findings"])
    sample = read_as(SampleOutcome, {**data, "findings": findings})
    return replace(sample, findings=_with(cutoffs, sample.findings))


def _without_endless(findings: Sequence[Mapping[str, Any]]) -> tuple[Sequence[Mapping[str, Any]], dict[int, Any]]:
    """Findings without their infinite cutoffs, which JSON cannot hold, and these cutoffs by index of the finding."""
    endless = {place: one["cutoff"] for place, one in enumerate(findings) if one.get("cutoff") in ENDLESS}
    if not endless:
        return findings, endless
    return [{**one, "cutoff": None} if place in endless else one for place, one in enumerate(findings)], endless


def _with(cutoffs: Mapping[int, Any], findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    if not cutoffs:
        return findings
    return tuple(replace(one, cutoff=cutoffs[place]) if place in cutoffs else one for place, one in enumerate(findings))
