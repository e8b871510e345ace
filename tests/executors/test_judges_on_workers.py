"""`--executor` with a local judge: it answers on the workers that hold the model under test, or on its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.judge_files import admit, make_tiny_judge, write_cases, write_judge, write_labels, write_panel
from tests.support.ray_cluster import Nodes
from tests.support.same_record import comparable
from tests.support.stub_backend import asked, askers, write_stub
from tests.support.tiny_model import make_tiny_model
from tests.training.test_run_real import PIPELINE, write_rows
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.gates.ask import samples_of
from tunegate.models.model import Response
from tunegate.record.read_run import read_run
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

Capture = pytest.CaptureFixture[str]
TWO = ("--executor", "processes:2")


def gate(model: str, *more: str) -> int:
    return main(["gate", model, "--suite", "judged.yaml", *more])


def workers_of(run: str) -> list[Any]:
    facts = read_run(Path(run)).gates["judged"].executor
    assert facts is not None
    return facts["workers"]


def judged(run: str) -> int:
    """The blocks that the workers judged."""
    return sum(worker.get("judged", 0) for worker in workers_of(run))


@pytest.fixture
def subject(project: Path) -> str:
    return write_stub(project / "stub")


@pytest.fixture
def judge(project: Path) -> Path:
    """The folder of a stub that judges."""
    write_judge(write_stub(project / "judge"))
    admit()
    return project / "judge"


def test_a_real_judge_gives_the_same_record(project: Path, subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_judge(str(make_tiny_judge(project / "judge")))
    admit()
    codes = {gate(subject, "--run", "alone"), gate(subject, "--run", "both", *TWO)}
    assert codes == {1}
    assert comparable(Path("both")) == comparable(Path("alone"))
    outcomes = read_run(Path("both")).gates["judged"].outcomes
    assert {outcome.verdict.value for outcome in outcomes} == {"PASS", "FAIL"}
    assert judged("both") == 10  # a block of four answers each


@pytest.mark.slow
def test_both_may_be_real(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    make_tiny_model(Path("model"))
    write_judge(str(make_tiny_judge(project / "judge")))
    admit()
    assert gate("model", "--batch-size", "20", "--run", "alone") == gate(
        "model", "--batch-size", "20", "--run", "both", *TWO
    )
    assert comparable(Path("both")) == comparable(Path("alone"))
    assert judged("both") == 6  # 20 answers are 8, 8 and 4 questions


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_has_its_judge_beside_each_of_its_models(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    judge = project / "judge"
    said: list[str] = []
    for name, option in (("alone", ()), ("both", TWO)):
        place = project / name
        make_tiny_model(place / "base")
        monkeypatch.chdir(place)
        write_rows(place / "cases.jsonl", [{"id": str(n), "prompt": f"say {n}", "reference": "x"} for n in range(16)])
        write_rows(place / "train.jsonl", [{"prompt": f"tell {n}", "completion": "yes it is"} for n in range(6)])
        write_rows(place / "pairs.jsonl", [{"prompt": f"ask {n}", "chosen": "yes", "rejected": "no"} for n in range(6)])
        write_judge(write_stub(judge))
        admit()
        text = PIPELINE.replace('{regex: "(?s)^.{0,500}$"}', "{judge: judge.yaml}").replace("accept: 3", "accept: 1")
        Path("tunegate.yaml").write_text(text.replace("SAVE", "merged"))
        assert main(["run", *option]) in (0, 1)  # as random weights and a stub have it
        said.append(json.dumps(comparable(place / "runs" / "tiny")).replace(str(place), ""))
    assert said[0] == said[1]
    opened = (judge / "opened").read_text().split()
    assert (
        len(set(opened)) == 1 + 3 * 2
    )  # here; beside the copies for the gates of sft, those of dpo, and its diagnosis
    for stage in read_run(Path("runs/tiny")).stages.values():
        executor = stage.attempts[1].gates["talks"].executor
        assert executor is not None
        assert sum(worker.get("judged", 0) for worker in executor["workers"]) == 1


def test_workers_share_the_judging_of_one_block(project: Path, judge: Path) -> None:
    write_stub(judge, delay_s=0.2)
    gate(write_stub(project / "stub", block_size=40), "--run", "run", *TWO)
    assert len(asked(judge)) == 5
    assert len(askers(judge)) == 2
    assert askers(judge) == {int(pid) for pid in (judge / "opened").read_text().split()}  # one copy on each
    assert judged("run") == 5
    assert "blocks judged" in Path("run/report.html").read_text()


@pytest.mark.parametrize("at", [1, 4, 10])
def test_kill_minus_nine_while_it_judges_changes_nothing(project: Path, subject: str, judge: Path, at: int) -> None:
    code = gate(subject, "--run", "alone")
    (judge / "asked.jsonl").unlink()
    write_stub(judge, delay_s=0.02, die=[at])
    assert gate(subject, "--run", "both", *TWO) == code
    assert comparable(Path("both")) == comparable(Path("alone"))
    assert len(asked(judge)) == 11
    assert len([worker for worker in workers_of("both") if "lost" in worker]) == 1


def test_without_workers_the_gate_ends_and_the_same_command_resumes(
    project: Path, subject: str, judge: Path, capsys: Capture
) -> None:
    code = gate(subject, "--run", "alone")
    (judge / "asked.jsonl").unlink()
    write_stub(judge, die=[4, 5])
    assert gate(subject, "--run", "run", *TWO) == 3
    assert "no worker is left to answer: process 1: it was ended by SIGKILL" in capsys.readouterr().err
    begun = read_run(Path("run")).gates["judged"]
    assert len(begun.outcomes) == 12
    assert {one.verdict for one in begun.outcomes} <= {Verdict.PASS, Verdict.FAIL}
    assert gate(subject, "--run", "run", *TWO) == code
    done, alone = (read_run(Path(run)).gates["judged"] for run in ("run", "alone"))
    assert [(one.case_id, one.verdict) for one in done.outcomes] == [
        (one.case_id, one.verdict) for one in alone.outcomes
    ]


def test_answers_that_no_judge_reads_can_be_sent_to_other_processes(judge: Path) -> None:
    """From 20,000 answers in a block on, other processes run the checks."""
    model = SimpleNamespace(name="m", sha256="weights", open_judge=lambda spec: None)
    openers: list[Any] = []
    for name in ("suite.yaml", "judged.yaml"):
        suite = load_suite(Path(name), build_check)
        [sample] = samples_of(suite, model, suite.cases[:1], {suite.cases[0].id: Response("x")})
        openers.append(sample.open_judge)
    assert openers == [None, model.open_judge]


def test_other_weights_in_one_process_are_tampered(subject: str, judge: Path, capsys: Capture) -> None:
    write_stub(judge, sha256=["one", "two"])
    assert gate(subject, *TWO) == 5
    assert "a verdict is about one set of bytes" in capsys.readouterr().err
    write_panel([f"stub:{judge}", write_stub(judge.parent / "other")])
    admit()
    assert gate(subject, "--run", "panel", *TWO) == 5


def test_a_judge_that_one_process_cannot_open_ends_the_gate(subject: str, judge: Path, capsys: Capture) -> None:
    write_stub(judge, refuse="there is no such judge")
    assert gate(subject, "--run", "run", *TWO) == 3
    assert "the judge cannot be opened on the workers: process" in capsys.readouterr().err
    assert not read_run(Path("run")).gates["judged"].outcomes


def test_the_members_of_a_panel_judge_there_too(project: Path) -> None:
    subject, folders = write_stub(project / "stub", block_size=40), [project / "one", project / "two"]
    write_panel([write_stub(folder, delay_s=0.05) for folder in folders] + [f"stub:{folders[0]}"])
    admit()
    code = gate(subject, "--run", "alone")
    here = askers(folders[0])
    assert gate(subject, "--run", "both", *TWO) == code
    assert comparable(Path("both")) == comparable(Path("alone"))
    assert all(len(askers(folder) - here) == 2 for folder in folders)
    assert judged("both") == 15


def test_generated_rows_are_judged_there_too(project: Path, subject: str, judge: Path) -> None:
    words = ["generate", subject, "--prompts", "cases.jsonl", "--checks", "judged.yaml", "--not-in", "judged.yaml"]
    main([*words, "--out", "a.jsonl"])
    here = askers(judge)
    write_stub(judge, delay_s=0.05)
    main([*words, "--out", "b.jsonl", *TWO])
    assert len(askers(judge) - here) == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
class TestCluster:
    """On two nodes of Ray with one core each: a judge beside the model needs no further cores."""

    def test_a_real_judge_gives_the_same_record(
        self, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        write_cases()
        make_tiny_model(Path("model"))
        write_judge(str(make_tiny_judge(tmp_path / "judge")))
        admit()
        command = [sys.executable, "-c", "from tunegate.cli import console_main; console_main()", "gate", "model"]
        command += ["--suite", "judged.yaml", "--batch-size", "20"]
        codes = [
            subprocess.run([*command, "--run", run, *more], check=False).returncode
            for run, more in (("alone", []), ("both", ["--executor", f"ray:{nodes.cluster.address}"]))
        ]
        assert codes[0] == codes[1]
        assert comparable(Path("both")) == comparable(Path("alone"))
        assert judged("both") == 6
        assert len({worker["place"] for worker in workers_of("both")}) == 2

    def test_a_node_killed_while_it_judges_changes_nothing(
        self, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write_cases()
        folder = tmp_path / "judge"
        write_judge(write_stub(folder))
        admit()
        stub = write_stub(tmp_path / "stub", block_size=40)
        code = gate(stub, "--run", "alone")
        (folder / "asked.jsonl").unlink()
        write_stub(folder, delay_s=1.0)

        def kill() -> None:
            while len(asked(folder)) < 3:
                time.sleep(0.01)
            nodes.kill(0)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        try:
            assert gate(stub, "--run", "both", "--executor", f"ray:{nodes.cluster.address}") == code
        finally:
            killer.join()
            nodes.replace(0)
        assert comparable(Path("both")) == comparable(Path("alone"))
        assert len(asked(folder)) == 6
        assert [bool(worker.get("lost")) for worker in workers_of("both")].count(True) == 1

    def test_other_weights_on_a_node_are_tampered(
        self, nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write_labels()
        write_judge(write_stub(tmp_path / "judge", sha256=["one", "two"]))
        command = ["judge", "judge.yaml", "--labels", "labels.jsonl"]
        assert main([*command, "--executor", f"ray:{nodes.cluster.address}"]) == 5


class TestMeasuring:
    """`tunegate judge --executor`."""

    @pytest.fixture(autouse=True)
    def _labels(self, project: Path) -> None:
        write_labels()

    @pytest.mark.slow
    def test_a_real_judge_gets_the_same_admission(
        self, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
    ) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        write_judge(str(make_tiny_judge(project / "judge")))
        records: list[Any] = []
        for more in ((), TWO):
            assert main(["judge", "judge.yaml", "--labels", "labels.jsonl", "--out", "admitted.json", *more]) == 1
            records.append(json.loads(Path("admitted.json").read_text()))
            Path("admitted.json").unlink()
        alone, both = records
        assert sum(worker.get("judged", 0) for worker in both.pop("executor")["workers"]) == 13
        for name in ("made", "record_sha256"):
            del alone[name], both[name]
        assert both == alone
        assert both["figures"]["invalid"] == 0
        assert "tunegate judge: answered by judge.yaml, 2 processes" in capsys.readouterr().err

    def test_a_kill_changes_nothing(self, project: Path, capsys: Capture) -> None:
        folder = project / "judge"
        write_judge(write_stub(folder))
        said: list[Any] = []
        for plan, more in (({}, ()), ({"die": [13 + 3]}, TWO)):
            write_stub(folder, delay_s=0.02, **plan)
            main(["judge", "judge.yaml", "--labels", "labels.jsonl", "--json", *more])
            said.append(json.loads(capsys.readouterr().out))
        assert said[0]["counts"] == said[1]["counts"]
        assert len(asked(folder)) == 13 + 14

    def test_without_workers_nothing_is_measured(self, project: Path, capsys: Capture) -> None:
        """Answers without a verdict would count against the judge."""
        write_judge(write_stub(project / "judge", die=[10, 11]))
        assert main(["judge", "judge.yaml", "--labels", "labels.jsonl", *TWO]) == 3
        assert "no worker is left to answer" in capsys.readouterr().err
        assert not Path(".tunegate").exists()

    @pytest.mark.parametrize("more", [TWO, ("--executor", "ray")])
    def test_a_judge_without_a_local_model_takes_none(self, project: Path, capsys: Capture, more: tuple[str]) -> None:
        Path("judge.yaml").write_text('{"compare": {"features": ["contains"], "fitted": "weights.json"}}')
        assert main(["judge", "judge.yaml", "--labels", "labels.jsonl", *more]) == 2
        said = capsys.readouterr().err
        assert "--executor: only for judges with a local `model`, unlike judge.yaml; leave it out" in said
        assert len(said.splitlines()) == 1
