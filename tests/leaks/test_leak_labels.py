"""Leakage against the labels of real data: the figures that README states."""

from __future__ import annotations

import pytest

from tests.bench.leak_labels import agreement, genes, is_fitted_on, support
from tunegate.text.normal_form import normalised


@pytest.mark.parametrize("render", [True, False])
@pytest.mark.parametrize("held_out", [True, False])
def test_gene_tests_that_nearly_repeat_training_paragraphs_are_found(render: bool, held_out: bool) -> None:
    leaks, tests = genes(render)
    half = [row for row in tests if is_fitted_on(row) != held_out]
    found = agreement(leaks, half, "near_dup_of_train")
    assert found.labelled > 40
    assert found.precision >= 0.95
    assert found.recall >= 0.95


def test_requests_that_repeat_training_requests_are_found() -> None:
    leaks, tests = support()
    found = agreement(leaks, tests, "duplicate_of_train")
    assert (found.both, found.labelled) == (25, 25)


def test_what_the_label_of_the_requests_does_not_count_is_nearly_the_same_text_all_the_same() -> None:
    """The label is equality but for case: a question mark or a second blank makes a different request of it."""
    leaks, tests = support()
    labelled = {row["id"] for row in tests if row["duplicate_of_train"]}
    for leak in leaks:
        if leak.case_id not in labelled and leak.kind == "exact":
            assert normalised(leak.train_text) == normalised(leak.case_text)
    assert len({leak.case_id for leak in leaks} - labelled) <= 15
