"""Prompts cut into pieces: they cover the text without a gap, and every token belongs to one of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny_model import make_tiny_tokenizer
from tunegate.attribution.deletion import random_sets, removed_of
from tunegate.attribution.pieces import MOST_PIECES, pieces_of, tokens_in
from tunegate.attribution.question import _shown  # pyright: ignore[reportPrivateUsage]

TOKENIZER = make_tiny_tokenizer()
TEXTS = st.text(alphabet="ab .?\n😀é", max_size=300)


@given(TEXTS)
def test_pieces_cover_the_text(text: str) -> None:
    pieces = pieces_of(text)
    assert "".join(text[start:end] for start, end in pieces.spans) == (text if pieces.spans else "")
    assert len(pieces.spans) <= MOST_PIECES
    assert bool(pieces.spans) == bool(text)


@pytest.mark.parametrize(
    ("text", "unit", "count"),
    [
        ("Which gene causes it?", "word", 4),
        ("One is here now. " * 8, "word", 32),
        ("One is here now, and there. " * 8, "sentence", 8),
        ("One is here now, and there. " * 80, "group of sentences", 32),
        ("word " * 100, "group of words", 32),
        ("", "word", 0),
    ],
)
def test_short_prompts_are_cut_into_words_and_long_ones_into_sentences(text: str, unit: str, count: int) -> None:
    pieces = pieces_of(text)
    assert (pieces.unit, len(pieces.spans)) == (unit, count)


@given(TEXTS.filter(str.strip))
def test_every_token_of_a_real_tokenizer_is_in_one_piece(text: str) -> None:
    encoded = TOKENIZER(text, return_offsets_mapping=True)
    ends = [end for _, end in encoded["offset_mapping"]]
    members = tokens_in(pieces_of(text), ends)
    assert sorted(token for piece in members for token in piece) == list(range(len(ends)))


def test_a_message_that_the_template_changed_shows_the_whole_text() -> None:
    shown, spans = _shown("USER HELLO", ["hello"], [(0, 4), (4, 10)])
    assert shown == "USER HELLO"
    assert [place for place, _ in spans] == [0, 1]


def test_only_what_the_user_wrote_is_shown() -> None:
    text = "<u>be brief</u><u>which gene</u><a>"
    shown, spans = _shown(text, ["be brief", " which gene "], [(n, n + 1) for n in range(len(text))])
    assert shown == "be brief\n\nwhich gene"
    assert "".join(text[place] for place, _ in spans) == "be briefwhich gene"
    assert all(shown[start:end] == text[place] for place, (start, end) in spans)


@given(st.integers(2, 40), st.integers(0, 9))
def test_random_sets_differ_from_each_other_and_from_the_highest(pieces: int, seed: int) -> None:
    size = removed_of(pieces)
    top = frozenset(range(size))
    found = random_sets(pieces, size, top, seed)
    assert top not in found
    assert len(set(found)) == len(found) > 0
    assert all(len(one) == size for one in found)
    assert found == random_sets(pieces, size, top, seed)
