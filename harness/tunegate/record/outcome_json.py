"""Outcomes as the record holds them: plain JSON values, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tunegate.cases.case import sample_id
from tunegate.checks.outcome import ErrorSpan, Finding, Outcome, SampleOutcome, Verdict, shallow
from tunegate.models.model import Response


def verdict_to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome without its answers, which are on record before they are judged; `outcome_from_json` adds them."""
    data = _without_answer(outcome_to_json(outcome))
    if "samples" in data:
        data["samples"] = [_without_answer(sample) for sample in data["samples"]]
    return data


def _without_answer(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in ("response", "finish_reason")}


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain JSON values; `outcome_from_json` is its inverse, but for a NaN, which JSON does not have."""
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
    """The outcome that a record holds, its answers from `responses` unless it holds them itself.

    Raises KeyError, TypeError or ValueError for anything else.
    """
    values = dict(data)
    samples: list[Mapping[str, Any]] = values.pop("samples", [])
    if responses is not None:
        values |= _answer(responses[values["case_id"]])
        named = [sample_id(values["case_id"], number) for number, _ in enumerate(samples, start=1)]
        samples = [{**sample, **_answer(responses[name])} for sample, name in zip(samples, named, strict=True)]
        shown = next((number for number, one in enumerate(samples) if one["verdict"] == values["verdict"]), None)
        if shown is not None:  # of several answers, that of the first which came out as the case did
            values |= _answer(responses[named[shown]])
    prompt = values["prompt"]
    values["verdict"] = Verdict(values["verdict"])
    values["prompt"] = prompt if isinstance(prompt, str) else tuple(prompt)
    values["references"], values["tags"] = tuple(values["references"]), tuple(values["tags"])
    values["findings"] = tuple(_finding(finding) for finding in values["findings"])
    return Outcome(**values, samples=tuple(map(_sample, samples)))


_KEPT = 2**14
_outcomes: dict[str, Outcome] = {}


def outcome_on_line(sha256: str, data: Mapping[str, Any], responses: Mapping[str, Response]) -> Outcome:
    """The outcome on a line, made once: the line's hash seals it and all before it, the answer too.

    A run reads its record again after each step, and to make the outcomes is most of the work.
    """
    if sha256 not in _outcomes:
        if len(_outcomes) >= _KEPT:
            _outcomes.clear()
        _outcomes[sha256] = outcome_from_json(data, responses)
    return _outcomes[sha256]


def _answer(response: Response) -> dict[str, str]:
    return {"response": response.text, "finish_reason": response.finish_reason}


def _sample(data: Mapping[str, Any]) -> SampleOutcome:
    values = dict(data)
    values["verdict"] = Verdict(values["verdict"])
    values["findings"] = tuple(_finding(finding) for finding in values["findings"])
    return SampleOutcome(**values)


def _finding(data: Mapping[str, Any]) -> Finding:
    values = dict(data)
    values["verdict"] = Verdict(values["verdict"])
    values["errors"] = tuple(ErrorSpan(**error) for error in values["errors"])
    return Finding(**values)
