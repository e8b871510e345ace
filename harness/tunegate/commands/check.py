"""`tunegate check`: what a file contains, and how many attempts its banks support, before any training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tunegate.cases.case import duplicates
from tunegate.checks.answers.part import as_judged
from tunegate.checks.check import LooksAtBank, lacking
from tunegate.checks.own_check import OwnCheck
from tunegate.commands.console import show
from tunegate.data.faults import counted
from tunegate.data.training_data import Example
from tunegate.leaks.leakage import Leak, describe, facts
from tunegate.pipeline.ladders import first_settings, possible_attempts
from tunegate.pipeline.leak_guard import drop_leaks, in_words
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.suites.case_faults import contradictions, listed_in_text
from tunegate.suites.fitting_plan import fitting_plan, supported_attempts
from tunegate.suites.suite import Suite
from tunegate.training.job import rows_of
from tunegate.verdicts.corrected import admissions_of


def suite_facts(suite: Suite) -> dict[str, Any]:
    """A suite and its bank."""
    return {
        "cases": len(suite.cases),
        "duplicates": [list(same) for same in duplicates(suite.cases)],
        "contradictions": [[one.id, other.id] for one, other in contradictions(suite.cases)],
        "listed_in_text": listed_in_text(suite.cases),
        "working": len(suite.bank.working),
        "sealed": len(suite.bank.sealed),
        "draw": suite.plan.draw,
        "accept": suite.plan.accept,
        "fresh_attempts": suite.bank.distinct("working") // suite.plan.draw,
        "max_drop": suite.retention and suite.retention.max_drop,
        "checks": suite.check_names,
        "checks_from": {
            name: check.origin
            for name, check in zip(suite.check_names, suite.checks, strict=True)
            if isinstance(check, OwnCheck) and check.origin
        },
        "lacking": {
            name: without
            for name, check in zip(suite.check_names, suite.checks, strict=True)
            if (without := lacking(check, suite.cases))
        },
        "allowed": dict(suite.allowed),
        "remarks": [
            *suite.remarks,
            *(
                f"{name}: {remark}"
                for name, check in zip(suite.check_names, suite.checks, strict=True)
                if isinstance(check, LooksAtBank)
                for remark in check.remarks([as_judged(case, suite.answer) for case in suite.cases])
            ),
        ],
        "judges": admissions_of(suite.checks),
        "sha256": suite.sha256,
    }


def pipeline_facts(pipeline: Pipeline, leaks: Sequence[Leak]) -> dict[str, Any]:
    """A pipeline with its suites, stages, leaks, and the number of attempts that every bank supports."""
    drops = pipeline.leakage.action == "drop_from_train"
    left, dropped = drop_leaks(pipeline, leaks) if drops else (pipeline, [])
    first = {stage.name: len(_first_rows(left, stage)) for stage in left.stages}
    return {
        "name": pipeline.name,
        "model": pipeline.model,
        "suites": {name: suite_facts(suite) for name, suite in pipeline.suites.items()},
        "stages": {
            stage.name: {
                **_stage_facts(pipeline, stage, after),
                "leaked": sum(len(one["rows"]) for one in dropped if one["stage"] == stage.name),
                "first_attempt": first[stage.name],
            }
            for stage, after in zip(pipeline.stages, left.stages, strict=True)
        },
        "gates_not_taken_last": _gates_not_taken_last(pipeline),
        "waivers": [waiver.in_words for waiver in pipeline.waivers],
        "leaks": [] if drops else facts(leaks),
        "leaks_in_words": describe(leaks) if leaks and not drops else "",
        "dropped": dropped,
        "dropped_in_words": in_words(dropped) if dropped else "",
    }


def _stage_facts(pipeline: Pipeline, stage: Stage, after: Stage) -> dict[str, Any]:
    """`after` is the stage without the rows that leak."""
    gates, retrain = pipeline.gates(stage), after.retrain
    allowed, possible = retrain.max_attempts, possible_attempts(retrain)
    if stage.role == "baseline":
        allowed, possible = 1, 1
    return {
        "method": stage.spec.method,
        "role": stage.role,
        "rows_in": stage.data.rows_in,
        "rows": len(stage.data.examples),
        "left_out": {left.why: len(left.rows) for left in stage.data.left_out},
        "retrain_rows": retrain.rows,
        "rows_above": _rows_above(after),
        "max_attempts": allowed,
        "possible_attempts": min(allowed, possible),
        "attempts_in_vain": allowed > possible and "max_attempts" in retrain.model_fields_set,
        "gates": list(gates),
        "plans": {name: gate.to_json() for name, gate in gates.items()},
        "supported_attempts": {
            name: supported_attempts(pipeline.suites[name].bank, gate.plan) for name, gate in gates.items()
        },
        "proposals": _proposals(pipeline, stage, min(allowed, possible)),
        "retention": {name: asdict(terms) for name, terms in pipeline.retention(stage).items()},
        "worth": {name: asdict(terms) for name, terms in pipeline.worth(stage).items()},
        "watched": watched.to_json() if (watched := pipeline.watched.get(stage.name)) else None,
    }


def _rows_above(stage: Stage) -> list[int]:
    """The values of `retrain.rows` that exceed the number of rows."""
    usable = len(stage.data.examples)
    return [rung for rung in stage.spec.retrain.rows or () if rung != "all" and rung > usable]


def _first_rows(pipeline: Pipeline, stage: Stage) -> list[Example]:
    return rows_of(pipeline, stage, first_settings(stage.retrain)).examples


def _proposals(pipeline: Pipeline, stage: Stage, attempts: int) -> dict[str, str]:
    """For each gate whose bank supports fewer attempts: a plan that the bank can support, in words."""
    proposals: dict[str, str] = {}
    for name, gate in pipeline.gates(stage).items():
        suite = pipeline.suites[name]
        supported = supported_attempts(suite.bank, gate.plan)
        if supported is not None and supported < attempts and (found := fitting_plan(suite.cases, attempts)):
            proposals[name] = found.in_words
    return proposals


def _gates_not_taken_last(pipeline: Pipeline) -> list[str]:
    """Gates of earlier stages that the last stage does not list: the promoted weights must only not get worse at them.

    Gates of a reward model are left out: they test how it ranks pairs, which the weights it rewards are not asked.
    """
    *earlier, last = pipeline.stages
    asked = (stage for stage in earlier if stage.role != "scorer")
    return sorted({gate for stage in asked for gate in pipeline.gates(stage)} - set(pipeline.gates(last)))


def print_check(facts: dict[str, Any]) -> None:
    """What a file contains, one line for each suite and stage."""
    for name, suite in facts["suites"].items():
        sealed = f", {suite['sealed']} of them sealed" if suite["sealed"] else ""
        rule = f"draws {suite['draw']}, {suite['accept']} must pass"
        if suite["max_drop"] is not None:
            rule = f"retention: {suite['draw']} cases, before and after, at most {suite['max_drop']:g} points lost"
        show(f"suite {name}: {suite['cases']} cases{sealed}, {rule}; checks: {_checks_in_words(suite)}")
        if suite["duplicates"]:
            first = ", ".join(suite["duplicates"][0][:3])
            several = f"{len(suite['duplicates'])} tests have several ids, for example {first}"
            show(f"note: suite {name}: {several}; each is asked once")
        for note in _notes_on_references(suite):
            show(f"note: suite {name}: {note}")
        for check, without in suite["lacking"].items():
            for need, number in without.items():
                some = f"{number} of {suite['cases']} cases {'has' if number == 1 else 'have'} none"
                show(f"note: suite {name}: {check} needs `{need}` in each case, but {some}: INVALID if drawn")
        for remark in suite["remarks"]:
            show(f"note: suite {name}: {remark}")
        for guard, found in suite["allowed"].items():
            show(f"ALLOWED: suite {name}: {guard}: {found}")
        for judge, admission in suite["judges"].items():
            show(f"note: suite {name}: {judge}: {admission['fault'] or 'the judge is admitted'}")
    for name, stage in facts["stages"].items():
        kept = f"; must retain: {', '.join(stage['retention'])}" if stage["retention"] else ""
        if stage["worth"]:
            kept += f"; must be no worse than the baseline: {', '.join(stage['worth'])}"
        show(
            f"stage {name}: {stage['method']} on {_rows(stage)}, {_trained(stage)}; "
            f"gates: {', '.join(stage['gates'])}{kept}"
        )
        if stage["watched"]:
            asked, away = len(stage["watched"]["case_ids"]), len(stage["watched"]["reserved"])
            gate = stage["watched"]["gate"]
            show(f"note: stage {name} watches {asked} cases of {gate}; no gate draws these and their groups ({away})")
        if stage["left_out"]:
            left = ", ".join(f"{why} {rows:,}" for why, rows in stage["left_out"].items())
            show(f"note: stage {name}: `prepare` leaves out rows: {left}; `tunegate data {facts['file']}` names them")
        if stage["rows_above"]:
            asked, usable = ", ".join(map(str, stage["rows_above"])), counted(stage["retrain_rows"][-1], "row")
            show(f"note: stage {name}: retrain.rows: {asked} exceeds the rows left to train on: all {usable} are used")
        if stage["attempts_in_vain"]:
            show(f"note: stage {name}: {_in_vain(stage['max_attempts'], stage['possible_attempts'])}")
        for gate, attempts in stage["supported_attempts"].items():
            if attempts is not None and attempts < stage["possible_attempts"]:
                show(f"note: {_shortage(name, gate, attempts, facts['suites'][gate], stage)}")
    for note in facts.get("notes", []):
        show(f"note: {note}")
    for waiver in facts.get("waivers", []):
        show(f"WAIVER: {waiver}")
    if facts.get("gates_not_taken_last"):
        names = ", ".join(facts["gates_not_taken_last"])
        show(f"note: the last stage does not list {names}: the promoted weights are only checked for losses there")
    if facts.get("dropped_in_words"):
        show(f"note: {facts['dropped_in_words']}")
    show(f"INVALID: {facts['leaks_in_words']}" if facts.get("leaks") else f"{facts['file']}: ok")


def _notes_on_references(suite: dict[str, Any]) -> Iterator[str]:
    pairs, listed = suite["contradictions"], suite["listed_in_text"]
    if pairs:
        shown = ", ".join(f"{one} and {other}" for one, other in pairs[:3]) + (", …" if len(pairs) > 3 else "")
        yield (
            f"{counted(len(pairs), 'pair')} of cases ask the same question but share no reference, so no model can "
            f"pass both: {shown}"
        )
    if listed:
        yield (
            f"{counted(len(listed), 'reference')} may be several answers in one text, for example that of {listed[0]}; "
            'if so, name the separator: `cases: {separator: ";"}`'
        )


def _rows(stage: dict[str, Any]) -> str:
    """`320 rows, 66 left out as leaks, 16 in the first attempt`"""
    prepared, leaked, first = stage["rows_in"] - stage["rows"], stage["leaked"], stage["first_attempt"]
    parts = [
        counted(stage["rows_in"], "row"),
        f"{prepared:,} left out by `prepare`" if prepared else "",
        f"{leaked:,} left out as leaks" if leaked else "",
        f"{first:,} in the first attempt" if first != stage["rows"] - leaked else "",
    ]
    return ", ".join(filter(None, parts))


def _trained(stage: dict[str, Any]) -> str:
    if stage["role"] == "baseline":
        return "nothing is trained"
    attempts = stage["possible_attempts"]
    return "one attempt" if attempts == 1 else f"at most {attempts} attempts"


def _in_vain(allowed: int, possible: int) -> str:
    if possible == 1:
        return f"max_attempts is {allowed}, but no `retrain` list has a second value: only one attempt is possible"
    return f"max_attempts is {allowed}, but the `retrain` lists have values for {possible} attempts"


def _shortage(stage: str, gate: str, attempts: int, suite: dict[str, Any], facts: dict[str, Any]) -> str:
    """How many attempts a bank supports, how many cases are missing, and which plan fits it."""
    terms, wanted = facts["plans"][gate], facts["possible_attempts"]
    confirm = terms["confirm"]["plan"]["draw"] if terms["confirm"] else 0
    after_retry = terms["confirms"] == "after_retry"
    confirming = f" and {confirm} sealed ones to confirm a pass{' after a retry' if after_retry else ''}"
    missing = max(0, wanted * suite["draw"] - suite["working"])
    missing += max(0, (wanted - after_retry) * confirm - suite["sealed"])
    proposal = f"; {facts['proposals'][gate]}" if gate in facts["proposals"] else ""
    return (
        f"stage {stage}: the bank of {gate} has fresh cases for at least {counted(attempts, 'attempt')}; each uses "
        f"{suite['draw']} of {suite['working']} cases{confirming if confirm else ''}, of {suite['sealed']}; beyond "
        f"that a run ends INCONCLUSIVE; {counted(wanted, 'attempt')} need about {missing} more cases{proposal}"
    )


def _checks_in_words(suite: dict[str, Any]) -> str:
    """The checks by name, with the package of those that another package adds."""
    packages = suite["checks_from"]
    return ", ".join(f"{name} (from {packages[name]})" if name in packages else name for name in suite["checks"])
