"""What a training costs beside training: a tiny model for three steps, in fresh processes and forked by a run's server.

    OMP_NUM_THREADS=1 python -m tests.bench attempts

Nearly all of it is start-up. The first training of a server waits for its imports; the others find them done.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from tests.support.trainer_jobs import ARGS, job_maker
from tunegate.training.trainer import SubprocessTrainer, TrainJob, forking_trainer

TRAININGS = 3


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        make_job = job_maker(Path(place))
        before = computing()
        fresh = [seconds_of(SubprocessTrainer(), make_job(name=f"fresh-{n}", args=ARGS)) for n in range(TRAININGS)]
        told("in fresh processes", fresh, computing() - before)
        before = computing()
        with forking_trainer() as train:
            forked = [seconds_of(train, make_job(name=f"forked-{n}", args=ARGS)) for n in range(TRAININGS)]
        told("forked by a server", forked, computing() - before)


def told(how: str, seconds: list[float], cpu_seconds: float) -> None:
    each = ", ".join(f"{one:.1f}" for one in seconds)
    print(f"{TRAININGS} trainings {how}: {cpu_seconds:.1f} s of computing; took {each} s", flush=True)


def seconds_of(train: SubprocessTrainer, job: TrainJob) -> float:
    started = time.perf_counter()
    result = train(job)
    assert result.error is None, result.error
    return time.perf_counter() - started


def computing() -> float:
    """Seconds of computing of all processes that were started here and have ended."""
    times = os.times()
    return times.children_user + times.children_system
