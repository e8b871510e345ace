"""A pipeline without a model: `weights.txt` says how often it answers right, and training writes what a script says.

Two stages: `sft` misses at first, is diagnosed, and passes at its second attempt; `align` passes at once; then the
result is promoted. Everything but the model and the training is the real thing.
"""

from __future__ import annotations

import hashlib
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tests.support.bank import write_jsonl
from tunegate.cases.case import Case
from tunegate.models.fingerprint import fingerprint
from tunegate.models.model import ScriptedModel
from tunegate.pipeline.pipeline import Pipeline
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.record.event import Event
from tunegate.record.record import RunRecord
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import PipelineRun
from tunegate.training.tools import Tools
from tunegate.training.trainer import ScriptedTrainer, Trainer, TrainJob, TrainResult
from tunegate_suites import build_check

SUITE = "{cases: cases.jsonl, checks: [exact], plan: {draw: 5, accept: 4}}"
PIPELINE = f"""\
name: small
model: base
suites:
  facts: {SUITE}
  style: {SUITE}
stages:
  - name: sft
    method: sft
    data: train.jsonl
    gates: [facts, style]
    retrain: {{max_attempts: 3, rows: [2, 4, 8]}}
  - name: align
    method: dpo
    data: pairs.jsonl
    gates: [facts]
promote: {{to: production, registry: registry}}
"""

SKILLS: Mapping[str, float] = {"sft#1": 0.0, "sft#2": 1.0, "align#1": 1.0}
"""Stage and attempt to the share of questions that the trained model answers right; 0 where nothing is said."""


def write_pipeline(folder: Path, text: str = PIPELINE, bank: int = 40) -> Path:
    """Write a pipeline file with all it names; returns its path."""
    (folder / "base").mkdir(parents=True)
    (folder / "base" / "weights.txt").write_text("0.0")
    (folder / "base" / "config.json").write_text("{}")  # so that the command line takes it for a model
    write_jsonl(folder / "cases.jsonl", [{"id": i, "prompt": f"case {i}?", "reference": f"{i}!"} for i in range(bank)])
    write_jsonl(folder / "train.jsonl", [{"prompt": f"train {i}?", "completion": f"{i}!"} for i in range(8)])
    pairs = [{"prompt": f"pair {i}?", "chosen": f"{i}!", "rejected": "?"} for i in range(8)]
    write_jsonl(folder / "pairs.jsonl", pairs)
    path = folder / "tunegate.yaml"
    path.write_text(text)
    return path


def load(path: Path) -> Pipeline:
    pipeline = load_pipeline(path, build_check)
    return replace(pipeline, model=str(path.parent / "base"))


def attempt_of(job: TrainJob) -> str:
    """`sft#2`"""
    folder = Path(job.output).parent
    return f"{folder.parent.name}#{folder.name.removeprefix('attempt-')}"


def trainer(skills: Mapping[str, float] = SKILLS) -> Trainer:
    """Weights that say how often they answer right, and which data, seed and start they came from."""

    def script(job: TrainJob) -> str:
        facts = (Path(job.model) / "weights.txt").read_text(), Path(job.data).read_text(), job.seed, job.args
        return f"{skills.get(attempt_of(job), 0.0)}\n{hashlib.sha256(repr(facts).encode()).hexdigest()}"

    def train(job: TrainJob) -> TrainResult:
        result = ScriptedTrainer(script)(job)
        (Path(job.output) / "config.json").write_text("{}")
        return result

    return train


def luck_of(case_id: str) -> float:
    """The skill, from 0 to 1, that a model needs beyond this to answer a case right."""
    return hashlib.sha256(case_id.encode()).digest()[0] / 256


def open_model(path: str) -> ScriptedModel:
    """A model that answers the share of questions right that its weights say."""
    skill = float((Path(path) / "weights.txt").read_text().split()[0])

    def answer(case: Case) -> str:
        return case.references[0] if luck_of(case.id) < skill else "?"

    return ScriptedModel(answer, name=path, sha256=fingerprint(Path(path)), block_size=3)


def tools(skills: Mapping[str, float] = SKILLS) -> Tools:
    return Tools(
        open_model=open_model,
        model_folder=Path,
        model_sha256=lambda path: fingerprint(Path(path)),
        train=trainer(skills),
    )


def carry_out(
    path: Path,
    given: Tools | None = None,
    *,
    run: str = "run",
    open_log: Callable[[Path], RunLog] = RunLog.open,
) -> RunRecord:
    """Carry a pipeline out, or what is left of it, in the folder `run` beside its file."""
    with open_log(path.parent / run) as log:
        return PipelineRun(load(path), log, given or tools()).execute()


class Killed(BaseException):
    """What kill -9 is to a test in the same process: nothing catches it."""


class KilledLog(RunLog):
    """Dies at its n-th event: just before that is written, or just after."""

    left = 0
    before = False

    def append(self, *given: Event, durable: bool = True) -> None:
        for event in given:
            self.left -= 1
            if self.left == 0 and self.before:
                self.end()
            super().append(event, durable=durable)
            if self.left == 0:
                self.end()

    def end(self) -> None:
        raise Killed


def killed_after(n: int, before: bool = False) -> Callable[[Path], RunLog]:
    def open_log(folder: Path) -> RunLog:
        log = KilledLog.open(folder)
        log.left, log.before = n, before
        return log

    return open_log


class HeldLog(KilledLog):
    """Says so when it has written so many events, and waits to be killed."""

    def end(self) -> None:
        sys.stdout.write("held\n")
        sys.stdout.flush()
        signal.pause()


def held_after(events: int) -> Callable[[Path], RunLog]:
    def open_log(folder: Path) -> RunLog:
        log = HeldLog.open(folder)
        log.left = events
        return log

    return open_log


if __name__ == "__main__":  # for tests that kill a process of its own
    carry_out(Path(sys.argv[1]), open_log=held_after(int(sys.argv[2])))
