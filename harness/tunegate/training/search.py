"""`search: optuna`: which settings the next attempt tries, chosen by Optuna's TPE among all rungs of all ladders.

Its trials are the attempts of the stage, and its objective is what their gates said: nothing is trained or asked beside
what is on record, so every trial counts towards the stage's attempts, and the plans' corrections for them hold. There
is no database: the study is made anew from the record each time, with a seed of the run's, so a resumed run asks for
the same settings.

TPE: J. Bergstra et al., NeurIPS 2011; T. Akiba et al., KDD 2019.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.pipeline.ladders import LADDERS, Settings, require_optuna
from tunegate.pipeline.retrain_spec import RetrainSpec
from tunegate.record.record import AttemptRecord, Diagnosis
from tunegate.training.diagnosis import SPENT

FAILED_TRAINING = -1.0
"""The objective of an attempt that left no model: worse than the worst gate, which is -1 at most."""
RANDOM_TRIALS = 3
"""So many attempts are chosen at random before TPE has something to go by."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An attempt as the search sees it: its settings, and how far its worst draw was from what it needed."""

    settings: Settings
    objective: float


def objective(attempt: AttemptRecord) -> float:
    """Pass rate less the rate that was needed, of the worst draw that decides; at most 0 where one failed."""
    if attempt.error is not None or not attempt.gates:
        return FAILED_TRAINING
    draws = [gate for gate in attempt.unwaived.values() if gate.decided]
    margins = [
        min(gate.passed / max(gate.asked, 1) - gate.accept / gate.drawn, 0.0 if gate.verdict is Verdict.FAIL else 1.0)
        for gate in draws
    ]
    return min(margins, default=0.0)


def trials_of(attempts: Iterable[AttemptRecord]) -> list[Trial]:
    """The attempts on record, as trials."""
    return [Trial(settings_from(attempt.settings), objective(attempt)) for attempt in attempts]


def settings_from(recorded: Mapping[str, Any]) -> Settings:
    """The settings that a record holds, where a tuple is a list."""
    values: dict[str, Any] = {**recorded, "kinds": tuple(recorded.get("kinds", ()))}
    return Settings(**values)


def choose(found: Diagnosis, trials: Sequence[Trial], spec: RetrainSpec, seed: int) -> Diagnosis:
    """The diagnosis with the change that the search proposes in place of its own; raises MissingExtra.

    Settings that were tried are not tried again: with none left, the declared budget is spent.
    """
    kinds = found.changes.get("kinds", ((), ()))[1] or trials[-1].settings.kinds
    untried = [one for one in _space(spec, tuple(kinds)) if all(not _same(one, trial.settings) for trial in trials)]
    if not untried:
        return replace(found, action=f"{SPENT} ({len(trials)} settings tried)", changes={}, spent=True)
    old, new = trials[-1].settings, _suggested(trials, untried, spec, seed)
    before, after = asdict(old), asdict(new)
    changes = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    told = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changes.items())
    best = max(trial.objective for trial in trials)
    return replace(found, action=f"Optuna's TPE ({len(trials)} tried, best {best:+.2f}): {told}", changes=changes)


def _space(spec: RetrainSpec, kinds: tuple[str, ...]) -> list[Settings]:
    """All settings that the ladders allow; there is nothing to repair while no kind is known to be weak."""
    declared = {name: rungs for name in LADDERS if (rungs := spec.ladder(name))}
    if "repair" in declared and not kinds:
        declared["repair"] = declared["repair"][:1]
    return [Settings(**dict(zip(declared, rungs, strict=True)), kinds=kinds) for rungs in product(*declared.values())]


def _same(one: Settings, other: Settings) -> bool:
    """Whether two settings train alike: the kinds matter only to a repair."""
    return replace(one, kinds=()) == replace(other, kinds=()) and (not one.repair or one.kinds == other.kinds)


def _suggested(trials: Sequence[Trial], untried: Sequence[Settings], spec: RetrainSpec, seed: int) -> Settings:
    """TPE's proposal; where that was tried already, what it proposes next, and at last the first untried."""
    optuna = require_optuna()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ladders = {name: rungs for name in LADDERS if (rungs := spec.ladder(name))}
    space = {name: optuna.distributions.CategoricalDistribution(rungs) for name, rungs in ladders.items()}
    sampler = optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=RANDOM_TRIALS)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in trials:
        params = {name: getattr(trial.settings, name) for name in ladders}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=trial.objective))
    for _ in range(10 * len(untried) + 10):
        asked = study.ask(space)
        found = next(
            (one for one in untried if all(getattr(one, name) == asked.params[name] for name in ladders)), None
        )
        if found is not None:
            return found
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
    return untried[0]
