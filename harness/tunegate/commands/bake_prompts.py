"""`tunegate bake-off MODEL --prompts FILE… --suite FILE`: compare prompts of one model, and ask the best fresh cases.

The model is loaded once. Each prompt is an ordinary gate with its own folder, as in a bake-off of models.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tunegate.addresses import without_secrets
from tunegate.checks.outcome import Verdict
from tunegate.choosing.prompt_file import prompts_for
from tunegate.choosing.prompts import BASELINE, PromptBakeOff, best_of, choosing_plan
from tunegate.choosing.prompts_words import HEAD, gate_command, notes, number_to_write, prompt_cells
from tunegate.commands.console import Bar
from tunegate.commands.plan_override import override
from tunegate.commands.report import write_prompts
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
from tunegate.models.with_prompt import with_prompt
from tunegate.progress import Progress
from tunegate.suites.suite import Suite

KIND = Kind("prompt", "prompts")


def bake_prompts(options: Namespace, suite: Suite, open_model: Open | None = None) -> int:
    """Compare the prompts, confirm the best, and show the result; returns the exit code."""
    with Bar() as bar:
        result = compare_prompts(options, suite, open_model or _open, bar.update, bar.say)
    words = Words(HEAD, [prompt_cells(one) for one in result.choice.ranked], notes(result))
    return show_result(options, KIND, result, partial(write_prompts, result), _facts(result), words)


def _open(options: Namespace, spec: str, suite: Suite) -> Model:
    return opened(options, spec, suite, "bake-off")


def compare_prompts(
    options: Namespace, suite: Suite, open_model: Open, progress: Progress, say: Callable[[str], None]
) -> PromptBakeOff:
    """Gate every prompt on the same cases, and the best on fresh ones; raises ConfigError before the model is asked."""
    if len(options.models) != 1:
        raise ConfigError(f"--prompts: compares prompts of one model, but {len(options.models)} are given; give one")
    read = [(prompt, file) for file in options.prompts for prompt in prompts_for(Path(file), suite)]
    prompts = {BASELINE.name: BASELINE} if not options.no_baseline else {}
    for prompt, file in read:
        if prompt.name in prompts:
            raise ConfigError(f"{file}: name: another prompt is named {prompt.name!r}, too; give it another name")
        prompts[prompt.name] = prompt
    if len(prompts) < 2:
        raise ConfigError("--no-baseline: leaves one prompt, which is compared with nothing; use `tunegate gate`")
    plan = choosing_plan(override(suite, options.draw, None))
    check_supply(suite, plan, KIND)
    model = open_model(options, options.models[0], suite)
    asked = {name: with_prompt(model, prompt) for name, prompt in prompts.items()}
    variants = Variants(options, suite, plan, KIND, model, asked, progress, say)
    choice = variants.choice()
    confirmed = variants.confirm(choice, best_of(choice)) if choice.verdict is Verdict.PASS else None
    files = {prompt.name: file for prompt, file in read}
    return PromptBakeOff(without_secrets(options.models[0]), options.suite, choice, prompts, files, confirmed)


# --- what is shown -------------------------------------------------------------------------------------------------


def _facts(result: PromptBakeOff) -> dict[str, Any]:
    choice = result.choice
    return {
        "prompts": [
            {
                "prompt": one.entry.model,
                "file": result.files.get(one.entry.model),
                "n": result.prompts[one.entry.model].nearest,
                "prompt_sha256": result.prompts[one.entry.model].sha256,
                **variant_as_json(one, choice),
            }
            for one in choice.ranked
        ],
        "confirmed": confirmed_as_json(KIND, result.best and result.best.entry.model, result.confirmed),
        "gate_command": gate_command(result),
        "gate_n": number_to_write(result),
    }
