"""Where reasoning begins and ends in an answer: the marks that models put around it."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TAGS = "think|thinking|thoughts?|reasoning|reflection|scratchpad|seed:think"
_OPENS = re.compile(
    rf"""<(?:{_TAGS})(?:\s[^<>]{{0,60}})?>                     # DeepSeek, Qwen and many more
        | \[THINK\] | ◁think▷                                # Magistral, Kimi
        | <\|(?:begin_of_thought|START_THINKING|inner_prefix)\|>     # OpenThinker, Command A, Apertus
        | <\|channel\|>\s*(?:analysis|commentary)\b | \A\s*analysis(?=[A-Z"'“])       # gpt-oss, tokens skipped
        | <\|channel>thought | <unused94>thought             # Gemma
        | \A\s*Here(?:'s|\ is)\ my\ thought\ process:         # Granite""",
    re.VERBOSE | re.IGNORECASE,
)
_CLOSES = re.compile(
    rf"""</(?:{_TAGS})\s*> | \[/THINK\] | ◁/think▷
        | <\|(?:end_of_thought|END_THINKING|inner_suffix)\|>
        | (?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*final\s*(?:<\|constrain\|>\w+\s*)?<\|message\|>
        | assistantfinal(?=\S)
        | <channel\|> | <unused95>
        | ^Here(?:'s|\ is)\ my\ response:""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)


def openings(text: str) -> Iterator[re.Match[str]]:
    """The marks that begin reasoning; one in code, `<think>` between backticks, is spoken of and not used."""
    return (match for match in _OPENS.finditer(text) if not _spoken_of(text, match))


def closings(text: str) -> Iterator[re.Match[str]]:
    """The marks that end reasoning."""
    closing = (match for match in _CLOSES.finditer(text) if not _spoken_of(text, match))
    return (match for match in closing if match.group() != "assistantfinal" or re.match(r"\s*analysis", text))


def _spoken_of(text: str, match: re.Match[str]) -> bool:
    return text[max(0, match.start() - 1) : match.start()] == "`" == text[match.end() : match.end() + 1]
