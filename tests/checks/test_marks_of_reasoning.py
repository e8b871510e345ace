"""Most answers hold no mark of reasoning, and are not searched for one: this must hide no mark."""

from __future__ import annotations

import random

import pytest

from tunegate.checks.answers import reasoning
from tunegate_suites.categories.repetition import loops

OPENING = (
    *("<think>", "&lt;thinking&gt;", "<Seed:THINK>", "[THINK]", "[think]", "<|START_THINKING|>", "<|inner_prefix|>"),
    *("<|channel|>analysis", "analysisThe user", ' ANALYSIS"So', "<|channel>thought", "<unused94>thought"),
    *("<|im_start|> think", "Here's my thought process:", "HERE IS MY THOUGHT PROCESS:", "◁think▷"),
)
CLOSING = (
    *("</think>", "&lt;/think&gt;", "[/THINK]", "[/think]", "◁/think▷", "<|END_THINKING|>", "<|inner_suffix|>"),
    *("<|channel|> final <|message|>", "<channel|>", "<unused95>", "<|im_start|> answer", "Here is my response:"),
    *("HERE'S MY RESPONSE:", "analysisIt is. assistantfinal4", "analysis. ASSISTANTFINAL4"),
)


@pytest.mark.parametrize("text", OPENING)
def test_every_mark_that_begins_reasoning_is_found(text: str) -> None:
    assert next(reasoning.openings(f"{text} 2 and 2"), None) is not None


@pytest.mark.parametrize("text", CLOSING)
def test_every_mark_that_ends_reasoning_is_found(text: str) -> None:
    assert next(reasoning.closings(f"{text} 4"), None) is not None


def test_a_plain_answer_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasoning, "_OPENS", None)
    monkeypatch.setattr(reasoning, "_CLOSES", None)
    assert list(reasoning.openings("Here is what it is: 4, thinking about it.")) == []
    assert list(reasoning.closings("Here is what it is: 4, thinking about it.")) == []


@pytest.mark.parametrize("repeats", [2, 3, 4])
def test_loops_are_those_that_a_plain_search_finds(repeats: int) -> None:
    rng = random.Random(repeats)
    found = 0
    for _ in range(500):
        items = rng.choices("abc", k=rng.randint(0, 24))
        inside = {
            place
            for period in range(1, 6)
            for first in range(len(items))
            for last in range(first + period * repeats, len(items) + 1)
            if all(items[i] == items[i - period] for i in range(first + period, last))
            for place in range(first, last)
        }
        ranges = loops(items, 5, repeats)
        assert {place for first, last in ranges for place in range(first, last)} == inside
        found += len(ranges)
    assert found > 50
