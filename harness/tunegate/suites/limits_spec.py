"""The shape of `limits` in a suite: what serving a model may cost."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from tunegate.reading.spec import Spec, Text
from tunegate.stats.within import fewest, fewest_for_ratio
from tunegate.verdicts.limits import Limit, LimitName, LimitRules, Prices

REQUESTS = 100
"""How many requests are timed at most if the suite does not say."""


def _maximum_only(value: Any) -> Any:
    return {"max": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


def _minimum_only(value: Any) -> Any:
    return {"min": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class TimeLimitSpec(Spec):
    """A limit on the time of a request; a single number is its `max`."""

    p: Annotated[float, Field(gt=0, le=100)] = 95.0
    """The percentage of requests that must keep the limit."""
    max: Annotated[float, Field(gt=0)] | None = None
    """The longest time, in milliseconds."""
    max_ratio: Annotated[float, Field(gt=0)] | None = None
    """The largest ratio to the time of the baseline for the same case, by the sign test; recommended on a machine that
    others use too."""
    baseline: Text | None = None
    """The model that `max_ratio` compares with: `base` (the model of the pipeline), a path, a hub id or a URL."""

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.max is None) == (self.max_ratio is None):
            raise ValueError("give either `max`, in milliseconds, or `max_ratio` with `baseline`")
        if (self.max_ratio is None) != (self.baseline is None):
            raise ValueError("`max_ratio` and `baseline` need each other")
        if self.max_ratio is not None and self.p >= 100:
            raise ValueError("no number of requests can show that all requests keep a ratio; set `p` to 99 or less")
        return self


class SpeedLimitSpec(Spec):
    """A limit on the speed of a request; a single number is its `min`."""

    p: Annotated[float, Field(gt=0, le=100)] = 95.0
    """The percentage of requests that must keep the limit."""
    min: Annotated[float, Field(gt=0)]
    """The lowest speed, in new tokens of a request for each second of its whole time."""


class SizeLimitSpec(Spec):
    """A limit on a number of megabytes (a million bytes); a single number is its `max`."""

    max: Annotated[float, Field(gt=0)]
    """The largest number of megabytes."""


class CostLimitSpec(Spec):
    """A limit on the mean cost of 1,000 requests, by the prices of tokens."""

    max: Annotated[float, Field(gt=0)]
    """The highest cost of 1,000 requests, in your currency."""
    input: Annotated[float, Field(ge=0)]
    """The price of a million tokens of prompts."""
    output: Annotated[float, Field(ge=0)]
    """The price of a million tokens of answers."""

    @model_validator(mode="after")
    def _a_price(self) -> Self:
        if not self.input and not self.output:
            raise ValueError("both prices are 0, so any model would keep the limit; write what a million tokens cost")
        return self


Time = Annotated[TimeLimitSpec | None, BeforeValidator(_maximum_only)]


class LimitsSpec(Spec):
    """What serving a model may cost; a gate measures it with single requests before it asks its questions."""

    latency_ms: Time = None
    """The time of a whole request."""
    ttft_ms: Time = None
    """The time to the first token. Servers are asked for a stream."""
    tokens_per_s: Annotated[SpeedLimitSpec | None, BeforeValidator(_minimum_only)] = None
    """The speed of a request."""
    size_mb: Annotated[SizeLimitSpec | None, BeforeValidator(_maximum_only)] = None
    """The size of the weights on disk, adapters and their base included."""
    memory_mb: Annotated[SizeLimitSpec | None, BeforeValidator(_maximum_only)] = None
    """The peak memory while the requests are answered: of the GPU if the model is on one, otherwise of the process."""
    cost_per_1k: CostLimitSpec | None = None
    """The mean cost of 1,000 requests."""
    requests: Annotated[int, Field(ge=1)] | None = None
    """How many of the drawn cases are timed. Default: all, but at most 100."""
    warmup: Annotated[int, Field(ge=0, le=100)] = 3
    """How many requests that are not cases are sent before, and not counted."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many requests run at once; above 1 only for servers."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        limits = limits_of(self)
        if not limits:
            raise ValueError("expected at least one limit, such as `latency_ms: {p: 95, max: 800}`")
        ratios = [limit.name for limit in limits if limit.ratio]
        if ratios and self.concurrency > 1:
            raise ValueError("with a `baseline`, two models take turns, one request at a time; leave out `concurrency`")
        if ratios and self.memory_mb is not None:
            raise ValueError("`memory_mb` cannot be measured while a `baseline` is loaded too; use two suites")
        if len({one.baseline for one in (self.latency_ms, self.ttft_ms) if one and one.baseline}) > 1:
            raise ValueError("`latency_ms` and `ttft_ms` must have the same `baseline`")
        return self


def limits_of(spec: LimitsSpec) -> tuple[Limit, ...]:
    """The limits of a spec, in the order of its keys."""
    found: list[Limit] = []
    for name in LimitName.__args__:
        match getattr(spec, name):
            case TimeLimitSpec(max=None) as ratio:
                found.append(Limit(name, ratio.max_ratio or 0.0, ratio.p, ratio=True))
            case TimeLimitSpec() as limit:
                found.append(Limit(name, limit.max or 0.0, limit.p))
            case SpeedLimitSpec() as limit:
                found.append(Limit(name, limit.min, limit.p))
            case SizeLimitSpec() | CostLimitSpec() as limit:
                found.append(Limit(name, limit.max))
            case _:
                pass
    return tuple(found)


def limit_rules(spec: LimitsSpec, draw: int, baseline: str | None) -> LimitRules:
    """The rules for draws of this size; raises ValueError if no draw of it could keep them."""
    requests, limits = spec.requests or min(draw, REQUESTS), limits_of(spec)
    if requests > draw:
        raise ValueError(f"requests: {requests} cases cannot be timed, since the plan draws {draw}")
    for limit in limits:
        least = 1 if limit.p is None else fewest_for_ratio(limit.p) if limit.ratio else fewest(limit.p)
        if requests < least:
            raise ValueError(
                f"{limit.name}: {requests} requests cannot show that {limit.p:g} % keep it; at least {least} are "
                "needed: raise `requests` and `plan.draw`, or lower `p`"
            )
    cost = spec.cost_per_1k
    prices = None if cost is None else Prices(cost.input, cost.output)
    return LimitRules(limits, requests, spec.warmup, spec.concurrency, baseline, prices)


def baseline_of(spec: LimitsSpec | None) -> str | None:
    """The model that a limit compares with, as it is written."""
    times = () if spec is None else (spec.latency_ms, spec.ttft_ms)
    return next((one.baseline for one in times if one is not None and one.baseline), None)
