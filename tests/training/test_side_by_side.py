"""Attempts trained at once: those whose settings depend on no outcome, with the record of one after the other."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import (
    PIPELINE,
    Killed,
    attempt_of,
    carry_out,
    killed_after,
    open_model,
    tools,
    trainer,
    write_pipeline,
)
from tests.support.same_record import comparable
from tests.support.tiny_model import make_tiny_model
from tests.training.test_run import essence
from tests.training.test_run_real import PIPELINE as REAL
from tests.training.test_search import MISS, RETRAIN, SPEC, skilled
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.commands.run import _places
from tunegate.executors.processes import Processes
from tunegate.ledger.ledger import Ledger
from tunegate.models.model import ScriptedModel
from tunegate.pipeline.ladders import Settings, apply, first_settings
from tunegate.pipeline.retrain_spec import RetrainSpec
from tunegate.record.event_log import read_events
from tunegate.record.read_run import read_run
from tunegate.training.search import Trial, choose, settings_ahead
from tunegate.training.side_by_side import TrainingProcesses, visible_gpus
from tunegate.training.tools import Tools
from tunegate.training.trainer import Trainer, TrainJob, TrainResult, checkpoints_of

pytest.importorskip("optuna")


# --- which attempts are known ahead ----------------------------------------------------------------------------------


@given(st.integers(0, 2**63), st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=20, deadline=None)
def test_the_first_three_are_those_of_the_search_whatever_comes_of_them(seed: int, luck: random.Random) -> None:
    known = settings_ahead(SPEC, [first_settings(SPEC)], lambda number: seed + number)
    settings, trials = first_settings(SPEC), list[Trial]()
    for number in (1, 2):
        trials.append(Trial(settings, luck.choice([-1.0, 0.0, luck.uniform(-1, 0.1)])))
        settings = apply(choose(MISS, trials, SPEC, seed + number), settings)
        assert settings == known[number - 1]
    assert settings_ahead(SPEC, [one.settings for one in trials], lambda number: seed + number) == known[1:]


def test_the_fourth_depends_on_the_three_before_it() -> None:
    assert not settings_ahead(SPEC, [Settings(rows=rows) for rows in (10, 20, 40)], lambda number: number)
    spec = SPEC.model_copy(update={"epochs": [float(n) for n in range(1, 30)]})
    tried = [Settings(rows=10, epochs=float(n), learning_rate=1e-3) for n in (1, 9, 20)]

    def fourth(best: int) -> Settings:
        trials = [Trial(one, 0.0 if number == best else -0.9) for number, one in enumerate(tried)]
        return apply(choose(MISS, trials, spec, 5), tried[-1])

    assert len({fourth(best) for best in range(3)}) > 1


@pytest.mark.parametrize(
    "spec",
    [
        SPEC.model_copy(update={"search": "ladders"}),
        SPEC.model_copy(update={"on_noise": "redraw"}),
        SPEC.model_copy(update={"repair": [0.0, 0.2]}),
        SPEC.model_copy(update={"max_attempts": 1}),
    ],
)
def test_none_is_known_where_an_outcome_decides(spec: RetrainSpec) -> None:
    assert not settings_ahead(spec, [first_settings(spec)], lambda number: number)


def test_no_more_are_known_than_there_may_be() -> None:
    spec = SPEC.model_copy(update={"max_attempts": 2})
    assert len(settings_ahead(spec, [first_settings(spec)], lambda number: number)) == 1
    small = RetrainSpec(rows=[1, 2], search="optuna")
    assert settings_ahead(small, [Settings(rows=1)], lambda number: number) == [Settings(rows=2)]


# --- a run -----------------------------------------------------------------------------------------------------------


@dataclass
class Rehearsed:
    """A training that ends when its result is asked for, or when a later one ends: by a script."""

    job: TrainJob
    train: Trainer
    place: Side
    done: TrainResult | None = None
    stopped: bool = False

    @property
    def is_running(self) -> bool:
        return self.done is None

    def result(self) -> TrainResult | None:
        self.place.running.remove(attempt_of(self.job))
        self.place.run_first()
        if attempt_of(self.job) in self.place.killed:
            return None
        return self.done or self.train(self.job)

    def stop(self) -> None:
        self.stopped = True
        self.place.running.remove(attempt_of(self.job))


@dataclass
class Side:
    """Trainings side by side without a process; those in `early` end before the one that is waited for."""

    train: Trainer
    places: int = 3
    early: frozenset[str] = frozenset()
    killed: frozenset[str] = frozenset()
    running: list[str] = field(default_factory=list[str])
    begun: list[Rehearsed] = field(default_factory=list[Rehearsed])
    most: int = 0

    def begin(self, job: TrainJob) -> Rehearsed:
        self.running.append(attempt_of(job))
        self.most = max(self.most, len(self.running))
        self.begun.append(Rehearsed(job, self.train, self))
        return self.begun[-1]

    def run_first(self) -> None:
        for one in self.begun:
            if attempt_of(one.job) in self.early and one.done is None:
                one.done = self.train(one.job)

    @property
    def names(self) -> list[str]:
        return [attempt_of(one.job) for one in self.begun]


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    text = PIPELINE.replace("retrain: {max_attempts: 3, rows: [2, 4, 8]}", RETRAIN)
    return write_pipeline(tmp_path / "project", text, bank=120)


def passes_at(number: int) -> Trainer:
    return trainer({f"sft#{number}": 1.0, "align#1": 1.0})


def beside(place: Side) -> Tools:
    return replace(tools(), train=place.train, side_by_side=place)


def said(folder: Path, run: str) -> str:
    return json.dumps(comparable(folder / run)).replace(str(folder / run), "")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(("passing", "places"), [(1, 3), (2, 2), (3, 3), (4, 2), (9, 8)])
def test_the_record_is_that_of_one_after_the_other(pipeline: Path, passing: int, places: int) -> None:
    alone = carry_out(pipeline, replace(tools(), train=passes_at(passing)), run="alone")
    for early in (frozenset[str](), frozenset({"sft#3"}), frozenset({"sft#2", "sft#3"})):
        place = Side(passes_at(passing), places, early)
        run = carry_out(pipeline, beside(place), run="beside")
        assert essence(run) == essence(alone)
        assert said(pipeline.parent, "beside") == said(pipeline.parent, "alone")
        assert files(pipeline.parent / "beside") == files(pipeline.parent / "alone")
        assert (place.running, place.most) == ([], min(places, 3))
        wanted = ["sft#1", "sft#2", "sft#3"] if places > 2 or passing > 1 else ["sft#1", "sft#2"]
        assert place.names == wanted
        assert [attempt_of(one.job) for one in place.begun if one.stopped] == wanted[passing:]
        removed = pipeline.parent / "beside"
        removed.rename(pipeline.parent / f"done-{len(early)}")


def test_a_later_one_that_passes_early_does_not_overtake(pipeline: Path) -> None:
    place = Side(trainer({"sft#2": 1.0, "sft#3": 1.0, "align#1": 1.0}), early=frozenset({"sft#3"}))
    run = carry_out(pipeline, beside(place))
    assert sorted(run.stages["sft"].attempts) == [1, 2]
    asked = [gate.ledger for gate in run.stages["sft"].attempts[2].gates.values()]
    assert all(one is None or one.lineage == 0 for one in asked)


@pytest.mark.parametrize(
    "edit",
    [
        (RETRAIN, RETRAIN.replace(", search: optuna", "")),
        (RETRAIN, RETRAIN.replace("search", "on_noise: redraw, search")),
        ("method: sft\n", "method: sft\n    launcher: {num_processes: 2}\n"),
    ],
)
def test_what_may_depend_on_an_outcome_waits(pipeline: Path, edit: tuple[str, str]) -> None:
    text = pipeline.read_text()
    assert edit[0] in text
    pipeline.write_text(text.replace(*edit))
    place = Side(passes_at(2))
    carry_out(pipeline, beside(place))
    assert place.begun == []


@pytest.mark.parametrize("places", [0, 1])
def test_without_a_second_place_none_is_begun_ahead(pipeline: Path, places: int) -> None:
    place = Side(passes_at(9), places)
    run = carry_out(pipeline, beside(place))
    assert place.begun == []
    assert len(run.stages["sft"].attempts) > 1


def test_a_training_on_other_settings_than_the_diagnosis_chose_is_not_used(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the settings that were known ahead should be wrong, the attempt is trained in its turn."""
    alone = carry_out(pipeline, replace(tools(), train=passes_at(9)), run="alone")

    def wrong(spec: RetrainSpec, tried: list[Settings], seed: Callable[[int], int]) -> list[Settings]:
        return [replace(one, epochs=7.0) for one in settings_ahead(spec, tried, seed)]

    monkeypatch.setattr("tunegate.training.stage_diagnosis.settings_ahead", wrong)
    place = Side(passes_at(9))
    run = carry_out(pipeline, beside(place), run="beside")
    assert [attempt_of(one.job) for one in place.begun if one.stopped] == ["sft#2", "sft#3"]
    assert essence(run) == essence(alone)
    assert said(pipeline.parent, "beside") == said(pipeline.parent, "alone")


@pytest.mark.parametrize("killed", ["sft#1", "sft#2"])
def test_one_that_is_killed_beside_others_is_trained_alone(pipeline: Path, killed: str) -> None:
    alone = carry_out(pipeline, replace(tools(), train=passes_at(9)), run="alone")
    place = Side(passes_at(9), killed=frozenset({killed}))
    run = carry_out(pipeline, beside(place), run="beside")
    assert essence(run) == essence(alone)
    assert place.names == ["sft#1", "sft#2", "sft#3"]  # and from then on, none is trained beside another
    assert place.running == []


def test_a_place_less_stops_only_what_still_runs(pipeline: Path) -> None:
    """A node is lost while two later trainings were begun, of which one has ended: the model gets the place of that."""

    @dataclass
    class Shrinking(Side):
        def run_first(self) -> None:
            super().run_first()
            self.places = 2

    trained: list[str] = []

    def train(job: TrainJob) -> TrainResult:
        trained.append(attempt_of(job))
        return skilled(job)

    place = Shrinking(train, early=frozenset({"sft#2"}))
    carry_out(pipeline, beside(place))
    assert trained[:3] == ["sft#2", "sft#1", "sft#3"]
    assert place.names == ["sft#1", "sft#2", "sft#3"]


def test_an_error_of_a_training_is_on_record_in_its_turn(pipeline: Path) -> None:
    def train(job: TrainJob) -> TrainResult:
        return TrainResult(error="diverged", failure="diverged") if attempt_of(job) == "sft#2" else skilled(job)

    alone = carry_out(pipeline, replace(tools(), train=train), run="alone")
    run = carry_out(pipeline, beside(Side(train)), run="beside")
    assert run.stages["sft"].attempts[2].error is not None
    assert said(pipeline.parent, "beside") == said(pipeline.parent, "alone")
    assert essence(run) == essence(alone)


def test_who_trained_is_on_record_and_in_the_report(pipeline: Path) -> None:
    def train(job: TrainJob) -> TrainResult:
        fails = attempt_of(job) == "sft#2"
        result = TrainResult(error="diverged", failure="diverged") if fails else skilled(job)
        lost = [{"place": "process 2", "lost": "gone"}] if fails else []
        return replace(result, executor={"kind": "processes", "workers": [*lost, {"place": "process 1"}]})

    carry_out(pipeline, beside(Side(train)))
    attempts = read_run(pipeline.parent / "run").stages["sft"].attempts
    told = {number: (one.executor or {}).get("workers") for number, one in attempts.items()}
    assert told[1] == [{"place": "process 1"}]
    assert told[2] == [{"place": "process 2", "lost": "gone"}, {"place": "process 1"}]
    assert main(["report", str(pipeline.parent / "run")]) == 0
    page = (pipeline.parent / "run" / "report.html").read_text(encoding="utf-8")
    rows = re.findall(r'<th scope="row">trained by \(processes\)</th><td>(.*?)</td>', page)
    assert rows[:2] == ["process 1", "process 2: lost: gone; process 1"]


def test_a_kill_at_any_event_changes_nothing(pipeline: Path) -> None:
    whole = essence(carry_out(pipeline, replace(tools(), train=passes_at(3)), run="whole"))
    total = len(list(read_events(pipeline.parent / "whole")))
    for count, n in enumerate(range(4, total, 9)):
        place = Side(passes_at(3))
        with pytest.raises(Killed):
            carry_out(pipeline, beside(place), run=f"run-{n}", open_log=killed_after(n))
        assert place.running == []
        later = beside(Side(passes_at(3))) if count % 2 else replace(tools(), train=passes_at(3))
        run = carry_out(pipeline, later, run=f"run-{n}")
        assert essence(run) == whole
        assert {path.name for path in (pipeline.parent / f"run-{n}" / "sft").iterdir()} == {
            f"attempt-{number}" for number in run.stages["sft"].attempts
        }


# --- a run that stops before its verdict, or has too few cases --------------------------------------------------------


class Checkpointed(Side):
    """Each training leaves a checkpoint as soon as it has begun."""

    def begin(self, job: TrainJob) -> Rehearsed:
        (checkpoints_of(job) / "checkpoint-1").mkdir(parents=True, exist_ok=True)
        return super().begin(job)


def open_broken(path: str) -> ScriptedModel:
    def answer(case: Case) -> str:
        raise RuntimeError("the model is broken")

    return ScriptedModel(answer, name=path, sha256=open_model(path).sha256)


@pytest.mark.parametrize("waits_for", ["a model that answers", "people"])
def test_what_was_begun_ahead_stays_for_a_run_that_will_go_on(pipeline: Path, waits_for: str) -> None:
    said: list[str] = []
    place = Checkpointed(passes_at(1))
    given = replace(beside(place), say=said.append)
    if waits_for == "people":
        pipeline.write_text(pipeline.read_text().replace("[exact]", "[{human: labels.jsonl}]", 1))
        verdict = carry_out(pipeline, given).verdict
    else:
        verdict = carry_out(pipeline, replace(given, open_model=open_broken)).verdict
    assert verdict is (Verdict.INCONCLUSIVE if waits_for == "people" else Verdict.INVALID)
    assert place.running == []
    assert not [line for line in said if "removed" in line]
    left = {path.parent.parent.name for path in pipeline.parent.glob("run/sft/*/*/checkpoint-1")}
    assert left == {"attempt-1", "attempt-2", "attempt-3"}


def test_the_same_command_resumes_what_was_begun_ahead(pipeline: Path) -> None:
    carry_out(pipeline, replace(beside(Checkpointed(passes_at(2))), open_model=open_broken))
    said: list[str] = []
    carry_out(pipeline, replace(beside(Checkpointed(passes_at(2))), say=said.append))
    resumed = [line.partition(": ")[0] for line in said if "resuming the training from its checkpoint" in line]
    assert sorted(resumed) == ["sft#2", "sft#3"]
    assert "sft#3: its training was begun ahead, and is not needed: removed" in said


def test_what_was_begun_ahead_is_removed_if_the_bank_is_too_small_to_go_on(tmp_path: Path) -> None:
    text = PIPELINE.replace("retrain: {max_attempts: 3, rows: [2, 4, 8]}", RETRAIN)
    path = write_pipeline(tmp_path / "project", text, bank=12)
    said: list[str] = []
    run = carry_out(path, replace(beside(Side(passes_at(9))), say=said.append))
    assert run.verdict is Verdict.INCONCLUSIVE
    assert run.reason.startswith("stage sft: gate sft#2")
    assert [line for line in said if "removed" in line] == [
        f"sft#{number}: its training was begun ahead, and is not needed: removed" for number in (2, 3)
    ]
    assert [folder.name for folder in (path.parent / "run" / "sft").iterdir()] == ["attempt-1"]


# --- processes -------------------------------------------------------------------------------------------------------

STUB = """
import json, os, sys, time
from pathlib import Path
job = json.loads(Path(sys.argv[1]).read_text())
told = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
Path(sys.argv[1]).with_name("told.json").write_text(json.dumps(told | {"pid": os.getpid()}))
if job["label"] == "waits":
    time.sleep(600)
if job["label"] == "dies":
    os.kill(os.getpid(), 9)
failure = "out of memory" if job["label"] == "large" else "other"
error = None if job["label"] == "ends" else "no"
Path(sys.argv[2]).write_text(json.dumps({"log": [], "summary": {}, "error": error, "failure": failure}))
"""


def job_in(folder: Path, label: str) -> TrainJob:
    folder.mkdir()
    return TrainJob("sft", "base", "data.jsonl", str(folder / "model"), 1, label=label)


def told(folder: Path) -> dict[str, str]:
    while True:
        with suppress(OSError, ValueError):
            return json.loads((folder / "told.json").read_text())
        time.sleep(0.01)


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.usefixtures("no_threads")
def test_each_process_has_its_share_of_the_machine(tmp_path: Path) -> None:
    place = TrainingProcesses(2, cores=9, gpus=("3", "5"), command=(sys.executable, "-c", STUB))
    one, two = (place.begin(job_in(tmp_path / name, "waits")) for name in "ab")
    try:
        assert one.is_running
        assert [told(tmp_path / name)["OMP_NUM_THREADS"] for name in "ab"] == ["4", "4"]
        assert [told(tmp_path / name)["CUDA_VISIBLE_DEVICES"] for name in "ab"] == ["3", "5"]
        one.stop()
        assert not one.is_running
        three = place.begin(job_in(tmp_path / "c", "ends"))
        assert told(tmp_path / "c")["CUDA_VISIBLE_DEVICES"] == "3"  # the place that became free
        result = three.result()
        assert result is not None
        assert (result.error, result.seconds > 0) == (None, True)
        assert result.executor == {"kind": "processes", "workers": [{"place": "process 1"}]}
    finally:
        two.stop()
    for name in "ab":
        with pytest.raises(ProcessLookupError):
            os.kill(int(told(tmp_path / name)["pid"]), 0)


def test_no_place_is_kept_for_trainings_that_never_run_at_once() -> None:
    for count, places in ((2, 2), (3, 3), (8, 3)):
        place = _places(Processes(count), print)
        assert place is not None
        assert place.places == places
    assert _places(Processes(1), print) is None


def test_threads_that_are_set_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    place = TrainingProcesses(2, cores=8, command=(sys.executable, "-c", STUB))
    assert place.begin(job_in(tmp_path / "a", "ends")).result() is not None
    assert told(tmp_path / "a")["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize(("label", "is_told"), [("dies", False), ("large", False), ("diverges", True)])
def test_what_others_may_be_the_cause_of_is_no_result(tmp_path: Path, label: str, is_told: bool) -> None:
    place = TrainingProcesses(2, cores=2, command=(sys.executable, "-c", STUB))
    assert (place.begin(job_in(tmp_path / "a", label)).result() is not None) == is_told


def test_gpus_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-abc")
    assert visible_gpus() == ("2", "GPU-abc")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == ()


WANTING = """
import sys
from pathlib import Path
from tunegate.training.side_by_side import TrainingProcesses
from tunegate.training.trainer import TrainJob
place = TrainingProcesses(2, cores=2)
running = []
for name in "ab":
    folder = Path(sys.argv[1], name)
    folder.mkdir()
    running.append(place.begin(TrainJob("sft", "base", "data.jsonl", str(folder / "model"), 1)))
    print(running[-1]._process.pid, flush=True)
running[0].result()
"""


def test_no_training_outlives_the_run(tmp_path: Path) -> None:
    """kill -9 of the run, while its trainings import."""
    run = subprocess.Popen([sys.executable, "-c", WANTING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    pids = [int(run.stdout.readline()) for _ in "ab"]
    run.kill()
    run.wait()
    run.stdout.close()
    until = time.monotonic() + 60
    while any(map(is_alive, pids)):
        assert time.monotonic() < until, "a training outlived its run"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


# --- real trainings --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("pattern", ["(?s)^.{0,500}$", "^never$"], ids=["the first passes", "none passes"])
def test_real_trainings_leave_the_same_weights_and_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folders: list[Path] = []
    for name, option in (("alone", []), ("beside", ["--executor", "processes:3"])):
        place = project(tmp_path / name, pattern)
        monkeypatch.chdir(place)
        assert main(["run", *option]) == (1 if pattern == "^never$" else 0)
        folders.append(place)
    alone, both = (json.dumps(comparable(one / "runs" / "tiny")).replace(str(one), "") for one in folders)
    assert both == alone
    runs = [read_run(one / "runs" / "tiny") for one in folders]
    weights = [[attempt.model_sha256 for attempt in run.stages["sft"].attempts.values()] for run in runs]
    assert weights[0] == weights[1]
    assert len(weights[0]) == (4 if runs[0].verdict is Verdict.FAIL else 1)
    assert "sft#3: " in capsys.readouterr().err
    told = [[attempt.executor for attempt in run.stages["sft"].attempts.values()] for run in runs]
    assert not any(told[0])
    assert [bool(one) for one in told[1]] == [True, True, True, False][: len(weights[0])]  # the fourth is alone
    assert {attempt.summary["threads"] for run in runs for attempt in run.stages["sft"].attempts.values()} == {1}
    assert main(["report", str(folders[1] / "runs" / "tiny")]) == 0
    page = (folders[1] / "runs" / "tiny" / "report.html").read_text(encoding="utf-8")
    assert "trained by (processes)" in page
    assert "answered by (processes)" in page


def project(place: Path, pattern: str, args: str = "max_steps: 2") -> Path:
    """A stage of a tiny model whose first three attempts depend on no outcome, and whose gates want this pattern."""
    make_tiny_model(place / "base")
    write_jsonl(place / "cases.jsonl", [{"id": str(n), "prompt": f"say {n}", "reference": "x"} for n in range(24)])
    write_jsonl(place / "train.jsonl", [{"prompt": f"tell {n}", "completion": "yes it is"} for n in range(6)])
    text = REAL[: REAL.index("  - name: dpo")].replace("SAVE", "merged").replace("(?s)^.{0,500}$", pattern)
    retrain = "    retrain: {max_attempts: 4, rows: [2, 4, 6], learning_rate: [1e-3, 1e-4], search: optuna}\n"
    (place / "tunegate.yaml").write_text(text.replace("max_steps: 2", args) + retrain)
    return place


def pid_of(attempt: Path) -> int:
    """The process that trains an attempt, by its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{attempt.parent.name}/{attempt.name}/job.json" in (folder / "cmdline").read_text() and (
                (folder / "cwd").resolve() == attempt.parents[3]
            ):
                return int(folder.name)
    raise AssertionError(f"nobody trains {attempt}")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill_while_two_train_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`kill -9` of the run when both trainings have left a checkpoint, at which each is held; then the same
    command. The record is that of an undisturbed run, one after the other."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = ["run", "--ledger", "ledger"]
    command = [*alone, "--executor", "processes:2"]
    args = "max_steps: 40, save_steps: 4, train_sampling_strategy: random"
    whole, killed = (project(tmp_path / name, "^never$", args) for name in ("whole", "killed"))
    for place in (whole, killed):
        text = (place / "tunegate.yaml").read_text()
        (place / "tunegate.yaml").write_text(text.replace("max_attempts: 4", "max_attempts: 2"))
    run = subprocess.Popen(
        [sys.executable, "-c", "import sys, tunegate.cli; tunegate.cli.main(sys.argv[1:])", *command], cwd=killed
    )
    attempts = [killed / "runs" / "tiny" / "sft" / f"attempt-{number}" for number in (1, 2)]
    until, held = time.monotonic() + 400, dict[Path, int]()
    while len(held) < 2:
        assert run.poll() is None, "the run ended before both had a checkpoint"
        assert time.monotonic() < until, "no checkpoints"
        time.sleep(0.01)
        for one in attempts:
            if one not in held and list(one.glob("model.checkpoints/checkpoint-*/tunegate.json")):
                held[one] = pid_of(one)
                os.kill(held[one], signal.SIGSTOP)
    run.kill()
    run.wait()
    for pid in held.values():
        os.kill(pid, signal.SIGCONT)
    while any(map(is_alive, held.values())):
        assert time.monotonic() < until, "a training outlived its run"
        time.sleep(0.01)
    assert not read_run(killed / "runs" / "tiny").stages["sft"].attempts[1].trained
    capfd.readouterr()
    for place, words in ((killed, command), (whole, alone)):
        monkeypatch.chdir(place)
        assert main(words) == 1
        said = capfd.readouterr().err
        assert ("sft#1: resuming the training from its checkpoint, on" in said) == (place is killed)
        assert ("sft#2: resuming the training from its checkpoint, on" in said) == (place is killed)
    one, other = (read_run(place / "runs" / "tiny") for place in (killed, whole))
    assert essence(one) == essence(other)
    for ours, theirs in zip(*(run.stages["sft"].attempts.values() for run in (one, other)), strict=True):
        assert (ours.model_sha256, ours.rows, ours.data_sha256) == (
            theirs.model_sha256,
            theirs.rows,
            theirs.data_sha256,
        )
        assert len(ours.log) == 41
        assert ours.log[:40] == theirs.log[:40]  # after them, TRL sums up the last sitting
    kinds = [[event["event"] for event in read_events(place / "runs" / "tiny")] for place in (killed, whole)]
    for kind in ("attempt_started", "rows_written", "trained", "gate_started", "gate_decided", "diagnosed"):
        assert kinds[0].count(kind) == kinds[1].count(kind), kind
    ledgers = [Ledger(place / "ledger").read().entries for place in (killed, whole)]
    drawn, others = ([replace(entry.drawn, run="") for entry in ledger] for ledger in ledgers)
    assert len(drawn) == 2
    assert drawn == others
