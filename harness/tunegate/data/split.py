"""Train, validation and test parts of training data: drawn with a seed; no group is in two parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunegate.cases.bank import draw_order
from tunegate.cases.case import asked
from tunegate.data.training_data import Example
from tunegate.text.normal_form import normalised


def group_of(example: Example) -> str:
    """The group that must stay together: the declared group, otherwise the rows with the same prompt or text."""
    if example.group is not None:
        return example.group
    text = next(iter(example.answers.values())) if example.prompt is None else asked(example.prompt)
    return normalised(text) or text


def split_by_group(
    examples: Sequence[Example], shares: Mapping[str, float], seed: int
) -> dict[str, tuple[Example, ...]]:
    """The examples of each part, in their order.

    The groups are put in a seeded order, and this order is cut at the shares: the size of a part differs from its share
    by at most half a group, and the middle of a group decides its part.
    """
    members: dict[str, list[Example]] = {}
    for example in examples:
        members.setdefault(group_of(example), []).append(example)
    chosen: dict[str, list[Example]] = {part: [] for part in shares}
    laid = 0
    for group in draw_order((name.encode(errors="replace").decode() for name in members), seed):
        middle = (laid + len(members[group]) / 2) / len(examples)
        chosen[_part_at(middle, shares)] += members[group]
        laid += len(members[group])
    return {part: tuple(sorted(own, key=lambda example: example.number)) for part, own in chosen.items()}


def _part_at(place: float, shares: Mapping[str, float]) -> str:
    end = 0.0
    for part, share in shares.items():
        end += share
        if place < end and share:
            return part
    return [part for part, share in shares.items() if share][-1]
