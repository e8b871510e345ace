"""`risk: {pipeline: true}`: the gates of a pipeline share the producer's risk; alone, a gate takes all of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import load, write_pipeline
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.pipeline.odds import pipeline_risk
from tunegate.pipeline.pipeline import Pipeline
from tunegate.stats.pipeline_risk import PipelineRisk
from tunegate.stats.plans import PlanRule, Risk
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

PIPELINE = """\
name: shared
model: base
suites:
  facts: {cases: cases.jsonl, checks: [exact], plan: {PLAN}}
  tone: {cases: cases.jsonl, checks: [contains], plan: {PLAN}}
  style: {cases: others.jsonl, checks: [exact], plan: {PLAN}}
  general: {cases: others.jsonl, checks: [exact], retention: {max_drop: 5}}
stages:
  - {name: measure, method: fewshot, data: train.jsonl, gates: [facts, style], options: {shots: 1}}
  - {name: sft, method: sft, data: train.jsonl, gates: [facts, tone, style], retrain: {max_attempts: 2, rows: [2, 4]}}
  - {name: align, method: dpo, data: pairs.jsonl, gates: [facts, style, general]}
promote: {to: production, registry: registry}
"""
DRAWS = 4
"""`facts` and `tone` of sft share one; `style` of sft; `facts` and `style` of align. A baseline has none of them."""


def written(folder: Path, plan: str) -> Path:
    path = write_pipeline(folder / "project", PIPELINE.replace("{PLAN}", plan), bank=1000)
    others = [{"id": f"o{n}", "prompt": f"other {n}?", "reference": "x"} for n in range(1000)]
    write_jsonl(path.parent / "others.jsonl", others)
    return path


@pytest.mark.parametrize("kind", ["single", "double", "sequential"])
def test_the_gates_keep_the_producers_risk_together(tmp_path: Path, kind: str) -> None:
    pipeline = load(written(tmp_path, f"{{kind: {kind}, draw: 200, risk: {{pipeline: true}}}}"))
    assert pipeline.independent_draws == DRAWS
    _, sft, align = pipeline.stages
    for stage in (sft, align):
        for gate in pipeline.gates(stage).values():
            assert gate.plan.acceptance(0.95) >= 0.95 ** (1 / DRAWS)
            assert gate.plan.acceptance_within(0.85, stage.retrain.max_attempts) <= 0.05
    risk = draws_only(pipeline)
    assert risk.independent_draws == DRAWS
    assert risk.at_first(0.95) >= 0.95
    alone = load(written(tmp_path / "alone", f"{{kind: {kind}, draw: 200, risk: {{}}}}"))
    assert pipeline.sha256 != alone.sha256


def draws_only(pipeline: Pipeline) -> PipelineRisk:
    """Without the comparisons with earlier models, which do not share the risk."""
    return PipelineRisk(tuple(replace(stage, paired={}) for stage in pipeline_risk(pipeline).stages))


def test_without_it_they_do_not(tmp_path: Path) -> None:
    alone = load(written(tmp_path, "{risk: {}}"))
    assert draws_only(alone).at_first(0.95) < 0.95**2
    shared = load(written(tmp_path / "shared", "{risk: {pipeline: true}}"))
    sizes = [pipeline.gates(pipeline.stages[2])["facts"].plan.draw for pipeline in (alone, shared)]
    assert sizes == [PlanRule(risk=Risk(producer=1 - 0.95 ** (1 / draws))).resolve(3).draw for draws in (1, DRAWS)]
    assert sizes[1] > sizes[0]


def test_a_gate_alone_takes_the_whole_risk(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "cases.jsonl", [{"id": n, "prompt": f"{n}?", "reference": "x"} for n in range(300)])
    drawn: list[int] = []
    hashes: set[str] = set()
    for risk in ("{}", "{pipeline: true}", "{pipeline: false}"):
        (tmp_path / "s.yaml").write_text(f"cases: cases.jsonl\nchecks: [exact]\nplan: {{risk: {risk}}}\n")
        suite = load_suite(tmp_path / "s.yaml", build_check)
        drawn.append(suite.plan.draw)
        hashes.add(suite.sha256)
    assert len(set(drawn)) == 1
    assert len(hashes) == 2, "a suite without the key, or with the default, keeps its hash"


def test_a_bank_too_small_for_the_share_is_one_line(tmp_path: Path) -> None:
    path = written(tmp_path, "{risk: {pipeline: true}}")
    write_jsonl(path.parent / "others.jsonl", [{"id": n, "prompt": f"{n}?", "reference": "x"} for n in range(130)])
    with pytest.raises(ConfigError, match=r"stages\[0\].*style: the bank has 130 cases, but the plan draws"):
        load(path)


def test_plan_shows_what_each_gate_got(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "{risk: {pipeline: true}}")
    assert main(["plan", "--file", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    draws = {(gate["stage"], gate["gate"]): gate["plan"]["draw"] for gate in told["gates"]}
    share = Risk(producer=1 - 0.95 ** (1 / DRAWS))
    assert draws["sft", "style"] == PlanRule(risk=share).resolve(2).draw
