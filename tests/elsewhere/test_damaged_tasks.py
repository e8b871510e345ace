"""Any damage to a task of another tool gives one clear line, or the task is still imported: never another exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.damage import VALUES, places, with_value
from tests.support.elsewhere_files import HELD
from tunegate.elsewhere.import_task import read_task
from tunegate.exceptions import TunegateError

TASKS = {
    "lm_eval/facts_open.yaml": {"filter_": "first_word"},
    "lm_eval/facts_choice.yaml": {},
    "promptfoo/two.yaml": {"prompt": "short"},
}


@pytest.mark.parametrize("name", TASKS)
@given(data=st.data())
def test_any_value_of_a_task_may_be_replaced_or_lost(name: str, tmp_path: Path, data: st.DataObject) -> None:
    task: Any = yaml.safe_load((HELD / name).read_text())
    if "tests" in task:
        task["tests"] = task["tests"][:2]
    keys = data.draw(st.sampled_from(places(task)[1:]))
    damaged = with_value(task, keys, data.draw(VALUES), drop=data.draw(st.booleans()))
    (tmp_path / "questions.jsonl").write_text("".join((HELD / "questions.jsonl").read_text().splitlines(True)[:2]))
    path = tmp_path / "task.yaml"
    path.write_text(json.dumps(damaged))
    one_line_or_read(path, TASKS[name])


@given(data=st.data())
def test_any_value_of_a_sample_may_be_replaced_or_lost(tmp_path: Path, data: st.DataObject) -> None:
    row = {"id": "q", "input": [{"role": "user", "content": "?"}], "target": "A", "choices": ["x", "y"], "files": None}
    keys = data.draw(st.sampled_from(places(row)[1:]))
    damaged = with_value(row, keys, data.draw(VALUES), drop=data.draw(st.booleans()))
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(damaged) + "\n")
    one_line_or_read(path, {})


def one_line_or_read(path: Path, flags: dict[str, str]) -> None:
    try:
        read_task(path, **flags)
    except TunegateError as error:
        message = str(error)
    else:
        message = "it was read"
    assert message
    assert "\n" not in message
