"""What a gate tests: the model or the answers that the options name."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from tunegate.commands import console, imported
from tunegate.commands.asking import asking, flags_given
from tunegate.commands.model_under_test import look_at_folder, look_at_model
from tunegate.elsewhere.results import Results
from tunegate.exceptions import ConfigError
from tunegate.executors.executor import Opening
from tunegate.models.model import Model, notes_of
from tunegate.models.with_prompt import with_prompt
from tunegate.suites.suite import Suite


def open_subject(options: Namespace, suite: Suite, results: Results | None = None) -> Model:
    """Open the model, or read the answers; notes go to standard error.

    Raises ConfigError for options that would have no effect.
    """
    if options.responses is not None:
        for flag, given in {"--dtype": options.dtype, "--batch-size": options.batch_size}.items():
            if given is not None:
                raise ConfigError(f"{flag}: has no effect on stored responses; leave it out")
        if flags := flags_given(options):
            raise ConfigError(f"{', '.join(flags)}: stored responses are not requested from a server; leave it out")
        if _executor(options) is not None:
            raise ConfigError("--executor: stored responses are not asked of a model; leave it out")
        if options.prompt_file is not None:
            raise ConfigError("--prompt-file: has no effect on stored responses; leave it out")
        responses, notes = imported.answers_of(options, suite, results)
        tell("gate", [*notes, *suite.remarks])
        return responses
    prompt = None
    if options.prompt_file is not None:
        from tunegate.choosing.prompt_file import prompt_for

        prompt = prompt_for(Path(options.prompt_file), suite)
    model = opened(options, options.model, suite)
    return model if prompt is None else with_prompt(model, prompt)


def opened(options: Namespace, spec: str, suite: Suite, command: str = "gate") -> Model:
    """Open the model that `spec` names, as the options say; notes go to standard error."""
    _check_flags(options, spec)
    tell(command, look_at_folder(spec, suite))
    model = _opened(options, spec)
    tell(command, look_at_model(spec, model, suite))
    return model


def open_for_prompts(options: Namespace) -> Model:
    """Open the model of a command that has prompts instead of a suite; notes go to standard error."""
    from tunegate.models.open_model import folder_notes

    _check_flags(options, options.model)
    tell(options.command, folder_notes(options.model))
    model = _opened(options, options.model)
    tell(options.command, notes_of(model))
    return model


def _check_flags(options: Namespace, spec: str) -> None:
    from tunegate.models.open_model import is_server

    if (flags := flags_given(options)) and not is_server(spec):
        raise ConfigError(
            f"{', '.join(flags)}: only for models behind a server, but this model runs here; leave it out"
        )


def _opened(options: Namespace, spec: str) -> Model:
    from tunegate.executors.executor_spec import executor_of
    from tunegate.models.open_model import is_server

    where = _executor(options)
    if where is not None and is_server(spec):
        raise ConfigError("--executor: a server answers by itself; leave it out")
    opening = Opening(spec, options.dtype or "auto", options.batch_size, asking(options))
    return executor_of(where).open(opening)


def _executor(options: Namespace) -> str | None:
    """`--executor`, which not all commands have that open a model."""
    return getattr(options, "executor", None)


def tell(command: str, notes: Sequence[str]) -> None:
    """Print notes of a command on standard error."""
    for note in notes:
        print(console.printable(f"tunegate {command}: {note}"), file=sys.stderr)
