"""The limits of a suite in words: the facts of a reason, for terminal, report and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tunegate.models.timing import Measured
from tunegate.verdicts.reason import Kind

if TYPE_CHECKING:
    from tunegate.verdicts.limits import LimitResult

Facts = Mapping[str, str | int | float]

NAMES: Mapping[str, tuple[str, str]] = {
    "latency_ms": ("latency", "ms"),
    "ttft_ms": ("time to first token", "ms"),
    "tokens_per_s": ("speed", "tokens/s"),
    "size_mb": ("size on disk", "MB"),
    "memory_mb": ("peak memory", "MB"),
    "cost_per_1k": ("cost of 1,000 requests", ""),
}
"""The name and the unit of each limit."""
ADVICE: Mapping[str, str] = {
    "latency_ms": "fewer parameters, a merged adapter, quantised weights, a smaller `max_new_tokens`",
    "ttft_ms": "fewer parameters, a shorter prompt, or other hardware",
    "tokens_per_s": "fewer parameters, a merged adapter, quantised weights, or other hardware",
    "size_mb": "a smaller model, quantised weights, or a smaller number type",
    "memory_mb": "a smaller model, quantised weights, shorter prompts, or a smaller number type",
    "cost_per_1k": "a smaller `max_new_tokens`, a shorter prompt, or a cheaper model",
}
"""What would help a model that misses a limit; training it again does not."""


def met(facts: Facts) -> str:
    """`latency: 97 of 100 requests within 800 ms, 95 needed (95 % within 742 ms)`

    >>> met({"limit": "size_mb", "bound": 300, "value": 269.1})
    'size on disk: 269 MB, at most 300 MB allowed'
    """
    name, unit = NAMES[str(facts["limit"])]
    if "within" not in facts:
        value, most = (f"{number(facts[key])} {unit}".strip() for key in ("value", "bound"))
        return f"{name}: {value}, at most {most} allowed"
    needed = f", {facts['needed']} needed" if "needed" in facts else ""
    return f"{_count(facts)}{needed}{_measured(facts)}"


def all_kept(facts: Facts) -> str:
    """`all 3 limits on serving kept`"""
    return "the limit on serving kept" if facts["limits"] == 1 else f"all {facts['limits']} limits on serving kept"


def not_measured(facts: Facts) -> str:
    """`latency: 90 of 100 requests within 800 ms, 95 needed, 7 not measured: no reply within 60 s`"""
    name, _ = NAMES[str(facts["limit"])]
    if "within" in facts:
        needed = f", {facts['needed']} needed" if "needed" in facts else ""
        return f"{_count(facts)}{needed}, {facts['not_measured']} not measured: {facts['why']}"
    of = f" in {facts['not_measured']} of {facts['requests']} requests" if facts["requests"] else ""
    return f"{name}: not measured{of}: {facts['why']}"


def undecided(facts: Facts) -> str:
    """What too few requests leave open."""
    if "more" in facts:
        return f"{_count(facts)}, but {facts['p']:g} % need at least {facts['more']} requests"
    return f"{_count(facts)}{_measured(facts)}: that neither shows nor rules out {facts['p']:g} %; more requests could"


def _count(facts: Facts) -> str:
    name, unit = NAMES[str(facts["limit"])]
    bound = f"{number(facts['bound'])} {unit}"
    if "baseline" in facts:
        kept = f"within {facts['bound']:g} times the time of {facts['baseline']}"
    else:
        kept = f"at {bound} or more" if facts["limit"] == "tokens_per_s" else f"within {bound}"
    return f"{name}: {facts['within']} of {facts['requests']} requests {kept}"


def _measured(facts: Facts) -> str:
    """The percentile that was measured, and the p-value of the sign test."""
    _, unit = NAMES[str(facts["limit"])]
    test = [f"sign test for {facts['p']:g} %: p = {facts['p_value']:.2g}"] if "p_value" in facts else []
    if "value" in facts:
        value = f"{facts['value']:.3g} times" if "baseline" in facts else f"{number(facts['value'])} {unit}"
        kept = "at" if facts["limit"] == "tokens_per_s" else "within"
        test.insert(0, f"{facts['p']:g} % {kept} {value}{' or more' if kept == 'at' else ''}")
    return f" ({'; '.join(test)})" if test else ""


def number(figure: str | int | float) -> str:
    """Three digits, and thousands apart.

    >>> number(1234.5), number(0.4217), number(269.11)
    ('1,234', '0.422', '269')
    """
    value = float(figure)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def limit_lines(results: Sequence[LimitResult], figures: Measured | None) -> Iterator[str]:
    """A line for each limit, and one that says how and where it was measured."""
    for result in results:
        yield f"limit {result.verdict}: {words_of(result)}"
    if results and figures is not None:
        yield measured_in_words(figures)


def words_of(result: LimitResult) -> str:
    """The reason of one limit in words, with what would help a model that misses it."""
    words = WORDINGS[result.reason.kind](result.reason.facts)
    missed = result.reason.kind == "limit_missed"
    return f"{words}; what would help: {ADVICE[result.limit.name]}" if missed else words


def measured_in_words(figures: Measured) -> str:
    """`measured here: 100 requests in 81 s on AMD EPYC, 2 cores; 3 % of repeats of one piece of work were slow`"""
    machine = figures.machine
    on = [str(machine[name]) for name in ("gpu", "cpu") if name in machine]
    on += [f"{machine['cores']} cores"] if "cores" in machine else []
    asked = len(figures.timings) + len(figures.baseline_timings)
    requests = f"{asked} requests in {figures.seconds:.3g} s" if asked else "without a request"
    share = machine.get("repeat_share")
    noise = "" if share is None else f"; {share:.0%} of repeats of one piece of work were slow"
    return f"measured here: {requests} on {', '.join(on)}{noise}"


WORDINGS: Mapping[Kind, Callable[[Facts], str]] = {
    "limit_met": met,
    "limit_missed": met,
    "limit_not_measured": not_measured,
    "limit_open": undecided,
}
"""The words for each kind of reason."""
