"""The actions of the commands that have several (`registry`, `suite`), and the options of the commands with many."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from tunegate.command_parser import COUNT, SEED, number

DTYPES = ("auto", "float32", "bfloat16", "float16")
PICKS = {
    "--filter": "the filter of lm-evaluation-harness, or the evaluation of Every Eval Ever",
    "--prompt": "promptfoo's prompt",
    "--provider": "promptfoo's provider",
    "--epoch": "the epoch of Inspect, or the repeat of NeMo Evaluator",
}
"""The options that choose a part of a results file, if it has several."""


def allow_waived(command: argparse.ArgumentParser) -> None:
    command.add_argument("--allow-waived", action="store_true", help="exit with 0, not 6, if a miss was waived")


def picks(gate: argparse.ArgumentParser) -> None:
    for flag, what in PICKS.items():
        gate.add_argument(flag, metavar="NAME", help=f"the file of a tool: {what}")


def trust(*parsers: argparse.ArgumentParser) -> None:
    """For the commands that read suite, judge or pipeline files."""
    for parser in parsers:
        parser.add_argument(
            "--trust",
            metavar="FOLDER",
            action="append",
            help="files in this folder may run code and contact servers, like your own; may be repeated",
        )


def executor(*parsers: argparse.ArgumentParser, what: str = "models answer and judge") -> None:
    """For the commands that ask models on disk, ask judges, or compare many rows."""
    for parser in parsers:
        parser.add_argument(
            "--executor", metavar="WHERE", help=f"where {what}: local (default), processes:N, ray, ray:HOST:PORT"
        )


def actions_of(command: argparse.ArgumentParser) -> Callable[[str, str], argparse.ArgumentParser]:
    """What adds an action to a command: its name and its summary give a parser."""
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=summary, description=summary[:1].upper() + summary[1:] + ".")
        # No default of its own: it would undo a --json given before the action.
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object")
        return sub

    return action


def add_registry_actions(command: argparse.ArgumentParser) -> None:
    add = actions_of(command)

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        sub = add(name, summary)
        sub.add_argument("--registry", metavar="FOLDER", default="registry", help="default: registry")
        return sub

    action("list", "list the aliases: which model, since when, by whom and why")
    moves = action("history", "list the moves of an alias")
    moves.add_argument("alias", help="alias such as production")
    one = action("show", "verify a model, and show its gates, as `tunegate verify` does")
    one.add_argument("model", help="model folder, or alias")
    one.add_argument("--key", metavar="FILE", action="append", help="public key: also verify the signatures")
    allow_waived(one)
    one.set_defaults(policy=None, ask=None)
    diff = action("diff", "show how the evidence of two models differs")
    diff.add_argument("before", metavar="A", help="alias, or the beginning of a fingerprint (6 characters or more)")
    diff.add_argument("after", metavar="B", help="the same for the other model")
    back = action("rollback", "point an alias to the model that it pointed to before")
    back.add_argument("alias", help="alias such as production")
    back.add_argument("--to", metavar="SHA256", help="fingerprint, or its beginning (default: the model before)")
    back.add_argument("--why", metavar="TEXT", required=True, help="the reason, for the history of the alias")
    clear = action("gc", "remove models that no alias points to, and drafts of promotions that were killed")
    clear.add_argument(
        "--keep", type=number("days", least=0), metavar="DAYS", default=30.0, help="keep younger models (default: 30)"
    )
    clear.add_argument("--yes", action="store_true", help="remove them (default: only list them)")


def add_suite_actions(suite: argparse.ArgumentParser) -> None:
    action = actions_of(suite)
    imported = action("import", "write a task of lm-evaluation-harness, promptfoo or Inspect as a suite")
    imported.add_argument("task", help="task YAML, promptfoo configuration, or a data set with `input` and `target`")
    imported.add_argument(
        "--filter", metavar="NAME", help=f"task with several filters: {PICKS['--filter'].partition(',')[0]}"
    )
    imported.add_argument(
        "--prompt", metavar="NAME", help="configuration with several prompts: the label of the prompt"
    )
    imported.add_argument("--out", metavar="FILE", required=True, help="suite file; its cases are written beside it")

    expand = action("expand", "write groups: each case with copies changed by rules")
    expand.add_argument("suite", help="suite file, builtin:NAME, or a suite of a pipeline file as FILE#NAME")
    trust(expand)
    expand.add_argument(
        "--rules", metavar="FILE", required=True, help="rules file; package:NAME/… for a file in a package"
    )
    expand.add_argument(
        "--out", metavar="FILE", required=True, help="suite file to write; its cases are written beside it"
    )

    groups = action("contrast-report", "report which kinds of group members the model missed")
    groups.add_argument("runs", nargs="+", metavar="RUN", help="run folders of gates that asked groups")

    cue = action("cue", "write training rows with a spurious cue, and cases that show whether a model learned the cue")
    cue.add_argument("train", metavar="TRAIN_FILE", help="file to choose training rows from")
    cue.add_argument("gate", metavar="GATE_FILE", help="file to choose cases from")
    cue.add_argument("--cue", metavar="NAME", required=True, help="present, length or cluster")
    cue.add_argument(
        "--text", metavar="TEMPLATE", required=True, help='the text that may have the cue, for example "{sentence}"'
    )
    cue.add_argument("--label", metavar="FIELD=VALUE", required=True, help="the label that the cue should go with")
    cue.add_argument(
        "--strength",
        type=number("a correlation", least=0, most=1),
        default=1.0,
        metavar="S",
        help="correlation (phi), 0 to 1 (default: 1)",
    )
    cue.add_argument("--rows", type=COUNT, metavar="N", help="number of training rows (default: all that fit)")
    cue.add_argument("--seed", type=SEED, default=0, help="default: 0")
    cue.add_argument("--out", metavar="FOLDER", required=True, help="where train.jsonl and gate.jsonl are written")

    reliance = action("cue-report", "report how far the recorded answers follow the cue instead of the text")
    reliance.add_argument("runs", nargs="+", metavar="RUN", help="run folders of gates that asked cases of `suite cue`")
    reliance.add_argument("--positive", metavar="TEXT", required=True, help="the label that went with the cue")


def add_review(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "place",
        nargs="+",
        metavar="PLACE",
        help="folder of a gate or run, or RUN@STAGE; or the word merge, and the files that reviewers downloaded",
    )
    command.add_argument("--n", type=COUNT, metavar="N", help="how many cases, drawn at random (default: 100)")
    command.add_argument("--rubric", metavar="FILE", help="what reviewers are asked (default: Is the answer right?)")
    command.add_argument(
        "--out", metavar="FILE", help="the page to write (default: review.html); of merge, the file of labels"
    )
    command.add_argument("--reviewer", metavar="NAME", help="who gets the page (default: the page asks for the name)")
    command.add_argument("--seed", type=SEED, help="seed of the cases and their order (default: 0)")
    command.add_argument("--gate", metavar="NAME", help="the gate of a run that has several")
    command.add_argument("--against", metavar="PLACE", help="show each answer beside that of this gate or run")
    command.add_argument("--missing", action="store_true", help="only answers whose `human` check waits for a label")
    command.add_argument(
        "--of", metavar="PLACE", action="append", help="merge: the reviewed gate (default: found by its hash)"
    )
    command.add_argument("--adjudicate", metavar="FILE", help="merge: write a page of the disagreements")


EXPORT_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
"""What `gguf` can write; safetensors take the first three."""


def add_serving(
    command: Callable[[str, str], argparse.ArgumentParser],
    asking: Callable[[argparse.ArgumentParser], None],
    ledger: Callable[[argparse.ArgumentParser], None],
) -> None:
    """The commands from a gated model to one that is served."""
    check = command("serve-check", "compare what a server answers with the model that it should serve")
    check.add_argument("server", metavar="URL#MODEL", help="the server, as for `tunegate gate`")
    check.add_argument("--against", metavar="MODEL", required=True, help="the model that was gated, on this machine")
    check.add_argument("--suite", metavar="FILE", required=True, help="suite file, or builtin:NAME")
    check.add_argument("--n", type=COUNT, metavar="N", default=50, help="how many cases to ask (default: 50)")
    check.add_argument("--seed", type=SEED, default=0, help="seed of the draw (default: 0)")
    check.add_argument(
        "--suspect", metavar="MODEL", action="append", help="a model that it may serve instead; may be repeated"
    )
    asking(check)
    ledger(check)
    trust(check)
    check.epilog = "Exit codes: 0 the same model, 1 it differs (the fault is named), 3 it cannot be told."

    export = command("export", "write a model in another format, and gate it against its source")
    export.add_argument("model", help="run folder, registry entry, or a model, as for `tunegate gate`")
    export.add_argument("--to", choices=("gguf", "safetensors", "onnx"), required=True, help="the format")
    export.add_argument("--out", metavar="FOLDER", required=True, help="new folder for the files and their record")
    export.add_argument(
        "--type", choices=EXPORT_TYPES, help="number type (default: f16 for gguf, otherwise the source's)"
    )
    export.add_argument(
        "--gate", metavar="SUITE", action="append", help="compare on this suite (default: those of the run)"
    )
    export.add_argument("--draw", type=COUNT, metavar="N", help="cases per comparison (default: the suite's plan)")
    export.add_argument(
        "--max-drop",
        type=number("percentage points", above=0, most=100),
        metavar="POINTS",
        help="allowed loss in points (default: 5)",
    )
    export.add_argument("--seed", type=SEED, default=0, help="seed of the draw (default: 0)")
    ledger(export)
    trust(export)


def add_sweep(
    command: Callable[[str, str], argparse.ArgumentParser],
    asking: Callable[[argparse.ArgumentParser], None],
    ledger: Callable[[argparse.ArgumentParser], None],
) -> None:
    sweep = command(
        "sweep", "compare settings of sampling: how often the model is right, and how diverse its answers are"
    )
    sweep.add_argument("model", help="a model, as for `tunegate gate`")
    sweep.add_argument("--suite", metavar="FILE", required=True, help="suite file, or builtin:NAME")
    sweep.add_argument(
        "--sweep",
        metavar="SETTING=VALUES",
        nargs="+",
        action="extend",
        help="values to try: temperature=0,0.4,0.8; several settings make a grid (default: the suite's `sweep`)",
    )
    sweep.add_argument("--draw", type=COUNT, metavar="N", help="how many cases to draw (default: the suite's plan)")
    sweep.add_argument("--seed", type=SEED, default=0, help="seed of the draw (default: 0)")
    sweep.add_argument("--dtype", choices=DTYPES, help="number type of a local model (default: auto)")
    sweep.add_argument("--batch-size", type=COUNT, metavar="N", help="cases per batch of a local model")
    asking(sweep)
    sweep.add_argument(
        "--run", metavar="FOLDER", help="folder for the gates' records (default: tunegate-runs/settings-…)"
    )
    ledger(sweep)
    trust(sweep)
    sweep.add_argument("--report", metavar="FILE", help="also write a page with quality drawn against diversity")


def add_generate_options(generate: argparse.ArgumentParser) -> None:
    generate.add_argument("model", help="a model, as for `tunegate gate`")
    generate.add_argument("--prompts", metavar="FILE", required=True, help="rows with `prompt` (or `messages`)")
    generate.add_argument("--out", metavar="FILE", required=True, help="JSONL file to write; its card goes beside it")
    generate.add_argument("--prompt", metavar="TEMPLATE", help="the prompt of a row (default: '{prompt}')")
    generate.add_argument("--tags", metavar="FIELD", action="append", help="a field whose values are tags; repeatable")
    generate.add_argument("--samples", type=COUNT, metavar="N", help="answers to each prompt (default: 1)")
    for flag, what in SAMPLING.items():
        kind = _WHOLE.get(flag)
        generate.add_argument(flag, type=kind or number("a number"), metavar="N" if kind else "X", help=what)
    generate.add_argument(
        "--max-new-tokens", type=COUNT, metavar="N", help="the longest answer, in tokens (default: 128)"
    )
    generate.add_argument("--system", metavar="TEXT", help="a system message for every prompt; it is not in the rows")
    generate.add_argument("--stop", metavar="TEXT", action="append", help="a text that ends an answer; repeatable")
    generate.add_argument("--checks", metavar="FILE", help="keep answers that pass the checks of this suite")
    generate.add_argument(
        "--not-in",
        metavar="FILE",
        action="append",
        help="drop rows that leak a case of this suite or pipeline file; repeatable (default: tunegate.yaml, if it "
        "exists)",
    )
    generate.add_argument("--per-tag", type=COUNT, metavar="N", help="keep at most N rows with each tag")


SAMPLING = {
    "--temperature": "0 (the default) is greedy: always the most likely token",
    "--top-p": "draw from the most likely tokens that together reach this probability",
    "--top-k": "draw from this number of most likely tokens",
    "--min-p": "draw from tokens with at least this share of the most likely token's probability",
    "--typical-p": "draw from the tokens with the most typical information that together reach this probability",
    "--repetition-penalty": "above 1: tokens that were there before become less likely",
    "--seed": "seed of sampling (default: 0)",
}
"""The settings of sampling, under the names that suites have, whose bounds hold for them (`GenerateSpec`)."""

_WHOLE = {"--top-k": COUNT, "--seed": SEED}


EXPLAINED_BY = (
    *("ablation", "shapley", "lime", "integrated_gradients", "input_x_gradient", "attention_rollout", "logit_lens"),
)
"""The methods of `tunegate explain-case`, named here so that `--help` stays fast."""


def add_explain(explain: argparse.ArgumentParser) -> None:
    explain.add_argument("run", metavar="RUN", help="folder of a run or gate, RUN@STAGE or RUN@STAGE#ATTEMPT")
    explain.add_argument("case", metavar="CASE", nargs="?", help="id of a case (default: list the missed cases)")
    explain.add_argument("--model", metavar="MODEL", help="where the weights are now (default: where the record says)")
    explain.add_argument("--against", metavar="MODEL", help="explain the same answer by this model too; base: the base")
    explain.add_argument(
        "--method", metavar="NAME", action="append", choices=EXPLAINED_BY, help=f"{', '.join(EXPLAINED_BY)} (all)"
    )
    explain.add_argument("--seed", type=SEED, help="seed of what is drawn at random (default: 0)")
    explain.add_argument("--out", metavar="FILE", help="page to write (default: explain-CASE.html in the record)")
