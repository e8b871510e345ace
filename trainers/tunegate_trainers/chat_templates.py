"""Chat templates as a setting: the form in which a model is trained, saved with it, so that gates ask in it too."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tunegate.exceptions import ConfigError, nearest
from tunegate.optional import optional_import

TEMPLATES = {
    # Taori et al. 2023 (Stanford Alpaca), without its opening sentence; give that as `system` if you want it.
    "alpaca": (
        "{% for message in messages %}"
        "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
        "{% elif message['role'] == 'user' %}{{ '### Instruction:\n' + message['content'] + '\n\n' }}"
        "{% else %}{{ '### Response:\n' + message['content'] + eos_token }}"
        "{% if not loop.last %}{{ '\n\n' }}{% endif %}{% endif %}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
    ),
    "chatml": (
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
}
"""Name to Jinja template, with the special tokens of the tokenizer as variables."""

Message = dict[str, str]
Render = Callable[[list[Message], bool], str]
"""Messages to text; whether the assistant is to speak next."""

QUESTION, ANSWER = "Is 4711 odd?", "Yes, 4711 is."


def template_of(setting: str) -> str:
    """The template that a setting names, or that it is; raises ConfigError for an unknown name."""
    if "{" in setting:
        return setting
    if setting not in TEMPLATES:
        known = f"a template's name or a Jinja template was expected, got {setting!r}{nearest(setting, TEMPLATES)}"
        raise ConfigError(known)
    return TEMPLATES[setting]


def check_setting(setting: str) -> str:
    """The setting itself; raises ValueError, as pydantic wants it, for one that is no use."""
    try:
        check(rendering(template_of(setting)))
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return setting


def check(render: Render) -> None:
    """Raise ConfigError for a template that drops the question or the answer."""
    question, answer = {"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}
    asked, taught = render([question], True), render([question, answer], False)
    if ANSWER not in taught:
        raise ConfigError(
            "the chat template drops the answer: the assistant's words are not in what it makes of a chat, so there "
            "would be nothing to learn; write {{ message['content'] }} for the role assistant too"
        )
    if QUESTION not in asked:
        raise ConfigError("the chat template drops the question: the user's words are not in what it makes of a chat")


def check_tokenizer(tokenizer: Any) -> None:
    """The same for the template that a tokenizer has, if it has one."""

    def render(messages: list[Message], ask: bool) -> str:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)

    if tokenizer.chat_template is not None:
        check(render)


TOKENS = {name: f"<{name}>" for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
"""Stand-ins for the special tokens of a tokenizer, where none is at hand."""


def rendering(template: str, tokens: Mapping[str, str] = TOKENS) -> Render:
    """A template as transformers renders it, without importing that; `tokens` are its special tokens by name."""
    jinja2 = optional_import("jinja2", "train", "options.chat_template")
    sandbox = optional_import("jinja2.sandbox", "train", "options.chat_template")
    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: form}

    def render(messages: list[Message], ask: bool) -> str:
        try:
            compiled = environment.from_string(_GENERATION.sub("", template))
            return compiled.render(messages=messages, add_generation_prompt=ask, **tokens)
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise ConfigError(f"not a chat template: {str(error).splitlines()[0]}") from error

    return render


_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
"""A tag of transformers' own; it prints nothing."""


def _refuse(message: str) -> str:
    raise ValueError(message)
