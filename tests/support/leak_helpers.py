"""Training rows and suites for tests of the leakage guard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.places import FILES, ROOT
from tunegate.cases.case import Case, Prompt
from tunegate.leaks.leakage import Leak, compare
from tunegate.leaks.texts import TrainRow
from tunegate.models.model import GenerationSettings
from tunegate.stats.sampling import SinglePlan
from tunegate.suites.suite import Suite

GENES = ROOT / "suites/tunegate_suites/data/gene_expert"
SUPPORT = FILES / "support"


def suite(*cases: Case, name: str = "facts") -> Suite:
    return Suite(name, cases, (), SinglePlan(1, 1), GenerationSettings(), "hash")


def prompts(*asked: Prompt) -> Suite:
    return suite(*(Case(f"c{number}", prompt) for number, prompt in enumerate(asked, start=1)))


def rows(*taught: str, answer: str = "x") -> list[TrainRow]:
    return [TrainRow("train.jsonl", number, (text,), (answer,)) for number, text in enumerate(taught, start=1)]


def found(leaks: list[Leak]) -> list[tuple[int, str, str]]:
    return [(leak.train_row, leak.case_id, leak.kind) for leak in leaks]


def kinds(taught: str, asked: str) -> set[str]:
    """How the one text gives the other away."""
    return {leak.kind for leak in compare(rows(taught), [prompts(asked)])}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
