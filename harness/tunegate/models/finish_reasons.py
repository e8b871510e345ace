"""Why an answer ended: the words of servers and libraries, as the three that an answer may have.

Whatever is none of these (`content_filter`, `tool_calls`, `error`, `refusal`, `abort`, a word nobody knows) ended the
answer for a reason that is not the model's: the case is INVALID.
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


def finish_reason_of(said: object) -> FinishReason | None:
    """The finish reason that a server or a file means; None for one that ends no answer.

    Nothing at all (null, an empty cell, a missing number) is `unknown`, which is an answer.
    """
    if said is None or said != said:  # NaN is how some tables write an empty cell
        return "unknown"
    return _KNOWN.get(said.strip().lower().removeprefix("finishreason.")) if isinstance(said, str) else None
