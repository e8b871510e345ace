"""Values that are not text: each becomes text in one way, or is refused with file, row, field and remedy."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bank import write_jsonl
from tunegate.cases.case import Case
from tunegate.cases.cases_spec import CasesSpec
from tunegate.cases.from_rows import load_cases
from tunegate.exceptions import ConfigError
from tunegate.reading.cells import Cell, same, truth, unfolded
from tunegate.reading.rows import read_rows
from tunegate.reading.templates import (
    MissingField,
    as_passages,
    as_text,
    fill,
    fill_list,
    fill_passages,
    headers,
    look_up,
)

NAN = float("nan")


def cases(folder: Path, *rows: object, **spec: Any) -> tuple[Case, ...]:
    write_jsonl(folder / "cases.jsonl", rows)
    return load_cases(CasesSpec(path="cases.jsonl", **spec), folder)


# --- one value -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a text", "a text"), ("", ""), (Cell("x"), "x"), (42, "42"), (42.0, "42"), (-0.0, "0"), (0.1, "0.1"),
        (1e300, "1e+300"), (2.0**60, repr(2.0**60)), (True, "true"), (False, "false"), (b"BLM", "BLM"),
        ("é".encode(), "é"), (Decimal("12.50"), "12.50"), (Decimal("1E+3"), "1000"),
        (date(2020, 1, 31), "2020-01-31"), (datetime(2020, 1, 31, 12, tzinfo=UTC), "2020-01-31T12:00:00+00:00"),
        (time(9, 5), "09:05:00"),
    ],
)  # fmt: skip
def test_a_value_is_written_in_one_way(value: object, text: str) -> None:
    assert as_text(value, "f") == text
    assert type(as_text(value, "f")) is str


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "a text was expected, got null; give it a value, or remove the row"),
        (NAN, "a text was expected, got NaN (no value)"),
        (Decimal("NaN"), "a text was expected, got NaN (no value)"),
        (math.inf, "a text was expected, got infinity"),
        (Decimal("-Infinity"), "got infinity"),
        ({"text": ["x"], "a b": 1, "a.b": 1}, 'name a field inside it by its path: f.text or f.a b or f."a.b"'),
        ({}, "a text was expected, got an object"),
        (["x"], "a text was expected, got a list; give one text, or one list of texts"),
        ([{"text": "x"}], "a text was expected, got a list; name a field inside it by its path: f.text"),
        (b"\xff", "a text was expected, got bytes that are not UTF-8"),
        (1j, "a text was expected, got a value of type complex"),
        ({1}, "got a value of type set"),
        ("\ud83d", "contains half a character"),
    ],
)
def test_what_is_no_text_is_refused_with_field_and_remedy(value: object, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        as_text(value, "f")
    assert str(raised.value).startswith("the field 'f'")
    assert message in str(raised.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_no_value_is_ever_written_as_python_prints_it(value: object) -> None:
    try:
        text = as_text(value, "f")
    except ConfigError as error:
        message = str(error)
        assert "\n" not in message
        return
    match value:
        case str():
            assert text == value
        case bytes():
            assert text.encode() == value
        case bool() | int() | float():
            assert json.loads(text) == value
            assert not text.endswith(".0")
        case _:
            pytest.fail(f"{value!r} became {text!r}")


# --- fields and paths ----------------------------------------------------------------------------------------------

ROW = {
    "answers": {"text": ["BLM", "RECQL3"], "start": [3, 9]},
    "notes": [{"text": "a", "by": {"name": "x"}}, {"text": ["b", "c"], "by": {"name": "y"}}],
    "a.b": "dotted",
    "c.d": "header",
    "c": {"d": "inner", "e.f": "quoted"},
    "Which gene?": "signs",
    "time: start": "colon",
    "null": None,
    "passages": ["one", "two", 3],
    "word": "text",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("answers.text", ["BLM", "RECQL3"]),
        ("notes.text", ["a", "b", "c"]),
        ("notes.by.name", ["x", "y"]),
        ('"a.b"', "dotted"),
        ("a.b", "dotted"),
        ("c.d", "header"),
        ('c."d"', "inner"),
        ('c."e.f"', "quoted"),
        ("Which gene?", "signs"),
        ('"time: start"', "colon"),
    ],
)
def test_paths_lead_into_objects_and_through_lists(name: str, value: object) -> None:
    assert look_up(name, ROW) == value
    assert fill_list(f"{{{name}}}", ROW) == (tuple(value) if isinstance(value, list) else (value,))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("answers.txt", "the field 'answers' has no 'txt' (did you mean 'text'"),
        ("notes.by.nme", "the field 'notes.by' has no 'nme' (did you mean 'name'?)"),
        ("awnsers.text", "the row has no field 'awnsers' (did you mean 'answers'"),
        ("word.text", "the field 'word' holds a text, not an object, so it has no 'text'"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(name: str, message: str) -> None:
    with pytest.raises(MissingField) as raised:
        look_up(name, ROW)
    assert message in str(raised.value)
    with pytest.raises(ConfigError, match="the field 'null': a text was expected, got null"):
        look_up("null.text", ROW)


def test_a_list_is_joined_in_a_longer_template_and_where_passages_are_meant() -> None:
    assert fill("{passages}\n\nQ: {word}", ROW) == "one\n\ntwo\n\n3\n\nQ: text"
    assert fill_passages("{passages}", ROW) == as_passages(ROW["passages"], "passages") == "one\n\ntwo\n\n3"
    with pytest.raises(ConfigError, match="'passages': a text was expected, got a list; give one text"):
        fill("{passages}", ROW)
    with pytest.raises(ConfigError, match="'lists': a text was expected, got a list"):
        fill("{lists}!", {"lists": [["a"]]})
    assert headers('{answers.text}{"a.b"}{word}') == ["answers", "a.b", "word"]


# --- cases ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "spec", "message"),
    [
        (
            {"answers": {"text": ["b"], "start": [3]}},
            {"reference": "{answers}"},
            "'answers': a text was expected, got an object",
        ),
        ({"references": [["b", "bb"], ["c"]]}, {}, "the field 'references': a text was expected, got a list"),
        ({"references": [{"text": "d"}]}, {}, "the field 'references': a text was expected, got an object; name"),
        ({"reference": None}, {}, "the field 'reference': a text was expected, got null"),
        ({"metadata": {"topic": "x"}}, {"tags": ["metadata"]}, "by its path: metadata.topic"),
        ({"tags": [{"topic": "x"}]}, {}, "by its path: tags.topic"),
        ({"context": {"title": "t"}}, {}, "by its path: context.title"),
        ({"group": ["a", "b"]}, {}, "the field 'group': a text was expected, got a list"),
        ({"id": ["a"]}, {}, "the field 'id': a text was expected, got a list"),
        ({"choices": [["a"], ["b"]]}, {}, "the field 'choices': a text was expected, got a list"),
        ({"choices": {"text": ["a", "b"], "label": ["A"]}}, {}, "got 2 texts and 1 labels"),
        ({"prompt": {"text": "a?"}}, {}, "by its path: prompt.text"),
    ],
)
def test_cases_name_file_row_and_field(tmp_path: Path, row: dict[str, Any], spec: dict[str, Any], message: str) -> None:
    good = {"prompt": "a?", "id": "0", "metadata": "x", "answers": "b"}
    with pytest.raises(ConfigError) as raised:
        cases(tmp_path, good, {"id": "1", "prompt": "b?", **row}, **spec)
    assert str(raised.value).startswith(f"{tmp_path / 'cases.jsonl'}:2: ")
    assert message in str(raised.value)


def test_nested_fields_are_named_by_a_path(tmp_path: Path) -> None:
    row = {"prompt": "a?", "id": 1, "answers": {"text": ["b", "c"]}, "metadata": {"topic": "x", "of": ["y", "z"]}}
    [case] = cases(tmp_path, row, reference="{answers.text}", tags=["metadata.topic", "metadata.of"])
    assert case.references == ("b", "c")
    assert case.tags == ("metadata.topic=x", "metadata.of=y", "metadata.of=z")
    assert cases(tmp_path, row, where={"metadata.topic": "x"})
    odd = {"id": 1, "prompt": "a?", "context": [["Title", ["one", "two"]]]}
    with pytest.raises(
        ConfigError,
        match=r"'context': a text was expected, got a list; .*; if the field is not meant, write `context: \"\"`",
    ):
        cases(tmp_path, odd)
    assert cases(tmp_path, odd, context="")[0].context is None
    [case] = cases(tmp_path, {"id": 1, "prompt": ["p", "q"], "context": ["c", "d"], "reference": "r"})
    assert (case.prompt, case.context) == ("p\n\nq", "c\n\nd")


@pytest.mark.parametrize("line", ['{"id": 1, "prompt": "a?", "reference": 1e400}', '{"id": 1, "x": {"y": [-1e999]}}'])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_number_beyond_any_is_refused(tmp_path: Path, line: str, name: str) -> None:
    (tmp_path / name).write_text(f"[{line}]" if name == "a.json" else line)
    with pytest.raises(
        ConfigError, match=r"not valid JSON: -?1e[49][09][09] is too large for a number; write it as text"
    ):
        list(read_rows(tmp_path / name))


# --- parquet and folders -------------------------------------------------------------------------------------------


def test_parquet_columns_of_any_type_are_read_as_other_files_write_them(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {
        "single": arrow.array([0.1, None], arrow.float32()),
        "whole": arrow.array([42.0, NAN]),
        "bytes": arrow.array([b"BLM", b"\xff"], arrow.binary()),
        "inside": arrow.array([[{"b": b"x"}], []]),
        "price": arrow.array([Decimal("1.50"), Decimal("2.00")]),
        "day": arrow.array([date(2020, 1, 31), None]),
        "word": arrow.array(["a", "b"]).dictionary_encode(),
    }
    parquet.write_table(arrow.table(columns), tmp_path / "a.parquet")
    first, second = (row for _, row in read_rows(tmp_path / "a.parquet"))
    assert first["inside"] == [{"b": "x"}]
    assert [as_text(first[name], name) for name in columns if name != "inside"] == [
        "0.1", "42", "BLM", "1.50", "2020-01-31", "a",
    ]  # fmt: skip
    for name, message in (("single", "null"), ("whole", "NaN"), ("bytes", "not UTF-8"), ("day", "null")):
        with pytest.raises(ConfigError, match=message):
            as_text(second[name], name)


def test_short_numbers_and_maps_inside_parquet_columns(tmp_path: Path) -> None:
    """What is nested in lists, structs and maps is written as what stands in a column of its own."""
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    single, half = arrow.float32(), arrow.float16()
    columns = {
        "list": arrow.array([[0.1, 16777216.0, None]], arrow.list_(single)),
        "struct": arrow.array([{"x": 0.1, "y": [0.3]}], arrow.struct([("x", single), ("y", arrow.large_list(half))])),
        "map": arrow.array([[("k", 0.7)]], arrow.map_(arrow.string(), single)),
        "half": arrow.array([0.1], half),
        "tiny": arrow.array([[1e-40, NAN]], arrow.list_(single, 2)),
        "double": arrow.array([[0.1 + 0.2]], arrow.list_(arrow.float64())),
    }
    parquet.write_table(arrow.table(columns), tmp_path / "a.parquet")
    [(_, row)] = read_rows(tmp_path / "a.parquet")
    assert row["list"] == [0.1, 16777216.0, None]
    assert (row["struct"], row["map"], row["half"]) == ({"x": 0.1, "y": [0.3]}, {"k": 0.7}, 0.1)
    assert row["tiny"][0] == pytest.approx(1e-40, rel=1e-3)
    assert math.isnan(row["tiny"][1])
    assert row["double"] == [0.1 + 0.2]
    assert fill("{map.k}", row) == "0.7"


def test_a_map_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    pairs = arrow.array([[("k", "a"), ("k", "b")]], arrow.map_(arrow.string(), arrow.string()))
    parquet.write_table(arrow.table({"m": pairs}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"a\.parquet: a map has a duplicated key: .*k"):
        list(read_rows(tmp_path / "a.parquet"))


def test_where_compares_dates_and_decimals_with_what_they_are_written_as(tmp_path: Path) -> None:
    """YAML has neither: `where: {day: 2020-01-31}` is a text, `{price: 1.5}` a number."""
    day, midnight, price = date(2020, 1, 31), datetime(2020, 1, 31), Decimal("1.50")
    assert all(same(value, "2020-01-31") for value in (day, midnight))
    assert same(midnight.replace(hour=9), "2020-01-31T09:00:00")
    assert same(price, 1.5)
    assert same(price, "1.5")
    assert not same(midnight.replace(hour=9), "2020-01-31")
    assert not same(price, 1.51)


def test_a_missing_number_of_parquet_is_no_reference(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = arrow.table({"id": [1.0, 2.0], "prompt": ["a?", "b?"], "reference": [42.0, NAN], "context": [NAN, 1.5]})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"a\.parquet:2: the field 'reference': a text was expected, got NaN"):
        load_cases(CasesSpec(path="a.parquet"), tmp_path)
    one, two = load_cases(CasesSpec(path="a.parquet", reference="{prompt}"), tmp_path)
    assert (one.id, one.context, two.context) == ("1", None, "1.5")


def test_a_duplicated_column_of_parquet_is_refused(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = arrow.Table.from_arrays([arrow.array(["a"]), arrow.array(["b"])], names=["x", "x"])
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"a\.parquet: the column 'x' is duplicated"):
        list(read_rows(tmp_path / "a.parquet"))


def test_a_class_is_its_name_in_folders_and_in_parquet_that_datasets_wrote(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    label = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features({"label": label, "several": datasets.List(label), "in": {"one": label}})
    rows = {"label": [1, -1], "several": [[0, 1], []], "in": [{"one": 0}, {"one": 1}]}
    data = datasets.Dataset.from_dict(rows, features=features)
    data.save_to_disk(str(tmp_path / "folder"))
    data.to_parquet(str(tmp_path / "a.parquet"))
    for path in (tmp_path / "folder", tmp_path / "a.parquet"):
        assert [row for _, row in read_rows(path)] == [
            {"label": "yes", "several": ["no", "yes"], "in": {"one": "no"}},
            {"label": None, "several": [], "in": {"one": "yes"}},
        ], path


def test_only_a_folder_has_splits(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n}?", "reference": "x", "split": "test" if n else "train"} for n in range(3)]
    for wrong in ("test", "tset"):
        with pytest.raises(ConfigError, match=rf"only a data set folder has splits.*where: \{{split: {wrong}\}}"):
            cases(tmp_path, *rows, split=wrong)
    with pytest.raises(ConfigError, match=r"only a data set folder has splits.*write `where: \{field: value\}`"):
        cases(tmp_path, ROW, split="test")
    with pytest.raises(ConfigError, match=r"no row is left after .*; split holds 'train', 'test'"):
        cases(tmp_path, *rows, where={"split": "tset"})
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "one"))
    with pytest.raises(
        ConfigError, match="split: there is no split 'test': the folder holds one data set without splits"
    ):
        list(read_rows(tmp_path / "one", "test"))


# --- cells ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('["a", "b"]', ["a", "b"]), ("['a', 'b']", ["a", "b"]), ("[]", []), ("['a']", ["a"]), ('{"a": 1}', {"a": 1}),
        ("['it''s']", None), ("['a' 'b']", ["a", "b"]), ("['a'\n \"b's\"]", ["a", "b's"]),
        ("[{'a': 1}\n {'a': 2}]", [{"a": 1}, {"a": 2}]), ("['a' 'b' ... 'c']", None), ("['a', 'b' 'c']", None),
        ("[a, b]", None), ("[", None), ("a", None),
        ("[1] first", None), ("{'a': array(['x', 'y'], dtype=object)}", {"a": ["x", "y"]}),
        ("['array([1])', 'x']", ["array([1])", "x"]), ("array(['x'])", None),
        ("[__import__('os')]", None), (r"['\d']", ["\\d"]), ("[" * 5000, None), ("{1, 2}", None),
    ],
)  # fmt: skip
def test_what_a_cell_spells(text: str, value: object) -> None:
    assert unfolded(text) == value


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_a_list_that_python_or_json_wrote_comes_back(texts: list[str]) -> None:
    assert unfolded(json.dumps(texts)) == texts
    assert unfolded(repr(texts)) == texts


@given(st.text() | st.binary().map(repr))
def test_any_text_at_all_may_stand_in_a_cell(text: str) -> None:
    for bracket in ("", "[", "{"):
        assert unfolded(bracket + text) is None or isinstance(unfolded(bracket + text), list | dict)


def test_truth_and_equality_of_cells() -> None:
    assert [truth(v) for v in (True, 1, 1.0, "TRUE", " yes ", Cell("1"), Cell("1.0"))] == [True] * 7
    assert [truth(v) for v in (False, 0, 0.0, "No", "false", Cell("0"), "0.00")] == [False] * 7
    assert [truth(v) for v in (2, "", "maybe", None, [], NAN, "1.5", "10", ".0")] == [None] * 9
    equal = [("2020", 2020), ("2020.0", 2020), ("0.5", 0.5), ("TRUE", True), ("false", False), ("1", True), ("", None)]
    assert all(same(Cell(cell), wanted) for cell, wanted in equal)
    unequal = [("2021", 2020), ("x", 1), ("true", False), ("yes", None), ("2020", "2020.0"), ("1,5", 1.5)]
    assert not any(same(Cell(cell), wanted) for cell, wanted in unequal)
    assert same("a", "a")
    assert not same("2020", 2020)  # in JSON, a text is a text
