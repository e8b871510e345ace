"""Rows of every kind of file, and what is wrong with them, by file and line."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.exceptions import ConfigError
from tunegate.reading import rows as rows_module
from tunegate.reading.rows import read_rows

ROWS = [{"id": "a", "text": "👩🏽‍🚀 שלום"}, {"id": "b", "text": 'one\u2028line, "two" \n three'}]


def rows(path: Path, split: str | None = None) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path, split)]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_jsonl_csv_json_and_parquet_say_the_same(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    write(tmp_path / "a.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS))
    write(tmp_path / "b.json", json.dumps(ROWS))
    with (tmp_path / "c.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["id", "text"])
        writer.writeheader()
        writer.writerows(ROWS)
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "d.parquet")
    for path in sorted(tmp_path.iterdir()):
        assert rows(path) == ROWS, path


def test_a_folder_of_datasets_and_its_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_list(ROWS)
    data.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": data, "test": data.select([1])}).save_to_disk(str(tmp_path / "two"))
    assert rows(tmp_path / "one") == ROWS
    assert rows(tmp_path / "two", "test") == ROWS[1:]
    with pytest.raises(ConfigError, match=r"name one of its splits with `split:` .*'test'"):
        rows(tmp_path / "two", "tset")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    with pytest.raises(ConfigError, match="not a data set folder"):
        rows(tmp_path)


def test_numbers_are_line_numbers_and_blank_lines_do_not_count_as_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '\n{"id": 1}\n   \n{"id": 2}\r\n')
    assert list(read_rows(path)) == [(2, {"id": 1}), (4, {"id": 2})]


def test_a_text_file_holds_documents_with_blank_lines_between(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\ufeff\n\nTitle\r\n  one line\n \t\n\nלום 👩🏽‍🚀\n\n\n")
    first, second = {"text": "Title\n  one line", "line": 3}, {"text": "לום 👩🏽‍🚀", "line": 7}
    assert list(read_rows(path)) == [(3, first), (7, second)]
    assert rows(write(tmp_path / "b.txt", "no line break")) == [{"text": "no line break", "line": 1}]
    with pytest.raises(ConfigError, match="the file has no rows"):
        rows(write(tmp_path / "c.txt", "\n \n"))


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    assert rows(write(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"id": 1}\n')) == [{"id": 1}]
    assert rows(write(tmp_path / "a.csv", b"\xef\xbb\xbfid\n1\n")) == [{"id": "1"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "a.jsonl: the file is empty"),
        ("a.jsonl", "\n \n", "a.jsonl: the file has no rows"),
        ("a.jsonl", '{"id": 1}\n{"id": 2, "te', "a.jsonl:2: not valid JSON"),
        ("a.jsonl", '{"id": 1}\n[1]\n', "a.jsonl:2: a JSON object was expected, got list"),
        ("a.jsonl", '{"id": NaN}\n', "a.jsonl:1: not valid JSON: NaN is not JSON"),
        ("a.jsonl", b'{"id": "\xff"}\n', "not UTF-8"),
        ("a.jsonl", '{"a": ' * 100_000, "a.jsonl:1: not valid JSON"),
        ("a.jsonl", '{"a": ' + "1" * 5000 + "}", "a.jsonl:1: not valid JSON"),
        ("a.json", "{}", "a.json: a list of objects was expected, got dict"),
        ("a.json", "[]", "a.json: the file has no rows"),
        ("a.json", '[{"a": 1}, 2]', "a.json: item 2: a JSON object was expected, got int"),
        ("a.json", '[{"a": 1}', "a.json: not valid JSON"),
        ("a.csv", "id,text\n", "a.csv: the file has no rows"),
        ("a.csv", "id,text\n1,2\n1,2,3\n", "a.csv:3: 2 columns were expected"),
        ("a.csv", "id,text\n1\n", "a.csv:2: 2 columns were expected"),
        ("a.csv", 'id,text\n1,"open\n', "not valid CSV"),
        ("a.csv", b"id\n\xff\n", "a.csv: not UTF-8"),
        ("a.parquet", "PAR1 not really", "a.parquet: not valid Parquet"),
        ("a.xml", "x", "a.xml: unknown kind of file '.xml'; rows are read from .jsonl, .json, .csv, .parquet"),
        ("a", "x", "unknown kind of file ''"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(ConfigError) as raised:
        rows(path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_names_its_nearest_neighbour(tmp_path: Path) -> None:
    write(tmp_path / "cases.jsonl", "{}")
    with pytest.raises(ConfigError, match=r"casse\.jsonl: no such file \(did you mean 'cases\.jsonl'"):
        rows(tmp_path / "casse.jsonl")


def test_a_missing_file_does_not_list_a_whole_folder(tmp_path: Path) -> None:
    for number in range(1000):
        write(tmp_path / f"{number:04}", "")
    with pytest.raises(ConfigError, match=r"no such file .*and 988 more") as raised:
        rows(tmp_path / "something-else.jsonl")
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("name", ["a\0b.jsonl", "x" * 300 + ".jsonl"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        rows(tmp_path / name)


def test_a_file_of_a_gigabyte_is_refused_unread(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.json", "a.csv", "a.parquet"):
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate(2**30)
        with pytest.raises(ConfigError, match="1,024 MiB; at most 512 MiB are read: split it"):
            rows(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz"])
def test_a_caller_that_does_not_hold_the_rows_may_read_more_of_one_object_per_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(rows_module, "MAX_BYTES", 1000)
    lines = b'{"a": 1}\n' * 200
    path = write(tmp_path / name, gzip.compress(lines) if name.endswith(".gz") else lines)
    assert len(list(read_rows(path, most_by_line=2000))) == 200
    for most in (None, 1500):
        with pytest.raises(ConfigError, match="split it"):
            list(read_rows(path, most_by_line=most))


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.txt", "a.jsonl", "a.jsonl.gz", "a.json.gz"])
def test_what_is_read_as_a_whole_keeps_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(rows_module, "MAX_BYTES", 1000)
    content = json.dumps([{"a": 1}] * 200).encode()
    path = write(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(ConfigError, match="split it"):
        list(read_rows(path, most_by_line=10**6))


values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(data=st.lists(st.dictionaries(st.text(max_size=5), values, max_size=3), min_size=1, max_size=5))
def test_any_rows_written_as_jsonl_come_back(
    tmp_path_factory: pytest.TempPathFactory, data: list[dict[str, object]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in data))
    assert rows(path) == data


def test_a_duplicated_key_in_a_row_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1}\n{"id": 2, "reference": "yes", "reference": "no"}\n')
    with pytest.raises(ConfigError, match=r"rows.jsonl:2: not valid JSON: the key 'reference' is duplicated"):
        list(read_rows(path))


# --- JSON as it is published, and files under other files' names ----------------------------------------------------

BANK = [{"prompt": "a?", "reference": "x"}, {"prompt": "b?", "reference": "y"}]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"prompt": ["a?", "b?"], "reference": ["x", "y"]}, BANK),  # Dataset.to_dict
        ({"prompt": {"0": "a?", "1": "b?"}, "reference": {"0": "x", "1": "y"}}, BANK),  # DataFrame.to_json
        ({"version": "1.1", "data": BANK}, BANK),
        ({"name": "bbh", "examples": BANK, "canary": "x"}, BANK),
        ({"schema": {"fields": [{"name": "prompt"}]}, "data": BANK}, BANK),
        ({"samples": BANK, "reductions": [{"scorer": "match"}]}, BANK),  # a log of Inspect
        (BANK[0], BANK[:1]),
        ({"prompt": "a?", "references": ["x", "y"]}, [{"prompt": "a?", "references": ["x", "y"]}]),
        ({"messages": [{"role": "user", "content": "a?"}]}, [{"messages": [{"role": "user", "content": "a?"}]}]),
        ({"a": {"x": 1}, "b": {"x": 2}}, [{"a": {"x": 1}, "b": {"x": 2}}]),
        ({"prompt": ["a?"], "reference": ["x", "y"]}, [{"prompt": ["a?"], "reference": ["x", "y"]}]),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_an_object_of_rows(tmp_path: Path, data: object, found: object, indent: int | None) -> None:
    (tmp_path / "a.json").write_text(json.dumps(data, indent=indent))
    assert [row for _, row in read_rows(tmp_path / "a.json")] == found


def test_a_list_under_a_name_for_lines_is_read(tmp_path: Path) -> None:
    for text in (json.dumps(BANK), json.dumps(BANK, indent=1)):
        (tmp_path / "a.jsonl").write_text(text)
        assert [row for _, row in read_rows(tmp_path / "a.jsonl")] == BANK


@pytest.mark.parametrize(
    ("name", "start", "message"),
    [
        ("a.csv", b"PK\x03\x04\x14\x00", "a zip archive .perhaps an Excel workbook.; save the sheet as CSV"),
        ("a.csv", b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer instead of the file; fetch"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("a.jsonl", b"PAR1", "a Parquet file; give it a name that ends in .parquet"),
        ("a.json", b"\n<!DOCTYPE html>", "a web page instead of the file"),
    ],
)
def test_files_that_are_another_thing_are_named(tmp_path: Path, name: str, start: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(start + b" more")
    with pytest.raises(ConfigError, match=rf"{name}: this is {message}"):
        list(read_rows(tmp_path / name))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("\0\0", r"Expecting value at character 1, '\\x00\\x00'; expected one JSON object per line"),
        ("// a comment", "Expecting value at character 1, '// a comment'; expected one JSON object per line"),
        ('{"a": 1},', "Extra data at character 9; expected one whole JSON object on each line"),
        ("{", "at character 2; expected one whole JSON object on each line"),
        ('{"a": nope}', "Expecting value at character 7$"),
        ('{"id": 1, "prompt": "x"', "delimiter at character 24; expected one whole JSON object on each line"),
    ],
)
def test_what_is_no_json_is_told_by_its_place_in_the_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"a": 0}}\n{line}\n')
    with pytest.raises(ConfigError, match=rf"a\.jsonl:2: not valid JSON: .*{message}"):
        list(read_rows(tmp_path / "a.jsonl"))
