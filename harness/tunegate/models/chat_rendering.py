"""Rendering chat templates as transformers does, without importing it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from tunegate.exceptions import ConfigError
from tunegate.optional import optional_import
from tunegate.reading.chats import Message

Render = Callable[[Sequence[Message], bool], str]
"""A function of messages, and of whether the assistant speaks next, that returns the text."""

TOKENS = {name: f"<{name}>" for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
"""Placeholders for the special tokens of a tokenizer, if there is no tokenizer."""


def rendering(template: str, tokens: Mapping[str, str] = TOKENS) -> Render:
    """The function that renders a template; `tokens` are its special tokens by name.

    It raises ConfigError for a text that is not a template, and for messages that the template refuses.
    """
    jinja2 = optional_import("jinja2", "train", "options.chat_template")
    sandbox = optional_import("jinja2.sandbox", "train", "options.chat_template")
    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals |= {"raise_exception": _refuse, "strftime_now": str}
    compiled: list[object] = []  # compiled once, at the first chat

    def render(messages: Sequence[Message], ask: bool) -> str:
        try:
            if not compiled:
                compiled.append(environment.from_string(_GENERATION.sub("", template)))
            return compiled[0].render(messages=list(messages), add_generation_prompt=ask, **tokens)  # type: ignore[attr-defined]
        except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            lines = str(error).splitlines() or [type(error).__name__]
            raise ConfigError(f"this is not a valid chat template: {lines[0]}") from error

    return render


_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""A tag that only transformers defines; it prints nothing."""


def _refuse(message: str) -> str:
    raise ValueError(message)
