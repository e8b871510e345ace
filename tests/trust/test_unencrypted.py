"""Keys never leave this machine over plain http, and never follow a redirect to another host."""

from __future__ import annotations

import json

import pytest

from tests.support.bank import Bank
from tests.support.judge_server import Reply, judge_server
from tunegate.addresses import check_address, check_unencrypted, is_loopback
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.openai_client import Server

KEY = "sk-test-4f9b2c7d81e0"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "10.0.0.1", "0.0.0.0", "127.0.0.1.example.org", "localhost.example.org", "127.1", "0x7f000001", "::"]
)
def test_another_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "url",
    [
        "http://judge.example.org/v1",
        "HTTP://judge.example.org/v1",
        "http://127.0.0.1@judge.example.org/v1",
        "http://127.0.0.1.example.org:80/v1",
    ],
)
def test_a_server_with_a_key_is_not_asked_over_plain_http(url: str) -> None:
    with pytest.raises(ConfigError, match="would go unencrypted to"):
        Server(url, api_key=KEY)


@pytest.mark.parametrize("url", ["http://me:pw@judge.example.org/v1", "http://judge.example.org/v1?api_key=abc"])
def test_a_password_in_the_address_is_a_key_too(url: str) -> None:
    with pytest.raises(ConfigError, match="the password or key in the address would go unencrypted") as told:
        Server(url)
    assert "pw" not in str(told.value) or "abc" not in str(told.value)
    assert "me:pw" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://judge.example.org/v1", "the key"),
        ("http://127.0.0.1:8080/v1", "the key"),
        ("http://[::1]:8080/v1", "the key"),
        ("http://judge.example.org/v1", ""),
    ],
)
def test_what_may_be_sent(url: str, key: str) -> None:
    check_unencrypted(url, "here", key)


def test_an_address_whose_host_is_in_doubt_is_refused() -> None:
    with pytest.raises(ConfigError, match="a backslash"):
        check_address("http://judge.example.org\\@127.0.0.1/v1", "here")


def test_a_gate_ends_before_the_first_request(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert main(["gate", "http://judge.example.org/v1#m", "--suite", bank.suite, "--json"]) == 2
    out, err = capsys.readouterr()
    assert "the key in OPENAI_API_KEY would go unencrypted to http://judge.example.org/v1" in err
    assert err.count("\n") == 1
    assert json.loads(out)["exit_code"] == 2
    assert KEY not in out + err


def test_the_token_of_the_hub_is_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    from tunegate.models.open_model import find_model

    monkeypatch.setenv("HF_TOKEN", KEY)
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example.org")
    with pytest.raises(ConfigError, match="HF_ENDPOINT: the token of the hub would go unencrypted to http://mirror"):
        find_model("organisation/name")


def test_no_proxy_is_asked_for_this_machine(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would get the key in plain text."""
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    monkeypatch.setenv("ALL_PROXY", "http://proxy.invalid:3128")
    with judge_server(lambda request, _: Reply("no answer")) as server:
        assert main(["gate", f"{server.base_url}#m", "--suite", bank.suite]) == 1
    assert len(server.requests) == 100


@pytest.mark.parametrize("status", [301, 307, 308])
def test_no_key_follows_a_redirect_to_another_host(bank: Bank, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """`localhost` is another host than 127.0.0.1, although both are this machine."""
    pytest.importorskip("openai")
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Location", f"{target.base_url.replace('127.0.0.1', 'localhost')}/models")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with judge_server(lambda request, _: Reply("x")) as target:
        door = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
        Thread(target=door.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            assert main(["gate", f"http://127.0.0.1:{door.server_port}/v1#m", "--suite", bank.suite]) == 2
        finally:
            door.shutdown()
            door.server_close()
    assert target.requests == []


def test_no_header_of_the_environment_goes_to_another_server_than_openais(monkeypatch: pytest.MonkeyPatch) -> None:
    """openai's client adds them to each request, whatever the address."""
    pytest.importorskip("openai")
    import asyncio
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    from tunegate.models.openai_client import ChatRequests, open_client, own_headers

    heard: dict[str, str] = {}

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.update(self.headers.items())
            self.send_response(400)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    monkeypatch.setenv("OPENAI_ORG_ID", KEY)
    monkeypatch.setenv("OPENAI_PROJECT_ID", KEY)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Gateway: {KEY}\nAuthorization: Bearer {KEY}")
    listener = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    server = Server(f"http://127.0.0.1:{listener.server_port}/v1", max_retries=0)

    async def ask() -> None:
        from openai import OpenAIError

        async with open_client(server) as client:
            with pytest.raises(OpenAIError):
                await ChatRequests({}).send(client, {"model": "m", "messages": []})

    try:
        asyncio.run(ask())
    finally:
        listener.shutdown()
        listener.server_close()
    assert {name.lower() for name in heard} >= {"authorization", "content-type"}
    assert not [name for name, value in heard.items() if KEY in value]
    assert own_headers(Server("https://api.openai.com/v1")) == {}
