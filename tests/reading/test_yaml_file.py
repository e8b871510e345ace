"""YAML: every fault is one line that says where; nothing is read as something else than it says."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.exceptions import ConfigError
from tunegate.reading.yaml_file import dotted, load_yaml


def load(path: Path, text: str | bytes) -> Any:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_yaml(path).data


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "suite.yaml"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-3", -3),
        ("+4", 4),
        ("0", 0),
        ("0x1F", 31),
        ("1e-3", 0.001),
        ("1.5E+3", 1500.0),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("yes", "yes"),
        ("on", "on"),
        ("NO", "NO"),
        ("1:30", "1:30"),  # YAML 1.1 says 90
        ("010", "010"),  # YAML 1.1 says 8
        ("1_000", "1_000"),
        ("2024-01-02", "2024-01-02"),
        ("'5'", "5"),
        ("e5", "e5"),
        (".", "."),
    ],
)
def test_scalars_are_what_people_mean(file: Path, text: str, value: object) -> None:
    got = load(file, f"key: {text}\n")["key"]
    assert got == value
    assert type(got) is type(value)


def test_errors_point_at_the_line_of_a_key(file: Path) -> None:
    load(file, "name: x\nsuites:\n  facts:\n    checks:\n      - exact\n      - rougeL: {min: 1}\n")
    yaml = load_yaml(file)
    keys = ("suites", "facts", "checks", 1, "rougeL")
    assert str(yaml.error(keys, "wrong")) == f"{file}:6: suites.facts.checks[1].rougeL: wrong"
    assert str(yaml.error((*keys, "minn"), "wrong")).startswith(f"{file}:6: ")
    assert str(yaml.error(("nowhere",), "wrong")) == f"{file}:1: nowhere: wrong"
    assert str(yaml.error((), "wrong")) == f"{file}:1: wrong"
    assert dotted(("a", 0, 1, "b")) == "a[0][1].b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "suite.yaml:3: a: the key is duplicated, first on line 1"),
        ("plan:\n  draw: 1\n  accept: 1\n  draw: 2\n", "suite.yaml:4: plan.draw: the key is duplicated"),
        ("- {x: 1, x: 2}\n", "suite.yaml:1: [0].x: the key is duplicated"),
        ("1: a\n'1': b\n", "the key is duplicated"),
        ("a:\n\tb: 1\n", "suite.yaml:2: not valid YAML"),
        ("a:\n\tb: 1\n", "never with tabs"),
        ("a: [1, 2\nb: 3\n", "suite.yaml:2: not valid YAML"),
        ("a: 'open\n", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: *nothing\n", "suite.yaml:1: not valid YAML: found undefined alias"),
        ("a: !!python/object/apply:os.system ['true']\n", "suite.yaml:1: not valid YAML: could not determine"),
        ("? [1, 2]\n: x\n", "not valid YAML: found unhashable key"),
        ("a: &a [*a]\n", "not valid YAML"),
        ("[" * 5000, "not valid YAML"),
        ("", "the file is empty"),
        ("\n# only a comment\n", "the file is empty"),
        (b"a: \x00\n", "not valid YAML"),
        (b"a: \xff\n", "not UTF-8"),
        ("a: 1".encode("utf-16")[:-1], "not UTF-8"),
    ],
)  # fmt: skip
def test_faults_are_one_line_with_the_place(file: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(file, text)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(file) in str(raised.value)


def test_a_byte_order_mark_and_windows_line_ends_are_read_over(file: Path) -> None:
    assert load(file, b"\xef\xbb\xbfa: 1\r\nb: 2\r\n") == {"a": 1, "b": 2}


def test_anchors_and_merge_keys_work(file: Path) -> None:
    text = "base: &base {draw: 10, accept: 9}\nsmall: {<<: *base, draw: 5}\n"
    assert load(file, text)["small"] == {"draw": 5, "accept": 9}


def test_anchors_that_explode_are_refused_at_once(file: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="more than 200,000 values"):
        load(file, "\n".join(lines))


@given(content=st.binary(max_size=200) | st.text("{}[]&*!|>'\"%@`-?:,# \n\tab01", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    file.write_bytes(content)
    with contextlib.suppress(ConfigError):
        load_yaml(file)
