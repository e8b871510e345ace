"""The schema of a suite's `responses`: how a file of stored answers is read."""

from __future__ import annotations

from tunegate.reading.spec import FieldTemplate, Spec


class ResponsesSpec(Spec):
    """How a row of a response file becomes the answer to a case."""

    id: FieldTemplate | None = None
    """Default: the row's `id`, or without one the case with the row's `prompt`."""
    response: FieldTemplate | None = None
    """Default: the row's `response`, or without one the answer at the end of the chat in its `messages`."""
    prompt: FieldTemplate | None = None
    """The prompt that was asked, which must be the case's prompt. Default: the row's `prompt` or `messages`, if any."""
