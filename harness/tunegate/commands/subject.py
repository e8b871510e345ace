"""What a gate tests: the model or the answers that the options name."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

from tunegate.commands import console, imported
from tunegate.commands.asking import asking, flags_given
from tunegate.commands.model_under_test import look_at_folder, look_at_model
from tunegate.elsewhere.results import Results
from tunegate.exceptions import ConfigError
from tunegate.models.model import Model, notes_of
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
        responses, notes = imported.answers_of(options, suite, results)
        tell("gate", [*notes, *suite.remarks])
        return responses
    _check_flags(options)
    tell("gate", look_at_folder(options.model, suite))
    model = _opened(options)
    tell("gate", look_at_model(options.model, model, suite))
    return model


def open_for_prompts(options: Namespace) -> Model:
    """Open the model of a command that has prompts instead of a suite; notes go to standard error."""
    from tunegate.models.open_model import folder_notes

    _check_flags(options)
    tell(options.command, folder_notes(options.model))
    model = _opened(options)
    tell(options.command, notes_of(model))
    return model


def _check_flags(options: Namespace) -> None:
    from tunegate.models.open_model import is_server

    if (flags := flags_given(options)) and not is_server(options.model):
        raise ConfigError(
            f"{', '.join(flags)}: only for models behind a server, but this model runs here; leave it out"
        )


def _opened(options: Namespace) -> Model:
    from tunegate.models.open_model import open_model

    dtype = options.dtype or "auto"
    return open_model(options.model, dtype=dtype, batch_size=options.batch_size, asking=asking(options))


def tell(command: str, notes: Sequence[str]) -> None:
    """Print notes of a command on standard error."""
    for note in notes:
        print(console.printable(f"tunegate {command}: {note}"), file=sys.stderr)
