"""The reasons of a verdict as values: a kind and its numbers. `words.py` makes the sentences that people read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tunegate.checks.outcome import Verdict

Fact = str | int | float

Kind = Literal[
    # the plan
    "count",
    "stopped",
    "settled",
    "undecided",
    "not_judged",
    "unlabelled",
    "mismatch",
    "errors_over",
    # "stopped" and "settled" without their counts
    "allowed",
    "settled_it",
    # a baseline
    "measured",
    "measured_in_part",
    # a model compared with an earlier one
    "kept",
    "forgetting",
    "likely_exceeded",
    "too_close",
    "kept_by_plan",
    "lost_by_plan",
    "more_differ",
    "shown_not_worse",
    "not_shown_not_worse",
    "more_cases",
    # which cannot be compared
    "nothing_to_compare",
    "none_in_common",
    "duplicate_case",
    "other_cases",
    "other_prompts",
    "pair_not_judged",
    # slices
    "slice_passed",
    "slice_missed",
    "slice_empty",
    "slice_few",
    "slice_not_judged",
    # groups compared with each other
    "gap",
    "gap_needs_two",
    "gap_few",
    "gap_not_judged",
    # several cases of a group
    "grouped",
    "grouped_luck",
    # limits on what serving costs
    "limits_kept",
    "limit_met",
    "limit_missed",
    "limit_not_measured",
    "limit_open",
    # corrected for a judge's known errors
    "not_corrected",
    "corrected_low",
    # the diversity of the answers
    "diversity_kept",
    "diversity_lost",
    "diversity_undecided",
    "diversity_few",
    "diversity_not_measured",
    # the sentence of an older record, which has no kinds
    "said",
]

COUNTED: tuple[Kind, ...] = ("count", "measured")
"""The kinds that only say how many cases passed, which a reader already sees next to the verdict."""
OBJECTIONS: tuple[Kind, ...] = (
    *("slice_missed", "slice_empty", "slice_few", "slice_not_judged"),
    *("gap", "gap_needs_two", "gap_few", "gap_not_judged", "not_corrected", "corrected_low"),
    *("limit_missed", "limit_not_measured", "limit_open"),
    *("grouped_luck", "diversity_lost", "diversity_undecided", "diversity_few", "diversity_not_measured"),
)
"""The kinds for which a gate does not pass although enough cases passed."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a verdict.

    >>> because("count", passed=89, drawn=100, needed=90).facts["passed"]
    89
    """

    kind: Kind
    facts: Mapping[str, Fact]


def because(kind: Kind, **facts: Fact) -> Reason:
    """A reason with its facts by name."""
    return Reason(kind, facts)


def awaits_labels(reasons: Sequence[Reason]) -> int:
    """How many answers people still have to label, if that is all that a verdict waits for; otherwise 0.

    >>> awaits_labels([because("unlabelled", missing=7, drawn=100)])
    7
    """
    return sum(int(one.facts["missing"]) for one in reasons if one.kind == "unlabelled")


def is_settled(verdict: Verdict, reasons: Sequence[Reason]) -> bool:
    """Whether a verdict is final: INVALID is not, and neither is one that waits for people's labels."""
    return verdict is not Verdict.INVALID and not awaits_labels(reasons)


def reasons_or_sentence(reasons: Sequence[Reason] | None, sentence: str) -> tuple[Reason, ...]:
    """The recorded reasons, or the sentence of an older record that has none."""
    return (because("said", text=sentence),) if reasons is None else tuple(reasons)


def without_limits(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """The reasons other than limits, which are shown on lines of their own."""
    return tuple(one for one in reasons if not one.kind.startswith("limit"))


def beyond_count(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """What the reasons say beyond the number of cases that passed or failed."""
    rest: dict[Kind, Kind] = {"stopped": "allowed", "settled": "settled_it"}
    return tuple(Reason(rest.get(one.kind, one.kind), one.facts) for one in reasons if one.kind not in COUNTED)
