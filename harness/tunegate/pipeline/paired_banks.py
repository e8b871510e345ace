"""Whether the banks have fresh cases for the comparisons of a stage with earlier models."""

from __future__ import annotations

from tunegate.exceptions import ConfigError
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.suites.retained import check_paired_bank


def alike(pipeline: Pipeline, gate: str) -> list[str]:
    """The suites that ask the same bank with the same settings as this gate, itself included, in the file's order."""
    asks = pipeline.suites[gate].asks
    return [name for name, suite in pipeline.suites.items() if suite.asks == asks]


def check_paired_banks(pipeline: Pipeline, stage: Stage) -> None:
    """Raise ConfigError if a first attempt of the stage is certain to find too few cases for a comparison.

    The cases with which a stage before passed its gates chose the earlier model: a comparison on them would be biased.
    """
    for compared in pipeline.paired(stage).values():
        for name, terms in compared.items():
            suite, same = pipeline.suites[name], set(alike(pipeline, name))
            taken = sum(
                max((gate.plan.draw for other, gate in pipeline.gates(one).items() if other in same), default=0)
                for one in pipeline.before(stage)
                if one.role != "baseline"
            )
            try:
                check_paired_bank(suite.bank, terms.draw, terms.kept, reuse=suite.rule.reuse, taken=taken)
            except ConfigError as error:
                raise ConfigError(f"{name}: {error}") from error
