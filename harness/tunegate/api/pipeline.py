"""`load_pipeline` and `run_pipeline`: pipelines from Python, read and run like `tunegate check` and `tunegate run`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tunegate.checks.outcome import Verdict
from tunegate.commands.console import run_as_json
from tunegate.commands.looked_at import check_allowed
from tunegate.pipeline.pipeline import Pipeline
from tunegate.pipeline.pipeline_file import load_pipeline as load_file
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate.record.record import RunRecord
from tunegate.suites.places import suite_place


@dataclass(frozen=True, eq=False)
class RunResult:
    """A run of a pipeline, read from its record.

    Example:
        >>> import tunegate
        >>> from pathlib import Path
        >>> [gate["gate"] for gate in tunegate.RunResult(Path("runs/finished")).gates]
        ['facts']
    """

    folder: Path

    @property
    def _run(self) -> RunRecord:
        return read_run(self.folder)

    @property
    def record(self) -> Path:
        """The file from which all of this is read."""
        return self.folder / EVENTS

    @property
    def verdict(self) -> Verdict | None:
        """The verdict; None if the run is not finished."""
        return self._run.verdict

    @property
    def passed_gates(self) -> bool:
        """Whether the verdict is PASS."""
        return self.verdict is Verdict.PASS

    @property
    def reason(self) -> str:
        return self._run.reason

    @property
    def gates(self) -> list[dict[str, Any]]:
        """A row for each gate: stage, attempt, gate, verdict, passed, drawn, accept, seconds."""
        return run_as_json(self._run, None)["gates"]

    @property
    def promoted(self) -> list[dict[str, Any]]:
        """The aliases that point to the run's model, each with its folder."""
        return run_as_json(self._run, None)["promoted"]

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report, one HTML file; default: `report.html` in the folder."""
        import tunegate_reports as reports

        place = self.folder / "report.html" if path is None else Path(path)
        reports.write_html(self._run, place)
        return place

    def _repr_html_(self) -> str:
        import tunegate_reports as reports

        return reports.notebook_html(self._run)

    def __repr__(self) -> str:
        run = self._run
        return f"RunResult({run.verdict or 'not finished'}: {run.reason}; record: {self.record})"

    def __bool__(self) -> NoReturn:
        raise TypeError("a RunResult has no truth value; use `.passed_gates` or `.verdict`")


def load_pipeline(path: str | Path) -> Pipeline:
    """Load and validate a pipeline file and everything it names, without training. Raises ConfigError.

    Example:
        >>> import tunegate
        >>> pipeline = tunegate.load_pipeline("pipeline.yaml")
        >>> pipeline.name, [stage.name for stage in pipeline.stages]
        ('capitals', ['shots'])
    """
    from tunegate_suites import build_check, wants_of_check
    from tunegate_trainers import validate

    place = suite_place(str(path), Path())
    check_allowed(place, wants_of_check)
    return load_file(place, build_check, validate)


def run_pipeline(path: str | Path, *, folder: str | Path | None = None) -> RunResult:
    """Run a pipeline file, or resume it: train each stage until its gates pass. Like `tunegate run`.

    The record is written to `folder`, by default `runs/NAME` beside the file. Raises TunegateError if no verdict can be
    reached.

    Example:
        >>> import tunegate
        >>> result = tunegate.run_pipeline("pipeline.yaml")
        >>> isinstance(result, tunegate.RunResult), result.record.name
        (True, 'events.jsonl')
    """
    from tunegate.commands.run import carry_out

    record = carry_out(Path(path), None if folder is None else Path(folder))
    return RunResult(record.folder)
