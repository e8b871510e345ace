"""Chooses one cause for a failed attempt, and the setting that the next attempt changes. Pure functions.

The causes are tried in the order of `causes.CAUSES`, the surest first; the first that the evidence shows is chosen. Its
remedies are tried in order, and the first with a rung left is the change for the next attempt. What retraining cannot
fix becomes advice for people.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace

from tunegate.pipeline.default_ladders import FILLED
from tunegate.pipeline.ladders import Settings, next_rung
from tunegate.pipeline.retrain_spec import RetrainSpec
from tunegate.record.record import Diagnosis
from tunegate.training.causes import NOISE, Cause, Evidence, find_cause, share
from tunegate.training.remedies import Remedy

__all__ = ["Evidence", "describe", "diagnose", "with_no_attempt_left"]

SPENT = "the declared budget is used up"

REDRAW = "ask the same weights fresh cases before another training"

_WHY = {
    "rows": "train on more rows",
    "epochs": "train for longer",
    "learning_rate": "use another learning rate",
    "max_length": "allow longer rows",
    "repair": "give more of the training text to the missed kinds",
    "replay": "mix in general data",
    "conflicts": "leave out rows that contradict each other",
}


def diagnose(evidence: Evidence, settings: Settings, spec: RetrainSpec) -> Diagnosis:
    """Name the cause of a miss, with its evidence, and the change of the next attempt within the declared ladders."""
    return replace(_diagnosed(evidence, settings, spec), noise=evidence.noise)


def _diagnosed(evidence: Evidence, settings: Settings, spec: RetrainSpec) -> Diagnosis:
    cause = find_cause(evidence)
    lines = [*describe(evidence), *cause.evidence]
    if cause.name == NOISE and spec.on_noise == "redraw" and evidence.may_redraw:
        return Diagnosis(cause.name, lines, REDRAW, redraw=True)
    for remedy in cause.remedies:
        changes = _changes(remedy, cause, settings, spec)
        if changes:
            old, new = changes[remedy.setting]
            return Diagnosis(cause.name, lines, _action(remedy, old, new, cause), changes)
    if not cause.remedies:
        return Diagnosis(cause.name, lines, _with_advice("retraining cannot fix this", cause))
    tried = list(dict.fromkeys(remedy.setting for remedy in cause.remedies))
    spent = f"{SPENT} (no rung left: {', '.join(tried)})"
    undeclared = [setting for setting in tried if setting in FILLED and not spec.ladder(setting)]
    if undeclared and not spec.auto:
        spent += f"; `auto: true` under `retrain` has default values for {', '.join(undeclared)}"
    return Diagnosis(cause.name, lines, _with_advice(spent, cause), spent=True)


def with_no_attempt_left(found: Diagnosis) -> Diagnosis:
    """The diagnosis of a stage's last attempt: its action becomes advice, and no setting changes."""
    if found.changes or found.redraw:
        action = f"no attempt left; raise retrain.max_attempts to try next: {found.action}"
        return replace(found, action=action, changes={}, redraw=False)
    if found.spent:
        return replace(found, action=f"no attempt left; raise retrain.max_attempts and add a value: {found.action}")
    return found


def _changes(remedy: Remedy, cause: Cause, settings: Settings, spec: RetrainSpec) -> dict[str, tuple[object, object]]:
    new = next_rung(remedy.setting, settings, spec, remedy.direction)
    if new is None:
        return {}
    changes: dict[str, tuple[object, object]] = {remedy.setting: (asdict(settings)[remedy.setting], new)}
    if remedy.setting == "repair":
        changes["kinds"] = (settings.kinds, tuple(dict.fromkeys((*settings.kinds, *cause.kinds))))
    return changes


def _action(remedy: Remedy, old: object, new: object, cause: Cause) -> str:
    return _with_advice(f"{_WHY[remedy.setting]}: {remedy.setting} {old} -> {new}", cause)


def _with_advice(action: str, cause: Cause) -> str:
    return "; ".join([action, *cause.advice])


def describe(evidence: Evidence) -> list[str]:
    """The evidence in words, one fact per line."""
    if evidence.training_error is not None:
        return [evidence.training_error]
    if evidence.over_limits or evidence.forgotten:
        return [*evidence.over_limits, *evidence.forgotten]
    lines = [f"gate: {share(evidence.missed_gate)}, {evidence.accept_rate:.0%} needed"]
    if evidence.train_asked:
        lines.append(f"training data: {evidence.train_passed} of {evidence.train_asked} answered correctly")
    if evidence.train_fault:
        lines.append(f"training data: {evidence.train_fault}")
    if len(evidence.losses) > 1:
        lines.append(
            f"training loss: {evidence.losses[0]:.3g} at the first logged step, {evidence.losses[-1]:.3g} at the last"
        )
    return [*lines, *_most_missed(evidence)]


def _most_missed(evidence: Evidence) -> list[str]:
    lines: list[str] = []
    misses = evidence.misses
    categories = Counter(category for outcome in misses for category in {error.category for error in outcome.errors})
    if categories:
        most = sorted(categories.items(), key=lambda item: (-item[1], item[0]))[:5]
        lines.append("error categories: " + ", ".join(f"{name} {count}" for name, count in most))
    tags = Counter(tag for outcome in evidence.missed_gate for tag in outcome.tags)
    missed = Counter(tag for outcome in misses for tag in outcome.tags)
    if missed:
        worst = sorted(missed, key=lambda tag: (-missed[tag] / tags[tag], tag))[:5]
        lines.append("missed by tag: " + ", ".join(f"{tag} {missed[tag]} of {tags[tag]}" for tag in worst))
    if evidence.in_common is not None:
        lines.append(evidence.in_common.sentence)
    return lines
