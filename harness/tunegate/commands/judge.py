"""`tunegate judge` in words: how well a judge agrees with people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tunegate.commands.console import show
from tunegate.stats.agreement import Share

if TYPE_CHECKING:
    from tunegate_suites.judges.measured import LabelCounts, Measured


def print_judge(measured: Measured) -> None:
    """At most eleven lines: the figures, the biases that were measured, the verdict, and where the record is."""
    agreement, biases, labels = measured.agreement, measured.biases, measured.labels
    left_out = f" ({'; '.join(found)})" if (found := list(_left_out(labels))) else ""
    show(f"judge {measured.judge} against {agreement.n} human labels of {labels.file}{left_out}")
    show(f"agreement: {agreement.agreement:.1%}; without a verdict, counted as disagreement: {agreement.invalid}")
    show(f"sensitivity (passed by people and the judge): {_share(agreement.sensitivity)}")
    show(f"specificity (failed by both): {_share(agreement.specificity)}")
    if biases.weighted_kappa:
        show(f"kappa on the scale, quadratic weights: {_number(biases.weighted_kappa['quadratic'].kappa)}")
    if place := biases.position_bias:
        show(
            f"same verdict in both orders: {_rate(place.consistent)}; if not, the first place won {_rate(place.first)}"
        )
    people, judge = _number(biases.length_bias.human), _number(biases.length_bias.judge)
    show(f"longer answers pass more often (correlation): people {people}, judge {judge}")
    if again := biases.self_consistency:
        show(f"the same verdict in all {again.repeats} rounds: {_share(again.same)}")
    low, high = agreement.kappa_interval
    groups = sum(number for number, _ in agreement.groups)
    kind = f"95 % interval for {groups} groups of labels" if groups else "95 % interval"
    kappa = f"{_number(agreement.kappa)} ({kind} {low:.2f} to {high:.2f})"
    show(f"kappa: {kappa}; the lower end must be at least {measured.admit:g}")
    times = measured.measurements.count
    often = f" (this judge was measured {times} times; the last measurement counts)" if times > 1 else ""
    show(("ADMITTED" if measured.admitted else f"NOT ADMITTED: {measured.reason or measured.expired}") + often)
    show(f"record: {measured.record}, {measured.age.in_words}")


def _left_out(labels: LabelCounts) -> Iterator[str]:
    yield from (f"{count} left out: {label or 'no label'}" for label, count in labels.skipped.items())
    if labels.left_out:
        yield f"{labels.left_out} left out: the judge was made with them"
    if labels.copies:
        yield f"{labels.copies} left out: copies of others"


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{_rate(share)} ({low:.1%} to {high:.1%})"


def _rate(share: Share) -> str:
    return "unknown" if share.rate is None else f"{share.rate:.1%}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
