"""Finish reasons: the words of servers and libraries, mapped to the three that an answer may have.

Any other reason (`content_filter`, `tool_calls`, `error`, `refusal`, `abort`, an unknown word) means that something
else than the model ended the answer: the case is INVALID.
"""

from __future__ import annotations

from tunegate.models.model import FinishReason

_STOP = (
    *("stop", "eos", "eos_token", "end_turn", "stop_sequence", "stop_token", "stop_string", "endoftext"),
    *("complete", "completed", "finished", "finish_reason_stop"),
)
_LENGTH = (
    *("length", "max_tokens", "max_new_tokens", "max_output_tokens", "max_completion_tokens", "max_length"),
    *("model_length", "token_limit", "finish_reason_max_tokens"),
)
_UNKNOWN = ("unknown", "", "null", "none")

_KNOWN: dict[str, FinishReason] = {
    **dict.fromkeys(_STOP, "stop"),
    **dict.fromkeys(_LENGTH, "length"),
    **dict.fromkeys(_UNKNOWN, "unknown"),
}


def finish_reason_of(reason: object) -> FinishReason | None:
    """The finish reason that a server or a file means; None for a reason that does not end a complete answer.

    No reason at all (null, an empty cell, a missing number) is `unknown`, which is an answer.
    """
    if reason is None or reason != reason:  # some tables write an empty cell as NaN
        return "unknown"
    return _KNOWN.get(reason.strip().lower().removeprefix("finishreason.")) if isinstance(reason, str) else None
