"""Imports the tests of a promptfoo configuration: one prompt, and assertions for which there is a check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tunegate.elsewhere.results import pick
from tunegate.elsewhere.task import MARKS, SIMPLE, Task, as_list, as_mapping, fill_template, refused
from tunegate.reading.rows import Row
from tunegate.reading.yaml_file import KeyPath, YamlFile

TOOL = "promptfoo"
READ = ("description", "prompts", "tests", "defaultTest", "providers", "targets", "outputPath", "commandLineOptions")
READ_OF_TEST = ("description", "vars", "assert", "metadata")
CHECKS: Mapping[str, Any] = {"equals": {"exact": {"normalize": False}}, "contains": "contains", "icontains": "contains"}
NOTE = "`contains` looks for whole words, whatever their case; promptfoo looks for any run of characters"


def recognises(data: Mapping[str, Any]) -> bool:
    """Whether a YAML document is a configuration of promptfoo."""
    return "prompts" in data and "tests" in data


def read(file: YamlFile, wanted: str | None) -> Task:
    """The tests as a suite; `wanted` is the prompt, if there are several. Raises ConfigError for the rest."""
    data: Mapping[str, Any] = file.data
    if more := [key for key in data if key not in READ]:
        raise refused(file, (more[0],), "this key of promptfoo cannot be imported")
    prompt, place = _prompt(file, data, wanted)
    if any(mark in SIMPLE.sub("", prompt) for mark in MARKS):
        raise refused(file, ("prompts", place), "only variables such as {{question}} can be imported")
    default = as_mapping(file, ("defaultTest",), data.get("defaultTest"))
    tests: Any = data["tests"]
    if not isinstance(tests, list):
        raise refused(file, ("tests",), "only tests in this file can be imported")
    _refuse_keys(file, ("defaultTest",), default)
    rows, kinds = list[Row](), set[str]()
    for number, test in enumerate(cast("list[Any]", tests)):
        row, kind = _row(file, ("tests", number), prompt, default, test)
        rows.append({"id": f"test {number}", **row})
        kinds.add(kind)
    checks = {str(CHECKS[kind]): CHECKS[kind] for kind in sorted(kinds)}
    if len(checks) > 1:
        raise refused(file, ("tests",), f"all tests of a suite have the same checks, but these assert {sorted(kinds)}")
    name = str(data.get("description") or file.path.stem)
    return Task(TOOL, name, rows, list(checks.values()), notes=[NOTE] if "equals" not in kinds else [])


def _prompt(file: YamlFile, data: Mapping[str, Any], wanted: str | None) -> tuple[str, int]:
    """The chosen prompt, and its place."""
    prompts: Any = data["prompts"]
    listed = cast("list[Any]", prompts) if isinstance(prompts, list) else [prompts]
    found: dict[str, tuple[str, int]] = {}
    for place, one in enumerate(listed):
        said: Any = cast("Mapping[str, Any]", one) if isinstance(one, dict) else {"raw": one}
        raw = said.get("raw")
        if not isinstance(raw, str) or raw.startswith("file://"):
            raise refused(file, ("prompts", place), "only a prompt in this file can be imported, as a text or as `raw`")
        found[str(said.get("label") or said.get("id") or raw)] = raw, place
    return found[pick("prompt", wanted, found, file.path) or ""]


def _refuse_keys(file: YamlFile, keys: KeyPath, test: Any) -> None:
    if not isinstance(test, dict):
        raise refused(file, keys, "a test in this file was expected")
    if more := [key for key in cast("Mapping[str, Any]", test) if key not in READ_OF_TEST]:
        raise refused(file, (*keys, more[0]), "this key of a test cannot be imported")


def _row(file: YamlFile, keys: KeyPath, prompt: str, default: Mapping[str, Any], test: Any) -> tuple[Row, str]:
    """The case of a test, and the type of its assertions."""
    _refuse_keys(file, keys, test)
    given = as_mapping(file, (*keys, "vars"), test.get("vars"))
    values: dict[str, Any] = {**as_mapping(file, ("defaultTest", "vars"), default.get("vars")), **given}
    for name, value in values.items():
        if not isinstance(value, str | int | float) or (isinstance(value, str) and value.startswith("file://")):
            raise refused(file, (*keys, "vars", name), "only a text or a number can be imported")
    own = as_list(file, (*keys, "assert"), test.get("assert"))
    listed = [*as_list(file, ("defaultTest", "assert"), default.get("assert")), *own]
    asserts = [as_mapping(file, (*keys, "assert"), one) for one in listed]
    if not asserts:
        raise refused(file, keys, "the test asserts nothing")
    references: list[str] = []
    for place, one in enumerate(asserts):
        kind = one.get("type")
        if not isinstance(kind, str) or kind not in CHECKS:
            raise refused(file, (*keys, "assert", place), f"there is no equal check for the assertion {kind!r}")
        if more := [key for key in one if key not in ("type", "value", "metric")]:
            raise refused(file, (*keys, "assert", place, more[0]), "this option of an assertion cannot be imported")
        references.append(fill_template(str(one.get("value")), values, f"{file.path}: {keys[-1]}: assert"))
    if len(set(references)) > 1 or len({one["type"] for one in asserts}) > 1:
        raise refused(file, (*keys, "assert"), "only one expected answer for a test can be imported")
    where = f"{file.path}: test {keys[-1]}"
    row: Row = {"prompt": fill_template(prompt, values, where), "references": references[:1]}
    return row, asserts[0]["type"]
