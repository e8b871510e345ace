"""Where reasoning begins and ends in an answer: the marks that models put around it."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORDS = "think|thinking|thoughts?|reasoning|reflection|scratchpad|(?:mono|soli)logue|analysis|cot|chain_of_thought"
_NAME = rf"(?:[a-z0-9]{{1,20}}[_:|-]){{0,3}}(?:{_WORDS})"
"""`think` and its variants: `seed:think`, `mm:think`, `inner_thoughts`, `begin_of_thought`."""
_OPENS = re.compile(
    rf"""(?-i:(?!(?<=[A-Za-z])<[A-Z][a-z]))(?:<|&lt;)\s?\|?\s?(?!end_){_NAME}(?:\s[^<>&]{{0,60}})?\|?\s?(?:>|&gt;)
        | \[THINK\] | ◁think▷                                # Magistral, Kimi
        | <\|(?:START_THINKING|inner_prefix)\|>               # Command A, Apertus
        | <\|channel\|>\s*(?:analysis|commentary)\b | \A\s*analysis(?=[A-Z"'“])       # gpt-oss, tokens skipped
        | <\|channel>thought | <unused94>thought             # Gemma
        | <\|im_start\|>\s*think\b                           # models tuned with a turn for it
        | \A\s*Here(?:'s|\ is)\ my\ thought\ process:         # Granite""",
    re.VERBOSE | re.IGNORECASE,
)
_CLOSES = re.compile(
    rf"""(?:<|&lt;)\s?(?:\|?\s?[/\\]\s?\|?|\|?(?=end_)){_NAME}\s?\|?\s?(?:>|&gt;)
        | \[/THINK\] | ◁/think▷
        | <\|(?:END_THINKING|inner_suffix)\|>
        | (?:<\|start\|>\s*assistant\s*)?<\|channel\|>\s*final\s*(?:<\|constrain\|>\w+\s*)?<\|message\|>
        | assistantfinal(?=\S)
        | <channel\|> | <unused95> | <\|im_start\|>\s*answer\b
        | ^Here(?:'s|\ is)\ my\ response:""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)


_ASCII_MARKS = ("<", "&lt;", "[think]", "[/think]", "analysis", "assistantfinal", "my thought process:", "my response:")
"""A text of ASCII characters with none of these, in small letters, has no mark: most answers, which need no search."""


def _may_hold_marks(text: str) -> bool:
    return not text.isascii() or any(map(text.lower().__contains__, _ASCII_MARKS))


def openings(text: str) -> Iterator[re.Match[str]]:
    """The marks that begin reasoning; a mark in code, such as `<think>` in backticks, is only mentioned."""
    if not _may_hold_marks(text):
        return iter(())
    return (match for match in _OPENS.finditer(text) if not _spoken_of(text, match))


def closings(text: str) -> Iterator[re.Match[str]]:
    """The marks that end reasoning."""
    if not _may_hold_marks(text):
        return iter(())
    closing = (match for match in _CLOSES.finditer(text) if not _spoken_of(text, match))
    return (match for match in closing if match.group() != "assistantfinal" or re.match(r"\s*analysis", text))


def _spoken_of(text: str, match: re.Match[str]) -> bool:
    return text[max(0, match.start() - 1) : match.start()] == "`" == text[match.end() : match.end() + 1]
