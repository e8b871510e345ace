"""Train, validation and test parts of training data: drawn by a seed, and no group in two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunegate.cases.bank import draw_order
from tunegate.cases.case import asked
from tunegate.data.training_data import Example
from tunegate.text.normal_form import normalised


def group_of(example: Example) -> str:
    """What must stay together: the declared group, else all rows with the same prompt, or the same text."""
    if example.group is not None:
        return example.group
    text = next(iter(example.answers.values())) if example.prompt is None else asked(example.prompt)
    return normalised(text) or text


def split_by_group(
    examples: Sequence[Example], shares: Mapping[str, float], seed: int
) -> dict[str, tuple[Example, ...]]:
    """The examples of each part, in their order.

    Groups are laid in a row, in an order that the seed gives, and the row is cut at the shares: so a part has its share
    of the rows but for half a group, and a group goes where its middle lies.
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
