"""Many stored answers are judged by several processes: with the same outcomes, byte for byte, as by one."""

from __future__ import annotations

import json
import pickle
import random
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import tunegate
from tunegate import processes
from tunegate.cases.case import Case
from tunegate.checks.check import Sample, is_deterministic
from tunegate.checks.outcome import Verdict
from tunegate.checks.own_check import as_asked
from tunegate.gates import runner
from tunegate.gates.draw import GatePlace, draw_fresh
from tunegate.models.model import GenerationSettings, Response, StoredResponses
from tunegate.record.outcome_json import verdict_to_json
from tunegate.record.run_log import RunLog
from tunegate.stats.plans import PlanRule
from tunegate.suites.suite import Suite
from tunegate.verdicts.terms import Terms
from tunegate_suites import build_check

CHECKS = (
    "exact",
    {"rougeL": {"min": 0.4}},
    {"errors": {"forbid": ["repetition", "empty"], "report": ["unsupported_number"]}},
)
WORDS = "gene copies 40,000 of the altered people about 12 condition".split()  # noqa: SIM905


class Own(tunegate.Check):
    def judge(self, sample: tunegate.Sample) -> bool:
        return bool(sample.response.text)


def samples() -> list[Sample]:
    rng = random.Random(2)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(0, 12))) for _ in range(120)]
    responses = [Response(text) if text else Response("", error="the server said no") for text in texts]
    references = [text if n % 3 else "carriers of it" for n, text in enumerate(texts)]
    cases = [Case(str(n), f"Say it: {n}", (reference or "none",)) for n, reference in enumerate(references)]
    return [Sample(case, response, "sha", "m") for case, response in zip(cases, responses, strict=True)]


def outcomes(suite: Suite) -> list[str]:
    return [json.dumps(verdict_to_json(one)) for one in runner._judged_in_batches(suite, samples())]  # pyright: ignore[reportPrivateUsage]


def suite_of(*checks: object) -> Suite:
    built = tuple(build_check(check, Path()) for check in checks)
    return Suite("s", (), built, PlanRule(draw=1, accept=1), GenerationSettings(), "hash")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the processes that were started, with judging spread from the first sample on."""
    commands: list[list[str]] = []

    class Watched(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, args: list[str], **named: object) -> None:
            commands.append(args)
            super().__init__(args, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(processes.subprocess, "Popen", Watched)
    monkeypatch.setattr(processes, "usable_cores", lambda: 2)
    monkeypatch.setattr(runner, "SPREAD_FROM", 1)
    monkeypatch.setattr(runner, "JUDGED_AT_ONCE", 10)
    return commands


def test_outcomes_are_the_same_in_two_processes(started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    spread = outcomes(suite_of(*CHECKS))
    assert len(started) == 2
    monkeypatch.setattr(runner, "SPREAD_FROM", 10**9)
    here = outcomes(suite_of(*CHECKS))
    assert len(started) == 2
    assert spread == here
    assert len({json.loads(one)["verdict"] for one in here}) == 3


def test_a_gate_on_many_stored_answers_starts_processes(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its cases come in blocks, which must not be smaller than what is spread."""
    monkeypatch.setattr(runner, "SPREAD_FROM", 1100)
    cases = tuple(Case(str(n), f"Say {n}", (f"it is {n}",)) for n in range(1100))
    stored = StoredResponses({case.id: Response(case.references[0]) for case in cases})
    suite = replace(suite_of("exact"), cases=cases, rule=PlanRule(draw=1100, accept=1100))
    place = GatePlace("s")
    with RunLog.open(tmp_path) as log:
        drawn = draw_fresh(place, suite, 1100, 0)
        decision = runner.GateRunner(log.append).run(place, suite, Terms(suite.plan.first), stored, drawn)
    assert (decision.verdict, len(started)) == (Verdict.PASS, 2)
    assert runner.KNOWN_AT_ONCE >= 20_000  # docs/scale.md


@pytest.mark.parametrize(
    "check", [*CHECKS, {"rouge2": {"min": 0.1}}, {"regex": "gene"}, {"contains": "gene"}, "number"], ids=str
)
def test_a_check_that_was_used_can_be_sent(check: object) -> None:
    suite = suite_of(check)
    here = [json.dumps(verdict_to_json(one)) for one in runner._Judge((suite.checks, suite.answer))(samples())]
    checks, answer = pickle.loads(pickle.dumps((suite.checks, suite.answer)))
    assert [json.dumps(verdict_to_json(one)) for one in runner._Judge((checks, answer))(samples())] == here


def test_a_check_of_the_user_stays_in_this_process(started: list[list[str]]) -> None:
    suite = suite_of("exact")
    assert len(outcomes(replace(suite, checks=(*suite.checks, as_asked(Own()))))) == 120
    [theirs] = suite.checks
    theirs.__class__ = type("Theirs", (type(theirs),), {"__module__": "their_package"})
    assert is_deterministic(theirs)
    assert len(outcomes(replace(suite, checks=(theirs,)))) == 120
    assert not started
