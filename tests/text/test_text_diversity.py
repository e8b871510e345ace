"""Measures of diversity against their definitions: nltk's BLEU, counts by hand, closed forms."""

from __future__ import annotations

import gzip
import math
from statistics import fmean, variance

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunegate.stats.half_samples import random_halves, upper_limit
from tunegate.text.diversity import (
    distinct,
    incompressible,
    no_template,
    not_repeated,
    unlike_others,
    vendi,
)

WORDS = st.lists(st.sampled_from(["the", "a", "gene", "is", "of", "and", "in", "two"]), min_size=1, max_size=9)
LONG = "The gene BRCA1 is on the long arm of chromosome 17 in people"


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, min_size=2, max_size=8), st.data())
def test_self_bleu_is_that_of_nltk(texts: list[list[str]], data: st.DataObject) -> None:
    bleu = pytest.importorskip("nltk.translate.bleu_score")
    chosen = data.draw(st.lists(st.sampled_from(range(len(texts))), min_size=2, unique=True))
    smooth = bleu.SmoothingFunction().method1
    scores = [
        bleu.sentence_bleu(
            [texts[other] for other in chosen if other != at],
            texts[at],
            smoothing_function=smooth,
            auto_reweigh=True,
        )
        for at in chosen
    ]
    assert unlike_others(texts)(chosen) == pytest.approx(1 - fmean(scores), abs=1e-9)


def test_equal_texts_have_no_diversity_by_self_bleu() -> None:
    assert unlike_others([LONG.split()] * 3)([0, 1, 2]) == pytest.approx(0)


@given(st.lists(WORDS, min_size=1, max_size=8), st.sampled_from((1, 2)))
def test_distinct_is_the_share_of_different_runs(texts: list[list[str]], n: int) -> None:
    runs = [tuple(words[at : at + n]) for words in texts for at in range(len(words) - n + 1)]
    expected = len(set(runs)) / len(runs) if runs else 0.0
    assert distinct(texts, n)(range(len(texts))) == pytest.approx(expected)


def test_a_subset_is_measured_alone() -> None:
    texts = [["a", "b"], ["a", "b"], ["c", "d"]]
    assert distinct(texts, 1)([0, 1]) == 0.5
    assert distinct(texts, 1)([0, 2]) == 1.0
    assert not_repeated(["yes", "yes", "no"])([1, 2]) == 1.0


def test_gzip_is_a_share_of_the_size() -> None:
    whole = b"\n".join([LONG.encode()] * 20)
    assert incompressible([LONG.split()] * 20)(range(20)) == len(gzip.compress(whole, mtime=0)) / len(whole) < 0.15


@pytest.mark.parametrize(
    ("texts", "share"),
    [
        (["yes", "Yes.", "no"], 2 / 3),
        (["autosomal dominant", "autosomal recessive"], 1.0),  # short texts must be the same
        ([LONG, f"{LONG} too", "Nothing that is like any of the other texts in here"], 2 / 3),
        (["", "", ""], 1 / 3),
    ],
)
def test_near_duplicates(texts: list[str], share: float) -> None:
    assert not_repeated(texts)(range(len(texts))) == pytest.approx(share)


SENTENCES = st.lists(st.sampled_from("abc"), min_size=6, max_size=16).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(SENTENCES, min_size=1, max_size=8), st.data())
def test_near_duplicates_are_those_of_the_definition(texts: list[str], data: st.DataObject) -> None:
    """Every pair compared by hand: the same form, or 70 % of the three-word runs, from eight words on."""
    words = [text.split() for text in texts]
    edited = data.draw(st.lists(st.sampled_from(range(len(words))), max_size=4))
    words += [[*words[at][:5], "x", *words[at][6:]] for at in edited]
    texts = [" ".join(one) for one in words]
    runs = [{tuple(one[at : at + 3]) for at in range(len(one) - 2)} for one in words]

    def alike(a: int, b: int) -> bool:
        long = min(len(words[a]), len(words[b])) >= 8
        return words[a] == words[b] or (long and len(runs[a] & runs[b]) >= 0.7 * len(runs[a] | runs[b]))

    chosen = data.draw(st.lists(st.sampled_from(range(len(texts))), min_size=1, unique=True))
    new = [at for at in chosen if not any(alike(at, earlier) for earlier in chosen if earlier < at)]
    assert not_repeated(texts)(chosen) == len(new) / len(chosen)


def test_a_template_is_a_common_beginning_or_end() -> None:
    texts = ["The answer is A.", "The answer is B, I do think.", "It must be C, I do think.", "Nobody knows what D is."]
    assert no_template(texts)(range(4)) == 0.25  # only the last shares neither
    assert no_template(texts)([0, 3]) == 1.0


def test_the_vendi_score_counts_the_different_texts() -> None:
    """Friedman and Dieng 2023: n for n texts without similarity, 1 for equal ones, k for k equally frequent ones."""
    pytest.importorskip("numpy")
    axes = [[float(one == at) for one in range(4)] for at in range(4)]
    assert vendi(axes)(range(4)) == pytest.approx(4)
    assert vendi([axes[0]] * 4)(range(4)) == pytest.approx(1)
    assert vendi([axes[0], axes[0], axes[1], axes[1]])(range(4)) == pytest.approx(2)
    p, q = (1 + 0.6) / 2, (1 - 0.6) / 2  # the eigenvalues of two texts with cosine 0.6
    expected = math.exp(-p * math.log(p) - q * math.log(q))
    assert vendi([[1.0, 0.0], [0.6, 0.8]])([0, 1]) == pytest.approx(expected)


# --- the sampling error --------------------------------------------------------------------------------------------


def test_halves_have_the_variance_of_the_mean() -> None:
    values = [float(n * n % 17) for n in range(40)]
    means = [fmean(values[at] for at in half) for half in random_halves([[at] for at in range(40)], 4000)]
    assert variance(means) == pytest.approx(variance(values) / 40, rel=0.08)


def test_a_half_holds_no_case_twice_and_whole_groups() -> None:
    for half in random_halves([[0, 1], [2, 3], [4], [5]], 50):
        assert len(set(half)) == len(half)
        assert (0 in half) == (1 in half)
        assert (2 in half) == (3 in half)
    assert list(random_halves([[0], [1], [2], [3]], 5)) == list(random_halves([[0], [1], [2], [3]], 5))


def test_the_upper_limit_is_a_rank() -> None:
    values = [n / 100 for n in range(99)]
    assert upper_limit(values, 0.05) == 0.94
    assert upper_limit(values, 0.001) == 0.98
