"""The question and the answers of a training row, from every supported form of text or chat.

Texts; chats that end with the answer (`messages`, `conversations`); and TRL's conversational forms, in which prompt,
completion, chosen and rejected are lists of messages, and chosen and rejected may both begin with the prompt's turns.
"""

from __future__ import annotations

from collections.abc import Mapping

from tunegate.cases.case import Prompt
from tunegate.cases.from_rows import CHAT_FIELDS, prompt_of
from tunegate.data.methods import METHODS
from tunegate.data.spec import DataSpec
from tunegate.exceptions import ConfigError
from tunegate.models.model import as_messages
from tunegate.reading.chats import Message, chat_of, is_chat, without_answer
from tunegate.reading.rows import Row
from tunegate.reading.templates import MissingField, fill, lone_field, look_up

Chat = tuple[Message, ...]


def question_and_answers(spec: DataSpec, method: str, row: Row) -> tuple[Prompt | None, dict[str, str]]:
    """The prompt of a row (None if the method takes plain text), and its answers by name.

    If an answer is a chat, its last turn is the answer; the turns before are the prompt, or must equal it. Raises
    ConfigError for a field that is missing or does not fit.
    """
    kind = METHODS[method]
    given = {
        name: _answer(method, name, template, row)
        for name in kind.answers
        if (template := _template(spec, name)) is not None or name in row
    }
    answers = {name: answer for name, (_, answer) in given.items()}
    before = {name: history for name, (history, _) in given.items() if history}
    prompt = _question(spec, row, before) if kind.prompted else None
    if isinstance(prompt, tuple):
        question, last = without_answer(prompt, spec.messages or "prompt")
        if not answers or last in answers.values():  # otherwise it is the beginning of the answer in the row
            prompt = question
        if last is not None and "completion" in kind.answers:
            answers.setdefault("completion", last)
    missing = [name for name in kind.answers if name not in answers and not kind.optional]
    if missing:
        _answer(method, missing[0], None, row)  # raises
    return prompt, {name: answers[name] for name in kind.answers if name in answers}


def _template(spec: DataSpec, name: str) -> str | None:
    return getattr(spec, name)


def _answer(method: str, name: str, template: str | None, row: Row) -> tuple[Chat, str]:
    """The turns before an answer, if any, and the answer."""
    field = lone_field(f"{{{name}}}" if template is None else template)
    try:
        value = look_up(field, row) if field is not None else None
        if field is None or not is_chat(value):
            return (), fill(f"{{{name}}}" if template is None else template, row)
    except MissingField as error:
        remedy = f'add it to the row, or name the field that contains it: `data: {{{name}: "{{field}}"}}`'
        raise MissingField(f"{error}, and {method} needs one in every row; {remedy}") from error
    turns = chat_of(value, field)
    if turns[-1]["role"] != "assistant":
        raise ConfigError(
            f"{field}: expected the chat to end with a turn of the assistant, the answer; it ends with a turn of the "
            f"{turns[-1]['role']}"
        )
    return turns[:-1], turns[-1]["content"]


def _question(spec: DataSpec, row: Row, before: Mapping[str, Chat]) -> Prompt:
    """The prompt of the row, from its fields and the turns before its answers, which must all agree."""
    named = spec.prompt is not None or spec.messages is not None
    implied = not named and "prompt" not in row and not any(name in row for name in CHAT_FIELDS)
    if implied and before:
        name, prompt = next(iter(before.items()))
    else:
        name, prompt = "prompt", prompt_of(spec.prompt, spec.messages, row)
    question = prompt if isinstance(prompt, str) else without_answer(prompt)[0]
    for other, history in before.items():
        if _said(history) != _said(question):
            raise ConfigError(
                f"{other}: the turns before its answer differ from {'those of ' if implied else 'the '}{name}; both "
                "answers must have the same prompt and one last turn"
            )
    with_system = (history for history in before.values() if history[0]["role"] == "system")
    return prompt if _has_system(prompt) else next(with_system, prompt)


def _has_system(prompt: Prompt) -> bool:
    return not isinstance(prompt, str) and prompt[0]["role"] == "system"


def _said(prompt: Prompt) -> list[tuple[str, str]]:
    """The text of each turn, without system messages and differences in white space."""
    return [
        (turn["role"], " ".join(turn["content"].split())) for turn in as_messages(prompt) if turn["role"] != "system"
    ]
