"""A plain function as a model: `str -> str`, messages -> `str`, a list of prompts -> a list of answers; sync or async.

A function has no weights, so there is no guarantee that it answers the same when it is asked again.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

from tunegate.cases.case import Case, Prompt
from tunegate.exceptions import ConfigError, message_of, without_addresses
from tunegate.models.model import Fault, GenerationSettings, Response, as_messages

BLOCK_SIZE = 16
"""How many cases are asked at a time; an async function is asked all of them at once."""
Answer = str | Response
Function = Callable[[Any], object]


@dataclass(frozen=True)
class FunctionModel:
    """A model that calls a function. If the function raises, or does not return a text, the case is INVALID.

    A plain prompt is passed as a `str`, a chat as a list of `{"role", "content"}`; with `messages`, all prompts are
    passed as chats. With `batched` the function gets a list of prompts and returns as many answers, in order.
    """

    function: Function
    name: str
    batched: bool = False
    messages: bool = False
    block_size: int = BLOCK_SIZE
    request: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sha256: str | None = None
    dtype: str | None = None

    @classmethod
    def of(cls, function: Function, batch_size: int | None = None) -> FunctionModel:
        """The model of a function. It is batched if `batch_size` is given or its annotation says it returns a list."""
        fault = _fault(function, batch_size)
        if fault is not None:
            raise ConfigError(f"model {_name(function)}: {fault}")
        batched = batch_size is not None or _returns_list(function)
        facts = {"function": _name(function), "code_sha256": _code_sha256(function)}
        return cls(
            function, _name(function), batched, _wants_messages(function), batch_size or BLOCK_SIZE, request=facts
        )

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        """Answer the cases, in order; the system message of the settings is part of each prompt."""
        for start in range(0, len(cases), self.block_size):
            block = [self._asked(case, settings) for case in cases[start : start + self.block_size]]
            yield from enumerate(self._answers(block), start=start)

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        raise ConfigError(
            f"model {self.name}: a function returns text, not the likelihood of a choice; "
            "use a check that reads the answer, such as `exact`"
        )

    def _asked(self, case: Case, settings: GenerationSettings) -> object:
        prompt: Prompt = settings.asks(case.prompt)
        if isinstance(prompt, str) and not self.messages:
            return prompt
        return [dict(message) for message in as_messages(prompt)]

    def _answers(self, prompts: Sequence[object]) -> Iterator[Response]:
        if self.batched:
            yield from self._answers_at_once(prompts)
        elif _is_async(self.function):
            yield from _in_loop(_gathered(self.function, prompts))
        else:
            yield from (self._answer(prompt) for prompt in prompts)

    def _answer(self, prompt: object) -> Response:
        try:
            return _response(self.function(prompt))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit(0) in a function must not end the gate with 0
            return _raised(error)

    def _answers_at_once(self, prompts: Sequence[object]) -> Sequence[Response]:
        try:
            returned = self.function(list(prompts))
            if inspect.isawaitable(returned):
                returned = _in_loop(_awaited(cast("Awaitable[object]", returned)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return [_raised(error)] * len(prompts)
        if isinstance(returned, str) or not isinstance(returned, Sequence):
            return [_no_answer(f"the function must return a list of answers, got {_kind(returned)}")] * len(prompts)
        answers = cast("Sequence[object]", returned)
        if len(answers) != len(prompts):  # it is unknown which prompts the answers belong to
            fault = f"the function returned {len(answers)} answers to {len(prompts)} prompts; return one for each"
            return [_no_answer(fault)] * len(prompts)
        return [_response(answer) for answer in answers]


async def _awaited(returned: Awaitable[object]) -> object:
    return await returned


async def _gathered(function: Function, prompts: Sequence[object]) -> list[Response]:
    async def one(prompt: object) -> Response:
        try:
            return _response(await cast("Awaitable[object]", function(prompt)))
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise
        except BaseException as error:
            return _raised(error)

    return list(await asyncio.gather(*map(one, prompts)))


def _in_loop(coroutine: Any) -> Any:
    """The result of a coroutine, in its own event loop: a notebook's loop is already running and cannot be awaited."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def _response(answer: object) -> Response:
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, str):
        return Response(answer)
    hint = "; if the function answers many prompts at once, set `batch_size`" if isinstance(answer, list) else ""
    return _no_answer(f"the function must return a text, got {_kind(cast(object, answer))}{hint}")


def _no_answer(error: str) -> Response:
    return Response("", error=error, fault=Fault.BAD_REPLY)


def _raised(error: BaseException) -> Response:
    message = without_addresses(" ".join(message_of(error).split()))[:300]
    return Response("", error=f"the function raised {type(error).__name__}: {message}", fault=Fault.NO_REPLY)


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


# --- inspecting a function -------------------------------------------------------------------------------------------


def _fault(function: Function, batch_size: int | None) -> str | None:
    if batch_size is not None and (isinstance(cast(object, batch_size), bool) or batch_size < 1):
        return f"batch_size: expected 1 or more, got {batch_size!r}"
    if isinstance(function, type):
        return f"expected a function or an object, got a class; write for example {function.__name__}().answer"
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        return f"the function must accept one prompt: {error}"
    except ValueError:  # a builtin without a signature
        return None
    return None


def _is_async(function: Function) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_called(function))


def _called(function: Function) -> Any:
    """The function that a call runs: for an object, its method."""
    return function if inspect.isroutine(function) else type(cast(Any, function)).__call__


def _returns_list(function: Function) -> bool:
    return _annotation(function, "return").startswith(("list", "List", "Sequence"))


def _wants_messages(function: Function) -> bool:
    """Whether its parameter is named `messages`, or annotated as a list of mappings."""
    name = next(iter(_parameters(function)), "")
    return name == "messages" or "dict" in _annotation(function, name).lower()


def _parameters(function: Function) -> Sequence[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def _annotation(function: Function, name: str) -> str:
    found: Any = getattr(_called(function), "__annotations__", {}).get(name, "")
    text = found if isinstance(found, str) else getattr(found, "__name__", "") if type(found) is type else str(found)
    return text.removeprefix("typing.").removeprefix("collections.abc.")


def _name(function: Function) -> str:
    named: Any = inspect.unwrap(function) if callable(function) else function
    name = getattr(named, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(named, '__module__', None) or 'function'}.{name}"


def _code_sha256(function: Function) -> str | None:
    """The hash of its source, if available: an edited function is another model. Functions that it calls do not
    count."""
    try:
        source = inspect.getsource(inspect.unwrap(function) if inspect.isroutine(function) else type(function))
    except (OSError, TypeError):
        return None
    return hashlib.sha256(json.dumps(source).encode()).hexdigest()
