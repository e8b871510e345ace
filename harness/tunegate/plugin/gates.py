"""The state of one gate in a pytest session or worker: its draw, its model, its outcomes, and how it is resumed."""

from __future__ import annotations

import hashlib
import os
import traceback
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import pytest

from tunegate.cases.bank import draw
from tunegate.cases.case import Case
from tunegate.checks.outcome import Outcome
from tunegate.commands.ledger import ledger_of_suite
from tunegate.commands.looked_at import check_allowed
from tunegate.commands.model_under_test import look_at_folder, look_at_model
from tunegate.commands.plan_override import override
from tunegate.exceptions import CannotJudge, ConfigError, TunegateError, from_outside
from tunegate.file_lock import lock
from tunegate.gates.ask import judge_cases
from tunegate.gates.book import NOT_ASKED_FOR, NoLedger
from tunegate.gates.gate_run import FOLDER, GateRequest, GateRunResult, is_decided, read_result, run_gate
from tunegate.gates.stored_answers import results_for, stored_answers
from tunegate.ledger.ledger import Ledger
from tunegate.models.model import Model
from tunegate.plugin.function_check import FunctionCheck
from tunegate.plugin.gate_function import GateMark
from tunegate.plugin.planned import planned
from tunegate.plugin.tally import SESSION, TALLY
from tunegate.progress import no_progress
from tunegate.standard_streams import no_exit_but_ours
from tunegate.stats.plans import GatePlan
from tunegate.suites.places import suite_place
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate.suites.with_function import with_function
from tunegate.versions import installed_versions

ResultT = TypeVar("ResultT")
NO_MODEL = "a gate needs a model: give --tunegate-model MODEL or --tunegate-responses FILE"


# --- the session ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """The model or the stored answers of a session. In a worker of pytest-xdist, `worker_of` is the session's id.

    `session` is it in any process: all gates of a session are one attempt, and may ask the same cases.
    """

    model: str | None
    responses: Path | None
    seed: int = 0
    worker_of: str | None = None
    session: str = ""

    @cached_property
    def opened(self) -> Model:
        """The model under test, opened when the first gate needs it and kept for the others."""
        from tunegate.models.open_model import open_model

        assert self.model is not None
        return open_model(self.model)


SUBJECT = pytest.StashKey[Subject]()


def subject_of(config: pytest.Config) -> Subject:
    """The session's subject, created once."""
    if SUBJECT not in config.stash:
        responses: str | None = config.getoption("tunegate_responses")
        worker: dict[str, str] = getattr(config, "workerinput", {})
        config.stash[SUBJECT] = Subject(
            model=config.getoption("tunegate_model"),
            responses=Path(responses) if responses else None,
            seed=config.getoption("tunegate_seed") or 0,
            worker_of=worker.get(SESSION),
            session=worker.get(SESSION) or config.stash[TALLY].session,
        )
    return config.stash[SUBJECT]


def check_options(config: pytest.Config) -> None:
    """Raise UsageError if the model or the answer file does not exist, before anything is collected."""
    model: str | None = config.getoption("tunegate_model")
    responses: str | None = config.getoption("tunegate_responses")
    if model and responses:
        raise pytest.UsageError("--tunegate-model and --tunegate-responses: give only one of them")
    for name, value in (("model", model), ("responses", responses)):
        if value == "":  # from an unset variable, for example: without the check its gates would be skipped
            raise pytest.UsageError(f"--tunegate-{name} is empty; give a value, or leave the option out")
    try:
        if model:
            from tunegate.models.open_model import check_place

            check_place(model)
        if responses:
            from tunegate.reading.files import check_size

            check_size(Path(responses), max_bytes=2**63)
    except Exception as error:
        known = from_outside(error)
        if known is None:
            raise
        raise pytest.UsageError(str(known)) from error


def skip_unasked(config: pytest.Config, node_id: str) -> None:
    """Skip a gate if the session has neither a model nor answers, so that all other tests run.

    If the command line names the gate, it stays an error.
    """
    subject = subject_of(config)
    if subject.model is not None or subject.responses is not None or config.getoption("collectonly"):
        return
    gate = os.path.normpath(config.rootpath / node_id)
    named = [os.path.normpath(config.invocation_params.dir / argument) for argument in config.args]
    if not any(name == gate or name.startswith(f"{gate}::") for name in named):
        config.stash[TALLY].skipped[node_id] = NO_MODEL
        pytest.skip(NO_MODEL, allow_module_level=True)


# --- a gate --------------------------------------------------------------------------------------------------------


@dataclass
class Gate:
    """A collected gate. `stored` are answers produced elsewhere; without them the session's model is asked."""

    suite: Suite
    plan: GatePlan
    seed: int
    subject: Subject
    node_id: str
    stored: Model | None = None
    ledger: Ledger | NoLedger = NOT_ASKED_FOR
    notes: Sequence[str] = ()
    _judged: dict[str, Outcome] = field(default_factory=dict[str, Outcome])
    _fault: TunegateError | None = None

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """The drawn cases, in the order of the draw; those that the gate will register, if the ledger stays as it is.

        Without enough fresh cases the gate will say so; its items are then those of a first draw.
        """
        return planned(self) or draw(self.suite.bank.working, self.plan.draw, self.seed, quotas=self.suite.quotas)

    def outcome(self, case: Case) -> Outcome | None:
        """The outcome of a case of a gate that was selected as a whole; None if the verdict came before its turn.

        Raises TunegateError if the gate reached no verdict.
        """
        return self._outcomes.get(case.id)

    def outcome_of_some(self, case: Case, selected: Sequence[Case]) -> Outcome:
        """The outcome of one of a few selected cases; they are asked together, decide nothing and leave no record."""
        if case.id not in self._judged:
            cases = [case] if self.subject.worker_of else selected  # the other workers ask their own
            outcomes = self._once(lambda: judge_cases(self.suite, self._model, cases))
            self._judged.update((outcome.case_id, outcome) for outcome in outcomes)
        return self._judged[case.id]

    @cached_property
    def result(self) -> GateRunResult:
        """The decided gate; the first call runs it. Raises TunegateError if no verdict could be reached."""
        return self._once(self._shared if self.subject.worker_of else lambda: self._run(folder=None))

    @cached_property
    def _outcomes(self) -> dict[str, Outcome]:
        return {outcome.case_id: outcome for outcome in self.result.record.outcomes}

    @cached_property
    def _model(self) -> Model:
        """The model or stored answers; a model is inspected as by `tunegate gate`."""
        if self.stored is not None:
            return self.stored
        spec = self.subject.model
        assert spec is not None
        notes = look_at_folder(spec, self.suite)
        model = self.subject.opened
        self.notes = [*notes, *look_at_model(spec, model, self.suite)]
        return model

    def _request(self, folder: str | None) -> GateRequest:
        return GateRequest(
            self.suite,
            self.plan,
            self.seed,
            self._model,
            folder,
            ledger=self.ledger,
            session=self.subject.session,
            planned=self.cases,
        )

    def _run(self, folder: str | None) -> GateRunResult:
        return run_gate(self._request(folder), no_progress, installed_versions())

    def _shared(self) -> GateRunResult:
        """Run the gate, or read the record of the worker that ran it."""
        from tunegate.models.open_model import is_server

        identity = f"{self.subject.worker_of}\n{self.node_id}".encode(errors="surrogatepass")
        key = hashlib.sha256(identity).hexdigest()[:12]
        if self.stored is None and is_server(self.subject.model or ""):
            return self._shared_with_earlier_sessions(key)
        folder = FOLDER / f"{self.suite.name}-{key}"
        with _alone_in(folder):
            if not is_decided(folder, self.plan):
                return self._run(str(folder))
            return read_result(folder, self.suite.name)

    def _shared_with_earlier_sessions(self, key: str) -> GateRunResult:
        """The same for a server, whose answers may vary: as without workers, a gate that an earlier session left open
        is resumed and counted, and its verdicts are reported."""
        place = FOLDER / f".pytest-{self.suite.name}-{self._request(None).key}"
        with _alone_in(place):
            ours = place / key  # the folder of this session's gate
            if ours.exists():
                return read_result(Path(ours.read_text(encoding="utf-8")), self.suite.name)
            result = self._run(folder=None)
            ours.write_text(str(result.folder), encoding="utf-8")
            return result

    def _once(self, work: Callable[[], ResultT]) -> ResultT:
        """Do the work once; a fault is kept, so that a broken model is not loaded again for each of 100 cases."""
        if self._fault is None:
            try:
                with calm_warnings(), no_exit_but_ours():
                    return work()
            except TunegateError as error:
                self._fault = error
            except Exception as error:
                self._fault = CannotJudge(f"internal error: {type(error).__name__}: {error}")
                self._fault.add_note(traceback.format_exc())
        raise self._fault


@contextmanager
def _alone_in(folder: Path) -> Generator[None]:
    """Wait until no other process works on this folder; the lock is released when its process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".pytest-lock").open("w") as file:
            lock(file.fileno(), wait=True)
            yield
    except OSError as error:
        raise CannotJudge(f"{folder}: cannot write to the record folder: {error.strerror}") from error


@contextmanager
def calm_warnings() -> Generator[None]:
    """Ignore warnings: with `-W error`, a deprecation in a library would otherwise make a gate INVALID."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


# --- loading -------------------------------------------------------------------------------------------------------


def load_gate(config: pytest.Config, path: Path, node_id: str) -> Gate:
    """The gate of a `*.gate.yaml` file. Raises ConfigError."""
    suite = _load_suite(path)
    return _gate(config, suite, suite.plan, None, node_id)


def load_function_gate(
    config: pytest.Config, function: Callable[..., object], mark: GateMark, name: str, path: Path, node_id: str
) -> Gate:
    """The gate of a decorated function: its suite, with the function as one more check. Raises ConfigError."""
    if not isinstance(mark.suite, str | Path) or not str(mark.suite):
        raise ConfigError(f'{path}: {name}: the decorator needs a suite file: @tunegate.gate("suite.yaml")')
    check = FunctionCheck.of(function, name, path)
    suite = _load_suite(suite_place(str(mark.suite), path.parent))
    plan = _plan(suite, mark, f"{path}: {name}")
    return _gate(config, with_function(suite, name, check), plan, mark.seed, node_id)


def _plan(suite: Suite, mark: GateMark, where: str) -> GatePlan:
    try:
        return override(suite, mark.draw, mark.accept)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _load_suite(path: Path) -> Suite:
    from tunegate_suites import build_check, wants_of_check

    with calm_warnings():
        check_allowed(path, wants_of_check)
        return load_suite(path, build_check)


def _gate(config: pytest.Config, suite: Suite, plan: GatePlan, seed: int | None, node_id: str) -> Gate:
    subject = subject_of(config)
    gate = Gate(suite, plan, subject.seed if seed is None else seed, subject, node_id)
    gate.ledger = ledger_of_suite(config.getoption("tunegate_ledger"), suite)
    if config.getoption("collectonly"):
        return gate
    if subject.responses is not None:
        gate.stored, gate.notes = stored_answers(subject.responses, suite, results_for(subject.responses, suite))
    elif subject.model is None:
        raise ConfigError(NO_MODEL)
    return gate
