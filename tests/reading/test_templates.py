"""Templates only look fields up: no attribute, no index, no format of data is ever evaluated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.exceptions import ConfigError
from tunegate.reading.templates import MissingField, field_names, fill, fill_list

ROW = {"question": "Why?", "n": 3, "yes": True, "list": ["a", 1], "nothing": None, "x": "{question}"}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{question}", "Why?"),
        ("Q: {question}\n\n{n}, {yes}", "Q: Why?\n\n3, true"),
        ("{{literal}} {n}", "{literal} 3"),
        ("{x}", "{question}"),  # data is not a template
        ("", ""),
    ],
)
def test_filling(template: str, text: str) -> None:
    field_names(template)
    assert fill(template, ROW) == text


@pytest.mark.parametrize("template", ["{a.}", "{.a}", "{a[0]}", "{a!r}", "{a:>10}", "{}", "{a..b}", "{a:{b}}", '{"a}'])
def test_anything_but_plain_fields_is_refused(template: str) -> None:
    with pytest.raises(ConfigError, match="only plain fields"):
        field_names(template)


@pytest.mark.parametrize("template", ["{", "}", "{a", "a}"])
def test_lone_braces_are_refused(template: str) -> None:
    with pytest.raises(ConfigError, match="a literal brace as"):
        field_names(template)


def test_a_field_that_is_missing_names_the_nearest() -> None:
    with pytest.raises(MissingField, match=r"no field 'qestion' \(did you mean 'question'"):
        fill("{qestion}", ROW)


@pytest.mark.parametrize("value", [None, "\ud83d", "cut \ude00"])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"null|half a character"):
        fill("{x}", {"x": value})


def test_a_field_that_is_a_list_gives_one_text_an_item() -> None:
    assert fill_list("{list}", ROW) == ("a", "1")
    assert fill_list("{question}", ROW) == ("Why?",)
    assert fill_list("{{list}}", ROW) == ("{list}",)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_goes_through_unchanged(text: str) -> None:
    assert fill("<{x}>", {"x": text}) == f"<{text}>"


def test_a_null_is_named_with_its_field() -> None:
    for template in ("{a}: {b}", "{b}"):
        with pytest.raises(ConfigError) as caught:
            fill(template, {"a": 1, "b": None})
        assert str(caught.value).startswith("the field 'b': a text was expected, got null; give it a value")
    with pytest.raises(ConfigError, match=r"^the field 'c': a text was expected, got null"):
        fill_list("{c}", {"c": ["x", None]})
