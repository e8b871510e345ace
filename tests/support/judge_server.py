"""A stand-in for an OpenAI-compatible server on the loopback interface, as badly behaved as a test asks for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """What the server sends: `content` as a chat completion, or `body` as it is; nothing where it is `never` sent."""

    content: str | None = None
    body: str | None = None
    status: int = 200
    content_type: str = "application/json"
    never: bool = False
    drip_s: float = 0.0
    finish_reason: str = "stop"


@dataclass
class FakeServer:
    """A running server; `requests` holds the bodies it was sent."""

    base_url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    most_at_once: int = 0


@contextmanager
def judge_server(answer: Callable[[dict[str, Any], int], Reply]) -> Iterator[FakeServer]:
    """Serve `answer(request, number of requests before it)` until the block ends."""
    lock = threading.Lock()
    under_way = 0

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal under_way
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(fake.requests)
                fake.requests.append(request)
                under_way += 1
                fake.most_at_once = max(fake.most_at_once, under_way)
            reply = answer(request, number)
            if reply.never:
                self.rfile.read(1)  # until the client hangs up
            with lock:
                under_way -= 1
            body = (reply.body if reply.body is not None else _completion(reply)).encode()
            try:
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for byte in body if reply.drip_s else ():
                    self.wfile.write(bytes([byte]))
                    time.sleep(reply.drip_s)
                self.wfile.write(b"" if reply.drip_s else body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client did not wait

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake = FakeServer(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _completion(reply: Reply) -> str:
    message = {"role": "assistant", "content": reply.content}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    return json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "fake", "choices": [choice]})
