"""Gates that require a pass rate corrected for their judge's known errors. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunegate.checks.check import Check, unique_names
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.stats.agreement import CorrectedRate, Share, corrected_pass_rate
from tunegate.stats.judged import Judged, judged_scale
from tunegate.verdicts.reason import Reason, because

Admissions = Mapping[str, Mapping[str, Any]]
"""Check name to the facts of its judge's admission, as a gate's record holds them."""


def admissions_of(checks: Sequence[Check]) -> dict[str, dict[str, Any]]:
    """What a gate's record says about its judges: check name to `Admission.facts` and the check's requirements."""
    facts = {
        name: getattr(check, "admission_facts", None) for check, name in zip(checks, unique_names(checks), strict=True)
    }
    return {name: found for name, found in facts.items() if found is not None}


def judged_by(admissions: Admissions) -> Judged | None:
    """What the judges of a gate make of a pass rate; None where none decides, or one is not admitted: then no case is
    judged at all."""
    judges = list(admissions.values())
    if any(facts.get("record_sha256") is None or facts.get("fault") for facts in judges):
        return None
    return judged_scale([(Share(*facts["sensitivity"]), Share(*facts["specificity"])) for facts in judges])


def corrected_rates(admissions: Admissions, outcomes: Iterable[Outcome], drawn: int) -> dict[str, CorrectedRate]:
    """The pass rate that each judge of a gate measured on its drawn cases, corrected for the judge's known errors.

    `admissions` is the result of `admissions_of`, so that the record alone is enough. A case without a verdict from a
    judge counts as not passed. Judges without an admission, or whose errors cannot be corrected for, are left out.
    """
    findings = [finding for outcome in outcomes for finding in outcome.findings]
    rates: dict[str, CorrectedRate] = {}
    for name, facts in admissions.items():
        if facts.get("record_sha256") is None:
            continue
        passed = sum(finding.check == name and finding.verdict is Verdict.PASS for finding in findings)
        rate = corrected_pass_rate(passed, drawn, Share(*facts["sensitivity"]), Share(*facts["specificity"]))
        if rate is not None:
            rates[name] = rate
    return rates


def short_of_corrected_min(admissions: Admissions, outcomes: Iterable[Outcome], drawn: int) -> list[Reason]:
    """Why a gate fails although enough cases passed: the corrected lower bound is below a check's `corrected_min`."""
    rates = corrected_rates(admissions, outcomes, drawn)
    reasons: list[Reason] = []
    for name, facts in admissions.items():
        wanted = facts.get("corrected_min")
        if wanted is None:
            continue
        rate = rates.get(name)
        if rate is None:
            reasons.append(because("not_corrected", check=name, needed=wanted))
        elif rate.interval[0] < wanted:
            low, high = rate.interval
            reasons.append(because("corrected_low", check=name, rate=rate.rate, low=low, high=high, needed=wanted))
    return reasons
