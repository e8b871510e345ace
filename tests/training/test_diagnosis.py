"""Diagnosis: each cause on a case constructed to show it, its evidence in words, and an action within the ladders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.checks.outcome import ErrorSpan, Finding, Outcome, Verdict
from tunegate.data.conflicts import Words, conflicts, in_conflict, nearly_the_same
from tunegate.data.kinds import by_luck, weak_kinds
from tunegate.data.training_data import Example
from tunegate.pipeline.ladders import Settings, first_settings
from tunegate.pipeline.retrain_spec import RetrainSpec
from tunegate.record.record import Diagnosis
from tunegate.training.diagnosis import Evidence, diagnose

PASS, FAIL = Verdict.PASS, Verdict.FAIL
SPEC = RetrainSpec(
    rows=[10, 20],
    epochs=[1.0, 2.0],
    learning_rate=[1e-3, 3e-4, 3e-3],
    max_length=[64, 128],
    repair=[0.0, 0.2],
    replay=[0.0, 0.2],
    replay_data="general.jsonl",  # type: ignore[arg-type]
    conflicts=["keep", "drop"],
)


def case(
    n: int, verdict: Verdict, response: str = "?", reference: str = "right", finish: str = "stop", *shown: str
) -> Outcome:
    errors = tuple(ErrorSpan(category) for category in shown)
    return Outcome(
        str(n), verdict, "", (Finding("c", verdict, errors=errors),), f"{n}?", response, (reference,), (), None, finish
    )


def gate(misses: Sequence[Outcome], passed: int = 70) -> Evidence:
    """A gate that missed these, and a model that knows its training data as well as it does the gate."""
    good = [case(1000 + n, PASS, "right") for n in range(passed)]
    return Evidence([*good, *misses], 0.9, train_passed=22, train_asked=32)


def misses(n: int, response: str = "?", reference: str = "right", finish: str = "stop", *shown: str) -> list[Outcome]:
    return [case(at, FAIL, response, reference, finish, *shown) for at in range(n)]


def rows(*answers: str, prompt: str = "What is the inheritance of condition {n}?") -> list[Example]:
    return [Example(n, prompt.format(n=n), {"completion": answer}) for n, answer in enumerate(answers, start=1)]


def found(evidence: Evidence, spec: RetrainSpec = SPEC) -> Diagnosis:
    return diagnose(evidence, first_settings(spec), spec)


LOSSES = [3.0, 2.5, 2.0, 1.5, 1.0, 0.8, 0.7, 0.6]


@pytest.mark.parametrize(
    ("evidence", "cause", "says", "changes"),
    [
        (
            Evidence((), 1.0, training_error="diverged at step 7: loss is nan", training_failure="diverged"),
            "diverged",
            "diverged at step 7: loss is nan",
            {"learning_rate": (1e-3, 3e-4)},
        ),
        (
            Evidence((), 1.0, training_error="out of memory: 12 GiB", training_failure="out of memory"),
            "out of memory",
            "out of memory: 12 GiB",
            {},
        ),
        (
            Evidence((), 1.0, forgotten=["general (retention): 12 lost, 1 won"]),
            "forgetting",
            "general (retention): 12 lost, 1 won",
            {"replay": (0.0, 0.2)},
        ),
        (
            replace(gate(misses(30)), losses=[2.0, 1.0, 0.5, 0.4, 3.0, 4.0, 5.0, 6.0]),
            "learning rate too high",
            "the loss rose from 0.4 at logged step 4 to 5.5 over the last quarter",
            {"learning_rate": (1e-3, 3e-4)},
        ),
        (
            replace(gate(misses(30)), losses=[3.0, 2.99, 3.0, 2.98, 2.99, 2.97, 2.98, 2.97]),
            "learning rate too low",
            "the loss hardly moved: 3 over the first quarter of the steps, 2.98 over the last",
            {"learning_rate": (1e-3, 3e-3)},
        ),
        (
            replace(gate(misses(30, "right and on and on", "right", "length"), passed=0), train_cut=32),
            "never stops",
            "30 of the 30 misses contain the right answer and go on",
            {"max_length": (64, 128)},
        ),
        (
            replace(gate(misses(2, "right and on", "right", "length"), passed=0), train_asked=8, train_cut=8),
            "never stops",
            "never stops: all 10 answers end at the token limit, in the gate and in training",
            {"max_length": (64, 128)},
        ),
        (
            replace(gate(misses(30, "a long answer that", "short", "length"), passed=0), train_cut=31),
            "truncation",  # one answer ended: the model knows how
            "truncation: 30 of 30 misses end at the token limit",
            {"max_length": (64, 128)},
        ),
        (
            replace(gate(misses(30, "a long answer that", "short", "length")), rows_dropped=4),
            "truncation",
            "truncation: 30 of 30 misses end at the token limit",
            {"max_length": (64, 128)},
        ),
        (
            gate(misses(30, "a long", "a long answer that does not fit", "length")),
            "truncation",
            "30 of them are shorter than the shortest right answer",
            {},
        ),
        (
            gate(misses(30, "so and so and so", "right", "length", "repetition")),
            "repetition",
            "repetition: 30 of 30 misses loop",
            {"learning_rate": (1e-3, 3e-4)},
        ),
        (
            gate(misses(30, "The answer is right ", "right")),
            "format",
            "format: 30 of 30 misses contain the right answer among other words",
            {"epochs": (1.0, 2.0)},
        ),
        (
            gate(misses(30, "", "right", "stop", "empty")),
            "format",
            "30 are empty, repeat the prompt, or do not have the requested form",
            {"epochs": (1.0, 2.0)},
        ),
        (
            gate(misses(30, "wordy " * 10, "right", "stop", "too_long")),
            "length",
            "length: 30 of 30 misses are too long, 60 characters; the shortest right answers have 5",
            {"rows": (10, 20)},
        ),
        (
            replace(
                gate(misses(30)),
                trained=rows(*["yes", "no"] * 10, prompt="Is this condition ever inherited from a parent?"),
            ),
            "label noise",
            "label noise: 20 of 20 training rows answer nearly the same question differently",
            {"conflicts": ("keep", "drop")},
        ),
        (gate(misses(30)), "underfit", "training data: 22 of 32 answered correctly", {"rows": (10, 20)}),
        (replace(gate(misses(30)), train_passed=31), "overfit", "gate: 70 of 100, 90% needed", {"rows": (10, 20)}),
        (
            replace(gate(misses(12), 88), train_passed=30),
            "near miss",
            "gate: 88 of 100, 90% needed",
            {"rows": (10, 20)},
        ),
    ],
)
def test_each_cause_on_a_case_that_shows_it(
    evidence: Evidence, cause: str, says: str, changes: dict[str, object]
) -> None:
    diagnosis = found(evidence)
    assert diagnosis.cause == cause
    assert any(says in line for line in diagnosis.evidence), diagnosis.evidence
    assert diagnosis.changes == changes
    assert diagnosis.action


def imbalanced(rare_rows: int) -> Evidence:
    """Misses gather among `not inherited`, of which there are few rows."""
    good = [case(n, PASS, "dominant", "dominant") for n in range(80)]
    bad = [case(100 + n, FAIL, "dominant", "not inherited") for n in range(8)]
    luck = [case(200 + n, FAIL, "recessive", "dominant") for n in range(4)]
    trained = rows(*["dominant"] * 40, *["not inherited"] * rare_rows)
    pool = rows(*["dominant"] * 400, *["not inherited"] * 40)
    return Evidence([*good, *bad, *luck], 0.9, 30, 32, trained=trained, all_rows=pool)


def test_class_imbalance_names_the_class_repairs_it_and_asks_for_more() -> None:
    diagnosis = found(imbalanced(2))
    assert diagnosis.cause == "class imbalance"
    assert "answer=not inherited: 8 of 8 missed; 2 of 42 training rows are of this kind" in diagnosis.evidence
    assert diagnosis.changes == {"repair": (0.0, 0.2), "kinds": ((), ("answer=not inherited",))}
    assert diagnosis.action.endswith("repair 0.0 -> 0.2; collect more rows of answer=not inherited")


def test_a_class_that_is_missed_though_it_is_common_is_weak_not_rare() -> None:
    diagnosis = found(imbalanced(40))
    assert diagnosis.cause == "weak kinds"
    assert "collect more" not in diagnosis.action
    assert "kinds" in diagnosis.changes


def test_without_a_repair_ladder_the_next_best_is_more_rows() -> None:
    diagnosis = found(imbalanced(2), RetrainSpec(rows=[10, 20]))
    assert diagnosis.changes == {"rows": (10, 20)}
    assert "collect more rows of answer=not inherited" in diagnosis.action


def test_a_diagnosis_says_nothing_of_the_missed_cases_texts() -> None:
    evidence = imbalanced(2)
    secret = [replace(one, prompt="SECRET prompt", response="SECRET answer") for one in evidence.missed_gate]
    told = found(replace(evidence, missed_gate=secret))
    assert "SECRET" not in f"{told}"


def test_luck_alone_is_no_weak_kind() -> None:
    """Thirty misses spread over ten tags as chance has it: none of the tags is to blame."""
    outcomes = [replace(case(n, FAIL if n % 10 < 3 else PASS), tags=(f"topic={n // 10}",)) for n in range(100)]
    assert weak_kinds(outcomes, [], []) == []


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 30), st.integers(0, 30))
def test_by_luck_is_the_hypergeometric_tail(missed: int, more: int, others: int, rest: int) -> None:
    from scipy.stats import hypergeom

    asked, misses_ = missed + more, missed + others
    judged = asked + others + rest
    assert by_luck(missed, asked, misses_, judged) == pytest.approx(hypergeom.sf(missed - 1, judged, misses_, asked))


# --- disagreement among near-duplicates ---------------------------------------------------------------------------


def test_nearly_the_same_question_with_two_answers_is_a_conflict() -> None:
    text = "This condition is passed down in families. It affects the heart. Is {0} inherited?"
    examples = [
        Example(1, text.format("it"), {"completion": "yes"}),
        Example(2, text.format("it").upper(), {"completion": "No."}),
        Example(3, text.format("this"), {"completion": "yes"}),
        Example(4, "Which gene causes it, and where does that gene lie?", {"completion": "BRCA1"}),
    ]
    assert [one.in_words for one in conflicts(examples)] == [
        "rows 1 and 2: 'yes' and 'No.'",
        "rows 2 and 3: 'No.' and 'yes'",
    ]
    assert in_conflict(examples) == {1, 2, 3}


def test_a_difference_that_explains_the_answer_is_a_contrast_not_a_conflict() -> None:
    text = "This condition is inherited in an autosomal {0} pattern, as others are. How is it inherited?"
    examples = [
        Example(1, text.format("dominant"), {"completion": "autosomal dominant"}),
        Example(2, text.format("recessive"), {"completion": "autosomal recessive"}),
    ]
    assert conflicts(examples) == []


def test_a_row_given_twice_and_rows_to_unlearn_are_no_conflict() -> None:
    one = Example(1, "Is this condition inherited at all?", {"completion": "yes"})
    bad = Example(2, "Is this condition inherited at all?", {"completion": "no"}, label=False)
    assert conflicts([one, one, bad]) == []


class Counting:
    """Compares prompts, and counts how often."""

    def __init__(self) -> None:
        self.compared = 0

    def __call__(self, one: Words, other: Words) -> bool:
        self.compared += 1
        return nearly_the_same(one, other)


TEMPLATE = (
    "In this long template of a question nearly all words are the same in every row, but for the number {}: is it?"
)


@pytest.mark.parametrize("rows", [1000, pytest.param(8000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("prompt", "answer", "most"),
    [
        ("Is this condition inherited at all?", lambda n: "no" if n == 7 else "yes", 0),
        ("Is this condition inherited at all?", lambda n: f"answer {n}", 0),
        (TEMPLATE, lambda n: "no" if n == 7 else "yes", 100),
    ],
    ids=["one prompt", "one prompt with as many answers as rows", "one template"],
)
def test_many_rows_alike_are_found_without_comparing_all_pairs(
    rows: int, prompt: str, answer: Callable[[int], str], most: int
) -> None:
    examples = [Example(n, prompt.format(n), {"completion": answer(n)}) for n in range(1, rows + 1)]
    near = Counting()
    found = in_conflict(examples, near)
    assert near.compared <= most * rows
    assert 7 in found
    assert len(found) == rows or prompt == TEMPLATE
    near = Counting()
    named = conflicts(examples, near)
    assert near.compared <= most * rows
    assert 0 < len(named) <= 1000


def test_the_like_are_found_among_thousands_of_one_template() -> None:
    """Those that share more than the template are compared first."""
    examples = [Example(n, TEMPLATE.format(f"{n} {n}a {n}b {n}c"), {"completion": f"{n}"}) for n in range(3000)]
    twin = Example(5000, TEMPLATE.format("40 40a 40b 40c please"), {"completion": "other"})
    assert (40, 5000) in {(one.first, one.second) for one in conflicts([*examples, twin])}


words = st.lists(st.sampled_from("abcdefghijkl"), min_size=4, max_size=9)


@given(st.lists(st.tuples(words, st.sampled_from(["yes", "no"])), max_size=12))
def test_no_pair_is_passed_over(texts: list[tuple[list[str], str]]) -> None:
    examples = [Example(n, " ".join(text), {"completion": answer}) for n, (text, answer) in enumerate(texts)]
    sets = [frozenset(text) for text, _ in texts]
    expected = {
        (a, b)
        for a in range(len(texts))
        for b in range(a + 1, len(texts))
        if min(len(sets[a]), len(sets[b])) >= 4
        and len(sets[a] & sets[b]) >= 0.85 * len(sets[a] | sets[b])
        and texts[a][1] != texts[b][1]
    }
    assert {(one.first, one.second) for one in conflicts(examples)} == expected
    assert in_conflict(examples) == {number for pair in expected for number in pair}


# --- within the declared space ---------------------------------------------------------------------------------------


@given(
    cause=st.sampled_from([imbalanced(2), gate(misses(30, "x", "right", "length")), gate(misses(30))]),
    repair=st.integers(0, 1),
    rate=st.integers(0, 2),
)
def test_no_action_leaves_the_declared_ladders(cause: Evidence, repair: int, rate: int) -> None:
    settings = replace(
        first_settings(SPEC), repair=SPEC.ladder("repair")[repair], learning_rate=[1e-3, 3e-4, 3e-3][rate]
    )
    for name, (old, new) in diagnose(cause, settings, SPEC).changes.items():
        assert old == getattr(settings, name)
        assert name == "kinds" or new in SPEC.ladder(name)


def test_nothing_declared_is_nothing_changed() -> None:
    assert diagnose(imbalanced(2), Settings(), RetrainSpec()).changes == {}
