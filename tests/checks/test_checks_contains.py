"""contains: whole words, whole numbers, letters; several texts; `{field}` in the text of a check."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.check_helpers import FAIL, INVALID, PASS, ask
from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate_suites import build_check
from tunegate_suites.base import CheckBase
from tunegate_suites.normalise import plain, typographic


def built(entry: object) -> CheckBase:
    check = build_check(entry, Path())
    assert isinstance(check, CheckBase)
    return check


# --- whole words and numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        ("5", "There are 150 of them.", FAIL),
        ("5", "It is 1.5 to 7.", FAIL),
        ("5", "There are 5 of them.", PASS),
        ("5", "It is 5.", PASS),
        ("5", "5.0", PASS),
        ("5", "-5", FAIL),
        ("5", "about 5%", PASS),
        ("5", "5mg", PASS),
        ("5", "有5个", PASS),
        ("5", "COVID-5 and p5", FAIL),
        ("5", "5 million", FAIL),
        ("5", "2020-01-05", FAIL),
        ("1200", "about 1200.75", FAIL),
        ("1200", "about 1,200 cells", PASS),
        ("1200", "about 1 200 cells", PASS),
        ("1200", "about 11200 cells", FAIL),
        ("1,200", "about 1200 cells", PASS),
        ("007", "agent 007", PASS),
        ("007", "agent 7", FAIL),
        ("5 mg", "15 mg a day", FAIL),
        ("5 mg", "5mg a day", PASS),
        ("5 mg", "5 g a day", FAIL),
        ("$5", "it costs $50", FAIL),
        ("chapter 1", "chapter 12", FAIL),
        ("chapter 1", "see chapter 1.", PASS),
        ("B", "The answer is C because z holds.", FAIL),
        ("B", "The answer is B because z holds.", PASS),
        ("B", "(B)", PASS),
        ("B", "**B**", PASS),
        ("B", "vitamin B-cell", FAIL),
        ("A", "It is a clear C.", FAIL),
        ("A", "A clear case of C.", FAIL),
        ("A", "A is right.", PASS),
        ("A", "Answer: A", PASS),
        ("A", "Not a B; C.", FAIL),
        ("I", "I think it is II", FAIL),
        ("C", "written in C++", FAIL),
        ("b", "It is B.", PASS),
        ("IT", "it is so", FAIL),
        ("IT", "the IT sector", PASS),
        ("no", "I do not know", FAIL),
        ("no", "No.", PASS),
        ("yes", "yesterday", FAIL),
        ("true", "untrue", FAIL),
        ("male", "female", FAIL),
        ("possible", "It is impossible.", FAIL),
        ("star", "the start", FAIL),
        ("dominant", "codominant", FAIL),
        ("legal act", "an illegal act", FAIL),
        ("founder effect", "founder effects", PASS),
        ("founder effect", "the founder effect.", PASS),
        ("the cat", "the category", FAIL),
        ("猫", "这是猫吗", PASS),
        ("東京", "東京都です", PASS),
        ("BLM", "有BLM基因", PASS),
        ("C#", "in C# and F#", PASS),
        ("Alzheimer’s disease", "It is Alzheimer's disease.", PASS),
        ("co-op", "a co‑op", PASS),
    ],
)
def test_what_is_found_by_default(reference: str, answer: str, verdict: object) -> None:
    assert ask("contains", answer, reference).verdict is verdict


def test_whole_words_can_be_said() -> None:
    assert ask({"contains": {"whole_words": False}}, "There are 150.", "5").verdict is PASS
    assert ask({"contains": {"whole_words": True}}, "founder effects", "founder effect").verdict is FAIL
    assert ask({"contains": {"whole_words": True}}, "It is a clear C.", "A").verdict is FAIL
    assert ask({"contains": {"whole_words": True}}, "about 1200.75", "1200").verdict is FAIL
    assert ask({"contains": {"normalize": False}}, "about 1200.75", "1200").verdict is FAIL
    assert ask({"contains": {"normalize": "squad"}}, "about 1.5", "15").verdict is FAIL


@given(st.integers(0, 10**6), st.integers(0, 9))
def test_a_number_is_never_found_in_a_longer_one(number: int, digit: int) -> None:
    for answer in (f"{number}{digit}", f"{digit + 1}{number}", f"{number}.{digit + 1}"):
        assert ask("contains", f"It is {answer} now", str(number)).verdict is FAIL
    assert ask("contains", f"It is {number:,} now", str(number)).verdict is PASS


# --- several -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "answer", "verdict"),
    [
        ("all", "Only BLM", FAIL),
        ("all", "BLM, WRN and RECQL4", PASS),
        ("any", "Only BLM", PASS),
        (None, "Only BLM", PASS),
        ("any", "none", FAIL),
    ],
)
def test_of_several_references_any_or_all(match: str | None, answer: str, verdict: object) -> None:
    entry = "contains" if match is None else {"contains": {"match": match}}
    assert ask(entry, answer, "BLM", "WRN", "RECQL4").verdict is verdict


# --- places --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "answer", "verdict"),
    [
        ({"regex": "answer is {reference}"}, "answer is b.c", PASS),
        ({"regex": "answer is {reference}"}, "answer is bxc", FAIL),
        ({"regex": {"pattern": "{reference}{2}", "fullmatch": True}}, "b.cb.c", PASS),
        ({"regex": r"\{reference\}"}, "{reference}", PASS),
        ({"regex": "{{reference}}"}, "{reference}", PASS),
        ({"regex": "{gene}"}, "the BLM gene", PASS),
        ({"contains": "{reference}"}, "it is b.c", PASS),
        ({"contains": "{reference}"}, "it is d", FAIL),
        ({"contains": "gene {gene}"}, "the gene BLM", PASS),
        ({"contains": ["{gene}", "{reference}"]}, "BLM", FAIL),
        ({"contains": "{{gene}}"}, "write {gene} here", PASS),
        ({"contains": '{"a": 1}'}, 'it is {"a": 1}', PASS),
        ({"contains": "{organs}"}, "the spleen", PASS),
        ({"contains": {"text": "{organs}", "match": "all"}}, "the spleen", FAIL),
        ({"errors": {"forbid": ["format"], "format": "{reference}!"}}, "b.c!", PASS),
        ({"errors": {"forbid": ["format"], "format": "{reference}!"}}, "bxc!", FAIL),
    ],
)
def test_places_are_filled_from_the_case(entry: object, answer: str, verdict: object) -> None:
    fields = {"gene": "BLM", "organs": ["liver", "spleen"]}
    assert ask(entry, answer, "b.c", fields=fields).verdict is verdict


@pytest.mark.parametrize("entry", [{"regex": "is {gen}"}, {"contains": "{gen}"}])
def test_a_place_that_no_field_fills_is_refused_with_the_nearest_name(entry: object) -> None:
    cases = [Case("1", "?", ("x",), fields={"gene": "BLM"})]
    fault = built(entry).fault_of(cases)
    assert fault is not None
    assert "'gene'" in fault
    assert "{{" in fault


def test_an_empty_value_is_no_text_to_look_for() -> None:
    assert ask({"contains": "{gene}"}, "x", fields={"gene": " "}).verdict is INVALID
    fault = built({"contains": "{gene}"}).fault_of([Case("1", "?", fields={"gene": ""})])
    assert fault is not None
    assert "empty" in fault


# --- what is told --------------------------------------------------------------------------------------------------


def test_risky_references_are_told() -> None:
    cases = [Case("1", "?", ("B",)), Case("2", "?", ("Yes",)), Case("3", "?", ("BLM",))]
    [remark] = built("contains").remarks(cases)
    assert remark.startswith("2 of 3 references are")
    assert "'B'" in remark
    assert not built("contains").remarks(cases[2:])
    numbers = [Case("1", "?", ("5",))]
    assert not built("contains").remarks(numbers)
    assert built({"contains": {"whole_words": False}}).remarks(numbers)


# --- forms of signs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alzheimer’s disease", "Alzheimer's disease"),
        ("the ‘founder’ effect", "the 'founder' effect"),
        ("he said „so“ twice", 'he said "so" twice'),
        ("he said «so» twice", 'he said "so" twice'),
        ("1990–2000", "1990-2000"),
        ("so — said he — it is", "so - said he - it is"),
        ("co‑op", "co-op"),
        ("−5", "-5"),
        ("5\u202fmg", "5 mg"),
        ("5\u00a0mg", "5 mg"),
        ("B\u200bLM", "BLM"),
        ("ＢＬＭ　１", "BLM 1"),
        ("ﬁve", "five"),
        ("5′ end", "5' end"),
    ],
)
@pytest.mark.parametrize("check", ["exact", "contains"])
def test_typographic_forms_do_not_count(check: str, one: str, other: str) -> None:
    assert ask(check, one, other).verdict is PASS
    assert ask(check, other, one).verdict is PASS
    assert ask({check: {"normalize": False}}, one, other).verdict is FAIL


@given(st.text(alphabet=st.sampled_from("aB ’‘'“”\"«»–—−-‐\u00a0\u202f\u200b…ﬁＡ.")))
def test_one_form_of_signs_is_final(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    assert typographic(typographic(text)) == typographic(text)


def test_the_match_is_one_of_two_words() -> None:
    with pytest.raises(ConfigError):
        build_check({"contains": {"match": "some"}}, Path())
