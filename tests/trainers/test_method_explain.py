"""Explanation tuning on a tiny real model: where the explanation goes, and how a gate asks such a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, write_pipeline
from tests.support.trainer_jobs import MakeJob, real_training, task_of
from tunegate.cases.case import Case
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.model import GenerationSettings
from tunegate.models.open_model import open_model
from tunegate.models.prompting import answer_prompt
from tunegate_trainers import common, explain, validate
from tunegate_trainers.process import run

pytestmark = real_training

ROW = {"prompt": "Which gene?", "completion": "BRCA1", "explanation": "Mutations in the BRCA1 gene cause it."}


def texts(make_job: MakeJob, rows: list[dict[str, Any]], **options: Any) -> list[tuple[str, str]]:
    """What is trained on: each row's whole text, and the part of it that counts towards the loss."""
    job = make_job("explain", rows=rows, options=options)
    loaded = common.load(job)
    trainer, _ = explain.build(task_of(job), loaded)
    decode = loaded.tokenizer.decode
    return [
        (decode(row["input_ids"]), decode([token for token in row["labels"] if token != -100]))
        for row in trainer.train_dataset
    ]


def test_the_explanation_follows_the_answer(make_job: MakeJob) -> None:
    [(_, learned)] = texts(make_job, [ROW], form="completion")
    assert learned == "BRCA1\nMutations in the BRCA1 gene cause it.<|im_end|>\n"
    [(_, learned)] = texts(make_job, [ROW], form="completion", separator=". Why? ")
    assert learned.startswith("BRCA1. Why? Mutations")


def test_the_explanation_is_a_system_message_of_its_row(make_job: MakeJob) -> None:
    system = {"role": "system", "content": "Be brief."}
    other = {**ROW, "prompt": [system, {"role": "user", "content": "Which gene?"}], "explanation": "It says so."}
    [(first, learned), (second, _)] = texts(make_job, [ROW, other], form="system")
    assert first.startswith("<|im_start|>system\nMutations in the BRCA1 gene cause it.<|im_end|>\n<|im_start|>user\n")
    assert second.startswith("<|im_start|>system\nBe brief.\n\nIt says so.<|im_end|>\n<|im_start|>user\nWhich gene?")
    assert learned == "BRCA1<|im_end|>\n"


def test_a_share_of_the_rows_is_asked_as_a_gate_asks(make_job: MakeJob) -> None:
    rows = [{**ROW, "completion": f"BRCA{n}"} for n in range(60)]
    job = make_job("explain", options={"form": "system", "shown": 0.5})
    asked = common.load(job).tokenizer.decode(answer_prompt(common.load(job).tokenizer, Case("1", "Which gene?"), None))
    plain = [text.startswith(asked) for text, _ in texts(make_job, rows, form="system", shown=0.5)]
    assert 15 < sum(plain) < 45
    assert plain[:20] == [text.startswith(asked) for text, _ in texts(make_job, rows[:20], form="system", shown=0.5)]


def test_a_gate_judges_the_answer_and_stops_before_the_explanation(make_job: MakeJob) -> None:
    rows = [{**ROW, "completion": "autosomal"}]
    args = {"per_device_train_batch_size": 1, "max_steps": 40, "learning_rate": 1e-2, "disable_tqdm": True}
    job = make_job("explain", rows=rows, peft=None, args=args, options={"form": "completion"})
    log, summary = run(job)
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert losses[-1] < losses[0] / 2
    assert summary["rows"] == 1
    model = open_model(job.output)
    for stop, wanted in ((("\n",), "autosomal"), ((), "autosomal\nMutations in the BRCA1 gene cause it.")):
        [(_, response)] = model.generate([Case("1", "Which gene?")], GenerationSettings(40, stop=stop))
        assert response.text == wanted
        assert response.finish_reason == "stop"


def test_check_names_the_rows_whose_answers_hold_the_separator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = "method: explain\n    options: {form: completion}\n"
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("method: sft\n", stage, 1))
    rows = [{"prompt": f"{n}?", "completion": "a\nb" if n in (2, 5, 6) else "a", "explanation": "so"} for n in range(8)]
    write_jsonl(path.parent / "train.jsonl", rows)
    assert main(["check", str(path)]) == 2
    told = capsys.readouterr().err
    assert "train.jsonl:3: the completion 'a\\nb' contains the separator '\\n'" in told
    assert "3 of 8 rows have faults; the same in rows 3, 6-7" in told
    path.write_text(path.read_text().replace("form: completion", "form: completion, separator: ' # '"))
    assert main(["check", str(path)]) == 0


def test_an_answer_that_holds_the_separator_is_refused(make_job: MakeJob) -> None:
    rows = [ROW, {**ROW, "completion": "BRCA1\nBRCA2"}]
    with pytest.raises(ConfigError, match=r":2: the completion 'BRCA1\\nBRCA2' contains the separator '\\n'"):
        texts(make_job, rows, form="completion")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"options\.form: this key is required"),
        ({"form": "systm"}, r"options\.form: should be 'system' or 'completion', got 'systm'"),
        ({"form": "system", "shown": 0.0}, r"options\.shown: should be greater than 0"),
        ({"form": "completion", "separator": ""}, r"options\.separator: string should have at least 1 character"),
        ({"form": "system", "chat_template": "alpacca"}, "did you mean 'alpaca'"),
    ],
)
def test_wrong_options_are_named(make_job: MakeJob, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(make_job("explain", options=options))


def test_it_knows_every_form_of_sft(make_job: MakeJob, tmp_path: Path) -> None:
    [(text, _)] = texts(make_job, [ROW], form="system", chat_template="alpaca")
    assert text.startswith("Mutations in the BRCA1 gene cause it.\n\n### Instruction:\nWhich gene?\n\n### Response:\n")
