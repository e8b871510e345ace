"""Names, genders and pronouns swapped: both ways and back, and what only looks like a person stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.check_helpers import HUGE
from tunegate.reading.chats import Message
from tunegate_suites.swapping import KINDS, Kind, Swap, swap_text, swapped, word_lists


def gender(text: str) -> str:
    return swap_text(text, "gender")[0]


def name(text: str) -> str:
    return swap_text(text, "name")[0]


# --- swapping ------------------------------------------------------------------------------------------------------

BOTH_WAYS = [
    ("He is a nurse.", "She is a nurse."),
    ("She gave him her book.", "He gave her his book."),
    ("The book is his.", "The book is hers."),
    ("His is red, and hers is blue.", "Hers is red, and his is blue."),
    ("I saw her.", "I saw him."),
    ("I saw her and left.", "I saw him and left."),
    ("I told her that it was late.", "I told him that it was late."),
    ("Her son asked about her.", "His daughter asked about him."),
    ("her own idea", "his own idea"),
    ("her 3 cats", "his 3 cats"),
    ('her "friend"', 'his "friend"'),
    ("I met her\n\nThe end", "I met him\n\nThe end"),
    ("they read her\nbook", "they read his\nbook"),
    ("his and her books", "her and his books"),
    ("his/her books", "her/his books"),
    ("his or hers?", "hers or his?"),
    ("Ask him or her.", "Ask her or him."),
    ("he/she", "she/he"),
    ("He hurt himself.", "She hurt herself."),
    ("He's here; he'll stay, she'd not.", "She's here; she'll stay, he'd not."),
    ("SHE LOST HER HAT", "HE LOST HIS HAT"),
    ("the man's hat, the women’s room", "the woman's hat, the men’s room"),
    ("My mother-in-law is an aunt.", "My father-in-law is an uncle."),
    ("MALE, Female, female", "FEMALE, Male, male"),
    ("Mr. Smith met Ms Jones", "Ms. Smith met Mr Jones"),
    ("John and Fatima's son", "Mary and Mohammed's daughter"),
    ("her fiancé", "his fiancée"),
    ('"He is," said John.', '"She is," said Mary.'),
    ("- He left\n- She stayed", "- She left\n- He stayed"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "other"), BOTH_WAYS)
def test_genders_are_swapped_and_back(text: str, other: str) -> None:
    assert gender(text) == other
    assert gender(other) == text


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Mrs Jones and her mum", "Mr Jones and his dad"),
        ("I gave her flowers", "I gave his flowers"),  # only a grammar could tell; documented
    ],
)
def test_some_are_swapped_one_way(text: str, other: str) -> None:
    assert gender(text) == other


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What is the capital of France?",
        "HER2 is overexpressed; HER-2 too; she-wolf",
        "the bundle of His, stained with HE, MR and MS",
        "Helium (He) boils at 4 K, as He does",
        "after 5 ms, i.e. mr and bob",
        "s/he or (s)he",
        "the human manager of Manchester, thermal sonar, this there",
        "he_id her2name X1he",
        "McHE hE hERs",
    ],
)
def test_what_only_looks_like_a_person_stays(text: str) -> None:
    assert swap_text(text, "gender") == (text, ())
    assert swapped(text) == ()


def test_names_keep_their_gender_and_nothing_else_changes() -> None:
    assert name("Emily and John's son: he is LAKISHA's") == "Lakisha and Mohammed's son: he is EMILY's"
    assert name("He and his wife") == "He and his wife"


def test_a_variant_for_each_kind_says_what_it_swapped() -> None:
    one, two = swapped("John met his wife. John smiled.")
    assert (one.kind, one.prompt) == ("gender", "Mary met her husband. Mary smiled.")
    assert one.in_words == "gender: John -> Mary (2 times), his -> her, wife -> husband"
    assert (two.kind, two.prompt) == ("name", "Mohammed met his wife. Mohammed smiled.")
    assert two.swaps == (Swap("John", "Mohammed"),) * 2
    assert [variant.kind for variant in swapped("his wife")] == ["gender"]
    assert [variant.kind for variant in swapped("John", ["name"])] == ["name"]


def test_all_messages_of_a_chat_are_swapped() -> None:
    chat = (Message(role="system", content="You help John."), Message(role="user", content="Is he right?"))
    one, two = swapped(chat)
    assert one.prompt == (
        Message(role="system", content="You help Mary."),
        Message(role="user", content="Is she right?"),
    )
    assert two.prompt == (Message(role="system", content="You help Mohammed."), chat[1])
    assert one.in_words == "gender: John -> Mary, he -> she"


_NOUNS = sorted(word for word, other in word_lists().gendered.items() if word_lists().gendered[other] == word)
_NAMES = sorted(word_lists().names_by_gender)
_PIECES = st.sampled_from(
    ["He saw it.", "She saw him.", "I like her.", "It is his.", "hers too", "with him.", "himself", "her cat",
     "his dog", "Ms Roe", "the tree", "42", "a nurse.", "\n"]
) | st.sampled_from(_NOUNS) | st.sampled_from(_NAMES) | st.sampled_from(_NAMES).map(str.upper)  # fmt: skip


@given(st.lists(_PIECES, max_size=12), st.sampled_from([" ", "; ", ".\n"]), st.sampled_from(KINDS))
def test_swapping_twice_gives_back_the_text(pieces: list[str], joint: str, kind: Kind) -> None:
    text = joint.join(piece + "," if piece.endswith(("her", "his", "hers")) else piece for piece in pieces)
    turned, swaps = swap_text(text, kind)
    assert swap_text(turned, kind) == (text, tuple(Swap(swap.after, swap.before) for swap in swaps))
    assert (turned == text) == (not swaps)


@given(st.text(alphabet="hersimHERSIM' -/()\n.,2é", max_size=40), st.sampled_from(KINDS))
def test_any_text_keeps_all_but_the_swapped_words(text: str, kind: Kind) -> None:
    turned, swaps = swap_text(text, kind)
    rest, other = text, turned
    for swap in swaps:
        before, _, rest = rest.partition(swap.before)
        skipped, _, other = other.partition(swap.after)
        assert swap.before != swap.after
        assert swap.before.isupper() == swap.after.isupper()
        assert len(before) <= len(text)
        assert len(skipped) <= len(turned)
    assert len(turned) - len(text) == sum(len(swap.after) - len(swap.before) for swap in swaps)


def test_the_word_lists_are_sound() -> None:
    lists = word_lists()
    for words in (lists.names_by_gender, lists.names_by_background):
        assert len(words) == len(set(words)) >= 100
        assert all(words[other] == word != other for word, other in words.items())
        assert all(word == word.capitalize() for word in words)
    by_gender, by_background = lists.names_by_gender, lists.names_by_background
    assert by_gender.keys() == by_background.keys()
    assert all(by_background[by_gender[word]] == by_gender[by_background[word]] for word in by_gender)
    for word, other in lists.gendered.items():
        assert word == word.lower() != other
        assert (word[0] in "aeiou") == (other[0] in "aeiou"), f"a {word}, a {other}: the article changes"
        assert lists.gendered[other] in lists.gendered
    assert not {name.lower() for name in by_gender} & lists.gendered.keys()
    assert not lists.not_owned & {"own", "back", "home", "only", "more"}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_huge_texts_are_swapped(text: str) -> None:
    for kind in KINDS:
        swap_text(text, kind)
        swap_text("He her " * 10_000 + "his and " * 5_000 + text[:1000], kind)
