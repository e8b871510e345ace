"""`tunegate suite import`: a task of another tool, written as a suite file with its cases beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tunegate.checks.check import CheckBuilder
from tunegate.elsewhere import inspect_data, lm_eval_task, promptfoo_config
from tunegate.elsewhere.task import Task
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.reading.files import read_text
from tunegate.reading.rows import read_rows
from tunegate.reading.yaml_file import MAX_BYTES, load_yaml
from tunegate.suites.suite_file import load_suite

FUNCTION = re.compile(r"^[^#\n]*?([\w-]+)\s*:\s*!function\s+(\S+)", re.MULTILINE)
DRAW = 100


def import_task(
    path: Path, out: Path, build_check: CheckBuilder, *, filter_: str | None = None, prompt: str | None = None
) -> Mapping[str, Any]:
    """Write a task as a suite to `out`, and its cases beside it; returns the facts for `--json`.

    Raises ConfigError, in one line, for a feature that suites do not have, or a file that would be overwritten.
    """
    task = read_task(path, filter_, prompt)
    cases = out.with_suffix(".jsonl")
    for place in (out, cases):
        if place.exists():
            raise ConfigError(f"{place}: already exists, and is not overwritten; choose another name with --out")
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in task.rows)
    _write({cases: text, out: _suite_text(path, task, cases.name)})
    try:
        suite = load_suite(out, build_check)
    except ConfigError as error:
        out.unlink()
        cases.unlink()
        raise ConfigError(f"{error}; nothing was written") from error
    return {
        "tool": task.tool,
        "task": task.name,
        "cases": len(suite.cases),
        "checks": suite.check_names,
        "draw": suite.plan.draw,
        "notes": list(task.notes),
        "written": [str(out), str(cases)],
        "suite_sha256": suite.sha256,
    }


def read_task(path: Path, filter_: str | None = None, prompt: str | None = None) -> Task:
    """The task in a file of a known tool. Raises ConfigError for any other file."""
    if path.suffix.lower() not in (".yaml", ".yml"):
        _refuse_flags({"filter": filter_, "prompt": prompt}, inspect_data.TOOL)
        first = next(iter(read_rows(path)), None)
        if first is None or not inspect_data.recognises(first[1]):
            raise ConfigError(f"{path}: rows of Inspect, with `input` and `target`, were expected; {_KNOWN}")
        return inspect_data.read(path)
    if found := FUNCTION.search(read_text(path, MAX_BYTES)):
        raise ConfigError(
            f"{path}: {found[1]}: the Python function {found[2]} cannot be imported; nothing was imported"
        )
    file = load_yaml(path)
    is_mapping = isinstance(cast(object, file.data), Mapping)
    data = cast("Mapping[str, Any]", file.data) if is_mapping else dict[str, Any]()
    if lm_eval_task.recognises(data):
        _refuse_flags({"prompt": prompt}, lm_eval_task.TOOL)
        return lm_eval_task.read(file, filter_)
    if promptfoo_config.recognises(data):
        _refuse_flags({"filter": filter_}, promptfoo_config.TOOL)
        return promptfoo_config.read(file, prompt)
    raise ConfigError(f"{path}: this is not a task that can be imported; {_KNOWN}")


_KNOWN = (
    "give a task of lm-evaluation-harness (`task`, `doc_to_text`), a configuration of promptfoo (`prompts`, `tests`), "
    "or a data set of Inspect (`input`, `target`)"
)


def _refuse_flags(flags: Mapping[str, str | None], tool: str) -> None:
    if given := [name for name, value in flags.items() if value is not None]:
        raise ConfigError(f"--{given[0]}: has no effect on a task of {tool}; leave it out")


def _suite_text(path: Path, task: Task, cases: str) -> str:
    """The suite file; comments say where it comes from, and where it differs from the tool."""
    draw = min(DRAW, len(task.rows))
    spec: dict[str, Any] = {
        "cases": cases,
        "checks": list(task.checks),
        **({"generate": dict(task.generate)} if task.generate else {}),
        **({"answer": dict(task.answer)} if task.answer else {}),
        "plan": {"draw": draw},
    }
    comments = [f"Imported from {path.name}, a task of {task.tool}.", *task.notes]
    head = "".join(f"# {' '.join(line.split())}\n" for line in comments)
    return head + "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in spec.items())


def _write(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", errors="replace")
        except OSError as error:
            raise CannotJudge(f"{path}: cannot write this file: {error.strerror}") from error
