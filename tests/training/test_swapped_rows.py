"""Rows, jobs and folders of an attempt that are not what the run wrote: never trained on, and never deleted through."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.support.fake_pipeline import carry_out, tools, trainer, write_pipeline
from tests.support.trainer_jobs import MakeJob
from tunegate.checks.outcome import Verdict
from tunegate.data.training_data import Example
from tunegate.exceptions import Tampered
from tunegate.models.fingerprint import file_sha256
from tunegate.record.read_run import read_run
from tunegate.training.attempt_folder import prepare
from tunegate.training.trainer import SubprocessTrainer, TrainJob, TrainResult, checkpoints_of
from tunegate_trainers import process

OTHER_ROW = '{"prompt": "Swapped?", "completion": "in"}\n'


def test_rows_that_were_swapped_while_it_trained_end_the_run(tmp_path: Path) -> None:
    train = trainer()

    def swapped(job: TrainJob) -> TrainResult:
        result = train(job)
        Path(job.data).write_text(OTHER_ROW)
        return result

    path = write_pipeline(tmp_path / "project")
    with pytest.raises(Tampered, match=r"sft/attempt-1/data\.jsonl: the file changed: it does not have the rows"):
        carry_out(path, replace(tools(), train=swapped))
    run = read_run(path.parent / "run")
    assert not run.stages["sft"].attempts[1].trained
    assert carry_out(path).verdict is not None  # written anew, it goes on


def test_the_rows_of_an_attempt_are_on_record(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project")
    run = carry_out(path)
    attempts = [(stage.name, attempt) for stage in run.stages.values() for attempt in stage.attempts.values()]
    for stage, attempt in attempts:
        data = run.folder / stage / f"attempt-{attempt.number}" / "data.jsonl"
        assert attempt.data_sha256 == file_sha256(data)


def written(job: TrainJob) -> tuple[Path, TrainJob]:
    folder = Path(job.data).parent
    job = replace(job, data_sha256=file_sha256(Path(job.data)))
    (folder / "job.json").write_text(json.dumps(asdict(job)))
    return folder, job


def refused(folder: Path, sha256: str | None = None) -> str:
    assert process.main(folder / "job.json", folder / "result.json", job_sha256=sha256) == 1
    return json.loads((folder / "result.json").read_text())["error"]


def test_a_training_refuses_other_rows_than_its_job_names(make_job: MakeJob) -> None:
    folder, job = written(make_job())
    with Path(job.data).open("a") as data:
        data.write(OTHER_ROW)
    assert "out.jsonl: the file changed: it does not have the rows" in refused(folder)
    assert not Path(job.output).exists()


def test_a_training_refuses_another_job_than_was_written(make_job: MakeJob) -> None:
    folder, job = written(make_job())
    sha256 = file_sha256(folder / "job.json")
    (folder / "job.json").write_text(json.dumps(asdict(replace(job, data_sha256=None))))
    assert "job.json: the file changed: it is not the job that was written for this training" in refused(folder, sha256)


def test_the_hash_of_the_job_goes_where_no_file_can_be_swapped(tmp_path: Path) -> None:
    code = (
        "import hashlib, json, sys; text = open(sys.argv[1], 'rb').read(); "
        "error = None if hashlib.sha256(text).hexdigest() == sys.argv[3] else 'other'; "
        "json.dump({'log': [], 'summary': {}, 'error': error, 'failure': 'other'}, open(sys.argv[2], 'w'))"
    )
    job = TrainJob("sft", "base", "data.jsonl", str(tmp_path / "model"), 7)
    assert SubprocessTrainer((sys.executable, "-c", code))(job).error is None


# --- links ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["sft", "sft/attempt-1"])
def test_nothing_is_deleted_behind_a_link_that_stands_for_a_folder(link: str, tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project")
    theirs = tmp_path / "theirs"
    (theirs / "attempt-1").mkdir(parents=True)
    for file in (theirs / "thesis.txt", theirs / "attempt-1" / "thesis.txt"):
        file.write_text("three years of work")
    place = path.parent / "run" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(theirs)
    with pytest.raises(Tampered, match=rf"run/{link}: a link replaced the run's folder"):
        carry_out(path)
    assert sorted(file.name for file in theirs.rglob("*")) == ["attempt-1", "thesis.txt", "thesis.txt"]


def test_checkpoints_behind_a_link_are_neither_used_nor_deleted(tmp_path: Path) -> None:
    job = TrainJob("sft", "base", str(tmp_path / "a/data.jsonl"), str(tmp_path / "a/model"), 1)
    examples = (Example(1, "a", {"completion": "b"}),)
    assert not prepare(tmp_path / "a", job, examples, {})
    theirs = tmp_path / "theirs" / "checkpoint-7" / "weights"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    checkpoints_of(job).symlink_to(theirs.parents[1])
    assert not prepare(tmp_path / "a", job, examples, {})
    assert not checkpoints_of(job).is_symlink()
    assert theirs.read_text() == "theirs"


def test_a_run_folder_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project")
    (tmp_path / "disk").mkdir()
    (path.parent / "run").symlink_to(tmp_path / "disk")
    assert carry_out(path).verdict is Verdict.PASS
