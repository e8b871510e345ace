"""A run with everything that a report shows of a gate of 100 cases: the pipeline is real, a scripted model answers.

The cases and the training rows are those of the demo, so that prompts are as long as real ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.support.explanations import made_explanation
from tests.support.fake_pipeline import carry_out, luck_of, tools, write_pipeline
from tests.support.places import ROOT
from tunegate.attribution.explanation import METHODS, Explanation, Method
from tunegate.attribution.stored_case import StoredCase
from tunegate.cases.case import Case
from tunegate.models.fingerprint import fingerprint
from tunegate.models.model import Model, ScriptedModel
from tunegate.progress import Progress
from tunegate.record.record import RunRecord

EXPLAINED = 10
KNOWS_INHERITANCE, KNOWS_THE_REST = 0.6, 0.995
DATA = ROOT / "suites" / "tunegate_suites" / "data"
BANK = f"""{{path: {DATA}/gene_expert/bank.jsonl, where: {{near_dup_of_train: false}}, id: "{{id}}",
      prompt: "{{context}}\\n\\n{{question}}", reference: "{{answer}}", context: "{{context}}", tags: [task],
      group: "{{doc}}"}}"""
PIPELINE = f"""\
name: everything
model: base
leakage: drop_from_train
inspect: {{cases: {EXPLAINED}, methods: [{", ".join(METHODS)}]}}
suites:
  facts:
    cases: {BANK}
    checks:
      - rougeL: {{min: 0.5}}
      - judge: {DATA}/judges/answers.yaml
      - errors: {{forbid: [empty, repetition, prompt_echo, unsupported_number, pii], report: [misspelling, refusal]}}
    plan: {{draw: 100, accept: 85, curtail: false, confirm: never}}
    slices: {{task=gene: 0.5}}
    gap: {{between: [task=gene, task=prevalence], max: 90}}
    diversity: {{}}
    limits: {{size_mb: 600, latency_ms: {{p: 50, max_ratio: 5, baseline: base}}}}
  general:
    cases: {{path: {DATA}/general/dolly.jsonl, reference: "{{response}}"}}
    checks: [exact]
    plan: {{draw: 100}}
    retention: {{max_drop: 20}}
stages:
  - name: sft
    method: sft
    data: {{path: {DATA}/gene_expert/train.jsonl, prompt: "{{context}}\\n\\n{{question}}", completion: "{{answer}}"}}
    gates: [facts]
    retrain: {{max_attempts: 1}}
promote: {{to: production, registry: registry}}
"""


def full_run(folder: Path) -> RunRecord:
    """Carry it out: the trained model often does not know how conditions are inherited, and just passes its gate."""
    return carry_out(
        write_pipeline(folder, PIPELINE), replace(tools({"sft#1": 0.9}), open_model=_open, explain=_explain)
    )


class Weighed(ScriptedModel):
    """A scripted model whose weights have a size."""

    size_bytes = 269_000_000


def _open(path: str) -> Weighed:
    def answer(case: Case) -> str:
        skill = KNOWS_INHERITANCE if case.id.endswith("inheritance") else KNOWS_THE_REST
        return case.references[0] if luck_of(case.id) < skill else "The text does not tell how it is inherited."

    return Weighed(answer, name=path, sha256=fingerprint(Path(path)), block_size=8)


def _explain(
    model: Model, stored: StoredCase, methods: Sequence[Method], seed: int, progress: Progress, /
) -> Explanation:
    """Of a model with 30 layers of 9 heads, as the demo's has."""
    where = {"gate": stored.gate, "stage": stored.stage, "attempt": stored.attempt}
    return made_explanation(
        stored.case.id, stored.case.prompt_text, methods=tuple(methods), layers=30, heads=9, seed=seed, **where
    )


if __name__ == "__main__":
    import sys

    run = full_run(Path(sys.argv[1]))
    print(json.dumps({"verdict": run.verdict, "folder": str(run.folder)}))  # noqa: T201
