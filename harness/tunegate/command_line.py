"""Every command and its options, built without importing what the commands need."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache

from tunegate import __version__
from tunegate.command_actions import (
    DTYPES,
    actions_of,
    add_explain,
    add_generate_options,
    add_registry_actions,
    add_review,
    add_serving,
    add_suite_actions,
    add_sweep,
    allow_waived,
    executor,
    picks,
    trust,
)
from tunegate.command_parser import COUNT, POINTS, SEED, Parser, number

EXAMPLES = (
    *("gene-expert", "cpt", "dpo-misses", "explain", "fewshot", "kto", "kto-oasst", "orpo", "repair"),
    *("reward", "reward-oasst", "rlhf", "spurious-cue", "watch"),
)
"""The folders of shipped examples, named here so that `--help` stays fast."""
ADVISE_FLAGS = {
    "--improve": ("WHAT", "language, knowledge, task or behaviour"),
    "--data": ("KIND=ROWS,…", "what data you have, for example labelled=800,raw=200000 (raw text in words)"),
    "--model-kind": ("KIND", "base or instruct"),
    "--model": ("MODEL", "the base model (default: an Apache-2.0 model that fits the budget)"),
    "--budget": ("BUDGET", "cpu, gpu or more"),
    "--licence": ("NEED", "any, commercial or open: what the licence of the result must allow"),
}
"""The questions of `tunegate advise`; it asks for those that no option answers."""


@cache
def build_parser() -> Parser:
    """The whole command line, built without importing what the commands need."""
    parser = Parser(
        prog="tunegate",
        description="Acceptance sampling for fine-tuned language models.",
        epilog="Exit codes: 0 passed, 1 a gate failed, 2 wrong usage, 3 invalid, 4 inconclusive, 5 tampered.",
    )
    parser.add_argument("--version", action="version", version=f"tunegate {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary[:1].upper() + summary[1:] + ".")
        sub.add_argument("--json", action="store_true", help="print one JSON object on standard output")
        return sub

    init = command("init", "write a starter project")
    init.add_argument("folder", nargs="?", default=".", help="where to write it (default: here)")
    init.add_argument("--example", metavar="NAME", help=f"copy a shipped example instead: {', '.join(EXAMPLES)}")
    init.add_argument(
        "--recipe", metavar="NAME", help="write a commented pipeline: journey, generalize, sft or preference"
    )

    check = command("check", "validate a pipeline or suite file and every file it names; train nothing")
    check.add_argument("file", nargs="?", default="tunegate.yaml", help="default: tunegate.yaml")

    data = command("data", "inspect training data before training: data card, duplicates, personal data, splits")
    data.add_argument(
        "file",
        help=".jsonl, .json, .csv, .parquet, .txt, a folder, or a pipeline file (checks the data of all its stages)",
    )
    data.add_argument("--method", metavar="NAME", help="the training method (default: inferred from the fields)")
    for field in ("prompt", "completion", "chosen", "rejected", "text", "explanation"):
        data.add_argument(f"--{field}", metavar="TEMPLATE", help=f"the {field} of a row (default: '{{{field}}}')")
    data.add_argument("--messages", metavar="FIELD", help="the field with the chat messages of the prompt")
    data.add_argument(
        "--label", metavar="FIELD", help="the field that says whether a completion is good (true or false)"
    )
    data.add_argument("--system", metavar="TEXT", help="a system message for every row")
    data.add_argument("--tags", metavar="FIELD", action="append", help="a field whose values are tags; may be repeated")
    data.add_argument("--model", metavar="MODEL", help="count tokens by this model's tokenizer (default: estimated)")
    data.add_argument(
        "--max-length", type=COUNT, metavar="N", help="report what a max_length of N tokens would cut off"
    )
    data.add_argument(
        "--max-tokens", type=COUNT, metavar="N", help="leave out rows with more than N tokens; needs --model"
    )
    data.add_argument(
        "--duplicates", choices=("keep", "exact", "near"), help="leave out rows that repeat an earlier row"
    )
    data.add_argument("--pii", choices=("keep", "refuse", "mask"), help="what to do with personal data (default: keep)")
    data.add_argument("--names", metavar="MODEL", help="also find people's names, with a spaCy model")
    data.add_argument("--split", metavar="A,B,C", help="shares of train, validation and test, for example 0.8,0.1,0.1")
    data.add_argument("--group", metavar="FIELD", help="keep rows with the same value in the same part")
    data.add_argument("--seed", type=SEED, help="seed of the split (default: 1)")
    data.add_argument("--out", metavar="FOLDER", help="write the parts to this folder")
    data.add_argument("--card", metavar="FILE", help="write the data card to this file, as JSON")

    generate = command("generate", "make training data from a model's answers: filtered, deduplicated, free of tests")
    add_generate_options(generate)
    generate.add_argument("--dtype", choices=DTYPES, help="number type of a local model (default: auto)")
    generate.add_argument("--batch-size", type=COUNT, metavar="N", help="prompts per batch of a local model")
    _asking(generate)
    trust(generate)
    executor(generate)

    plan = command("plan", "show how likely a plan is to pass a good or a bad model, retries included")
    plan.add_argument(
        "--file", metavar="FILE", help="show the plans of this pipeline (default: tunegate.yaml, if it exists)"
    )
    plan.add_argument("--plan", metavar="KIND", help="single, sequential, anytime or (default, recommended) double")
    plan.add_argument("--draw", type=COUNT, metavar="N", help="cases per draw (default: 100, or computed from --risk)")
    plan.add_argument("--accept", type=COUNT, metavar="K", help="how many must pass (default: 90 of 100)")
    plan.add_argument("--confirm", type=COUNT, metavar="N", help="size of the confirming draw (default: computed)")
    plan.add_argument("--attempts", type=COUNT, metavar="N", help="attempts per stage (default: 5)")
    plan.add_argument(
        "--risk", metavar="A,B,C,D", help="find a plan with consumer's risk A at pass rate B, producer's risk C at D"
    )
    plan.add_argument(
        "--bank",
        type=COUNT,
        metavar="N",
        help="also show the result for a bank of N cases, drawn without replacement",
    )

    run = command("run", "run a pipeline; the same command resumes it")
    run.add_argument("file", nargs="?", default="tunegate.yaml", help="default: tunegate.yaml")
    run.add_argument("--run", metavar="FOLDER", help="run folder (default: runs/NAME beside the file)")
    allow_waived(run)
    _ledger(run)

    gate = command("gate", "run one gate on a model or on stored responses; train nothing")
    gate.add_argument(
        "model", nargs="?", help="model folder, .gguf file, hub id, package:…, http://…/v1#name[,http://…]"
    )
    gate.add_argument(
        "--responses", metavar="FILE", help='answers produced elsewhere: rows {"id", "response"}, or a tool\'s file'
    )
    gate.add_argument("--suite", metavar="FILE", help="suite file, or builtin:NAME (not needed for a tool's file)")
    picks(gate)
    gate.add_argument("--expect-suite", metavar="SHA256", help="refuse a suite with another hash (see `check --json`)")
    gate.add_argument("--baseline", metavar="PLACE", help="compare with this model or these answers, case by case")
    gate.add_argument(
        "--max-drop",
        type=POINTS,
        metavar="POINTS",
        help="allowed loss in points (default: 5)",
    )
    gate.add_argument("--tier", choices=("critical", "supporting", "advisory"), help="how strict (default: supporting)")
    gate.add_argument("--draw", type=COUNT, metavar="N", help="how many cases to draw (default: the suite's plan)")
    gate.add_argument("--accept", type=COUNT, metavar="K", help="how many must pass (default: the share in the plan)")
    gate.add_argument(
        "--continue",
        dest="more",
        type=COUNT,
        metavar="N",
        help="add N cases to an anytime gate without a verdict",
    )
    gate.add_argument("--curtail", action="store_true", help="stop asking when the verdict can no longer change")
    gate.add_argument("--seed", type=SEED, default=0, help="seed of the draw (default: 0)")
    gate.add_argument("--prompt-file", metavar="FILE", help="ask the model with this prompt: YAML, as for bake-off")
    gate.add_argument("--dtype", choices=DTYPES, help="number type of a local model (default: auto)")
    gate.add_argument("--batch-size", type=COUNT, metavar="N", help="cases per batch of a local model")
    _asking(gate)
    gate.add_argument("--run", metavar="FOLDER", help="record folder (default: tunegate-runs/SUITE-KEY)")
    _ledger(gate)
    gate.add_argument("--together", metavar="ID", help="id of a bake-off: its gates ask the same cases")
    gate.add_argument("--junit", metavar="FILE", help="also write JUnit XML")
    gate.add_argument("--report", metavar="FILE", help="write the HTML report here")
    gate.add_argument("--markdown", metavar="FILE", help="also write a Markdown summary")

    judge = command(
        "judge", "measure a judge against human labels; a gate accepts only judges that this command admitted"
    )
    judge.add_argument("judge", help="judge file, or a suite file with one judge check")
    judge.add_argument("--labels", metavar="FILE", required=True, help="file with answers and people's labels for them")
    judge.add_argument("--draw", type=COUNT, metavar="N", help="measure on N labels, drawn at random (default: all)")
    judge.add_argument("--seed", type=SEED, help="seed of the draw (default: 0)")
    judge.add_argument("--repeats", type=COUNT, default=1, metavar="N", help="judge each answer N times (default: 1)")
    judge.add_argument("--fit", action="store_true", help="first fit a pairwise judge on half of the questions")
    judge.add_argument("--out", metavar="FILE", help="admission record (default: .tunegate/admissions/HASH.json)")

    add_review(
        command("review", "write the page on which people judge a gate's answers; merge the files that it saves")
    )

    leakage = command("leakage", "find training rows that contain or reveal tests of a suite")
    leakage.add_argument(
        "train", nargs="+", metavar="TRAIN_FILE", help=".jsonl, .json, .csv, .parquet or .txt, or a folder"
    )
    leakage.add_argument("--suite", metavar="FILE", required=True, action="append", help="suite file, or builtin:NAME")
    leakage.add_argument(
        "--embed",
        type=number("a cosine such as 0.95", above=0, most=1),
        metavar="COSINE",
        help="also compare by meaning, for example from 0.95",
    )

    trust(check, plan, run, gate, judge, leakage)
    executor(run, gate, judge)
    executor(leakage, what="rows are compared")

    suite = command("suite", "import tasks of other tools; make suites that test whether a model understands")
    add_suite_actions(suite)

    report = command("report", "write the report of a run")
    report.add_argument("run", help="run folder")
    report.add_argument("--html", metavar="FILE", help="default: report.html in the run folder")
    report.add_argument("--junit", metavar="FILE", help="also write JUnit XML")
    report.add_argument("--markdown", metavar="FILE", help="also write a Markdown summary")
    report.add_argument(
        "--to", nargs="+", metavar="FORMAT [FILE]", help="also write it in another format: every-eval-ever [FILE]"
    )
    report.add_argument("--labels", metavar="FILE", help="people's labels of answers: estimate the pass rate by people")
    report.add_argument("--embed", action="store_true", help="also show training rows near a missed case by meaning")
    report.add_argument("--mlflow", metavar="EXPERIMENT", help="also log the gates and the report in MLflow")
    report.add_argument("--recheck", action="store_true", help="decide every gate and judge every answer again")
    report.epilog = (
        "The exit code is not the run's verdict. 0: the report is written. With --recheck, 0 also means that the "
        "recorded verdicts, passed or failed, follow from the outcomes, and these from the answers, if the suite files "
        "still exist. 5: they do not."
    )

    promote = command("promote", "copy a run's model into the registry, if these weights passed every gate")
    promote.add_argument("run", help="run folder, or folder of an export")
    promote.add_argument(
        "--to",
        metavar="ALIAS",
        help="alias in the registry folder, or mlflow:NAME@ALIAS, hf:OWNER/NAME[@TAG], git:NAME@STAGE (default: "
        "production; for an export, none)",
    )
    promote.add_argument("--registry", metavar="FOLDER", help="default: the pipeline's registry")
    promote.add_argument("--why", metavar="TEXT", help="the reason, for the history of the alias")
    _ask(promote)
    allow_waived(promote)
    _signer(promote)

    verify = command(
        "verify",
        "check that a model is promoted and show its gates, or check a run's record or a signed statement",
    )
    verify.add_argument(
        "model",
        help="model folder, alias such as production, run folder, signed statement (FILE.sigstore.json), "
        "models:/NAME@ALIAS (MLflow), or hf:OWNER/NAME@REVISION",
    )
    verify.add_argument("--registry", metavar="FOLDER", help="default: registry")
    verify.add_argument("--out", metavar="FOLDER", help="keep the fetched model here, if it verifies")
    allow_waived(verify)
    verify.add_argument(
        "--key", metavar="FILE", action="append", help="public key: also verify the signatures; may be repeated"
    )
    verify.add_argument("--subject", metavar="PATH", help="for a signed statement: its model folder or file")
    verify.add_argument("--policy", metavar="FILE", help="also hold a promoted model against the policy in this file")
    _ask(verify)

    registry = command("registry", "list, compare, roll back and clear up promoted models")
    add_registry_actions(registry)

    attest = command("attest", "sign what the gates of a decided run found, passed or failed")
    attest.add_argument("run", help="folder of a run, or of a gate")
    _signer(attest)
    attest.add_argument("--out", metavar="FILE", help="default: attestation.sigstore.json in the run folder")
    attest.add_argument("--predicate", metavar="FILE", help="write only the predicate, for another signer")
    attest.epilog = "The exit code is not the run's verdict: 0 means that the statement was written."

    keygen = command("keygen", "make a key pair for signing promotions")
    keygen.add_argument("file", nargs="?", default="tunegate.key", help="private key to write (default: tunegate.key)")
    _password(keygen)
    _choosing(command)
    add_serving(command, _asking, _ledger)
    add_sweep(command, _asking, _ledger)
    _add_ci_actions(command("ci", "gate a pull request with the suites of its base branch, on GitHub or GitLab"))
    return parser


def _signer(parser: argparse.ArgumentParser) -> None:
    """Options for the key that signs."""
    parser.add_argument("--sign", metavar="KEY", help="private key: write signed statements")
    _password(parser)


def _password(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--password-env", metavar="NAME", help="environment variable with the private key's password")


def _choosing(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """The commands that help to choose what to train, from which base model, and which of two results is better."""
    advise = command("advise", "recommend stages for your goal and your data, and write the pipeline file")
    for flag, (metavar, summary) in ADVISE_FLAGS.items():
        advise.add_argument(flag, metavar=metavar, help=summary)
    advise.add_argument("--out", metavar="FILE", help="write the pipeline file here (never overwrites a file)")

    bake = command("bake-off", "gate several base models on the same cases, before anything is trained")
    bake.add_argument("models", nargs="+", metavar="MODEL", help="models, as for `tunegate gate`")
    bake.add_argument(
        "--prompts", nargs="+", metavar="FILE", help="compare these prompts of one model; the best is asked fresh cases"
    )
    bake.add_argument("--no-baseline", action="store_true", help="with --prompts: leave out the model without a prompt")
    bake.add_argument("--suite", metavar="FILE", required=True, help="suite file, or builtin:NAME")
    bake.add_argument("--draw", type=COUNT, metavar="N", help="how many cases to draw (default: the suite's plan)")
    bake.add_argument("--seed", type=SEED, default=0, help="seed of the draw (default: 0)")
    bake.add_argument("--dtype", choices=DTYPES, help="number type of local models (default: auto)")
    bake.add_argument("--batch-size", type=COUNT, metavar="N", help="cases per batch of a local model")
    _asking(bake)
    bake.add_argument(
        "--run", metavar="FOLDER", help="folder for the gates' records (default: tunegate-runs/bake-off-…)"
    )
    _ledger(bake)
    trust(bake)
    executor(bake)
    bake.add_argument("--report", metavar="FILE", help="also write a page with a chart of pass rate by model size")

    compare = command("compare", "compare two models' answers to the same cases")
    place = "folder of a run or gate, RUN@STAGE, RUN@STAGE#ATTEMPT, RUN@base, or a model whose gates are on record"
    compare.add_argument("a", metavar="A", help=place)
    compare.add_argument("b", metavar="B", help="the same; differences are B minus A")
    compare.add_argument(
        "--max-drop",
        type=POINTS,
        metavar="POINTS",
        help="exit with 1 if B's pass rate drops by more than this",
    )
    compare.add_argument("--records", metavar="FOLDER", help="records of a model's gates (default: tunegate-runs)")

    add_explain(
        command("explain-case", "explain one answer from the model's weights: tokens, words, attention, layers")
    )


def _ledger(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ledger", metavar="FOLDER", help="ledger of asked cases, or none (default: the project's tunegate-ledger)"
    )


def _asking(parser: argparse.ArgumentParser) -> None:
    """Options for a model behind a server."""
    parser.add_argument(
        "--timeout",
        type=number("a number of seconds", above=0, most=86_400),
        metavar="S",
        help="server model: longest wait in seconds (default: 60)",
    )
    parser.add_argument(
        "--concurrency",
        type=COUNT,
        metavar="N",
        help="server model: most requests at once, to each server (default: 8)",
    )
    parser.add_argument(
        "--request",
        metavar="FIELD=VALUE",
        action="append",
        help="server model: a field of each request, as JSON",
    )
    parser.add_argument(
        "--key-env", metavar="NAME", help="server model: environment variable with the key (default: OPENAI_API_KEY)"
    )


def _ask(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--ask",
        type=COUNT,
        metavar="N",
        help="ask the stored weights N recorded cases again, and compare the verdicts",
    )


def _add_ci_actions(ci: argparse.ArgumentParser) -> None:
    action = actions_of(ci)
    gate = action("gate", "gate stored responses or a model, and write annotations, a summary, a comment and metrics")
    gate.add_argument("model", nargs="?", help="a model, as for `tunegate gate`")
    gate.add_argument(
        "--responses", metavar="FILE", help='answers produced elsewhere: rows {"id", "response"}, or the file of a tool'
    )
    gate.add_argument("--suite", metavar="FILE", required=True, action="append", help="suite file; may be repeated")
    picks(gate)
    gate.add_argument(
        "--base", metavar="COMMIT", help="commit or branch to take the suites from (default: the working folder)"
    )
    gate.add_argument("--out", metavar="FOLDER", default="tunegate-report", help="default: tunegate-report")
    gate.add_argument("--dtype", choices=DTYPES, help="number type of a local model (default: auto)")
    gate.add_argument("--batch-size", type=COUNT, metavar="N", help="cases per batch of a local model")
    _asking(gate)
    _ledger(gate)
    gate.set_defaults(expect_suite=None, trust=None)
    gate.set_defaults(draw=None, accept=None, more=None, curtail=False, seed=0, together=None, baseline=None)
    gate.set_defaults(prompt_file=None)

    comment = action("comment", "write or replace the comment on a pull request, in a step on GitHub")
    comment.add_argument("file", help="the file comment.md that `tunegate ci gate` wrote")
