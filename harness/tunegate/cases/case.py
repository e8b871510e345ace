"""A case: one test of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tunegate.hashes import canonical_json, sha256_hex
from tunegate.reading.chats import Message

Prompt = str | tuple[Message, ...]
"""The prompt for a model: plain text, or the messages of a chat."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test.

    `id` is stable and unique within its suite. `references` are expected answers, any of which is right. `context` is
    the text that the answer must be faithful to. `choices` are the options of a multiple-choice case. Cases of one
    `group` are related (paraphrases, one source document). `fields` is the row from which the case was made, for checks
    that need more than the answer.

    Example:
        >>> import tunegate
        >>> case = tunegate.Case("q1", "Capital of France?", references=("Paris",), tags=("topic=geography",))
        >>> case.prompt_text
        'Capital of France?'
    """

    id: str
    prompt: Prompt
    references: tuple[str, ...] = ()
    context: str | None = None
    choices: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    group: str | None = None
    fields: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def prompt_text(self) -> str:
        """The prompt as one string, for people and for checks that compare texts."""
        if isinstance(self.prompt, str):
            return self.prompt
        return "\n\n".join(message["content"] for message in self.prompt)


def sample_id(case_id: str, number: int) -> str:
    """The id under which a case is asked for its answer of this number, counted from 1.

    >>> sample_id("c1", 1), sample_id("c1", 2)
    ('c1', 'c1 [sample 2]')
    """
    return case_id if number == 1 else f"{case_id} [sample {number}]"


def duplicates(cases: Iterable[Case]) -> tuple[tuple[str, ...], ...]:
    """The ids of tests that have several ids: one tuple for each such test, in the order of the cases."""
    ids: dict[tuple[object, ...], list[str]] = {}
    for case in cases:
        ids.setdefault(content(case), []).append(case.id)
    return tuple(tuple(same) for same in ids.values() if len(same) > 1)


def content(case: Case) -> tuple[object, ...]:
    """What a model is asked and which answer is expected, exactly."""
    prompt = case.prompt
    asked = prompt if isinstance(prompt, str) else tuple((message["role"], message["content"]) for message in prompt)
    return asked, case.context, case.choices, case.references


def question_of(case: Case) -> str:
    """The identity of a question: 16 hex digits of the SHA-256 of its prompt and choices.

    Spaces and the order of choices do not count, nor do id, references, context, tags and checks: a question stays the
    same question in another suite, under another id, and with another answer expected. A plain prompt is the message of
    a user, as models see it.

    >>> question_of(Case("a", "Capital of  France?")) == question_of(Case("b", "Capital of France?", ("Paris",)))
    True
    """
    prompt = case.prompt
    chat = [("user", prompt)] if isinstance(prompt, str) else [(one["role"], one["content"]) for one in prompt]
    parts = [[text for message in chat for text in message], sorted(case.choices)]
    return sha256_hex(canonical_json([[" ".join(text.split()) for text in part] for part in parts]))[:16]


def group_of(case: Case) -> object:
    """Cases of a group are related; a case without a group is its own group, as are equal cases under two ids."""
    return content(case) if case.group is None else case.group


def asked(prompt: Prompt) -> str:
    """A prompt without its system messages: the same question under another system message is the same question."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(message["content"] for message in prompt if message["role"] != "system")
