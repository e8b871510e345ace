"""Leaks inside plain text for continued pre-training: long documents, and texts that a gate only scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.leak_helpers import suite
from tests.support.places import ROOT
from tunegate.cases.case import Case
from tunegate.data.spec import DataSpec
from tunegate.data.training_data import load_training_data
from tunegate.leaks.leakage import find_leaks, without
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

DATA = ROOT / "suites/tunegate_suites/data"
CONTEXT = "Mutations in the FGD1 gene cause some cases of this syndrome, because the protein no longer turns on Cdc42."


def filler(words: int) -> str:
    return "\n".join(f"Sentence {n} of a page about condition {n * n} is like no other." for n in range(words // 12))


@pytest.mark.parametrize(
    "case",
    [
        Case("c", f"{CONTEXT}\n\nWhich gene causes it?", ("FGD1",), CONTEXT),
        Case("c", "", choices=(CONTEXT,)),  # a text that `perplexity` scores
    ],
    ids=["context", "scored text"],
)
def test_a_case_inside_a_long_document_is_found_and_its_document_dropped(tmp_path: Path, case: Case) -> None:
    middle = f"{filler(60_000)} {CONTEXT.upper()} {filler(60_000)}"
    (tmp_path / "raw.txt").write_text(f"First\n{filler(500)}\n\nSecond\n{middle}\n\nThird\nNothing of that.\n")
    data = load_training_data(DataSpec(path="raw.txt"), "cpt", tmp_path)
    [leak] = find_leaks("cpt", data, [suite(case)])
    assert (leak.case_id, leak.train_row, leak.similarity) == ("c", data.examples[1].number, 1.0)
    assert [example.answers["text"].split()[0] for example in without(data, [leak]).examples] == ["First", "Third"]


def test_the_choices_of_a_question_are_no_text_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "raw.txt").write_text(f"{filler(500)} {CONTEXT}\n")
    data = load_training_data(DataSpec(path="raw.txt"), "cpt", tmp_path)
    assert not find_leaks("cpt", data, [suite(Case("c", "Which is right?", ("A",), choices=(CONTEXT, "Nothing.")))])


def test_the_shipped_corpus_gives_no_case_of_the_shipped_suites_away(tmp_path: Path) -> None:
    (tmp_path / "facts.yaml").write_text(
        f"cases: {{path: {DATA}/gene_expert/bank.jsonl, prompt: '{{context}} {{question}}', context: '{{context}}'}}\n"
        "checks: [contains: x]\n"
    )
    (tmp_path / "texts.yaml").write_text(
        f"cases: {{path: {DATA}/gene_corpus/heldout.jsonl, prompt: '', choices: '{{text}}'}}\nchecks: [perplexity: 2]\n"
    )
    suites = [load_suite(tmp_path / name, build_check) for name in ("facts.yaml", "texts.yaml")]
    data = load_training_data(DataSpec(path=str(DATA / "gene_corpus/corpus.txt")), "cpt", tmp_path)
    assert len(data.examples) == 96
    assert find_leaks("cpt", data, suites) == []
