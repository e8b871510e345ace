"""Plans of several draws: solves draw sizes and accept numbers for a risk, and computes the chances of a whole run.

A model that is right 85 % of the time passes one draw of 90-of-100 with probability 0.099, and one of five draws with
0.41: retraining and drawing again until a gate passes accepts bad models sooner or later. A `GatePlan` therefore has a
confirming draw, from cases that no other draw opens, and accounts for every attempt. Given a `Risk`, the accept numbers
are computed so that the risk of the whole run is kept.

Pure functions in closed form; consumer's and producer's risk as in ISO 2859-1 and ISO 28590.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Literal

from tunegate.exceptions import ConfigError
from tunegate.stats.anytime_solving import solve_anytime
from tunegate.stats.binomial import binomial_tail
from tunegate.stats.judged import Judged, Scale
from tunegate.stats.sampling import (
    DrawPlan,
    SequentialPlan,
    SinglePlan,
    acceptance_probability,
    average_sample_number,
    wald_plan,
)

ASK_AGAIN = 3
"""How many times a question without an answer is asked again, unless the plan says otherwise."""


PlanKind = Literal["single", "double", "sequential", "anytime"]
Confirms = Literal["never", "after_retry", "always"]

SMALLEST_CONFIRMATION = 0.25
"""A solved confirming draw has at least this share of the first draw's cases: a few cases confirm nothing."""
MAX_DRAW = 2000
"""The largest draw that is tried: a gate that needs more asks for more than arithmetic should decide."""


@dataclass(frozen=True, slots=True)
class Risk:
    """The allowed risks of a run: `consumer`, the chance that any attempt accepts a model with pass rate `at`, and
    `producer`, the chance that the first attempt rejects a model with pass rate `good`."""

    consumer: float = 0.05
    at: float = 0.85
    producer: float = 0.05
    good: float = 0.95
    pipeline: bool = False
    """Whether `producer` is that of the whole pipeline, which its independent draws share."""

    def __post_init__(self) -> None:
        if not (0 < self.consumer < 0.5 and 0 < self.producer < 0.5 and 0 < self.at < self.good < 1):
            raise ValueError(
                "expected risks between 0 and 0.5 and pass rates with 0 < at < good < 1, got "
                f"consumer {self.consumer}, producer {self.producer}, at {self.at}, good {self.good}"
            )

    def shared_by(self, draws: int) -> Risk:
        """The risk that each of these independent draws may have, if they share the producer's risk."""
        return replace(self, producer=per_attempt(self.producer, draws)) if self.pipeline else self

    def seen_by(self, scale: Scale) -> Risk:
        """The same risks at the pass rates that judges of these error rates find; raises ValueError if they tell no
        good model from a bad one."""
        return replace(self, at=scale.passes(self.at), good=scale.passes(self.good))


@dataclass(frozen=True, slots=True)
class GatePlan:
    """The draws of a gate: the `first` draw of every attempt, and the draw that confirms it, from the sealed bank.

    `curtail`: stop asking the model once the verdict is certain (None: the caller decides). `reuse`: when the bank is
    spent, draw cases again that were drawn before; the record and the report mark them. `at` is the pass rate of a
    model that should not pass, for reporting how likely it passes.
    """

    first: DrawPlan
    confirm: DrawPlan | None = None
    confirms: Confirms = "never"
    curtail: bool | None = None
    reuse: bool = False
    at: float = 0.85
    judged: Judged | None = None
    """The error rates of the judges that decide; None where the checks are the truth."""
    spending: Risk | None = None
    """If given, each attempt has a confirming draw of its own, so that all attempts together keep this risk, however
    many there are (`spent`). `confirm` is then that of the first attempt."""

    @property
    def numbers(self) -> dict[str, Any]:
        """The plan without what is known of its judges: two gates with these numbers ask the same."""
        return {name: value for name, value in asdict(self).items() if name != "judged"}

    @property
    def draw(self) -> int:
        return self.first.draw

    @property
    def accept(self) -> int:
        return self.first.accept

    def confirmation(self, attempt: int) -> DrawPlan | None:
        """The confirming draw that this attempt needs after its first draw passed; None if it needs none."""
        if self.spending is not None:
            return solve_confirmation_of(self.first, self.spending, attempt)
        owed = self.confirms == "always" or (self.confirms == "after_retry" and attempt > 1)
        return self.confirm if owed else None

    @property
    def at_seen(self) -> float:
        """The rate at which a model of pass rate `at` passes the checks, judges included."""
        return self.seen(self.at)

    # --- the result for a model that passes a case with probability p ---

    def acceptance(self, p: float, attempt: int = 1) -> float:
        """The chance that this attempt is accepted."""
        confirm, p = self.confirmation(attempt), self.seen(p)
        first = acceptance_probability(self.first, p)
        return first if confirm is None else first * acceptance_probability(confirm, p)

    def acceptance_within(self, p: float, attempts: int) -> float:
        """The chance that any of this number of attempts is accepted if retraining changes nothing: the risk of a run.

        The attempts draw different cases. If the bank is a sample of the domain, their results are independent.
        """
        if self.spending is not None:
            return any_of([self.acceptance(p, number) for number in range(1, attempts + 1)])
        later = self.acceptance(p, 2)  # all attempts after the first have the same draws
        return any_of([self.acceptance(p, 1)] + [later] * (attempts - 1))

    def mean_tests(self, p: float, attempt: int = 1) -> float:
        """The mean number of cases that this attempt asks, the confirming draw included."""
        confirm, p = self.confirmation(attempt), self.seen(p)
        first = average_sample_number(self.first, p)
        if confirm is None:
            return first
        return first + acceptance_probability(self.first, p) * average_sample_number(confirm, p)

    def on(self, scale: Scale) -> GatePlan:
        """The same draws, decided by judges of exactly these error rates."""
        return replace(self, judged=Judged(scale, scale, scale))

    @property
    def truth(self) -> GatePlan:
        """The same draws, decided by checks that never err."""
        return replace(self, judged=None)

    def seen(self, p: float) -> float:
        """The pass rate that the checks find where the model is right at the rate `p`."""
        return p if self.judged is None else self.judged.point.passes(p)


@dataclass(frozen=True, slots=True)
class PlanRule:
    """The plan in a suite file. `resolve` turns it into numbers, once the number of attempts is known.

    `accept` None: 90 % of the draw, or, given a `risk`, computed from it. `confirm` None: the default of the plan (see
    `resolve`); "never": a single draw is never confirmed, whatever the number of attempts. `ask_again`: how many times
    a question without an answer is asked again; the plan's numbers do not depend on it. `spending`: the consumer's risk
    holds for any number of attempts.
    """

    kind: PlanKind = "single"
    draw: int | None = None
    accept: int | None = None
    confirm: SinglePlan | int | Literal["never"] | None = None
    risk: Risk | None = None
    curtail: bool | None = None
    reuse: bool = False
    ask_again: int = ASK_AGAIN
    spending: bool = False

    @property
    def facts(self) -> dict[str, Any]:
        """The rule for a hash, without a key that was added later and is not given: this keeps the hashes of suites."""
        facts = asdict(self)
        if self.risk is not None and not self.risk.pipeline:
            del facts["risk"]["pipeline"]
        return facts

    def resolve(self, attempts: int, judged: Judged | None = None, draws: int = 1) -> GatePlan:
        """The gate's plan for a stage of at most `attempts` attempts; raises ConfigError when no plan keeps the risk.

        single: `accept` of `draw`; a passing attempt after the first needs a confirming draw, with the same numbers
        unless `confirm` says otherwise. Given a risk, `accept` is computed for all attempts, without a confirming draw.
        double: every passing attempt needs the confirming draw; its numbers are computed from the risk unless given.
        sequential: Wald's test for the risk, shared among the attempts.
        anytime: a test by betting that may be continued at its cap, for the risk, shared among the attempts.
        A `risk` that the file gives is solved on the scale of the judges, `judged`. The default risk of `double` and
        `sequential` assumes checks that never err; `tunegate check` says what the judges make of it.
        `draws` is the number of independent draws in the pipeline, which share a risk with `pipeline`.
        """
        try:
            risk = self.risk and self.risk.shared_by(draws)
            rule = replace(self, risk=risk.seen_by(judged.point) if risk and judged else risk)
            plan: GatePlan = getattr(rule, f"_{self.kind}")(attempts)
            at = (self.risk or Risk()).at
            return replace(plan, curtail=self.curtail, reuse=self.reuse, at=at, judged=judged)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def _single(self, attempts: int) -> GatePlan:
        if self.risk is not None:
            if self.accept is not None or self.confirm not in (None, "never"):
                raise ConfigError(
                    "a single plan computes its numbers from `risk`; leave out `accept` and `confirm`, or leave out "
                    "`risk`"
                )
            first = solve_single(self.risk, attempts, self.draw)
            return GatePlan(first)
        first = self._first()
        if self.confirm == "never":
            return GatePlan(first)
        again = self.confirm if isinstance(self.confirm, SinglePlan) else first
        if isinstance(self.confirm, int):
            again = _ninety_percent(self.confirm)
        return GatePlan(first, again, "after_retry")

    def _double(self, attempts: int) -> GatePlan:
        first = self._first()
        if isinstance(self.confirm, SinglePlan):
            if self.risk is not None:
                raise ConfigError("give the accept number of `confirm`, or `risk`, from which it is computed, not both")
            confirm = self.confirm
        elif self.confirm == "never":
            raise ConfigError(
                "`confirm: never` contradicts `kind: double`, which confirms every pass; remove one of them"
            )
        elif self.spending:
            risk = self.risk or Risk()
            return GatePlan(first, solve_confirmation_of(first, risk, 1), "always", spending=risk)
        else:
            confirm = solve_confirmation(first, self.risk or Risk(), attempts, self.confirm)
        return GatePlan(first, confirm, "always")

    def _sequential(self, attempts: int) -> GatePlan:
        if self.accept is not None or self.confirm is not None:
            raise ConfigError(
                "a sequential plan is computed from `risk` (and `draw`, the cap); leave out the other keys"
            )
        first = solve_sequential(self.risk or Risk(), attempts, self.draw)
        return GatePlan(first)

    def _anytime(self, attempts: int) -> GatePlan:
        if self.accept is not None or self.confirm is not None:
            raise ConfigError("an anytime plan is computed from `risk` (and `draw`, the cap); leave out the other keys")
        risk = self.risk or Risk()
        return GatePlan(solve_anytime(risk.at, risk.good, risk.consumer, risk.producer, attempts, self.draw))

    def _first(self) -> SinglePlan:
        draw = 100 if self.draw is None else self.draw
        return _ninety_percent(draw) if self.accept is None else SinglePlan(draw, self.accept)


def _ninety_percent(draw: int) -> SinglePlan:
    return SinglePlan(draw, -(-9 * draw // 10))


def any_of(chances: Sequence[float]) -> float:
    """The chance that at least one of several independent events happens; accurate even for tiny chances."""
    return 1.0 if 1.0 in chances else -math.expm1(math.fsum(math.log1p(-chance) for chance in chances))


# --- solving for the accept numbers --------------------------------------------------------------------------------


def per_attempt(consumer: float, attempts: int) -> float:
    """The risk that each of these independent attempts may have so that the run keeps `consumer`."""
    return -math.expm1(math.log1p(-consumer) / attempts)


def spent(risk: Risk, attempt: int) -> Risk:
    """The part of the consumer's risk that this attempt, counted from 1, may spend: 6 / (pi t)^2 of it.

    The parts of all attempts, however many, add up to the whole (Euler's series): nobody must promise a number of
    attempts before the first. Alpha spending for an unlimited number of looks: K. K. G. Lan, D. L. DeMets, Biometrika
    70 (1983) 659-663.
    """
    return replace(risk, consumer=risk.consumer * 6 / (math.pi * attempt) ** 2)


@lru_cache
def solve_confirmation_of(first: DrawPlan, risk: Risk, attempt: int) -> SinglePlan:
    """The confirming draw of an attempt whose plan spends its risk."""
    return solve_confirmation(first, spent(risk, attempt), attempts=1)


def solve_single(risk: Risk, attempts: int, draw: int | None = None) -> SinglePlan:
    """The smallest draw (or the given one) and its accept number that keep both risks over all attempts."""
    return _solve_draw(risk, attempts, draw, lucky=1.0, fair=1.0)


def solve_confirmation(first: DrawPlan, risk: Risk, attempts: int, draw: int | None = None) -> SinglePlan:
    """The smallest confirming draw (or the given one) that keeps both risks when it follows every pass of `first`.

    It has at least a quarter of the cases of `first`, and accepts only a share above `risk.at`, even where the first
    draw alone nearly keeps the risk: a confirming draw that a bad model would mostly pass too confirms nothing.
    """
    lucky, fair = (acceptance_probability(first, p) for p in (risk.at, risk.good))
    if fair < 1.0 - risk.producer:
        raise ConfigError(
            f"{first.accept} of {first.draw} alone rejects a model at {risk.good} with probability "
            f"{1.0 - fair:.2g}, but the producer's risk is {risk.producer}; lower `accept` or draw more cases"
        )
    smallest = math.ceil(SMALLEST_CONFIRMATION * first.draw)
    return _solve_draw(risk, attempts, draw, lucky, fair, smallest, above=risk.at)


def _solve_draw(
    risk: Risk, attempts: int, draw: int | None, lucky: float, fair: float, smallest: int = 1, above: float = 0.0
) -> SinglePlan:
    """A draw of at least `smallest` cases that a bad model reaches with probability `lucky` and a good one with `fair`;
    more than the share `above` must pass.

    With every additional case, the lowest accept number that keeps the consumer's risk rises by one or stays the same.
    """
    _refuse_above_limit(draw)
    limit = per_attempt(risk.consumer, attempts)
    accept = 1 if draw is None else _lowest(draw, lambda k: lucky * binomial_tail(k, draw, risk.at) <= limit)
    for size in range(smallest, MAX_DRAW + 1) if draw is None else (draw,):
        accept = max(accept, lowest_above(above, size))
        while accept <= size and lucky * binomial_tail(accept, size, risk.at) > limit:
            accept += 1
        if accept <= size and fair * binomial_tail(accept, size, risk.good) >= 1.0 - risk.producer:
            return SinglePlan(size, accept)
    raise _impossible(
        risk, attempts, draw, lambda: _solve_draw(risk, attempts, None, lucky, fair, smallest, above).draw
    )


def lowest_above(share: float, draw: int) -> int:
    """The lowest number of passes that is more than this share of a draw."""
    return math.floor(share * draw + 1e-9) + 1


def _refuse_above_limit(draw: int | None) -> None:
    if draw is not None and draw > MAX_DRAW:
        raise ConfigError(f"a draw of {draw} cases is too large to compute a plan for; draw at most {MAX_DRAW}")


def _lowest(draw: int, keeps: Callable[[int], bool]) -> int:
    """The lowest accept number that keeps the consumer's risk, which falls as the number rises; `draw` + 1 if none."""
    return bisect_left(range(1, draw + 1), True, key=keeps) + 1


def solve_sequential(risk: Risk, attempts: int, draw: int | None = None) -> SequentialPlan:
    """Wald's test whose exact risks, cap included, are within `risk`. The cap is the given draw; without one, it is 1.5
    times the single draw of the same risk, or more if needed."""
    _refuse_above_limit(draw)
    if draw is None:
        cap = math.ceil(1.5 * solve_single(risk, attempts).draw)
        while cap <= MAX_DRAW:
            plan = _wald_within(risk, attempts, cap)
            if plan is not None:
                return plan
            cap = math.ceil(1.2 * cap)
    else:
        plan = _wald_within(risk, attempts, draw)
        if plan is not None:
            return plan
    raise _impossible(risk, attempts, draw, lambda: solve_sequential(risk, attempts).draw)


def _wald_within(risk: Risk, attempts: int, cap: int) -> SequentialPlan | None:
    """Wald's lines keep the risks except for the overshoot and the cap: move them apart until the exact risks fit."""
    limit = per_attempt(risk.consumer, attempts)
    consumer, producer = limit, risk.producer
    for _ in range(30):
        plan = wald_plan(risk.good, risk.at, producer, consumer, cap)
        lucky = acceptance_probability(plan, risk.at)
        unlucky = 1.0 - acceptance_probability(plan, risk.good)
        if lucky <= limit and unlucky <= risk.producer:
            return plan
        consumer *= 0.85 if lucky > limit else 1.0
        producer *= 0.85 if unlucky > risk.producer else 1.0
    return None


def _impossible(risk: Risk, attempts: int, draw: int | None, smallest: Callable[[], int]) -> ConfigError:
    wanted = (
        f"a consumer's risk of {risk.consumer} at {risk.at} over {attempts} attempts "
        f"and a producer's risk of {risk.producer} at {risk.good}"
    )
    if draw is None:
        return ConfigError(f"no draw of up to {MAX_DRAW} cases keeps {wanted}; allow more risk or fewer attempts")
    return ConfigError(f"{draw} cases cannot keep {wanted}; the smallest draw that does has {smallest()}")
