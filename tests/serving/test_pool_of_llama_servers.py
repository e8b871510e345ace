"""Real llama.cpp servers, each in its own process, as one model: one is killed, one serves something else."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.llama_server import FILE, GGUF, needs_smollm2
from tests.support.places import ROOT
from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.models.gguf_export import write_gguf
from tunegate.models.model import GenerationSettings
from tunegate.models.open_model import find_model, open_model

pytestmark = pytest.mark.slow
SERVE = """
import sys
from pathlib import Path
from tests.support.llama_server import llama_server
how = {"chat_template": sys.argv[2]} if sys.argv[2] else {}
with llama_server(Path(sys.argv[1]), n_parallel=2, n_gpu_layers=0, **how) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def server(model: Path, template: str = "") -> Generator[tuple[str, subprocess.Popen[str]]]:
    pytest.importorskip("xllamacpp")
    words = [sys.executable, "-c", SERVE, str(model), template]
    pipes: Mapping[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, cwd=ROOT, text=True, **pipes) as process:
        try:
            assert process.stdout is not None
            url = next(line.strip() for line in process.stdout if line.startswith("http"))
            yield f"{url}#smol", process
        finally:
            process.kill()


def test_a_killed_server_leaves_its_cases_to_the_other_and_the_answers_are_the_same():
    cases = [Case(str(number), f"What is {number} plus {number + 1}?") for number in range(40)]
    settings = GenerationSettings(max_new_tokens=8)
    gguf = needs_smollm2() / FILE
    with server(gguf) as (one, _), server(gguf) as (two, process):
        asking = {"timeout_s": 300.0, "concurrency": 2}
        alone = dict(open_model(one, asking=asking).generate(cases, settings))
        model: Any = open_model(f"{one},{two}", asking=asking)
        assert all(facts["software"].startswith("llama.cpp ") for facts in model.servers)
        found = {}
        for index, response in model.generate(cases, settings):
            assert index not in found
            found[index] = response
            if len(found) == 10:
                threading.Thread(target=process.kill).start()  # SIGKILL
                time.sleep(0.1)
    assert sorted(found) == list(range(40))
    assert not any(response.error for response in found.values())
    by = [response.by for response in found.values()]
    assert 0 < by.count(two) < 20
    same = sum(found[index].text == alone[index].text for index in found)
    assert same >= 36  # a batch of two and a batch of one round differently


def test_four_bits_and_another_template_are_refused_and_sixteen_bits_are_not(tmp_path: Path):
    gguf, folder = needs_smollm2() / FILE, find_model(GGUF).folder
    write_gguf(folder, tmp_path / "f16.gguf", "f16")
    write_gguf(folder, tmp_path / "q4_0.gguf", "q4_0")
    asking = {"timeout_s": 300.0}
    with server(gguf) as (one, _):
        with server(tmp_path / "f16.gguf") as (two, _):
            assert open_model(f"{one},{two}", asking=asking).name == f"{one},{two}"
        with server(tmp_path / "q4_0.gguf") as (two, _), pytest.raises(ConfigError, match="other weights") as weights:
            open_model(f"{one},{two}", asking=asking)
        with server(gguf, "chatml") as (two, _), pytest.raises(ConfigError, match="another chat template") as template:
            open_model(f"{one},{two}", asking=asking)
    assert "log-probability is 0." in str(weights.value)
    assert "prompts differ" in str(template.value)
