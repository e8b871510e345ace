"""The end of a chat turn: a model learns to write the text after an answer in its template, and must stop there.

A template may end a turn with a token that the model does not treat as the end of a text: chatml on a base whose
`eos_token` is `<|endoftext|>`. If that token is in the vocabulary, training makes it an end (`settle`); if it is not,
the model would learn to write letters at which nothing stops, so `check` refuses (`fault_of`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tunegate.exceptions import ConfigError
from tunegate.models.chat_rendering import Render, rendering
from tunegate.pipeline.adapter_targets import BaseModel
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.reading.chats import Message
from tunegate_trainers.chat_templates import ANSWER, QUESTION, template_of

CHATS = ("sft", "explain", "dpo", "kto", "orpo", "rlhf")
"""The methods that teach answers to prompts."""


def tail_of(render: Render) -> str:
    """The text of a template after the last answer of a chat."""
    chat = [Message(role="user", content=QUESTION), Message(role="assistant", content=ANSWER)]
    return render(chat, False).rpartition(ANSWER)[2]


# --- in a training ---------------------------------------------------------------------------------------------------


def settle(model: Any, tokenizer: Any) -> None:
    """Make the model stop where its chat template ends a turn: adapts tokenizer and generation settings.

    Prints a note on standard error if the template does not end a turn with a token of its own.
    """
    if tokenizer.chat_template is None:
        return

    def render(chat: Sequence[Message], ask: bool) -> str:
        return tokenizer.apply_chat_template(list(chat), tokenize=False, add_generation_prompt=ask)

    tail = tail_of(render)
    ids: list[int] = tokenizer(tail, add_special_tokens=False)["input_ids"]
    known = _end_ids(model)
    if {tokenizer.eos_token_id, *known}.intersection(ids):
        return
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    end = next((token for token in ids if token in special), None)
    if end is None:
        sys.stderr.write(f"the chat template: {_never_stops(tail, tokenizer.eos_token)}\n")
        return
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    model.config.get_text_config().eos_token_id = end
    model.generation_config.eos_token_id = [end, *known]


def _end_ids(model: Any) -> list[int]:
    ids: Any = getattr(model.generation_config, "eos_token_id", None)
    return [ids] if isinstance(ids, int) else list(ids or ())


def _never_stops(tail: str, eos: str | None) -> str:
    ends = f"a turn ends with {tail!r}, which" if tail else "nothing ends a turn, so it"
    return f"{ends} has no end-of-text token of the model (its eos is {eos!r}): a model trained on it never stops"


# --- before anything is trained --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer, read from its files: the special tokens by name, the tokens that are never split, and those that
    end a text."""

    special: Mapping[str, str]
    whole: frozenset[str]
    ends: frozenset[str]


def check(pipeline: Pipeline) -> list[str]:
    """Raise ConfigError for a stage whose chat template would train a model that never stops. Returns notes on the base
    model's own template. Nothing is known of a base model that is not on this machine."""
    folder = BaseModel(pipeline.model).folder
    known = None if folder is None else vocabulary(folder)
    if folder is None or known is None:
        return []
    notes: list[str] = []
    own = _own_template(folder)
    for stage in pipeline.stages:
        setting = stage.spec.options.get("chat_template")
        if stage.spec.method not in CHATS or (setting is None and own is None):
            continue
        fault = fault_of(template_of(setting) if setting is not None else own or "", known, _stops(pipeline, stage))
        if fault and setting is not None:
            raise ConfigError(f"{pipeline.path}: stage {stage.name}: options.chat_template: {fault}")
        if fault:
            notes.append(f"stage {stage.name}: the chat template of {pipeline.model}: {fault}")
        if setting is not None or fault:
            own = None  # later stages have this template, which is now checked
    return notes


def fault_of(template: str, known: Vocabulary, stops: Sequence[str] = ()) -> str:
    """Why a model that is trained on a template never stops; empty if it does. `stops` are the strings at which all
    gates cut an answer."""
    try:
        tail = tail_of(rendering(template, known.special))
    except ConfigError:  # the template cannot be rendered here; a training reports it
        return ""
    if any(end in tail for end in (*known.ends, *known.whole, *stops) if end):
        return ""
    return (
        f"{_never_stops(tail, known.special.get('eos_token'))}; end the assistant's message with {{{{ eos_token }}}}, "
        "as the template `alpaca` does, or have the suites stop there (`generate: {stop: […]}`)"
    )


def _stops(pipeline: Pipeline, stage: Stage) -> Sequence[str]:
    """The strings at which every gate of a stage cuts an answer."""
    stops = [set(pipeline.suites[name].settings.stop) for name in stage.spec.gates]
    return sorted(set[str].intersection(*stops)) if stops else ()


def vocabulary(folder: Path) -> Vocabulary | None:
    """The vocabulary of a model's folder, without loading the tokenizer; None if it has no such files."""
    if not (folder / "tokenizer.json").is_file():
        return None
    config = _json(folder / "tokenizer_config.json")
    special = {
        name: text
        for name in ("bos_token", "eos_token", "pad_token", "unk_token")
        if (text := _text(config.get(name) or _json(folder / "special_tokens_map.json").get(name)))
    }
    ids = {token["id"]: str(token["content"]) for token in _added(folder)}
    generation = _json(folder / "generation_config.json").get("eos_token_id")
    listed = cast("list[object]", generation) if isinstance(generation, list) else [generation]
    ends = {ids[one] for one in listed if isinstance(one, int) and one in ids}
    return Vocabulary(special, frozenset(ids.values()), frozenset({*ends, special.get("eos_token", "")}))


def _own_template(folder: Path) -> str | None:
    """The chat template of a model's folder, as transformers reads it."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8", errors="replace")
    template = _json(folder / "tokenizer_config.json").get("chat_template")
    return template if isinstance(template, str) else None


def _added(folder: Path) -> Iterator[Mapping[str, Any]]:
    tokens: Any = _json(folder / "tokenizer.json").get("added_tokens")
    for token in cast("list[Any]", tokens) if isinstance(tokens, list) else ():
        if isinstance(token, dict) and {"id", "content"} <= cast("dict[str, Any]", token).keys():
            yield cast("dict[str, Any]", token)


def _text(token: Any) -> str:
    """A special token, which is a string or an object with a string."""
    text = cast("dict[str, Any]", token).get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""


def _json(path: Path) -> Mapping[str, Any]:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", data) if isinstance(data, dict) else {}
