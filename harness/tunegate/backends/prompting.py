"""From a case to the token ids that a model sees."""

from __future__ import annotations

from typing import Any

from tunegate.cases import Case, Message
from tunegate.exceptions import ConfigError
from tunegate.models import as_messages, chat


def answer_prompt(tokenizer: Any, case: Case, system: str | None) -> list[int]:
    """Token ids that ask for an answer.

    A plain prompt becomes one user message when the tokenizer has a chat template, else it stays raw text.
    """
    prompt = chat(case.prompt, system)
    if isinstance(prompt, str) and not tokenizer.chat_template:
        return tokenizer(prompt)["input_ids"] or context_free(tokenizer)
    return chat_ids(tokenizer, as_messages(prompt))


def choice_prompt(tokenizer: Any, case: Case, system: str | None, delimiter: str) -> tuple[list[int], list[list[int]]]:
    """Token ids of the context, and of each choice as its continuation, as lm-evaluation-harness makes them.

    A plain prompt stays raw text, with the special tokens that the tokenizer puts before any text; each choice follows
    after `delimiter`, and white space at the prompt's end moves to the choice, where tokenizers keep it. Context and
    choice are encoded together and split after the context's own tokens. An empty prompt becomes the begin-of-text
    token. Chat messages (or a plain prompt with a system message) go through the chat template, and choices follow
    without delimiter.
    """
    prompt = chat(case.prompt, system)
    if not isinstance(prompt, str):
        return chat_ids(tokenizer, prompt), [plain_ids(tokenizer, choice) for choice in case.choices]
    context = prompt.rstrip()
    tail = prompt[len(context) :] + delimiter
    if not context:
        return context_free(tokenizer), [plain_ids(tokenizer, tail + choice) for choice in case.choices]
    context_ids: list[int] = tokenizer(context)["input_ids"]
    wholes = tokenizer([context + tail + choice for choice in case.choices])["input_ids"]
    return context_ids, [whole[len(context_ids) :] for whole in wholes]


def chat_ids(tokenizer: Any, messages: tuple[Message, ...]) -> list[int]:
    """Token ids of a chat, up to where the assistant's words begin (or go on, if the last message is its own)."""
    if not tokenizer.chat_template:
        raise ConfigError(
            f"{tokenizer.name_or_path}: the tokenizer has no chat template, so chat and system messages cannot "
            "be put to it; use plain prompts, or add chat_template.jinja to the folder"
        )
    begun = messages[-1]["role"] == "assistant"
    return tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=not begun, continue_final_message=begun, return_dict=False
    )


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def context_free(tokenizer: Any) -> list[int]:
    """What a model sees when there is no context: the begin-of-text token, or else the end-of-text token."""
    for token_id in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token_id is not None:
            return [token_id]
    raise ConfigError(f"{tokenizer.name_or_path}: an empty prompt needs a begin- or end-of-text token; it has neither")
