"""`tunegate suite`: imported tasks, groups of cases, rows with a spurious cue, and reports."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunegate.checks.check import CheckBuilder
from tunegate.commands.console import show, show_json
from tunegate.data.faults import counted
from tunegate.models.sentences import Embed
from tunegate.reading.files import resolve


def carry_out(options: Namespace, build_check: CheckBuilder, embed: Embed) -> int:
    """Carry out the action, and show its result."""
    facts, show_facts = _ACTIONS[options.action](options, build_check, embed)
    if options.json:
        show_json(facts)
    else:
        show_facts(facts)
    return 0


# --- what is done --------------------------------------------------------------------------------------------------

Facts = Mapping[str, Any]
Done = tuple[Facts, Callable[[Facts], None]]
"""What `--json` prints, and the function that prints it for people."""


def _expand(options: Namespace, build_check: CheckBuilder, embed: Embed) -> Done:
    from tunegate_suites.contrasts.expand_file import expand_file

    return expand_file(options.suite, options.rules, Path(options.out), build_check), print_expansion


def _contrast_report(options: Namespace, build_check: CheckBuilder, embed: Embed) -> Done:
    from tunegate_suites.contrasts.report import report_on

    return {"gates": report_on([Path(run) for run in options.runs])}, print_contrast_report


def _cue(options: Namespace, build_check: CheckBuilder, embed: Embed) -> Done:
    from tunegate_suites.cues.data import CueRequest, make_cue_data

    request = CueRequest(
        train=resolve(options.train, Path()),
        gate=resolve(options.gate, Path()),
        out=Path(options.out),
        cue=options.cue,
        strength=options.strength,
        text=options.text,
        label=options.label,
        rows=options.rows,
        seed=options.seed,
    )
    return make_cue_data(request, embed), print_cue_data


def _cue_report(options: Namespace, build_check: CheckBuilder, embed: Embed) -> Done:
    from tunegate_suites.cues.report import report_on

    return {"gates": report_on([Path(run) for run in options.runs], options.positive)}, print_cue_report


def _import(options: Namespace, build_check: CheckBuilder, embed: Embed) -> Done:
    from tunegate.elsewhere.import_task import import_task

    task, out = resolve(options.task, Path()), Path(options.out)
    return import_task(task, out, build_check, filter_=options.filter, prompt=options.prompt), print_import


_ACTIONS = {
    "import": _import,
    "expand": _expand,
    "contrast-report": _contrast_report,
    "cue": _cue,
    "cue-report": _cue_report,
}


# --- what is printed -----------------------------------------------------------------------------------------------


def print_expansion(facts: Facts) -> None:
    """How many groups there are, the result of each rule, and the next command."""
    left_out = len(facts["left_out"])
    out = f"; {left_out} left out" if left_out else ""
    show(f"{facts['cases']} cases of {facts['suite']}, rules of {facts['rules']}: {facts['groups']} groups{out}")
    width = max(len(count["rule"]) for count in facts["by_rule"])
    show(f"{'rule':{width}}  kind         members  does not apply  refused")
    for count in facts["by_rule"]:
        numbers = f"{count['members']:7}  {count['skipped']:14}  {count['refused']:7}"
        show(f"{count['rule']:{width}}  {count['kind']:11}  {numbers}")
    show(f"written: {', '.join(facts['written'])}")
    show(f"next: {shlex.join(['tunegate', 'gate', 'MODEL', '--suite', facts['written'][0]])}")


def print_import(facts: Facts) -> None:
    """What was imported, where the suite differs from the tool, and the next command."""
    checks = ", ".join(facts["checks"])
    cases = counted(facts["cases"], "case")
    show(f"task {facts['task']} of {facts['tool']}: {cases}, judged by {checks}, {facts['draw']} per draw")
    for note in facts["notes"]:
        show(f"note: {note}")
    show(f"written: {', '.join(facts['written'])}")
    show(f"next: {shlex.join(['tunegate', 'gate', 'MODEL', '--suite', facts['written'][0]])}")


def print_cue_data(facts: Facts) -> None:
    """How the cue goes with the label in the training rows and in the gate's cases."""
    show(f"cue {facts['cue']}, strength {facts['strength']:g}")
    for part, path in zip(("train", "gate"), facts["written"], strict=True):
        counts = facts[part]
        show(
            f"{path}: {counts['rows']} rows, {counts['positive']} with the label, {counts['with_cue']} with the cue, "
            f"phi {counts['phi']:.2f}"
        )
    show("in a suite: tags: [cue, has_cue], and gap: {between: [cue=agrees, cue=contradicts]}")


def print_contrast_report(facts: Facts) -> None:
    """Groups and plain cases, then the members by rule."""
    for gate in facts["gates"]:
        show(f"{gate['run']}: {gate['gate']}")
        _share("plain cases right", gate["plain"])
        _share("groups right", gate["groups"])
        _share("groups right where the plain case is", gate["groups_of_known"])
        for rule in gate["rules"]:
            _share(rule["rule"] if rule["kind"] == "original" else f"{rule['kind']}: {rule['rule']}", rule)


def _share(what: str, share: Facts) -> None:
    low, high = share["interval"]
    show(f"  {what:46} {share['count']:4} of {share['of']:4}  (95 % interval {low:.1%} to {high:.1%})")


def print_cue_report(facts: Facts) -> None:
    """One block per gate: accuracy overall and by whether the cue agrees with the label, and phi."""
    for gate in facts["gates"]:
        show(f"{gate['run']}: {gate['gate']}")
        _share("right", gate["right"])
        _share("right where the cue agrees with the label", gate["agrees"])
        _share("right where the cue contradicts the label", gate["contradicts"])
        show(f"  phi of answer and cue: {gate['phi']:.2f}")
