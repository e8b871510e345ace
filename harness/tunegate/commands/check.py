"""`tunegate check` in words: what a file contains, one line for each suite and stage."""

from __future__ import annotations

from collections.abc import Iterator

from tunegate.checks.judge_admission import admitted_words
from tunegate.commands.check_facts import CheckFacts, StageFacts, SuiteFacts
from tunegate.commands.compared import comparison_lines
from tunegate.commands.console import show
from tunegate.commands.looked_at import LookedAt
from tunegate.data.faults import counted


def print_wants(looked: LookedAt) -> None:
    """What the file would run, read, contact and load, one line for each; nothing for a file that does none of it."""
    wants = looked.wants
    for code in dict.fromkeys(map(str, wants.runs)):
        show(f"would run: {code}")
    for package in wants.installed:
        show(f"would run: {package}")
    for path in looked.outside:
        show(f"would read: {path}")
    for folder in looked.written:
        show(f"would write: {folder}")
    for contact in wants.contacts:
        show(f"would contact: {contact}")
    for model in wants.loads:
        show(f"would load: {model}")
    for model in wants.converts:
        show(f"would convert into the cache: {model}")
    for path in wants.admissions:
        show(f"brings an admission record: {path}")
    for line in looked.refused:
        show(f"REFUSED: {line}")


def print_check(facts: CheckFacts, looked: LookedAt) -> None:
    """What a file contains, one line for each suite and stage, and what it would do."""
    for name, suite in facts.suites.items():
        show(f"suite {name}: {_suite(suite)}")
        show(f"suite {name}: {suite.passes_when[:1].lower()}{suite.passes_when[1:]}")
        if suite.retention is None and not facts.stages:
            show(f"suite {name}: {_lasts(suite)}")
        if facts.stages and suite.asked_before:
            show(f"note: suite {name}: {_left(suite)}")
        for note in _notes_on_suite(suite):
            show(f"note: suite {name}: {note}")
        if suite.retention is not None and not facts.stages:
            show(f"note: suite {name}: for one attempt: {next(comparison_lines({name: suite.retention}))}")
        for guard, found in suite.allowed.items():
            show(f"ALLOWED: suite {name}: {guard}: {found}")
    for name, stage in facts.stages.items():
        show(f"stage {name}: {_stage(stage)}")
        for line in _retraining(stage):
            show(f"stage {name}: {line}")
        for note in _notes_on_stage(stage, facts):
            show(f"note: stage {name}{note}")
    for note in facts.notes:
        show(f"note: {note}")
    for waiver in facts.waivers:
        show(f"WAIVER: {waiver}")
    if facts.gates_not_taken_last:
        names = ", ".join(facts.gates_not_taken_last)
        show(f"note: the last stage does not list {names}: the promoted weights are only checked for losses there")
    if facts.dropped_in_words:
        show(f"note: {facts.dropped_in_words}")
    if facts.judge is not None:
        show(f"judge: {facts.judge}")
    print_wants(looked)
    if facts.leaks:
        show(f"INVALID: {facts.leaks_in_words}")
    elif looked.refused:
        show(f"{facts.file}: not to be used before you allow what is refused; this command ran and contacted nothing")
    else:
        show(f"{facts.file}: ok")


# --- a suite --------------------------------------------------------------------------------------------------------


def _suite(suite: SuiteFacts) -> str:
    sealed = f", {suite.sealed} of them sealed" if suite.sealed else ""
    rule = f"draws {suite.draw}, {suite.accept} must pass"
    if suite.retention is not None:
        rule = f"retention: at most {suite.retention['max_drop']:g} points lost"
    return f"{suite.cases} cases{sealed}, {rule}; checks: {_checks_in_words(suite)}"


def _lasts(suite: SuiteFacts) -> str:
    """For how many gates the bank of a suite has fresh cases, and what then happens."""
    attempts, asked = suite.fresh_attempts, suite.asked_before
    if attempts is None:
        return "cases for any number of attempts: `plan: {reuse: true}` asks them again"
    before = f" ({asked} of {suite.cases} were asked before, as the ledger says)" if asked else ""
    which = "a second model" if attempts == 1 and not asked else "another model" if attempts else "a model"
    fresh = counted(attempts, "attempt") if attempts else "no attempt"
    return f"fresh cases for {fresh}{before}; {'then ' if attempts else ''}{which} cannot be gated without more cases"


def _left(suite: SuiteFacts) -> str:
    """What earlier gates and runs leave of the bank to a new run of the pipeline."""
    asked = f"{suite.asked_before} of {suite.cases} cases were asked before, as the ledger says"
    if suite.fresh_attempts is None:
        return f"{asked}; a new run may ask them again, as its plan has `reuse: true`"
    if suite.fresh_attempts:
        return f"{asked}; the others last for {counted(suite.fresh_attempts, 'attempt')} of a new run"
    return f"{asked}; a new run would end INCONCLUSIVE before it trains: too few are left"


def _notes_on_suite(suite: SuiteFacts) -> Iterator[str]:
    if suite.duplicates:
        first = ", ".join(suite.duplicates[0][:3])
        several = counted(len(suite.duplicates), "test")
        yield f"{several} have several ids, for example {first}; each is asked once"
    if suite.spellings:
        asks, questions = sum(map(len, suite.spellings)), counted(len(suite.spellings), "question")
        first = ", ".join(suite.spellings[0][:3])
        what = "they count as one group" if len(suite.spellings) == 1 else "those of one question count as one group"
        yield f"{asks} cases are spellings of {questions}, for example {first}; {what}"
    yield from _notes_on_references(suite)
    for check, without in suite.lacking.items():
        for need, number in without.items():
            some = f"{number} of {suite.cases} cases {'has' if number == 1 else 'have'} none"
            yield f"{check} needs `{need}` in each case, but {some}: INVALID if drawn"
    yield from suite.remarks
    for judge, admission in suite.judges.items():
        yield f"{judge}: {admission['fault'] or admitted_words(admission)}"
    for low in suite.low_plans:
        yield low.in_words
    if suite.requirements:
        yield suite.requirements.in_words
    if rule := suite.diversity:
        yield (
            f"the answers of a draw must have at least {rule.at_least:g} of the diversity of {rule.against} by "
            f"{', '.join(rule.measures)}"
        )
    if suite.judged_plan:
        yield suite.judged_plan.in_words


def _notes_on_references(suite: SuiteFacts) -> Iterator[str]:
    pairs, listed = suite.contradictions, suite.listed_in_text
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


# --- a stage --------------------------------------------------------------------------------------------------------


def _stage(stage: StageFacts) -> str:
    kept = f"; must retain: {', '.join(stage.retention)}" if stage.retention else ""
    if stage.worth:
        kept += f"; must be no worse than the baseline: {', '.join(stage.worth)}"
    return f"{stage.method} on {_rows(stage)}, {_trained(stage)}; gates: {', '.join(stage.gates)}{kept}"


def _retraining(stage: StageFacts) -> Iterator[str]:
    """What a miss may lead to: how many trainings at most, the values to try, and which of them each cause uses."""
    if not stage.ladders:
        return
    first = "; after a miss by noise, the same weights are asked fresh cases first" if stage.redraws else ""
    yield f"at most {counted(stage.possible_trainings, 'training')}{first}"
    told = [
        f"{name} {', '.join(f'{rung:g}' if isinstance(rung, float) else str(rung) for rung in rungs)}"
        + (" (default)" if name in stage.default_ladders else "")
        for name, rungs in stage.ladders.items()
    ]
    yield f"values to try: {'; '.join(told)}"
    causes: dict[tuple[str, ...], list[str]] = {}
    for cause, ladders in stage.ways.items():
        causes.setdefault(tuple(ladders), []).append(cause)
    for ladders, names in causes.items():
        yield f"after {', '.join(names)}: {', then '.join(ladders) or 'nothing to try'}"


def _notes_on_stage(stage: StageFacts, facts: CheckFacts) -> Iterator[str]:
    """Each goes on after the name of the stage."""
    if stage.watched:
        asked, away = len(stage.watched["case_ids"]), len(stage.watched["reserved"])
        yield f" watches {asked} cases of {stage.watched['gate']}; no gate draws these and their groups ({away})"
    for gates in stage.sharing_a_draw:
        yield f": {' and '.join(gates)} ask the same cases: one draw, and one set of answers that each of them judges"
    if stage.left_out:
        left = ", ".join(f"{why} {rows:,}" for why, rows in stage.left_out.items())
        yield f": `prepare` leaves out rows: {left}; `tunegate data {facts.file}` names them"
    if stage.rows_above and stage.retrain_rows:
        asked = ", ".join(map(str, stage.rows_above))
        usable = counted(int(stage.retrain_rows[-1]), "row")
        yield f": retrain.rows: {asked} exceeds the rows left to train on: all {usable} are used"
    if stage.attempts_in_vain:
        yield f": {_in_vain(stage.max_attempts, stage.possible_attempts)}"
    for kind, compared in (("retention", stage.retention), ("worth", stage.worth)):
        yield from (f": {kind}: {line}" for line in comparison_lines(compared))
    for gate, judged in stage.judged_plans.items():
        yield f": {gate}: {judged.in_words}"
    for gate, attempts in stage.supported_attempts.items():
        if attempts is not None and attempts < stage.possible_attempts:
            yield f": {_shortage(gate, attempts, facts.suites[gate], stage)}"
    if stage.supply.at_worst < min([stage.possible_attempts, *_supported(stage)]):
        yield f": {_supply(stage)}"


def _rows(stage: StageFacts) -> str:
    """`320 rows, 66 left out as leaks, 16 in the first attempt`"""
    prepared, leaked, first = stage.rows_in - stage.rows, stage.leaked, stage.first_attempt
    parts = [
        counted(stage.rows_in, "row"),
        f"{prepared:,} left out by `prepare`" if prepared else "",
        f"{leaked:,} left out as leaks" if leaked else "",
        f"{first:,} in the first attempt" if first != stage.rows - leaked else "",
    ]
    return ", ".join(filter(None, parts))


def _trained(stage: StageFacts) -> str:
    if stage.role == "baseline":
        return "nothing is trained"
    attempts = stage.possible_attempts
    return "one attempt" if attempts == 1 else f"at most {attempts} attempts"


def _in_vain(allowed: int, possible: int) -> str:
    if possible == 1:
        return f"max_attempts is {allowed}, but no `retrain` list has a second value: only one attempt is possible"
    return f"max_attempts is {allowed}, but the `retrain` lists have values for {possible} attempts"


def _shortage(gate: str, attempts: int, suite: SuiteFacts, stage: StageFacts) -> str:
    """How many attempts a bank supports, how many cases are missing, and which plan fits it."""
    terms, wanted = stage.plans[gate], stage.possible_attempts
    confirm = terms["confirm"]["plan"]["draw"] if terms["confirm"] else 0
    after_retry = terms["confirms"] == "after_retry"
    confirming = f" and {confirm} sealed ones to confirm a pass{' after a retry' if after_retry else ''}"
    missing = max(0, wanted * suite.draw - suite.working)
    missing += max(0, (wanted - after_retry) * confirm - suite.sealed)
    proposal = f"; {stage.proposals[gate]}" if gate in stage.proposals else ""
    return (
        f"the bank of {gate} has fresh cases for at least {counted(attempts, 'attempt')}; each uses "
        f"{suite.draw} of {suite.working} cases{confirming if confirm else ''}, of {suite.sealed}; beyond "
        f"that a run ends INCONCLUSIVE; {counted(wanted, 'attempt')} need about {missing} more cases{proposal}"
    )


def _supported(stage: StageFacts) -> Iterator[int]:
    return (attempts for attempts in stage.supported_attempts.values() if attempts is not None)


def _supply(stage: StageFacts) -> str:
    """How many attempts the stages before this one leave fresh cases for: no question is asked twice in a run."""
    best, worst = stage.supply.at_best, stage.supply.at_worst
    if best == worst:
        return f"the stages before it leave fresh cases for {counted(best, 'attempt')}; then a run is INCONCLUSIVE"
    left = counted(worst, "attempt") if worst else "none"
    return (
        f"the stages before it leave fresh cases for {counted(best, 'attempt')} if they pass at once, for {left} if "
        "they use all their attempts; then a run is INCONCLUSIVE"
    )


def _checks_in_words(suite: SuiteFacts) -> str:
    """The checks by name, with the package of those that another package adds."""
    packages = suite.checks_from
    return ", ".join(f"{name} (from {packages[name]})" if name in packages else name for name in suite.checks)
