"""`search: optuna`: Optuna's TPE chooses the settings of the next attempt among all rungs of all ladders.

Its trials are the attempts of the stage, and its objective is the result of their gates. The search trains and asks
nothing itself, so every trial is an attempt of the stage, and the plans' corrections for attempts apply. There is no
database: the study is rebuilt from the record each time, with a seed of the run, so a resumed run gets the same
settings.

TPE: J. Bergstra et al., NeurIPS 2011; T. Akiba et al., KDD 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.pipeline.ladders import LADDERS, Settings, require_optuna
from tunegate.pipeline.retrain_spec import RetrainSpec
from tunegate.record.record import AttemptRecord, Diagnosis
from tunegate.training.diagnosis import SPENT

FAILED_TRAINING = -1.0
"""The objective of an attempt without a model: worse than the worst possible gate, which is -1."""
RANDOM_TRIALS = 3
"""The number of attempts with random settings before TPE has enough data."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An attempt as the search sees it: its settings, and how far its worst draw was from the needed pass rate."""

    settings: Settings
    objective: float


def objective(attempt: AttemptRecord) -> float:
    """Pass rate minus the needed rate, of the worst deciding draw; at most 0 if a draw failed."""
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
    """The settings on record, in which tuples are lists."""
    values: dict[str, Any] = {**recorded, "kinds": tuple(recorded.get("kinds", ()))}
    return Settings(**values)


def choose(found: Diagnosis, trials: Sequence[Trial], spec: RetrainSpec, seed: int) -> Diagnosis:
    """The diagnosis with the change that the search proposes instead of its own; raises MissingExtra.

    Settings are not tried twice: if none is left, the declared budget is used up.
    """
    kinds = found.changes.get("kinds", ((), ()))[1] or trials[-1].settings.kinds
    untried = _untried(trials, spec, tuple(kinds))
    if not untried:
        return replace(found, action=f"{SPENT} ({len(trials)} settings tried)", changes={}, spent=True)
    old, new = trials[-1].settings, _suggested(trials, untried, spec, seed)
    before, after = asdict(old), asdict(new)
    changes = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    told = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changes.items())
    best = max(trial.objective for trial in trials)
    return replace(found, action=f"Optuna's TPE ({len(trials)} tried, best {best:+.2f}): {told}", changes=changes)


def settings_ahead(spec: RetrainSpec, tried: Sequence[Settings], seed_after: Callable[[int], int]) -> list[Settings]:
    """The settings of the attempts after those `tried`, as far as they do not depend on any outcome.

    They are known for the search's random attempts only. They are not known if a miss may lead to a redraw, which is
    an attempt too, or to a repair, which depends on what was missed. `seed_after(n)` is the seed of the choice after
    attempt n.
    """
    if spec.search != "optuna" or spec.on_noise == "redraw" or spec.ladder("repair"):
        return []
    trials = [Trial(settings, 0.0) for settings in tried]
    while len(trials) < min(RANDOM_TRIALS, spec.max_attempts):
        untried = _untried(trials, spec, ())
        if not untried:
            break
        trials.append(Trial(_suggested(trials, untried, spec, seed_after(len(trials))), 0.0))
    return [trial.settings for trial in trials[len(tried) :]]


def _untried(trials: Sequence[Trial], spec: RetrainSpec, kinds: tuple[str, ...]) -> list[Settings]:
    return [one for one in _space(spec, kinds) if all(not _same(one, trial.settings) for trial in trials)]


def _space(spec: RetrainSpec, kinds: tuple[str, ...]) -> list[Settings]:
    """All settings that the ladders allow; without a weak kind, there are no settings of `repair`."""
    declared = {name: rungs for name in LADDERS if (rungs := spec.ladder(name))}
    if "repair" in declared and not kinds:
        declared["repair"] = declared["repair"][:1]
    return [Settings(**dict(zip(declared, rungs, strict=True)), kinds=kinds) for rungs in product(*declared.values())]


def _same(one: Settings, other: Settings) -> bool:
    """Whether two settings train alike: the kinds matter only to a repair."""
    return replace(one, kinds=()) == replace(other, kinds=()) and (not one.repair or one.kinds == other.kinds)


def _suggested(trials: Sequence[Trial], untried: Sequence[Settings], spec: RetrainSpec, seed: int) -> Settings:
    """TPE's proposal; if it was tried before, its next proposals, and finally the first untried settings."""
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
