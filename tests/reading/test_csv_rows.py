"""CSV as spreadsheets and data frames write it: read, whatever its delimiter, size, encoding and line ends."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.cases.cases_spec import CasesSpec
from tunegate.cases.from_rows import load_cases
from tunegate.exceptions import ConfigError
from tunegate.reading import rows as rows_module
from tunegate.reading.cells import Cell
from tunegate.reading.rows import read_rows
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

ROWS = [{"id": "1", "prompt": "a, b; c?"}, {"id": "2", "prompt": "d|e\tf"}]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(path: Path, delimiter: str | None = None) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path, None, delimiter)]


def as_csv(data: list[dict[str, str]], **options: Any) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(data[0]), **options)
    writer.writeheader()
    writer.writerows(data)
    return file.getvalue()


# --- columns and rows ----------------------------------------------------------------------------------------------


def test_a_duplicated_column_is_refused_and_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,prompt,reference,reference\n1,a?,BLM,reviewed\n")
    with pytest.raises(ConfigError, match=r"a\.csv:1: the column 'reference' is duplicated; rename or delete"):
        rows(path)
    assert rows(write(tmp_path / "b.csv", ",id,,\n0,1,,\n1,2,,\n")) == [{"id": "1"}, {"id": "2"}]


def test_rows_without_text_are_no_rows_and_lines_are_counted_from_where_a_row_begins(tmp_path: Path) -> None:
    text = 'id,prompt\n\n,\n1,"two\nlines"\n  , \t\n"2","a"\n   \n'
    found = list(read_rows(write(tmp_path / "a.csv", text)))
    assert found == [(4, {"id": "1", "prompt": "two\nlines"}), (7, {"id": "2", "prompt": "a"})]
    with pytest.raises(ConfigError, match=r"a\.csv:4: 2 columns were expected, as in the first line, got 3"):
        rows(write(tmp_path / "a.csv", 'id,prompt\n1,"x\ny"\n1,2,3\n'))
    with pytest.raises(ConfigError, match="the file has no rows"):
        rows(write(tmp_path / "a.csv", "id,prompt\n,\n\n"))


def test_a_long_cell_is_read_and_nobody_elses_limit_is_changed(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    path = write(tmp_path / "a.csv", f"id,prompt\n1,{'word ' * 60_000}\n2,x\n")
    reading = read_rows(path)
    assert len(next(reading)[1]["prompt"]) == 300_000
    assert csv.field_size_limit() == limit
    assert [number for number, _ in reading] == [3]


def test_line_ends_of_windows_make_no_other_suite(tmp_path: Path) -> None:
    text = 'id,prompt,reference\n1,"two\nlines?",b\n2,c?,d\n'
    hashes: set[str] = set()
    for name, content in (("unix", text), ("windows", text.replace("\n", "\r\n")), ("mac", text.replace("\n", "\r"))):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.csv", content)
        write(tmp_path / name / "s.yaml", "cases: a.csv\nchecks: [exact]\nplan: {draw: 2, accept: 2}\n")
        suite = load_suite(tmp_path / name / "s.yaml", build_check)
        assert suite.cases[0].prompt == "two\nlines?"
        hashes.add(suite.sha256)
    assert len(hashes) == 1


# --- delimiters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_told_from_the_rows_or_named(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path / "a.csv", as_csv(ROWS, delimiter=delimiter))
    assert rows(path) == rows(path, delimiter) == ROWS


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("text\na; b\nc, d\n", None),  # no delimiter splits all rows alike
        ("id;price\n1;2,50\n2;3,50\n", ["id", "price"]),
        ("id,prompt;note\n1,a;b\n", ["id", "prompt;note"]),  # as good either way: a comma
        ("sep=;\nid;a,b\n1;2,3\n", ["id", "a,b"]),
        ("id\n1\n", ["id"]),
    ],
)
def test_what_is_told_from_the_rows(tmp_path: Path, text: str, columns: list[str] | None) -> None:
    path = write(tmp_path / "a.csv", text)
    if columns is None:
        with pytest.raises(ConfigError, match=r"a\.csv:3: 1 column was expected.* with ',' as the delimiter"):
            rows(path)
    else:
        assert list(rows(path)[0]) == columns


def test_tsv_and_the_setting_of_a_suite(tmp_path: Path) -> None:
    assert rows(write(tmp_path / "a.tsv", as_csv(ROWS, delimiter="\t"))) == ROWS
    write(tmp_path / "a.csv", as_csv(ROWS, delimiter=";"))
    for delimiter in (";", "\t", r"\t", "tab"):
        spec = CasesSpec(path="a.csv", delimiter=delimiter, id="x", prompt="{id}" if delimiter == ";" else "y")
        assert spec.delimiter == (";" if delimiter == ";" else "\t")
    assert len(load_cases(CasesSpec(path="a.csv", delimiter=";"), tmp_path)) == 2
    with pytest.raises(ValueError, match="one character was expected"):
        CasesSpec(path="a.csv", delimiter=";;")
    write(tmp_path / "a.jsonl", '{"id": 1, "prompt": "a?"}')
    with pytest.raises(ConfigError, match=r"delimiter: only \.csv and \.tsv files have a delimiter; leave it out"):
        load_cases(CasesSpec(path="a.jsonl", delimiter=";"), tmp_path)


# --- other kinds of file -------------------------------------------------------------------------------------------

TEXTS = {
    "a.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "a.ndjson": "".join(json.dumps(row) + "\r\n" for row in ROWS),
    "a.json": json.dumps(ROWS, indent=1),
    "lines.json": "\n" + "".join(json.dumps(row) + "\n\n" for row in ROWS),
    "a.csv": as_csv(ROWS),
    "a.tsv": as_csv(ROWS, delimiter="\t"),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_kind_of_text_in_every_encoding_packed_or_not(
    tmp_path: Path, name: str, encoding: str, packed: bool
) -> None:
    content = TEXTS[name].lstrip().encode(encoding)
    path = write(tmp_path / (f"{name}.gz" if packed else name), gzip.compress(content) if packed else content)
    assert rows(path) == ROWS


def test_documents_may_be_packed_and_a_packed_file_may_have_lost_its_ending(tmp_path: Path) -> None:
    assert rows(write(tmp_path / "a.txt.gz", gzip.compress(b"one\n\ntwo", mtime=0))) == [
        {"text": "one", "line": 1},
        {"text": "two", "line": 3},
    ]
    assert rows(write(tmp_path / "a.JSONL", gzip.compress(TEXTS["a.jsonl"].encode()))) == ROWS
    assert rows(write(tmp_path / "b.jsonl.gz", TEXTS["a.jsonl"])) == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl.gz", gzip.compress(b'{"id": 1}', mtime=0)[:-9], "a.jsonl.gz: cannot be read: Compressed file ended"),
        ("a.csv.gz", b"\x1f\x8b" + b"x" * 50, "a.csv.gz: cannot be read: "),
        ("a.json.gz", gzip.compress(b"{", mtime=0)[:-6] + b"zzzzzz", "a.json.gz: cannot be read: "),
        ("a.gz", gzip.compress(b"{}", mtime=0), "unknown kind of file '.gz'"),
        ("a.xml.gz", gzip.compress(b"{}", mtime=0), "unknown kind of file '.gz'"),
        ("a.json", '{"id": 1}\n{"id": 2', "a.json: not valid JSON|a.json:2: not valid JSON"),
        ("a.json", '{\n"id": 1}\n{"id": 2}', "a.json: not valid JSON"),
    ],
)
def test_torn_files_are_named(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        rows(write(tmp_path / name, content))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.txt.gz"])
def test_a_small_file_that_unpacks_to_a_large_one_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "MAX_BYTES", 100_000)
    path = write(tmp_path / name, gzip.compress(b"a\n\n" * 100_000))
    with pytest.raises(ConfigError, match=r"MiB when unpacked; split it|not valid JSON"):
        rows(path)
    path = write(tmp_path / name, gzip.compress(b" " * 1_000_000))
    with pytest.raises(ConfigError, match="MiB when unpacked; split it"):
        rows(path)


# --- what a cell stands for ----------------------------------------------------------------------------------------


def cases(folder: Path, text: str, **spec: Any) -> list[tuple[str, ...]]:
    write(folder / "a.csv", text)
    return [case.references for case in load_cases(CasesSpec(path="a.csv", **spec), folder)]


def test_where_compares_a_cell_with_what_the_value_is_written_as(tmp_path: Path) -> None:
    text = "id,prompt,reference,year,ok\n1,a?,x,2020,TRUE\n2,b?,y,2021,false\n"
    assert cases(tmp_path, text, where={"year": 2020}) == [("x",)]
    assert cases(tmp_path, text, where={"year": "2021"}) == [("y",)]
    assert cases(tmp_path, text, where={"ok": True}) == [("x",)]
    with pytest.raises(ConfigError, match=r"no row is left after `where: \{'year': 1999\}`; year holds '2020', '2021'"):
        cases(tmp_path, text, where={"year": 1999})


def test_several_references_in_one_cell(tmp_path: Path) -> None:
    text = 'id,prompt,reference\n1,a?,BLM; RECQL3\n2,b?,"[""liver"", ""the liver""]"\n3,c?,"[\'x\', \'y\']"\n4,d?,[1]\n'
    listed = [("liver", "the liver"), ("x", "y"), ("[1]",)]
    assert cases(tmp_path, text) == [("BLM; RECQL3",), *listed]
    assert cases(tmp_path, text, separator=";") == [("BLM", "RECQL3"), *listed]
    assert cases(tmp_path, text, separator=";", reference=["{reference}", "{id}"])[0] == ("BLM", "RECQL3", "1")
    (tmp_path / "a.jsonl").write_text('{"id": 1, "prompt": "as a JSON list?", "reference": "[\\"x\\"]"}')
    [case] = load_cases(CasesSpec(path="a.jsonl"), tmp_path)
    assert case.references == ('["x"]',)  # in JSON, a list would have been written as one


# --- the round trip ------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00\ufeff"), max_size=8)
names = st.lists(texts.filter(str.strip), min_size=2, max_size=4, unique=True)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, str]]:
    header = draw(names)
    cells = st.lists(texts, min_size=len(header), max_size=len(header)).filter(lambda row: any(map(str.strip, row)))
    return [dict(zip(header, row, strict=True)) for row in draw(st.lists(cells, min_size=1, max_size=4))]


@given(tables(), st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["utf-8", "utf-16"]))
def test_any_table_that_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, data: list[dict[str, str]], delimiter: str, end: str, encoding: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    text = as_csv(data, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    path.write_bytes(text.encode(encoding))
    found = rows(path, delimiter)
    assert found == data
    assert all(isinstance(cell, Cell) for row in found for cell in row.values())


# --- as spreadsheets and other tools write them --------------------------------------------------------------------


def test_blank_cells_beyond_the_last_column_are_none(tmp_path: Path) -> None:
    for delimiter in (",", ";"):
        text = "prompt,reference\na,x,\nb,y,,\nc,z\n".replace(",", delimiter)
        (tmp_path / "a.csv").write_text(text)
        assert [*rows(tmp_path / "a.csv")] == [
            {"prompt": "a", "reference": "x"}, {"prompt": "b", "reference": "y"}, {"prompt": "c", "reference": "z"},
        ]  # fmt: skip
    (tmp_path / "a.csv").write_text("prompt,reference\na,x,more\n")
    with pytest.raises(ConfigError, match=r"a\.csv:2: 2 columns were expected, as in the first line, got 3"):
        rows(tmp_path / "a.csv")


def test_a_space_behind_each_delimiter_is_no_part_of_the_cells(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id, prompt, reference\n1, "Which gene, please?", BLM\n')
    assert rows(tmp_path / "a.csv") == [{"id": "1", "prompt": "Which gene, please?", "reference": "BLM"}]
    (tmp_path / "a.csv").write_text("id,prompt,reference\n1, a, b\n")
    assert rows(tmp_path / "a.csv") == [{"id": "1", "prompt": " a", "reference": " b"}]


def test_quotation_marks_in_tsv_are_characters_where_each_line_is_a_row(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text('prompt\treference\n"Hi, he said\tx\n5" pipe\ty\nall "of it"\tz\n"a ""b"""\t"w"\nand so"\tv\n')
    assert [(row["prompt"], row["reference"]) for row in rows(file)] == [
        ('"Hi, he said', "x"), ('5" pipe', "y"), ('all "of it"', "z"), ('a "b"', "w"), ('and so"', "v"),
    ]  # fmt: skip
    file.write_text('prompt\treference\n"two\nlines"\tx\n"a\ttab"\ty\n')
    assert [row["prompt"] for row in rows(file)] == ["two\nlines", "a\ttab"]
