"""number, json_equal, and how numbers are read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.check_helpers import FAIL, HUGE, INVALID, PASS, ask
from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.text.numbers import Decimals, number_of, numbers_in, readings
from tunegate_suites import build_check
from tunegate_suites.base import CheckBase

# --- reading -------------------------------------------------------------------------------------------------------


def values(text: str, decimal: Decimals = ".") -> list[list[float]]:
    return [sorted(map(float, number.values)) for number in numbers_in(text, decimal)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1,200", [[1200]]),
        ("1 200", [[1200]]),
        ("1\u202f200", [[1200]]),
        ("1'200.50", [[1200.5]]),
        ("1,00,000", [[100000]]),
        ("1.234.567,5", [[1234567.5]]),
        ("1,234,567.5", [[1234567.5]]),
        ("1.234", [[1.234]]),
        ("0,5", [[0.5]]),
        (".5", [[0.5]]),
        ("-5 and −5 and $-5 and -$5", [[-5], [-5], [-5], [-5]]),
        ("1-5", [[1], [5]]),
        ("- 5 apples", [[5]]),
        ("3/4", [[0.75]]),
        (r"\frac{3}{4}", [[0.75]]),
        ("10/12/2020", [[10], [12], [2020]]),
        ("2020-01-05", [[2020], [1], [5]]),
        ("1.2e3 and 2.5×10^-3", [[1200], [0.0025]]),
        ("5 million", [[5e6]]),
        ("a 5k run", [[5000]]),
        ("1,2,3", [[1], [2], [3]]),
        ("有5个", [[5]]),
        ("٣٫٥", [[3.5]]),
        ("５", [[5]]),
        ("p53, COVID-19, 2nd, 1990s, 1.2.3, x2", []),
        ("5/0", []),
        ("1e999", []),
        ("9" * 500, []),
        (r"$\boxed{42}$", [[42]]),
    ],
)
def test_what_numbers_a_text_holds(text: str, wanted: list[list[float]]) -> None:
    assert values(text) == wanted


def test_the_sign_before_decimals_is_a_choice() -> None:
    assert values("1,234") == [[1234]]
    assert values("1,234", ",") == [[1.234]]
    assert values("1,234", "either") == [[1.234, 1234]]
    assert values("1.234", ",") == [[1234]]


@given(st.integers(0, 10**12), st.integers(0, 999))
def test_every_way_to_write_a_number_is_that_number(whole: int, thousandths: int) -> None:
    wanted = {Fraction(whole * 1000 + thousandths, 1000)}
    english = f"{whole:,}.{thousandths:03}"
    german = english.translate(str.maketrans(",.", ".,"))
    assert readings(english, ".") == wanted
    assert readings(german, ",") == wanted
    assert wanted <= readings(english, "either")
    for written in (english, english.replace(",", " "), english.replace(",", "\u202f"), f"{whole}.{thousandths:03}"):
        number = number_of(written)
        assert number is not None
        assert number.values == wanted


@given(st.text(alphabet="0123456789.,-–+ /eE%$€kmg\u202f'x"))
def test_reading_never_fails_and_numbers_stand_in_order(text: str) -> None:
    last = 0
    for number in numbers_in(text, "either"):
        assert last <= number.whole_start <= number.start < number.end <= number.whole_end <= len(text)
        assert number.values
        last = number.end


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_huge_texts_are_read(text: str) -> None:
    assert all(number.values for number in numbers_in(text))


# --- number --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "answer", "reference", "verdict"),
    [
        (None, "1,200", "1200", PASS),
        (None, "5.0", "5", PASS),
        (None, "$29.00", "29", PASS),
        (None, "29 USD", "$29", PASS),
        (None, "It is 3 + 4 = 7.", "7", PASS),
        (None, "7, not 8", "7", FAIL),
        ({"which": "first"}, "7, not 8", "7", PASS),
        ({"which": "only"}, "7, not 8", "7", FAIL),
        ({"which": "only"}, "7 = 7.0", "7", PASS),
        (None, "seven", "7", FAIL),
        (None, "", "7", FAIL),
        (None, "5 mg", "5 g", FAIL),
        (None, "5 mg", "5 milligrams", PASS),
        (None, "5", "5 mg", PASS),
        (None, "5 apples", "5", PASS),
        (None, "50%", "0.5", FAIL),
        (None, "50%", "50", PASS),
        ({"percent": True}, "50%", "0.5", PASS),
        ({"percent": True}, "50 percent", "50%", PASS),
        ({"percent": True}, "50%", "50", FAIL),
        ({"tolerance": 0.1}, "1.1", "1", PASS),
        ({"tolerance": 0.1}, "1.11", "1", FAIL),
        (0.1, "0.9", "1", PASS),
        ({"relative": 0.01}, "101", "100", PASS),
        ({"relative": 0.01}, "102", "100", FAIL),
        ({"relative": 0.01, "tolerance": 5}, "104", "100", PASS),
        (None, "1.234", "1234", FAIL),
        ({"decimal": ","}, "1.234", "1234", PASS),
        ({"decimal": "either"}, "1.234", "1234", PASS),
        (None, "1.234.567,5", "1234567.5", PASS),
        (None, "5 million", "5", FAIL),
        (None, "5 million", "5,000,000", PASS),
        (None, "3/4", "0.75", PASS),
        (None, "3/4", "4", FAIL),
        (None, "7", "3 + 4 = 7", INVALID),
        (None, "7", "none", INVALID),
    ],
)
def test_numbers_are_compared_as_numbers(options: object, answer: str, reference: str, verdict: object) -> None:
    assert ask("number" if options is None else {"number": options}, answer, reference).verdict is verdict


def test_any_reference_will_do_and_one_is_needed() -> None:
    assert ask("number", "7", "6", "7").verdict is PASS
    assert ask("number", "7").verdict is INVALID
    assert ask("number", "9" * 300 + "e100", "9" * 300 + "e100").verdict is PASS


def test_a_bank_without_numbers_is_refused() -> None:
    check = build_check("number", Path())
    assert isinstance(check, CheckBase)
    assert "no reference is a number" in str(check.fault_of([Case("1", "?", ("liver",))]))
    assert check.fault_of([Case("1", "?", ("5",)), Case("2", "?", ("liver",))]) is None
    assert check.remarks([Case("1", "?", ("5",)), Case("2", "?", ("liver",))])


@pytest.mark.parametrize("options", [{"tolerance": -1}, {"relative": 1}, {"which": "any"}, {"decimal": ";"}])
def test_options_that_make_no_sense(options: object) -> None:
    with pytest.raises(ConfigError):
        build_check({"number": options}, Path())


# --- json_equal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "answer", "reference", "verdict"),
    [
        (None, '{"b": 2, "a": 1}', '{"a": 1, "b": 2}', PASS),
        (None, '{"a": 1.0}', '{"a": 1}', PASS),
        (None, '{"a": 1e2}', '{"a": 100}', PASS),
        (None, '{"a": "1"}', '{"a": 1}', FAIL),
        (None, '{"a": true}', '{"a": 1}', FAIL),
        (None, "[true]", "[1]", FAIL),
        (None, "null", "false", FAIL),
        (None, "[1, 2]", "[2, 1]", FAIL),
        (None, "[1]", "[1, 1]", FAIL),
        (None, '{"a": 1, "b": 2}', '{"a": 1}', FAIL),
        ({"extra_keys": True}, '{"a": 1, "b": 2}', '{"a": 1}', PASS),
        ({"extra_keys": True}, '{"b": 2}', '{"a": 1}', FAIL),
        ({"extra_keys": True}, '[{"a": 1, "b": 2}]', '[{"a": 1}]', PASS),
        (None, '{"a": 1', '{"a": 1}', FAIL),
        (None, '```json\n{"a": 1}\n```', '{"a": 1}', FAIL),
        ({"fences": True}, '```json\n{"a": 1}\n```', '{"a": 1}', PASS),
        (None, "1e400", "1e500", FAIL),
        (None, "12345678901234567890.1", "12345678901234567890.2", FAIL),
        (None, '{"a": 1, "a": 1}', '{"a": 1}', FAIL),
        (None, "1", "one", INVALID),
        (None, "[" * 100_000, "[]", FAIL),
    ],
)
def test_json_values_are_compared(options: object, answer: str, reference: str, verdict: object) -> None:
    assert ask("json_equal" if options is None else {"json_equal": options}, answer, reference).verdict is verdict


def test_the_place_that_differs_is_named_and_references_must_be_json() -> None:
    finding = ask("json_equal", '{"a": [{"b c": 1}]}', '{"a": [{"b c": 2}]}')
    assert finding.reason.startswith("$.a[0]['b c']: ")
    check = build_check("json_equal", Path())
    assert isinstance(check, CheckBase)
    assert "not JSON" in str(check.fault_of([Case("1", "?", ("liver",))]))
    assert ask("json_equal", "1").verdict is INVALID


def test_remarks_name_the_reference_that_is_no_number() -> None:
    check = build_check("number", Path())
    good, bad = Case("3", "?", ("1,200",)), Case("4", "?", ("seven",))
    assert list(check.remarks([good])) == []
    assert list(check.remarks([good, bad])) == ["1 of 2 cases have a reference that is not one number: '4' has 'seven'"]
