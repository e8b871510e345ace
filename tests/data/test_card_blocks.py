"""Data cards by blocks: the same card as with all rows in memory, whatever the blocks and the number of processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bank import write_jsonl
from tests.support.card_in_memory import card_in_memory
from tests.support.leak_helpers import GENES
from tunegate import processes
from tunegate.cases.bank import draw_order
from tunegate.data import survey
from tunegate.data.card import DataCard
from tunegate.data.faults import DataFaults
from tunegate.data.measure import Measuring, make_card
from tunegate.data.spec import DataSpec
from tunegate.data.survey import DIGEST
from tunegate.data.training_data import TrainingFile, load_training_data
from tunegate.exceptions import ConfigError

TEXTS = st.sampled_from(
    [
        *("yes", "no", " yes", "y  es", "two\nlines", "ann@mail.org", "Which gene causes it, and how is it inherited?"),
        *("x" * 199, "x" * 200, "Wie wird diese Krankheit vererbt, und welches Gen ist verantwortlich?", "é" * 70),
    ]
)
CHATS = st.tuples(st.sampled_from(("Be brief.", "Be kind.")), TEXTS).map(
    lambda said: [{"role": "system", "content": said[0]}, {"role": "user", "content": said[1]}]
)
TAGS = st.lists(st.sampled_from([f"tag{n}" for n in range(60)]), max_size=3)
ROWS = {
    "sft": st.fixed_dictionaries({"prompt": TEXTS | CHATS, "completion": TEXTS, "tags": TAGS}),
    "kto": st.fixed_dictionaries({"prompt": TEXTS, "completion": TEXTS, "label": st.booleans()}),
    "dpo": st.fixed_dictionaries({"prompt": TEXTS, "chosen": TEXTS.map("good {}".format), "rejected": TEXTS}),
    "cpt": st.fixed_dictionaries({"text": TEXTS, "tags": TAGS}),
    "rlhf": st.fixed_dictionaries({"prompt": TEXTS}, optional={"completion": TEXTS}),
}


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """A file with a blank line after every third row, so that numbers are not places."""
    lines = [json.dumps(row) + ("\n\n" if at % 3 == 2 else "\n") for at, row in enumerate(rows)]
    path = folder / "train.jsonl"
    path.write_text("".join(lines))
    return path


def same(one: DataCard, other: DataCard) -> bool:
    return json.dumps(one.to_json()) == json.dumps(other.to_json())


@given(st.data(), st.sampled_from(sorted(ROWS)), st.sampled_from((1, 7, 1000)), st.sampled_from((None, 3, 60)))
@settings(max_examples=80)
def test_blocks_measure_what_one_look_measures(
    tmp_path: Path, data: st.DataObject, method: str, block: int, max_length: int | None
) -> None:
    rows = data.draw(st.lists(ROWS[method], min_size=1, max_size=60))
    if method == "kto":
        rows += [{**rows[0], "label": label} for label in (True, False)]
    spec = DataSpec(path=str(write(tmp_path, rows)))
    held = load_training_data(spec, method, tmp_path)
    expected = card_in_memory(held, spec, method, max_length)
    measuring = Measuring(max_length=max_length)
    assert same(make_card(held, spec, method, measuring), expected)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "ITEMS_PER_BLOCK", block)
        assert same(make_card(TrainingFile(spec, method, tmp_path), spec, method, measuring), expected)


def test_the_gene_rows_have_the_same_card_from_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = DataSpec(path="train.jsonl", prompt="{context}\n\n{question}", completion="{answer}", tags=["task", "doc"])
    expected = card_in_memory(load_training_data(spec, "sft", GENES), spec, "sft", 100)
    assert expected.answers
    assert expected.different_tags > 40
    monkeypatch.setattr(processes, "ITEMS_PER_BLOCK", 50)
    file = TrainingFile(spec, "sft", GENES)
    assert same(make_card(file, spec, "sft", Measuring(max_length=100), processes=2), expected)


@given(st.sets(st.integers(1, 60)), st.sampled_from((1, 7, 60)))
def test_rows_are_drawn_as_they_go_by(numbers: set[int], most: int) -> None:
    drawn = survey.Draw[int](most)
    for number in sorted(numbers):
        drawn.add(number, number)
    whole = sorted(numbers) if len(numbers) <= most else list(map(int, draw_order(map(str, numbers), seed=0)))
    assert drawn.rows == whole[:most]


def test_all_faults_of_all_blocks_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ITEMS_PER_BLOCK", 2)
    spec = DataSpec(path=str(write(tmp_path, [{"prompt": "a", "completion": " " * (n % 2)} for n in range(5)])))
    with pytest.raises(DataFaults) as in_memory:
        load_training_data(spec, "sft", tmp_path)
    with pytest.raises(DataFaults) as by_blocks:
        make_card(TrainingFile(spec, "sft", tmp_path), spec, "sft", Measuring())
    assert str(by_blocks.value) == str(in_memory.value)
    assert (by_blocks.value.faults, by_blocks.value.fitting) == (in_memory.value.faults, in_memory.value.fitting)


def test_thumbs_of_one_kind_only_are_refused_by_blocks(tmp_path: Path) -> None:
    spec = DataSpec(path=str(write(tmp_path, [{"prompt": "a", "completion": "b", "label": True}] * 3)))
    with pytest.raises(ConfigError, match="the label is true in all 3 rows"):
        make_card(TrainingFile(spec, "kto", tmp_path), spec, "kto", Measuring())


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    """The answers that a card shows are read again."""
    path = write(tmp_path, [{"prompt": "a", "completion": "yes"}] * 2)
    spec = DataSpec(path=str(path))

    def change(*_: object) -> None:
        write_jsonl(path, [{"prompt": "a", "completion": "no"}])

    with pytest.raises(ConfigError, match=r"train\.jsonl: the rows changed while they were read"):
        make_card(TrainingFile(spec, "sft", tmp_path), spec, "sft", Measuring(progress=change))


def test_what_is_kept_of_a_row_does_not_grow_with_its_length(tmp_path: Path) -> None:
    def kept(words: int) -> int:
        rows = [{"prompt": f"{n} " * words, "completion": f"{n} yes " * words} for n in range(50)]
        spec = DataSpec(path=str(write(tmp_path, rows)))
        digests = survey.digests_of(load_training_data(spec, "sft", tmp_path).examples)
        return sum(map(len, (digests.rows, digests.answers, digests.wanted, digests.tags, digests.asked)))

    assert kept(5) == 50 * 5 * DIGEST
    assert kept(500) == 50 * 4 * DIGEST, "a long answer is never among the most common"
