"""One run with everything that makes a pass trustworthy, carried out by the real pipeline with a scripted model.

Leaked rows are dropped; `sft` misses a gate early and is trained again; its second attempt passes, forgets little, and
is confirmed on sealed cases; one gate of it is waived; `align` passes at once.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date
from pathlib import Path

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import tools, trainer
from tests.support.waiver_date import EXPIRES
from tunegate.cases.case import Case
from tunegate.checks.outcome import Finding, Outcome, Verdict
from tunegate.models.fingerprint import fingerprint
from tunegate.models.model import ScriptedModel
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.record.record import RunRecord
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import PipelineRun
from tunegate_suites import build_check

TODAY = date.today()
STORY = """\
name: gene-expert
model: base
leakage: drop_from_train
waivers: waivers.yaml
suites:
  facts:
    cases: {path: facts.jsonl, tags: [task, sex, source]}
    checks: [exact]
    slices: {task=gene: 0.7, task=symptom: 0.8}
    gap: {between: [sex=female, sex=male], max: 15}
  tone: {cases: tone.jsonl, checks: [exact], plan: {confirm: never, reuse: true}}
  general: {cases: general.jsonl, checks: [exact], plan: {draw: 100}, retention: {max_drop: 5, reuse: true}}
stages:
  - name: sft
    method: sft
    data: train.jsonl
    gates: [facts, tone, general]
    retrain: {max_attempts: 3, rows: [100, 200, 400]}
  - name: align
    method: dpo
    data: pairs.jsonl
    gates: [facts, general]
promote: {to: production, registry: registry}
"""
WAIVERS = f"""waivers:
  - gate: tone
    stage: sft
    owner: ada@example.org
    reason: the tone bank marks correct Latin names as rude, see ticket 412
    expires: {EXPIRES}
"""
TASKS = ("inheritance", "gene", "symptom", "onset")
SKILLS = {"sft#1": 0.66, "sft#2": 1.0, "sft#3": 1.0, "align#1": 1.0}


def story_run(folder: Path, *, base: float = 0.75, gene: float = 0.82, text: str = STORY) -> RunRecord:
    """Carry the story out. `base` is what the base model knows of `general`, of which every training keeps the most,
    or, from 0.5 down, learns nearly all; `gene` is how often a trained model is right about genes."""
    _write_files(folder, text)
    pipeline = load_pipeline(folder / "tunegate.yaml", build_check, today=TODAY)
    pipeline = replace(pipeline, model=str(folder / "base"))

    def open_model(path: str) -> ScriptedModel:
        weights = (Path(path) / "weights.txt").read_text()
        skill = float(weights.split()[0])

        def answer(case: Case) -> str:
            knows = _lot(case.id) < base if case.id.startswith("general") else _lot(case.id, weights) < able(case)
            slips = case.id.startswith("general") and skill > 0.5 and _lot(case.id, weights) < 0.04
            learned = case.id.startswith("general") and skill > 0.5 and base <= 0.5
            return case.references[0] if (knows or learned) != slips else "I do not know."

        def able(case: Case) -> float:
            if case.id.startswith("tone"):
                return min(skill, 0.87)
            return skill * (gene if "task=gene" in case.tags else 0.975)

        return ScriptedModel(answer, name=path, sha256=fingerprint(Path(path)), block_size=8)

    told = replace(tools(SKILLS), open_model=open_model, train=trainer(SKILLS), today=lambda: TODAY)
    with RunLog.open(folder / "run") as log:
        return PipelineRun(pipeline, log, told).execute()


def _lot(*parts: str) -> float:
    """A number in [0, 1) that depends on the texts alone."""
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:4]) / 2**32


def _write_files(folder: Path, text: str) -> None:
    (folder / "base").mkdir(parents=True)
    (folder / "base" / "weights.txt").write_text("0.0")
    (folder / "base" / "config.json").write_text("{}")
    (folder / "tunegate.yaml").write_text(text)
    (folder / "waivers.yaml").write_text(WAIVERS)
    for name, cases in (("facts", 520), ("tone", 115), ("general", 160)):
        write_jsonl(folder / f"{name}.jsonl", [_case(name, n) for n in range(cases)])
    rows = [{"prompt": f"lesson {n} about condition {n}?", "completion": f"pattern {n}"} for n in range(402)]
    rows[7]["prompt"], rows[42]["prompt"] = _case("facts", 3)["prompt"].upper(), _case("tone", 9)["prompt"]
    write_jsonl(folder / "train.jsonl", rows)
    pairs = [{"prompt": f"pair {n}?", "chosen": f"{n}!", "rejected": "?"} for n in range(8)]
    write_jsonl(folder / "pairs.jsonl", pairs)


def _case(suite: str, n: int) -> dict[str, str]:
    return {
        "id": f"{suite}-{n:04d}",
        "prompt": f"What does the handbook say of {suite} number {n}, as the clinic in ward {n % 17} was told?",
        "reference": f"pattern {n % 5}",
        "task": TASKS[n % 4],
        "sex": ("female", "male")[n // 4 % 2],
        "source": f"book {n % 9}",
    }


# --- a gate with a judge -------------------------------------------------------------------------------------------

ADMITTED = {
    "record_sha256": "5" * 64,
    "judge_sha256": "7" * 64,
    "kappa": 0.81,
    "kappa_low": 0.7,
    "sensitivity": [46, 50],
    "specificity": [45, 50],
    "admit": 0.6,
    "corrected_min": 0.8,
    "fault": None,
}
REFUSED = {"judge_sha256": "7" * 64, "admit": 0.6, "corrected_min": None, "fault": "the judge is not admitted"}


def judged(passed: int, failed: int) -> list[Outcome]:
    """Outcomes of a gate whose one check is a judge."""
    return [
        Outcome(f"case-{n}", verdict, "", (Finding("judge", verdict, "good"),), "p", "r")
        for n, verdict in enumerate([Verdict.PASS] * passed + [Verdict.FAIL] * failed)
    ]
