"""`tunegate gate --responses FILE`: answers of another tool, or the user's own rows, and the suite that judges them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tunegate.checks.check import CheckBuilder
from tunegate.elsewhere.made_suite import suite_from
from tunegate.elsewhere.read import FORMATS, read_results
from tunegate.elsewhere.results import Picks, Results
from tunegate.elsewhere.results_file import SUFFIXES, parsed
from tunegate.exceptions import ConfigError
from tunegate.gates.stored_answers import results_for, stored_answers
from tunegate.models.model import StoredResponses
from tunegate.reading.files import check_size, read_text
from tunegate.suites.suite import Suite

MAX_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Subject:
    """The suite of a gate, and what was read of the answers of another tool; None for a model and for own rows."""

    suite: Suite
    results: Results | None = None


def subject_of(options: Namespace, load: Callable[[str], Suite], build_check: CheckBuilder) -> Subject:
    """The suite that the options name, or the suite made from the results file that they name."""
    picks = picks_of(options)
    if options.responses is None and picks.given:
        raise ConfigError(f"--{picks.given[0]}: only for --responses with the file of another tool; leave it out")
    if options.suite is not None:
        suite = load(options.suite)
        return Subject(suite, None if options.responses is None else results_for(Path(options.responses), suite, picks))
    if options.responses is None:
        raise ConfigError("the following arguments are required: --suite FILE")
    path = Path(options.responses)
    results = read_results(path, picks)
    if results is None:
        raise _unknown(path)
    return Subject(suite_from(path, results, build_check, options.draw, options.accept, picks), results)


def picks_of(options: Namespace) -> Picks:
    """The part of a results file that the options choose."""
    return Picks(options.filter, options.prompt, options.provider, options.epoch)


def _unknown(path: Path) -> ConfigError:
    """Why no suite can be made from a file: it is not there, damaged, or of no known tool."""
    check_size(path, MAX_BYTES)
    if path.suffix.lower() in SUFFIXES[:1]:
        parsed(read_text(path, MAX_BYTES), str(path))  # raises for a damaged document
    tools = ", ".join(one.tool for one in FORMATS)
    return ConfigError(
        f"{path}: give the suite of these answers: --suite FILE; without it, only files of {tools} are read"
    )


def answers_of(options: Namespace, suite: Suite, results: Results | None = None) -> tuple[StoredResponses, list[str]]:
    """The answers by case id, and notes."""
    path = Path(options.responses)
    found = results_for(path, suite, picks_of(options)) if results is None else results
    stored, notes = stored_answers(path, suite, found)
    if options.suite is None and stored.imported is not None:
        stored = replace(stored, imported={**stored.imported, "suite": "made from the file"})
    return stored, notes
