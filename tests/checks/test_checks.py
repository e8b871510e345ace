"""The seam to the checks: a fault in one check makes one case INVALID, and never a pass, a miss or a crash."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from tunegate.cases.case import Case, Prompt
from tunegate.checks.check import Sample, gate_can_fail, judge, unique_names, variants_of
from tunegate.checks.outcome import Finding, Outcome, Verdict
from tunegate.models.model import Response

PASS, FAIL, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INVALID


@dataclass(frozen=True)
class Scripted:
    """A check that does what a test says; `calls` holds the ids of each batch."""

    script: Callable[[Sequence[Sample]], object]
    name: str = "scripted"
    version: str = "7"
    batch_size: int = 1
    needs_choices: bool = False
    needs: tuple[str, ...] = ()
    can_fail: bool = True
    max_errors: dict[str, int] = field(default_factory=dict)
    fingerprint: str = "scripted"
    calls: list[list[str]] = field(default_factory=list)

    def variants(self, case: Case) -> tuple[Prompt, ...]:
        return ()

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        self.calls.append([sample.case.id for sample in samples])
        return self.script(samples)  # type: ignore[return-value]


def right(samples: Sequence[Sample]) -> list[Finding]:
    return [Finding("scripted", PASS if sample.response.text == "right" else FAIL) for sample in samples]


def samples(*answers: str | Response) -> list[Sample]:
    responses = [answer if isinstance(answer, Response) else Response(answer) for answer in answers]
    return [Sample(Case(str(number), "?"), response) for number, response in enumerate(responses)]


def verdicts(outcomes: Sequence[Outcome]) -> list[Verdict]:
    return [outcome.verdict for outcome in outcomes]


def test_one_outcome_a_sample_in_order() -> None:
    judged = list(judge([Scripted(right)], samples("right", "wrong", "right")))
    assert [(one.case_id, one.verdict, one.response) for one in judged] == [
        ("0", PASS, "right"),
        ("1", FAIL, "wrong"),
        ("2", PASS, "right"),
    ]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_a_check_that_raises_on_one_case_spoils_that_case_only(batch_size: int) -> None:
    def fragile(batch: Sequence[Sample]) -> list[Finding]:
        if any(sample.case.id == "1" for sample in batch):
            raise ZeroDivisionError("no words to divide by")
        return right(batch)

    judged = list(judge([Scripted(fragile, batch_size=batch_size)], samples("right", "right", "wrong", "right")))
    assert verdicts(judged) == [PASS, INVALID, FAIL, PASS]
    [finding] = judged[1].findings
    assert judged[1].reason == "scripted: raised ZeroDivisionError: no words to divide by"
    assert finding.version == "7"
    assert "Traceback" in (finding.detail or "")
    assert "fragile" in (finding.detail or "")


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (lambda batch: [], "0 findings for 1 samples"),
        (lambda batch: right(batch) * 2, "2 findings for 1 samples"),
        (lambda batch: [None], "the check must return a Finding, got NoneType"),
        (lambda batch: [True], "the check must return a Finding, got bool"),
        (lambda batch: None, "TypeError"),
        (lambda batch: (finding for finding in right(batch)), "TypeError"),
        (lambda batch: [Finding("x", "yes")], "PASS, FAIL or INVALID, got 'yes'"),
        (lambda batch: [Finding("x", Verdict.INCONCLUSIVE)], "the verdict"),
        (lambda batch: [Finding("x", None)], "PASS, FAIL or INVALID, got None"),
        (lambda batch: sys.exit(0), "raised SystemExit: 0"),
    ],
)
def test_what_is_no_judgement_is_invalid(returned: Callable[[Sequence[Sample]], object], reason: str) -> None:
    [outcome] = judge([Scripted(returned)], samples("right"))
    assert outcome.verdict is INVALID
    assert reason in outcome.reason


def test_a_reason_holds_no_memory_address() -> None:
    def raising(batch: Sequence[Sample]) -> list[Finding]:
        raise TypeError(f"unexpected {object()} and {raising}")

    def quoting(batch: Sequence[Sample]) -> list[Finding]:
        return [Finding("x", FAIL, reason=f"got {object()!r}", detail=None)]

    [outcome] = judge([Scripted(raising), Scripted(quoting)], samples("right"))
    raised, quoted = outcome.findings
    assert raised.reason.endswith("raising>")
    assert raised.reason.startswith("raised TypeError: unexpected <object object> and <function ")
    assert quoted.reason == "got <object object>"
    assert " at 0x" not in f"{outcome}"


def test_a_verdict_as_plain_text_is_not_mistaken_for_a_pass() -> None:
    [outcome] = judge([Scripted(lambda batch: [Finding("x", "FAIL")])], samples("right"))  # type: ignore[arg-type]
    assert outcome.verdict is FAIL


def test_an_interruption_is_not_taken_for_a_fault_of_the_check() -> None:
    def interrupted(batch: Sequence[Sample]) -> list[Finding]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(judge([Scripted(interrupted)], samples("right")))


def test_an_unanswered_case_is_invalid_and_no_check_is_asked() -> None:
    check = Scripted(right, batch_size=10)
    judged = list(judge([check], samples("right", Response("right", error="timed out"), "wrong")))
    assert verdicts(judged) == [PASS, INVALID, FAIL]
    assert judged[1].reason == "model: timed out"
    assert check.calls == [["0", "2"]]


def test_a_check_that_raised_beats_one_that_failed() -> None:
    def raising(batch: Sequence[Sample]) -> list[Finding]:
        raise OSError("the judge is down")

    [outcome] = judge([Scripted(right), Scripted(raising, name="judge")], samples("wrong"))
    assert outcome.verdict is INVALID
    assert [finding.verdict for finding in outcome.findings] == [FAIL, INVALID]


def test_without_a_check_nothing_is_judged() -> None:
    [outcome] = judge([], samples("right"))
    assert (outcome.verdict, outcome.reason) == (INVALID, "no check judged this case")


def test_two_checks_of_one_name_keep_two_scores() -> None:
    checks = [Scripted(right), Scripted(lambda batch: [Finding("x", FAIL, 0.1)]), Scripted(right, name="other")]
    assert unique_names(checks) == ["scripted", "scripted#2", "other"]
    [outcome] = judge(checks, samples("right"))
    assert outcome.scores == {"scripted": None, "scripted#2": 0.1, "other": None}


@pytest.mark.parametrize("error", [GeneratorExit, asyncio.CancelledError, pytest.skip.Exception])
def test_no_exception_of_a_check_ends_the_gate(error: type[BaseException]) -> None:
    def raising(samples: Sequence[Sample]) -> None:
        raise error("no such luck")

    [outcome] = judge([Scripted(raising)], samples("x"))
    assert outcome.verdict is INVALID
    assert "no such luck" in outcome.reason


def test_a_gate_can_fail_by_a_check_that_decides_or_by_a_cap_below_its_number_of_cases() -> None:
    only_reports = Scripted(right, can_fail=False)
    assert not gate_can_fail([only_reports], 100)
    assert gate_can_fail([only_reports, Scripted(right)], 100)
    assert gate_can_fail([Scripted(right, can_fail=False, max_errors={"empty": 99})], 100)
    assert not gate_can_fail([Scripted(right, can_fail=False, max_errors={"empty": 100})], 100)


# --- prompts asked beside the case's own ---------------------------------------------------------------------------


def test_each_check_sees_the_answers_to_its_own_variants() -> None:
    seen: dict[str, list[tuple[str, ...]]] = {}

    @dataclass(frozen=True)
    class Asking(Scripted):
        prompts: tuple[str, ...] = ()

        def variants(self, case: Case) -> tuple[Prompt, ...]:
            return self.prompts

        def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
            seen[self.name] = [tuple(answer.text for answer in sample.variants) for sample in samples]
            return [Finding(self.name, Verdict.PASS) for _ in samples]

    checks = [
        Asking(lambda samples: [], name="a", prompts=("one", "two")),
        Asking(lambda samples: [], name="none"),
        Asking(lambda samples: [], name="b", prompts=("three",)),
    ]
    case = Case("1", "?")
    assert variants_of(checks, case) == ("one", "two", "three")
    answers = tuple(Response(f"to {prompt}") for prompt in variants_of(checks, case))
    list(judge(checks, [Sample(case, Response("!"), variants=answers)]))
    assert seen == {"a": [("to one", "to two")], "none": [()], "b": [("to three",)]}
