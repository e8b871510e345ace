"""How a chat template renders a chat, and what it drops, found by rendering twice and comparing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunegate.exceptions import ConfigError
from tunegate.models.chat_rendering import Render
from tunegate.reading.chats import Message

TO_FIRST_USER = "`generate: {system_as: first_user}` puts it before the first question"
_MARK = " tunegate"
_ASKED = Message(role="user", content="Is 4711 odd?")


class Dropped(ValueError):
    """The template drops a message, so the model would answer another question than it was asked."""


def check_nothing_dropped(render: Render, messages: Sequence[Message]) -> None:
    """Raise Dropped for a message whose text does not change the rendered chat."""
    whole = render(messages, True)
    for place, message in enumerate(messages):
        other = Message(role=message["role"], content=message["content"] + _MARK)
        if render([*messages[:place], other, *messages[place + 1 :]], True) == whole:
            remedy = f"; {TO_FIRST_USER}" if message["role"] == "system" else ""
            raise Dropped(f"the chat template drops the {message['role']} message {message['content'][:40]!r}{remedy}")


def check_system(render: Render, system: str) -> None:
    """Raise ConfigError for a template that drops, or refuses, a system message before a plain question."""
    try:
        check_nothing_dropped(render, (Message(role="system", content=system), _ASKED))
    except Dropped as error:
        raise ConfigError(str(error)) from error
    except Exception as error:
        if not _takes(render, (_ASKED,)):
            return  # the system message is not the problem; each case reports its own
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"the chat template refuses system messages ({reason}); {TO_FIRST_USER}") from error


def takes_system(render: Render) -> bool:
    """Whether a system message reaches the model."""
    try:
        check_system(render, "Be brief.")
    except ConfigError:
        return False
    return True


def _takes(render: Render, messages: Sequence[Message]) -> bool:
    try:
        render(messages, True)
    except Exception:  # a template is a program and may raise anything
        return False
    return True


def lacks_generation_prompt(render: Render) -> bool:
    """Whether answers in a chat begin with a mark that the template does not write when it asks for an answer.

    If there is no mark between a question and its answer (as after `[/INST]`), nothing is missing.
    """
    answer = "Yes, 4711 is."
    try:
        asked, open_ = render((_ASKED,), True), render((_ASKED,), False)
        chat = render((_ASKED, Message(role="assistant", content=answer)), False)
    except Exception:
        return False
    return asked == open_ and chat.startswith(open_) and bool(chat[len(open_) :].partition(answer)[0].strip())


NO_GENERATION_PROMPT = (
    "the chat template has no generation prompt (add_generation_prompt changes nothing): the model continues after the "
    "question instead of answering it; add {% if add_generation_prompt %} with the mark at the start of its answers"
)


def template_in(folder: Path) -> str | None:
    """The chat template of a model folder; None if there is none, or if there are several by name."""
    try:
        file = folder / "chat_template.jinja"
        if file.is_file():
            return file.read_text(encoding="utf-8")
        config: Any = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        template = config.get("chat_template")
    except (OSError, ValueError, AttributeError):
        return None
    return template if isinstance(template, str) else None
