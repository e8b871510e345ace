"""Turns the user's argument into a model: a path, an id, a URL, a model in memory, a function, stored answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tunegate.cases.case import sample_id
from tunegate.commands.model_under_test import look_at_folder, look_at_loaded, look_at_model
from tunegate.exceptions import ConfigError, nearest
from tunegate.gates.ask import asked_prompts
from tunegate.models.function_model import FunctionModel
from tunegate.models.model import Fault, Model, Response, StoredResponses
from tunegate.suites.suite import Suite

EXPECTED = (
    "a path, a hub id, a URL or a list of URLs, (model, tokenizer), a pipeline, a function from prompt to answer, or a "
    "mapping from case id to answer"
)


@dataclass(frozen=True)
class Subject:
    """The model to gate. `during` restores the state of a model in memory; `notes` are warnings about it."""

    model: Model
    notes: Sequence[str] = ()
    during: Callable[[], AbstractContextManager[object]] = nullcontext


def subject_of(given: Any, suite: Suite, batch_size: int | None, options: Mapping[str, Any]) -> Subject:
    """The subject from the user's argument; raises ConfigError if it is invalid, CannotJudge if it reveals answers.

    `options` are passed to `open_model`, for models that are opened here.
    """
    if addresses := _addresses(given):
        return _opened(",".join(addresses), suite, batch_size, options)
    if isinstance(given, str | Path):
        return _opened(str(given), suite, batch_size, options)
    if options:
        raise ConfigError(f"{', '.join(options)}: only for models that are opened by path or address; leave it out")
    if hasattr(given, "score_choices") and hasattr(given, "generate"):
        return Subject(given, look_at_loaded(given.name, given, suite))
    if isinstance(given, Mapping):
        return _stored(cast("Mapping[object, object]", given), suite)
    if (pair := _in_memory(given)) is not None:
        return _loaded(*pair, suite, batch_size)
    if getattr(given, "task", None) == "text-classification":
        place: Any = getattr(getattr(getattr(given, "model", None), "config", None), "_name_or_path", "")
        name = f"text-classification pipeline{f' ({place})' if place else ''}"
        return Subject(FunctionModel(lambda prompt: _label(given(prompt)), name))
    if hasattr(given, "state_dict"):
        raise ConfigError("model: a model in memory needs its tokenizer; give (model, tokenizer)")
    if callable(given):
        return Subject(FunctionModel.of(given, batch_size))
    raise ConfigError(f"model: expected {EXPECTED}, got {type(given).__name__}")


def _addresses(given: Any) -> list[str]:
    """The addresses in a list that holds nothing else: servers that share one model. Empty for anything else."""
    from tunegate.models.open_model import is_server

    parts = cast("Sequence[object]", given) if isinstance(given, list | tuple) else ()
    found = [one for one in parts if isinstance(one, str) and is_server(one)]
    return found if len(found) == len(parts) else []


def _opened(spec: str, suite: Suite, batch_size: int | None, options: Mapping[str, Any]) -> Subject:
    from tunegate.models.open_model import open_model

    notes = look_at_folder(spec, suite)
    try:
        model = open_model(spec, batch_size=batch_size, **options)
    except TypeError as error:
        raise ConfigError(f"model {spec!r}: {error}") from error
    return Subject(model, [*notes, *look_at_model(spec, model, suite)])


def _in_memory(given: Any) -> tuple[Any, Any] | None:
    """The model and the tokenizer of a pair, or of an object that has both: a pipeline, a Trainer."""
    if isinstance(given, tuple | list):
        pair = tuple(cast("Sequence[Any]", given))
        if len(pair) != 2 or not hasattr(pair[0], "state_dict") or not hasattr(pair[1], "chat_template"):
            raise ConfigError("model: expected a pair of a transformers model and its tokenizer, in this order")
        return pair
    tokenizer = getattr(given, "tokenizer", None) or getattr(given, "processing_class", None)
    model = getattr(given, "model", None)
    if not hasattr(model, "state_dict") or tokenizer is None:
        return None
    task = getattr(given, "task", "text-generation")
    if task == "text-classification":
        return None
    if task != "text-generation":
        raise ConfigError(
            f"model: expected a pipeline for text-generation or text-classification, got {task!r}; "
            "give a function that calls the pipeline and returns the text"
        )
    return model, tokenizer


def _loaded(model: Any, tokenizer: Any, suite: Suite, batch_size: int | None) -> Subject:
    from tunegate.models.loaded_model import loaded_model, sha256_in_memory, undisturbed

    place: Any = getattr(model.config, "_name_or_path", "")
    name = f"{type(model).__name__} in memory{f' ({place})' if place else ''}"
    subject = loaded_model(model, tokenizer, name, sha256_in_memory(model, tokenizer), batch_size)
    return Subject(subject, look_at_loaded(name, subject, suite), lambda: undisturbed(model))


def _label(told: Any) -> object:
    """The label of the most likely class in the output of a classification pipeline."""
    while isinstance(told, list) and told:
        told = cast("list[Any]", told)[0]
    return cast("dict[str, Any]", told).get("label") if isinstance(told, dict) else None


def _stored(given: Mapping[object, object], suite: Suite) -> Subject:
    """Answers by case id: a string, or a list with one string per sample of the suite."""
    asked, samples = asked_prompts(suite), suite.settings.samples
    responses: dict[str, Response] = {}
    for case_id, answer in given.items():
        answers = cast("Sequence[object]", answer) if isinstance(answer, list | tuple) else [answer]
        if len(answers) > samples:
            raise ConfigError(
                f"model: case {case_id!r}: expected {samples} answers (`generate.samples`), got {len(answers)}"
            )
        for number, one in enumerate(answers, start=1):
            responses[sample_id(str(case_id), number)] = _stored_answer(case_id, one)
    unknown = [case_id for case_id in map(str, given) if case_id not in asked]
    if len(unknown) == len(given):
        first = f", first {unknown[0]!r}{nearest(unknown[0], asked)}" if unknown else ""
        raise ConfigError(f"model: none of the {len(given)} ids of the answers is the id of a case{first}")
    notes = [f"{len(unknown)} of {len(given)} ids belong to no case, first {unknown[0]!r}; not used"] if unknown else []
    return Subject(StoredResponses(responses, name="stored answers"), notes)


def _stored_answer(case_id: object, answer: object) -> Response:
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, str):
        return Response(answer)
    if answer is None:
        return Response("", error=f"the stored answer to {case_id!r} is None", fault=Fault.NO_REPLY)
    raise ConfigError(f"model: the answer to case {case_id!r}: expected a string, got {type(answer).__name__}")
