"""A run asks no model the same question twice: gates, retention references and comparisons share the answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.support.fake_pipeline import carry_out, open_model, tools, write_pipeline
from tests.training.test_retention import TEXT
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.models.model import Response, ScriptedModel
from tunegate.training.tools import Tools

Asked = Counter[tuple[str, str, str]]
"""How often each model (by its path) was asked each question (id and prompt)."""


def counting(asked: Asked, **skills: float) -> Tools:
    def opened(path: str) -> ScriptedModel:
        inner = open_model(path)

        def answer(case: Case) -> str | Response:
            asked[path, case.id, str(case.prompt)] += 1
            return inner.script(case)

        return replace(inner, script=answer)

    return replace(tools({name.replace("_", "#"): skill for name, skill in skills.items()}), open_model=opened)


def twice(asked: Asked) -> dict[tuple[str, str, str], int]:
    return {question: times for question, times in asked.items() if times > 1}


def test_no_question_is_asked_twice_over_two_stages_with_retention(tmp_path: Path) -> None:
    asked: Asked = Counter()
    path = write_pipeline(tmp_path, TEXT, bank=60)
    (tmp_path / "base" / "weights.txt").write_text("1.0")
    run = carry_out(path, counting(asked, sft_1=1.0, align_1=1.0))
    assert run.verdict is Verdict.PASS
    assert set(run.stages["align"].attempts[1].references) == {
        f"{gate} (reference)" for gate in ("facts", "style", "general")
    }
    assert asked
    assert twice(asked) == {}


def test_nor_when_an_attempt_misses_and_is_diagnosed(tmp_path: Path) -> None:
    asked: Asked = Counter()
    path = write_pipeline(tmp_path, TEXT, bank=90)
    (tmp_path / "base" / "weights.txt").write_text("1.0")
    run = carry_out(path, counting(asked, sft_1=0.0, sft_2=1.0, align_1=1.0))
    assert run.verdict is Verdict.PASS
    assert list(run.stages["sft"].attempts) == [1, 2]
    assert twice(asked) == {}
