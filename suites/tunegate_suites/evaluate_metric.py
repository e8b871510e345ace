"""`evaluate`: any metric of Hugging Face's `evaluate` library that is on this machine, without downloads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from tunegate.checks.check import Need, Sample
from tunegate.checks.outcome import Finding
from tunegate.models.loading import hub_offline
from tunegate.optional import require
from tunegate.reading.files import one_line
from tunegate.trust.wants import NOTHING, Code, Wants
from tunegate_suites.base import CaseCheck, NumericCheck
from tunegate_suites.foreign import output_aside
from tunegate_suites.text import NO_REFERENCE


class Evaluate(CaseCheck, NumericCheck):
    """A metric of the `evaluate` library, computed for each case alone; the best of several references counts.

    A name is searched for only in the local cache; nothing is downloaded. To cache a metric, load it once while online:
    `python -c "import evaluate; evaluate.load('NAME')"`.
    """

    shorthand: ClassVar[str | None] = "metric"
    example: ClassVar[str] = "evaluate: {metric: metrics/wordcount, result: ratio, min: 0.5}"
    extra: ClassVar[str | None] = "evaluate"

    metric: str
    """path of a metric's script or folder, relative to the suite file, or the name of a cached metric"""
    result: str | None = None
    """which of the metric's results is the score; required if there are several"""
    args: dict[str, Any] = Field(default={})
    """further arguments of the metric's `compute`"""

    @property
    def wants(self) -> Wants:
        if self._script is None:
            return NOTHING
        return Wants(runs=(Code(self.metric, f"{self.name}.metric", self._script),))

    def prepare(self) -> None:
        require(self.name, "evaluate", "evaluate")
        if not (self.is_looked_at and self._path is not None):
            _ = self._module

    @cached_property
    def _path(self) -> Path | None:
        """The metric's script or folder next to the suite, or, as the library finds it, in the working folder."""
        places = (self._context.base_dir / self.metric, Path(self.metric))
        return next((path for path in places if path.exists()), None)

    @property
    def _script(self) -> Path | None:
        path = self._path
        return path / f"{path.name}.py" if path is not None and path.is_dir() else path

    @cached_property
    def _module(self) -> Any:
        import evaluate

        try:
            with _offline(), output_aside():
                return evaluate.load(str(self._path or self.metric), keep_in_memory=True)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a missing or broken script may raise anything
            if self._path is not None:
                raise self.config_error("metric", f"{self._path}: {type(error).__name__}: {one_line(error)}") from error
            raise self.config_error(
                "metric",
                f"there is no file or folder {self.metric!r} next to the suite, and no such metric in the local cache "
                f"(nothing is downloaded; while online: python -c \"import evaluate; evaluate.load('{self.metric}')\")",
            ) from error

    def further_facts(self) -> dict[str, Any]:
        if self._script is None:
            return {"module": type(self._module).__module__}  # holds the hash of the cached script
        try:
            return {"script_sha256": hashlib.sha256(self._script.read_bytes()).hexdigest()}
        except OSError as error:
            raise self.config_error("metric", f"{self._script}: cannot be read: {error.strerror}") from error

    @property
    def needs(self) -> tuple[Need, ...]:
        return ("reference",)

    def judge_one(self, sample: Sample) -> Finding:
        references = sample.case.references
        if not references:
            return self.invalid(NO_REFERENCE)
        alternatives = [list(references)] if self._takes_several else references
        scores: list[float] = []
        for reference in alternatives:
            with output_aside():
                results = self._module.compute(predictions=[sample.response.text], references=[reference], **self.args)
            score = self._score(results)
            if isinstance(score, str):
                return self.invalid(score)
            scores.append(score)
        return self.scored(max(scores) if self.min is not None else min(scores))

    @cached_property
    def _takes_several(self) -> bool:
        """Whether the metric takes all references of a case at once."""
        features = self._module.features
        kinds = [kind.get("references") for kind in (features if isinstance(features, list) else [features])]
        return any(isinstance(kind, list) or type(kind).__name__ in ("Sequence", "List") for kind in kinds)

    def _score(self, results: Mapping[str, Any]) -> float | str:
        """The score among the results, or why there is none."""
        key = self.result or (next(iter(results)) if len(results) == 1 else self._module.name)
        if key not in results:
            return f"the metric has no result {key!r}; set 'result' to one of {', '.join(results)}"
        value: Any = results[key]
        try:
            return float(value[0] if isinstance(value, list) else value)  # bertscore gives one number per case
        except (TypeError, ValueError, LookupError):
            return f"the metric's result {key!r} must be a number, got {value!r}"


@contextmanager
def _offline() -> Iterator[None]:
    """Keep the `evaluate` library from contacting the hub, which it does before it looks into its cache."""
    from evaluate import config

    before = config.HF_EVALUATE_OFFLINE
    config.HF_EVALUATE_OFFLINE = True
    try:
        with hub_offline():
            yield
    finally:
        config.HF_EVALUATE_OFFLINE = before
