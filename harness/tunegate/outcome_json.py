"""Outcomes as the record holds them: plain JSON values, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tunegate.outcomes import ErrorSpan, Finding, Outcome, Verdict, shallow


def verdict_to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome without its answer, which stands on record before it is judged."""
    said = ("response", "finish_reason")
    return {name: value for name, value in outcome_to_json(outcome).items() if name not in said}


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain JSON values; `outcome_from_json` is its inverse, but for a NaN, which JSON does not have."""
    return {**shallow(outcome), "findings": [_finding_to_json(finding) for finding in outcome.findings]}


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    data: dict[str, Any] = {**shallow(finding), "errors": [shallow(error) for error in finding.errors]}
    for name in ("value", "cutoff"):
        if isinstance(data[name], float) and not math.isfinite(data[name]):
            data[name] = str(data[name])
    return data


def outcome_from_json(data: Mapping[str, Any]) -> Outcome:
    values = dict(data)
    prompt = values["prompt"]
    values["verdict"] = Verdict(values["verdict"])
    values["prompt"] = prompt if isinstance(prompt, str) else tuple(prompt)
    values["references"], values["tags"] = tuple(values["references"]), tuple(values["tags"])
    values["findings"] = tuple(_finding(finding) for finding in values["findings"])
    return Outcome(**values)


def _finding(data: Mapping[str, Any]) -> Finding:
    values = dict(data)
    values["verdict"] = Verdict(values["verdict"])
    values["errors"] = tuple(ErrorSpan(**error) for error in values["errors"])
    return Finding(**values)
