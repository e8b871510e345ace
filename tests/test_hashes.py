"""The JSON that hashes are made of: what was hashed by version 0.1 is hashed to the same number."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tunegate import hashes

VALUE = {"b": [1, 2.5, None], "a": "é"}
ODD = {"a": "\ud800"}


def test_every_dialect_is_what_it_was() -> None:
    assert hashes.canonical_json(VALUE) == '{"a":"é","b":[1,2.5,null]}'.encode()
    assert hashes.suite_json(VALUE) == '{"a":"é","b":[1,2.5,null]}\n'.encode()
    assert hashes.judge_json(VALUE) == '{"a":"é","b":[1,2.5,null]}'.encode()
    assert hashes.spaced_json(VALUE) == '{"a": "é", "b": [1, 2.5, null]}'
    assert hashes.ascii_json(VALUE) == b'{"a": "\\u00e9", "b": [1, 2.5, null]}'


def test_lone_surrogates() -> None:
    assert hashes.canonical_json(ODD) == b'{"a":"\\ud800"}'
    assert hashes.suite_json(ODD) == b'{"a":"\\ud800"}\n'
    assert hashes.judge_json(ODD) == b'{"a":"\xed\xa0\x80"}'
    assert hashes.ascii_json(ODD) == b'{"a": "\\ud800"}'


def test_what_json_has_no_word_for() -> None:
    assert hashes.suite_json(Path("x")) == hashes.ascii_json(Path("x")) + b"\n" == b'"x"\n'
    with pytest.raises(ValueError):
        hashes.canonical_json(float("nan"))
    with pytest.raises(TypeError):
        hashes.canonical_json(Path("x"))


def test_a_file_has_the_number_that_sha256sum_prints(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 3_000_000)
    assert hashes.sha256_of(tmp_path / "a") == hashlib.sha256(b"a" * 3_000_000).hexdigest()
