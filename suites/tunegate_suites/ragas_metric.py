"""`ragas`: metrics of the ragas library, with a judge on an OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import cached_property
from importlib.metadata import version
from typing import Any, ClassVar

from pydantic import Field

from tunegate.checks.check import Need, Sample
from tunegate.checks.outcome import Finding
from tunegate.exceptions import MissingExtra, nearest
from tunegate.models.openai_client import open_client
from tunegate.models.sentences import default_model
from tunegate.optional import optional_import, require
from tunegate.reading.files import one_line
from tunegate.trust.wants import NOTHING, Wants
from tunegate_suites.base import NumericCheck
from tunegate_suites.judges.server import ServerOptions, contact_of, server_of
from tunegate_suites.ragas_judge import judge_of

NEEDS: dict[str, Need] = {"retrieved_contexts": "context", "reference": "reference"}
INPUTS = {"user_input", "response", "retrieved_contexts", "reference"}


class Ragas(NumericCheck):
    """A metric of `ragas` (Faithfulness, AnswerCorrectness, FactualCorrectness, AnswerRelevancy, …).

    The case's context is the retrieved context, and its first reference is the reference. Metrics that compare
    embeddings use those of the check `similarity`. A metric that raises or gives NaN makes the case INVALID.
    """

    shorthand: ClassVar[str | None] = "metric"
    example: ClassVar[str] = "ragas: {metric: Faithfulness, server: {base_url: …, model: …}, min: 0.9}"
    extra: ClassVar[str | None] = "ragas"

    metric: str
    """class name in `ragas.metrics.collections`"""
    server: ServerOptions | None = None
    """the judge (its options are below); metrics without a judge need none"""
    args: dict[str, Any] = Field(default={})
    """additional arguments of the metric's class"""

    @property
    def wants(self) -> Wants:
        return NOTHING if self.server is None else contact_of(self.server, self.name)

    def prepare(self) -> None:
        require(self.name, "ragas", "ragas", "openai")
        if "llm" in self._parameters and self.server is None:
            raise self.config_error("server", f"{self.metric} needs a judge: {{base_url: …, model: …}}")
        if "llm" not in self._parameters and self.server is not None:
            raise self.config_error("server", f"{self.metric} does not use a judge; leave it out")
        if "embeddings" in self._parameters:
            default_model(self.name)
        if self.server is not None:
            server_of(self.server, self.name)
        self._check_args()
        if not self._parameters & {"llm", "embeddings"}:
            self._try()

    def _check_args(self) -> None:
        own = self._parameters - {"self", "llm", "embeddings", "name", "kwargs", "base_kwargs"}
        for name in self.args:
            if name not in own:
                raise self.config_error(f"args.{name}", f"not an argument of {self.metric}{nearest(name, own)}")

    def _try(self) -> None:
        """Score a word compared with itself: an error here would occur for every case."""
        trial = {name: ["word"] if name == "retrieved_contexts" else "word" for name in self._inputs}

        async def score() -> None:
            await self._class(**self._arguments).ascore(**trial)

        try:
            _in_a_thread(score())
        except ImportError as error:
            raise MissingExtra(f"ragas.{self.metric}", "ragas", error) from error
        except Exception as error:  # each metric raises its own kinds
            fault = f"{self.metric} fails with these arguments: {type(error).__name__}: {one_line(error)[:200]}"
            raise self.config_error("args", fault) from error

    @cached_property
    def _arguments(self) -> dict[str, Any]:
        """`args`, with the names of `Enum` values replaced by the values of the metric's own `Enum`s."""
        parameters = inspect.signature(self._class.__init__).parameters
        kinds = {name: type(one.default) for name, one in parameters.items() if isinstance(one.default, Enum)}
        given = dict(self.args)
        for name in kinds.keys() & given.keys():
            values = {one.value: one for one in kinds[name]}
            if given[name] not in values:
                raise self.config_error(
                    f"args.{name}", f"unknown value {given[name]!r}{nearest(str(given[name]), values)}"
                )
            given[name] = values[given[name]]
        return given

    @property
    def batch_size(self) -> int:
        return 64

    @property
    def needs_context(self) -> bool:
        """Whether a case without a context can't be judged."""
        return "retrieved_contexts" in self._inputs

    def further_facts(self) -> dict[str, Any]:
        return {"ragas": version("ragas")}

    @cached_property
    def _class(self) -> Any:
        # Before the import: otherwise ragas reports every use to its developers.
        os.environ["RAGAS_DO_NOT_TRACK"] = "true"
        collections = optional_import("ragas.metrics.collections", "ragas", self.name)
        usable = {name: value for name in collections.__all__ if _usable(value := getattr(collections, name))}
        if self.metric not in usable:
            raise self.config_error("metric", f"unknown metric {self.metric!r}{nearest(self.metric, usable)}")
        return usable[self.metric]

    @cached_property
    def _parameters(self) -> set[str]:
        return set(inspect.signature(self._class.__init__).parameters)

    @cached_property
    def _inputs(self) -> set[str]:
        return set(inspect.signature(self._class.ascore).parameters) - {"self"}

    @property
    def needs(self) -> tuple[Need, ...]:
        return tuple(need for name, need in NEEDS.items() if name in self._inputs)

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        return asyncio.run(self._judge_all(samples))

    async def _judge_all(self, samples: Sequence[Sample]) -> list[Finding]:
        if self.server is None:
            metric = self._class(**self._embeddings(), **self._arguments)
            return [await self._judge_one(metric, sample) for sample in samples]
        options = self.server
        async with open_client(server_of(options, self.name)) as client:
            metric = self._class(llm=self._llm(client, options), **self._embeddings(), **self._arguments)
            slots = asyncio.Semaphore(options.concurrency)

            async def in_turn(sample: Sample) -> Finding:
                async with slots:
                    return await self._judge_one(metric, sample)

            return await asyncio.gather(*map(in_turn, samples))

    def _llm(self, client: Any, options: ServerOptions) -> Any:
        return judge_of(options.model, client, {"temperature": 0, "max_tokens": options.max_tokens, **options.request})

    def _embeddings(self) -> dict[str, Any]:
        if "embeddings" not in self._parameters:
            return {}
        from tunegate_suites.ragas_embeddings import local_embeddings

        return {"embeddings": local_embeddings()}

    async def _judge_one(self, metric: Any, sample: Sample) -> Finding:
        case = sample.case
        values: dict[str, Any] = {
            "user_input": case.prompt_text,
            "response": sample.response.text,
            "retrieved_contexts": [case.context] if case.context else None,
            "reference": case.references[0] if case.references else None,
        }
        if not sample.response.text.strip():
            return self.passed(False, None, "the answer is empty, so there is nothing to score")
        for name in sorted(self._inputs):
            if not values[name]:
                return self.invalid(f"{self.metric} needs {name}, but the case has none")
        try:
            result = await metric.ascore(**{name: values[name] for name in self._inputs})
            return self.scored(float(result.value), f": {result.reason}" if result.reason else "")
        except Exception as error:  # ragas, instructor and openai raise dozens of kinds
            return self.invalid(f"{self.metric} failed: {type(error).__name__}: {one_line(error)[:200]}", str(error))


def _in_a_thread(work: Coroutine[Any, Any, None]) -> None:
    """Run in a thread: in a notebook, an event loop is already running."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(asyncio.run, work).result()


def _usable(metric: Any) -> bool:
    """Whether a metric can be computed from the parts of a case."""
    if not hasattr(metric, "ascore"):
        return False
    inputs = set(inspect.signature(metric.ascore).parameters) - {"self"}
    return bool(inputs) and inputs <= INPUTS and "response" in inputs
