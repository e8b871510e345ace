"""Why a gate came out as it did, as values: a kind and its numbers. `words.py` makes the sentences that people read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

Fact = str | int | float

Kind = Literal[
    *("count", "stopped", "settled", "not_judged", "mismatch", "errors_over"),  # the plan
    *("allowed", "settled_it"),  # "stopped" and "settled" without their counts
    *("measured", "measured_in_part"),  # a baseline
    *("kept", "forgetting", "likely_exceeded", "too_close", "more_cases"),  # a model against itself before
    *("nothing_to_compare", "duplicate_case", "other_cases", "other_prompts", "pair_not_judged"),
    *("slice_passed", "slice_missed", "slice_empty", "slice_few", "slice_not_judged"),
    *("gap", "gap_needs_two", "gap_few", "gap_not_judged"),  # groups against one another
    *("not_corrected", "corrected_low"),  # a judge's known errors taken out
    "said",  # the sentence of a record that holds no kinds
]

COUNTED: tuple[Kind, ...] = ("count", "measured")
"""The kinds that say no more than how many cases passed, which a reader sees beside the verdict already."""
OBJECTIONS: tuple[Kind, ...] = (
    *("slice_missed", "slice_empty", "slice_few", "slice_not_judged"),
    *("gap", "gap_needs_two", "gap_few", "gap_not_judged", "not_corrected", "corrected_low"),
)
"""The kinds for which a gate does not pass although its count would let it."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a verdict.

    >>> because("count", passed=89, drawn=100, needed=90).facts["passed"]
    89
    """

    kind: Kind
    facts: Mapping[str, Fact]

    def to_json(self) -> dict[str, Fact]:
        """For the record and `--json`; `reasons_from_json` is the inverse."""
        return {"kind": self.kind, **self.facts}


def because(kind: Kind, **facts: Fact) -> Reason:
    """A reason, its facts by name."""
    return Reason(kind, facts)


def reasons_from_json(rows: Iterable[Mapping[str, Any]] | None, sentence: str = "") -> tuple[Reason, ...]:
    """The reasons that a record holds, or its `sentence` where it holds none; raises KeyError, TypeError or ValueError
    for anything else."""
    if not isinstance(sentence, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # whatever stood in the record
        raise TypeError(f"the reason is {sentence!r}")
    if rows is None:
        return (because("said", text=sentence),) if sentence else ()
    return tuple(_reason(row) for row in rows)


def _reason(row: Mapping[str, Any]) -> Reason:
    facts = {name: value for name, value in row.items() if name != "kind"}
    if row["kind"] not in get_args(Kind):
        raise ValueError(f"{row['kind']!r} is no kind of reason")
    if not all(isinstance(value, str | int | float) for value in facts.values()):
        raise TypeError(f"the facts of {row['kind']!r} are {facts}")
    return Reason(cast(Kind, row["kind"]), facts)


def beyond_count(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """What the reasons say beyond the count of the cases that passed or missed."""
    rest: dict[Kind, Kind] = {"stopped": "allowed", "settled": "settled_it"}
    return tuple(Reason(rest.get(one.kind, one.kind), one.facts) for one in reasons if one.kind not in COUNTED)
