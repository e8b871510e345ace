"""Many stored answers are judged by several processes: with the same outcomes, byte for byte, as by one."""

from __future__ import annotations

import json
import pickle
import random
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tunegate
from tests.support.bank import write_jsonl
from tunegate import processes
from tunegate.cases.case import Case
from tunegate.checks.check import Sample, is_deterministic
from tunegate.checks.own_check import as_asked
from tunegate.cli import main
from tunegate.gates import judging
from tunegate.gates.judging import Judging
from tunegate.models.model import GenerationSettings, Response
from tunegate.record.event_log import read_events
from tunegate.record.outcome_json import verdict_to_json
from tunegate.stats.plans import PlanRule
from tunegate.suites.suite import Suite
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
    return list(map(json.dumps, judging.judged_rows(suite, samples(), {})))


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
    monkeypatch.setattr(judging, "SPREAD_FROM", 1)
    monkeypatch.setattr(judging, "JUDGED_AT_ONCE", 10)
    return commands


def test_outcomes_are_the_same_in_two_processes(started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    spread = outcomes(suite_of(*CHECKS))
    assert len(started) == 2
    monkeypatch.setattr(judging, "SPREAD_FROM", 10**9)
    here = outcomes(suite_of(*CHECKS))
    assert len(started) == 2
    assert spread == here
    assert len({json.loads(one)["verdict"] for one in here}) == 3


def test_the_command_spreads_a_large_draw(
    started: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More answers than a line of the record has, and than the blocks of a draw that may stop."""
    monkeypatch.chdir(tmp_path)
    cases = [{"id": str(n), "prompt": f"Say it: {n}", "reference": f"It is {n}."} for n in range(1600)]
    write_jsonl(tmp_path / "cases.jsonl", cases)
    write_jsonl(tmp_path / "a.jsonl", [{"id": str(n), "response": f"It is {n if n % 3 else -1}."} for n in range(1600)])
    records: list[list[dict[str, Any]]] = []
    for plan, spread_from, processes_started in (
        ("{draw: 1600, accept: 500}", 1500, 2),
        ("{draw: 1600, accept: 500}", 10**9, 0),
        ("{draw: 1600, accept: 1500, curtail: true}", 1500, 0),
    ):
        monkeypatch.setattr(judging, "SPREAD_FROM", spread_from)
        (tmp_path / "s.yaml").write_text(f"cases: cases.jsonl\nchecks: [exact]\nplan: {plan}\n")
        started.clear()
        folder = tmp_path / f"run-{len(records)}"
        where = ["--ledger", "none", "--run", str(folder)]
        assert main(["gate", "--responses", "a.jsonl", "--suite", "s.yaml", *where]) == int("curtail" in plan)
        assert sum("serve()" in command[-1] for command in started) == processes_started
        records.append(list(read_events(folder)))
    capsys.readouterr()
    answers, outcomes = (
        [[event[rows] for event in one if event["event"] == kind] for one in records] for kind, rows in LINES
    )
    assert outcomes[0] == outcomes[1]
    assert [[len(line) for line in one] for one in outcomes] == [[1024, 576]] * 2 + [[1024]]  # stops after a block
    assert [len(line) for line in answers[0]] == [1024, 576]


LINES = (("answered", "answers"), ("judged", "outcomes"))


def test_a_block_is_judged_as_its_samples_are_one_by_one() -> None:
    suite = suite_of(*CHECKS)
    [exact, *_] = suite.checks

    def raises_for_some(batch: Sequence[Sample]) -> Sequence[object]:
        if any(int(sample.case.id) % 7 == 0 for sample in batch):
            raise ValueError("this one cannot be judged")
        return type(exact).judge(exact, batch)

    object.__setattr__(exact, "judge", raises_for_some)
    judged = Judging.of(suite)
    each = [verdict_to_json(outcome) for outcome in judged.outcomes(samples(), at_once=1)]
    assert judged.rows((samples(), {})) == each
    assert sum("cannot be judged" in one["reason"] for one in each) > 10


@pytest.mark.parametrize(
    "check", [*CHECKS, {"rouge2": {"min": 0.1}}, {"regex": "gene"}, {"contains": "gene"}, "number"], ids=str
)
def test_a_check_that_was_used_can_be_sent(check: object) -> None:
    suite = suite_of(check)
    here = Judging.of(suite).rows((samples(), {}))
    sent: Judging = pickle.loads(pickle.dumps(Judging.of(suite)))
    assert sent.rows((samples(), {})) == here


def test_a_check_of_the_user_stays_in_this_process(started: list[list[str]]) -> None:
    suite = suite_of("exact")
    assert len(outcomes(replace(suite, checks=(*suite.checks, as_asked(Own()))))) == 120
    [theirs] = suite.checks
    theirs.__class__ = type("Theirs", (type(theirs),), {"__module__": "their_package"})
    assert is_deterministic(theirs)
    assert len(outcomes(replace(suite, checks=(theirs,)))) == 120
    assert not started
