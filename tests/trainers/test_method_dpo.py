"""Method dpo: TRL's losses and their settings arrive through `args`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.support.trainer_jobs import ARGS, PAIRS, MakeJob, real_training
from tunegate.data.spec import DataSpec
from tunegate.data.training_data import load_training_data
from tunegate.exceptions import ConfigError
from tunegate_trainers.process import run
from tunegate_trainers.settings import validate

pytestmark = real_training


def losses(make_job: MakeJob, name: str, **args: Any) -> tuple[float, float]:
    """The first loss, and the last margin."""
    log, _ = run(make_job("dpo", name, args={**ARGS, "per_device_train_batch_size": 6, "max_steps": 4, **args}))
    margins = [entry["rewards/margins"] for entry in log if "rewards/margins" in entry]
    return log[0]["loss"], margins[-1]


def test_loss_types_pass_through(make_job: MakeJob) -> None:
    """Each has its known value where policy and reference agree, as they do at the first step."""
    assert losses(make_job, "sigmoid")[0] == pytest.approx(math.log(2), abs=1e-3)
    assert losses(make_job, "hinge", loss_type="hinge")[0] == pytest.approx(1.0, abs=1e-3)
    assert losses(make_job, "ipo", loss_type="ipo", beta=0.1)[0] == pytest.approx(25.0, abs=1e-2)
    both = losses(make_job, "both", loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.5])[0]
    assert both > math.log(2) + 1.0  # the imitation of a random model's unlikely answers weighs in


def test_label_smoothing_passes_through(make_job: MakeJob) -> None:
    first, last = losses(make_job, "smoothed", loss_type="robust", label_smoothing=0.4)
    assert first == pytest.approx(math.log(2), abs=1e-3)
    assert last != pytest.approx(losses(make_job, "plain", loss_type="robust")[1], rel=1e-3)


def test_label_smoothing_that_a_loss_would_ignore_is_refused(make_job: MakeJob) -> None:
    with pytest.raises(ConfigError, match=r"args\.label_smoothing: TRL's loss sigmoid ignores it; use"):
        validate(make_job("dpo", args={"label_smoothing": 0.1}))
    validate(make_job("dpo", args={"label_smoothing": 0.1, "loss_type": ["robust", "sft"]}))


def test_a_wrong_type_of_an_argument_is_told_before_training(make_job: MakeJob) -> None:
    with pytest.raises(ConfigError, match=r"args\.label_smoothing: expected float, got 'none'"):
        validate(make_job("dpo", args={"label_smoothing": "none"}))


@pytest.mark.parametrize("method", ["dpo", "orpo", "reward"])
def test_a_pair_of_two_equal_answers_is_refused(make_job: MakeJob, method: str) -> None:
    job = make_job(method, rows=[*PAIRS, {"prompt": "?", "chosen": "BRCA1", "rejected": "BRCA1"}])
    with pytest.raises(ConfigError, match="chosen and rejected are the same text; they must differ"):
        load_training_data(DataSpec(path=job.data), method, Path(job.data).parent)
