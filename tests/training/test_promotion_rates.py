"""What `tunegate plan` prints is what happens: promotion rates of whole runs, through the project's own `PipelineRun`.

Weights are scripted: each case is answered right with probability p, anew for every model. Everything else is real:
draws, gates, confirmations, records, retries and verdicts. Both numbers are for a model that a retraining leaves as it
is, and for models that differ on no case from an earlier one, so the pipeline has one stage.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binom

from tests.checks.test_checks import Scripted
from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import load, tools, write_pipeline
from tunegate.cases.case import Case
from tunegate.checks.check import Sample
from tunegate.checks.outcome import Finding, Verdict
from tunegate.models.model import ScriptedModel
from tunegate.pipeline.odds import pipeline_risk
from tunegate.pipeline.pipeline import Pipeline
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import PipelineRun

PLANS = {
    "single": "{draw: 100, accept: 90}",
    "double": "{kind: double}",
    "sequential": "{kind: sequential}",
}
BY_CHANCE = 1e-4
"""A count of promotions that is less likely than this, with what the plan claims, is no Monte-Carlo error. Exact: where
the claim is 0.0002, one promotion of 150 is no wonder (0.03), but ten standard errors away."""
JUDGE = {"sensitivity": (931, 1000), "specificity": (849, 1000)}
"""The shipped judge's counts."""
PIPELINE = """\
name: rates
model: base
suites:
  facts: {{cases: cases.jsonl, checks: [exact], sealed: 0.5, plan: {plan}}}
stages:
  - {{name: sft, method: sft, data: train.jsonl, gates: [facts], retrain: {{max_attempts: {attempts}, rows: {rows}}}}}
"""


@dataclass(frozen=True)
class ErringJudge(Scripted):
    """A judge that passes right answers and wrong ones as often as its admission says."""

    seed: int = 0

    @property
    def admission_facts(self) -> Mapping[str, Any]:
        return {"record_sha256": "0" * 64, "admit": 0.6, "kappa": 0.78, **JUDGE}

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        return [self._finding(sample) for sample in samples]

    def _finding(self, sample: Sample) -> Finding:
        right = sample.response.text == sample.case.references[0]
        chance = 0.931 if right else 0.151
        dice = random.Random(f"{self.seed} {sample.case.id} {sample.response.text}")
        return Finding(self.name, Verdict.PASS if dice.random() < chance else Verdict.FAIL)


def project(folder: Path, plan: str, attempts: int, *, judge: bool) -> Pipeline:
    rows = list(range(1, attempts + 1))
    path = write_pipeline(folder, PIPELINE.format(plan=plan, attempts=attempts, rows=rows))
    size = 1280 if attempts <= 2 else 3200
    bank = [{"id": i, "prompt": f"case {i}?", "reference": f"{i}!"} for i in range(size)]
    write_jsonl(path.parent / "cases.jsonl", bank)
    pipeline = load(path)
    if judge:
        facts = replace(pipeline.suites["facts"], checks=(ErringJudge(lambda sample: True, name="judge"),))
        pipeline = replace(pipeline, suites={"facts": facts})
    return pipeline


def promoted(pipeline: Pipeline, p: float, folder: Path, seed: int) -> tuple[bool, bool]:
    """Whether a run passed, and whether it did at its first attempt."""

    def open_model(path: str) -> ScriptedModel:
        sha256 = hashlib.sha256(f"{seed} {path}".encode()).hexdigest()
        dice = random.Random(sha256)
        known: dict[str, bool] = {}

        def answer(case: Case) -> str:
            right = known.setdefault(case.id, dice.random() < p)
            return case.references[0] if right else "?"

        return ScriptedModel(answer, name=path, sha256=base.model_sha256(path), block_size=100)

    base = tools({})
    facts = pipeline.suites["facts"]
    checks = [replace(one, seed=seed) if isinstance(one, ErringJudge) else one for one in facts.checks]
    anew = replace(pipeline, seed=seed, suites={"facts": replace(facts, checks=tuple(checks))})
    with RunLog.open(folder / str(seed)) as log:
        run = PipelineRun(anew, log, replace(base, open_model=open_model)).execute()
    return run.verdict is Verdict.PASS, run.verdict is Verdict.PASS and len(run.stages["sft"].attempts) == 1


def compare(folder: Path, plan: str, attempts: int, p: float, runs: int, *, judge: bool = False) -> None:
    pipeline = project(folder / "project", PLANS[plan], attempts, judge=judge)
    risk = pipeline_risk(pipeline)
    found = [promoted(pipeline, p, folder / "runs", seed) for seed in range(runs)]
    for promotions, claimed in (
        (sum(passed for passed, _ in found), risk.within_budget(p)),
        (sum(at_first for _, at_first in found), risk.at_first(p)),
    ):
        fewer, more = binom.cdf(promotions, runs, claimed), binom.sf(promotions - 1, runs, claimed)
        assert min(fewer, more) >= BY_CHANCE, (plan, attempts, p, f"{promotions} of {runs}", claimed)


@pytest.mark.parametrize("plan", PLANS)
def test_a_few_runs_of_every_plan(tmp_path: Path, plan: str) -> None:
    compare(tmp_path, plan, attempts=2, p=0.9, runs=12)


@pytest.mark.slow
@pytest.mark.parametrize("judge", [False, True], ids=["exact", "judge"])
@pytest.mark.parametrize("p", [0.85, 0.9, 0.95])
@pytest.mark.parametrize("attempts", [1, 5])
@pytest.mark.parametrize("plan", PLANS)
def test_runs_are_promoted_as_often_as_plan_says(
    tmp_path: Path, plan: str, attempts: int, p: float, judge: bool
) -> None:
    compare(tmp_path, plan, attempts, p, runs=150, judge=judge)
