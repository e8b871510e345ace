"""Limits on what serving costs, from the suite file to the verdict: what is timed, in which order, and what is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import carry_out, open_model, tools, write_pipeline
from tests.support.judge_server import Reply, judge_server
from tests.support.llama_server import GGUF, llama_server
from tests.support.tiny_model import make_tiny_model
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.exceptions import ConfigError, Tampered
from tunegate.gates.draw import GatePlace, draw_fresh
from tunegate.gates.gate_run import GateRequest, run_gate
from tunegate.gates.limits import measure
from tunegate.gates.runner import GateRunner
from tunegate.models.machine import repeat_share
from tunegate.models.model import Fault, GenerationSettings, Model, Response, ScriptedModel, StoredResponses
from tunegate.models.open_model import find_model
from tunegate.models.openai_server import OpenAIModel
from tunegate.models.shared_answers import SharedAnswers
from tunegate.models.streamed import FirstToken, whole_reply
from tunegate.models.timing import Timing
from tunegate.record.gate_events import LimitsMeasured
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck_all
from tunegate.record.run_log import RunLog
from tunegate.suites.limits_cost import notes_on_limits
from tunegate.suites.suite_file import load_suite
from tunegate.verdicts.decision import Decision
from tunegate.verdicts.limits import Limit, LimitRules
from tunegate_suites import build_check

LATENCY = {"latency_ms": {"p": 95, "max": 800}}
CASES = [Case(f"c{number}", f"What is {number} plus one?", (str(number + 1),)) for number in range(20)]
SETTINGS = GenerationSettings(max_new_tokens=4)


def write_suite(folder: Path, limits: Any, **rest: Any) -> Path:
    rows = [{"id": case.id, "prompt": case.prompt, "reference": case.references[0]} for case in CASES]
    write_jsonl(folder / "cases.jsonl", rows)
    plan = {"draw": 20, "accept": 18}
    suite = {"name": "facts", "cases": "cases.jsonl", "checks": ["exact"], "plan": plan, "limits": limits, **rest}
    path = folder / "facts.yaml"
    path.write_text(json.dumps(suite))
    return path


@dataclass
class Stopwatch:
    """A clock that only the models move; `heard` are the questions, in order."""

    now: float = 0.0
    heard: list[str] = field(default_factory=list[str])

    def __call__(self) -> float:
        return self.now

    def model(self, name: str, seconds: float) -> ScriptedModel:
        def answer(case: Case) -> Response:
            self.heard.append(f"{name} {case.id}")
            self.now += seconds
            return Response("2", "stop", 4)

        return ScriptedModel(answer, name)


# --- what is timed ----------------------------------------------------------------------------------------------------


def test_warm_up_is_no_case_and_the_models_take_turns():
    watch = Stopwatch()
    rules = LimitRules((Limit("latency_ms", 1.2, 50.0, ratio=True),), 3, warmup=1, baseline="other")
    ours, theirs = watch.model("A", 0.3), watch.model("B", 0.2)
    found = measure(rules, SETTINGS, ours, CASES, lambda: theirs, watch, dict)
    turns = [f"{name} c{number}" for number in range(3) for name in "AB"]
    assert watch.heard == ["A warm-up 1", "B warm-up 1", *turns]
    assert found.case_ids == ("c0", "c1", "c2")
    assert [one.seconds for one in found.timings] == pytest.approx([0.3] * 3)
    assert [one.seconds for one in found.baseline_timings] == pytest.approx([0.2] * 3)
    assert not {"warm-up 1"} & {case.id for case in CASES}


def test_kept_answers_are_not_timed():
    watch = Stopwatch()
    inner = watch.model("A", 0.3)
    shared = SharedAnswers(inner)
    list(shared.generate(CASES, SETTINGS))
    found = measure(
        LimitRules((Limit("latency_ms", 800, 95.0),), 5, 0), SETTINGS, shared, CASES, clock=watch, machine=dict
    )
    assert [one.seconds for one in found.timings] == pytest.approx([0.3] * 5)


def test_stored_answers_take_no_time_that_counts(tmp_path: Path):
    answers = {case.id: Response(case.references[0], "stop") for case in CASES}
    limits = {**LATENCY, "memory_mb": 100000, "size_mb": 100000}
    result = gated(tmp_path, limits, StoredResponses(answers))
    assert (result.record.verdict, result.record.passed) == (Verdict.INVALID, 20)
    assert {one.verdict for one in result.record.limit_results} == {Verdict.INVALID}
    assert "stored answers take no time" in result.record.reason


def test_a_request_that_fails_stays_in_the_denominator(tmp_path: Path):
    def answer(case: Case) -> Response:
        return (
            Response("", error="timed out")
            if case.id == "c3"
            else Response(case.references[0] if case.references else "")
        )

    [result] = gated(tmp_path, LATENCY, ScriptedModel(answer)).record.limit_results
    assert (result.verdict, result.reason.facts["within"], result.reason.facts["requests"]) == (Verdict.INVALID, 19, 20)


def gated(folder: Path, limits: Any, model: Model, **rest: Any):
    suite = load_suite(write_suite(folder, limits, **rest), build_check)
    request = GateRequest(suite, suite.plan, 0, model, str(folder / "run"))
    return run_gate(request, lambda *_: None, {})


# --- on record --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timed(ScriptedModel):
    """A model whose requests take what a test says."""

    seconds: float = 0.1

    def timed(self, cases: Sequence[Case], settings: GenerationSettings, how: Any) -> Iterator[Timing]:
        return iter([Timing(self.seconds, self.seconds / 2, 10, 4)] * len(cases))


def right(case: Case) -> str:
    return case.references[0]


def test_no_request_is_timed_with_another_number_type(tmp_path: Path) -> None:
    suite = load_suite(write_suite(tmp_path, LATENCY), build_check)

    def go_on(model: Model) -> Decision:
        with RunLog.open(tmp_path / "run") as log:
            drawn, terms = draw_fresh(GatePlace("facts"), suite, 20, 0), suite.terms(suite.plan, curtail=False)
            begun = log.record.gates.get("facts")
            return GateRunner(log).run(GatePlace("facts"), suite, terms, model, drawn, begun=begun)

    class Killed(Timed):
        def timed(self, *_: Any) -> Iterator[Timing]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go_on(Killed(right, sha256="weights", dtype="bfloat16"))
    with pytest.raises(ConfigError, match="it began with the number type bfloat16"):
        go_on(Timed(right, sha256="weights", dtype="float32"))
    assert go_on(Timed(right, sha256="weights", dtype="bfloat16", seconds=5.0)).verdict is Verdict.FAIL


def test_recorded_times_are_decided_again_and_a_changed_time_is_found(tmp_path: Path):
    result = gated(tmp_path, LATENCY, Timed(right, sha256="a" * 64))
    assert result.record.verdict is Verdict.PASS
    run = read_run(tmp_path / "run")
    assert recheck_all(run) == 1
    [gate] = run.all_gates()
    assert gate.figures is not None
    slow = replace(gate.figures, timings=tuple(replace(one, seconds=0.9) for one in gate.figures.timings))
    with pytest.raises(Tampered, match="give FAIL"):
        recheck_all(replace(run, gates={"facts": replace(gate, timed=(slow,))}))
    assert {"cpu", "cores", "python", "repeat_share"} <= {*gate.figures.machine}


def test_a_gate_that_is_too_slow_fails_although_its_answers_pass(tmp_path: Path):
    record = gated(tmp_path, LATENCY, Timed(right, sha256="a" * 64, seconds=0.9)).record
    assert (record.verdict, record.passed, record.accept) == (Verdict.FAIL, 20, 18)
    assert "latency: 0 of 20 requests within 800 ms, 19 needed (95 % within 900 ms)" in record.reason


def test_a_finished_measurement_is_not_repeated_and_an_invalid_one_is_on_record(tmp_path: Path):
    @dataclass(frozen=True)
    class Unsteady(Timed):
        tries: list[int] = field(default_factory=list[int])

        def timed(self, cases: Sequence[Case], settings: GenerationSettings, how: Any) -> Iterator[Timing]:
            self.tries.append(len(cases))
            fault = Timing(error="timed out")
            return iter([Timing(0.1)] * (len(cases) - 1) + [fault if len(self.tries) == 2 else Timing(0.1)])

    model = Unsteady(right, sha256="a" * 64)
    assert gated(tmp_path, LATENCY, model).record.verdict is Verdict.INVALID
    again = gated(tmp_path, LATENCY, model)
    assert (again.record.verdict, len(again.record.timed)) == (Verdict.PASS, 2)
    gated(tmp_path, LATENCY, model)
    assert model.tries == [3, 20, 3, 20]
    log = (tmp_path / "run" / "events.jsonl").read_text()
    assert log.count(f'"{LimitsMeasured.KIND}"') == 2


def test_a_gate_that_is_asked_again_for_an_answer_is_not_timed_again(tmp_path: Path):
    asked: list[str] = []

    def answer(case: Case) -> Response:
        asked.append(case.id)
        silent = case.id == "c3" and asked.count("c3") == 1
        return Response("", error="no reply", fault=Fault.NO_REPLY) if silent else Response(right(case), "stop")

    model = Timed(answer, sha256="a" * 64)
    assert gated(tmp_path, LATENCY, model).record.verdict is Verdict.INVALID
    again = gated(tmp_path, LATENCY, Timed(answer, sha256="a" * 64, seconds=0.9)).record
    assert (again.verdict, len(again.timed)) == (Verdict.PASS, 1)


# --- a real model -----------------------------------------------------------------------------------------------------

ALL = {
    "latency_ms": {"p": 95, "max": 60000},
    "ttft_ms": {"p": 95, "max": 60000},
    "tokens_per_s": {"p": 95, "min": 0.001},
    "size_mb": 1,
    "memory_mb": 100000,
    "cost_per_1k": {"max": 1, "input": 0.5, "output": 1.5},
}


def test_a_real_model_is_measured_and_the_report_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = make_tiny_model(tmp_path / "model")
    generate = {"max_new_tokens": 4}
    suite = write_suite(tmp_path, ALL, checks=[{"regex": "[a-z]"}], plan={"draw": 20, "accept": 1}, generate=generate)
    arguments = ["gate", str(model), "--suite", str(suite), "--run", str(tmp_path / "run"), "--ledger", "none"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("limit PASS: ") for line in lines) == 6
    assert any(line.startswith("measured here: 20 requests in ") for line in lines)
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count('class="chart strip"') == 6
    assert "cannot be measured again" in page
    assert main([*arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["limits"]
    by_name = {one["limit"]["name"]: one for one in shown["results"]}
    weights = sum(path.stat().st_size for path in model.glob("*.safetensors"))
    assert by_name["size_mb"]["value"] == pytest.approx(weights / 1e6)
    pairs = zip(by_name["ttft_ms"]["values"], by_name["latency_ms"]["values"], strict=True)
    assert all(0 < first <= whole for first, whole in pairs)
    [gate] = read_run(tmp_path / "run").all_gates()
    assert gate.figures is not None
    assert all(1 <= (one.new_tokens or 0) <= 4 and (one.prompt_tokens or 0) > 5 for one in gate.figures.timings)
    assert gate.figures.memory_of == "process"


def test_a_model_and_its_baseline_are_measured_in_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model, other = make_tiny_model(tmp_path / "model"), make_tiny_model(tmp_path / "other", seed=1)
    limits = {"latency_ms": {"p": 50, "max_ratio": 1000, "baseline": "other"}}
    generate = {"max_new_tokens": 2}
    suite = write_suite(
        tmp_path, limits, checks=[{"regex": "[a-z]"}], plan={"draw": 20, "accept": 1}, generate=generate
    )
    arguments = ["gate", str(model), "--suite", str(suite), "--run", str(tmp_path / "run"), "--ledger", "none"]
    assert main(arguments) == 0
    assert "20 of 20 requests within 1000 times the time of" in capsys.readouterr().out
    [gate] = read_run(tmp_path / "run").all_gates()
    assert gate.figures is not None
    assert (len(gate.figures.baseline_timings), gate.figures.baseline_sha256) == (20, find_model(str(other)).sha256)
    shutil.copytree(model, tmp_path / "copy")
    suite.write_text(suite.read_text().replace('"other"', '"copy"'))
    capsys.readouterr()
    assert main([*arguments[:-3], str(tmp_path / "again"), *arguments[-2:]]) == 2
    assert "has the weights of the model itself; name another model" in capsys.readouterr().err


def test_a_comparison_says_that_it_measures_no_limits(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    suite = write_suite(tmp_path, LATENCY)
    rows = [{"id": case.id, "response": case.references[0]} for case in CASES]
    answers = str(write_jsonl(tmp_path / "answers.jsonl", rows))
    arguments = ["--suite", str(suite), "--baseline", answers, "--run", str(tmp_path / "run"), "--ledger", "none"]
    main(["gate", "--responses", answers, *arguments])
    assert "the limits of the suite are not measured" in capsys.readouterr().err


# --- servers ----------------------------------------------------------------------------------------------------------


def completion(**usage: Any) -> str:
    message = {"role": "assistant", "content": "2"}
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})


def test_a_server_is_asked_one_at_a_time_and_never_again():
    def reply(request: dict[str, Any], number: int) -> Reply:
        return (
            Reply(status=500, body="{}")
            if number == 2
            else Reply(body=completion(prompt_tokens=9, completion_tokens=4))
        )

    with judge_server(reply) as server:
        model = OpenAIModel(server.base_url, "m", concurrency=8)
        rules = LimitRules((Limit("latency_ms", 800, 95.0),), 5, 1)
        found = measure(rules, SETTINGS, model, CASES)
        assert (len(server.requests), server.most_at_once) == (6, 1)
    errors = [one.error for one in found.timings]
    assert [bool(error) for error in errors] == [False, True, False, False, False]
    assert found.timings[0].prompt_tokens == 9
    assert (found.memory_bytes, found.size_bytes) == (None, None)


def test_a_prompt_that_the_server_kept_is_not_measured():
    usage = {"prompt_tokens": 40, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 39}}
    with judge_server(lambda request, number: Reply(body=completion(**usage))) as server:
        rules = LimitRules((Limit("latency_ms", 800, 95.0),), 2, 0)
        found = measure(rules, SETTINGS, OpenAIModel(server.base_url, "m"), CASES)
    assert all("had the whole prompt" in one.error for one in found.timings)


def event(**delta: str) -> str:
    return "data: " + json.dumps({"choices": [{"delta": delta, "finish_reason": None}]}) + "\n\n"


STREAM = (
    event(role="assistant", content="")
    + event(content="Par")
    + event(content="is")
    + 'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
    + 'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}\n\ndata: [DONE]\n\n'
)


def test_a_stream_is_asked_for_where_the_first_token_counts():
    reply = Reply(body=STREAM, content_type="text/event-stream", drip_s=0.0005)
    with judge_server(lambda request, number: reply) as server:
        rules = LimitRules((Limit("ttft_ms", 800, 95.0),), 2, 0)
        found = measure(rules, SETTINGS, OpenAIModel(server.base_url, "m"), CASES)
        assert server.requests[0]["stream"] is True
    for one in found.timings:
        assert one.error == ""
        assert (one.new_tokens, one.prompt_tokens) == (2, 9)
        assert 0 < (one.first_token_s or 0) < (one.seconds or 0)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_first_token_is_the_first_text_however_the_stream_is_cut(size: int):
    watch = Stopwatch()
    first = FirstToken(watch)
    body = STREAM.encode()
    for start in range(0, len(body), size):
        watch.now = float(min(start + size, len(body)))
        first.hear(body[start : start + size])
    line_end = STREAM.index("Par") + STREAM[STREAM.index("Par") :].index("\n") + 1
    assert first.at is not None
    assert line_end <= first.at < line_end + size
    assert json.loads(whole_reply(STREAM))["choices"][0]["message"]["content"] == "Paris"
    assert whole_reply('{"choices": []}') == '{"choices": []}'


def test_a_server_that_does_not_stream_has_no_first_token():
    with judge_server(lambda request, number: Reply(body=completion(prompt_tokens=9, completion_tokens=4))) as server:
        rules = LimitRules((Limit("ttft_ms", 800, 50.0),), 5, 0)
        found = measure(rules, SETTINGS, OpenAIModel(server.base_url, "m"), CASES)
    assert [one.first_token_s for one in found.timings] == [None] * 5


def test_requests_run_at_once_where_the_suite_says_so():
    together = Barrier(4, timeout=60)

    def reply(request: dict[str, Any], number: int) -> Reply:
        together.wait()  # no request is answered before three others came
        return Reply(body=completion())

    with judge_server(reply) as server:
        rules = LimitRules((Limit("latency_ms", 800, 95.0),), 8, 0, concurrency=4)
        found = measure(rules, SETTINGS, OpenAIModel(server.base_url, "m"), CASES)
        assert server.most_at_once == 4
    assert not any(one.error for one in found.timings)


@pytest.mark.slow
def test_a_real_llama_cpp_server_is_measured():
    names = ("latency_ms", "ttft_ms", "tokens_per_s")
    rules = LimitRules(tuple(Limit(name, 1, 50.0) for name in names), 5, 1)  # type: ignore[arg-type]
    with llama_server() as url:
        model = OpenAIModel(url, "m").check()
        found = measure(rules, GenerationSettings(max_new_tokens=8), model, CASES)
        again = measure(rules, GenerationSettings(max_new_tokens=8), model, CASES[4:5])
    for one in found.timings:
        assert one.error == ""
        assert 0 < (one.first_token_s or 0) <= (one.seconds or 0)
        assert 1 <= (one.new_tokens or 0) <= 8
        assert (one.prompt_tokens or 0) > 5
    assert again.timings


@pytest.mark.slow
def test_smollm2_is_measured_from_its_package(tmp_path: Path):
    from tests.support.llama_server import FILE, needs_smollm2
    from tunegate.models.open_model import open_model as open_real

    size = (needs_smollm2() / FILE).stat().st_size
    rules = LimitRules((Limit("latency_ms", 1, 50.0), Limit("ttft_ms", 1, 50.0)), 2, 1)
    found = measure(rules, SETTINGS, open_real(GGUF), CASES)
    assert found.size_bytes == size
    assert all(0 < (one.first_token_s or 0) <= (one.seconds or 0) for one in found.timings)
    assert (found.memory_bytes or 0) > 100_000_000


# --- in a pipeline ----------------------------------------------------------------------------------------------------

PIPELINE = """\
name: small
model: base
suites:
  facts: {cases: cases.jsonl, checks: [exact], plan: {draw: 20, accept: 10}, limits: LIMITS}
stages:
  - {name: sft, method: sft, data: train.jsonl, gates: [facts], retrain: {max_attempts: 3, rows: [2, 4, 8]}}
promote: {to: production, registry: registry}
"""


def timed_tools(seconds: Any):
    def open_timed(path: str) -> Timed:
        inner = open_model(path)
        return Timed(inner.script, inner.name, inner.sha256, seconds=seconds("base" in Path(path).name))

    return replace(tools({"sft#1": 1.0, "sft#2": 1.0}), open_model=open_timed)


def test_a_model_that_is_too_slow_is_not_promoted_and_not_trained_again(tmp_path: Path):
    path = write_pipeline(tmp_path, PIPELINE.replace("LIMITS", json.dumps(LATENCY)), bank=90)
    run = carry_out(path, timed_tools(lambda base: 0.9))
    [attempt] = run.stages["sft"].attempts.values()
    assert (run.verdict, attempt.gates["facts"].passed, run.promotions) == (Verdict.FAIL, 20, ())
    assert attempt.diagnosis is not None
    assert (attempt.diagnosis.cause, dict(attempt.diagnosis.changes)) == ("limits", {})
    assert "retraining cannot fix this" in attempt.diagnosis.action
    assert "a smaller `max_new_tokens`" in attempt.diagnosis.evidence[0]
    assert carry_out(path, timed_tools(lambda base: 0.1), run="fast").verdict is Verdict.PASS


@pytest.mark.parametrize(("base", "verdict"), [(0.1, Verdict.PASS), (0.05, Verdict.FAIL)])
def test_base_is_the_model_of_the_pipeline(tmp_path: Path, base: float, verdict: Verdict):
    limits = {"latency_ms": {"p": 50, "max_ratio": 1.2, "baseline": "base"}}
    path = write_pipeline(tmp_path, PIPELINE.replace("LIMITS", json.dumps(limits)), bank=90)
    run = carry_out(path, timed_tools(lambda is_base: base if is_base else 0.1))
    assert run.verdict is verdict
    figures = run.stages["sft"].attempts[1].gates["facts"].figures
    assert figures is not None
    assert figures.baseline_sha256 == run.start["model_sha256"]


# --- bad input and the look before ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, "at least one limit"),
        ({"latency_ms": {"p": 95}}, "either `max`"),
        ({"latency_ms": {"max_ratio": 1.2}}, "need each other"),
        ({"latency_ms": {"max": 800, "p": 99}}, "at least 100 are needed"),
        ({"latency_ms": {"max_ratio": 1.2, "baseline": "base"}}, "at least 59 are needed"),
        ({"latency_ms": {"max_ratio": 2, "baseline": "gone/model/x", "p": 50}}, "no such file or folder"),
        ({"latency_ms": 800, "requests": 21}, "the plan draws 20"),
        ({"latency_ms": {"max_ratio": 2, "baseline": "base", "p": 50}, "memory_mb": 9}, "two suites"),
        ({"latency_ms": {"max_ratio": 2, "baseline": "base", "p": 50}, "concurrency": 2}, "take turns"),
        ({"latency_ms": {"max_ratio": 2, "baseline": "base", "p": 100}}, "99 or less"),
        ({"latncy_ms": 800}, "latency_ms"),
        ({"cost_per_1k": {"max": 1}}, "input"),
        ({"cost_per_1k": {"max": 1, "input": 0, "output": 0}}, "both prices are 0"),
    ],
)
def test_bad_limits_are_refused_in_one_line(tmp_path: Path, limits: Any, said: str):
    with pytest.raises(ConfigError, match=r"facts\.yaml") as caught:
        load_suite(write_suite(tmp_path, limits), build_check)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_limits_that_a_model_cannot_be_measured_by_are_refused_before_it_is_asked(tmp_path: Path):
    ratio = {"latency_ms": {"max_ratio": 2, "baseline": "base", "p": 50}}
    for limits, said in ((ratio, "not part of a pipeline"), ({**LATENCY, "concurrency": 2}, "only for a server")):
        with pytest.raises(ConfigError, match=said):
            gated(tmp_path, limits, Timed(right, sha256="a" * 64))
    assert not (tmp_path / "run").exists()


def test_a_strangers_suite_contacts_no_server_for_its_baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    limits = {"latency_ms": {"max_ratio": 2, "baseline": "http://192.0.2.1/v1#m", "p": 50}}
    suite = write_suite(tmp_path, limits)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("TUNEGATE_TRUST", "")
    assert main(["check", str(suite)]) == 2
    told = capsys.readouterr()
    assert "would contact: http://192.0.2.1" in told.out
    assert "REFUSED" in told.out
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        load_suite(suite, build_check)


def test_check_says_what_limits_cost_and_where_a_ratio_is_safer():
    rules = LimitRules((Limit("latency_ms", 800, 95.0),), 100)
    cost, noise = notes_on_limits(rules, lambda: 0.3)
    assert "103 more requests, one at a time" in cost
    assert "30% of repeats" in noise
    assert "max_ratio" in noise
    assert len(list(notes_on_limits(rules, lambda: 0.0))) == 1
    ratio = LimitRules((Limit("latency_ms", 1.2, 50.0, ratio=True),), 100, baseline="base")
    [cost] = notes_on_limits(ratio, lambda: 0.3)
    assert "206 more requests" in cost
    assert list(notes_on_limits(LimitRules((Limit("size_mb", 3),), 100), lambda: 0.3)) == []


def test_repeats_that_take_longer_are_counted():
    watch = Stopwatch()
    times = iter([1.0, *[1.0, 1.0, 1.0, 1.3] * 10, 1.0])

    def work() -> None:
        watch.now += next(times)

    assert repeat_share(watch, work) == pytest.approx(10 / 41)
