"""From a case to the token ids that a model sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunegate.cases.case import Case, Prompt
from tunegate.exceptions import ConfigError
from tunegate.models.chat_template import Render, check_nothing_dropped, check_system
from tunegate.models.model import GenerationSettings, as_messages
from tunegate.reading.chats import Message

PLAIN = GenerationSettings()


def answer_prompt(tokenizer: Any, case: Case, settings: GenerationSettings | None = None) -> list[int]:
    """Token ids that ask for an answer.

    With `form: auto`, a plain prompt becomes one user message if the tokenizer has a chat template; otherwise it stays
    raw text.
    """
    text, is_raw = answer_text(tokenizer, case, settings or PLAIN)
    return (tokenizer(text)["input_ids"] or context_free(tokenizer)) if is_raw else plain_ids(tokenizer, text)


def answer_text(tokenizer: Any, case: Case, settings: GenerationSettings) -> tuple[str, bool]:
    """The text that asks for an answer, and whether it is raw: then the tokenizer adds its special tokens to it."""
    prompt = settings.asks(case.prompt)
    if isinstance(prompt, str) and (
        settings.form == "raw" or (settings.form == "auto" and not tokenizer.chat_template)
    ):
        return prompt, True
    return chat_text(tokenizer, _chat(prompt, settings)), False


def choice_prompt(
    tokenizer: Any, case: Case, settings: GenerationSettings, delimiter: str
) -> tuple[list[int], list[list[int]]]:
    """Token ids of the context, and of each choice as its continuation, as in lm-evaluation-harness.

    A plain prompt stays raw text, with the special tokens that the tokenizer puts before every text, and each choice
    follows after `delimiter`. With `form: chat`, and for chat messages, the context is the prompt rendered by the chat
    template, and choices follow without delimiter, as with the harness's `--apply_chat_template`. White space at the
    end of the context moves to the choice, where tokenizers keep it. Context and choice are encoded together and split
    after the context's own tokens. An empty prompt becomes the begin-of-text token.
    """
    text, is_raw = choice_text(tokenizer, case, settings)
    context = text.rstrip()
    tail = text[len(context) :] + (delimiter if is_raw else "")
    if not context:
        return context_free(tokenizer), [plain_ids(tokenizer, tail + choice) for choice in case.choices]
    context_ids: list[int] = tokenizer(context, add_special_tokens=is_raw)["input_ids"]
    wholes = tokenizer([context + tail + choice for choice in case.choices], add_special_tokens=is_raw)["input_ids"]
    return context_ids, [whole[len(context_ids) :] for whole in wholes]


def choice_text(tokenizer: Any, case: Case, settings: GenerationSettings) -> tuple[str, bool]:
    """The text that choices continue, and whether it is raw."""
    prompt = settings.asks(case.prompt)
    if isinstance(prompt, str) and settings.form != "chat":
        return prompt, True
    return chat_text(tokenizer, _chat(prompt, settings)), False


def _chat(prompt: Prompt, settings: GenerationSettings) -> tuple[Message, ...]:
    if settings.form == "raw":
        raise ConfigError("form raw: chat and system messages cannot be raw text; use plain prompts, or `form: chat`")
    return as_messages(prompt)


def chat_text(tokenizer: Any, messages: tuple[Message, ...]) -> str:
    """A chat as text, up to the start of the assistant's answer (or its continuation, if the last message is its own).

    The text already contains the special tokens. Raises Dropped for a message that the template drops.
    """
    if not tokenizer.chat_template:
        raise ConfigError(
            f"{tokenizer.name_or_path}: the tokenizer has no chat template, so it cannot take chat and system "
            "messages; use plain prompts, or add chat_template.jinja to the folder"
        )
    render = render_by(tokenizer)
    check_nothing_dropped(render, messages)
    return render(messages, True)


def render_by(tokenizer: Any) -> Render:
    """The chat template of a tokenizer; if the last message is the assistant's, the model continues it."""

    def render(messages: Sequence[Message], ask: bool) -> str:
        begun = ask and messages[-1]["role"] == "assistant"
        return tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=ask and not begun, continue_final_message=begun
        )

    return render


def check_settings(tokenizer: Any, settings: GenerationSettings) -> None:
    """Raise ConfigError for settings whose system message would never reach the model."""
    if settings.system is not None and settings.system_as == "system" and tokenizer.chat_template:
        try:
            check_system(render_by(tokenizer), settings.system)
        except ConfigError as error:
            raise ConfigError(f"{tokenizer.name_or_path}: {error}") from error


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def context_free(tokenizer: Any) -> list[int]:
    """The tokens for an empty context: the begin-of-text token, or the end-of-text token if there is none."""
    for token_id in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token_id is not None:
            return [token_id]
    raise ConfigError(
        f"{tokenizer.name_or_path}: an empty prompt needs a begin- or end-of-text token, but the tokenizer has neither"
    )
