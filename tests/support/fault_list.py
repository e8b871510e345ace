"""The faults that are injected into a run, and the steps at which each strikes."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.faults import ASKING, STEPS, Answers, Fault, Lab, fill_the_disk, tamper, vectors
from tests.support.judge_server import Reply
from tunegate.checks.outcome import Finding, Verdict
from tunegate.exceptions import MissingExtra
from tunegate.models.model import Response
from tunegate.training.trainer import SubprocessTrainer, TrainJob, TrainResult

BEGUN = STEPS[1:]
"""The steps at which there is a record already."""

OUT_OF_MEMORY = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


# --- metrics ----------------------------------------------------------------------------------------------------------

METRICS = {
    "metric raises": "raise ValueError('no such word')",
    "metric runs out of memory": "raise MemoryError",
    "metric calls sys.exit(0)": "raise SystemExit(0)",
    "metric skips its case, as a test might": "import pytest; pytest.skip('not today')",
    "metric returns NaN": "value = float('nan')",
    "metric returns None": "value = None",
    "metric returns another type": "value = [True]",
}


def claimed_for_nan(findings: list[Finding]) -> list[Finding]:
    return [replace(finding, verdict=Verdict.PASS, value=float("nan")) for finding in findings]


FINDINGS = {
    "check passes a case for the value NaN": claimed_for_nan,
    "check returns no finding": lambda findings: [],
    "check returns too many findings": lambda findings: findings * 2,
    "check returns None": lambda findings: None,
    "check returns the verdict None": lambda findings: [replace(findings[0], verdict=None)],
    "check returns words as errors": lambda findings: [replace(findings[0], errors=("misspelling",))],
}


# --- models -----------------------------------------------------------------------------------------------------------


def raising(error: BaseException, after: int) -> Any:
    def answers(good: Answers) -> Answers:
        for number, answer in enumerate(good):
            if number == after:
                raise error
            yield answer

    return answers


def one_short(good: Answers) -> Answers:
    return iter(list(good)[1:])


def one_twice(good: Answers) -> Answers:
    """The other case's answer comes under the wrong number, after all cases have one."""
    given = list(good)
    return iter([*given, (0, given[-1][1])])


def one_too_many(good: Answers) -> Answers:
    given = list(good)
    return iter([*given, (len(given), Response("!"))])


def without_wrapping(good: Answers) -> Iterator[Any]:
    return ((index, ["not", "a", "Response"]) for index, _ in good)


def without_text(good: Answers) -> Iterator[Any]:
    return ((index, Response(None)) for index, _ in good)  # type: ignore[arg-type]


MODELS = {
    "model runs out of memory (MemoryError)": raising(MemoryError(), 1),
    "model runs out of memory (torch)": raising(OUT_OF_MEMORY, 1),
    "model's process dies": raising(ConnectionResetError("the peer hung up"), 1),
    "model calls sys.exit(0)": raising(SystemExit(0), 0),
    "model answers one case too few": one_short,
    "model answers a case twice": one_twice,
    "model answers a case too many": one_too_many,
    "model answers with something else": without_wrapping,
    "model answers with None": without_text,
}


# --- judges -----------------------------------------------------------------------------------------------------------

JUDGES = {
    "judge times out": Reply(never=True),
    "judge answers with HTML": Reply(body="<html>Bad gateway</html>", content_type="text/html"),
    "judge answers with an error": Reply(body='{"error": "overloaded"}', status=503),
    "judge says NaN": Reply('{"reason": "so it is", "verdict": NaN}'),
    "judge says nothing": Reply(""),
    "judge is cut off": Reply('{"reason": "so it is", "verd', finish_reason="length"),
}


# --- trainings --------------------------------------------------------------------------------------------------------


def reports_a_fault(job: TrainJob) -> TrainResult:
    return TrainResult(error="CUDA out of memory", failure="out of memory")


def runs_out_of_memory(job: TrainJob) -> TrainResult:
    raise MemoryError


def breaks(job: TrainJob) -> TrainResult:
    raise RuntimeError("the trainer has a bug")


def is_killed(job: TrainJob) -> TrainResult:
    suicide = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    return SubprocessTrainer((sys.executable, "-c", suicide))(job)


def leaves_nothing(job: TrainJob) -> TrainResult:
    return TrainResult(summary={"rows": 1, "rows_dropped": 0})


def leaves_an_empty_folder(job: TrainJob) -> TrainResult:
    Path(job.output).mkdir()
    return leaves_nothing(job)


def leaves_a_pickle(job: TrainJob) -> TrainResult:
    leaves_an_empty_folder(job)
    (Path(job.output) / "pytorch_model.bin").write_bytes(b"\x80")
    return leaves_nothing(job)


def changes_the_base(job: TrainJob) -> TrainResult:
    (Path(job.output)).mkdir()
    shutil.copytree(job.model, job.output, dirs_exist_ok=True)
    (Path(job.model) / "weights.txt").write_text("1.0")
    return leaves_nothing(job)


TRAININGS = {
    "training reports a fault": reports_a_fault,
    "training is killed (kill -9)": is_killed,
    "training leaves no model": leaves_nothing,
    "training leaves an empty folder": leaves_an_empty_folder,
    "training leaves pickled weights": leaves_a_pickle,
    "trainer runs out of memory": runs_out_of_memory,
    "trainer raises": breaks,
}


# --- comparing with the training data ---------------------------------------------------------------------------------


def no_embeddings(texts: Sequence[str]) -> Any:
    raise MissingExtra("leakage: embed", "similarity", ImportError("No module named 'sentence_transformers'"))


def nan_embeddings(texts: Sequence[str]) -> Any:
    return {text: vector * float("nan") for text, vector in vectors(texts).items()}


def embeddings_out_of_memory(texts: Sequence[str]) -> Any:
    raise MemoryError


def some_embeddings(texts: Sequence[str]) -> Any:
    return dict(list(vectors(texts).items())[1:])


EMBEDDINGS = {
    "embeddings model is missing": no_embeddings,
    "embeddings are NaN": nan_embeddings,
    "embeddings run out of memory": embeddings_out_of_memory,
    "embeddings of a text are missing": some_embeddings,
}


# --- machine and files ------------------------------------------------------------------------------------------------


def interrupt(lab: Lab) -> None:
    signal.raise_signal(signal.SIGINT)


def turn_the_clock_back(lab: Lab) -> None:
    """Every reading of the clock is an hour before the one before; `Lab.restore` sets it right."""
    now = [time.time()]

    def gmtime(seconds: float | None = None) -> time.struct_time:
        now[0] -= 3600
        return lab.real_gmtime(now[0] if seconds is None else seconds)

    time.gmtime = gmtime


def delete_the_record(lab: Lab) -> None:
    lab.record.unlink()


def replace_the_record(lab: Lab) -> None:
    shutil.copy(lab.record, lab.record.with_name("copy"))
    os.replace(lab.record.with_name("copy"), lab.record)


def edit_the_record(lab: Lab) -> None:
    tamper(lab.record, '"seed": 1', '"seed": 2')


def cut_the_record(lab: Lab) -> None:
    os.truncate(lab.record, lab.record.stat().st_size - 40)


def put_a_file_where_the_run_goes(lab: Lab) -> None:
    (lab.folder / "run" / "sft").write_text("in the way")


def put_a_file_where_the_registry_goes(lab: Lab) -> None:
    (lab.folder / "registry").write_text("in the way")


def clear_the_way(lab: Lab) -> None:
    for path in (lab.folder / "run" / "sft", lab.folder / "registry"):
        if path.is_file():
            path.unlink()


def change_a_case(lab: Lab) -> None:
    tamper(lab.folder / "cases.jsonl", '"3!"', '"?"')


def change_the_training_data(lab: Lab) -> None:
    tamper(lab.folder / "train.jsonl", '"3!"', '"?"')


def change_the_metric(lab: Lab) -> None:
    tamper(lab.folder / "metric.py", "text == case.references[0]", "True")


def change_the_base(lab: Lab) -> None:
    (lab.folder / "base" / "weights.txt").write_text("1.0")


def change_the_trained_model(lab: Lab) -> None:
    (lab.folder / "run" / "sft" / "attempt-2" / "model" / "weights.txt").write_text("1.0")


def spoil_the_waivers(lab: Lab) -> None:
    (lab.folder / "waivers.yaml").write_text("waivers: [{gate: facts, owner: ada@example.org, reason: because}]\n")
    tamper(lab.path, "promote:", "waivers: waivers.yaml\npromote:")


def take_the_waivers_away(lab: Lab) -> None:
    tamper(lab.path, "waivers: waivers.yaml\n", "")


FAULTS: tuple[Fault, ...] = (
    *(Fault(name, ASKING, metric=code) for name, code in METRICS.items()),
    *(Fault(name, ASKING, finding=finding) for name, finding in FINDINGS.items()),
    *(Fault(name, ASKING, answers=answers) for name, answers in MODELS.items()),
    Fault(
        "model cannot be opened, out of memory",
        ("first draw", "reference draw", "retention draw", "diagnosis"),
        opens=OUT_OF_MEMORY,
    ),
    *(Fault(name, ASKING, judge=reply) for name, reply in JUDGES.items()),
    *(Fault(name, ("training",), trains=train) for name, train in TRAININGS.items()),
    Fault("training changes the base model", ("training",), trains=changes_the_base, again="TAMPERED"),
    *(Fault(name, ("leakage comparison",), embeds=embeds) for name, embeds in EMBEDDINGS.items()),
    Fault("disk is full", STEPS, enter=fill_the_disk, on_record=False),
    Fault("Ctrl-C", BEGUN, enter=interrupt),
    Fault("Ctrl-C", ("opening",), enter=interrupt, on_record=False),
    Fault("clock runs backwards", STEPS, enter=turn_the_clock_back, decides=False, on_record=False),
    Fault("record is deleted", BEGUN, enter=delete_the_record, on_record=False),
    Fault("record is replaced by a copy", BEGUN, enter=replace_the_record, on_record=False),
    Fault("record is edited", BEGUN, enter=edit_the_record, on_record=False, again="TAMPERED"),
    Fault("record loses its last bytes", BEGUN, enter=cut_the_record, on_record=False),
    Fault(
        "folder of the attempt cannot be made", ("training",), enter=put_a_file_where_the_run_goes, mend=clear_the_way
    ),
    Fault("registry cannot be written", ("promotion",), enter=put_a_file_where_the_registry_goes, mend=clear_the_way),
    Fault("suite file changes", BEGUN, enter=change_a_case, again="TAMPERED"),
    Fault("metric's source changes", BEGUN, enter=change_the_metric, again="TAMPERED"),
    Fault("training data changes", BEGUN, enter=change_the_training_data, again="TAMPERED"),
    Fault("base model changes", ("leakage comparison", "training"), enter=change_the_base, again="TAMPERED"),
    Fault(
        "trained model changes",
        ("first draw", "retention draw", "confirming draw", "promotion"),
        enter=change_the_trained_model,
        again="TAMPERED",
    ),
    Fault("waiver file is vague", ("opening",), enter=spoil_the_waivers, on_record=False, mend=take_the_waivers_away),
)
"""`on_record` is False where the fault is of the record itself, or nothing of it touches the run."""
