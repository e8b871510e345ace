"""Leakage: what each way to look finds, and what none may call a leak."""

from __future__ import annotations

import random
import string

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.leak_helpers import found, kinds, prompts, rows, suite
from tunegate.cases.case import Case
from tunegate.leaks.leakage import ALL_PAIRS, Looking, compare, excerpt
from tunegate.leaks.texts import TrainRow, row_as_it_is

WORDS = [f"{start}{vowel}{end}" for start in "bdfgklmnprst" for vowel in "aeiou" for end in "dfklmnprst"]
QUESTION = "What is the capital of France?"
LONG = " ".join(WORDS[:40])


def words(rng: random.Random, count: int) -> list[str]:
    return rng.choices(WORDS, k=count)


# --- one text against another --------------------------------------------------------------------------------------


def test_a_case_inside_a_longer_text_is_contained() -> None:
    assert kinds(f"Once upon a time. {LONG}. The end of this story.", LONG) == {"containment"}
    assert kinds(f"Q: {QUESTION} A: Paris", QUESTION) == {"containment"}
    assert kinds(
        "so he asked where on this wide earth the river ends, and left", "where on this wide earth the river ends"
    ) == {"containment"}


def test_a_short_case_is_a_leak_only_as_a_sentence_of_its_own() -> None:
    assert kinds("I want to add item to order 00123842", "add item to order") == set()
    assert kinds("how do I see what is the capital of France today", QUESTION) == set()
    assert kinds("Add it.\nWhat is the capital of France?", QUESTION) == {"containment"}


def test_an_edited_text_is_a_near_duplicate() -> None:
    edited = LONG.split()
    edited[10] = edited[25] = "other"
    assert kinds(" ".join(edited), LONG) == {"near_duplicate"}
    for at in range(0, 40, 4):
        edited[at] = "other"
    assert kinds(" ".join(edited), LONG) == set()


@pytest.mark.parametrize("side", ["context", "reference"])
def test_contexts_and_long_references_are_compared_too(side: str) -> None:
    case = Case("c", "Why?", (LONG,)) if side == "reference" else Case("c", "Why?", context=LONG)
    assert found(compare(rows(f"Read this: {LONG}"), [suite(case)])) == [(1, "c", "containment")]


@pytest.mark.parametrize("at", ["completion", "chosen", "rejected"])
def test_answers_are_compared_too(at: str) -> None:
    row = TrainRow("pairs.jsonl", 7, ("Say something.",), (f"{at}: {LONG}", "another answer"))
    assert found(compare([row], [prompts(LONG)])) == [(7, "c1", "containment")]


def test_a_pair_is_named_once_by_the_surest_kind() -> None:
    assert found(compare(rows(LONG, f"{LONG} indeed"), [prompts(LONG)])) == [
        (1, "c1", "exact"),
        (2, "c1", "containment"),
    ]


# --- what everything shares ----------------------------------------------------------------------------------------


def test_common_answers_give_nothing_away() -> None:
    cases = [Case(f"c{n}", f"How is illness {n} inherited?", ("autosomal dominant",)) for n in range(100)]
    taught = [TrainRow("t", n, (f"How is disease {n} inherited?",), ("autosomal dominant",)) for n in range(1000)]
    assert compare(taught, [suite(*cases)]) == []


def test_a_stock_answer_gives_nothing_away_and_a_copied_one_does() -> None:
    stock = "We are sorry to hear that; open your orders and click the button."
    taught = [TrainRow("t", n, (f"Please help me with number {n}.",), (stock,)) for n in range(11)]
    assert compare(taught, [suite(Case("c", "What now?", (stock,)))]) == []
    assert len(compare(taught[:10], [suite(Case("c", "What now?", (stock,)))])) == 10
    both = suite(Case("c", "What now?", (stock,)), Case("d", "And now?", (stock,)))
    assert compare(taught[:10], [both]) == []


def test_a_stock_answer_is_counted_once_in_a_row_that_has_it_in_several_texts() -> None:
    """A chat is compared both whole and turn by turn."""
    answer = "We are sorry to hear that; open your orders and click the button."
    chats = [[{"role": "user", "content": f"Help {n}"}, {"role": "assistant", "content": answer}] for n in range(11)]
    taught = [row_as_it_is("t", n, {"messages": chat}) for n, chat in enumerate(chats)]
    asked = suite(Case("c", "What now?", (answer,)))
    assert compare(taught, [asked]) == []
    assert {leak.train_row for leak in compare(taught[:10], [asked])} == set(range(10))


def test_a_template_gives_nothing_away_and_what_fills_it_does() -> None:
    rng = random.Random(1)
    template = " ".join(words(rng, 40)) + " the patient is {} and no one else"
    names = [" ".join(words(rng, 2)) for _ in range(200)]
    cases = prompts(*(template.format(name) for name in names[100:]))
    assert compare(rows(*(template.format(name) for name in names[:100])), [cases]) == []
    leaked = compare(
        rows(*(template.format(name) for name in names[:101]), template.format(names[150]) + " ok"), [cases]
    )
    assert found(leaked) == [(101, "c1", "exact"), (102, "c51", "containment")]


def test_a_text_of_nothing_but_boilerplate_is_still_found() -> None:
    taught = [f"{LONG}\n\nWhat about {word}?" for word in WORDS[:100]]
    assert len(compare(rows(*taught), [suite(Case("c", "What about it?", context=LONG))])) == 100


def test_every_row_and_case_is_named_where_pairs_are_too_many() -> None:
    cases = [Case(str(n), LONG) for n in range(50)]
    leaks = compare(rows(*[LONG] * 60), [suite(*cases)])
    assert len(leaks) <= 110
    assert {leak.train_row for leak in leaks} == set(range(1, 61))
    assert {leak.case_id for leak in leaks} == {case.id for case in cases}
    few = compare(rows(*[LONG] * 20), [suite(*cases)])
    assert len(few) == ALL_PAIRS == 1000


# --- meaning -------------------------------------------------------------------------------------------------------


def test_meaning_is_compared_where_asked_for() -> None:
    vectors = {"Where does the sun rise?": (1.0, 0.0), "Sunrise is where?": (0.96, 0.28), "What is gold?": (0.0, 1.0)}
    looking = Looking(lambda texts: {text: numpy.array(vectors[text]) for text in texts}, 0.95)
    taught = rows("What is gold?", "Sunrise is where?")
    leaks = compare(taught, [prompts("Where does the sun rise?")], looking)
    assert [(leak.train_row, leak.kind, leak.similarity) for leak in leaks] == [(2, "embedding", 0.96)]
    assert compare(taught, [prompts("Where does the sun rise?")]) == []


@pytest.mark.slow
def test_the_real_embedding_finds_a_paraphrase() -> None:
    from tunegate.commands.by_meaning import embed

    taught = rows("How can I cancel my order?", "What is the weather like?")
    leaks = compare(taught, [prompts("How do I cancel my order?")], Looking(embed, 0.9))
    assert found(leaks) == [(1, "c1", "embedding")]


# --- any case, any disguise ----------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 60), st.integers(0, 10**6))
def test_a_case_is_found_however_it_is_written(data: st.DataObject, count: int, seed: int) -> None:
    rng = random.Random(seed)
    case = words(rng, count)
    disguise = st.sampled_from([str.upper, str.title, str.lower])
    gap = st.sampled_from([" ", "  ", "\n", ", ", " — ", "\u00a0", "… "])
    written = "".join(data.draw(disguise)(word) + data.draw(gap) for word in case) + data.draw(
        st.text(string.punctuation.translate({ord(sign): None for sign in "-$+<=>^`|~"}), max_size=3)
    )
    others = [" ".join(words(rng, rng.randint(1, 60))) for _ in range(20)]
    leaks = compare(rows(*others, written), [prompts(" ".join(case))])
    assert (21, "c1", "exact") in found(leaks)


@given(st.integers(14, 60), st.integers(0, 10**6))
def test_a_case_is_found_inside_other_text_and_with_a_word_changed(count: int, seed: int) -> None:
    rng = random.Random(seed)
    case = words(rng, count)
    around = " ".join(words(rng, 30))
    assert kinds(f"{around} {' '.join(case)} {around}", " ".join(case)) == {"containment"}
    if count >= 30:
        case_now = [*case]
        case_now[rng.randrange(count)] = "changed"
        assert kinds(" ".join(case_now), " ".join(case)) & {"near_duplicate", "containment"}


@given(st.integers(5, 80), st.integers(0, 10**6))
def test_other_text_of_the_same_words_is_no_leak(count: int, seed: int) -> None:
    rng = random.Random(seed)
    case = list(dict.fromkeys(words(rng, count)))
    shuffled = [rng.sample(case, len(case)) for _ in range(5)]
    others = [" ".join(order) for order in shuffled if order != case]
    assert compare(rows(*others), [prompts(" ".join(case))]) == [] or len(case) < 5


@given(st.lists(st.text(max_size=80), max_size=6), st.lists(st.text(max_size=80), min_size=1, max_size=6))
def test_any_text_can_be_compared(taught: list[str], asked: list[str]) -> None:
    for leak in compare(rows(*taught), [prompts(*asked)]):
        assert 0 < leak.similarity <= 1


# --- rows as they are ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "taught",
    [
        "<p>Which <b>gene</b> is mutated in <i>Bloom</i><br/>syndrome, a rare<br>disorder of growth?</p>",
        "Which<b> gene </b>is mu<em class='x'>tated</em> in <a href='https://x.org?a=1'>Bl</a>oom syndrome, a "
        "<span style='a: b'>rare</span> disorder of growth?",
        "<STRONG>Which</STRONG> <STRONG>gene</STRONG> <u>is</u> <u>mutated</u> <b>in</b> <b>Bloom</b> <b>syndrome</b>, "
        "<i>a</i> <i>rare</i> <i>disorder</i> <i>of</i> <i>growth</i>?",
    ],
)
def test_tags_that_only_say_how_a_text_looks_hide_nothing(taught: str) -> None:
    assert kinds(taught, "Which gene is mutated in Bloom syndrome, a rare disorder of growth?") == {"exact"}


def test_rows_are_read_without_a_template() -> None:
    assert row_as_it_is("f", 1, {"prompt": "a b", "chosen": "c", "n": 3}).questions == ("a b",)
    assert row_as_it_is("f", 1, {"prompt": "a b", "chosen": "c", "n": 3}).answers == ("c",)
    assert row_as_it_is("f", 1, {"utterance": "a b", "intent": "cancel_order"}).questions == ("a b",)
    chat = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "So."},
    ]
    assert set(row_as_it_is("f", 1, {"messages": chat}).questions) >= {"Why?", "Why?\nSo."}
    assert "s" not in row_as_it_is("f", 1, {"messages": chat}).questions


def test_an_excerpt_shows_the_part_that_leaks() -> None:
    text = f"{'far away ' * 300}{LONG}{' and on' * 300}"
    assert LONG[:100] in excerpt(text, LONG, 200)
    assert len(excerpt(text, LONG, 200)) <= 202
    assert excerpt("short", LONG) == "short"
