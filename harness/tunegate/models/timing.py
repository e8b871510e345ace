"""The cost of single requests, as values: seconds, time to the first token, tokens; and what was measured in all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from tunegate.cases.case import Case
from tunegate.exceptions import TunegateError, message_of
from tunegate.models.model import GenerationSettings, Model, OpenJudge, Response, StoredResponses
from tunegate.models.wrapped import WrappedModel

Fact = str | int | float

STORED = "stored answers take no time that could be measured; gate the model itself"


@dataclass(frozen=True, slots=True)
class Timing:
    """One request. `seconds` is None if there is no answer, and `error` says why; other fields are None if unknown."""

    seconds: float | None = None
    first_token_s: float | None = None
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """The requests of a model, in the order of `case_ids`, and of its baseline to the same cases.

    `memory_of` says whose peak `memory_bytes` is: that of the process or of the GPU. `machine` are the facts of the
    machine that sent the requests. `seconds` is the time of all requests together, warm-up included.
    """

    case_ids: tuple[str, ...] = ()
    timings: tuple[Timing, ...] = ()
    baseline_timings: tuple[Timing, ...] = ()
    baseline: str = ""
    baseline_sha256: str | None = None
    size_bytes: int | None = None
    memory_bytes: int | None = None
    memory_of: str = ""
    seconds: float = 0.0
    machine: Mapping[str, Fact] = field(default_factory=dict[str, Fact])


@dataclass(frozen=True, slots=True)
class HowTimed:
    """How requests are sent: `stream` asks a server for tokens one by one, so that the first can be timed.

    `concurrency` requests run at once; a local model answers one at a time.
    """

    stream: bool = False
    concurrency: int = 1
    clock: Callable[[], float] = time.perf_counter


class TimesItself(Protocol):
    """A model that times its own requests: the optional method `timed` of a model."""

    def timed(self, cases: Sequence[Case], settings: GenerationSettings, how: HowTimed) -> Iterator[Timing]: ...


def innermost(model: Model) -> Model:
    """The model that answers, without what is around it: a model that keeps answers would give them in no time."""
    while isinstance(model, WrappedModel):
        model = model.inner
    return model


def executor_facts(model: Model) -> Mapping[str, Any] | None:
    """Who answered, if the model is on several workers: the optional property `executor` of a model."""
    return getattr(innermost(model), "executor", None)


def halved_batch(model: Model) -> int | None:
    """The size that batches were reduced to when GPU memory ran out: the optional property `halved_batch`."""
    found: Any = getattr(innermost(model), "halved_batch", None)
    return found if isinstance(found, int) else None


def judge_opener(model: Any) -> OpenJudge | None:
    """The function that opens a judge's model where this model is open: the optional method `open_judge` of a model.
    None if a judge is opened in this process."""
    return getattr(innermost(model), "open_judge", None)


def end_draw(model: Model) -> None:
    """Tell a model that nothing more of what it was told (`expect`) is asked: the optional method `end_draw` of a
    model."""
    end: Callable[[], None] | None = getattr(innermost(model), "end_draw", None)
    if end is not None:
        end()


def close_model(model: Model) -> None:
    """End what a model started to answer: the optional method `close` of a model."""
    close: Callable[[], None] | None = getattr(innermost(model), "close", None)
    if close is not None:
        close()


def time_requests(model: Model, cases: Sequence[Case], settings: GenerationSettings, how: HowTimed) -> Iterator[Timing]:
    """Time a request for each case, in order, each answered alone unless `how.concurrency` says otherwise.

    No answer that was kept is used. What goes wrong with a request is its `Timing.error`; raises TunegateError only
    when nothing can be answered.
    """
    while isinstance(model, WrappedModel):
        cases, model = model.as_asked(cases, settings), model.inner
    if isinstance(model, StoredResponses):
        return iter([Timing(error=STORED)] * len(cases))
    if hasattr(model, "timed"):
        return cast(TimesItself, model).timed(cases, settings, how)
    return (_timed(model, case, settings, how.clock) for case in cases)


def _timed(model: Model, case: Case, settings: GenerationSettings, clock: Callable[[], float]) -> Timing:
    started = clock()
    try:
        answers = list(model.generate([case], settings))
    except (TunegateError, KeyboardInterrupt):
        raise
    except BaseException as error:  # third-party code may raise anything
        return Timing(error=f"the model failed: {type(error).__name__}: {' '.join(message_of(error).split())[:200]}")
    return timing_of(answers[0][1] if answers else Response("", error="no answer"), clock() - started)


def timing_of(
    response: Response, seconds: float, first_token_s: float | None = None, prompt_tokens: int | None = None
) -> Timing:
    """The timing of a response; one without an answer has no time."""
    if response.error is not None:
        return Timing(error=response.error)
    return Timing(seconds, first_token_s, prompt_tokens, response.n_tokens)


def facts_of_size(model: Model) -> int | None:
    """The bytes of a model's weights on disk; None for a model without files here."""
    size: Any = getattr(innermost(model), "size_bytes", None)
    return size if isinstance(size, int) else None
