"""Which tokens several prompts of a batch share, so that they are computed once: pure lists, without torch.

All prompts often begin alike (chat template, system message, few-shot examples), and some of them go on alike (several
questions about one document). The first is the `stem` of a batch; the second makes `Group`s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Tokens = Sequence[int]

WORTH = 0.9
"""Groups are used if they leave at most this share of the tokens: each level is a further pass over the weights."""


@dataclass(frozen=True, slots=True)
class Group:
    """Prompts, by their place in the batch, that share `shared` tokens after the stem."""

    places: tuple[int, ...]
    shared: int


@dataclass(frozen=True, slots=True)
class SharedPrefixes:
    """The number of tokens that all prompts share, and the groups that share more; each prompt is in one group.

    Prompts that share nothing more are in one group, with `shared` 0.
    """

    stem: int
    groups: tuple[Group, ...]

    def length(self, place: int) -> int:
        """The number of tokens of a prompt that it shares."""
        return self.stem + next(group.shared for group in self.groups if place in group.places)


def nothing_shared(n: int, stem: int = 0) -> SharedPrefixes:
    """`n` prompts that share at most the stem."""
    return SharedPrefixes(stem, (Group(tuple(range(n)), 0),))


def shared_prefixes(prompts: Sequence[Tokens]) -> SharedPrefixes:
    """What the prompts of a batch share; the last token of a prompt is never shared, since its logits are wanted.

    Groups are left out if they would save little.

    Example:
        >>> shared_prefixes([[1, 2, 3, 4, 8], [1, 7], [1, 2, 3, 4, 9]])
        SharedPrefixes(stem=1, groups=(Group(places=(0, 2), shared=3), Group(places=(1,), shared=0)))
    """
    order = sorted(range(len(prompts)), key=lambda place: list(prompts[place]))
    # In sorted order, prompts that share a prefix are neighbours, and a run shares what its neighbours share.
    alike = [_alike(prompts[one], prompts[other]) for one, other in pairwise(order)]
    stem = min(alike, default=0)
    _, runs = _split([length - stem for length in alike], 0, len(prompts))
    groups = [Group(tuple(sorted(order[start:end])), shared) for start, end, shared in runs if shared]
    if alone := sorted(order[start] for start, _, shared in runs if not shared):
        groups.append(Group(tuple(alone), 0))
    found = SharedPrefixes(stem, tuple(groups))
    ungrouped = nothing_shared(len(prompts), stem)
    worth_it = computed_tokens(found, prompts) <= WORTH * computed_tokens(ungrouped, prompts)
    return found if worth_it else ungrouped


def computed_tokens(shared: SharedPrefixes, prompts: Sequence[Tokens]) -> int:
    """The tokens that a model computes for a batch, padding included: the stem, the shared parts, then the rests."""
    longest = max(group.shared for group in shared.groups)
    rest = max(len(prompt) - shared.length(place) for place, prompt in enumerate(prompts))
    return shared.stem + longest * len(shared.groups) + rest * len(prompts)


def passes(lengths: Sequence[int], cost: int) -> list[list[int]]:
    """Sequences, by their place, for passes over the weights, so that the fewest tokens are computed.

    Sequences of one pass are padded to the longest of them; `cost` is what a pass costs beside its tokens, in tokens.

    Example:
        >>> passes([9, 100, 10], cost=32), passes([9, 100, 10], cost=200)
        ([[1], [2, 0]], [[1, 2, 0]])
    """
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    # The least cost of the first n sequences, and where their last pass begins.
    least: list[tuple[int, int]] = [(0, 0)]
    for end in range(1, len(order) + 1):
        options = ((least[start][0] + cost + lengths[order[start]] * (end - start), start) for start in range(end))
        least.append(min(options))
    found: list[list[int]] = []
    end = len(order)
    while end:
        start = least[end][1]
        found.append(order[start:end])
        end = start
    return found[::-1]


def _alike(one: Tokens, other: Tokens) -> int:
    """The number of tokens that both begin with; at least one token of each remains."""
    shortest = min(len(one), len(other))
    same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), shortest)
    return min(same, shortest - 1)


def _split(alike: Sequence[int], start: int, end: int) -> tuple[int, list[tuple[int, int, int]]]:
    """Split the sorted prompts from `start` up to `end` into runs (start, end, shared) that share the most tokens.

    `alike[i]` tokens are shared by the prompts i and i + 1. A run stays whole, or falls apart where neighbours share
    least. Also returns how many tokens need not be computed.
    """
    if end - start == 1:
        return 0, [(start, end, 0)]
    least = min(alike[start : end - 1])
    cuts = [start, *(at + 1 for at in range(start, end - 1) if alike[at] == least), end]
    parts = [_split(alike, *cut) for cut in pairwise(cuts)]
    saved_apart = sum(saved for saved, _ in parts)
    saved_whole = least * (end - start - 1)
    if saved_whole > saved_apart:
        return saved_whole, [(start, end, least)]
    return saved_apart, [run for _, runs in parts for run in runs]
