"""The nearest training rows: against scikit-learn's tf-idf, and whether missed cases are far from all of them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tunegate.data.nearest import Farther, Near, NearestRows, farther

ROWS = (
    "What is the inheritance pattern of Fabry disease?",
    "Mutations in which gene cause Fabry disease?",
    "What is the inheritance pattern of Leigh syndrome?",
    "How common is cystinosis?",
)
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")


def test_the_nearest_rows_come_first_and_a_stranger_has_none() -> None:
    rows = NearestRows(ROWS)
    assert rows.of("Which gene causes Fabry disease?")[0].row == 1
    assert rows.of(ROWS[2]) == [Near(2, pytest.approx(1.0)), *rows.of(ROWS[2])[1:]]
    assert rows.of("HOW common is  cystinosis")[0] == Near(3, pytest.approx(1.0))
    assert rows.of("Bonjour tout le monde") == []
    assert NearestRows([]).of("anything") == []


@given(st.lists(st.text("abc ", min_size=1, max_size=20), min_size=1, max_size=12), st.text("abc ", max_size=20))
def test_similarities_are_cosines(texts: list[str], query: str) -> None:
    found = NearestRows(texts).of(query, most=20)
    assert all(0 < near.similarity <= 1 for near in found)
    assert [near.similarity for near in found] == sorted((near.similarity for near in found), reverse=True)
    known = {word for text in texts for word in text.split()}
    assert bool(found) == bool(known & set(query.split()))


def test_the_order_is_that_of_scikit_learn() -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    rng = random.Random(3)
    texts = [" ".join(rng.choices(WORDS, k=6)) for _ in range(60)]
    vectors = text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    rows = vectors.fit_transform(texts[:50])
    ours = NearestRows(texts[:50])
    for query in texts[50:]:
        theirs = (rows @ vectors.transform([query]).T).toarray().ravel()
        # scikit-learn leaves unknown pairs out of a query's length: all similarities differ by one factor
        near = ours.of(query, most=50)
        factors = {round(theirs[one.row] / one.similarity, 6) for one in near}
        assert len(factors) == 1


@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=1, max_size=12),
    st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=1, max_size=12),
)
def test_farther_is_moods_median_test(missed: list[float], passed: list[float]) -> None:
    found = farther(missed, passed)
    assert found is not None
    table = [[found.missed_far, len(missed) - found.missed_far], [found.passed_far, len(passed) - found.passed_far]]
    assert found.p_value == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue)


def test_missed_cases_without_a_row_like_them_are_told() -> None:
    found = farther([0.0] * 8, [0.5] * 92)
    assert found == Farther(8, 8, 0, 92, found.p_value if found else None)
    assert found.p_value < 0.001
    same = farther([0.5] * 8, [0.5] * 92)
    assert same == Farther(0, 8, 0, 92, 1.0)
    assert farther([], [0.5]) is None
    assert farther([0.5], []) is None
