"""What misses have in common: on the questions of the demo, with misses planted in a slice, and at random."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import pytest
from scipy import stats

from tests.support.places import ROOT
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.verdicts.in_common import MOST_CASES, in_common

BANK = ROOT / "suites" / "tunegate_suites" / "data" / "gene_expert" / "bank.jsonl"
PASS, FAIL, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INVALID


@cache
def bank() -> tuple[Outcome, ...]:
    """The questions of the demo, all answered right."""
    rows = map(json.loads, BANK.read_text(encoding="utf-8").splitlines())
    return tuple(
        Outcome(
            row["id"],
            PASS,
            "",
            (),
            f"{row['context']}\n\n{row['question']}",
            row["answer"],
            (row["answer"],),
            (f"task={row['task']}",),
        )
        for row in rows
    )


def missing(drawn: Sequence[Outcome], missed: set[int]) -> list[Outcome]:
    return [replace(one, verdict=FAIL if n in missed else PASS) for n, one in enumerate(drawn)]


def planted(seed: int, is_in: Callable[[Outcome], bool], inside: int = 12, outside: int = 2) -> list[Outcome]:
    """100 questions of the demo, 15 of them in a slice; `inside` of these are missed, and `outside` of the others."""
    rng = random.Random(seed)
    own = [one for one in (*bank(), *percentages()) if is_in(one)]
    rest = [one for one in bank() if not is_in(one)]
    drawn = rng.sample(own, 15) + rng.sample(rest, 85)
    found = missing(drawn, {*rng.sample(range(15), inside), *rng.sample(range(15, 100), outside)})
    rng.shuffle(found)
    return found


def percentages() -> list[Outcome]:
    """Forty questions of the demo that ask for a percentage too."""
    return [
        replace(one, case_id=f"{one.case_id}/share", prompt=f"{one.prompt} In what percentage of families?")
        for one in bank()[::11]
    ]


def at_random(seed: int, misses: int = 14) -> list[Outcome]:
    rng = random.Random(seed)
    return missing(rng.sample(bank(), 100), set(rng.sample(range(100), misses)))


def has_percentage(one: Outcome) -> bool:
    return "percent" in str(one.prompt)


def is_prevalence(one: Outcome) -> bool:
    return "task=prevalence" in one.tags


def is_dominant_with_a_number(one: Outcome) -> bool:
    """A pair: neither of the two alone tells these cases from the others."""
    return one.references == ("autosomal dominant",) and any(map(str.isdigit, str(one.prompt)))


def test_a_manager_reads_what_the_misses_share() -> None:
    found = in_common(planted(3, has_percentage))
    assert found is not None
    assert found.features == ("has=percentage",)
    assert found.sentence == (
        "12 of 14 misses: questions with a percentage in them (12 of 15 such cases missed; 2 of 85 others), "
        "p = 0.0033: very unlikely to be chance"
    )
    assert (found.found.missed + found.tested.missed, found.found.cases + found.tested.cases) == (12, 15)
    assert found.kind == "has=percentage"
    assert json.loads(json.dumps(found.facts)) == found.facts
    assert found.facts["p_value"] == 1 / 300


@pytest.mark.parametrize("is_in", [has_percentage, is_prevalence, is_dominant_with_a_number])
def test_a_slice_of_the_demo_is_found(is_in: Callable[[Outcome], bool]) -> None:
    """In 18 of 20 draws at least; what is told covers most of the misses."""
    told = [found for seed in range(20) if (found := in_common(planted(seed, is_in)))]
    assert len(told) >= 18
    assert sum(found.missed >= 9 for found in told) >= 16


def test_misses_at_random_are_seldom_told() -> None:
    assert sum(in_common(at_random(seed)) is not None for seed in range(40)) <= 2


@pytest.mark.slow
def test_the_share_of_false_rules_on_the_questions_of_the_demo() -> None:
    false = sum(in_common(at_random(seed, misses=6 + seed % 20)) is not None for seed in range(2000))
    low, high = stats.binomtest(false, 2000).proportion_ci(method="exact")
    told = f"{false} of 2000 draws with misses at random tell a rule: {low:.2%} to {high:.2%}"
    assert low <= 0.02, told
    assert high < 0.03, told


def test_the_same_outcomes_give_the_same_rule_in_any_order() -> None:
    drawn = planted(5, has_percentage)
    assert in_common(drawn) == in_common(list(drawn))
    again = in_common(drawn[::-1])
    assert again is not None
    assert again.features == ("has=percentage",)


def test_cases_that_were_not_judged_are_no_misses() -> None:
    drawn = planted(3, has_percentage)
    unjudged = [replace(one, case_id=f"{one.case_id}/2", verdict=INVALID) for one in drawn if has_percentage(one)]
    assert in_common([*drawn, *unjudged]) == in_common(drawn)
    lost = [replace(one, verdict=INVALID) if one.verdict is FAIL else one for one in drawn]
    assert in_common(lost) is None


@pytest.mark.parametrize("drawn", [[], [0], list(range(5)), list(range(100))])
def test_nothing_is_told_of_few_misses_or_of_all(drawn: list[int]) -> None:
    assert in_common(missing(bank()[:100], set(drawn))) is None


def test_a_large_draw_is_searched_in_part_and_counted_whole() -> None:
    every = [
        replace(one, case_id=f"{one.case_id}/{copy}", verdict=FAIL if is_prevalence(one) else PASS)
        for copy in range(1 + MOST_CASES // len(bank()))
        for one in bank()
    ]
    assert len(every) > MOST_CASES
    found = in_common(every)
    assert found is not None
    assert (found.missed, found.missed_elsewhere) == (sum(map(is_prevalence, every)), 0)
    assert found.found.cases + found.tested.cases < found.cases


def test_the_length_of_the_answers_is_told_and_names_no_kind_of_row() -> None:
    drawn = missing(bank()[:100], set(range(0, 100, 6)))
    long = [replace(one, response="word " * (30 if one.verdict is FAIL else 2)) for one in drawn]
    found = in_common(long)
    assert found is not None
    assert "from the model" in found.sentence
    assert found.kind is None
