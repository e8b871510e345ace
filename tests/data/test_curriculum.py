"""Rows in a declared order: by a field, by the input model's loss, and what the training really sees."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, carry_out, load, tools, trainer, write_pipeline
from tests.support.trainer_jobs import ARGS, ROWS, MakeJob, real_training, task_of
from tunegate.data.curriculum import in_order, with_difficulty
from tunegate.data.spec import CurriculumSpec, DataSpec
from tunegate.data.training_data import Example, load_training_data
from tunegate.exceptions import ConfigError
from tunegate.reading.rows import read_rows
from tunegate.training.trainer import TrainJob, TrainResult
from tunegate_trainers import common, curriculum, training_rows
from tunegate_trainers.process import run
from tunegate_trainers.settings import method_module, validate

RISING = {"by": "loss", "order": "rising"}
ONE_BY_ONE = ARGS | {"per_device_train_batch_size": 1, "max_steps": 6}


class TestByAField:
    def data(self, folder: Path, values: list[Any]) -> Any:
        write_jsonl(folder / "d.jsonl", [{"prompt": f"{v}?", "completion": "x", "level": v} for v in values])
        spec = DataSpec(path="d.jsonl")
        return with_difficulty(load_training_data(spec, "sft", folder), spec, "{level}", folder)

    @pytest.mark.parametrize(("order", "expected"), [("rising", [-1, 2.5, 10]), ("falling", [10, 2.5, -1])])
    def test_numbers_are_compared_as_numbers(self, tmp_path: Path, order: Any, expected: list[float]) -> None:
        data = self.data(tmp_path, [10, "2.5", -1])
        ordered = in_order(data.take(None, 1), CurriculumSpec(by="{level}", order=order))
        assert [example.difficulty for example in ordered] == expected

    @pytest.mark.parametrize("value", ["hard", "", "nan", None])
    def test_a_row_without_a_number_is_named(self, tmp_path: Path, value: Any) -> None:
        with pytest.raises(ConfigError, match=r"d\.jsonl:2: curriculum\.by: "):
            self.data(tmp_path, [1, value])

    def test_a_field_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        spec = DataSpec(path="d.jsonl")
        self.data(tmp_path, [1])
        with pytest.raises(ConfigError, match="levl"):
            with_difficulty(load_training_data(spec, "sft", tmp_path), spec, "{levl}", tmp_path)

    def test_the_hash_covers_the_difficulties(self, tmp_path: Path) -> None:
        first = self.data(tmp_path, [1, 2])
        rows = [{"prompt": f"{v}?", "completion": "x", "level": v + 1} for v in (1, 2)]
        write_jsonl(tmp_path / "d.jsonl", rows)
        spec = DataSpec(path="d.jsonl")
        second = with_difficulty(load_training_data(spec, "sft", tmp_path), spec, "{level}", tmp_path)
        assert first.sha256 != second.sha256

    def test_rows_of_unknown_difficulty_stay_where_they_are(self) -> None:
        levels = [3.0, None, 1.0, None, 2.0]
        rows = [Example(n, "?", {"completion": "x"}, difficulty=level) for n, level in enumerate(levels)]
        ordered = in_order(rows, CurriculumSpec(by="{level}"))
        assert [row.difficulty for row in ordered] == [1.0, None, 2.0, None, 3.0]
        assert [row.number for row in ordered if row.difficulty is None] == [1, 3]
        assert in_order(rows, None) == rows
        assert in_order(rows, CurriculumSpec()) == rows  # by loss: the trainer's to do

    def test_a_pipeline_hands_the_rows_on_in_order(self, tmp_path: Path) -> None:
        pipeline = PIPELINE.replace("method: sft\n", 'method: sft\n    curriculum: {by: "{level}", order: falling}\n')
        path = write_pipeline(tmp_path, pipeline)
        write_jsonl(
            tmp_path / "train.jsonl", [{"prompt": f"{n}?", "completion": "x", "level": n * 7 % 8} for n in range(8)]
        )
        seen: list[list[int]] = []
        train = trainer()

        def watch(job: TrainJob) -> TrainResult:
            seen.append(
                [int(row["prompt"].rstrip("?")) * 7 % 8 for _, row in read_rows(Path(job.data)) if job.curriculum]
            )
            return train(job)

        carry_out(path, replace(tools(), train=watch))
        assert [len(levels) for levels in seen] == [2, 4, 0]
        assert all(levels == sorted(levels, reverse=True) for levels in seen)
        write_jsonl(tmp_path / "train.jsonl", [{"prompt": "?", "completion": "x", "level": "?"}] * 8)
        with pytest.raises(ConfigError, match="expected a number"):
            load(path)


def seen_by(job: TrainJob) -> list[str]:
    """The numbers in the prompts that a training is given, in their order."""
    seen: list[str] = []

    def build(task: Any, loaded: training_rows.Loaded) -> common.Built:
        built, rows = method_module(job.method).build(task, loaded)
        collate = built.data_collator

        def collate_and_tell(batch: Any) -> Any:
            for row in batch:
                ids = [ids for name, ids in row.items() if name.endswith("ids")]
                seen.append(re.findall(r"number\d", " ".join(map(loaded.tokenizer.decode, ids)))[0])
            return collate(batch)

        built.data_collator = collate_and_tell
        return built, rows

    common.run(task_of(job), build)
    return seen


def in_turn(method: str) -> Any:
    """`orpo` and `kto`, whose rows take the way of those of `dpo`, in the long run of the tests only."""
    return pytest.param(method, marks=pytest.mark.slow if method in ("orpo", "kto") else ())


class TestByLoss:
    pytestmark = real_training

    @pytest.mark.parametrize("order", ["rising", "falling"])
    def test_the_order_seen_is_that_of_the_loss(self, make_job: MakeJob, order: str) -> None:
        job = make_job(curriculum={"by": "loss", "order": order}, args=ONE_BY_ONE)
        _, summary = run(job)
        rows = [row for _, row in read_rows(Path(job.data).with_suffix(".by-loss.jsonl"))]
        losses = [row["loss"] for row in rows]
        assert losses == sorted(losses, reverse=order == "falling")
        assert len(set(losses)) == 6
        assert sorted(row["row"] for row in rows) == [1, 2, 3, 4, 5, 6]
        assert summary["rows"] == 6

    @pytest.mark.parametrize("method", [in_turn(method) for method in sorted(curriculum.ANSWER)])
    def test_rows_are_trained_in_the_order_of_the_file(self, make_job: MakeJob, method: str) -> None:
        order = [f"number{n}" for n in (3, 0, 5, 1, 4, 2)]
        rows = [{**row, "prompt": text} for row, text in zip(ROWS[method], order, strict=True)]
        options = {"form": "completion"} if method == "explain" else {}
        given = {"rows": rows, "args": ARGS | {"max_steps": 3}, "options": options}
        assert seen_by(make_job(method, curriculum={"by": "{level}", "order": "rising"}, **given)) == order
        assert seen_by(make_job(method, **given)) != order  # without, they are shuffled

    def test_the_loss_is_that_of_the_first_training_step(self, make_job: MakeJob) -> None:
        """On the answer's tokens alone, as the training counts it."""
        job = make_job(curriculum=RISING, args=ONE_BY_ONE | {"learning_rate": 1e-12})
        log, _ = run(job)
        rows = [row for _, row in read_rows(Path(job.data).with_suffix(".by-loss.jsonl"))]
        trained = [entry["loss"] for entry in log if "loss" in entry]
        assert trained == pytest.approx([row["loss"] for row in rows], rel=0.02)  # the base may be bfloat16

    def test_ordering_changes_no_random_state(self, make_job: MakeJob) -> None:
        import torch

        job = make_job(curriculum=RISING)
        loaded = common.load(job)
        before = torch.random.get_rng_state()
        curriculum.arrange(job, loaded)
        assert torch.equal(before, torch.random.get_rng_state())

    def test_rows_that_do_not_fit_are_named_as_they_came(self, make_job: MakeJob) -> None:
        rows = [*ROWS["sft"][:2], {"prompt": "word " * 200, "completion": "x"}, ROWS["sft"][3]]
        _, summary = run(make_job(rows=rows, curriculum=RISING, args=ARGS | {"max_length": 100, "max_steps": 1}))
        assert summary["dropped_rows"] == [3]

    @pytest.mark.parametrize(
        ("method", "args", "message"),
        [
            ("cpt", {}, "curriculum: cpt has no order of rows; use sft"),
            ("sft", {"packing": True}, "args.packing: leave it out; it would undo the order"),
            ("sft", {"train_sampling_strategy": "random"}, "args.train_sampling_strategy: leave it out"),
        ],
    )
    def test_what_would_undo_the_order_is_told(
        self, make_job: MakeJob, method: str, args: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ConfigError) as error:
            validate(make_job(method, curriculum=RISING, args=args))
        assert message in str(error.value)
