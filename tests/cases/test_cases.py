"""Cases: which of them are the same test under two ids."""

from __future__ import annotations

from tunegate.cases.case import Case, duplicates
from tunegate.reading.chats import Message

CHAT = (Message(role="system", content="Be brief."), Message(role="user", content="Why?"))


def test_cases_that_ask_and_expect_the_same_are_found_whatever_their_ids_tags_and_rows() -> None:
    cases = [
        Case("a", "Why?", ("because",), "context", tags=("one",), group="g", fields={"row": 1}),
        Case("b", "How?", ("so",)),
        Case("c", "Why?", ("because",), "context", tags=("two",), group="h", fields={"row": 2}),
        Case("d", CHAT),
        Case("e", "How?", ("so",)),
        Case("f", (*CHAT,)),
        Case("g", "Why?", ("because",), "context"),
    ]
    assert duplicates(cases) == (("a", "c", "g"), ("b", "e"), ("d", "f"))


def test_any_difference_in_what_is_asked_or_expected_makes_another_case() -> None:
    cases = [
        Case("a", "Why?", ("because",)),
        Case("b", "why?", ("because",)),
        Case("c", "Why?", ("because", "so")),
        Case("d", "Why?", ("because",), "context"),
        Case("e", "Why?", ("because",), choices=("because", "so")),
        Case("f", "Why?"),
        Case("g", (Message(role="user", content="Why?"),)),
        Case("h", (Message(role="system", content="Why?"),)),
    ]
    assert duplicates(cases) == ()
    assert duplicates([]) == ()
