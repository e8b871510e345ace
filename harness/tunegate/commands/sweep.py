"""`tunegate sweep MODEL --suite FILE`: the same cases for several settings of sampling, and fresh ones for the chosen.

Each setting is an ordinary gate with its own folder, as each prompt of `tunegate bake-off --prompts` is.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tunegate.addresses import without_secrets
from tunegate.choosing.prompts import choosing_plan
from tunegate.choosing.sweep import Answers, SweepResult, chosen_of, describe, measures_of
from tunegate.choosing.sweep_words import head, notes, sweep_cells
from tunegate.commands.console import Bar
from tunegate.commands.plan_override import override
from tunegate.commands.report import write_sweep
from tunegate.commands.siblings import named_suite
from tunegate.commands.subject import opened
from tunegate.commands.variants import (
    Kind,
    Open,
    Variants,
    Words,
    check_supply,
    confirmed_as_json,
    show_result,
    variant_as_json,
)
from tunegate.exceptions import ConfigError
from tunegate.models.model import Model
from tunegate.models.sampling_grid import Setting, settings_of
from tunegate.models.sampling_spec import SweepSpec
from tunegate.models.with_sampling import with_sampling
from tunegate.progress import Progress
from tunegate.reading.spec import read_spec
from tunegate.reading.yaml_file import YamlFile
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import no_sweep_of

KIND = Kind("setting", "settings")
WRITTEN = Path("--sweep")
"""Stands for the file of a spec that is given on the command line."""


def sweep(options: Namespace) -> int:
    """Compare settings of sampling on the same cases."""
    return sweep_settings(options, named_suite(options.suite))


def sweep_settings(options: Namespace, suite: Suite, open_model: Open | None = None) -> int:
    """Compare the settings, confirm the chosen one, and show the result; returns the exit code."""
    with Bar() as bar:
        result = compare_settings(options, suite, open_model or _open, bar.update, bar.say)
    words = Words(head(result), [sweep_cells(result, one) for one in result.choice.ranked], notes(result))
    return show_result(options, KIND, result, partial(write_sweep, result), _facts(result), words)


def _open(options: Namespace, spec: str, suite: Suite) -> Model:
    return opened(options, spec, suite, "sweep")


def compare_settings(
    options: Namespace, suite: Suite, open_model: Open, progress: Progress, say: Callable[[str], None]
) -> SweepResult:
    """Gate every setting on the same cases, and the chosen one on fresh ones; raises ConfigError before that."""
    settings = {one.label: one for one in _settings(options.sweep, suite)}
    plan = replace(choosing_plan(override(suite, options.draw, None)), curtail=False)
    check_supply(suite, plan, KIND)
    model = open_model(options, options.model, suite)
    asked = {name: with_sampling(model, one.changes, name) for name, one in settings.items()}
    variants = Variants(options, suite, plan, KIND, model, asked, progress, say)
    choice = variants.choice()
    judged = [one.entry for one in choice.ranked if one.standing != "INVALID" and one.entry.gate]
    answers = {
        entry.model: describe(entry.gate.outcomes, measures_of(suite.diversity)) for entry in judged if entry.gate
    }
    confirmed = variants.confirm(choice, chosen_of(choice, answers))
    place, share = without_secrets(options.model), plan.accept / plan.draw
    return SweepResult(place, options.suite, choice, settings, answers, share, confirmed)


def _settings(written: Sequence[str] | None, suite: Suite) -> tuple[Setting, ...]:
    """The settings to try: those of the command line, or, if it gives none, those of the suite."""
    if (fault := no_sweep_of(suite.checks, suite.rule.kind)) is not None:
        raise ConfigError(f"suite {suite.name!r}: {fault}")
    if not written:
        if not suite.sweep:
            raise ConfigError(
                f"{suite.path}: it has no `sweep`; give settings to try: --sweep temperature=0,0.4,0.8 (or write "
                "`sweep: {temperature: [0, 0.4, 0.8]}` into the file)"
            )
        return settings_of(suite.sweep, suite.settings)
    values = read_spec(SweepSpec, YamlFile(WRITTEN, _read(written), {})).values
    try:
        return settings_of(values, suite.settings)
    except ValueError as error:
        raise ConfigError(f"--sweep: {error}") from error


def _read(written: Sequence[str]) -> Mapping[str, list[Any]]:
    """`["temperature=0,0.4"]` as `{"temperature": [0, 0.4]}`."""
    values: dict[str, list[Any]] = {}
    for entry in written:
        name, equals, numbers = entry.partition("=")
        if not equals or not name or not numbers:
            raise ConfigError(f"--sweep: expected SETTING=VALUE,VALUE, such as temperature=0,0.4,0.8, got {entry!r}")
        if name in values:
            raise ConfigError(f"--sweep: {name} is given twice; give all its values at once: {name}=VALUE,VALUE")
        values[name] = [_number(text) for text in numbers.split(",")]
    return values


def _number(text: str) -> int | float | str:
    """The number, or the text itself, which the schema then refuses."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


# --- what is shown -------------------------------------------------------------------------------------------------


def _facts(result: SweepResult) -> dict[str, Any]:
    choice, chosen = result.choice, result.chosen
    name = chosen and chosen.entry.model
    return {
        "accept_share": result.accept,
        "settings": [
            {
                "setting": one.entry.model,
                **_diversity(result.answers.get(one.entry.model)),
                "swept": dict(result.settings[one.entry.model].swept),
                **variant_as_json(one, choice),
            }
            for one in choice.ranked
        ],
        "passing": [one.entry.model for one in result.passing],
        "chosen": name,
        "confirmed": confirmed_as_json(KIND, name, result.confirmed),
        "generate": name and yaml.safe_load(result.settings[name].as_generate)["generate"],
    }


def _diversity(answers: Answers | None) -> dict[str, Any]:
    if answers is None:
        return {"diversity": None, "words_per_answer": None}
    return {"diversity": [asdict(one) for one in answers.spreads], "words_per_answer": answers.words}
