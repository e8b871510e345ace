"""Servers that misbehave: whatever they do ends in INVALID or exit 2, soon, in bounded memory, with no secret kept."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tunegate.cases.case import Case
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.model import Fault, GenerationSettings, Response
from tunegate.models.open_model import open_model
from tunegate.models.openai_server import OpenAIModel

pytest.importorskip("openai")

KEY = "sk-tunegate-0123456789"
CASES = [Case("a", "What is 1?"), Case("b", "What is 2?")]


def whole(text: Any = "yes", **more: Any) -> bytes:
    message = {"role": "assistant", "content": text, **more.pop("message", {})}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop", **more}]}).encode()


@dataclass
class Asked:
    """A request as it came in: how, where, with what."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    number: int
    """How many of the kind came before."""


@dataclass
class Reply:
    """What goes out: `chunks`, where given, one after the other; None as the body of a request that is hung up on."""

    body: bytes | None = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    chunks: Iterator[bytes] | None = None


@contextmanager
def serving(answer: Callable[[Asked], Reply]) -> Iterator[tuple[str, list[Asked]]]:
    """Yields the address of a server, and the list of what it was asked. `GET` meets 501, unless `answer` takes it."""
    asked: list[Asked] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            with lock:
                number = sum(one.method == self.command for one in asked)
                one = Asked(self.command, self.path, dict(self.headers), body, number)
                asked.append(one)
            reply = answer(one)
            if reply.body is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            chunked = reply.chunks is not None
            framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(reply.body))}
            for name, value in {"Content-Type": "application/json", **framing, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)
            for chunk in reply.chunks or ():
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            if chunked:
                self.wfile.write(b"0\r\n\r\n")

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that hangs up is what these tests want

    httpd = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/v1", asked
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def only_posts(reply: Callable[[Asked], Reply]) -> Callable[[Asked], Reply]:
    """Servers without `/models`, as most stand-ins are."""
    return lambda asked: Reply(status=501) if asked.method == "GET" else reply(asked)


def answers(address: str, cases: list[Case] = CASES, **how: Any) -> list[Response]:
    model = OpenAIModel(address, "m", **{"timeout_s": 5.0, "max_retries": 1, **how})
    found = dict(model.generate(cases, GenerationSettings()))
    return [found[index] for index in range(len(cases))]


# --- the limits ----------------------------------------------------------------------------------------------------


def bomb(encoding: int = zlib.MAX_WBITS | 16) -> Iterator[bytes]:
    """Some 6 GiB of blanks in some 6 MiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, encoding)
    yield packer.compress(b'{"x":"')
    for _ in range(400):
        yield packer.compress(b" " * 2**24) or packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


def flood() -> Iterator[bytes]:
    while True:
        yield b" " * 2**20


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (lambda: Reply(headers={"Content-Encoding": "gzip"}, chunks=bomb()), "longer than 16 MiB"),
        (lambda: Reply(headers={"Content-Encoding": "deflate"}, chunks=bomb(zlib.MAX_WBITS)), "longer than 16 MiB"),
        (lambda: Reply(chunks=flood()), "longer than 16 MiB"),
        (lambda: Reply(whole("x " * (10 * 2**20))), "longer than 16 MiB"),
        (lambda: Reply(b"no gzip", headers={"Content-Encoding": "gzip"}), "cannot be decompressed"),
        (lambda: Reply(b"?", headers={"Content-Encoding": "br"}), "compressed as 'br'"),
        (lambda: Reply(b'{"choices":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "not a chat completion"),
        (lambda: Reply(status=500, chunks=flood()), "longer than 16 MiB"),
    ],
)
def test_a_reply_without_measure_is_a_bad_one_and_is_not_asked_for_again(reply: Callable[[], Reply], said: str) -> None:
    with serving(lambda asked: reply()) as (address, asked):
        (response,) = answers(address, CASES[:1])
        assert len(asked) == 1
    assert response.fault is Fault.BAD_REPLY
    assert said in str(response.error)


def test_a_reply_that_is_compressed_unasked_is_read() -> None:
    packed = Reply(gzip.compress(whole("yes")), headers={"Content-Encoding": "gzip"})
    with serving(lambda asked: packed) as (address, asked):
        assert answers(address, CASES[:1]) == [Response("yes", "stop")]
        assert asked[0].headers["accept-encoding"] == "identity"


def test_headers_without_end_are_a_fault_of_the_connection() -> None:
    with serving(lambda asked: Reply(whole(), headers={"X-Long": "x" * 200_000})) as (address, _):
        (response,) = answers(address, CASES[:1], max_retries=0)
    assert response.fault is Fault.NO_REPLY


def test_a_server_does_not_decide_that_a_refused_question_is_asked_again() -> None:
    refusal = Reply(b"{}", status=400, headers={"x-should-retry": "true"})
    with serving(lambda one: refusal if one.number < 2 else Reply(whole())) as (address, asked):
        (response,) = answers(address, CASES[:1], max_retries=3)
    assert (response.fault, len(asked)) == (Fault.REJECTED, 1)


# --- torn replies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("torn", [whole()[:-30], whole("é")[:60], b"", b"{"])
def test_a_torn_reply_is_asked_for_again(torn: bytes) -> None:
    with serving(lambda asked: Reply(torn if asked.number == 0 else whole())) as (address, asked):
        assert answers(address, CASES[:1]) == [Response("yes", "stop", tries=2)]
        assert len(asked) == 2


def test_a_reply_that_is_torn_to_the_last_is_a_bad_one() -> None:
    with serving(lambda asked: Reply(whole()[:-9])) as (address, asked):
        (response,) = answers(address, CASES[:1])
        assert len(asked) == 2
    assert response.fault is Fault.BAD_REPLY
    assert "ended before its JSON did" in str(response.error)


def test_a_web_page_is_not_torn() -> None:
    with serving(lambda asked: Reply(b"<html>Sign in")) as (address, asked):
        (response,) = answers(address, CASES[:1])
        assert len(asked) == 1
    assert response.fault is Fault.BAD_REPLY


# --- what a reply may hold -----------------------------------------------------------------------------------------

ODD = [
    {},
    [],
    None,
    1,
    "x",
    {"choices": None},
    {"choices": {}},
    {"choices": [None]},
    {"choices": [{}]},
    {"choices": [{"message": None}]},
    {"choices": [{"message": {"content": ["a"]}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": "a1"}, "finish_reason": {"a": 1}}]},
    {"choices": [{"message": {"content": "a1"}, "finish_reason": ["stop"]}]},
    {"error": {"message": "overloaded"}},
]


@pytest.mark.parametrize("body", ODD)
def test_what_is_no_chat_completion_is_a_bad_reply(body: object) -> None:
    with serving(lambda asked: Reply(json.dumps(body).encode())) as (address, _):
        (response,) = answers(address, CASES[:1])
    assert response.fault is Fault.BAD_REPLY
    assert response.error


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (whole("BLM is the", finish_reason="content_filter"), "content_filter"),
        (whole("BLM", finish_reason="error"), "error"),
        (whole(None, finish_reason="tool_calls"), "tool_calls"),
        (whole("BLM", finish_reason="abort"), "abort"),
        (whole(None, message={"refusal": "I can't help with that."}), "I can't help with that"),
        (whole(None), "has no text"),
    ],
)
def test_an_answer_that_was_ended_for_another_reason_is_a_bad_reply(reply: bytes, said: str) -> None:
    with serving(lambda asked: Reply(reply)) as (address, _):
        (response,) = answers(address, CASES[:1])
    assert response.fault is Fault.BAD_REPLY
    assert said in str(response.error)


@pytest.mark.parametrize(
    "usage", [{"completion_tokens": "x"}, [1], {"completion_tokens": -5}, {"completion_tokens": 1e308}]
)
def test_a_count_of_tokens_that_is_none_costs_no_answer(usage: object) -> None:
    body = {**json.loads(whole()), "usage": usage}
    with serving(lambda asked: Reply(json.dumps(body).encode())) as (address, _):
        assert answers(address, CASES[:1]) == [Response("yes", "stop")]


# --- redirects -----------------------------------------------------------------------------------------------------


def test_a_redirect_to_another_server_is_not_followed() -> None:
    with serving(lambda asked: Reply(whole())) as (elsewhere, there):
        away = Reply(status=307, headers={"Location": f"{elsewhere}/chat/completions?token={KEY}"})
        with serving(lambda asked: away) as (address, _):
            (response,) = answers(address, CASES[:1])
            with pytest.raises(ConfigError, match="redirects to"):
                open_model(f"{address}#m")
        assert there == []
    assert response.fault is Fault.BAD_REPLY
    assert elsewhere in str(response.error)
    assert KEY not in str(response.error)


def test_a_redirect_within_the_server_is_followed_but_not_for_ever() -> None:
    def reply(asked: Asked) -> Reply:
        return (
            Reply(whole()) if asked.path.endswith("/x") else Reply(status=307, headers={"Location": asked.path + "/x"})
        )

    with serving(reply) as (address, _):
        assert answers(address, CASES[:1]) == [Response("yes", "stop")]
    with serving(lambda asked: Reply(status=307, headers={"Location": asked.path + "x"})) as (address, asked):
        (response,) = answers(address, CASES[:1])
        assert len(asked) == 5
    assert response.fault is Fault.BAD_REPLY


# --- fields of a request -------------------------------------------------------------------------------------------


def newer(asked: Asked) -> Reply:
    if "max_tokens" in asked.body:
        words = {"error": {"message": "max_tokens is not supported: use max_completion_tokens"}}
        return Reply(json.dumps(words).encode(), 400)
    return Reply(whole())


def test_a_server_that_wants_max_completion_tokens_is_asked_so_and_that_is_remembered() -> None:
    with serving(only_posts(newer)) as (address, asked):
        model = OpenAIModel(address, "m", concurrency=1)
        for _ in range(2):
            assert [one for _, one in model.generate(CASES, GenerationSettings())] == [Response("yes", "stop")] * 2
        assert ["max_tokens" in one.body for one in asked] == [True, *[False] * 4]
        assert asked[1].body["max_completion_tokens"] == 128


def test_a_400_about_something_else_is_not_asked_again() -> None:
    with serving(lambda asked: Reply(b'{"error": {"message": "too hot"}}', 400)) as (address, asked):
        (response,) = answers(address, CASES[:1])
        assert len(asked) == 1
    assert response.fault is Fault.REJECTED


def test_fields_are_added_and_taken_out() -> None:
    with serving(lambda asked: Reply(whole())) as (address, asked):
        fields = {"temperature": None, "seed": None, "reasoning_effort": "low", "max_completion_tokens": 9}
        answers(address, CASES[:1], request=fields)
    assert set(asked[0].body) == {"model", "messages", "reasoning_effort", "max_completion_tokens"}


@pytest.mark.parametrize("name", ["model", "messages", "stream", "n"])
def test_a_field_that_is_the_gate_s_own_cannot_be_set(name: str) -> None:
    with pytest.raises(ConfigError, match=f"request: the field '{name}' is set by the gate"):
        OpenAIModel("http://127.0.0.1:9/v1", "m", request={name: None})


# --- the look before the first case --------------------------------------------------------------------------------


def test_a_server_that_listens_is_asked_nothing() -> None:
    with serving(lambda asked: Reply(b'{"data": [{"id": "other"}]}')) as (address, asked):
        open_model(f"{address}#m")
        assert [(one.method, one.path) for one in asked] == [("GET", "/v1/models")]


def test_nothing_listens() -> None:
    with serving(only_posts(lambda asked: Reply(whole()))) as (address, _):
        pass
    with pytest.raises(ConfigError, match="no server answers at this address"):
        open_model(f"{address}#m")


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("door", [lambda reply: reply, only_posts])
def test_a_server_that_lets_nobody_in_ends_the_gate_before_any_outcome(
    status: int, door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    said = json.dumps({"error": {"message": f"go away with {KEY}"}}).encode()
    with serving(door(lambda asked: Reply(said, status))) as (address, _):
        with pytest.raises(ConfigError) as caught:
            list(open_model(f"{address}#m").generate(CASES, GenerationSettings()))
    assert ("no such model" if status == 404 else "refuses the key in the environment variable OPENAI_API_KEY") in str(
        caught.value
    )
    assert KEY not in str(caught.value)


def test_one_case_that_is_refused_is_invalid_alone() -> None:
    def reply(asked: Asked) -> Reply:
        return Reply(b"{}", 403) if "1" in asked.body["messages"][0]["content"] else Reply(whole())

    with serving(only_posts(reply)) as (address, _):
        refused, good = answers(address)
    assert (refused.fault, good) == (Fault.REJECTED, Response("yes", "stop"))


def test_a_list_of_models_that_only_some_keys_may_see_refuses_nobody() -> None:
    with serving(lambda asked: Reply(b"{}", 403) if asked.method == "GET" else Reply(whole())) as (address, _):
        open_model(f"{address}#m")


def test_a_server_that_loads_its_model_is_waited_for_so_long() -> None:
    loading = Reply(b'{"error": {"message": "Loading model"}}', 503)
    with serving(lambda asked: loading if asked.number < 2 else Reply(b"{}")) as (address, asked):
        open_model(f"{address}#m")
        assert len(asked) == 3
    with serving(lambda asked: loading) as (address, _):
        with pytest.raises(ConfigError, match=r"503 \(not ready\)"):
            open_model(f"{address}#m", asking={"timeout_s": 0.3})


# --- secrets -------------------------------------------------------------------------------------------------------


def test_user_name_password_and_query_are_sent_and_not_named() -> None:
    with serving(lambda asked: Reply(whole())) as (address, asked):
        place = address.removeprefix("http://")
        model = OpenAIModel.from_url(f"http://me:pass%21word@{place}?api-version=1&key={KEY}#m")
        assert [one for _, one in model.generate(CASES[:1], GenerationSettings())] == [Response("yes", "stop")]
        assert model.name == f"{address}#m"
        assert asked[0].path == f"/v1/chat/completions?api-version=1&key={KEY}"
        assert asked[0].headers["Authorization"] == "Basic bWU6cGFzcyF3b3Jk"


@pytest.mark.parametrize("spelled", [KEY, KEY.replace("-", "\\u002d")])
def test_an_answer_that_repeats_the_key_is_not_kept(spelled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(lambda asked: Reply(whole("SAID").replace(b"SAID", spelled.encode()))) as (address, _):
        (response,) = answers(address, CASES[:1])
    assert response.fault is Fault.BAD_REPLY
    assert (response.text, KEY in str(response.error)) == ("", False)


# --- a whole gate --------------------------------------------------------------------------------------------------

SUITE = """\
cases: cases.jsonl
checks: [contains]
plan: {draw: 2, accept: 2}
"""


def gate(folder: Path, model: str, *options: str) -> int:
    (folder / "s.yaml").write_text(SUITE)
    rows = [{"id": str(number), "prompt": f"What is {number}?", "reference": "yes"} for number in range(2)]
    (folder / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return main(["gate", model, "--suite", "s.yaml", *options])


def echo(asked: Asked) -> Reply:
    said = f"Incorrect API key provided: {asked.headers['Authorization']} \x1b]8;;http://evil\x07::error::pwn"
    return Reply(json.dumps({"error": {"message": said}}).encode(), 401 if asked.method == "GET" else 400)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (echo, 3),
        (lambda asked: Reply(b'{"choices":[{"message":{"content":"\xff\xfe"},"finish_reason":"stop"}]}'), 1),
        (lambda asked: Reply(b'{"choices":[{"message":{"content":"\\ud800 a"},"finish_reason":"stop"}]}'), 1),
        (lambda asked: Reply(whole("no", finish_reason="content_filter")), 3),
        (lambda asked: Reply(whole()), 0),
    ],
)
def test_nothing_secret_is_on_record_or_on_the_terminal(
    answer: Callable[[Asked], Reply],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATE_KEY", KEY)
    with serving(answer) as (address, _):
        place = address.removeprefix("http://")
        url = f"http://me:hunter2-secret@{place}?sig=signature-1234#m"
        assert gate(tmp_path, url, "--key-env", "GATE_KEY", "--timeout", "1", "--request", "top_p=0.5") == code
    shown = capsys.readouterr()
    kept = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    for secret in (KEY, "hunter2-secret", "signature-1234", "bWU6aHVudGVyMi1zZWNyZXQ="):
        assert secret not in shown.out + shown.err + kept
    assert "\x1b" not in shown.out + shown.err
    assert '"top_p": 0.5' in kept


def test_a_gate_on_a_server_that_is_not_there_is_one_line_and_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert gate(tmp_path, "http://me:hunter2-secret@127.0.0.1:9/v1?sig=signature-1234#m") == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "hunter2" not in shown
    assert "signature" not in shown
    assert not (tmp_path / "tunegate-runs").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--timeout", "0"], "--timeout: expected a number of seconds, above 0"),
        (["--request", "top_p"], "expected FIELD=VALUE"),
        (["--request", "a=1", "--request", "a=2"], "'a' is given twice"),
        (["--request", "a=NaN"], "expected a JSON number, got NaN"),
        (["--request", "model=other"], "the field 'model' is set by the gate"),
        (["--key-env", "NO_SUCH_VARIABLE"], "'NO_SUCH_VARIABLE' is not set"),
    ],
)
def test_options_that_cannot_be_used(
    options: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert gate(tmp_path, "http://127.0.0.1:9/v1#m", *options) == 2
    assert said in capsys.readouterr().err


def test_headers_in_other_letters_take_no_answer_away() -> None:
    with serving(lambda asked: Reply(whole(), headers={"X-Region": "Zürich"})) as (address, _):
        assert answers(address, CASES[:1]) == [Response("yes", "stop")]


def write_suite(folder: Path) -> Path:
    (folder / "cases.jsonl").write_text('{"prompt": "What is 1?", "reference": "yes"}\n')
    (folder / "s.yaml").write_text("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 1, accept: 1}\n")
    return folder / "s.yaml"


@pytest.mark.parametrize(
    "address",
    ["http://", "http://[::1/v1", "http://127.0.0.1:99999/v1", "http://127.0.0.1:x/v1", "http://:80/v1", "HTTP://h:-1"],
)
def test_an_address_that_cannot_be_asked_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    suite = write_suite(tmp_path)
    assert main(["gate", f"{address}#m", "--suite", str(suite)]) == 2
    captured = capsys.readouterr()
    assert "not a usable address" in captured.err
    assert captured.err.count("\n") == 1
    judged = "{judge: {server: {base_url: '" + address + "', model: m}, rubric: r, menu: [yes, no], accept: [yes]}}"
    (tmp_path / "j.yaml").write_text(f"cases: cases.jsonl\nchecks: [{judged}]\n")
    assert main(["check", str(tmp_path / "j.yaml")]) == 2


@pytest.mark.parametrize("key", ["ключ-секрет-длинный", "sk-secret\nrest-of-it"])
def test_a_key_that_no_header_can_hold_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with serving(lambda asked: Reply(whole())) as (address, _):
        assert main(["gate", f"{address}#m", "--suite", str(write_suite(tmp_path))]) == 2
    captured = capsys.readouterr()
    assert "OPENAI_API_KEY: its key contains a character that is not allowed in a key" in captured.err
    assert not any(part in captured.err for part in key.split())
