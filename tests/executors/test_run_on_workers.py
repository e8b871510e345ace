"""`executor:` of a pipeline: the whole run is the one of one process, and a model is looked into in this process."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.support.fake_pipeline import PIPELINE, carry_out, load, open_model, tools, write_pipeline
from tests.support.same_record import comparable
from tests.support.tiny_model import make_tiny_model
from tests.training.test_inspection import INSPECT, Explainer
from tests.training.test_run_real import PIPELINE as REAL
from tests.training.test_run_real import write_rows
from tunegate import processes
from tunegate.cli import main
from tunegate.commands.looked_at import look_at
from tunegate.exceptions import ConfigError
from tunegate.executors.executor import Opened, Opening, Reply, Worker, WorkerLost
from tunegate.executors.model_on_workers import open_on
from tunegate.models.blocks import Block
from tunegate.models.model import Model, ScriptedModel
from tunegate.record.read_run import read_run
from tunegate.training.tools import Tools
from tunegate.trust.allowed import user_trust
from tunegate_suites import wants_of_check


@dataclass(eq=False)
class Helper:
    """A worker in this process with the fake model of the pipeline; it is lost at its n-th block."""

    place: str
    asked: list[tuple[str, str]]
    lost_at: int = 0
    model: list[ScriptedModel] = field(default_factory=list[ScriptedModel])
    begun: int = 0
    closed: bool = False

    def open(self, opening: Opening) -> Opened:
        self.model = [open_model(opening.spec)]
        return Opened(opening.spec, self.model[0].sha256, None, self.model[0].block_size)

    def answer(self, opening: Opening, block: Block) -> Reply:
        self.begun += 1
        if self.begun == self.lost_at or self.closed:
            raise WorkerLost("gone")
        self.asked += [(self.model[0].name, case.id) for case in block.cases]
        return Reply(tuple(block.asked_of(self.model[0])))

    def sha256_now(self, opening: Opening) -> str:
        return str(self.model[0].sha256)

    def close(self) -> None:
        self.closed = True


@dataclass
class Helpers:
    """Two workers for each model, one of which may be lost."""

    lost_at: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    started: list[Helper] = field(default_factory=list[Helper])
    kind: str = "helpers"

    def start(self) -> Sequence[Worker]:
        two = [Helper("one", self.asked, self.lost_at), Helper("two", self.asked)]
        self.started += two
        return two

    def open(self, spec: str) -> Model:
        return open_on(self, Opening(spec))

    @property
    def tools(self) -> Tools:
        return replace(tools(), open_model=self.open, open_here=open_model)


def said(folder: Path) -> str:
    return json.dumps(comparable(folder / "run")).replace(str(folder), "")


@pytest.mark.parametrize("lost_at", [0, 1, 2])
def test_a_run_is_the_same_on_workers(tmp_path: Path, lost_at: int) -> None:
    alone, shared = write_pipeline(tmp_path / "a"), write_pipeline(tmp_path / "b")
    carry_out(alone)
    helpers = Helpers(lost_at)
    run = carry_out(shared, helpers.tools)
    assert said(shared.parent) == said(alone.parent)
    assert max(Counter(helpers.asked).values()) == 1  # two gates of a stage share their answers, as in one process
    assert all(helper.closed for helper in helpers.started)
    gate = run.stages["sft"].attempts[2].gates["facts"]
    assert gate.executor is not None
    assert gate.executor["kind"] == "helpers"


def test_misses_are_explained_in_this_process(tmp_path: Path) -> None:
    explain, helpers = Explainer(), Helpers()
    path = write_pipeline(tmp_path / "project", PIPELINE + INSPECT)
    carry_out(path, replace(helpers.tools, explain=explain))
    assert explain.asked
    assert all(helper.closed for helper in helpers.started)


def test_leaks_are_looked_for_on_the_executor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rows leak, so here the run would end before it opens or trains a model."""
    pytest.importorskip("ray")
    monkeypatch.setattr(processes, "ITEMS_PER_BLOCK", 1)
    path = write_pipeline(tmp_path / "project", PIPELINE + "executor: ray:127.0.0.1:1\n")
    write_rows(path.parent / "train.jsonl", [{"prompt": f"case {n}?", "completion": "yes"} for n in range(8)])
    told = "executor ray: nothing answers at 127.0.0.1:1"
    assert main(["run", str(path)]) == 3
    assert told in capsys.readouterr().err
    assert main(["run", str(path), "--executor", "local"]) == 3
    assert told not in capsys.readouterr().err
    assert read_run(path.parent / "runs" / "small").leaks


class TestFile:
    """What a user writes."""

    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("local", {}),
            ("processes:2", {"processes": 2}),
            ("{processes: 2, timeout_s: 60}", {"processes": 2, "timeout_s": 60.0}),
            ("ray", {"ray": {}}),
            ("ray:10.0.0.1:6379", {"ray": {"address": "10.0.0.1:6379"}}),
            ("{ray: {gpus_per_model: 0.5, cpus_per_model: 2}}", {"ray": {"gpus_per_model": 0.5, "cpus_per_model": 2}}),
        ],
    )
    def test_is_read(self, tmp_path: Path, written: str, meant: dict[str, object]) -> None:
        path = write_pipeline(tmp_path / "project", f"{PIPELINE}executor: {written}\n")
        assert load(path).executor.model_dump(exclude_defaults=True) == meant

    def test_does_not_count_as_another_exam(self, tmp_path: Path) -> None:
        one = write_pipeline(tmp_path / "a", PIPELINE + "executor: processes:2\n")
        other = write_pipeline(tmp_path / "b")
        assert load(one).sha256 == load(other).sha256

    @pytest.mark.parametrize(
        ("written", "told"),
        [
            ("proceses:2", "executor: local, processes:N, ray or ray:HOST:PORT was expected, got 'proceses:2'"),
            ("{processes: 0}", "executor.processes: "),
            ("{processes: 2, ray: {}}", "executor: processes and ray are two executors; name one"),
            ("{ray: {adress: auto}}", "executor.ray.adress: unknown key (did you mean 'address'?)"),
            ("{ray: {gpus_per_model: -1}}", "executor.ray.gpus_per_model: "),
            (
                "{ray: {gpus_per_model: 1.5}}",
                "executor.ray.gpus_per_model: a whole number was expected above 1, got 1.5",
            ),
            ("{ray: {gpus_per_model: 1.0e-9}}", "executor.ray.gpus_per_model: 0 or at least 0.01 was expected"),
            ("{ray: {cpus_per_model: 1.0e-9}}", "executor.ray.cpus_per_model: "),
            ("{ray: }", "executor: ray has no value; write processes: 2, or ray: {}"),
            ("{processes: }", "executor: processes has no value"),
            ("{timeout_s: 60}", "executor: timeout_s is for processes or ray; name one, or leave it out"),
            ("{processes: 2, timeout_s: 1.0e+300}", "executor.timeout_s: "),
        ],
    )
    def test_is_refused_in_one_line(self, tmp_path: Path, written: str, told: str) -> None:
        path = write_pipeline(tmp_path / "project", f"{PIPELINE}executor: {written}\n")
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert told in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_says_that_it_wants_a_cluster(self, tmp_path: Path) -> None:
        path = write_pipeline(tmp_path / "project", f"{PIPELINE}executor: ray:10.0.0.1:6379\n")
        looked = look_at(path, wants_of_check, user_trust())
        assert "a model on 10.0.0.1:6379" in looked.to_json()["wants"]["run"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_run_is_the_same_in_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    said: list[str] = []
    for name, option in (("alone", []), ("both", ["--executor", "processes:2"])):
        place = tmp_path / name
        make_tiny_model(place / "base")
        write_rows(place / "cases.jsonl", [{"id": str(n), "prompt": f"say {n}", "reference": "x"} for n in range(8)])
        write_rows(place / "train.jsonl", [{"prompt": f"tell {n}", "completion": "yes it is"} for n in range(6)])
        text = REAL[: REAL.index("  - name: dpo")].replace("SAVE", "merged")
        (place / "tunegate.yaml").write_text(text)
        monkeypatch.chdir(place)
        assert main(["run", *option]) == 0
        events = json.dumps(comparable(place / "runs" / "tiny"))
        said.append(events.replace(str(place), ""))
    assert said[0] == said[1]
    executor = read_run(tmp_path / "both" / "runs" / "tiny").stages["sft"].attempts[1].gates["talks"].executor
    assert executor is not None
    assert executor["kind"] == "processes"
