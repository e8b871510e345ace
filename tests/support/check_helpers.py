"""Short ways to build a check and ask it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunegate.cases.case import Case
from tunegate.checks.check import Sample
from tunegate.checks.judge_admission import Agreement, default_path, write_admission
from tunegate.checks.outcome import Finding, Verdict
from tunegate.models.model import Response
from tunegate_suites import build_check
from tunegate_suites.judges.judge import Judge
from tunegate_suites.options import LocalModels

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


AGREES = Agreement(((90, 3, 0), (2, 85, 0)))
"""A judge that may decide: kappa 0.94, its lower end 0.88."""


def admitted_judge(
    options: object, folder: Path, models: LocalModels | None = None, measured: Agreement = AGREES
) -> Judge:
    """A judge with a record of its admission beside its suite, as `tunegate judge` would have written it."""
    judge = build_check({"judge": options}, folder, models)
    assert isinstance(judge, Judge)
    write_admission(folder / default_path(judge.judge_sha256), judge.judge_sha256, measured)
    again = build_check({"judge": options}, folder, models)
    assert isinstance(again, Judge)
    return again


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
