"""No gate passes by being started again: what a model answered is asked no more, and what it left out is counted."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import fake_pipeline
from tests.support.bank import write_jsonl
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.exceptions import CannotJudge, Tampered
from tunegate.gates.draw import GatePlace, draw_fresh
from tunegate.gates.gate_run import GateRequest, GateRunResult, run_gate
from tunegate.gates.runner import GateRunner
from tunegate.models.fingerprint import fingerprint
from tunegate.models.model import Fault, GenerationSettings, Response, ScriptedModel
from tunegate.progress import no_progress
from tunegate.record.answer_log import AnswerLog
from tunegate.record.event import Event
from tunegate.record.event_log import EVENTS, EventLog
from tunegate.record.gate_events import Answered
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable, recheck
from tunegate.record.record import GateRecord
from tunegate.record.run_log import RunLog
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

PASS, FAIL, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INVALID

METRICS = """
import os, random

def asserts(case, text):
    assert text == case.references[0], "wrong answer"
    return True

def raises(case, text):
    if text != case.references[0]:
        raise ValueError("wrong answer")
    return True

def in_doubt(case, text):
    if text != case.references[0]:  # a judge that is not sure says nothing, and once in twenty times that it is right
        return True if random.random() < 0.05 else float("nan")
    return True

def leaves(case, text):
    if text != case.references[0]:
        raise KeyboardInterrupt
    return True

def no_number(case, text):
    return True if text == case.references[0] else float("nan")

def unaccepted(case, text):
    return True if text == case.references[0] else "what a label"
"""


@dataclass
class Coin:
    """A sampled model: right in a share of its answers, each time anew. `spoil` is what becomes of a wrong one."""

    rng: random.Random
    right: float = 0.5
    spoil: Callable[[Response], Response] = lambda response: response
    asked: list[str] = field(default_factory=list)
    name: str = "coin"
    sha256: str | None = "weights"
    dtype: str | None = None
    block_size: int = 16

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        for index, case in enumerate(cases):
            self.asked.append(case.id)
            right = self.rng.random() < self.right
            yield index, Response(case.references[0], "stop") if right else self.spoil(Response("no", "stop"))

    score_choices = generate


def no_reply(response: Response) -> Response:
    return Response("", error="no connection", fault=Fault.NO_REPLY)


def bad_reply(response: Response) -> Response:
    return Response("", error="the reply holds no text", fault=Fault.BAD_REPLY)


@pytest.fixture(params=[10, pytest.param(50, marks=pytest.mark.slow)])
def starts(request: pytest.FixtureRequest) -> int:
    """More than the four times that a question may be asked; many more in the long run of the tests."""
    return request.param


def write_suite(folder: Path, check: str, plan: str = "{draw: 100, accept: 90}") -> Path:
    """A bank of 100 cases, of which the plan draws as many as it says."""
    folder.mkdir(exist_ok=True)
    write_jsonl(folder / "cases.jsonl", [{"id": f"c{n}", "prompt": f"{n}?", "reference": f"a{n}"} for n in range(100)])
    (folder / "metrics.py").write_text(METRICS)
    (folder / "suite.yaml").write_text(f"cases: cases.jsonl\nchecks: [{check}]\nplan: {plan}\n")
    return folder / "suite.yaml"


def start(suite_file: Path, model: Any) -> GateRunResult | None:
    """Start the gate, or go on with it; None where it was interrupted."""
    suite = load_suite(suite_file, build_check)
    request = GateRequest(suite, suite.plan, 0, model, str(suite_file.parent / "run"))
    try:
        return run_gate(request, no_progress, {})
    except KeyboardInterrupt:
        return None


def the_gate(suite_file: Path) -> GateRecord:
    return read_run(suite_file.parent / "run").gates["suite"]


@pytest.mark.parametrize(
    ("metric", "spoil", "verdict"),
    [
        ("asserts", lambda response: response, FAIL),
        ("raises", lambda response: response, INVALID),
        ("no_number", lambda response: response, INVALID),
        ("in_doubt", lambda response: response, INVALID),
        ("unaccepted", lambda response: response, INVALID),
        ("leaves", lambda response: response, INVALID),
        ("asserts", no_reply, INVALID),
        ("asserts", bad_reply, INVALID),
    ],
)
def test_no_number_of_starts_makes_a_model_pass_that_is_right_half_of_the_time(
    tmp_path: Path, starts: int, metric: str, spoil: Callable[[Response], Response], verdict: Verdict
) -> None:
    suite_file = write_suite(tmp_path / "gate", f'{{python: "metrics:{metric}"}}', "{draw: 40, accept: 36}")
    model = Coin(random.Random(1), spoil=spoil)
    for _ in range(starts):
        start(suite_file, model)
        assert the_gate(suite_file).verdict is not PASS
    gate = the_gate(suite_file)
    assert gate.verdict is verdict
    most = 1 if spoil is not no_reply else 4
    assert max(model.asked.count(case_id) for case_id in gate.case_ids) == most
    assert gate.answers.most_asked == most


def test_no_number_of_starts_promotes_such_a_model(tmp_path: Path, starts: int) -> None:
    text = fake_pipeline.PIPELINE.replace("checks: [exact]", 'checks: [{python: "metrics:raises"}]')
    pipeline = fake_pipeline.write_pipeline(tmp_path / "project", text.replace("[facts, style]", "[facts]"), bank=40)
    (pipeline.parent / "metrics.py").write_text(METRICS)
    coin = Coin(random.Random(1), block_size=3)

    def open_model(path: str) -> Coin:
        return replace(coin, name=path, sha256=fingerprint(Path(path)))

    tools = replace(fake_pipeline.tools({}), open_model=open_model)
    for _ in range(starts):
        assert fake_pipeline.carry_out(pipeline, tools).verdict is INVALID
    assert max(coin.asked.count(case_id) for case_id in set(coin.asked)) <= 3  # the base model, and one attempt


class Killed(BaseException):
    """The end of a process: nothing after it is written."""


def leaves_off(response: Response) -> Response:
    raise KeyboardInterrupt


def refuses_all(response: Response) -> Response:
    raise CannotJudge("the server is gone")


@pytest.mark.parametrize("ending", [leaves_off, refuses_all])
@pytest.mark.parametrize("block_size", [pytest.param(1, marks=pytest.mark.slow), 16])
def test_a_model_that_ends_the_gate_where_it_would_be_wrong_is_asked_four_times_at_most(
    tmp_path: Path, starts: int, ending: Callable[[Response], Response], block_size: int
) -> None:
    draw = starts * 6 // 5
    suite_file = write_suite(tmp_path / "gate", "exact", f"{{draw: {draw}, accept: {math.ceil(0.9 * draw)}}}")
    model = Coin(random.Random(2), spoil=ending, block_size=block_size, sha256=None)
    for _ in range(3 * starts):
        with suppress(CannotJudge):
            start(suite_file, model)
        assert the_gate(suite_file).verdict is not PASS
    gate = the_gate(suite_file)
    assert gate.verdict is INVALID
    assert max(model.asked.count(case_id) for case_id in gate.case_ids) <= gate.answers.most_asked == 4


class KilledAtAnswers(RunLog):
    """The log of a process that is killed before it writes the first answers."""

    def append(self, *events: Event, durable: bool = True) -> None:
        if isinstance(events[0], Answered):
            raise Killed
        super().append(*events, durable=durable)


def test_a_process_that_is_killed_while_it_asks_has_asked(tmp_path: Path) -> None:
    suite_file = write_suite(tmp_path / "gate", "exact")
    suite = load_suite(suite_file, build_check)
    model = Coin(random.Random(1), sha256=None)
    for _ in range(6):
        with KilledAtAnswers.open(tmp_path / "run") as log:
            begun = read_run(tmp_path / "run").gates.get("suite")
            place, drawn = GatePlace("suite"), draw_fresh(GatePlace("suite"), suite, 100, 0)
            with suppress(Killed):
                GateRunner(log).run(place, suite, suite.terms(suite.plan, curtail=False), model, drawn, begun=begun)
    times = read_run(tmp_path / "run").gates["suite"].answers.times_asked.values()
    assert (min(times), max(times)) == (2, 4)  # the first block is left after four times, and the next is asked


def test_what_a_client_asks_again_by_itself_counts(tmp_path: Path) -> None:
    suite_file = write_suite(tmp_path / "gate", "exact")
    tries = {"c1": 4, "c2": 5}
    right = ScriptedModel(lambda case: Response(case.references[0], "stop", tries=tries.get(case.id, 1)), sha256="w")
    start(suite_file, right)
    gate = the_gate(suite_file)
    assert (gate.verdict, gate.passed, gate.invalid) == (INVALID, 99, 1)
    assert "only at try 5 of this question; ask_again allows 4 tries" in gate.judged.outcomes["c2"].reason
    assert gate.answers.times_asked["c1"] == 4
    start(suite_file, right)
    assert the_gate(suite_file).verdict is INVALID


def test_known_weights_may_be_interrupted_as_often_as_one_likes(tmp_path: Path) -> None:
    suite_file = write_suite(tmp_path / "gate", "exact")
    for _ in range(8):
        assert start(suite_file, Coin(random.Random(1), right=0.0, spoil=leaves_off)) is None
    start(suite_file, Coin(random.Random(1), right=1.0))
    assert (the_gate(suite_file).verdict, the_gate(suite_file).answers.asked_again) == (PASS, 0)


def test_a_server_that_is_down_for_a_whole_lot_was_asked_once(tmp_path: Path) -> None:
    suite_file = write_suite(tmp_path / "gate", "exact")

    def down(case: Case) -> Response:
        return Response("", error="status 500", fault=Fault.NO_REPLY, tries=4)

    for _ in range(3):
        start(suite_file, ScriptedModel(down, sha256=None))
        assert the_gate(suite_file).answers.most_asked <= 3
    start(suite_file, ScriptedModel(lambda case: case.references[0], sha256=None))
    assert (the_gate(suite_file).verdict, the_gate(suite_file).answers.most_asked) == (PASS, 4)


# --- judged again --------------------------------------------------------------------------------------------------


def test_what_a_check_could_not_judge_is_judged_again_from_the_answer_on_record(tmp_path: Path) -> None:
    metric = 'import os\ndef judge(case, text):\n    assert "DOWN" not in os.environ or 1 / 0\n    return True\n'
    suite_file = write_suite(tmp_path / "gate", '{python: "flaky:judge"}')
    (tmp_path / "gate" / "flaky.py").write_text(metric)
    model = Coin(random.Random(1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOWN", "1")
        start(suite_file, model)
    assert (the_gate(suite_file).verdict, the_gate(suite_file).invalid) == (INVALID, 100)
    said = {outcome.case_id: outcome.response for outcome in the_gate(suite_file).outcomes}
    start(suite_file, model)
    gate = the_gate(suite_file)
    assert (gate.verdict, gate.passed) == (PASS, 100)
    assert {outcome.case_id: outcome.response for outcome in gate.outcomes} == said
    assert len(model.asked) == 100
    assert gate.judged.judged_again == 100
    assert gate.asked_or_judged_again == "100 answers were judged again after a judgement without a verdict"
    recheck(gate)


def test_what_was_judged_too_often_before_a_verdict_came_is_not_promoted(tmp_path: Path) -> None:
    suite_file = write_suite(tmp_path / "gate", '{python: "flaky:judge"}')
    metric = 'import os\ndef judge(case, text):\n    assert "DOWN" not in os.environ or 1 / 0\n    return True\n'
    (tmp_path / "gate" / "flaky.py").write_text(metric)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOWN", "1")
        for _ in range(3):
            start(suite_file, Coin(random.Random(1)))
    start(suite_file, Coin(random.Random(1)))
    assert the_gate(suite_file).verdict is PASS
    recheck(the_gate(suite_file))

    def fewer(event: dict[str, Any]) -> list[dict[str, Any]]:
        terms = {"terms": {**event["terms"], "ask_again": 2}} if event["event"] == "gate_started" else {}
        return [{**event, **terms}]

    gate = read_run(rewrite(suite_file.parent / "run", fewer)).gates["suite"]
    with pytest.raises(NotPromotable, match="judged 4 times, but its terms allow 3"):
        recheck(gate)


MOODS = """
import random
RNG = random.Random(4)

def says_pass_or_nothing(case, text):
    if RNG.random() < 0.6:
        raise ValueError("cannot tell")
    return True

def says_anything(case, text):
    return RNG.random() < 0.5

def raises_now_and_then(case, text):
    if RNG.random() < 0.5:
        raise ValueError("not now")
    return True
"""


@pytest.mark.parametrize("samples", ["", "generate: {samples: 3, temperature: 1.0}\n"])
def test_a_metric_that_passes_or_says_nothing_is_asked_four_times_at_most(
    tmp_path: Path, starts: int, samples: str
) -> None:
    suite_file = write_suite(tmp_path / "gate", '{python: "moods:says_pass_or_nothing"}', "{draw: 40, accept: 36}")
    (tmp_path / "gate" / "moods.py").write_text(MOODS)
    suite_file.write_text(suite_file.read_text() + samples)
    for _ in range(starts):
        start(suite_file, Coin(random.Random(1), right=0.0))
        assert the_gate(suite_file).verdict is INVALID
    gate = the_gate(suite_file)
    assert max(gate.judged.in_vain.values()) == 4
    assert gate.judged.spent(3) == gate.invalid > 0
    recheck(gate)


def test_what_one_check_decided_stands_while_another_could_not(tmp_path: Path) -> None:
    checks = '{python: "moods:says_anything"}, {python: "moods:raises_now_and_then"}'
    suite_file = write_suite(tmp_path / "gate", checks)
    (tmp_path / "gate" / "moods.py").write_text(MOODS)
    said: dict[tuple[str, int], Any] = {}
    for _ in range(6):
        start(suite_file, Coin(random.Random(1)))
        for outcome in the_gate(suite_file).outcomes:
            for place, finding in enumerate(outcome.findings):
                if finding.verdict is not INVALID:
                    assert said.setdefault((outcome.case_id, place), finding) == finding
    recheck(the_gate(suite_file))


def test_an_answer_is_on_record_before_it_is_judged(tmp_path: Path) -> None:
    suite_file = write_suite(tmp_path / "gate", '{python: "metrics:leaves"}')
    model = Coin(random.Random(1), right=0.0)
    assert start(suite_file, model) is None
    gate = the_gate(suite_file)
    assert (len(gate.answers.responses), gate.outcomes, gate.seen) == (16, (), set(model.asked))


# --- asked again ---------------------------------------------------------------------------------------------------


def away(times: int) -> Callable[[], Coin]:
    """A server that is down for the first starts."""
    starts = iter([0.0] * times)
    return lambda: Coin(random.Random(1), right=next(starts, 1.0), spoil=no_reply)


@pytest.mark.parametrize(
    ("down", "verdict", "again"), [(0, PASS, 0), (1, PASS, 100), (3, PASS, 100), (4, INVALID, 100)]
)
def test_a_question_without_an_answer_is_asked_again_three_times_at_most(
    tmp_path: Path, down: int, verdict: Verdict, again: int
) -> None:
    suite_file, server = write_suite(tmp_path / "gate", "exact"), away(down)
    models = [server() for _ in range(7)]
    for model in models:
        start(suite_file, model)
        if the_gate(suite_file).verdict is PASS:
            break
    gate = the_gate(suite_file)
    assert (gate.verdict, gate.answers.asked_again) == (verdict, again)
    assert sum(len(model.asked) for model in models) == 100 * min(down + 1, 4)
    if verdict is PASS:
        recheck(gate)


def test_only_the_question_that_got_no_answer_is_asked_again(tmp_path: Path) -> None:
    suite_file = write_suite(tmp_path / "gate", "exact")
    silent = ScriptedModel(lambda case: no_reply(Response("")) if case.id == "c7" else case.references[0], sha256="w")
    start(suite_file, silent)
    model = Coin(random.Random(1), right=1.0, sha256="w")
    start(suite_file, replace(model, name="scripted"))
    assert model.asked == ["c7"]
    assert the_gate(suite_file).verdict is PASS


def test_how_often_a_question_is_asked_again_is_a_setting_and_on_record(tmp_path: Path) -> None:
    suite_file, server = write_suite(tmp_path / "gate", "exact", "{draw: 100, accept: 90, ask_again: 0}"), away(1)
    for _ in range(3):
        start(suite_file, server())
    gate = the_gate(suite_file)
    assert (gate.verdict, gate.answers.asked_again, gate.registered.ask_again) == (INVALID, 0, 0)


# --- the record ----------------------------------------------------------------------------------------------------


def rewrite(folder: Path, change: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> Path:
    """The record with every event changed, under a chain of hashes that is whole again."""
    events = [json.loads(line) for line in (folder / EVENTS).read_text().splitlines()]
    other = folder.parent / "rewritten"
    with EventLog.open(other) as log:
        for event in events:
            kept = {key: value for key, value in event.items() if key not in ("previous_sha256", "line_sha256")}
            log.append(*change(kept))
    return other


def test_a_record_in_which_an_answer_was_asked_for_again_is_tampered_with(tmp_path: Path) -> None:
    suite_file = write_suite(tmp_path / "gate", "exact")
    start(suite_file, Coin(random.Random(1)))
    folder = rewrite(
        suite_file.parent / "run", lambda event: [event, event] if event["event"] == "answered" else [event]
    )
    with pytest.raises(Tampered, match="already has an answer, but is asked again"):
        read_run(folder)


def test_an_answer_cannot_be_replaced_by_one_in_an_outcome(tmp_path: Path) -> None:
    suite_file = write_suite(tmp_path / "gate", '{python: "metrics:raises"}')
    start(suite_file, Coin(random.Random(1)))

    def with_answer(event: dict[str, Any]) -> list[dict[str, Any]]:
        if event["event"] != "outcome":
            return [event]
        outcome = event["outcome"] | {"response": event["outcome"]["references"][0], "finish_reason": "stop"}
        return [event, {**event, "outcome": outcome}] if outcome["verdict"] == "INVALID" else [event]

    with pytest.raises(Tampered, match="an outcome contains an answer"):
        read_run(rewrite(suite_file.parent / "run", with_answer))


def test_an_older_record_whose_answers_were_asked_for_again_is_not_promoted(tmp_path: Path) -> None:
    suite_file = write_suite(tmp_path / "gate", "exact")
    start(suite_file, Coin(random.Random(1), right=1.0))

    def older(event: dict[str, Any]) -> list[dict[str, Any]]:
        if event["event"] == "answered":
            return []
        if event["event"] != "outcome":
            return [event]
        answer = {"response": event["outcome"]["references"][0], "finish_reason": "stop"}
        last = event["outcome"] | answer
        finding = {**last["findings"][0], "verdict": "INVALID", "value": None, "reason": "no judge"}
        first = {**last, "response": "wrong", "verdict": "INVALID", "reason": "no judge", "findings": [finding]}
        return [{**event, "outcome": first}, {**event, "outcome": last}]

    gate = read_run(rewrite(suite_file.parent / "run", older)).gates["suite"]
    assert (gate.verdict, gate.passed) == (PASS, 100)
    with pytest.raises(NotPromotable, match="asked 100 questions again and got other answers"):
        recheck(gate)


def test_a_pass_that_took_more_asking_than_was_registered_is_not_promoted(tmp_path: Path) -> None:
    suite_file, server = write_suite(tmp_path / "gate", "exact"), away(2)
    for _ in range(3):
        start(suite_file, server())
    assert the_gate(suite_file).verdict is PASS

    def fewer(event: dict[str, Any]) -> list[dict[str, Any]]:
        terms = {"terms": {**event["terms"], "ask_again": 1}} if event["event"] == "gate_started" else {}
        return [{**event, **terms}]

    gate = read_run(rewrite(suite_file.parent / "run", fewer)).gates["suite"]
    with pytest.raises(NotPromotable, match="asked 3 times, but its terms allow 2"):
        recheck(gate)


def test_answers_come_back_from_the_record_as_they_were() -> None:
    answers = AnswerLog()
    answers.add("a", Response("", error="down", fault=Fault.NO_REPLY))
    answers.add("a", Response("yes", "stop"))
    assert (answers.asked_again, answers.most_asked, answers.came("a")) == (1, 2, True)
    with pytest.raises(ValueError, match="has an answer"):
        answers.add("a", Response("no", "stop"))


def test_each_answer_of_a_server_is_on_record_when_it_arrives(tmp_path: Path) -> None:
    suite_file = write_suite(tmp_path / "gate", "exact")
    stops = iter([False] * 5 + [True])

    def spoil(response: Response) -> Response:
        if next(stops):
            raise KeyboardInterrupt
        return response

    start(suite_file, Coin(random.Random(1), right=0.0, spoil=spoil, sha256=None))
    gate = the_gate(suite_file)
    assert [response.text for response in gate.answers.responses.values()].count("no") == 5
    again = Coin(random.Random(1), right=1.0, sha256=None)
    start(suite_file, again)
    assert len(again.asked) == 95
    assert the_gate(suite_file).answers.asked_again == 11  # the others of the lot of 16 were asked, or could have been


def test_a_gate_of_a_server_that_is_run_anew_says_which_verdicts_came_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = load_suite(write_suite(tmp_path / "gate", "exact"), build_check)
    monkeypatch.chdir(tmp_path)

    def once(right: float, **more: Any) -> GateRunResult:
        model = Coin(random.Random(1), right=right, **more)
        return run_gate(GateRequest(suite, suite.plan, 0, model), no_progress, {})

    results = [once(right, sha256=None) for right in (0.0, 0.0, 1.0)]
    assert [result.record.verdict for result in results] == [FAIL, FAIL, PASS]
    assert [result.earlier for result in results] == [(), ("FAIL",), ("FAIL", "FAIL")]
    assert [once(1.0).earlier, once(1.0).earlier] == [(), ()]  # known weights say the same each time
