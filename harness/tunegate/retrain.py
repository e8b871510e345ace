"""Retraining: what a stage may change from attempt to attempt, and which change the evidence of a miss calls for.

Pure functions. The search space is declared in the pipeline file as ladders (`retrain:`); a diagnosis climbs one rung
of one ladder, and says why. When no ladder has a rung left, the stage has failed: trying only another seed would be
fishing for luck.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tunegate.outcomes import Outcome, Verdict
from tunegate.record import Diagnosis
from tunegate.retrain_spec import RetrainSpec

GAP = 0.10
"""A pass rate on training data this much above the gate's counts as overfitting."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a retraining may change. None means: as TRL's config says."""

    rows: int | None = None
    epochs: float | None = None
    learning_rate: float | None = None

    def args(self) -> dict[str, Any]:
        """These settings under the names of TRL's config classes."""
        named = {"num_train_epochs": self.epochs, "learning_rate": self.learning_rate}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a failed attempt.

    `missed_gate` is the outcomes of the gate that failed worst. `train_passed` of `train_asked` training prompts were
    answered right by the same checks; `train_fault` says why others were not judged. `losses` are the logged training
    losses in order. `forgotten` says what the model lost of what an earlier one could; then no gate of its own was
    missed, and `missed_gate` is empty.
    """

    missed_gate: Sequence[Outcome]
    accept_rate: float
    train_passed: int = 0
    train_asked: int = 0
    train_fault: str = ""
    losses: Sequence[float] = ()
    training_error: str | None = None
    forgotten: Sequence[str] = ()

    @property
    def gate_rate(self) -> float:
        return sum(outcome.verdict is Verdict.PASS for outcome in self.missed_gate) / max(len(self.missed_gate), 1)

    @property
    def train_rate(self) -> float | None:
        return self.train_passed / self.train_asked if self.train_asked else None


def first_settings(spec: RetrainSpec) -> Settings:
    """The first rung of every ladder."""
    return Settings(
        rows=spec.rows[0] if spec.rows else None,
        epochs=spec.epochs[0] if spec.epochs else None,
        learning_rate=spec.learning_rate[0] if spec.learning_rate else None,
    )


def diagnose(evidence: Evidence, settings: Settings, spec: RetrainSpec) -> Diagnosis:
    """Name the cause of a miss, with its evidence, and the change of the next attempt within the declared ladders."""
    cause, wishes = _cause(evidence)
    for setting in wishes:
        new = _next_rung(setting, settings, spec)
        if new is not None:
            old = asdict(settings)[setting]
            action = f"{_WHY[setting]}: {setting} {old} -> {new}"
            return Diagnosis(cause, describe(evidence), action, {setting: (old, new)})
    tried = ", ".join(wishes)
    return Diagnosis(cause, describe(evidence), f"the declared budget is spent (no rung left: {tried})")


def apply(diagnosis: Diagnosis, settings: Settings) -> Settings:
    """The settings of the next attempt."""
    return replace(settings, **{name: new for name, (_, new) in diagnosis.changes.items()})


_WHY = {
    "rows": "train on more rows",
    "epochs": "train for longer",
    "learning_rate": "take another learning rate",
}


def _cause(evidence: Evidence) -> tuple[str, tuple[str, ...]]:
    """The cause, and the settings to change, the likeliest remedy first."""
    if evidence.training_error is not None:
        return "the training failed", ("learning_rate",)
    if evidence.forgotten:
        return "forgetting", ("learning_rate",)
    train_rate = evidence.train_rate
    if train_rate is None:
        return "the gate was missed", ("rows", "epochs", "learning_rate")
    if train_rate - evidence.gate_rate > GAP:
        return "overfit", ("rows", "learning_rate")
    if train_rate < evidence.accept_rate:
        return "underfit", ("rows", "epochs", "learning_rate")
    return "near miss", ("rows", "epochs", "learning_rate")


def _next_rung(setting: str, settings: Settings, spec: RetrainSpec) -> float | None:
    ladder: Sequence[float] = getattr(spec, setting) or ()
    current = getattr(settings, setting)
    if current not in ladder:
        return None
    rung = list(ladder).index(current) + 1
    return ladder[rung] if rung < len(ladder) else None


def describe(evidence: Evidence) -> list[str]:
    """The evidence in words, one fact a line."""
    if evidence.training_error is not None:
        return [evidence.training_error]
    if evidence.forgotten:
        return list(evidence.forgotten)
    lines = [f"gate: {_share(evidence.missed_gate)}, {evidence.accept_rate:.0%} needed"]
    if evidence.train_asked:
        lines.append(f"training data: {evidence.train_passed} of {evidence.train_asked} answered right")
    if evidence.train_fault:
        lines.append(f"training data: {evidence.train_fault}")
    if len(evidence.losses) > 1:
        lines.append(
            f"training loss: {evidence.losses[0]:.3g} at the first logged step, {evidence.losses[-1]:.3g} at the last"
        )
    misses = [outcome for outcome in evidence.missed_gate if outcome.verdict is Verdict.FAIL]
    categories = Counter(category for outcome in misses for category in {error.category for error in outcome.errors})
    if categories:
        most = sorted(categories.items(), key=lambda item: (-item[1], item[0]))[:5]
        lines.append("error categories: " + ", ".join(f"{name} {count}" for name, count in most))
    tags = Counter(tag for outcome in evidence.missed_gate for tag in outcome.tags)
    missed = Counter(tag for outcome in misses for tag in outcome.tags)
    if missed:
        worst = sorted(missed, key=lambda tag: (-missed[tag] / tags[tag], tag))[:5]
        lines.append("missed by tag: " + ", ".join(f"{tag} {missed[tag]} of {tags[tag]}" for tag in worst))
    return lines


def _share(outcomes: Sequence[Outcome]) -> str:
    passed = sum(outcome.verdict is Verdict.PASS for outcome in outcomes)
    return f"{passed} of {len(outcomes)}"
