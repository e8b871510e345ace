"""A small pipeline in which one thing breaks at one step, and what comes of it: verdict, exit code, record.

`python -m tests.support.faults FOLDER STEP` kills itself at that step, for tests of what a killed run leaves behind.
"""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support import fake_pipeline
from tests.support.check_helpers import AGREES
from tests.support.judge_server import Reply, judge_server
from tunegate.cases.case import Case
from tunegate.checks.check import Check, Sample
from tunegate.checks.judge_admission import default_path, write_admission
from tunegate.checks.outcome import Finding, Verdict
from tunegate.exceptions import Tampered, TunegateError
from tunegate.models.model import GenerationSettings, Model, Response, ScriptedModel
from tunegate.record.event import Event
from tunegate.record.event_log import EVENTS, RawEvent
from tunegate.record.read_run import read_run
from tunegate.record.record import RunRecord
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import PipelineRun
from tunegate.training.tools import Tools
from tunegate.training.trainer import TrainJob, TrainResult

STEPS = (
    "opening",
    "leakage comparison",
    "training",
    "first draw",
    "reference draw",
    "retention draw",
    "confirming draw",
    "diagnosis",
    "promotion",
)
DRAWS = ("first draw", "reference draw", "retention draw", "confirming draw")
ASKING = (*DRAWS, "diagnosis")

PIPELINE = """\
name: small
model: base
leakage: {embed: 0.95}
suites:
  facts: {cases: cases.jsonl, checks: [CHECK], plan: {draw: 5, accept: 4}}
  general:
    cases: cases.jsonl
    checks: [CHECK]
    plan: {draw: 5, accept: 4}
    retention: {max_drop: 10}
    generate: {max_new_tokens: 64}
stages:
  - {name: sft, method: sft, data: train.jsonl, gates: [facts, general], retrain: {max_attempts: 2, rows: [2, 4]}}
promote: {to: production, registry: registry}
"""
"""Attempt 1 misses and is diagnosed; attempt 2 passes its first draw, the retention draw and the confirming draw.

`general` has settings of its own, so the retention draw does not share the answers of `facts`.
"""

METRIC = """\
from pathlib import Path


def right(case, text):
    fault = Path(__file__).with_name("fault.txt")
    if fault.exists():  # strikes one case
        code, scope = fault.read_text(), {}
        fault.unlink()
        exec(code, scope)
        return scope["value"]
    return text == case.references[0]
"""

Answers = Iterator[tuple[int, Response]]


@dataclass(frozen=True)
class Fault:
    """One thing that breaks, and where. What is not set works.

    `enter` is called when the step begins. The others replace what one case, block, training or comparison of that
    step gets: `metric` is code of the user's metric, `answers` what a block of answers becomes, `judge` what a judge's
    server replies, `finding` what a check of somebody else's returns, `opens` is raised instead of opening the model.
    `decides`: it touches what the verdict rests on. `on_record`: a record could be written. `mend` is what is done
    about it before the run is started again, which then ends with `again`.
    """

    name: str
    steps: tuple[str, ...]
    enter: Callable[[Lab], None] | None = None
    metric: str = ""
    answers: Callable[[Answers], Answers] | None = None
    judge: Reply | None = None
    finding: Callable[[list[Finding]], Any] | None = None
    opens: BaseException | None = None
    trains: Callable[[TrainJob], TrainResult] | None = None
    embeds: Callable[[Sequence[str]], Any] | None = None
    decides: bool = True
    on_record: bool = True
    mend: Callable[[Lab], None] | None = None
    again: str = "PASS"


@dataclass(frozen=True)
class Ending:
    """How a run ended, in the words of the table."""

    exit_code: int
    run: RunRecord | None
    error: str = ""

    @property
    def verdict(self) -> str:
        words = {0: "PASS", 1: "FAIL", 2: "refused", 3: "INVALID", 4: "INCONCLUSIVE", 5: "TAMPERED"}
        return {**words, 130: "interrupted", -9: "killed"}[self.exit_code]


def exit_code_of(error: BaseException) -> int:
    """What `tunegate.cli.main` ends with when a command raises this; a test holds the two together."""
    if isinstance(error, TunegateError):
        return error.exit_code
    return 130 if isinstance(error, KeyboardInterrupt) else 3


@dataclass
class Lab:
    """A pipeline on disk, and the run of it in which `fault` strikes at `step` (none: nothing does)."""

    folder: Path
    fault: Fault | None = None
    step: str = ""
    now: str = "opening"
    struck: bool = False
    opened: list[str] = field(default_factory=list)
    real_gmtime = staticmethod(time.gmtime)

    @property
    def path(self) -> Path:
        return self.folder / "tunegate.yaml"

    @property
    def record(self) -> Path:
        return self.folder / "run" / EVENTS

    def write(self, check: str = '{python: "metric:right"}') -> None:
        fake_pipeline.write_pipeline(self.folder, PIPELINE.replace("CHECK", check))
        (self.folder / "metric.py").write_text(METRIC)

    def carry_out(self) -> Ending:
        """Start the run, or go on with it."""
        error: BaseException | None = None
        run: RunRecord | None = None
        try:
            with unlimited_afterwards(), WatchedLog.open(self.folder / "run") as log:
                log.lab = self
                self.enter("opening")
                pipeline = fake_pipeline.load(self.path)
                suites = {name: replace(s, checks=self._checks(s.checks)) for name, s in pipeline.suites.items()}
                run = PipelineRun(replace(pipeline, suites=suites), log, self._tools()).execute()
        except (Exception, KeyboardInterrupt, SystemExit) as raised:
            error = raised
        if error is None:
            assert run is not None
            return Ending((run.verdict or Verdict.INVALID).exit_code, run)
        try:
            return Ending(exit_code_of(error), read_run(self.folder / "run"), str(error))
        except TunegateError:
            return Ending(exit_code_of(error), None, str(error))

    def restore(self) -> None:
        """The fault is gone: what was done to this process is undone, and the fault's own `mend` called."""
        time.gmtime = self.real_gmtime
        if self.fault is not None and self.fault.mend is not None:
            self.fault.mend(self)

    # --- where the run is ---

    def heard(self, event: RawEvent) -> None:
        """The run's own events tell at which step it is."""
        attempt = event.get("attempt")
        match event["event"]:
            case "run_started":
                self.enter("leakage comparison")
            case "attempt_started" if attempt == 2:
                self.enter("training")
            case "gate_started" if attempt != 1:
                names = {"gate": "first draw", "confirm": "confirming draw"}
                self.enter(names.get(event["purpose"], f"{event['purpose']} draw"))
            case "gate_decided" if event["verdict"] == "FAIL":
                self.enter("diagnosis")
            case "run_decided":
                self.enter("promotion")
            case "gate_decided" | "diagnosed" | "trained":
                self.now = "between"
            case _:
                pass

    def enter(self, step: str) -> None:
        self.now = step
        if self.fault is None or step != self.step or self.struck:
            return
        if self.fault.metric:
            (self.folder / "fault.txt").write_text(self.fault.metric)
        if self.fault.enter:
            self.struck = True
            self.fault.enter(self)

    def strikes(self, name: str) -> Any:
        """The fault of this kind if it strikes now, which it does once."""
        given = getattr(self.fault, name, None)
        if given is None or self.struck or self.now != self.step:
            return None
        self.struck = True
        return given

    # --- what may break ---

    def _tools(self) -> Tools:
        works = fake_pipeline.tools({"sft#2": 1.0})
        return replace(
            works,
            open_model=self._open,
            train=self._train,
            embed=self._embed,
            pipeline_sha256=lambda: fake_pipeline.load(self.path).sha256,
        )

    def _open(self, path: str) -> Model:
        self.opened.append(path)
        owners = {2: "diagnosis", 3: "first draw", 4: "reference draw", 5: "retention draw"}  # 1: attempt 1
        owner = owners.get(len(self.opened))
        if self.fault is not None and self.fault.opens is not None and owner == self.step:
            raise self.fault.opens
        return Breakable(fake_pipeline.open_model(path), self)

    def _train(self, job: TrainJob) -> TrainResult:
        train = self.strikes("trains") or fake_pipeline.trainer({"sft#2": 1.0})
        return train(job)

    def _embed(self, texts: Sequence[str]) -> Any:
        return (self.strikes("embeds") or vectors)(texts)

    def _checks(self, checks: Sequence[Check]) -> tuple[Check, ...]:
        return tuple(ForeignCheck(check, self) for check in checks)  # type: ignore[misc]


def vectors(texts: Sequence[str]) -> Any:
    """Embeddings of which no two texts of this pipeline are alike."""
    import numpy

    digests = {text: numpy.frombuffer(hashlib.sha256(text.encode()).digest(), numpy.uint8) for text in texts}
    return {text: (numpy.unpackbits(digest) * 2.0 - 1.0) / 16.0 for text, digest in digests.items()}


class WatchedLog(RunLog):
    """Tells the laboratory of every event that was written."""

    lab: Lab

    def append(self, *given: Event, durable: bool = True) -> None:
        super().append(*given, durable=durable)
        for event in given:
            self.lab.heard(event.to_json())


@dataclass(frozen=True)
class Breakable:
    """A model whose answers to one block may go wrong."""

    model: ScriptedModel
    lab: Lab

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Answers:
        answers = self.lab.strikes("answers")
        good = self.model.generate(cases, settings)
        return answers(good) if answers else good

    score_choices = generate


@dataclass(frozen=True)
class ForeignCheck:
    """A check that may return anything, once."""

    check: Check
    lab: Lab

    def __getattr__(self, name: str) -> Any:
        return getattr(self.check, name)

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        findings = list(self.check.judge(samples))
        broken = self.lab.strikes("finding")
        return broken(findings) if broken else findings


@contextmanager
def judged_by_a_server(lab: Lab) -> Iterator[None]:
    """Write the pipeline with an admitted judge that is right, but for the one reply that the fault is."""

    def answer(request: dict[str, Any], number: int) -> Reply:
        good = "!" in request["messages"][-1]["content"].rpartition("<<<ANSWER")[2]
        verdict = '{"reason": "so it is", "verdict": "%s"}' % ("yes" if good else "no")
        return lab.strikes("judge") or Reply(verdict)

    with judge_server(answer) as server:
        lab.write("{judge: judge.yaml}")
        timeout_s = 2 if lab.fault is not None and lab.fault.judge is not None and lab.fault.judge.never else 30
        options = f"{{base_url: {server.base_url!r}, model: m, max_retries: 0, timeout_s: {timeout_s}, concurrency: 1}}"
        (lab.folder / "rubric.yaml").write_text("criterion: Is the answer right?\nlabels: [yes, no]\n")
        (lab.folder / "judge.yaml").write_text(f"rubric: rubric.yaml\naccept: [yes]\nserver: {options}\n")
        [judge, *_] = fake_pipeline.load(lab.path).suites["facts"].checks
        sha256 = judge.judge_sha256  # type: ignore[attr-defined]
        write_admission(lab.folder / default_path(sha256), sha256, AGREES)
        yield


# --- what is done to the machine ------------------------------------------------------------------------------------


@contextmanager
def unlimited_afterwards() -> Iterator[None]:
    """Whatever limit on the size of files is set within ends here."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fill_the_disk(lab: Lab) -> None:
    """The kernel takes 20 bytes more of the record, or 10 of any file of the registry."""
    room = 10 if lab.now == "promotion" else lab.record.stat().st_size + 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def kill(lab: Lab) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def tamper(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    if old not in text:
        raise Tampered(f"{path}: nothing to change")  # a mistake of the test
    path.write_text(text.replace(old, new, 1))


if __name__ == "__main__":
    Lab(Path(sys.argv[1]), Fault("killed", (sys.argv[2],), enter=kill), sys.argv[2]).carry_out()
