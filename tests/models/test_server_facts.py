"""What servers tell about themselves. The replies have the fields of vLLM 0.33.0, SGLang 0.5 and TGI 3 that are read.

Sources: vllm/entrypoints/serve/dev/server_info/api_router.py and instrumentator/basic.py; sglang/srt/entrypoints/
http_server.py (`get_server_info`); the schema `Info` of TGI's OpenAPI document.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tunegate.models.openai_server import OpenAIModel
from tunegate.models.server_facts import ServerFacts, server_facts

MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "max_model_len": 8192}]}
NO_LENGTH = {"object": "list", "data": [{"id": "m", "object": "model"}]}
VLLM = {"/v1/models": MODELS, "/version": {"version": "0.33.0"}}
SGLANG = {"model_path": "/models/m", "enable_deterministic_inference": True, "internal_states": [], "version": "0.5.6"}
TGI = {"model_id": "org/m", "model_sha": "5ab1", "model_dtype": "torch.bfloat16", "version": "3.3.4", "sha": None}


def in_development(batch_invariant: bool) -> dict[str, Any]:
    told = {"vllm_config": "model='m'", "vllm_env": {"VLLM_BATCH_INVARIANT": batch_invariant}, "system_env": {}}
    return VLLM | {"/server_info": told}


@contextmanager
def replying(replies: Mapping[str, Any]) -> Iterator[OpenAIModel]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(replies.get(self.path, {"detail": "Not Found"})).encode()
            self.send_response(200 if self.path in replies else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield OpenAIModel.from_url(f"http://127.0.0.1:{server.server_port}/v1#m")
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("replies", "facts"),
    [
        (VLLM, ServerFacts(("m",), 8192, "", "vLLM 0.33.0", None)),
        (in_development(True), ServerFacts(("m",), 8192, "", "vLLM 0.33.0", True)),
        (in_development(False), ServerFacts(("m",), 8192, "", "vLLM 0.33.0", False)),
        ({"/v1/models": MODELS, "/get_server_info": SGLANG}, ServerFacts(("m",), 8192, "", "SGLang 0.5.6", True)),
        ({"/v1/models": MODELS, "/server_info": SGLANG}, ServerFacts(("m",), 8192, "", "SGLang 0.5.6", True)),
        ({"/v1/models": NO_LENGTH, "/info": TGI}, ServerFacts(("m",), None, "", "TGI 3.3.4", None)),
        ({"/v1/models": NO_LENGTH, "/info": {"version": "1.0"}}, ServerFacts(("m",))),
        ({"/v1/models": NO_LENGTH, "/version": {"version": None}}, ServerFacts(("m",))),
        ({}, ServerFacts()),
    ],
    ids=["vllm", "invariant", "not invariant", "sglang", "newer sglang", "tgi", "other", "no version", "silent"],
)
def test_what_a_server_tells(replies: Mapping[str, Any], facts: ServerFacts) -> None:
    with replying(replies) as model:
        assert server_facts(model) == facts


def test_a_server_that_tells_much_does_not_fill_the_record() -> None:
    rows = [{"id": f"{number}-{'x' * 1000}"} for number in range(1000)]
    told = {"/v1/models": {"data": [*rows, {"id": "m"}]}, "/version": {"version": "1" * 10_000}}
    with replying(told) as model:
        facts = server_facts(model)
    assert facts.model_ids[0] == "m"
    assert len("".join(facts.model_ids)) + len(facts.software) < 25_000
