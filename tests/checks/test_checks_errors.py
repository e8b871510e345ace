"""Error categories: what each finds, where, and what it leaves alone."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.check_helpers import FAIL, HUGE, PASS, ask, sample
from tunegate.checks.check import judge
from tunegate.checks.outcome import Finding, Verdict
from tunegate.exceptions import ConfigError
from tunegate.models.model import Response
from tunegate.stats.sampling import SinglePlan
from tunegate.verdicts.decision import decide
from tunegate_suites import build_check
from tunegate_suites.categories.repetition import loops
from tunegate_suites.categories.words import is_symbol, one_slip_apart
from tunegate_suites.errors import CATEGORIES, MAX_SPANS

CONTEXT = (
    "Bloom syndrome is caused by mutations in the BLM gene, in an autosomal recessive pattern. The TBC1D24 gene is on "
    "chromosome 16; 1,000 people (2.5%) were seen, and two copies are altered. Dr. Smith works in Paris."
)
QUESTION = "Mutations in which gene cause Bloom syndrome in most of the people who have it?"
ALL = [name for name in CATEGORIES if name != "format"]


def found(category: str, answer: str | Response, *references: str, **settings: object) -> list[str]:
    """The texts of the spans that a category finds."""
    finding = find(category, answer, *references, **settings)
    return [error.text for error in finding.errors]


def find(category: str, answer: str | Response, *references: str, **settings: object) -> Finding:
    entry = {"errors": {"report": [category], **settings}}
    finding = ask(entry, answer, *(references or ("BLM",)), prompt=f"{CONTEXT}\n\n{QUESTION}", context=CONTEXT)
    text = answer.text if isinstance(answer, Response) else answer
    assert all(text[error.start : error.end] == error.text for error in finding.errors)
    assert finding.verdict is PASS  # only reported
    assert finding.value == len(finding.errors)
    return finding


# --- one category after the other ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "slips"),
    [
        ("BLM", []),
        ("BLS", ["BLS"]),
        ("TBCS1D24", ["TBCS1D24"]),
        ("The BLS gene and the TBC1D42 gene", ["BLS", "TBC1D42"]),
        ("an autosomel recesive pattern", ["autosomel", "recesive"]),
        ("Autosomel recessive", ["Autosomel"]),
        ("It is inherited from both parents, isn't it?", []),
        ("It isn’t the BLM gene's fault; the genes' copies don't matter.", []),
        ("Aarskog and xqzvbnm and angiokeratoma", []),
        ("FGFR3 and SLC25A19", []),
        ("Блюм 布卢姆 בלום", []),
        ("recieve the mutations, recieve them", ["recieve", "recieve"]),
        ("16 1000 16th", []),
    ],
)
def test_misspelling(answer: str, slips: list[str]) -> None:
    assert found("misspelling", answer) == slips


def test_a_vocabulary_file_makes_words_right(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(json.dumps({"BLS": 1, "text": "line\nautosomel \u00fc"}) + "\n")
    entry = {"errors": {"forbid": ["misspelling"], "vocabulary": ["train.jsonl"]}}
    assert ask(entry, "autosomel", "BLM", prompt=CONTEXT, base_dir=tmp_path).verdict is PASS
    assert ask(entry, "BLS", "BLM", prompt=CONTEXT, base_dir=tmp_path).verdict is FAIL  # a key


def test_too_long() -> None:
    assert found("too_long", "one two three four", max_words=2) == ["three four"]
    assert found("too_long", "one two three four", max_words=4) == []
    assert found("too_long", "abcdef", max_chars=4) == ["ef"]
    assert found("too_long", "abcd  \n", max_chars=4) == []
    assert found("too_long", "ab cd ef", max_chars=6, max_words=1) == ["cd ef"]
    assert found("too_long", "x" * 212, "BLM") == []
    assert found("too_long", "x" * 213, "BLM") == ["x"]


def test_too_short() -> None:
    assert found("too_short", "one", min_words=2) == ["one"]
    assert found("too_short", "one two", min_words=2) == []
    assert found("too_short", "abc", min_chars=4) == ["abc"]
    assert found("too_short", "AD", "autosomal dominant") == ["AD"]
    assert found("too_short", "dominant", "autosomal dominant") == []


@pytest.mark.parametrize(
    ("answer", "loop"),
    [
        ("BLM BLM BLM", ["BLM BLM BLM"]),
        ("BLM BLM", []),
        ("It is in the gene, in the gene, in the gene, in the end", ["in the gene, in the gene, in the gene, in the"]),
        ("The The the", ["The The the"]),
        ("a" * 41, ["a" * 41]),
        ("突变突变" * 20, ["突变突变" * 20]),
        ("| --- | --- | --- | --- |", []),
        ("-" * 80, []),
        ("1. the gene 2. the gene 3. the gene", []),
    ],
)
def test_repetition(answer: str, loop: list[str]) -> None:
    assert found("repetition", answer) == loop


def test_empty_and_truncated_have_no_place() -> None:
    for answer in ("", "  \n\u200b"):
        assert found("empty", answer) == [""]
    assert found("empty", "?") == []
    assert found("truncated", Response("It is the", "length")) == [""]
    assert found("truncated", Response("It is the", "unknown")) == []


def test_format() -> None:
    assert found("format", " BLM\n", format="[A-Z0-9]+") == []
    assert found("format", "the BLM gene", format="[A-Z0-9]+") == ["the BLM gene"]


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        ("I'm sorry, but I cannot help with that.", True),
        ("As an AI language model, I do not have opinions.", True),
        ("I don't know.", True),
        ("Sorry, I can’t answer this question.", True),
        ("Cannot answer this.", True),
        ("The cells cannot provide enough of the enzyme.", False),
        ("They can't help it.", False),
        ("She was sorry to hear it.", False),
    ],
)
def test_refusal(answer: str, refused: bool) -> None:
    assert bool(found("refusal", answer)) is refused


def test_prompt_echo() -> None:
    tail = "in most of the people who have it?"
    assert found("prompt_echo", QUESTION + " BLM") == [tail]
    assert found("prompt_echo", QUESTION.upper()) == [tail.upper()]
    assert found("prompt_echo", QUESTION, echo_words=4) == ["people who have it?"]
    assert found("prompt_echo", "Bloom syndrome is caused by mutations in the BLM gene, in an autosomal") == []
    assert found("prompt_echo", "BLM, in most of the people who have it") == []


def test_wrong_language() -> None:
    german = "Das Syndrom wird durch Veränderungen in einem Gen auf dem fünfzehnten Chromosom verursacht."
    assert found("wrong_language", german) == [german]
    assert found("wrong_language", german, language="de") == []
    assert found("wrong_language", german[:40]) == []
    assert found("wrong_language", CONTEXT) == []
    assert found("wrong_language", "x " * 100) == []
    assert found("wrong_language", "for i in range(10): total += prices[i] * 2; print(total, sum(prices), key)") == []
    foods = "mozzarella, cheddar, gorgonzola, swiss, bleu, provolone, gouda, pepper jack, parmesan"
    assert found("wrong_language", foods) == []  # names are of no language
    assert find("wrong_language", german) == find("wrong_language", german)


@pytest.mark.parametrize(
    ("answer", "claims"),
    [
        ("chromosome 16", []),
        ("chromosome 15", ["15"]),
        ("1000 people or 2.50 % or 2 copies", []),
        ("1. BLM\n2. TBC1D24\n3) more", []),
        ("in 1,001 of 10,000", ["1,001", "10,000"]),
        ("TBC1D99 and COVID-19 and 3rd", []),
        ("-7 and .5 and 1.000.000", ["7", "5", "1.000.000"]),
        ("١٦ and ١٧", ["١٧"]),
    ],
)
def test_unsupported_number(answer: str, claims: list[str]) -> None:
    assert found("unsupported_number", answer) == claims


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ("The BLM gene, says Dr. Smith in Paris.", []),
        ("Marie Curie found the FGFR3 gene in London.", ["Marie Curie", "FGFR3", "London"]),
        ("While FGFR3 is", ["FGFR3"]),
        ("Sporadic mutations. Nobody knows. I'm sure.", []),
        ("London", []),
        ("p53", ["p53"]),
        ("- Many\n- Others\n1. More", []),
    ],
)
def test_unsupported_entity(answer: str, names: list[str]) -> None:
    assert found("unsupported_entity", answer) == names


# --- the check -----------------------------------------------------------------------------------------------------


def test_forbidden_fails_capped_and_reported_do_not() -> None:
    for option, verdict in (("forbid", FAIL), ("report", PASS)):
        assert ask({"errors": {option: ["empty"]}}, "", "BLM").verdict is verdict
    capped = build_check({"errors": {"max": {"empty": 1}}}, Path())
    assert capped.max_errors == {"empty": 1}
    assert capped.judge([sample("", "BLM")])[0].verdict is PASS


def test_a_cap_is_held_against_the_whole_gate() -> None:
    check = build_check({"errors": {"max": {"repetition": 1}}}, Path())
    judged = judge([check], [sample(answer) for answer in ("a b", "c c c", "d d d")])
    outcomes = [replace(outcome, case_id=str(number)) for number, outcome in enumerate(judged)]
    assert decide(SinglePlan(3, 3), outcomes, check.max_errors).verdict is Verdict.FAIL
    assert decide(SinglePlan(3, 3), outcomes, {"repetition": 2}).verdict is Verdict.PASS


def test_the_value_counts_all_and_the_record_keeps_some() -> None:
    finding = ask({"errors": ["unsupported_number"]}, "1234 " * 500, "BLM")
    assert (finding.value, len(finding.errors)) == (500.0, MAX_SPANS)
    assert finding.reason == "500 unsupported_number ('1234', …)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forbid": ["repetiton"]}, "errors.forbid: unknown error category 'repetiton' (did you mean 'repetition'?)"),
        ({"max": {"toolong": 3}}, "errors.max: unknown error category 'toolong' (did you mean 'too_long'"),
        ({"max": {"too_long": -1}}, "errors.max.too_long: expected greater than or equal to 0, got -1"),
        ({}, "errors: name at least one category"),
        ({"forbid": ["empty"], "report": ["empty"]}, "errors: 'empty' is listed twice"),
        ({"forbid": ["format"]}, "errors.format: the category 'format' needs this regular expression"),
        ({"forbid": ["format"], "format": "("}, "errors.format: not a regular expression"),
        ({"forbid": ["misspelling"], "language": "xx"}, "errors.language: there is no dictionary of 'xx'"),
        ({"forbid": ["wrong_language"], "language": "xx"}, "errors.language: unknown language 'xx'"),
        ({"forbid": ["too_long"], "max_wrds": 3}, "errors.max_wrds: unknown option (did you mean 'max_words'"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_check({"errors": options}, Path())
    assert message in str(caught.value)


# --- properties ----------------------------------------------------------------------------------------------------

ANY_TEXT = st.text(max_size=300) | st.text(alphabet="aAbB 12.,\n'’-😀אبé", max_size=300)


@given(ANY_TEXT, ANY_TEXT)
def test_every_span_is_the_text_it_points_to(answer: str, context: str) -> None:
    check = build_check({"errors": {"report": [*ALL, "format"], "format": "x*"}}, Path())
    [finding] = check.judge([sample(answer, context[:20] or "a", prompt=context, context=context)])
    assert check.judge([sample(answer, context[:20] or "a", prompt=context, context=context)]) == [finding]
    for error in finding.errors:
        assert answer[error.start : error.end] == error.text


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 6), st.integers(2, 4))
def test_loops_are_just_the_stretches_that_repeat(items: list[str], longest: int, repeats: int) -> None:
    looping: set[int] = set()
    for period in range(1, longest + 1):
        for start in range(len(items) - period * repeats + 1):
            stretch = items[start : start + period * repeats]
            if stretch == stretch[:period] * repeats:
                looping.update(range(start, start + period * repeats))
    stretches = loops(items, longest, repeats)
    # A loop may end in a part of its phrase, which only a longer look shows: `a b a b a`.
    partial = {i for first, last in stretches for i in range(first, last)} - looping
    assert looping <= {i for first, last in stretches for i in range(first, last)}
    assert all(any(items[i] == items[i - period] for period in range(1, longest + 1)) for i in partial)
    assert all(before[1] < after[0] for before, after in pairwise(stretches))


def distance(a: str, b: str) -> int:
    """Edit distance with swaps of neighbours (optimal string alignment), the slow way."""
    table = [[max(i, j) if 0 in (i, j) else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                table[i][j] = min(table[i][j], table[i - 2][j - 2] + 1)
    return table[-1][-1]


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_one_slip_is_an_edit_distance_of_one(a: str, b: str) -> None:
    assert one_slip_apart(a, b) is (distance(a, b) == 1)


def test_symbols() -> None:
    assert all(map(is_symbol, ["BLM", "TBC1D24", "p53", "mRNA", "PI3K"]))
    assert not any(map(is_symbol, ["Paris", "I", "42", "gene", "", "基因", "x"]))


# --- size ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HUGE)
def test_huge_answers_are_searched(kind: str) -> None:
    check = build_check({"errors": {"report": ALL}}, Path())
    check.judge([sample("warm up the dictionaries, please do", "BLM")])
    check.judge([sample(HUGE[kind], "BLM", prompt=CONTEXT)])
    check.judge([sample("BLS", "BLM", prompt=HUGE[kind])])
