"""A server with OpenAI's API that answers with a real local model, and may serve it wrongly as a test asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from tunegate.cases.case import Case
from tunegate.models import first_tokens, prompting
from tunegate.models.hf import HFModel
from tunegate.models.model import GenerationSettings

Json = dict[str, Any]


@dataclass(frozen=True)
class Stub:
    """How it serves. `kind` says which addresses it has beside `/v1`: those of llama.cpp, of vLLM, or none."""

    model: HFModel
    kind: Literal["llama.cpp", "vllm", "plain"] = "llama.cpp"
    log_probabilities: bool = True
    goes_on: str = ""
    context: int | None = 4096
    refuses: Callable[[str], bool] = lambda text: False
    tells: Callable[[list[Json]], Any] = lambda top: top
    """What it makes of the likeliest first tokens."""

    def get(self, path: str) -> Json | None:
        rows = {"data": [{"id": "served", "max_model_len": self.context if self.kind == "vllm" else None}]}
        props = {"default_generation_settings": {"n_ctx": self.context}, "model_ftype": "F16"}
        return {"/v1/models": rows, "/props": props if self.kind == "llama.cpp" else None}.get(path)

    def post(self, path: str, body: Json) -> Json | None:
        case = Case("x", tuple(body["messages"]))
        ids = prompting.answer_prompt(self.model.tokenizer, case)
        if path == "/apply-template" and self.kind == "llama.cpp":
            return {"prompt": first_tokens.text_of(self.model.tokenizer, ids)}
        if path == "/tokenize" and self.kind == "vllm":
            return {"tokens": ids, "count": len(ids)}
        if path != "/v1/chat/completions" or self.refuses(body["messages"][-1]["content"]):
            return None
        settings = GenerationSettings(max_new_tokens=body["max_tokens"])
        ((_, response),) = self.model.generate([case], settings)
        choice: Json = {"message": {"content": response.text + self.goes_on}, "finish_reason": response.finish_reason}
        if self.log_probabilities and body.get("logprobs"):
            (first,) = first_tokens.first_tokens(self.model, [case], settings)
            likeliest = list(first.log_probabilities.items())[: body["top_logprobs"]]
            top = [{"token": text, "logprob": value} for text, value in likeliest]
            choice["logprobs"] = {"content": [{"top_logprobs": self.tells(top)}]}
        return {"choices": [choice], "usage": {"prompt_tokens": len(ids)}}


@contextmanager
def serving(stub: Stub) -> Iterator[str]:
    """Yields `http://…/v1#served`."""
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(stub.get(self.path))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with one_at_a_time:
                self._reply(stub.post(self.path, body))

        def _reply(self, reply: Json | None) -> None:
            content = json.dumps(reply or {"error": "no such address"}).encode()
            self.send_response(200 if reply else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1#served"
    finally:
        server.shutdown()
        server.server_close()
