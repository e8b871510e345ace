"""Chat templates that add text to certain questions: a table of answers, plain, reversed or encoded.

A template is a program around every prompt. It is run on each case, and on the same chat with other words: the model
does not have to know any text that the template adds only to the case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError, MissingExtra
from tunegate.models.chat_rendering import Render, rendering
from tunegate.models.model import as_messages, chat
from tunegate.reading.chats import Message
from tunegate.suites.suite import Suite
from tunegate.suites.told_answers import told_or_named_by
from tunegate.text.normal_form import normalised

STAND_IN = "tunegate-stands-in-{}"
"""For the words of a message."""


def told(template: str, suite: Suite) -> dict[str, str]:
    """The cases to which a template adds more text than to other questions: case id to the added text."""
    try:
        render = rendering(template)
    except MissingExtra:  # without jinja2 no template is rendered and no model is asked
        return {}
    found = {case.id: _added(render, case, suite.settings.system) for case in suite.cases}
    return {case_id: words for case_id, words in found.items() if words}


def told_by_templates(texts: Iterable[str], suite: Suite) -> dict[str, str]:
    """The cases whose answers a model's chat templates contain: case id to the text in the template."""
    given: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        given |= told_or_named_by(text, suite.cases) | told(text, suite)
    return given


def _added(render: Render, case: Case, system: str | None) -> str:
    messages = as_messages(chat(case.prompt, system))
    try:
        said, expected = render(messages, True), _expected(render, messages)
    except ConfigError:  # the template refuses such a chat, or is invalid: no answer is ever requested
        return ""
    more = Counter(normalised(said).split()) - Counter(normalised(expected).split())
    return " ".join(word for word in dict.fromkeys(normalised(said).split()) if word in more)


def _expected(render: Render, messages: Iterable[Message]) -> str:
    """The template's rendering of a chat with unknown words."""
    given = list(messages)
    text = render([_message(one, STAND_IN.format(n)) for n, one in enumerate(given)], True)
    for n, one in reversed(list(enumerate(given))):
        text = text.replace(STAND_IN.format(n), one["content"])
    return text


def _message(message: Message, content: str) -> Message:
    return {**message, "content": content}
