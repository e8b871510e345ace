"""What prompts share is computed once: which tokens those are, and that the answers stay those of each prompt alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.one_thread import one_thread as one_thread
from tests.support.tiny_model import make_tiny_model
from tunegate.cases.case import Case
from tunegate.gates.runner import blocks_of
from tunegate.models import decoding
from tunegate.models.growing_cache import branched, growing_cache, joined
from tunegate.models.hf import HFModel
from tunegate.models.prefixes import computed_tokens, nothing_shared, passes, shared_prefixes

torch = pytest.importorskip("torch")

few_tokens = st.lists(st.integers(0, 2), min_size=1, max_size=12)
batches = st.lists(few_tokens, min_size=1, max_size=9)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return HFModel.load(make_tiny_model(tmp_path_factory.mktemp("models") / "tiny"), dtype="float32")


# --- which tokens --------------------------------------------------------------------------------------------------


@given(batches)
def test_each_prompt_is_in_one_group_and_begins_with_what_the_group_shares(prompts: list[list[int]]):
    shared = shared_prefixes(prompts)
    assert sorted(place for group in shared.groups for place in group.places) == list(range(len(prompts)))
    for group in shared.groups:
        same = {tuple(prompts[place][: shared.stem + group.shared]) for place in group.places}
        assert len(same) == 1
        assert all(len(prompts[place]) > shared.stem + group.shared for place in group.places)
        assert len(group.places) > 1 or not group.shared
    assert sum(not group.shared for group in shared.groups) <= 1
    assert len({tuple(prompt[: shared.stem]) for prompt in prompts}) == 1


@given(batches)
def test_sharing_never_costs_more_tokens_than_it_saves(prompts: list[list[int]]):
    assert computed_tokens(shared_prefixes(prompts), prompts) <= max(map(len, prompts)) * len(prompts)


@given(st.integers(0, 5), st.permutations(range(6)))
def test_questions_about_two_documents_share_both(head: int, order: list[int]):
    documents = [[9] * head + [1] * 40, [9] * head + [2] * 40]
    prompts = [[*documents[number % 2], 3 + number, 8] for number in order]
    shared = shared_prefixes(prompts)
    assert shared.stem == head
    assert [group.shared for group in shared.groups] == [40, 40]


def test_prompts_that_share_little_are_not_grouped():
    assert shared_prefixes([[1, 2, *[3] * 50], [1, 2, *[4] * 50], [5, *[6] * 50]]) == nothing_shared(3)


# --- the same answers ----------------------------------------------------------------------------------------------

DOCUMENTS = [[5, 6, *range(20, 60)], [5, 6, *range(60, 90)], [5, 6, *range(90, 140)]]
QUESTIONS = [[7, 8], [9], [10, 11, 12, 13]]


@pytest.mark.parametrize(
    "prompts",
    [
        [[*document, *question] for document in DOCUMENTS for question in QUESTIONS],
        [[*DOCUMENTS[0], 7], [*DOCUMENTS[0], 8], [5, 6, 30], [9, 10]],  # without a stem, two of them alone
        [[*DOCUMENTS[0], 7]] * 3 + [[*DOCUMENTS[2], 7]] * 3,
    ],
    ids=["documents", "alone", "equal"],
)
def test_each_prompt_gets_the_logits_that_it_gets_alone(model: HFModel, prompts: list[list[int]]):
    with torch.inference_mode():
        together, state = decoding.prefill(model.model, prompts)
        alone = torch.cat([model.model(torch.tensor([prompt])).logits[:, -1] for prompt in prompts])
    assert shared_prefixes(prompts).groups[0].shared
    assert state.rows == list(range(len(prompts)))
    assert torch.allclose(together, alone, atol=1e-4)


def test_answers_about_documents_are_those_of_each_prompt_alone(model: HFModel):
    prompts = [[*document, *question] for document in DOCUMENTS for question in QUESTIONS]

    def pick(logits: Any, rows: Sequence[int], step: int) -> Any:
        return logits.argmax(-1)

    def answers(batch: list[list[int]]) -> Iterator[list[int]]:
        done = decoding.decode(model.model, batch, max_new_tokens=10, pick=pick, ended=lambda row, tokens: False)
        return (one.tokens for one in sorted(done, key=lambda one: one.row))

    assert list(answers(prompts)) == [tokens for prompt in prompts for tokens in answers([prompt])]


def test_a_document_is_computed_once(model: HFModel):
    tokens: list[int] = []
    hook = model.model.register_forward_pre_hook(
        lambda module, args, kwargs: tokens.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    prompts = [[*document, question] for document in DOCUMENTS for question in range(7, 15)]
    with torch.inference_mode():
        decoding.prefill(model.model, prompts)
    hook.remove()
    assert sum(tokens) == computed_tokens(shared_prefixes(prompts), prompts)
    assert sum(tokens) < 0.2 * sum(map(len, prompts))


# --- cases of one document are asked together ----------------------------------------------------------------------


@given(st.permutations(range(24)), st.integers(0, 30))
def test_cases_of_one_document_are_asked_in_one_block(order: list[int], head: int):
    documents = ["x" * head + f"document {number} " + "word " * (60 + number % 3) for number in range(3)]
    cases = [Case(f"c{at}", f"{documents[at % 3]}Question {'?' * (at + 1)}") for at in order]
    blocks = list(blocks_of(cases, 8, in_draw_order=False))
    assert [len({case.prompt_text.split()[1] for case in block}) for block in blocks] == [1, 1, 1]
    assert sorted(case.id for block in blocks for case in block) == sorted(case.id for case in cases)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=40, unique=True))
def test_cases_without_a_document_are_asked_by_length(lengths: list[int]):
    cases = [Case(f"c{n}", chr(0x3000 + n) + "y" * n) for n in lengths]
    asked = [len(case.prompt_text) for block in blocks_of(cases, 4, in_draw_order=False) for case in block]
    assert all(one <= other for one, other in pairwise(asked))


# --- the cache grows in place --------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 70), min_size=1, max_size=6), st.data())
def test_the_growing_cache_holds_what_the_one_of_transformers_holds(steps: list[int], data: st.DataObject):
    from transformers import LlamaConfig
    from transformers.cache_utils import DynamicCache

    config = LlamaConfig(num_hidden_layers=1)
    ours, theirs = growing_cache(config), DynamicCache(config=config)
    rows = 3
    for step in steps:
        keys, values = torch.rand(2, rows, 1, step, 4)
        for cache in (ours, theirs):
            cache.update(keys, values, 0)
        if data.draw(st.booleans()):
            places = torch.tensor(data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=4)))
            rows = len(places)
            for cache in (ours, theirs):
                cache.layers[0].reorder_cache(places)
        assert ours.get_seq_length() == theirs.get_seq_length()
        assert torch.equal(ours.layers[0].keys, theirs.layers[0].keys)
        assert torch.equal(ours.layers[0].values, theirs.layers[0].values)


# --- rests of like length are run together -------------------------------------------------------------------------

lengths_of_rests = st.lists(st.integers(1, 60), min_size=1, max_size=9)


def cost_of(lengths: list[int], found: list[list[int]], cost: int) -> int:
    return sum(cost + len(places) * max(lengths[place] for place in places) for places in found)


@given(lengths_of_rests, st.integers(0, 80))
def test_each_rest_is_in_one_pass_and_passes_cost_no_more_than_one(lengths: list[int], cost: int):
    found = passes(lengths, cost)
    assert sorted(place for places in found for place in places) == list(range(len(lengths)))
    assert cost_of(lengths, found, cost) <= cost_of(lengths, [list(range(len(lengths)))], cost)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 80))
def test_no_other_passes_cost_less(lengths: list[int], cost: int):
    least = min(cost_of(lengths, split, cost) for split in partitions(list(range(len(lengths)))))
    assert cost_of(lengths, passes(lengths, cost), cost) == least


def partitions(places: list[int]) -> Iterator[list[list[int]]]:
    """All ways to share out places among passes."""
    if not places:
        yield []
        return
    first, *others = places
    for split in partitions(others):
        yield [[first], *split]
        for at, some in enumerate(split):
            yield [*split[:at], [first, *some], *split[at + 1 :]]


def test_caches_of_passes_become_those_of_one_batch(model: HFModel):
    config = model.model.config
    stem = growing_cache(config)
    width = config.hidden_size // config.num_attention_heads
    heads = config.num_key_value_heads

    def feed(cache: Any, states: Any) -> None:
        for layer in range(len(cache.layers)):
            cache.update(states + layer, -states - layer, layer)

    head, long, short = (torch.rand(rows, heads, tokens, width) for rows, tokens in ((1, 3), (2, 5), (1, 2)))
    feed(stem, head)
    parts = [branched(stem, torch.tensor([0, 0])), branched(stem, torch.tensor([0]))]
    feed(parts[0], long)
    feed(parts[1], short)
    assert stem.get_seq_length() == 3
    whole = joined(config, parts, [[2, 0], [1]])
    expected = torch.cat([head.expand(2, -1, -1, -1), long], dim=-2)
    for number, layer in enumerate(whole.layers):
        assert torch.equal(layer.keys[[2, 0]], expected + number)
        assert torch.equal(layer.values[[2, 0]], -expected - number)
        assert torch.equal(layer.keys[1, :, 3:], torch.cat([head, short], dim=-2)[0] + number)
        assert not layer.keys[1, :, :3].any()  # padding holds numbers
    assert all(part.get_seq_length() == 0 for part in parts)
    feed(whole, torch.rand(3, heads, 1, width))
    assert whole.get_seq_length() == 9


@pytest.mark.parametrize("apart", [0, 8], ids=["each length apart", "some apart"])
def test_rests_run_apart_give_the_answers_of_one_batch(model: HFModel, monkeypatch: pytest.MonkeyPatch, apart: int):
    prompts = [
        [*document, *question, *range(30, 30 + 9 * at)]
        for at, document in enumerate(DOCUMENTS)
        for question in QUESTIONS
    ]

    def answered(pass_tokens: int) -> tuple[Any, list[list[int]], int]:
        monkeypatch.setattr(decoding, "PASS_TOKENS", pass_tokens)
        calls: list[int] = []
        hook = model.model.register_forward_pre_hook(lambda module, args: calls.append(1))
        with torch.inference_mode():
            logits, _ = decoding.prefill(model.model, prompts)
        hook.remove()
        done = decoding.decode(
            model.model,
            prompts,
            max_new_tokens=10,
            pick=lambda logits, rows, step: logits.argmax(-1),
            ended=lambda row, tokens: len(tokens) > row,
        )
        return logits, [one.tokens for one in sorted(done, key=lambda one: one.row)], len(calls)

    logits, tokens, calls = answered(apart)
    together, same_tokens, fewer = answered(10**9)
    assert calls > fewer
    assert torch.allclose(logits, together, atol=1e-4)
    assert tokens == same_tokens
