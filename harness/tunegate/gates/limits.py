"""Measures what serving a model costs: sends the requests that the limits of a suite need.

This is a pass of its own: a batch would hide how long a single request takes. The warm-up requests are not cases, so
they reveal nothing, and they are not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.models.machine import machine_facts
from tunegate.models.model import GenerationSettings, Model, servers_of
from tunegate.models.openai_server import OpenAIModel
from tunegate.models.peak_memory import forget_peaks, gpu_peak_bytes, peak_bytes
from tunegate.models.timing import (
    Fact,
    HowTimed,
    Measured,
    Timing,
    executor_facts,
    facts_of_size,
    innermost,
    time_requests,
)
from tunegate.verdicts.limits import BASE, LimitRules

Clock = Callable[[], float]


def check_measurable(rules: LimitRules | None, model: Model, base: Callable[[], Model] | None) -> None:
    """Raise ConfigError, before a draw begins, for limits that cannot be measured on this model."""
    if rules is None:
        return
    if servers_of(model):
        raise ConfigError(f"limits: they are measured on one server; gate one of {model.name} with this suite")
    if executor_facts(model) is not None:
        raise ConfigError(
            "limits: the time and memory of a request are measured in one process: leave out the executor, or gate "
            "this suite by itself"
        )
    if rules.concurrency > 1 and not isinstance(innermost(model), OpenAIModel):
        raise ConfigError(
            f"limits.concurrency: {rules.concurrency} requests at once are only for a server, but {model.name} runs "
            "here and answers one at a time; leave it out"
        )
    if rules.against == BASE and base is None:
        raise ConfigError(
            "limits: the baseline `base` is the model that a pipeline began with, but this gate is not part of a "
            "pipeline; write the path of a model"
        )


def open_baseline(rules: LimitRules | None, base: Callable[[], Model] | None) -> Model | None:
    """The baseline of the limits; None if there is none. `base` opens the model that a pipeline began with.

    Raises the errors of `open_model`.
    """
    spec = None if rules is None else rules.against
    if spec is None or (spec == BASE and base is not None):
        return base() if spec and base else None
    from tunegate.models.open_model import open_model

    return open_model(spec)


def measure(
    rules: LimitRules,
    settings: GenerationSettings,
    model: Model,
    cases: Sequence[Case],
    baseline: Callable[[], Model | None] = lambda: None,
    clock: Clock = time.perf_counter,
    machine: Callable[[], dict[str, Fact]] = machine_facts,
) -> Measured:
    """Send the requests that the limits need to the first of the drawn cases, and to the baseline the same ones.

    A model and its baseline take turns, case by case, so that both meet the same state of the machine.
    """
    size, asked = facts_of_size(model), tuple(cases[: rules.requests]) if rules.asks else ()
    if not asked:
        return Measured(size_bytes=size, machine=machine())
    started, how = clock(), HowTimed(rules.streams, rules.concurrency, clock)
    other = baseline()
    if other is not None and rules.against != BASE and other.sha256 is not None and other.sha256 == model.sha256:
        raise ConfigError(f"limits: the baseline {other.name} has the weights of the model itself; name another model")
    facts = machine()
    forget_peaks()
    for one in (model, *([other] if other else [])):
        list(time_requests(one, warm_up(rules.warmup), settings, how))
    ours, theirs = _timed(model, other, asked, settings, how)
    memory, memory_of = _memory(model)
    return Measured(
        case_ids=tuple(case.id for case in asked),
        timings=ours,
        baseline_timings=theirs,
        baseline=other.name if other else "",
        baseline_sha256=other.sha256 if other else None,
        size_bytes=size,
        memory_bytes=memory,
        memory_of=memory_of,
        seconds=clock() - started,
        machine=facts,
    )


def warm_up(requests: int) -> list[Case]:
    """Questions that are not cases: a model's first requests are slower, since memory and caches are still empty."""
    return [
        Case(f"warm-up {number}", f"Write one sentence about the number {number}.") for number in range(1, requests + 1)
    ]


def _timed(
    model: Model, other: Model | None, cases: Sequence[Case], settings: GenerationSettings, how: HowTimed
) -> tuple[tuple[Timing, ...], tuple[Timing, ...]]:
    if other is None:
        return tuple(time_requests(model, cases, settings, how)), ()
    pairs = [
        [timing for one in (model, other) for timing in time_requests(one, [case], settings, how)] for case in cases
    ]
    return tuple(ours for ours, _ in pairs), tuple(theirs for _, theirs in pairs)


def _memory(model: Model) -> tuple[int | None, str]:
    """The peak of the memory that the model runs in, and whose it is; None for a model that may run elsewhere."""
    device = getattr(getattr(innermost(model), "model", None), "device", None)
    if device is None:
        return None, ""
    return (gpu_peak_bytes(), "GPU") if str(device).startswith("cuda") else (peak_bytes(), "process")
