"""Chat templates as a setting: the prompt format of a training, saved with the model, so that gates use it too."""

from __future__ import annotations

from typing import Any

from tunegate.exceptions import ConfigError, nearest
from tunegate.models.chat_rendering import Render, rendering
from tunegate.models.prompting import render_by
from tunegate.reading.chats import Message

TEMPLATES = {
    # Taori et al. 2023 (Stanford Alpaca), without its opening sentence; write it as `system` if you want it.
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

QUESTION, ANSWER = "Is 4711 odd?", "Yes, 4711 is."


def template_of(setting: str) -> str:
    """The template with this name, or the setting itself if it is a template; raises ConfigError for unknown names."""
    if "{" in setting:
        return setting
    if setting not in TEMPLATES:
        known = f"expected a template's name or a Jinja template, got {setting!r}{nearest(setting, TEMPLATES)}"
        raise ConfigError(known)
    return TEMPLATES[setting]


def check_setting(setting: str) -> str:
    """The setting itself; raises ValueError, for pydantic, if it is not usable."""
    try:
        check(rendering(template_of(setting)))
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return setting


def check(render: Render) -> None:
    """Raise ConfigError for a template that drops the question or the answer."""
    question, answer = Message(role="user", content=QUESTION), Message(role="assistant", content=ANSWER)
    asked, taught = render([question], True), render([question, answer], False)
    if ANSWER not in taught:
        raise ConfigError(
            "the chat template drops the answer: its output does not contain the assistant's words, so there would be "
            "nothing to learn; write {{ message['content'] }} for the role assistant too"
        )
    if QUESTION not in asked:
        raise ConfigError("the chat template drops the question: its output does not contain the user's words")


def check_tokenizer(tokenizer: Any) -> None:
    """The same for the template that a tokenizer has, if it has one."""

    if tokenizer.chat_template is not None:
        check(render_by(tokenizer))
