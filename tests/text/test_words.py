"""Words of every script: where one ends, how many there are, and that texts in ASCII are divided as ever."""

from __future__ import annotations

import re
import string
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.text.normal_form import normalised, visible
from tunegate.text.words import count_words, length_in_words, spaced, word_spans, words, words_and_pairs

MIXED = {
    "基因BRCA1的突变": ["基", "因", "BRCA1", "的", "突", "变"],
    "カタカナとひらがなー": list("カタカナとひらがなー"),
    "ที่นี่ดี": ["ที่", "นี่", "ดี"],
    "ភាសាខ្មែរ": ["ភា", "សា", "ខ្មែ", "រ"],
    "हिन्दी में": ["हिन्दी", "में"],
    "한국어 문장": ["한국어", "문장"],
    "cafe\u0301 ünïcode": ["cafe\u0301", "ünïcode"],
    "great😀👍🏽!": ["great", "😀", "👍🏽"],
}


@pytest.mark.parametrize(("text", "found"), MIXED.items())
def test_words_of_every_script(text: str, found: list[str]) -> None:
    if text != "ភាសាខ្មែរ":  # where its vowel signs go depends on the version of Unicode
        assert words(text) == found
    assert "".join(words(text)) == "".join(char for char in text if char not in " !")


@pytest.mark.parametrize("text", ["ຄວາມ", "မြန်မာ", "བོད་ཡིག", "ភាសាខ្មែរ", "ꆈꌠ", "ภาษาไทย", "注音ㄅㄆ"])
def test_a_script_without_spaces_has_many_words_in_a_line(text: str) -> None:
    assert count_words(text) > 1
    assert length_in_words(spaced(text)) < count_words(text)


def test_punctuation_belongs_to_the_word_that_it_touches() -> None:
    text = "他说「好的。」(yes)，真的"
    assert [text[start:end] for start, end in word_spans(text)] == ["他", "说「", "好", "的。」(", "yes)，", "真", "的"]


@pytest.mark.parametrize(
    ("text", "length"),
    [("one two three", 3), ("三岁男孩反复感染", 8 / 1.5), ("กขค", 1), ("三岁 boy", 2 / 1.5 + 1), ("", 0)],
)
def test_a_character_says_less_than_a_word(text: str, length: float) -> None:
    assert length_in_words(normalised(text)) == pytest.approx(length, abs=1e-6)


def test_pairs_of_characters_tell_the_order() -> None:
    assert words_and_pairs("甲致乙") != words_and_pairs("乙致甲")
    assert sorted(words_and_pairs("甲乙")) == sorted(["甲", "乙", "甲乙"])
    assert words_and_pairs("one two") == ["one", "two"]


@given(st.text(string.printable))
def test_ascii_is_divided_at_white_space_as_ever(text: str) -> None:
    assert words(text) == re.findall(r"\w+", text)
    assert [text[start:end] for start, end in word_spans(text)] == text.split()
    assert spaced(text) == text
    assert length_in_words(text) == count_words(text) == len(text.split())


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])))
def test_so_are_the_languages_of_western_europe(text: str) -> None:
    assert words(text) == re.findall(r"\w+", text)
    assert [text[start:end] for start, end in word_spans(text)] == text.split()


@given(st.text())
def test_no_text_is_lost_and_none_is_added(text: str) -> None:
    assert "".join(text[start:end] for start, end in word_spans(text)).split() == "".join(text.split()).split()
    assert "".join(spaced(text).split()) == "".join(text.split())


def test_nothing_unseen_and_no_punctuation_of_any_plane_is_compared() -> None:
    kinds: dict[str, list[str]] = {}
    for char in map(chr, range(sys.maxunicode + 1)):
        kinds.setdefault(unicodedata.category(char), []).append(char)
    assert visible("".join(char for char in kinds["Cf"] + kinds["Cc"] if not char.isspace())) == ""
    assert set(normalised("".join(char for kind in kinds if kind[0] == "P" for char in kinds[kind]))) == {"-", " "}
    assert normalised("a" + "".join(kinds["Mn"] + kinds["Me"])) == "a"
