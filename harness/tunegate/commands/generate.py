"""`tunegate generate MODEL --prompts FILE --out FILE`: training data, or other texts, from a model's answers."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunegate.cases.case import Case
from tunegate.cases.cases_spec import CasesSpec
from tunegate.cases.from_rows import load_cases
from tunegate.checks.check import Check, CheckBuilder, lacking, unaskable, variants_of
from tunegate.commands.console import Bar, on_workers, show, show_json
from tunegate.commands.subject import open_for_prompts, tell
from tunegate.exceptions import ConfigError
from tunegate.generation.choose import LONGER, Filters, mostly_cut_off
from tunegate.generation.generate import Generated, Request, card_path, generate
from tunegate.models.model import GenerationSettings
from tunegate.models.timing import executor_facts
from tunegate.pipeline.pipeline_file import load_suites
from tunegate.reading.files import PIPELINE_FILE
from tunegate.reading.spec import read_spec
from tunegate.reading.yaml_file import YamlFile
from tunegate.suites.places import suite_place
from tunegate.suites.suite import Suite
from tunegate.suites.suite_spec import GenerateSpec

WRITTEN = Path("tunegate generate")
"""Stands for the file of a spec that is given on the command line."""
SETTINGS = (
    *("samples", "temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty", "seed"),
    *("max_new_tokens", "system", "stop"),
)
UNANSWERED = 3
"""The exit code if some questions got no reply: the file is written, but rows may be missing."""


def generate_rows(options: Namespace, build_check: CheckBuilder, check_allowed: Callable[[Path], None]) -> int:
    """Carry out the command; `check_allowed` raises for a file that wants what the user does not allow."""

    def suites_in(name: str) -> list[Suite]:
        path = suite_place(name, Path())
        check_allowed(path)
        return load_suites(path, build_check)

    checks = None if options.checks is None else _one(suites_in(options.checks), options.checks)
    settings = _settings(options, checks)
    cases = _cases(options)
    if checks is not None:
        _check_judged(checks, cases)
    not_in = _not_in(options, checks, suites_in)
    if not not_in:
        tell("generate", ["no suite is named with --not-in, so the rows may contain test cases"])
    model = open_for_prompts(options)
    filters = Filters(checks, not_in, options.per_tag)
    request = Request(model, Path(options.prompts), cases, settings, filters, Path(options.out))
    with Bar() as bar:
        result = generate(request, bar.update)
    if (executor := executor_facts(model)) is not None:
        tell("generate", [f"answered by {model.name}{on_workers(executor)}"])
    show_generated(result, Path(options.out), as_json=options.json)
    return UNANSWERED if result.unanswered else 0


def _settings(options: Namespace, checks: Suite | None) -> GenerationSettings:
    """Those of the suite of checks, or the defaults, with those of the command line in their place."""
    values: dict[str, Any] = asdict(GenerationSettings() if checks is None else checks.settings)
    values = {**values, "stop": list(values["stop"])}
    given = {name: value for name in SETTINGS if (value := getattr(options, name)) is not None}
    return read_spec(GenerateSpec, YamlFile(WRITTEN, values | given, {})).settings


def _cases(options: Namespace) -> tuple[Case, ...]:
    given = {"path": options.prompts, "prompt": options.prompt, "tags": options.tags}
    values = {name: value for name, value in given.items() if value is not None}
    cases = load_cases(read_spec(CasesSpec, YamlFile(WRITTEN, values, {})), Path())
    if options.per_tag is not None and not any(case.tags for case in cases):
        raise ConfigError(f"--per-tag: no prompt of {options.prompts} has a tag; name their field with --tags FIELD")
    return cases


def _check_judged(suite: Suite, cases: Sequence[Case]) -> None:
    """Raise ConfigError for checks that cannot judge the answers to these prompts."""
    where = f"--checks {suite.path}"
    for check in suite.checks:
        if check.needs_choices or _asks_more(check, cases[0]):
            raise ConfigError(f"{where}: {check.name} asks the model more than a prompt; name a suite of plain checks")
        for need in (need for need, count in lacking(check, cases).items() if count == len(cases)):
            raise ConfigError(f"{where}: {check.name} needs `{need}`, but no prompt has it; add it to the rows")
    fault = unaskable(suite.checks, cases[0])
    if fault is not None:
        raise ConfigError(f"{where}: {fault}; name a suite of plain checks")


def _asks_more(check: Check, case: Case) -> bool:
    return bool(variants_of([check], case))


def _one(suites: Sequence[Suite], name: str) -> Suite:
    if len(suites) > 1:
        raise ConfigError(f"--checks {name}: expected a suite file, got a pipeline file with {len(suites)} suites")
    return suites[0]


def _not_in(options: Namespace, checks: Suite | None, suites_in: Callable[[str], list[Suite]]) -> tuple[Suite, ...]:
    """The suites that no row may leak: those named, by default those of the pipeline file here, and that of checks."""
    named = options.not_in or ([PIPELINE_FILE] if Path(PIPELINE_FILE).is_file() else [])
    suites = [suite for name in named for suite in suites_in(name)]
    if checks is not None:
        suites.append(checks)
    return tuple({suite.sha256: suite for suite in suites}.values())


def show_generated(result: Generated, out: Path, *, as_json: bool) -> None:
    """The card as one JSON object, or what was kept and dropped, in a few lines."""
    if as_json:
        show_json({**result.card, "unanswered": result.unanswered})
        return
    card = result.card
    show(f"{out}: {card['rows']:,} rows from {card['asked']:,} answers to {card['prompts']['prompts']:,} prompts")
    if card["dropped"]:
        show("dropped: " + ", ".join(f"{why} {count:,}" for why, count in card["dropped"].items()))
        if mostly_cut_off(card["dropped"], card["asked"]):
            show(f"most answers were cut off: {LONGER}")
    before, after = card["diversity"]["before"], card["diversity"]["after"]
    show(
        f"diversity: distinct-2 {before['distinct_2']:.3f} before, {after['distinct_2']:.3f} after; near-duplicates "
        f"{before['near_duplicates']:.1%} before, {after['near_duplicates']:.1%} after"
    )
    if result.unanswered:
        show(f"no reply to {result.unanswered:,} questions; the same command asks them again")
    show(f"card: {card_path(out, 'md')}")
