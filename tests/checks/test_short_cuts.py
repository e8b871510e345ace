"""Most texts need no search for marks or numbers: the quick look that says so changes no result."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tunegate.cases.case import Case
from tunegate.cases.spellings import _question, spellings
from tunegate.checks.answers import roles, turns
from tunegate_suites.categories.support import _NUMBER, _WRITTEN, _is_supported, _numbers

PIECES = (
    *("User", "user", "Assistant", "assistant", "Human", "### Instruction", "## ", "Q", "Question", "Answer", "AI"),
    *(" ", ". ", "It is so", "?", "*", "`", "1", "#"),
)
MARKS = (
    *(roles._TEMPLATE_LINE, roles._ALPACA_LINE, roles._QUESTION_LABEL, roles._ASKS, roles._IN_A_LINE),
    *(roles._BARE, roles._REPLY_ALONE, roles._NEXT_QUESTION),
)
"""Not `_HEADED`: it is a turn only with a reply on a later line."""


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_a_line_without_a_label_has_no_further_turn(text: str) -> None:
    assert not [pattern for pattern in MARKS if pattern.search(text)]


@pytest.mark.parametrize("line", ["User: And the liver?", "User：And the liver?", "User> And the liver?"])
def test_a_turn_may_begin_where_the_reasoning_ended(line: str) -> None:
    text = f"It is BLM.\n{line}"
    assert next(roles.turns_in_words(text, text.index(line), 0, ""))[0] == text.index(line)


def test_a_role_alone_on_its_line_begins_a_turn() -> None:
    assert list(roles.turns_in_words("BLM\nuser\nAnd then?\nassistant\nNo", 0, 0, "")) == [(4, 9)]


@given(st.lists(st.sampled_from([*turns._NAMES.split("|"), "|", ">", "]", "/", "|>", "INST", "PAD", "s"])).map("".join))
def test_every_control_token_begins_with_a_bracket(text: str) -> None:
    assert turns._TOKEN.search(text) is None


@given(st.text("0123456789.,' 万百%ax-", max_size=24), st.text("0123456789.,' 万百%ax-", max_size=24))
def test_a_number_that_a_source_has_as_written_is_supported(source: str, answer: str) -> None:
    written = {number for pattern in _WRITTEN for number in pattern.findall(source)}
    for match in _NUMBER.finditer(f"{source} {answer}"):
        if match.group() in written:
            assert _is_supported(match.group(), match.string[match.end() :], _numbers(source))


WORD = st.sampled_from(["the", "gene", "Gene.", "BLM", "blm", "which", ""])
CASES = st.lists(st.tuples(st.lists(WORD, max_size=3).map(" ".join), st.lists(WORD, max_size=2)), max_size=12)


@given(CASES)
@example([("Which gene", ["BLM"]), ("which gene?", ["blm"])])
@example([("the Gene.", []), ("the gene", [""])])
def test_only_cases_with_the_same_answers_are_compared(rows: list[tuple[str, list[str]]]) -> None:
    cases = [Case(str(place), prompt, tuple(references)) for place, (prompt, references) in enumerate(rows)]
    alike: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        alike[_question(case)].append(case)
    distinct = [some for some in alike.values() if len({(case.prompt, case.references) for case in some}) > 1]
    assert sorted(map(ids, spellings(cases))) == sorted(map(ids, distinct))


def ids(cases: list[Case]) -> list[str]:
    return [case.id for case in cases]
