"""The verdict on what serving a model costs: time, size, memory and price against the limits of a suite. Pure.

Times are acceptance plans: of n requests, a share of p percent must keep the limit, and `decide` counts them as it
counts cases. A ratio to a baseline is decided by the sign test on pairs of requests (`stats.within`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, Literal, get_args

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.models.timing import Measured, Timing
from tunegate.stats.sampling import SinglePlan, exact_interval
from tunegate.stats.within import LEVEL, fewest, needed, p_exceeded, p_kept, quantile
from tunegate.verdicts.decision import Decision, decide
from tunegate.verdicts.reason import Fact, Reason, because
from tunegate.verdicts.slices import WORST

LimitName = Literal["latency_ms", "ttft_ms", "tokens_per_s", "size_mb", "memory_mb", "cost_per_1k"]
TIMES: tuple[LimitName, ...] = ("latency_ms", "ttft_ms", "tokens_per_s")
"""The limits on single requests; the others are on one figure."""
FLOORS: tuple[LimitName, ...] = ("tokens_per_s",)
"""The limits that are a minimum."""
MB = 10**6
BASE = "base"
"""Names the model that a pipeline began with, as a baseline."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit. `bound` is a maximum, or a minimum of `tokens_per_s`; `p` percent of the requests must keep it.

    With `ratio`, `bound` is the largest ratio of a request's time to that of the baseline for the same case.
    """

    name: LimitName
    bound: float
    p: float | None = None
    ratio: bool = False


@dataclass(frozen=True, slots=True)
class Prices:
    """What a million tokens cost, in the user's currency."""

    input: float
    output: float


@dataclass(frozen=True, slots=True)
class LimitRules:
    """The limits of a suite, and the requests that measure them.

    `requests` of the drawn cases are timed, after `warmup` requests that are not cases, `concurrency` at once.
    `baseline` names the model of the ratios; `base` is the model that a pipeline began with.
    """

    limits: tuple[Limit, ...]
    requests: int
    warmup: int = 3
    concurrency: int = 1
    baseline: str | None = None
    prices: Prices | None = None

    def of_draw(self, draw: int) -> LimitRules:
        """The same rules for a draw that may have fewer cases."""
        return replace(self, requests=min(self.requests, draw))

    @property
    def asks(self) -> bool:
        """Whether requests are needed: the size of the weights is known without one."""
        return any(limit.name != "size_mb" for limit in self.limits)

    @property
    def streams(self) -> bool:
        return any(limit.name == "ttft_ms" for limit in self.limits)

    @property
    def against(self) -> str | None:
        """The baseline, if a limit is a ratio to it."""
        return self.baseline if any(limit.ratio for limit in self.limits) else None


def limit_rules_from_json(data: Any) -> LimitRules | None:
    """The rules in a record; raises TypeError, KeyError or ValueError for anything else."""
    if data is None:
        return None
    prices = None if data["prices"] is None else Prices(**data["prices"])
    limits = tuple(Limit(**one) for one in data["limits"])
    if unknown := {limit.name for limit in limits} - {*get_args(LimitName)}:
        raise ValueError(f"unknown limits {sorted(unknown)}")
    return LimitRules(limits, data["requests"], data["warmup"], data["concurrency"], data["baseline"], prices)


def limit_rules_to_json(rules: LimitRules) -> dict[str, Any]:
    """For the record; `limit_rules_from_json` is the inverse."""
    return {**asdict(rules), "limits": [asdict(limit) for limit in rules.limits]}


@dataclass(frozen=True, slots=True)
class LimitResult:
    """The verdict on one limit. `values` are its figures, one per request, None where a request has none.

    `value` is what is compared with the limit: the percentile of the requests, or the one figure. `interval` is that
    of the share of requests that keep the limit, with 95 % confidence.
    """

    limit: Limit
    verdict: Verdict
    reason: Reason
    values: tuple[float | None, ...] = ()
    value: float | None = None
    interval: tuple[float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "reason": asdict(self.reason), "verdict": self.verdict}


def with_limits(rules: LimitRules | None, decision: Decision, measured: Measured | None) -> Decision:
    """The decision after the limits: the worst verdict counts, and each limit that is not kept adds its reason."""
    if rules is None:
        return decision
    results = judge_limits(rules, measured or Measured())
    verdicts = {decision.verdict, *(result.verdict for result in results)}
    worst = next((verdict for verdict in WORST if verdict in verdicts), Verdict.PASS)
    told = [result.reason for result in results if result.verdict is not Verdict.PASS]
    told = told or [because("limits_kept", limits=len(results))]
    return replace(decision, verdict=worst, reasons=(*decision.reasons, *told))


def judge_limits(rules: LimitRules, measured: Measured) -> tuple[LimitResult, ...]:
    """Compare what was measured with each limit, in their order.

    FAIL when the requests show that the limit is not kept, even if all requests without a figure had kept it; otherwise
    INVALID when figures are missing that could change the verdict, and INCONCLUSIVE when there are too few requests.
    """
    return tuple(_judge(limit, rules, measured) for limit in rules.limits)


def any_not_measured(rules: LimitRules, measured: Measured) -> bool:
    """Whether the requests may be timed again: figures are missing that could change a verdict."""
    return any(result.verdict is Verdict.INVALID for result in judge_limits(rules, measured))


def _judge(limit: Limit, rules: LimitRules, measured: Measured) -> LimitResult:
    if limit.name not in TIMES:
        return _judge_figure(limit, rules, measured)
    if len(measured.timings) != rules.requests or (limit.ratio and len(measured.baseline_timings) != rules.requests):
        return _not_measured(limit, rules.requests, rules.requests, "the requests are not on record")
    pairs = zip(measured.timings, measured.baseline_timings, strict=False)
    values = [_ratio(limit.name, *pair) for pair in pairs] if limit.ratio else None
    found = tuple(values or (_value(limit.name, timing) for timing in measured.timings))
    return _judge_ratio(limit, found, measured) if limit.ratio else _judge_times(limit, found, measured)


def _value(name: LimitName, timing: Timing) -> float | None:
    match name:
        case "latency_ms":
            return None if timing.seconds is None else 1000 * timing.seconds
        case "ttft_ms":
            return None if timing.first_token_s is None else 1000 * timing.first_token_s
        case "tokens_per_s":
            return timing.new_tokens / timing.seconds if timing.new_tokens is not None and timing.seconds else None
        case _:
            raise ValueError(f"{name} is not a limit on single requests")


def _ratio(name: LimitName, timing: Timing, baseline: Timing) -> float | None:
    ours, theirs = _value(name, timing), _value(name, baseline)
    return ours / theirs if ours is not None and theirs else None


def _judge_times(limit: Limit, values: tuple[float | None, ...], measured: Measured) -> LimitResult:
    """By the count, as a gate counts its cases."""
    p, n = limit.p or 100.0, len(values)
    plan = SinglePlan(n, needed(p, n))
    outcomes = [_outcome(str(number), _keeps(limit, value)) for number, value in enumerate(values)]
    decision = decide(plan, outcomes)
    facts = _facts(limit, values, measured, within=decision.passed, requests=n, needed=plan.accept)
    verdict, value = decision.verdict, _percentile(limit, values)
    if verdict is Verdict.PASS and n < fewest(p):
        verdict = Verdict.INCONCLUSIVE
        reason = because("limit_open", **facts, more=fewest(p))
    elif verdict is Verdict.INVALID:
        reason = because("limit_not_measured", **facts, not_measured=decision.invalid, why=_why(limit, measured))
    else:
        reason = because("limit_met" if verdict is Verdict.PASS else "limit_missed", **facts)
    return LimitResult(limit, verdict, reason, values, value, decision.interval)


def _judge_ratio(limit: Limit, values: tuple[float | None, ...], measured: Measured) -> LimitResult:
    """By the sign test: PASS and FAIL are shown with a risk of 5 % each, and the rest is INCONCLUSIVE."""
    p, n = limit.p or 50.0, len(values)
    keeps = [_keeps(limit, value) for value in values]
    within, missing = keeps.count(True), keeps.count(None)
    kept, exceeded = p_kept(within, n, p), p_exceeded(within + missing, n, p)
    facts = _facts(limit, values, measured, within=within, requests=n)
    interval = exact_interval(within, n)[0], exact_interval(within + missing, n)[1]
    value = _percentile(limit, values)
    if exceeded <= LEVEL:
        verdict, reason = Verdict.FAIL, because("limit_missed", **facts, p_value=exceeded)
    elif kept <= LEVEL:
        verdict, reason = Verdict.PASS, because("limit_met", **facts, p_value=kept)
    elif missing:
        verdict = Verdict.INVALID
        reason = because("limit_not_measured", **facts, not_measured=missing, why=_why(limit, measured))
    else:
        verdict, reason = Verdict.INCONCLUSIVE, because("limit_open", **facts, p_value=min(kept, exceeded))
    return LimitResult(limit, verdict, reason, values, value, interval)


def _judge_figure(limit: Limit, rules: LimitRules, measured: Measured) -> LimitResult:
    """By one figure: the size, the peak of the memory, or the mean cost of a thousand requests."""
    values: tuple[float | None, ...] = ()
    match limit.name:
        case "size_mb":
            value = None if measured.size_bytes is None else measured.size_bytes / MB
            why = "the model has no weights on this machine's disk"
        case "memory_mb":
            value = None if measured.memory_bytes is None else measured.memory_bytes / MB
            why = "the model is not known to run in this process, so its memory cannot be seen"
        case _:
            values = tuple(_price(rules.prices, timing) for timing in measured.timings)
            known = [one for one in values if one is not None]
            value = fmean(known) if known and len(known) == rules.requests else None
            if value is None:
                missing = rules.requests - len(known)
                return _not_measured(limit, rules.requests, missing, _why(limit, measured), values)
            why = ""
    if value is None:
        return _not_measured(limit, 0, 0, why)
    kept = value <= limit.bound
    facts: dict[str, Fact] = {"limit": limit.name, "bound": limit.bound, "value": value}
    reason = because("limit_met" if kept else "limit_missed", **facts)
    return LimitResult(limit, Verdict.PASS if kept else Verdict.FAIL, reason, values, value)


def _price(prices: Prices | None, timing: Timing) -> float | None:
    """The cost of a thousand requests like this one."""
    if prices is None or timing.prompt_tokens is None or timing.new_tokens is None:
        return None
    return 1000 * (timing.prompt_tokens * prices.input + timing.new_tokens * prices.output) / MB


def _keeps(limit: Limit, value: float | None) -> bool | None:
    if value is None:
        return None
    return value >= limit.bound if limit.name in FLOORS else value <= limit.bound


def _outcome(case_id: str, keeps: bool | None) -> Outcome:
    verdict = Verdict.INVALID if keeps is None else Verdict.PASS if keeps else Verdict.FAIL
    return Outcome(case_id, verdict, "", (), "", "")


def _percentile(limit: Limit, values: Sequence[float | None]) -> float | None:
    """The value that `p` percent of the requests keep, the slowest of them; None where some have none."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    p = limit.p or 100.0
    return -quantile([-value for value in known], p) if limit.name in FLOORS else quantile(known, p)


def _facts(limit: Limit, values: Sequence[float | None], measured: Measured, **counts: Fact) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"limit": limit.name, "bound": limit.bound, "p": limit.p or 100.0, **counts}
    value = _percentile(limit, values)
    return {
        **facts,
        **({} if value is None else {"value": value}),
        **({"baseline": measured.baseline} if limit.ratio else {}),
    }


def _not_measured(
    limit: Limit, requests: int, missing: int, why: str, values: tuple[float | None, ...] = ()
) -> LimitResult:
    facts: dict[str, Fact] = {"limit": limit.name, "bound": limit.bound, "requests": requests}
    reason = because("limit_not_measured", **facts, not_measured=missing, why=why)
    return LimitResult(limit, Verdict.INVALID, reason, values)


def _why(limit: Limit, measured: Measured) -> str:
    """The first cause of a missing figure."""
    timings = (*measured.timings, *(measured.baseline_timings if limit.ratio else ()))
    if error := next((timing.error for timing in timings if timing.error), ""):
        return error
    lacks: Mapping[LimitName, str] = {
        "ttft_ms": "the model does not report when its first token comes",
        "tokens_per_s": "the model does not count its tokens",
        "cost_per_1k": "the model does not count the tokens of prompt and answer",
    }
    return lacks.get(limit.name, "no time is on record")
