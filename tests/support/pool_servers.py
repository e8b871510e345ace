"""Stand-ins for inference servers that share one model: each can be slow, overloaded, killed, brought back, or lie."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tunegate.models.pool_probe import PROMPTS

Json = dict[str, Any]
PROBES = frozenset(str(chat[-1]["content"]) for chat in PROMPTS)


@dataclass
class PoolServer:
    """A server. `weights` decide its log-probabilities and answers, `template` the prompt that it makes of a chat.

    `completed` counts the answers that it sent whole, by question; the probe's prompts are no questions.
    """

    seconds: float = 0.0
    weights: float = 0.0
    template: str = "<user>{}<model>"
    gives_log_probabilities: bool = True
    tells_prompts: bool = True
    context: int = 4096
    answer: Callable[[str], str] = lambda question: f"re: {question}"
    tells: Callable[[Json], object] = lambda reply: None
    """Called with each completion before it is sent, which it may change."""
    most: int = 10**9
    """With more requests at once than this, it answers 429."""
    before: Callable[[str, int], None] = lambda question, number: None
    """Called with each question, and how many were asked before it."""
    completed: Counter[str] = field(default_factory=Counter[str])
    asked: list[str] = field(default_factory=list[str])
    refused: int = 0
    probes: int = 0
    under_way: int = 0
    most_at_once: int = 0
    keys_seen: set[str] = field(default_factory=set[str])
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _httpd: ThreadingHTTPServer | None = None
    _sockets: set[socket.socket] = field(default_factory=set[socket.socket])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1#m"

    def start(self) -> None:
        ours = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                ours._sockets.add(self.connection)
                if self.server is not ours._httpd:  # it was killed meanwhile
                    self.connection.shutdown(socket.SHUT_RDWR)

            def do_GET(self) -> None:
                self._send(*ours._get(self.path))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                ours.keys_seen.add(self.headers.get("Authorization", ""))
                status, reply, question = ours._post(self.path, body)
                if self._send(status, reply) and status == 200 and question is not None:
                    ours.completed[question] += 1

            def _send(self, status: int, reply: Json) -> bool:
                content = json.dumps(reply).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    return False
                return True

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128
            allow_reuse_address = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass

        self._httpd = Server(("127.0.0.1", self.port), Handler)
        self.port = self._httpd.server_port
        threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def kill(self) -> None:
        """As `kill -9`: connections are cut, answers under way are lost, and no new connection is accepted."""
        httpd, self._httpd = self._httpd, None
        if httpd is None:
            return
        httpd.shutdown()
        httpd.socket.close()
        for one in list(self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def _get(self, path: str) -> tuple[int, Json]:
        known = {
            "/v1/models": {"data": [{"id": "m"}]},
            "/props": {
                "build_info": "b1-stub",
                "model_ftype": "F16",
                "default_generation_settings": {"n_ctx": self.context},
            },
        }
        return (200, known[path]) if path in known else (404, {"error": "no such address"})

    def _post(self, path: str, body: Json) -> tuple[int, Json, str | None]:
        prompt = "".join(self.template.format(one["content"]) for one in body["messages"])
        question = str(body["messages"][-1]["content"])
        if path == "/apply-template" and self.tells_prompts:
            return 200, {"prompt": prompt}, None
        if path != "/v1/chat/completions":
            return 404, {"error": "no such address"}, None
        if question in PROBES:
            with self._lock:
                self.probes += 1
            return 200, self._completion(question, prompt, body), None
        with self._lock:
            number = len(self.asked)
            self.asked.append(question)
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
            full = self.under_way > self.most
            self.refused += full
        try:
            self.before(question, number)
            if full:
                return 429, {"error": "too many requests"}, None
            time.sleep(self.seconds)
            return 200, self._completion(question, prompt, body), question
        finally:
            with self._lock:
                self.under_way -= 1

    def _completion(self, question: str, prompt: str, body: Json) -> Json:
        choice: Json = {"message": {"content": self.answer(question)}, "finish_reason": "stop"}
        if self.weights:
            choice["message"]["content"] += f" (by {self.weights})"
        if self.gives_log_probabilities and body.get("logprobs"):
            top = [{"token": "A", "logprob": -0.1 - self.weights}, {"token": "B", "logprob": -3.0}]
            choice["logprobs"] = {"content": [{"top_logprobs": top}]}
        reply = {"choices": [choice], "usage": {"prompt_tokens": len(prompt), "completion_tokens": 5}}
        self.tells(reply)
        return reply


@contextmanager
def pool_servers(*servers: PoolServer) -> Generator[Sequence[PoolServer]]:
    """Run the servers until the block ends."""
    for one in servers:
        one.start()
    try:
        yield servers
    finally:
        for one in servers:
            one.kill()


def spec_of(servers: Sequence[PoolServer]) -> str:
    """The servers as a user names them."""
    return ",".join(one.url for one in servers)
