"""Checks: metrics with their pass conditions, one thin file per idea.

`build_check(entry, base_dir)` turns one item of a suite's `checks` list into a check:

    exact                                       a name alone
    rougeL: {min: 0.6}                          a name and its options
    contains: autosomal                         a name and its main option
    {python: "metrics:fluency", min: 0.5}       the same, with further options next to it

The dict below is the whole registry. Its values are imported only when a suite uses them, so that building `exact`
imports neither numpy nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tunegate.checks.check import Check
    from tunegate.trust.wants import Wants
    from tunegate_suites.options import LocalModels

CHECKS = {
    "exact": "tunegate_suites.text:Exact",
    "contains": "tunegate_suites.contains:Contains",
    "regex": "tunegate_suites.text:Regex",
    "number": "tunegate_suites.number:NumberCheck",
    "json": "tunegate_suites.json_check:Json",
    "json_equal": "tunegate_suites.json_equal:JsonEqual",
    "choice": "tunegate_suites.choice:Choice",
    "perplexity": "tunegate_suites.perplexity:Perplexity",
    "rouge1": "tunegate_suites.rouge:Rouge",
    "rouge2": "tunegate_suites.rouge:Rouge",
    "rougeL": "tunegate_suites.rouge:Rouge",
    "rougeLsum": "tunegate_suites.rouge:Rouge",
    "similarity": "tunegate_suites.similarity:Similarity",
    "human": "tunegate_suites.human:Human",
    "judge": "tunegate_suites.judges.judge:Judge",
    "counterfactual": "tunegate_suites.counterfactual:Counterfactual",
    "contrast": "tunegate_suites.contrasts.contrast:Contrast",
    "preference_bias": "tunegate_suites.preference:PreferenceBias",
    "errors": "tunegate_suites.errors:Errors",
    "imported": "tunegate_suites.imported:Imported",
    "evaluate": "tunegate_suites.evaluate_metric:Evaluate",
    "ragas": "tunegate_suites.ragas_metric:Ragas",
    "python": "tunegate_suites.python_metric:Python",
}
"""Check name to the `module:class` that implements it. `rouge3` to `rouge9` exist too (see `build.find`)."""


def build_check(
    entry: object,
    base_dir: Path,
    models: LocalModels | None = None,
    *,
    file: Path | None = None,
    look: bool = False,
) -> Check:
    """Build the check that an item of a suite's `checks` list describes.

    Paths in options are relative to `base_dir`. `models` opens local judges (default: through
    `tunegate.models.open_model`). `file` is the file of the entry; None is the user's own Python code. With `look`,
    none of the file's code runs and no server is contacted, whatever the user allows.
    Raises ConfigError, its message relative to the entry (`rougeL.minn: unknown option (did you mean 'min'?)`, or what
    the user does not allow the file), and MissingExtra when the check needs packages that are not installed.
    """
    from tunegate_suites.build import build

    return build(entry, base_dir, models, file, look)


def wants_of_check(entry: object, base_dir: Path, file: Path | None = None) -> list[tuple[Path | None, Wants]]:
    """What the check of an entry would run, read, contact and load, with the file of these options; nothing is done.

    A judge that is a panel is followed by its members. Raises ConfigError for wrong options.
    """
    from tunegate_suites.build import wants_in
    from tunegate_suites.options import BuildContext

    return wants_in(entry, BuildContext("", base_dir, file=file, look=True))
