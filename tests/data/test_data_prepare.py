"""Preparing training data: every row is trained on or named, repeats go, groups stay together, none of it by luck."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.bank import write_jsonl
from tests.support.leak_helpers import GENES
from tests.support.tiny_model import make_tiny_model
from tunegate.data.faults import DataFaults, ranges
from tunegate.data.near_duplicates import exact_repeats, near_repeats
from tunegate.data.prepare import PrepareTools, load_prepared
from tunegate.data.spec import DataSpec, PrepareSpec, SplitSpec
from tunegate.data.split import group_of, split_by_group
from tunegate.data.token_lengths import ModelTokens
from tunegate.data.training_data import Example, TrainingData, load_training_data
from tunegate.exceptions import ConfigError

GENE_ROWS = DataSpec(path="train.jsonl", prompt="{context}\n\n{question}", completion="{answer}", tags=["task"])


def prepared(rows: Sequence[dict[str, Any]], folder: Path, method: str = "sft", **prepare: Any) -> TrainingData:
    write_jsonl(folder / "rows.jsonl", rows)
    tools = prepare.pop("tools", None)
    spec = DataSpec(path="rows.jsonl", prepare=PrepareSpec(**prepare) if prepare else None)
    return load_prepared(spec, method, folder, tools)


def pairs(*rows: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"prompt": prompt, "completion": completion} for prompt, completion in rows]


def left_out(data: TrainingData) -> dict[str, tuple[int, ...]]:
    return {left.why: left.rows for left in data.left_out}


def example(number: int, prompt: str, answer: str = "yes", **more: Any) -> Example:
    return Example(number, prompt, {"completion": answer}, **more)


# --- rows in = rows trained + rows named ---------------------------------------------------------------------------

WORDS = st.sampled_from(["ann@mail.org", "the gene is on a chromosome", "BRCA1", "call +44 20 7946 0958", "", "a b c"])
ROWS = st.lists(st.tuples(WORDS, WORDS, st.sampled_from(["x", "y", "z"])), min_size=1, max_size=30)


@settings(max_examples=60)
@given(
    ROWS, st.sampled_from(["keep", "exact", "near"]), st.sampled_from(["keep", "mask"]), st.booleans(), st.booleans()
)
def test_every_row_is_trained_on_or_named_once(
    tmp_path: Path, rows: list[tuple[str, str, str]], duplicates: str, pii: str, split: bool, long: bool
) -> None:
    write_jsonl(tmp_path / "r.jsonl", [{"prompt": f"{a} {b}", "completion": f"{b}.", "doc": doc} for a, b, doc in rows])
    shares = SplitSpec(train=0.6, validation=0.2, test=0.2, by="{doc}") if split else None
    more: dict[str, Any] = {"duplicates": duplicates, "pii": pii, "split": shares, "max_tokens": 30 if long else None}
    spec = DataSpec(path="r.jsonl", prepare=PrepareSpec(**more))
    try:
        data = load_prepared(spec, "sft", tmp_path, PrepareTools(_Characters()))
    except ConfigError as error:
        reject = "left out every row" in str(error)
        assume(not reject)
        raise
    named = [row for left in data.left_out for row in left.rows]
    trained = [one.number for one in data.examples]
    assert sorted(named + trained) == list(range(1, len(rows) + 1))
    assert data.rows_in == len(rows)
    held_out = {one.number for part in data.held_out.values() for one in part}
    assert held_out == {row for left in data.left_out if left.why.startswith("part: ") for row in left.rows}
    again = load_prepared(spec, "sft", tmp_path, PrepareTools(_Characters()))
    assert again == data, "the same rows and settings, the same data"


class _Characters:
    exact, how = True, "characters"

    def __call__(self, examples: Sequence[Example], progress: object = None) -> list[int]:
        return [len(one.to_json()) - 30 for one in examples]


def test_without_prepare_nothing_changes(tmp_path: Path) -> None:
    rows = pairs(("a", "1"), ("a", "1"), ("ann@mail.org", "2"))
    data = prepared(rows, tmp_path)
    assert data == load_training_data(DataSpec(path="rows.jsonl"), "sft", tmp_path)
    assert (len(data.examples), data.left_out, data.masked) == (3, (), {})
    kept = prepared(rows, tmp_path, duplicates="keep", pii="keep")
    assert kept.sha256 == data.sha256
    assert prepared(rows, tmp_path, duplicates="exact").sha256 != data.sha256


# --- repeats -------------------------------------------------------------------------------------------------------


def test_exact_repeats_name_the_row_that_they_repeat(tmp_path: Path) -> None:
    data = prepared(
        pairs(("a", "1"), ("b", "1"), ("a", "1"), ("A", "1"), ("a", "2"), ("a", "1")), tmp_path, duplicates="exact"
    )
    (left,) = data.left_out
    assert (left.rows, left.like) == ((3, 6), (1, 1))
    assert [one.number for one in data.examples] == [1, 2, 4, 5]


def test_an_edited_row_nearly_repeats_the_first_and_a_contradiction_does_not(tmp_path: Path) -> None:
    text = " ".join(f"word{n}" for n in range(60))
    edited, contrary = text.replace("word30", "changed"), text.replace("word31", "changed")
    rows = pairs((text, "yes"), (edited, "yes"), (contrary, "no"), ("quite another thing is said here", "yes"))
    assert left_out(prepared(rows, tmp_path, duplicates="near")) == {"nearly repeats a row": (2,)}
    shouted = pairs((text, "yes"), (text.upper() + "!", "Yes."))
    assert left_out(prepared(shouted, tmp_path, duplicates="near")) == {"nearly repeats a row": (2,)}


def test_both_thumbs_on_one_answer_are_no_repeat() -> None:
    thumbs = [example(1, "a b c d", label=True), example(2, "a b c d", label=False), example(3, "a b c d", label=True)]
    assert exact_repeats(thumbs) == {3: 1}
    assert near_repeats(thumbs) == {3: 1}


def test_rows_of_one_template_stay_and_their_edited_copies_go() -> None:
    """300 rows of the gene data, whose paragraphs on inheritance are much alike, and 100 copies edited at random."""
    rows = load_training_data(GENE_ROWS, "sft", GENES).examples[:300]
    own = near_repeats(rows)
    assert len(own) <= 8, "paragraphs that differ in a name, with the same answer: 13 of all 1,080"
    assert all(rows[row - 1].answers == rows[like - 1].answers for row, like in own.items())
    rng = random.Random(1)
    copies: list[Example] = []
    for number, row in enumerate(rng.sample(rows, 100), start=2000):
        words = str(row.prompt).split()
        for at in rng.sample(range(len(words)), max(1, len(words) // 60)):
            words[at] = "edited"
        copies.append(Example(number, " ".join(words), row.answers))
    found = near_repeats([*rows, *copies])
    assert len(found.keys() - own.keys()) >= 75, "of 100; an edit breaks three of the 40 runs of a row"
    assert all(number >= 2000 for number in found.keys() - own.keys())
    assert found == near_repeats([*rows, *copies])


# --- parts ---------------------------------------------------------------------------------------------------------

GROUPS = st.lists(st.integers(0, 12), min_size=1, max_size=80)


@given(GROUPS, st.integers(0, 5), st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5, 0.0), (1.0, 0.0, 0.0), (0.1, 0.0, 0.9)]))
def test_no_group_is_in_two_parts_and_no_row_in_none(groups: list[int], seed: int, shares: tuple[float, ...]) -> None:
    rows = [example(n, f"p{n}", group=str(group)) for n, group in enumerate(groups)]
    wanted = dict(zip(("train", "validation", "test"), shares, strict=True))
    parts = split_by_group(rows, wanted, seed)
    of = {part: {one.group for one in own} for part, own in parts.items()}
    assert sum(map(len, of.values())) == len(set(groups))
    assert sorted(one.number for own in parts.values() for one in own) == list(range(len(rows)))
    assert all(not parts[part] for part, share in wanted.items() if share == 0)
    largest = max(groups.count(group) for group in groups)
    for part, share in wanted.items():
        assert abs(len(parts[part]) - share * len(rows)) <= largest
    assert parts == split_by_group(rows, wanted, seed)


def test_the_seed_decides_and_rows_of_one_prompt_stay_together() -> None:
    rows = [example(n, f"prompt {n // 2}", str(n)) for n in range(200)]
    shares = {"train": 0.8, "validation": 0.1, "test": 0.1}
    first, second = (split_by_group(rows, shares, seed) for seed in (1, 2))
    assert first != second
    assert [len(own) for own in first.values()] == [160, 20, 20]
    assert all(len(set(map(group_of, own))) == len(own) / 2 for own in first.values())


def test_a_split_of_the_gene_data_keeps_conditions_apart() -> None:
    spec = GENE_ROWS.model_copy(update={"prepare": PrepareSpec(split=SplitSpec(by="{doc}"))})
    data = load_prepared(spec, "sft", GENES)
    parts = [data.examples, *data.held_out.values()]
    assert [len(part) for part in parts] == [863, 109, 108]
    documents = [{one.group for one in part} for part in parts]
    assert not documents[0] & documents[1] | documents[0] & documents[2] | documents[1] & documents[2]


# --- personal data -------------------------------------------------------------------------------------------------


def test_personal_data_are_masked_in_prompts_chats_and_answers(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "I am ann@mail.org"}, {"role": "user", "content": "who? +44 20 7946 0958"}]
    rows: list[dict[str, Any]] = [{"messages": chat, "completion": "4111 1111 1111 1111"}, *pairs(("BRCA1", "x"))]
    data = prepared(rows, tmp_path, pii="mask")
    assert data.masked == {"email": 1, "phone": 1, "card": 1}
    assert json.loads(data.examples[0].to_json()) == {
        "prompt": [{"role": "system", "content": "I am [EMAIL]"}, {"role": "user", "content": "who? [PHONE]"}],
        "completion": "[CARD]",
    }
    assert data.rows_in == 2


def test_personal_data_are_refused_by_row_and_never_shown(tmp_path: Path) -> None:
    rows = pairs(("a", "ann@mail.org"), ("b", "2"), ("bob@mail.org", "3"), ("c", "+44 20 7946 0958"))
    with pytest.raises(ConfigError) as refused:
        prepared(rows, tmp_path, pii="refuse")
    message = str(refused.value)
    assert "personal data: email in rows 1, 3; phone in rows 4; remove it, or write `pii: mask`" in message
    assert "mail.org" not in message


def test_a_pair_that_masking_makes_equal_is_named(tmp_path: Path) -> None:
    rows = [{"prompt": "who?", "chosen": f"a{n}@mail.org", "rejected": f"b{n}@mail.org"} for n in range(2)]
    rows.append({"prompt": "who?", "chosen": "x", "rejected": "y"})
    assert left_out(prepared(rows, tmp_path, "dpo", pii="mask")) == {"no preference once masked": (1, 2)}


# --- length --------------------------------------------------------------------------------------------------------


def test_max_tokens_leaves_out_what_the_trainer_would(tmp_path: Path) -> None:
    """Counted as the trainer counts, chat template and all: TRL's tokenizer calls are the reference."""
    make_tiny_model(tmp_path / "model")
    counter = ModelTokens(str(tmp_path / "model"))
    rows = pairs(*((f"Which gene causes it? {'families ' * n}", "BRCA1") for n in range(6)))
    data = prepared(rows, tmp_path)
    tokenizer = counter._tokenizer
    chats = [[{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": "BRCA1"}] for row in rows]
    expected = [len(tokenizer.apply_chat_template(chat, return_dict=False)) for chat in chats]
    assert counter(data.examples) == expected
    kept = prepared(rows, tmp_path, max_tokens=expected[3], tools=PrepareTools(counter))
    assert left_out(kept) == {"too long": (5, 6)}


def test_max_tokens_without_a_tokenizer_or_on_raw_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"prepare\.max_tokens: .*the model is not on this machine"):
        prepared(pairs(("a", "b")), tmp_path, max_tokens=5)
    with pytest.raises(ConfigError, match=r"method cpt cuts long texts into chunks .* options\.chunk_tokens"):
        prepared([{"text": "a"}], tmp_path, "cpt", max_tokens=5)


def test_rows_of_100_000_tokens_are_prepared(tmp_path: Path) -> None:
    rows = pairs(*((f"{n} " + "the BRCA1 gene 12 34 a@b +1 tel 5 " * 10_000, "yes") for n in range(3)))
    data = prepared(rows, tmp_path, duplicates="near", pii="mask", split=SplitSpec())
    assert data.rows_in == 3


# --- what does not fit ---------------------------------------------------------------------------------------------


def faults(rows: Sequence[dict[str, Any]], folder: Path, method: str) -> DataFaults:
    with pytest.raises(DataFaults) as raised:
        prepared(rows, folder, method)
    return raised.value


def test_all_pairs_without_a_preference_are_named(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "chosen": "a", "rejected": "a" if n in (2, 3, 4, 9) else "b"} for n in range(1, 11)]
    found = faults(rows, tmp_path, "dpo")
    same = "chosen and rejected are the same text; they must differ"
    assert found.faults == {same: [2, 3, 4, 9]}
    assert str(found) == f"{tmp_path}/rows.jsonl:2: {same} [4 of 10 rows have faults; the same in rows 2-4, 9]"


def test_faults_of_several_kinds_are_counted_and_the_first_kinds_shown(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [*pairs(("a", "b")), *pairs(("a", " ")) * 3, {"prompt": "a"}, {"completion": "b"}]
    rows += [{"prompt": None, "completion": "x"}, {"prompt": "ok", "completion": "ok"}]
    found = faults(rows, tmp_path, "sft")
    assert (found.count, found.fitting) == (6, 2)
    assert "6 of 8 rows have faults; the same in rows 2-4; rows 5: the row has no field 'completion'" in str(found)
    assert "and 1 other kind of fault" in str(found)


def test_one_fault_is_told_as_it_always_was(tmp_path: Path) -> None:
    found = faults(pairs(("a", "b"), ("a", "")), tmp_path, "sft")
    assert str(found) == f"{tmp_path}/rows.jsonl:2: the completion is empty; a model cannot learn from it"


@pytest.mark.parametrize(("label", "kind"), [(True, "bad"), (False, "good")])
def test_thumbs_of_one_kind_only_are_refused(label: bool, kind: str, tmp_path: Path) -> None:
    rows = [{**row, "label": label} for row in pairs(("a", "1"), ("b", "2"))]
    with pytest.raises(ConfigError, match=rf"in all 2 rows, .* add {kind} completions"):
        prepared(rows, tmp_path, "kto")
    both = [*rows, {"prompt": "c", "completion": "3", "label": not label}]
    assert len(prepared(both, tmp_path, "kto").examples) == 3


def test_a_preparation_that_leaves_nothing_says_why(tmp_path: Path) -> None:
    tools = PrepareTools(_Characters())
    with pytest.raises(ConfigError, match=r"left out every row: 2 rows, 0 usable; left out: too long 2"):
        prepared(pairs(("a" * 99, "b"), ("c" * 99, "d")), tmp_path, max_tokens=5, tools=tools)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"split": {"train": 0.9}}, "expected shares that add up to 1, got 1.1"),
        ({"split": {"train": 0.0, "validation": 0.5, "test": 0.5}}, "greater than 0"),
        ({"duplicates": "fuzzy"}, "'keep', 'exact' or 'near'"),
        ({"max_tokens": 0}, "greater than or equal to 1"),
    ],
)
def test_wrong_settings_are_refused(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PrepareSpec.model_validate(settings_)


@given(st.sets(st.integers(1, 60)))
def test_ranges_name_every_row(rows: set[int]) -> None:
    named: set[int] = set()
    for part in filter(None, ranges(sorted(rows), shown=99).split(", ")):
        low, _, high = part.partition("-")
        named |= set(range(int(low), int(high or low) + 1))
    assert named == rows
    assert ranges([1, 2, 5, 9, 10], shown=2) == "1-2, 5 and 2 more"
