"""`tunegate.Check`: a class with one method to write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tunegate.cases.case import Case
from tunegate.checks.check import Sample, judge
from tunegate.checks.outcome import Finding, Outcome, Verdict
from tunegate.checks.own_check import Check, as_asked
from tunegate.exceptions import ConfigError
from tunegate.models.model import Response


class Polite(Check):
    def judge(self, sample: Sample) -> bool:
        return "please" in sample.response.text


class Returns(Check):
    def __init__(self, value: Any, **bounds: float) -> None:
        self.value = value
        for name, bound in bounds.items():
            setattr(self, name, bound)

    def judge(self, sample: Sample) -> Any:
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


def outcome_of(check: Check, text: str = "x") -> Outcome:
    (outcome,) = judge([as_asked(check)], [Sample(Case("a", "?"), Response(text, "stop"))])
    return outcome


def test_one_method_is_enough() -> None:
    assert outcome_of(Polite(), "please").verdict is Verdict.PASS
    assert outcome_of(Polite(), "now!").verdict is Verdict.FAIL
    assert outcome_of(Polite()).findings[0].check == "polite"


@pytest.mark.parametrize(
    ("value", "bounds", "verdict"),
    [
        (0.7, {"min": 0.6}, Verdict.PASS),
        (0.5, {"min": 0.6}, Verdict.FAIL),
        (3, {"max": 2}, Verdict.FAIL),
        (np.float32(0.7), {"min": 0.6, "max": 0.8}, Verdict.PASS),
        (np.bool_(True), {}, Verdict.PASS),
        (0.7, {}, Verdict.INVALID),
        (float("nan"), {"min": 0.1}, Verdict.INVALID),
        (float("inf"), {"min": 0.1}, Verdict.INVALID),
        (None, {}, Verdict.INVALID),
        ("yes", {}, Verdict.INVALID),
        (AssertionError("too short"), {}, Verdict.FAIL),
        (KeyError("x"), {}, Verdict.INVALID),
        (SystemExit(0), {}, Verdict.INVALID),
        (Finding("other", Verdict.FAIL, reason="told so"), {}, Verdict.FAIL),
    ],
)
def test_what_judge_returns_becomes_a_finding(value: Any, bounds: dict[str, float], verdict: Verdict) -> None:
    assert outcome_of(Returns(value, **bounds)).verdict is verdict


def test_a_number_without_a_bound_says_what_to_write() -> None:
    assert "set `min` or `max`" in outcome_of(Returns(0.7)).reason


def test_the_score_is_on_record_with_its_bound() -> None:
    finding = outcome_of(Returns(0.59999, min=0.6)).findings[0]
    assert (finding.value, finding.cutoff) == (0.59999, 0.6)
    assert finding.reason == "0.59999 is not >= 0.6"


async def a_coroutine(self: Check, sample: Sample) -> bool:
    return True


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({}, "has no method `judge(self, sample)`"),
        ({"judge": a_coroutine}, "async"),
        ({"judge": lambda self, sample: 1.0, "min": 2, "max": 1}, "min 2 is above max 1"),
        ({"judge": lambda self, sample: 1.0, "min": "0.5"}, "min: expected a number, got '0.5'"),
        ({"judge": lambda self, sample: 1.0, "min": float("nan")}, "min: expected a number, got nan"),
        ({"judge": lambda self, sample: True, "name": ""}, "name: expected a text, got ''"),
        ({"judge": lambda self, sample: True, "needs": ("refrence",)}, "needs: 'refrence'"),
    ],
)
def test_a_check_that_cannot_judge_is_refused_at_once(members: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        as_asked(type("Wrong", (Check,), members)())
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_class_itself_is_refused_in_place_of_an_object() -> None:
    with pytest.raises(ConfigError, match=r"Polite: expected an object, got a class; write Polite\(\)"):
        as_asked(Polite)  # type: ignore[arg-type]


def test_the_fingerprint_holds_name_version_options_and_source() -> None:
    one, same, other = (as_asked(Returns(1.0, min=bound)).fingerprint for bound in (0.5, 0.5, 0.6))
    assert one == same != other
    facts = json.loads(one)
    assert facts["name"] == "returns"
    assert facts["options"]["min"] == 0.5
    assert len(facts["sources_sha256"]) == 64


def test_a_class_without_a_file_has_the_hash_of_its_code() -> None:
    def made_of(source: str) -> str:
        scope: dict[str, Any] = {"Check": Check, "__name__": "__main__"}
        exec(source, scope)  # noqa: S102
        return as_asked(scope["Short"]()).fingerprint

    source = "class Short(Check):\n    def judge(self, sample): return len(sample.response.text) < {}\n"
    assert made_of(source.format(10)) == made_of(source.format(10)) != made_of(source.format(11))


def test_the_other_members_reach_the_engine() -> None:
    class Full(Polite):
        name = "full"
        version = "3"
        needs = ("reference",)
        max_errors = {"rude": 1}  # noqa: RUF012
        can_fail = False

        def variants(self, case: Case) -> Sequence[str]:
            return (f"{case.prompt} really",)

    check = as_asked(Full())
    assert (check.name, check.version, check.needs, check.max_errors) == ("full", "3", ("reference",), {"rude": 1})
    assert not check.can_fail
    assert check.variants(Case("a", "?")) == ("? really",)


def test_what_a_check_prints_leaves_standard_output_alone(capsys: pytest.CaptureFixture[str]) -> None:
    class Loud(Check):
        def judge(self, sample: Sample) -> bool:
            print("loud")  # noqa: T201
            return True

    assert outcome_of(Loud()).verdict is Verdict.PASS
    assert capsys.readouterr().out == ""
