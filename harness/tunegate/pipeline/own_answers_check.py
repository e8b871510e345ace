"""Checks that a stage can learn from its own answers: what `own_answers` requires of method, suite and rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tunegate.cases.case import Case
from tunegate.checks.check import unaskable
from tunegate.data.methods import METHODS
from tunegate.data.spec import OwnAnswersSpec
from tunegate.exceptions import ConfigError, nearest
from tunegate.models.model import GenerationSettings
from tunegate.models.sampling_spec import NO_EFFECT, given, without_effect
from tunegate.pipeline.stage_spec import StageSpec
from tunegate.suites.suite import Suite

LEARN_FROM_MISSES = tuple(name for name, method in METHODS.items() if method.labelled or "rejected" in method.answers)
"""The methods that learn from both good and bad answers."""


def check_own_answers(stage: StageSpec, suites: Mapping[str, Suite]) -> None:
    """Raise ConfigError if a stage's `own_answers` cannot work; the message begins with the key at fault."""
    spec = stage.data.own_answers
    if spec is None:
        return
    if stage.method not in LEARN_FROM_MISSES:
        raise ConfigError(f"own_answers: {stage.method} cannot learn from misses; {', '.join(LEARN_FROM_MISSES)} can")
    for name in ("chosen", "rejected", "label"):
        if getattr(stage.data, name) is not None:
            raise ConfigError(f"{name}: is made from the model's own answers; leave it out, and give `completion`")
    if spec.judged_by not in suites:
        raise ConfigError(
            f"own_answers.judged_by: no suite is named {spec.judged_by!r}{nearest(spec.judged_by, suites)}"
        )
    if any(check.needs_choices for check in suites[spec.judged_by].checks):
        raise ConfigError(
            f"own_answers.judged_by: {spec.judged_by} lets the model choose between given answers, but training rows "
            "have no such answers; name a suite that judges written answers"
        )
    fault = unaskable(suites[spec.judged_by].checks, ANY_ROW) or _without_context(suites[spec.judged_by])
    if fault is not None:
        raise ConfigError(
            f"own_answers.judged_by: {spec.judged_by} cannot judge a training row, which is a prompt and a completion: "
            f"{fault}; name a suite of plain checks"
        )
    settings = settings_of(spec, suites[spec.judged_by])
    if (name := without_effect(settings)) is not None:
        raise ConfigError(f"own_answers: {name}: {NO_EFFECT}")
    if spec.samples > 1 and not settings.temperature:
        raise ConfigError(
            f"own_answers: samples: {spec.samples} answers at temperature 0 are identical; set `temperature`, such as "
            "0.7"
        )


def settings_of(spec: OwnAnswersSpec, suite: Suite) -> GenerationSettings:
    """How the training prompts are answered: as in the suite, but for the settings that `own_answers` gives."""
    samples = {"samples": spec.samples} if spec.samples > 1 else {}
    return replace(suite.settings, **given(spec), **samples)


ANY_ROW = Case("1", "A prompt?", ("A completion.",))


def _without_context(suite: Suite) -> str | None:
    """The check that needs a context, which a training row does not have; None if there is none."""
    names = [check.name for check in suite.checks if getattr(check, "needs_context", False)]
    return f"{names[0]}: needs a context, which training rows do not have" if names else None
