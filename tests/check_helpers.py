"""Short ways to build a check and ask it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunegate.cases import Case
from tunegate.checks import Sample
from tunegate.models import Response
from tunegate.outcomes import Finding, Verdict
from tunegate_suites import build_check

PASS, FAIL, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INVALID


def sample(answer: str | Response, *references: str, prompt: str = "?", **case: Any) -> Sample:
    response = answer if isinstance(answer, Response) else Response(answer, "stop")
    return Sample(Case("1", prompt, references, **case), response)


def ask(entry: object, answer: str | Response, *references: str, base_dir: Path = Path(), **case: Any) -> Finding:
    """What the check that `entry` describes finds in an answer."""
    [finding] = build_check(entry, base_dir).judge([sample(answer, *references, **case)])
    assert finding.reason
    assert finding.version
    return finding


HUGE = {
    "one word": "a" * 100_000,
    "gibberish": "".join(chr(97 + i * i * 7919 % 9973 % 26) for i in range(100_000)),
    "words": "the quick brown fox jumps over the lazy dog " * 2300,
    "no loop": " ".join(f"word{i}" for i in range(11_000)),
    "emoji": "👩🏽‍🚀🏳️‍🌈😀" * 10_000,
    "right to left": "שלום עולם مرحبا بالعالم " * 4000,
    "spaces": " " * 100_000,
    "punctuation": ".,;:!?" * 17_000,
    "numbers": "12,345.67 " * 10_000,
    "capitals": "Marie Curie " * 8_500,
    "brackets": "[" * 100_000,
    "control": "\x00\x1b[31m\ud7ff" * 20_000,
}
"""Answers of about 100,000 characters, each unpleasant in its own way."""
