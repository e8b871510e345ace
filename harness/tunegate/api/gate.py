"""`run_gate`: one gate from Python, with the engine and the record of `tunegate gate`; and its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tunegate.api.subject import Subject, subject_of
from tunegate.api.suite import Plan, Suite, load_suite, resolved
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.commands.console import Bar
from tunegate.commands.gate_json import case_as_json
from tunegate.exceptions import ConfigError
from tunegate.gates.book import NOT_ASKED_FOR
from tunegate.gates.gate_run import GateRequest, GateRunResult
from tunegate.gates.gate_run import run_gate as run_request
from tunegate.ledger.ledger import Ledger
from tunegate.models.function_model import FunctionModel
from tunegate.models.metering import MeteredModel
from tunegate.models.model import StoredResponses
from tunegate.optional import optional_import
from tunegate.progress import no_progress
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate.record.record import GateRecord
from tunegate.stats.anytime import AnytimePlan
from tunegate.stats.plans import GatePlan
from tunegate.stats.sampling import SequentialPlan
from tunegate.suites.suite import Suite as EngineSuite
from tunegate.suites.suite import check_bank
from tunegate.versions import installed_versions


@dataclass(frozen=True, eq=False)
class GateResult:
    """A decided gate. Counts, interval and cases are those of the draw that decided.

    `if result:` raises an error: a `FAIL` that counts as true would let any model through.

    Example:
        >>> import tunegate
        >>> rows = [{"id": "fr", "prompt": "Capital of France?", "reference": "Paris"}]
        >>> suite = tunegate.Suite(rows, ["exact"], plan=tunegate.Plan(draw=1, accept=1))
        >>> result = tunegate.run_gate({"fr": "Lyon"}, suite, progress=False)
        >>> isinstance(result, tunegate.GateResult), result.passed_gate
        (True, False)
        >>> [(case["id"], case["verdict"], case["reason"]) for case in result.cases]
        [('fr', 'FAIL', "exact: 'Lyon' is not 'Paris'")]
    """

    run: GateRunResult
    notes: Sequence[str] = ()
    """Warnings about the model or the suite that did not prevent a verdict."""

    @property
    def _gate(self) -> GateRecord:
        return self.run.deciding

    @property
    def verdict(self) -> Verdict:
        return self._gate.verdict

    @property
    def passed_gate(self) -> bool:
        """Whether the verdict is PASS."""
        return self.verdict is Verdict.PASS

    @property
    def reason(self) -> str:
        """The reason for the verdict, in words."""
        return self._gate.reason

    @property
    def passed(self) -> int:
        """How many cases passed."""
        return self._gate.passed

    @property
    def failed(self) -> int:
        return self._gate.failed

    @property
    def invalid(self) -> int:
        """How many cases could not be judged."""
        return self._gate.invalid

    @property
    def drawn(self) -> int:
        """How many cases were registered: the denominator."""
        return self._gate.drawn

    @property
    def accept(self) -> int:
        """How many of them must pass."""
        return self._gate.accept

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the pass rate; too optimistic after a PASS, which shows only draws that passed."""
        return self._gate.interval

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes of the cases, in the order of the draw."""
        by_id = {outcome.case_id: outcome for outcome in self._gate.outcomes}
        return [by_id[case_id] for case_id in self._gate.case_ids if case_id in by_id]

    @property
    def cases(self) -> list[dict[str, Any]]:
        """A row for each case: id, prompt, response, references, tags, verdict, scores, errors, reason, samples."""
        return [{**case_as_json(outcome), "verdict": str(outcome.verdict)} for outcome in self.outcomes]

    @property
    def folder(self) -> Path:
        return self.run.folder

    @property
    def record(self) -> Path:
        """The file from which all of this is read; `tunegate report FOLDER --recheck` decides again from it."""
        return self.folder / EVENTS

    def to_pandas(self) -> Any:
        """The cases as a DataFrame, each score in its own column (`score.exact`)."""
        pandas = optional_import("pandas", "data", "GateResult.to_pandas")
        rows = [
            {**{key: value for key, value in case.items() if key != "scores"}, **_columns(case["scores"])}
            for case in self.cases
        ]
        return pandas.DataFrame(rows)

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report, one self-contained HTML file; default: `report.html` in the folder."""
        import tunegate_reports as reports

        place = self.folder / "report.html" if path is None else Path(path)
        if place.name == EVENTS:
            raise ConfigError(f"{place}: this is a record, which a report must not overwrite; choose another name")
        reports.write_html(read_run(self.folder), place)
        return place

    def _repr_html_(self) -> str:
        import tunegate_reports as reports

        return reports.notebook_html(read_run(self.folder), self.run.earlier_in_words, self.notes)

    def __repr__(self) -> str:
        return f"GateResult({self.verdict}: {self.passed} of {self.drawn}, {self.accept} needed; record: {self.record})"

    def __bool__(self) -> NoReturn:
        raise TypeError("a GateResult has no truth value; use `.passed_gate` or `.verdict`")


def _columns(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {f"score.{check}": value for check, value in scores.items()}


def run_gate(
    model: Any,
    suite: Suite | str | Path,
    *,
    plan: Plan | Mapping[str, Any] | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    batch_size: int | None = None,
    ledger: str | Path | None = None,
    progress: bool = True,
    **options: Any,
) -> GateResult:
    """Run a gate; returns its result, whatever the verdict. Raises TunegateError if no verdict can be reached.

    `model` is a path, a hub id, a URL (`http://…/v1#name`), a model of transformers in memory with its tokenizer
    (a tuple, or an object that has both), a pipeline, a function from prompt to answer (sync or async; with
    `batch_size`, from a list of prompts to a list of answers), or a mapping from case id to answer. `suite` is a file
    or a `Suite`. `plan` replaces the suite's. `options` are for a model that is opened here: `dtype`, `device`.
    The record is written to `folder`, by default to a folder in `tunegate-runs`. `ledger` is the folder of a ledger;
    without it, earlier gates on the same cases are neither known nor counted, and the result says so.

    Example:
        >>> import tunegate
        >>> def model(prompt):
        ...     return "Paris" if "France" in prompt else "Rome"
        >>> result = tunegate.run_gate(model, "facts.yaml", progress=False)
        >>> result.verdict, result.passed, result.drawn
        (<Verdict.FAIL: 'FAIL'>, 2, 3)
    """
    engine = _suite(suite)
    chosen = engine.plan if plan is None else _plan(plan, engine)
    if isinstance(seed, bool) or not isinstance(seed, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigError(f"seed: expected a whole number, got {seed!r}")
    subject = subject_of(model, engine, batch_size, options)
    return GateResult(_run(subject, engine, chosen, seed, folder, ledger, progress), subject.notes)


def _suite(suite: Any) -> EngineSuite:
    if isinstance(suite, Suite | EngineSuite):
        return suite.engine if isinstance(suite, Suite) else suite
    if isinstance(suite, str | Path):
        return load_suite(suite).engine
    raise ConfigError(f"suite: expected a Suite or the path of a suite file, got {type(suite).__name__}")


def _plan(plan: Plan | Mapping[str, Any], suite: EngineSuite) -> GatePlan:
    found = resolved(plan)
    if (suite.slices or suite.gap or suite.diversity) and isinstance(found.first, SequentialPlan | AnytimePlan):
        raise ConfigError("plan: such a plan may stop before this suite's slices, groups and diversity can be judged")
    try:
        check_bank(suite.bank, found)
    except ConfigError as error:
        raise ConfigError(f"plan: suite {suite.name!r}: {error}") from error
    return found


def _run(
    subject: Subject,
    suite: EngineSuite,
    plan: GatePlan,
    seed: int,
    folder: str | Path | None,
    ledger: str | Path | None,
    progress: bool,
) -> GateRunResult:
    from tunegate.standard_streams import no_exit_but_ours

    asked = subject.model if isinstance(subject.model, StoredResponses) else MeteredModel(subject.model)
    place = None if folder is None else str(folder)
    anew = isinstance(
        subject.model, FunctionModel
    )  # its code may have changed since: an unfinished gate is not resumed
    written = NOT_ASKED_FOR if ledger is None else Ledger(Path(ledger))
    request = GateRequest(suite, plan, seed, asked, place, anew, ledger=written)
    with no_exit_but_ours(), subject.during():
        if progress:
            with Bar() as bar:
                result = run_request(request, bar.update, installed_versions())
        else:
            result = run_request(request, no_progress, installed_versions())
    if isinstance(asked, MeteredModel):
        asked.cost.save(result.folder)
    return result
