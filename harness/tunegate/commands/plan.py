"""`tunegate plan`: how likely a gate is to pass a good or a bad model, retries included, before any training."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from tunegate.cases.bank import Bank
from tunegate.checks.check import CheckBuilder
from tunegate.commands.compared import comparison_lines, comparisons_of
from tunegate.commands.console import show, show_json
from tunegate.commands.plan_pipeline import pipeline_facts, pipeline_lines
from tunegate.commands.plan_plot import curves_of, plot
from tunegate.exceptions import ConfigError, nearest
from tunegate.pipeline.odds import pipeline_risk
from tunegate.pipeline.pipeline import Pipeline
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.stats.anytime import AnytimePlan
from tunegate.stats.curve import RATES, CurvePoint, accept_any, curve
from tunegate.stats.plans import MAX_DRAW, GatePlan, PlanKind, PlanRule, Risk
from tunegate.stats.sampling import DrawPlan, SequentialPlan, bank_acceptance_probability
from tunegate.suites.fitting_plan import supported_attempts
from tunegate.suites.low_plan import low_plans
from tunegate.verdicts.words import probability

MAX_ATTEMPTS = 100
SPELLED = ("plan", "draw", "accept", "confirm", "attempts", "risk")
"""The options that define a plan; without them, the pipeline in this folder is described."""


def plan(options: Namespace, build_check: CheckBuilder, check_allowed: Callable[[Path], None]) -> int:
    """Print the operating characteristic of one plan, or of every gate of a pipeline."""
    file = _pipeline_file(options)
    if file is not None:
        check_allowed(file)
    pipeline = load_pipeline(file, build_check) if file else None
    described = _of_pipeline(pipeline) if pipeline else [_of_options(options)]
    for gate in described:
        _refuse_what_cannot_be_told(gate, options.bank)
    risk = pipeline and pipeline_risk(pipeline)
    risk = risk if risk and risk.decides else None
    retained = {stage.name: comparisons_of(pipeline, stage) for stage in pipeline.stages} if pipeline else {}
    if options.json:
        facts = [gate.facts(options.bank) for gate in described]
        whole = {**pipeline_facts(risk), "compared": retained} if risk else None
        show_json({**facts[0], "gates": facts if file else [], "pipeline": whole})
        return 0
    for alike in _grouped(described):
        _print(alike, options.bank)
    for stage, purposes in retained.items():
        for purpose, comparisons in purposes.items():
            for line in comparison_lines(comparisons):
                show(f"stage {stage}: {purpose}: {line}")
    for line in pipeline_lines(risk) if risk else ():
        show(line)
    if file is None:
        show(_how_to_write_it(options))
    return 0


def _pipeline_file(options: Namespace) -> Path | None:
    """The pipeline to describe: the named file, or the file in this folder unless the options define a plan."""
    spelled = any(getattr(options, name) is not None for name in SPELLED)
    if options.file is not None:
        if spelled:
            raise ConfigError("--file shows the plans of the file; leave out the options that define a plan")
        return Path(options.file)
    here = Path("tunegate.yaml")
    return here if here.is_file() and not spelled else None


@dataclass(frozen=True)
class Described:
    """A plan over a number of attempts, the rule it was made by, and the gate it belongs to, if any."""

    rule: PlanRule
    plan: GatePlan
    attempts: int
    gate: tuple[str, str] | None = None
    bank: Bank | None = None

    @property
    def risk(self) -> Risk:
        """The pass rates of a bad and of a good model."""
        return self.rule.risk or Risk()

    def curve(self) -> list[CurvePoint]:
        """The operating characteristic, including the two pass rates of the risk."""
        return curve(self.plan, self.attempts, sorted({*RATES, self.risk.at, self.risk.good}))

    def facts(self, bank: int | None) -> dict[str, Any]:
        """The plan and its risks, for scripts."""
        stage, gate = self.gate or (None, None)
        return {
            "stage": stage,
            "gate": gate,
            "plan": {
                "kind": self.rule.kind,
                **_numbers(self.plan.first),
                "confirm": self.plan.confirm and _numbers(self.plan.confirm),
                "confirms": self.plan.confirms,
            },
            "attempts": self.attempts,
            "supported_attempts": self.bank and supported_attempts(self.bank, self.plan),
            "curve": [asdict(point) for point in self.curve()],
            "judged": self.plan.judged and asdict(self.plan.judged),
            "bank": None if bank is None else {"size": bank, "curve": _in_bank(self, bank)},
            "words": self.words,
            "low": [asdict(low) for low in low_plans(self.plan)],
        }

    @property
    def title(self) -> str:
        """The numbers in one line."""
        first, confirm = self.plan.first, self.plan.confirm
        text = f"{first.accept} of {first.draw}"
        if isinstance(first, SequentialPlan):
            text = f"Wald's test, at most {first.draw} tests"
        if isinstance(first, AnytimePlan):
            text = f"a test that may be continued after {first.draw} tests"
        if confirm is not None:
            when = "then" if self.plan.confirms == "always" else "and after a retry"
            text += f", {when} {confirm.accept} of {confirm.draw} sealed"
        last = self.plan.confirmation(self.attempts)
        if self.plan.spending is not None and self.attempts > 1 and last is not None:
            text += f", in attempt {self.attempts} {last.accept} of {last.draw}"
        return f"{self.rule.kind} plan: {text}; {_times(self.attempts)}"

    @property
    def judge(self) -> str:
        """What the gate's judge makes of answers; empty where none decides."""
        judged = self.plan.judged
        if judged is None:
            return ""
        lenient = self.plan.on(judged.lenient).acceptance_within(self.risk.at, self.attempts)
        return (
            f"its judge passes {judged.point.right:.1%} of right answers and {judged.point.wrong:.1%} of wrong ones, "
            f"and the chances below include that; a model that is right {100 * self.risk.at:g} % of the time passes "
            f"with up to {probability(lenient)} by the judge's error rates"
        )

    @property
    def words(self) -> str:
        """The consumer's and the producer's risk in one sentence each."""
        at, good = self.risk.at, self.risk.good
        once = self.plan.acceptance(at)
        sentence = (
            f"A model that is right {100 * at:g} % of the time passes one attempt with probability {probability(once)}"
        )
        if self.attempts > 1:
            sentence += (
                f", at least one of {self.attempts} with {probability(accept_any(self.plan, at, self.attempts))}"
            )
        if self.attempts > 1 and self.plan.confirms == "after_retry":
            promoted = self.plan.acceptance_within(at, self.attempts)
            sentence += f"; a run, which confirms a pass after a retry, promotes it with {probability(promoted)}"
        fair = probability(self.plan.acceptance(good))
        return f"{sentence}. A model that is right {100 * good:g} % of the time passes its first attempt with {fair}."

    @property
    def reach(self) -> str:
        """The gate, and how many attempts its bank supports."""
        if self.gate is None or self.bank is None:
            return ""
        supported = supported_attempts(self.bank, self.plan)
        enough = "any number of attempts" if supported is None else _times(supported)
        sealed = f" and {len(self.bank.sealed)} sealed" if self.bank.sealed else ""
        return f"{' '.join(self.gate)}: {len(self.bank.working)} cases{sealed}, enough fresh cases for {enough}"


def _of_pipeline(pipeline: Pipeline) -> list[Described]:
    return [
        Described(
            pipeline.suites[name].rule,
            gate.plan,
            stage.retrain.max_attempts,
            (stage.name, name),
            pipeline.suites[name].bank,
        )
        for stage in pipeline.stages
        for name, gate in pipeline.gates(stage).items()
    ]


def _refuse_what_cannot_be_told(described: Described, bank: int | None) -> None:
    """Raise for a plan too large to tabulate, or a bank too small for it, before anything is printed."""
    largest = max(described.plan.draw, described.plan.confirm.draw if described.plan.confirm else 0)
    if largest > MAX_DRAW:
        raise ConfigError(
            f"{described.title}: draws of more than {MAX_DRAW} cases cannot be tabulated; choose a smaller draw"
        )
    needed = _needed(described)
    if bank is not None and bank < needed:
        raise ConfigError(f"--bank: expected at least {needed}, the cases that the plan draws, got {bank}")


def _of_options(options: Namespace) -> Described:
    attempts = 5 if options.attempts is None else options.attempts
    if not 1 <= attempts <= MAX_ATTEMPTS:
        raise ConfigError(f"--attempts: expected a number from 1 to {MAX_ATTEMPTS}, got {attempts}")
    for name in ("draw", "accept", "confirm"):
        value = getattr(options, name)
        if value is not None and not 1 <= value <= MAX_DRAW:
            raise ConfigError(f"--{name}: expected a number from 1 to {MAX_DRAW}, got {value}")
    rule = PlanRule(_kind(options), options.draw, options.accept, options.confirm, _risk(options.risk))
    return Described(rule, rule.resolve(attempts), attempts)


def _kind(options: Namespace) -> PlanKind:
    """The requested kind; otherwise the recommended kind, or a single draw if its numbers are given."""
    if options.plan is None:
        return "double" if options.draw is None and options.accept is None else "single"
    if options.plan not in get_args(PlanKind):
        raise ConfigError(f"--plan {options.plan}: not a kind of plan{nearest(options.plan, get_args(PlanKind))}")
    return options.plan


def _risk(text: str | None) -> Risk | None:
    if text is None:
        return None
    try:
        consumer, at, producer, good = (float(part) for part in text.split(","))
        return Risk(consumer, at, producer, good)
    except ValueError as error:
        raise ConfigError(
            f"--risk: expected CONSUMER,AT,PRODUCER,GOOD, such as 0.05,0.85,0.05,0.95 (risks below 0.5, AT below "
            f"GOOD), got {text}"
        ) from error


def _numbers(plan: DrawPlan) -> dict[str, Any]:
    """The numbers of one draw; for a sequential draw also its lines."""
    numbers: dict[str, Any] = {"draw": plan.draw, "accept": plan.accept}
    if isinstance(plan, AnytimePlan):
        numbers["evidence"] = {"accept_at": plan.accept_at, "reject_at": plan.reject_at}
    if isinstance(plan, SequentialPlan):
        numbers["lines"] = {
            "slope": plan.slope,
            "accept_intercept": plan.accept_intercept,
            "reject_intercept": plan.reject_intercept,
        }
    return numbers


def _needed(described: Described) -> int:
    """How many cases one attempt may draw."""
    confirm = described.plan.confirmation(described.attempts)
    return described.plan.draw + (confirm.draw if confirm else 0)


def _in_bank(described: Described, size: int) -> list[dict[str, float]]:
    """For a bank of this size, both parts: one attempt exactly, drawn without replacement, and Boole's bound for all.

    The attempts share a bank, so they are not independent given its content.
    """
    plan, attempts = described.plan, described.attempts
    confirms = [plan.confirmation(attempt) for attempt in range(1, attempts + 1)]
    points: list[dict[str, float]] = []
    for rate in (point.p for point in described.curve()):
        passing = round(rate * size)
        chances = {
            confirm: bank_acceptance_probability(plan.first, size, passing, confirm)
            for confirm in dict.fromkeys(confirms)
        }
        once, every = chances[confirms[0]], math.fsum(chances[confirm] for confirm in confirms)
        points.append(
            {
                "p": passing / size,
                "accept": once,
                "accept_any_at_most": min(1.0, attempts * once if plan.confirms == "after_retry" else every),
                "promoted_at_most": min(1.0, every),
            }
        )
    return points


# --- for people ----------------------------------------------------------------------------------------------------


def _times(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"


def _grouped(described: list[Described]) -> list[list[Described]]:
    """Gates grouped by plan and attempts: each group shares a table."""
    groups: dict[Any, list[Described]] = {}
    for gate in described:
        groups.setdefault((gate.rule, gate.plan, gate.attempts), []).append(gate)
    return list(groups.values())


def _print(alike: list[Described], bank: int | None) -> None:
    described = alike[0]
    show(described.title)
    for gate in alike:
        if gate.reach:
            show(gate.reach)
    if described.judge:
        show(described.judge)
    for low in low_plans(described.plan):
        show(f"WARNING: {low.in_words}")
    show("right    one attempt   any attempt   a run promotes   mean tests")
    for point in described.curve():
        show(
            f"{point.p:<6.3g}   {probability(point.accept):<11}   {probability(point.accept_any):<11}   "
            f"{probability(point.promoted):<14}   {point.mean_tests:.1f}"
        )
    for line in plot(curves_of(described.plan, described.attempts), described.risk):
        show(line)
    show(described.words)
    if bank is not None:
        show(f"drawn from a bank of {bank} without replacement; one attempt: exact; all attempts: upper bound (Boole)")
        show("right    one attempt   any attempt   a run promotes")
        for inside in _in_bank(described, bank):
            show(
                f"{inside['p']:<6.3g}   {probability(inside['accept']):<11}   "
                f"{_at_most(inside['accept_any_at_most']):<11}   {_at_most(inside['promoted_at_most'])}"
            )


def _at_most(chance: float) -> str:
    """`≤ 0.177`, or `< 0.001`."""
    words = probability(chance)
    return words if words.startswith("<") else f"≤ {words}"


def _how_to_write_it(options: Namespace) -> str:
    """The plan as it is written in a suite file."""
    spelled = {"kind": _kind(options)} | {
        name: getattr(options, name) for name in ("draw", "accept", "confirm") if getattr(options, name) is not None
    }
    risk = _risk(options.risk)
    if risk is not None:
        numbers = {name: value for name, value in asdict(risk).items() if name != "pipeline"}
        spelled["risk"] = "{" + ", ".join(f"{name}: {value:g}" for name, value in numbers.items()) + "}"
    yaml = ", ".join(f"{name}: {value}" for name, value in spelled.items())
    recommended = "this is the recommended plan; " if spelled == {"kind": "double"} else ""
    return f"{recommended}in a suite file: `plan: {{{yaml}}}`"
