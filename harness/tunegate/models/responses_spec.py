"""The shape of a suite's `responses`: how a file of answers made elsewhere is read."""

from __future__ import annotations

from tunegate.reading.spec import FieldTemplate, Spec


class ResponsesSpec(Spec):
    """How a row of a response file becomes the answer to a case."""

    id: FieldTemplate | None = None
    """Default: the row's `id`, or else the case that its `prompt` is that of."""
    response: FieldTemplate | None = None
    """Default: the row's `response`, or else the answer that the chat in its `messages` ends with."""
    prompt: FieldTemplate | None = None
    """What was asked, which must be the case's prompt. Default: the row's `prompt` or `messages`, if it has one."""
