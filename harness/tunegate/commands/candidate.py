"""`tunegate gate --baseline`: a candidate compared with a baseline on the same cases, from answer files or models."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.commands.console import Bar, show, show_json
from tunegate.commands.ledger import ledger_of_suite
from tunegate.commands.report import gate_reports
from tunegate.commands.subject import tell
from tunegate.exceptions import ConfigError
from tunegate.gates.candidate import ComparisonRequest, ComparisonResult, Side, compare_with_baseline
from tunegate.gates.gate_run import answers_key
from tunegate.models.model import Model
from tunegate.record.event_log import EVENTS
from tunegate.stats.retention import slips
from tunegate.suites.suite import Suite
from tunegate.versions import installed_versions

OpenSubject = Callable[[Namespace, Suite], Model]

MAX_DROP = 5.0
"""Percentage points that a candidate may be worse, unless `--max-drop` says otherwise."""


def check_options(options: Namespace) -> None:
    """Raise ConfigError for options without an effect in the presence or absence of `--baseline`."""
    if options.baseline is None:
        given = {"--max-drop": options.max_drop, "--tier": options.tier}
        if unused := [flag for flag, value in given.items() if value is not None]:
            raise ConfigError(f"{unused[0]}: has no effect without --baseline; leave it out")
        return
    if options.prompt_file is not None:
        raise ConfigError(
            "--prompt-file: has no effect with --baseline; `tunegate bake-off MODEL --prompts` compares prompts"
        )
    given = {"--accept": options.accept, "--curtail": options.curtail, "--continue": options.more}
    unused = [flag for flag, value in given.items() if value]
    if unused:
        raise ConfigError(f"{unused[0]}: has no effect with --baseline, because the comparison decides; leave it out")


def against(options: Namespace, suite: Suite, open_subject: OpenSubject) -> int:
    """Compare a candidate with a baseline; returns the exit code."""
    draw = suite.plan.draw if options.draw is None else options.draw
    if suite.limits is not None:
        tell("gate", ["a comparison asks about answers: the limits of the suite are not measured; gate the model too"])
    request = comparison_of(options, suite, draw, open_subject)
    with Bar() as bar:
        result = compare_with_baseline(request, bar.update, installed_versions())
    report = gate_reports(options, result.run, draw)
    if options.json:
        show_json(comparison_as_json(result, report))
    else:
        print_comparison(result, report)
    return exit_code(result)


def comparison_of(options: Namespace, suite: Suite, draw: int, open_subject: OpenSubject) -> ComparisonRequest:
    """The request that the options describe; the baseline is of the same kind as the candidate: answers or a model."""
    stored = options.responses is not None
    as_baseline = {"responses": options.baseline} if stored else {"model": options.baseline}
    return ComparisonRequest(
        suite,
        draw,
        options.seed,
        baseline=_side(Namespace(**{**vars(options), **as_baseline}), suite, open_subject),
        candidate=_side(options, suite, open_subject),
        max_drop=MAX_DROP if options.max_drop is None else options.max_drop,
        tier=options.tier or "supporting",
        folder=options.run,
        ledger=ledger_of_suite(options.ledger, suite),
    )


def _side(options: Namespace, suite: Suite, open_subject: OpenSubject) -> Side:
    if options.responses is not None:
        answers = open_subject(options, suite)
        return Side(options.responses, answers_key(answers), lambda: answers, answers)
    from tunegate.models.open_model import model_sha256

    return Side(options.model, model_sha256(options.model), lambda: open_subject(options, suite))


def exit_code(result: ComparisonResult) -> int:
    """The code of the verdict; an advisory comparison is only reported, unless it could not be judged."""
    advisory = result.candidate.terms["kept"]["tier"] == "advisory"
    return 0 if advisory and result.candidate.verdict is not Verdict.INVALID else result.candidate.verdict.exit_code


def comparison_as_json(result: ComparisonResult, report: Path | None) -> dict[str, Any]:
    """The contract of `tunegate gate --baseline … --json`."""
    candidate, baseline = result.candidate, result.baseline
    facts: Mapping[str, Any] = candidate.reasons[0].facts if candidate.reasons else {}
    return {
        "verdict": candidate.verdict,
        "tier": candidate.terms["kept"]["tier"],
        "exit_code": exit_code(result),
        "max_drop": candidate.terms["max_drop"],
        "reason": candidate.reason,
        "reasons": [{"kind": one.kind, "facts": dict(one.facts)} for one in candidate.reasons],
        "cases": candidate.drawn,
        "reused": candidate.reused,
        "candidate": {"model": candidate.model, "model_sha256": candidate.model_sha256, "passed": candidate.passed},
        "baseline": {"model": baseline.model, "model_sha256": baseline.model_sha256, "passed": baseline.passed},
        **{name: facts[name] for name in ("lost", "won", "drop", "low", "high", "mid_p") if name in facts},
        "record": str(result.run.folder / EVENTS),
        "report": None if report is None else str(report),
    }


def print_comparison(result: ComparisonResult, report: Path | None) -> None:
    """The two models, the rule, the verdict with its reason, and where the report is."""
    candidate, baseline = result.candidate, result.baseline
    terms = candidate.registered
    cases = f"{candidate.drawn} cases drawn with seed {candidate.seed}"
    again = f", {candidate.reused} of which were asked before" if candidate.reused else ""
    show(f"{candidate.gate}: {cases}{again}; candidate {candidate.model}, baseline {baseline.model}")
    if terms.kept is not None and terms.kept.tier != "critical":
        show(f"this rule: {slips(candidate.drawn, terms.max_drop or 0.0, terms.kept).in_words}")
    tier = candidate.terms["kept"]["tier"]
    advisory = ", exit code 0" if tier == "advisory" and candidate.verdict is not Verdict.INVALID else ""
    show(f"{candidate.verdict} ({tier}{advisory}): {candidate.reason}")
    show(f"report: {report or 'not written; see --report'}")
