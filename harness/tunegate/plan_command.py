"""`tunegate plan`: what a gate lets through, retries included, before it is trusted and before anything is trained."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tunegate.checks import CheckBuilder
from tunegate.console import show, show_json
from tunegate.exceptions import ConfigError
from tunegate.pipeline import load_pipeline
from tunegate.plans import GatePlan, PlanKind, PlanRule, Risk, any_of, curve
from tunegate.sampling import DrawPlan, SequentialPlan, bank_acceptance_probability

MAX_ATTEMPTS = 100
WIDTH, HEIGHT = 61, 11
"""Of the plot: a column for each pass rate of 0.70, 0.705, … 1.00, and a row for each tenth of probability."""


def plan(options: Namespace, build_check: CheckBuilder) -> int:
    """Print the operating characteristic of one plan, or of every gate of a pipeline."""
    file = _pipeline_file(options)
    described = _of_file(file, build_check) if file else [_of_options(options)]
    if options.json:
        facts = [gate.facts(options.bank) for gate in described]
        show_json({**facts[0], "gates": facts if file else []})
    else:
        for gate in described:
            _print(gate, options.bank)
        if file is None and options.plan is None:
            show("this is the recommended plan; in a suite file: `plan: {kind: double}`")
    return 0


def _pipeline_file(options: Namespace) -> Path | None:
    """The pipeline to describe: the named one, or the one here unless the options spell out a plan."""
    spelled = (options.plan, options.draw, options.accept, options.confirm, options.attempts)
    if options.file is not None:
        if any(value is not None for value in spelled):
            raise ConfigError("--file describes the plans that stand in the file; leave out the other options")
        return Path(options.file)
    here = Path("tunegate.yaml")
    return here if here.is_file() and not any(value is not None for value in spelled) else None


@dataclass(frozen=True)
class Described:
    """A plan over so many attempts, and the gate that it stands in, if any."""

    kind: PlanKind
    plan: GatePlan
    attempts: int
    stage: str | None = None
    gate: str | None = None

    def facts(self, bank: int | None) -> dict[str, Any]:
        """What there is to say, for scripts."""
        return {
            "stage": self.stage,
            "gate": self.gate,
            "plan": {
                "kind": self.kind,
                **_numbers(self.plan.first),
                "confirm": self.plan.confirm and _numbers(self.plan.confirm),
                "confirms": self.plan.confirms,
            },
            "attempts": self.attempts,
            "curve": [asdict(point) for point in curve(self.plan, self.attempts)],
            "bank": None if bank is None else {"size": bank, "curve": _in_bank(self.plan, self.attempts, bank)},
            "words": self.words,
        }

    @property
    def title(self) -> str:
        """The numbers in one line."""
        first, confirm = self.plan.first, self.plan.confirm
        text = f"{first.accept} of {first.draw}"
        if isinstance(first, SequentialPlan):
            text = f"Wald's test, at most {first.draw} tests"
        if confirm is not None:
            when = "then" if self.plan.confirms == "always" else "after a retry also"
            text += f", {when} {confirm.accept} of {confirm.draw} sealed"
        where = f"{self.stage} {self.gate}: " if self.gate else ""
        return f"{where}{self.kind} plan: {text}; {self.attempts} attempts"

    @property
    def words(self) -> str:
        """The consumer's and the producer's side in a sentence each."""
        plan, bad = self.plan, self.plan.at
        once = plan.acceptance(bad)
        sentence = (
            f"A model that is right {100 * bad:g} % of the time passes one attempt with probability {once:.3f}, "
            f"any of {self.attempts} with {any_of([once] * self.attempts):.3f}"
        )
        if plan.confirms == "after_retry":
            confirmed = plan.acceptance_within(bad, self.attempts)
            sentence += f"; confirmed after a retry, as a run does, with {confirmed:.3f}"
        return (
            f"{sentence}. One that is right 95 % of the time passes its first attempt with {plan.acceptance(0.95):.3f}."
        )


def _of_file(file: Path, build_check: CheckBuilder) -> list[Described]:
    pipeline = load_pipeline(file, build_check)
    return [
        Described(pipeline.suites[name].rule.kind, gate.plan, stage.spec.retrain.max_attempts, stage.name, name)
        for stage in pipeline.stages
        for name, gate in pipeline.gates(stage).items()
    ]


def _of_options(options: Namespace) -> Described:
    attempts = 5 if options.attempts is None else options.attempts
    if not 1 <= attempts <= MAX_ATTEMPTS:
        raise ConfigError(f"--attempts {attempts}: a number from 1 to {MAX_ATTEMPTS} was expected")
    kind: PlanKind = options.plan or ("double" if options.draw is None and options.accept is None else "single")
    for name in ("draw", "accept", "confirm"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} {value}: at least 1 was expected")
    rule = PlanRule(kind, options.draw, options.accept, options.confirm, _risk(options.risk))
    return Described(kind, rule.resolve(attempts), attempts)


def _risk(text: str | None) -> Risk | None:
    if text is None:
        return None
    try:
        consumer, at, producer, good = (float(part) for part in text.split(","))
        return Risk(consumer, at, producer, good)
    except ValueError as error:
        raise ConfigError(
            f"--risk {text}: CONSUMER,AT,PRODUCER,GOOD was expected, such as 0.05,0.85,0.05,0.95"
        ) from error


def _numbers(plan: DrawPlan) -> dict[str, Any]:
    """The numbers of one draw; of a sequential one also its lines."""
    numbers: dict[str, Any] = {"draw": plan.draw, "accept": plan.accept}
    if isinstance(plan, SequentialPlan):
        numbers["lines"] = {
            "slope": plan.slope,
            "accept_intercept": plan.accept_intercept,
            "reject_intercept": plan.reject_intercept,
        }
    return numbers


def _in_bank(plan: GatePlan, attempts: int, size: int) -> list[dict[str, float]]:
    """For a bank of this size: exact for one draw without replacement, a bound (Boole's) for all attempts."""
    if size < plan.draw:
        raise ConfigError(f"--bank {size}: the plan draws {plan.draw}")
    points: list[dict[str, float]] = []
    for point in curve(plan, attempts):
        once = bank_acceptance_probability(plan.first, size, round(point.p * size))
        points.append(
            {"p": round(point.p * size) / size, "accept": once, "accept_any_at_most": min(1.0, attempts * once)}
        )
    return points


# --- for people ----------------------------------------------------------------------------------------------------


def _print(described: Described, bank: int | None) -> None:
    show(described.title)
    show("right    one attempt   any attempt   a run promotes   mean tests")
    for point in curve(described.plan, described.attempts):
        show(
            f"{point.p:<6.3g}   {point.accept:<11.3f}   {point.accept_any:<11.3f}   "
            f"{point.promoted:<14.3f}   {point.mean_tests:.1f}"
        )
    for line in _plot(described.plan, described.attempts):
        show(line)
    show(described.words)
    if bank is not None:
        show(f"a bank of {bank}: one draw without replacement, exactly; all attempts at most")
        for inside in _in_bank(described.plan, described.attempts, bank):
            show(f"{inside['p']:<6.3g}   {inside['accept']:<11.3f}   {inside['accept_any_at_most']:.3f}")


def _plot(plan: GatePlan, attempts: int) -> list[str]:
    """One attempt `o`, any attempt `x`, what a run promotes `*`; where they meet, the last of them."""
    rows = [[" "] * WIDTH for _ in range(HEIGHT)]
    for column, point in enumerate(curve(plan, attempts, [(700 + 5 * column) / 1000 for column in range(WIDTH)])):
        for chance, sign in ((point.accept, "o"), (point.accept_any, "x"), (point.promoted, "*")):
            rows[round((1.0 - chance) * (HEIGHT - 1))][column] = sign
    lines = [f"{1.0 - number / (HEIGHT - 1):.1f} |{''.join(row).rstrip()}" for number, row in enumerate(rows)]
    axis = "    +" + "-" * WIDTH
    labels = "     0.70      0.75      0.80      0.85      0.90      0.95      1.00"
    return [*lines, axis, labels, "     accepted (up) by pass rate: o one attempt, x any attempt, * a run promotes"]
