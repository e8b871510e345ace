"""The composition root: connects each command with engine, suites, trainers and reports (imported lazily)."""

from __future__ import annotations

import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

from tunegate.addresses import without_secrets
from tunegate.checks.outcome import Verdict
from tunegate.commands import console, starter
from tunegate.commands import suite as suite_command
from tunegate.commands.advise import ask_on_terminal, run_advise
from tunegate.commands.attest import attest_run, verify_bundle
from tunegate.commands.bake_off import bake, show_bake_off
from tunegate.commands.bake_prompts import bake_prompts
from tunegate.commands.by_meaning import embed
from tunegate.commands.check import print_check, print_wants
from tunegate.commands.check_facts import CheckFacts, facts_of_judge, facts_of_pipeline, facts_of_suite
from tunegate.commands.ci import gate_in_ci
from tunegate.commands.compare import compare_records
from tunegate.commands.data import data as describe_data
from tunegate.commands.explain_case import explain_case as explain_one_case
from tunegate.commands.exported import is_export, promote_export, verify_export
from tunegate.commands.gate import gate as gate
from tunegate.commands.gate import gate_suite
from tunegate.commands.generate import generate_rows
from tunegate.commands.judge import print_judge
from tunegate.commands.keygen import make_keys
from tunegate.commands.leakage import leakage as compare_files
from tunegate.commands.ledger import ledger_of, ledger_of_suite
from tunegate.commands.looked_at import is_judge, look_at
from tunegate.commands.plan import plan as describe_plans
from tunegate.commands.promote import promote as promote_run
from tunegate.commands.promote import verify as verify_model
from tunegate.commands.pull_comment import comment as pull_comment
from tunegate.commands.registry import carry_out as carry_out_registry
from tunegate.commands.report import write_report
from tunegate.commands.review import review as review_answers
from tunegate.commands.run import check_model, run_pipeline
from tunegate.commands.serving import export as export
from tunegate.commands.serving import serve_check as serve_check
from tunegate.commands.siblings import check_builder, check_file_allowed, named_suite, stage_validator
from tunegate.commands.subject import tell
from tunegate.commands.sweep import sweep as sweep
from tunegate.exceptions import ConfigError, TunegateError
from tunegate.executors.executor_spec import executor_of
from tunegate.gates.book import NoLedger
from tunegate.leaks.leakage import Leak
from tunegate.ledger.entries import History
from tunegate.ledger.ledger import Ledger
from tunegate.pipeline.leak_guard import leaks_of
from tunegate.pipeline.pipeline import Pipeline
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.promotion.bundle import SUFFIX
from tunegate.reading.files import resolve
from tunegate.reading.yaml_file import load_yaml
from tunegate.suites.places import suite_place
from tunegate.suites.suite_file import load_suite
from tunegate.trust.allowed import user_trust

# --- init, check ---------------------------------------------------------------------------------------------------


def init(options: Namespace) -> int:
    """Write a starter project, or copy a shipped example or recipe; never overwrites a file."""
    return starter.init(options)


def check(options: Namespace) -> int:
    """Validate a file and every file it names, and search for leaks."""
    from tunegate_suites import wants_of_check

    path = suite_place(options.file, Path())
    looked = look_at(path, wants_of_check, user_trust())
    try:
        facts = _facts(path)
    except TunegateError as error:  # a file that is wrong says all the same what it would do
        if not options.json:
            print_wants(looked)
            raise
        message = without_secrets(str(error))
        tell("check", [message])
        told = {"verdict": None, "error": message, "exit_code": error.exit_code}
        console.show_json({**told, **looked.to_json()})
        return error.exit_code
    verdict = Verdict.INVALID if facts.leaks else Verdict.PASS
    exit_code = 2 if looked.refused else verdict.exit_code
    if options.json:
        refused = {"verdict": None, "error": looked.refused[0], "exit_code": 2} if looked.refused else {}
        console.show_json({"verdict": verdict, **facts.to_json(), **looked.to_json(), **refused})
    else:
        print_check(facts, looked)
    return exit_code


def _facts(path: Path) -> CheckFacts:
    """The facts of a file; none of the file's code runs, and no server is contacted."""
    build_check = partial(check_builder(), look=True)
    data = load_yaml(path).data
    if is_judge(data):
        return facts_of_judge(path, build_check({"judge": path.name}, path.parent, file=path))
    if isinstance(data, dict) and "stages" not in data and "cases" in data:
        suite = load_suite(path, build_check)
        return facts_of_suite(path, suite, _history(ledger_of_suite(None, suite)))
    pipeline = load_pipeline(path, build_check, stage_validator(), look=True)
    notes = check_model(pipeline)
    history = _history(ledger_of(pipeline.ledger, path.parent))
    return facts_of_pipeline(path, pipeline, _leaks(pipeline), notes, history)


def _history(ledger: Ledger | NoLedger) -> History:
    return History() if isinstance(ledger, NoLedger) else ledger.read()


def _leaks(pipeline: Pipeline) -> list[Leak]:
    with console.Bar() as bar:
        return leaks_of(pipeline, embed, bar.update)


def data(options: Namespace) -> int:
    """Show the data card of a file, or of every stage of a pipeline."""
    return describe_data(options)


def generate(options: Namespace) -> int:
    """Make training data from a model's answers to prompts."""
    return generate_rows(options, check_builder(), check_file_allowed)


# --- plan ----------------------------------------------------------------------------------------------------------


def plan(options: Namespace) -> int:
    """Show how likely a plan is to pass a good or a bad model."""
    return describe_plans(options, check_builder(), check_file_allowed)


# --- leakage -------------------------------------------------------------------------------------------------------


def leakage(options: Namespace) -> int:
    """Find training rows that leak tests."""
    suites = [named_suite(file) for file in options.suite]
    return compare_files(options, suites, embed if options.embed is not None else None)


# --- run -----------------------------------------------------------------------------------------------------------


def run(options: Namespace) -> int:
    """Run a pipeline, or resume it."""
    return run_pipeline(options)


# --- gate ----------------------------------------------------------------------------------------------------------


def ci(options: Namespace) -> int:
    """Gate in CI with the suites of the base branch, or write the comment on a pull request."""
    if options.action == "comment":
        return pull_comment(options)
    if (options.model is None) == (options.responses is None):
        raise ConfigError("give either a model or --responses FILE")
    return gate_in_ci(options, lambda one: gate_suite(one, named_suite(one.suite)))


# --- compare, bake-off, advise -------------------------------------------------------------------------------------


def compare(options: Namespace) -> int:
    """Compare two models' answers to the same cases."""
    from tunegate.models.open_model import model_sha256

    return compare_records(options, model_sha256)


def bake_off(options: Namespace) -> int:
    """Gate several models on the same cases and rank them."""
    from tunegate.models.model_facts import model_facts

    suite = named_suite(options.suite)
    if options.prompts:
        return bake_prompts(options, suite)
    report = Path(options.report) if options.report else None
    with console.Bar() as bar:
        result = bake(options, suite, model_facts, bar.say)
    if report is not None:
        import tunegate_reports as reports

        reports.write_bake_off(result, report)
    show_bake_off(result, report, as_json=options.json)
    return result.verdict.exit_code


def advise(options: Namespace) -> int:
    """Recommend stages to train, and write the pipeline file."""
    return run_advise(options, ask_on_terminal if sys.stdin.isatty() else None)


# --- explain-case ---------------------------------------------------------------------------------------------------


def explain_case(options: Namespace) -> int:
    """Explain one answer from the weights of the model that gave it."""
    import tunegate_reports as reports

    return explain_one_case(options, reports.write_explanations)


# --- judge ---------------------------------------------------------------------------------------------------------


def judge(options: Namespace) -> int:
    """Measure a judge against human labels, and write its admission record."""
    from tunegate.executors.local import Local
    from tunegate.executors.model_on_workers import Workers
    from tunegate_suites.judges.measure import MeasureRequest, measure

    if options.seed is not None and options.draw is None:
        raise ConfigError(
            "--seed: has no effect without --draw, because all labels are used; add --draw N, or leave --seed out"
        )
    file = resolve(options.judge, Path())
    if is_judge(load_yaml(file).data):  # of a suite, only its judge is used
        check_file_allowed(file)
    request = MeasureRequest(
        judge=file,
        labels=Path(options.labels),
        out=Path(options.out) if options.out else None,
        draw=options.draw,
        seed=options.seed or 0,
        repeats=options.repeats,
        fit=options.fit,
    )
    executor = executor_of(options.executor)
    start_workers = None if isinstance(executor, Local) else partial(Workers.of, executor)
    with console.Bar() as bar:
        measured = measure(request, bar.update, start_workers=start_workers)
    if measured.executor is not None:
        tell("judge", [f"answered by {measured.judge}{console.on_workers(measured.executor)}"])
    if options.json:
        console.show_json(measured.to_json())
    else:
        print_judge(measured)
    return 0 if measured.admitted else 1


def review(options: Namespace) -> int:
    """Write the page on which people judge a gate's answers, or merge what they saved."""
    return review_answers(options)


# --- suite ---------------------------------------------------------------------------------------------------------


def suite(options: Namespace) -> int:
    """Write a suite of groups or the rows of a spurious cue, or report on them."""
    return suite_command.carry_out(options, check_builder(), embed)


# --- report, promote, verify, attest, keygen -----------------------------------------------------------------------


def report(options: Namespace) -> int:
    """Write the report of a run; with --recheck, decide its gates and judge its answers again first."""
    return write_report(options, check_builder())


def promote(options: Namespace) -> int:
    """Promote a run's model, if the evidence supports it."""
    return promote_export(options) if is_export(Path(options.run)) else promote_run(options, check_builder())


def verify(options: Namespace) -> int:
    """Find the promotion of these bytes, and print it; or verify a run's record, or a signed statement."""
    if options.model.endswith(SUFFIX) and Path(options.model).is_file():
        return verify_bundle(options)
    if options.subject is not None:
        raise ConfigError(f"--subject: only for a signed statement (…{SUFFIX}) that is here; leave it out")
    found = verify_export(options)
    return verify_model(options, check_builder()) if found is None else found


def attest(options: Namespace) -> int:
    """Sign the statement of a decided run, promoted or not."""
    return attest_run(options)


def keygen(options: Namespace) -> int:
    """Make a pair of keys for signing promotions."""
    return make_keys(options)


def registry(options: Namespace) -> int:
    """List, compare, roll back and clear up what is promoted."""
    return carry_out_registry(options)
