"""What `tunegate check` finds out about a file, as values: its suites, stages, leaks, and how far each bank lasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tunegate.cases.bank import Bank
from tunegate.cases.case import Case, duplicates, question_of
from tunegate.cases.spellings import spellings
from tunegate.checks.answers.part import as_judged
from tunegate.checks.check import LooksAtBank, Need, lacking
from tunegate.checks.judge_admission import admitted_words
from tunegate.checks.own_check import OwnCheck
from tunegate.commands.compared import Json, compared, comparisons_of
from tunegate.data.training_data import Example
from tunegate.leaks.leakage import Leak, describe, facts
from tunegate.ledger.entries import History
from tunegate.pipeline.ladders import LADDERS, first_settings, possible_attempts, possible_trainings
from tunegate.pipeline.leak_guard import drop_leaks, dropped_and_refused, in_words
from tunegate.pipeline.odds import budget, shared_draws
from tunegate.pipeline.pipeline import GateTerms, Pipeline, Stage
from tunegate.pipeline.supply import Supply, supply_of
from tunegate.suites.case_faults import contradictions, listed_in_text
from tunegate.suites.fitting_plan import fitting_plan, supported_attempts
from tunegate.suites.judged_plan import JudgedPlan, judged_plan
from tunegate.suites.limits_cost import notes_on_limits
from tunegate.suites.low_plan import LowPlan, low_plans
from tunegate.suites.requirements_cost import RequirementsCost, requirements_cost
from tunegate.suites.suite import Suite
from tunegate.training.job import rows_of
from tunegate.training.remedies import LIMITS, TOO_FEW, ways
from tunegate.verdicts.corrected import admissions_of
from tunegate.verdicts.diversity import DiversityRule
from tunegate.verdicts.passes_when import conditions_of, passes_when


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteFacts:
    """A suite and its bank. Lists of ids name cases; mappings are by the name of a check, a guard or a judge."""

    cases: int
    duplicates: list[list[str]]
    contradictions: list[list[str]]
    spellings: list[list[str]]
    """Cases that ask one question in several spellings."""
    listed_in_text: list[str]
    working: int
    sealed: int
    draw: int
    accept: int
    fresh_attempts: int | None
    """For how many attempts there are fresh cases; None: for any number, because the plan reuses cases."""
    asked_before: int
    """How many cases the ledger says were asked; a new run or gate asks only others."""
    retention: Json | None
    """Of a retention suite, for one attempt: `max_drop`, the cases that both models are asked, and the rule."""
    passes_when: str
    """Its rule in one sentence."""
    checks: list[str]
    checks_from: dict[str, str]
    lacking: Mapping[str, Mapping[Need, int]]
    allowed: dict[str, str]
    remarks: list[str]
    judges: Mapping[str, Json]
    low_plans: tuple[LowPlan, ...]
    """The draws of its plan that accept too few passes."""
    judged_plan: JudgedPlan | None
    """Of a suite that is checked alone; in a pipeline each stage has its own."""
    requirements: RequirementsCost | None
    """What its slices and its gap cost a good model."""
    diversity: DiversityRule | None
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFacts:
    """A stage: its rows, its attempts and its gates; mappings are by the name of a gate."""

    method: str
    role: str
    rows_in: int
    rows: int
    left_out: dict[str, int]
    leaked: int
    first_attempt: int
    retrain_rows: Sequence[int | Literal["all"]] | None
    rows_above: list[int]
    max_attempts: int
    possible_attempts: int
    attempts_in_vain: bool
    possible_trainings: int
    redraws: bool
    ladders: dict[str, list[Any]]
    default_ladders: list[str]
    """Those of `ladders` that `retrain: auto` gives."""
    ways: dict[str, list[str]]
    """The ladders that a miss uses, in their order, by its cause; empty for a search."""
    gates: list[str]
    sharing_a_draw: list[list[str]]
    """Gates that ask the same cases in the same way: they judge one set of answers."""
    plans: dict[str, Json]
    supported_attempts: dict[str, int | None]
    """For how many attempts each bank has fresh cases; None: for any number, because the plan reuses cases."""
    supply: Supply
    """The same for all gates together, after the stages before this one."""
    proposals: dict[str, str]
    judged_plans: dict[str, JudgedPlan]
    retention: dict[str, Json]
    worth: dict[str, Json]
    watched: Json | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFacts:
    """A pipeline file, or a suite file alone: then there are no stages."""

    file: str
    suites: dict[str, SuiteFacts]
    stages: dict[str, StageFacts] = field(default_factory=dict[str, StageFacts])
    name: str | None = None
    model: str | None = None
    notes: list[str] = field(default_factory=list[str])
    gates_not_taken_last: list[str] = field(default_factory=list[str])
    waivers: list[str] = field(default_factory=list[str])
    leaks: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    leaks_in_words: str = ""
    dropped: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    dropped_in_words: str = ""
    judge: str | None = None
    """Of a judge file: whether the judge is admitted."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def facts_of_suite(file: Path, suite: Suite, history: History) -> CheckFacts:
    """Of a suite file alone, whose gate writes a ledger that holds this so far."""
    return CheckFacts(file=str(file), suites={suite.name: _suite(suite, history, judged_plan(suite, attempts=1))})


def facts_of_judge(file: Path, judge: Any) -> CheckFacts:
    """Of a judge file: whether the judge may decide."""
    facts = judge.admission_facts
    return CheckFacts(file=str(file), suites={}, judge=facts["fault"] or admitted_words(facts))


def facts_of_pipeline(
    file: Path, pipeline: Pipeline, leaks: Sequence[Leak], notes: Sequence[str] = (), history: History | None = None
) -> CheckFacts:
    """Of a pipeline with its suites, stages and leaks, whose runs write a ledger that holds this `history` so far."""
    drops, refused = dropped_and_refused(pipeline, leaks)
    left, dropped = drop_leaks(pipeline, drops) if drops else (pipeline, [])
    supply = supply_of(pipeline)
    return CheckFacts(
        file=str(file),
        suites={name: _suite(suite, history or History()) for name, suite in pipeline.suites.items()},
        stages={
            stage.name: _stage(
                pipeline,
                stage,
                after,
                supply[stage.name],
                leaked=sum(len(one["rows"]) for one in dropped if one["stage"] == stage.name),
                first_attempt=len(_first_rows(left, after)),
            )
            for stage, after in zip(pipeline.stages, left.stages, strict=True)
        },
        name=pipeline.name,
        model=pipeline.model,
        notes=list(notes),
        gates_not_taken_last=_gates_not_taken_last(pipeline),
        waivers=[waiver.in_words for waiver in pipeline.waivers],
        leaks=facts(refused),
        leaks_in_words=describe(refused) if refused else "",
        dropped=dropped,
        dropped_in_words=in_words(dropped) if dropped else "",
    )


# --- a suite --------------------------------------------------------------------------------------------------------


def _suite(suite: Suite, history: History, judged: JudgedPlan | None = None) -> SuiteFacts:
    asked = history.asked(but_not_by="").intersection(suite.by_question)
    before = len(history.tries_on(suite.by_question.keys()))
    named = list(zip(suite.check_names, suite.checks, strict=True))
    return SuiteFacts(
        cases=len(suite.cases),
        duplicates=[list(same) for same in duplicates(suite.cases)],
        contradictions=[[one.id, other.id] for one, other in contradictions(suite.cases)],
        spellings=[[case.id for case in alike] for alike in spellings(suite.cases)],
        listed_in_text=listed_in_text(suite.cases),
        working=len(suite.bank.working),
        sealed=len(suite.bank.sealed),
        draw=suite.plan.draw,
        accept=suite.plan.accept,
        fresh_attempts=_fresh_attempts(suite, asked, before),
        asked_before=len(asked),
        retention=_retention(suite),
        passes_when=_passes_when(suite),
        checks=list(suite.check_names),
        checks_from={name: check.origin for name, check in named if isinstance(check, OwnCheck) and check.origin},
        lacking={name: without for name, check in named if (without := lacking(check, suite.cases))},
        allowed=dict(suite.allowed),
        remarks=[*suite.remarks, *_remarks_on_bank(suite), *notes_on_limits(suite.limits)],
        judges=admissions_of(suite.checks),
        low_plans=() if suite.retention else low_plans(suite.plan),
        judged_plan=judged,
        requirements=requirements_cost(suite),
        diversity=suite.diversity,
        sha256=suite.sha256,
    )


def _fresh_attempts(suite: Suite, asked: AbstractSet[str], before: int) -> int | None:
    """For how many gates there are cases; None: for any number. A gate that asks cases again confirms no retry."""
    if suite.plan.reuse:
        return supported_attempts(suite.bank, suite.plan) if suite.plan.confirmation(1) else None
    return supported_attempts(_unasked(suite.bank, asked), suite.plan, before)


def _passes_when(suite: Suite) -> str:
    plan = suite.plan
    terms = suite.terms(plan, curtail=False)
    if suite.retention is not None:
        terms = replace(terms, purpose="retention", max_drop=suite.retention.max_drop)
    conditions = conditions_of(dict(zip(suite.check_names, suite.checks, strict=True)))
    confirm = plan.confirmation(1) or plan.confirm
    return passes_when(terms, conditions, confirm, after_retry=plan.confirms == "after_retry")


def _unasked(bank: Bank, asked: AbstractSet[str]) -> Bank:
    """The part of a bank that nobody asked."""
    if not asked:
        return bank
    working, sealed = (
        tuple(case for case in part if question_of(case) not in asked) for part in (bank.working, bank.sealed)
    )
    return Bank(working, sealed)


def _retention(suite: Suite) -> Json | None:
    if suite.retention is None:
        return None
    draw, kept = suite.retention.rule(suite.plan.draw, attempts=1)
    return compared(suite.retention.max_drop, draw, kept)


def _remarks_on_bank(suite: Suite) -> Iterator[str]:
    cases: list[Case] = [as_judged(case, suite.answer) for case in suite.cases]
    for name, check in zip(suite.check_names, suite.checks, strict=True):
        if isinstance(check, LooksAtBank):
            yield from (f"{name}: {remark}" for remark in check.remarks(cases))


# --- a stage --------------------------------------------------------------------------------------------------------


def _stage(
    pipeline: Pipeline, stage: Stage, after: Stage, supply: Supply, *, leaked: int, first_attempt: int
) -> StageFacts:
    """`after` is the stage without the rows that leak."""
    gates, retrain = pipeline.gates(stage), after.retrain
    trains = stage.role != "baseline"
    allowed = retrain.max_attempts if trains else 1
    possible = possible_attempts(retrain) if trains else 1
    attempts = budget(after)
    ladders = {name: rungs for name in LADDERS if len(rungs := retrain.ladder(name)) > 1} if trains else {}
    supported = {name: supported_attempts(pipeline.suites[name].bank, gate.plan) for name, gate in gates.items()}
    watched = pipeline.watched.get(stage.name)
    comparisons = comparisons_of(pipeline, stage)
    return StageFacts(
        method=stage.spec.method,
        role=stage.role,
        rows_in=stage.data.rows_in,
        rows=len(stage.data.examples),
        left_out={left.why: len(left.rows) for left in stage.data.left_out},
        leaked=leaked,
        first_attempt=first_attempt,
        retrain_rows=retrain.rows,
        rows_above=_rows_above(after),
        max_attempts=allowed,
        possible_attempts=attempts,
        attempts_in_vain=allowed > possible and "max_attempts" in retrain.model_fields_set,
        possible_trainings=min(allowed, possible_trainings(retrain)) if trains else 0,
        redraws=trains and retrain.on_noise == "redraw" and allowed > 1,
        ladders=ladders,
        default_ladders=[name for name in ladders if name in after.filled],
        ways={} if retrain.search == "optuna" or not ladders else _ways(after),
        gates=list(gates),
        sharing_a_draw=shared_draws(pipeline, stage),
        plans={name: gate.to_json() for name, gate in gates.items()},
        supported_attempts=supported,
        supply=supply,
        proposals=_proposals(pipeline, gates, supported, attempts),
        judged_plans={
            name: found
            for name in gates
            if (found := judged_plan(pipeline.suites[name], attempts, pipeline.independent_draws))
        },
        retention=comparisons["retention"],
        worth=comparisons["worth"],
        watched=watched.to_json() if watched else None,
    )


def _ways(stage: Stage) -> dict[str, list[str]]:
    """Too few misses of its own are a cause only for a stage that learns from these; limits are never trained for."""
    left_out = {LIMITS} if stage.spec.data.own_answers is not None else {LIMITS, TOO_FEW}
    return {cause: list(ladders) for cause, ladders in ways(stage.retrain).items() if cause not in left_out}


def _rows_above(stage: Stage) -> list[int]:
    """The rungs of `retrain.rows` that ask for more rows than there are."""
    usable = len(stage.data.examples)
    return [rung for rung in stage.spec.retrain.rows or () if rung != "all" and rung > usable]


def _first_rows(pipeline: Pipeline, stage: Stage) -> list[Example]:
    return rows_of(pipeline, stage, first_settings(stage.retrain)).examples


def _proposals(
    pipeline: Pipeline, gates: Mapping[str, GateTerms], supported: Mapping[str, int | None], attempts: int
) -> dict[str, str]:
    """For each gate whose bank lasts for fewer attempts than these: a plan that it can serve, in words."""
    short = [name for name in gates if (lasts := supported[name]) is not None and lasts < attempts]
    plans = {name: fitting_plan(pipeline.suites[name].cases, attempts) for name in short}
    return {name: found.in_words for name, found in plans.items() if found}


def _gates_not_taken_last(pipeline: Pipeline) -> list[str]:
    """Gates of earlier stages that the last stage does not list: the promoted weights only must not be worse at them.

    A scorer's gates are left out: they ask how it ranks pairs, which the weights that it rewards are not asked.
    """
    *earlier, last = pipeline.stages
    asked = (stage for stage in earlier if stage.role != "scorer")
    return sorted({gate for stage in asked for gate in pipeline.gates(stage)} - set(pipeline.gates(last)))
