"""Reads a suite from a file: validates its cases, checks and plan against each other, and hashes it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from tunegate.cases.bank import SEALED_SHARE, Bank, split
from tunegate.cases.case import Case
from tunegate.cases.from_rows import load_cases
from tunegate.cases.spellings import in_groups
from tunegate.checks.answers.part import AUTO, AnswerRule, as_judged
from tunegate.checks.check import (
    Check,
    CheckBuilder,
    LooksAtAnswer,
    LooksAtBank,
    gate_can_fail,
    lacking,
    unaskable,
    unique_names,
)
from tunegate.checks.outcome import shallow
from tunegate.exceptions import ConfigError
from tunegate.hashes import suite_json
from tunegate.models.model import GenerationSettings
from tunegate.models.sampling_grid import settings_of
from tunegate.reading.files import model_place
from tunegate.reading.spec import read_spec
from tunegate.reading.templates import MissingField, check_unfilled
from tunegate.reading.yaml_file import KeyPath, YamlFile, load_yaml
from tunegate.stats.plans import GatePlan, PlanRule, Risk
from tunegate.stats.sampling import SinglePlan
from tunegate.suites.case_faults import form_fault, named_as_a_repeat, unfit
from tunegate.suites.diverse import diversity_of
from tunegate.suites.fitting_plan import proposal
from tunegate.suites.limits_spec import LimitsSpec, baseline_of, limit_rules
from tunegate.suites.retained import check_paired_bank, dumped_rules, retention_of
from tunegate.suites.suite import Suite, check_bank
from tunegate.suites.suite_spec import AnswerSpec, DrawSpec, GenerateSpec, PlanSpec, SuiteSpec
from tunegate.suites.told_answers import GUARD, told_beforehand
from tunegate.trust.allowed import refuse, user_trust
from tunegate.verdicts.corrected import admissions_of, judged_by
from tunegate.verdicts.limits import BASE, LimitRules
from tunegate.verdicts.slices import SliceRule, slices_out_of_reach, too_many_for_a_draw
from tunegate.verdicts.terms import GapRule
from tunegate.verdicts.weighted import fault_of_weights


def load_suite(path: Path, build_check: CheckBuilder) -> Suite:
    """Load a suite file; raises ConfigError for any fault of the file, its cases or its checks."""
    file = load_yaml(path)
    spec = read_spec(SuiteSpec, file)
    name = path.name.removesuffix(".yaml").removesuffix(".yml").removesuffix(".gate")
    return make_suite(spec, spec.name or name, file, (), build_check)


def make_suite(
    spec: SuiteSpec,
    name: str,
    file: YamlFile,
    keys: KeyPath,
    build_check: CheckBuilder,
    cases: tuple[Case, ...] | None = None,
) -> Suite:
    """Build a suite from its validated spec at `keys` of `file`; `cases` if they are not in a file."""
    as_written = _load_cases(spec, file, keys) if cases is None else cases
    cases = in_groups(as_written)
    if (taken := named_as_a_repeat(cases)) is not None:
        raise file.error((*keys, "cases"), f"{spec.cases.path}: {taken}")
    allowed, remarks = _findings(spec, cases, file, keys)
    checks = tuple(
        _build(build_check, entry, file, (*keys, "checks", index)) for index, entry in enumerate(spec.checks)
    )
    answer = AUTO if spec.answer is None else answer_rule(spec.answer)
    _refuse_cases_without_verdict(spec, cases, checks, answer, file, keys)
    for key in _unread_generate(spec.generate, checks):
        names = ", ".join(unique_names(checks))
        message = f"has no effect: no answer is generated, because all checks read likelihoods ({names}); leave it out"
        raise file.error((*keys, "generate", key), message)
    rule, plan, share = _planned(spec, cases, checks, file, keys)
    settings, case_passes = _settings(spec.generate, cases, checks, file, keys), spec.case_passes or "all"
    sweep = _sweep(spec, settings, checks, file, (*keys, "sweep"))
    slices, gap = _parts(spec, cases, split(cases, share), rule, plan, file, keys)
    if (fault := fault_of_weights(spec.weight, cases)) is not None:
        raise file.error((*keys, "weight"), fault)
    diversity, diversity_texts = diversity_of(spec.diversity, cases, checks, plan.draw, file, keys)
    retention = None if spec.retention is None else retention_of(spec.retention)
    if retention is not None:
        try:
            check_paired_bank(split(cases, share), *retention.rule(plan.draw, attempts=1), reuse=rule.reuse)
        except ConfigError as error:
            raise file.error((*keys, "retention"), str(error)) from error
    limits = _limits(spec.limits, plan, file, (*keys, "limits"))
    terms = [
        rule.facts,
        share,
        dumped_rules(spec),
        answer.to_json(),
        case_passes,
        *([sorted(spec.weight.items())] if spec.weight else []),
        *([spec.limits.model_dump()] if spec.limits else []),
        *([sorted(spec.allow)] if spec.allow else []),  # keeps the hashes of suites without `allow`
        *([asdict(diversity)] if diversity else []),
    ]
    return Suite(
        name,
        cases,
        checks,
        rule,
        settings,
        _sha256(as_written, checks, terms, settings),
        str(file.path),
        share,
        slices,
        gap,
        retention,
        answer=answer,
        case_passes=case_passes,
        responses=spec.responses,
        weight=spec.weight,
        allowed=allowed,
        remarks=remarks,
        limits=limits,
        diversity=diversity,
        diversity_texts=diversity_texts,
        sweep=sweep,
    )


def _refuse_cases_without_verdict(
    spec: SuiteSpec,
    cases: Sequence[Case],
    checks: Sequence[Check],
    answer: AnswerRule,
    file: YamlFile,
    keys: KeyPath,
) -> None:
    """Raise ConfigError if some case can't be asked, or can't be judged by the checks."""
    path = spec.cases.path
    for index, (check, known_as) in enumerate(zip(checks, unique_names(checks), strict=True)):
        for need in (need for need, without in lacking(check, cases).items() if without == len(cases)):
            raise file.error((*keys, "checks", index), _nothing_to_compare(known_as, need, path, len(cases)))
    try:
        check_unfilled("system", spec.generate.system, cases[0].fields)
    except ConfigError as error:
        raise file.error((*keys, "generate"), str(error)) from error
    if (fault := unfit(cases, checks)) is not None:
        raise file.error((*keys, "cases"), f"{path}: {fault}")
    if spec.answer is not None and all(check.needs_choices for check in checks):
        names = ", ".join(unique_names(checks))
        raise file.error(
            (*keys, "answer"), f"{names} reads likelihoods, not text, so `answer` has no effect; leave it out"
        )
    seen = [as_judged(case, answer) for case in cases]
    for index, check in enumerate(checks):
        if isinstance(check, LooksAtAnswer) and (fault := check.fault_with(answer)) is not None:
            raise file.error((*keys, "checks", index), fault)
        fault = check.fault_of(seen) if isinstance(check, LooksAtBank) else None
        if fault is not None:
            raise file.error((*keys, "checks", index), f"{path}: {fault}")
    unasked = [(case, fault) for case in cases if (fault := unaskable(checks, case)) is not None]
    if unasked:
        case, fault = unasked[0]
        also = f" (so are {len(unasked) - 1} more)" if len(unasked) > 1 else ""
        raise file.error((*keys, "cases"), f"{path}: case {case.id!r} cannot be judged{also}: {fault}")


def _planned(
    spec: SuiteSpec, cases: Sequence[Case], checks: Sequence[Check], file: YamlFile, keys: KeyPath
) -> tuple[PlanRule, GatePlan, float]:
    """The plan's rule, the plan of one attempt, and the sealed share; the bank must be large enough for one attempt."""
    rule = plan_rule(spec.plan)
    try:
        plan = rule.resolve(1, judged_by(admissions_of(checks)))
    except ConfigError as error:
        raise file.error((*keys, "plan"), str(error)) from error
    if not gate_can_fail(checks, plan.draw):
        names = ", ".join(unique_names(checks))
        raise file.error(
            (*keys, "checks"),
            f"no answer can fail these checks: {names}; add one that can, such as `exact`, or forbid an error category",
        )
    share = _sealed_share(cases, plan) if spec.sealed is None else spec.sealed
    try:
        check_bank(split(cases, share), plan)
    except ConfigError as error:
        raise file.error((*keys, "cases"), f"{error}{proposal(cases, attempts=1)}") from error
    return rule, plan, share


def _settings(
    generate: GenerateSpec, cases: Sequence[Case], checks: Sequence[Check], file: YamlFile, keys: KeyPath
) -> GenerationSettings:
    settings = generate.settings
    if settings.samples > 1 and any(check.needs_choices for check in checks):
        raise file.error((*keys, "generate", "samples"), _NOT_SAMPLED)
    fault = form_fault(generate.form, settings, checks, cases)
    if fault is not None:
        raise file.error((*keys, "generate", *(("form",) if generate.form else ())), fault)
    return settings


def _sweep(
    spec: SuiteSpec, settings: GenerationSettings, checks: Sequence[Check], file: YamlFile, keys: KeyPath
) -> dict[str, tuple[float, ...]]:
    """The values that a sweep tries; they must make a sweep of this suite."""
    if spec.sweep is None:
        return {}
    if (fault := no_sweep_of(checks, spec.plan.kind)) is not None:
        raise file.error(keys, fault)
    try:
        settings_of(spec.sweep.values, settings)
    except ValueError as error:
        raise file.error(keys, str(error)) from error
    return spec.sweep.values


def no_sweep_of(checks: Sequence[Check], plan: str) -> str | None:
    """Why a suite with these checks and this kind of plan cannot be swept; None if it can."""
    if all(check.needs_choices for check in checks):
        return "no answer is generated, because all checks read likelihoods; a sweep would change nothing"
    if plan in ("sequential", "anytime"):
        return (
            f"a plan that is {plan} may stop before the diversity of the answers can be compared; use `single` or "
            "`double`"
        )
    return None


def _parts(
    spec: SuiteSpec, cases: Sequence[Case], bank: Bank, rule: PlanRule, plan: GatePlan, file: YamlFile, keys: KeyPath
) -> tuple[dict[str, SliceRule], GapRule | None]:
    """The rules on parts of a draw; each draw that decides must be able to hold enough cases of each part."""
    slices = {tag: SliceRule(minimum.min, minimum.at_least) for tag, minimum in spec.slices.items()}
    gap = GapRule(tuple(spec.gap.between), spec.gap.max, spec.gap.at_least) if spec.gap else None
    groups = {tag: SliceRule(1.0, gap.at_least) for tag in gap.between} if gap else {}
    smallest = min([plan.draw] + ([plan.confirm.draw] if plan.confirm and rule.confirm is not None else []))
    for key, rules in (("slices", slices), ("gap", groups)):
        wanted = {tag: part.at_least for tag, part in rules.items()}
        drawn_from = {"the suite": cases, "its working part": bank.working}
        out_of_reach = [slices_out_of_reach(part, rules, where) for where, part in drawn_from.items()]
        for fault in (*chain(*out_of_reach), *too_many_for_a_draw(cases, wanted, smallest)):
            raise file.error((*keys, key), fault)
    return slices, gap


def _limits(spec: LimitsSpec | None, plan: GatePlan, file: YamlFile, keys: KeyPath) -> LimitRules | None:
    """The limits on what serving costs; the model that they compare with is looked at, but not opened."""
    if spec is None:
        return None
    baseline = baseline_of(spec)
    try:
        if baseline not in (None, BASE):
            from tunegate.models.open_model import check_place, wants_of  # imported late: few suites need it

            baseline = model_place(baseline, file.path.parent)
            refuse(wants_of(baseline, "limits.baseline"), file.path, user_trust())
            check_place(baseline)
        return limit_rules(spec, plan.draw, baseline)
    except (ConfigError, ValueError) as error:
        raise file.error(keys, str(error)) from error


def _load_cases(spec: SuiteSpec, file: YamlFile, keys: KeyPath) -> tuple[Case, ...]:
    try:
        with file.naming((*keys, "cases", "path")):
            return load_cases(spec.cases, file.path.parent)
    except MissingField as error:
        raise file.error((*keys, "cases"), str(error)) from error


def _findings(
    spec: SuiteSpec, cases: Sequence[Case], file: YamlFile, keys: KeyPath
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Texts of the suite that reveal answers: findings that the file allows, and warnings; raises for the rest."""
    found = list(told_beforehand(cases, spec.generate.system, spec.cases.prompt))
    if GUARD in spec.allow:
        words = "; ".join(told.in_place for told in found)
        return {GUARD: words or "no findings in the suite's own texts"}, ()
    for told in found:
        if told.certain:
            raise file.error((*keys, *told.place), told.words)
    return {}, tuple(f"{told.in_place}; {told.remedy}" for told in found)


def answer_rule(spec: AnswerSpec) -> AnswerRule:
    """The part of an answer to judge, from the file's spec to the engine's type."""
    return AnswerRule(spec.after, tuple(spec.extract), spec.whole)


_NOT_SAMPLED = "the likelihood of a choice is always the same; remove `samples`, or the check that reads likelihoods"


def _unread_generate(generate: GenerateSpec, checks: Sequence[Check]) -> list[str]:
    """The keys without an effect, because no answer is generated; the keys on how to ask choices have one."""
    if not all(check.needs_choices for check in checks):
        return []
    return sorted(generate.model_fields_set - {"system", "system_as", "form"})


def _nothing_to_compare(check: str, need: str, path: str, cases: int) -> str:
    return (
        f"{check} needs `{need}` in each case, but none of the {cases} cases of {path} has it: all would be INVALID; "
        f'add `{need}` to the rows, or name the field: `cases: {{{need}: "{{field}}"}}`'
    )


def plan_rule(spec: PlanSpec) -> PlanRule:
    """The plan, from the file's spec to the engine's type."""
    confirm = SinglePlan(spec.confirm.draw, spec.confirm.accept) if isinstance(spec.confirm, DrawSpec) else spec.confirm
    risk = None if spec.risk is None else Risk(**spec.risk.model_dump())
    return PlanRule(
        spec.kind, spec.draw, spec.accept, confirm, risk, spec.curtail, spec.reuse, spec.ask_again, spec.spending
    )


def _sealed_share(cases: Sequence[Case], plan: GatePlan) -> float:
    """The default: a third, if both parts are then large enough for the plan; otherwise 0."""
    if plan.confirm is None:
        return 0.0
    bank = split(cases, SEALED_SHARE)
    fits = bank.distinct("working") >= plan.draw and bank.distinct("sealed") >= plan.confirm.draw
    return SEALED_SHARE if fits else 0.0


def _build(build_check: CheckBuilder, entry: Any, file: YamlFile, keys: KeyPath) -> Check:
    try:
        return build_check(entry, file.path.parent, file=file.path)
    except ConfigError as error:
        raise file.error(keys, str(error)) from error


def _sha256(cases: tuple[Case, ...], checks: tuple[Check, ...], plan: object, settings: GenerationSettings) -> str:
    digest = hashlib.sha256()
    for part in (plan, settings.facts(), [check.fingerprint for check in checks]):
        digest.update(suite_json(part))
    for case in sorted(cases, key=lambda case: case.id):
        digest.update(suite_json(shallow(case)))
    return digest.hexdigest()
