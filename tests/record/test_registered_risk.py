"""How likely a run promotes a model, from what it registered: as `plan` says of its file, and in its report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fake_pipeline import PIPELINE, carry_out, load, write_pipeline
from tunegate.commands.console import run_as_json
from tunegate.pipeline.odds import pipeline_risk
from tunegate.record.record import RunRecord
from tunegate.record.registered_risk import registered_risk
from tunegate.stats.luck import shown_rate
from tunegate.stats.pipeline_risk import PipelineRisk
from tunegate.stats.plans import PlanRule
from tunegate.verdicts.pipeline_words import cost_words, promotion_words, summary_words
from tunegate_reports.html import render
from tunegate_reports.markdown import markdown_summary
from tunegate_reports.view import view

GENERAL = "  general: {cases: cases.jsonl, checks: [exact], plan: {draw: 20}, retention: {max_drop: 5}}\nstages:"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = PIPELINE.replace("stages:", GENERAL)
    return write_pipeline(tmp_path_factory.mktemp("project") / "p", text, bank=120)


@pytest.fixture(scope="module")
def run(path: Path) -> RunRecord:
    return carry_out(path)


def test_the_record_says_what_the_file_says(path: Path, run: RunRecord) -> None:
    registered = registered_risk(run)
    assert registered is not None
    planned = pipeline_risk(load(path))
    assert [stage.name for stage in registered.stages] == ["sft", "align"]
    assert "general" in registered.stages[0].paired
    assert registered.is_at_most
    for p in (0.8, 0.95):
        assert registered.at_first(p) == pytest.approx(planned.at_first(p))
        assert registered.within_budget(p) == pytest.approx(planned.within_budget(p))


def test_the_report_says_it(run: RunRecord) -> None:
    risk = registered_risk(run)
    assert risk is not None
    page, summary = render(view(run)), markdown_summary(run)
    for sentence in (summary_words(risk), promotion_words(risk), cost_words(risk)):
        assert sentence[1:] in page
    assert "- Pipeline: a model that is right 95% of the time in every gate and forgets nothing" in summary


def test_the_json_says_it_and_what_the_passes_show(run: RunRecord) -> None:
    told = run_as_json(run, None)
    assert told["pipeline"]["words"] == promotion_words(registered_risk(run) or PipelineRisk(()))
    assert set(told["luck"]) == {"sft", "align"}
    assert told["luck"]["align"]["facts"]["shows"] == pytest.approx(
        shown_rate(PlanRule(draw=5, accept=4).resolve(3), 1)
    )


@pytest.mark.parametrize("key", ["budget", "shared_draws", "gates"])
def test_of_an_older_record_nothing_is_said(run: RunRecord, key: str) -> None:
    """One that does not say how many attempts there were, or what was shared."""
    older = replace(run, start={name: value for name, value in run.start.items() if name != key})
    assert registered_risk(older) is None
