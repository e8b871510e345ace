"""`tunegate.TrainerCallback` in a plain Trainer, and pipelines from Python: with a tiny model that really trains."""

from __future__ import annotations

import doctest
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tunegate
from tests.support.bank import write_jsonl
from tests.support.tiny_model import make_tiny_model
from tunegate.exceptions import ConfigError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXTS = ["The capital of France is Paris.", "The capital of Italy is Rome.", "It runs in families.", "Which gene?"]
CAPITALS = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid"}
MakeTrainer = Callable[..., Any]


@pytest.fixture
def make_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeTrainer:
    """A plain Trainer of transformers on a tiny model, with dropout, so that a shifted random state would show."""
    monkeypatch.chdir(tmp_path)
    folder = make_tiny_model(tmp_path / "model")
    questions = [{"id": c, "prompt": f"Capital of {c}?", "reference": a} for c, a in CAPITALS.items()]
    write_jsonl(tmp_path / "questions.jsonl", questions)
    (tmp_path / "facts.yaml").write_text(
        "cases: questions.jsonl\nchecks: [exact]\nplan: {draw: 3, accept: 3}\ngenerate: {max_new_tokens: 2}\n"
    )

    def make(callbacks: Any = (), **arguments: Any) -> Any:
        torch.manual_seed(0)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, attention_dropout=0.5)
        rows = [{"input_ids": (ids := tokenizer(text)["input_ids"][:6]), "labels": ids} for text in TEXTS]
        settings = transformers.TrainingArguments(
            "out", max_steps=4, per_device_train_batch_size=1, per_device_eval_batch_size=1, use_cpu=True,
            report_to=[], disable_tqdm=True,
            learning_rate=1e-3, logging_steps=1, save_strategy="no", **arguments,
        )  # fmt: skip
        trainer = transformers.Trainer(
            model, settings, train_dataset=rows, eval_dataset=rows, callbacks=list(callbacks),
            processing_class=tokenizer,
            data_collator=lambda batch: {key: torch.tensor([row[key] for row in batch]) for key in batch[0]},
        )  # fmt: skip
        trainer.remove_callback(transformers.PrinterCallback)
        return trainer

    return make


def trained(trainer: Any) -> dict[str, Any]:
    trainer.train()
    return {name: weights.clone() for name, weights in trainer.model.state_dict().items()}


@pytest.mark.parametrize("every", [1, 2, None])
def test_a_callback_leaves_the_weights_as_they_were_without_it(make_trainer: MakeTrainer, every: int | None) -> None:
    evaluated = {"eval_strategy": "steps", "eval_steps": 2}
    plain = trained(make_trainer(**evaluated))
    callback = tunegate.TrainerCallback("facts.yaml", every=every, draw=3)
    watched = trained(make_trainer([callback], **evaluated))
    assert plain.keys() == watched.keys()
    assert all(torch.equal(plain[name], watched[name]) for name in plain)
    assert [look.step for look in callback.looks] == {1: [1, 2, 3, 4], 2: [2, 4], None: [2, 4]}[every]


def test_the_pass_rate_is_in_the_metrics_of_an_evaluation(make_trainer: MakeTrainer) -> None:
    callback = tunegate.TrainerCallback("facts.yaml", draw=3)
    trainer = make_trainer([callback], eval_strategy="steps", eval_steps=2)
    trainer.train()
    told = [entry for entry in trainer.state.log_history if "eval_gate" in entry]
    assert [(entry["step"], entry["eval_gate_asked"]) for entry in told] == [(2, 3), (4, 3)]
    assert all("eval_loss" in entry and entry["eval_gate"] == entry["eval_gate_passed"] / 3 for entry in told)
    assert trainer.evaluate()["eval_gate"] == told[-1]["eval_gate"]


def test_the_pass_rate_chooses_the_best_model(make_trainer: MakeTrainer) -> None:
    class Rising(tunegate.Check):
        """Passes what is asked at the second look alone."""

        asked = 0

        def judge(self, sample: tunegate.Sample) -> bool:
            type(self).asked += 1
            return 3 < self.asked <= 6

    suite = tunegate.Suite("questions.jsonl", [Rising()], plan={"draw": 3}, generate={"max_new_tokens": 1})
    callback = tunegate.TrainerCallback(suite, draw=3)
    trainer = make_trainer([callback], eval_strategy="steps", eval_steps=1, metric_for_best_model="eval_gate")
    trainer.train()
    assert [look.passed for look in callback.looks] == [0, 3, 0, 0]
    assert trainer.state.best_metric == 1.0


def test_the_sealed_part_of_the_bank_is_never_asked(make_trainer: MakeTrainer) -> None:
    asked: set[str] = set()

    class Notes(tunegate.Check):
        def judge(self, sample: tunegate.Sample) -> bool:
            asked.add(sample.case.id)
            return True

    rows = [{"id": str(n), "prompt": f"{n}?"} for n in range(30)]
    make_trainer()  # writes the files
    suite = tunegate.Suite(rows, [Notes()], plan={"draw": 10}, sealed=0.5, generate={"max_new_tokens": 1})
    working = {case.id for case in suite.engine.bank.working}
    make_trainer([tunegate.TrainerCallback(suite, every=4, draw=len(working))]).train()
    assert asked == working
    with pytest.raises(ConfigError, match=f"has only {len(working)} working cases"):
        tunegate.TrainerCallback(suite, draw=len(working) + 1)


def test_a_look_that_cannot_be_judged_has_no_rate(make_trainer: MakeTrainer) -> None:
    class Breaks(tunegate.Check):
        def judge(self, sample: tunegate.Sample) -> bool:
            raise ValueError("no dictionary")

    make_trainer()
    suite = tunegate.Suite("questions.jsonl", [Breaks()], plan={"draw": 3}, generate={"max_new_tokens": 1})
    trainer = make_trainer([tunegate.TrainerCallback(suite, every=4, draw=3)])
    trainer.train()
    [entry] = [entry for entry in trainer.state.log_history if "eval_gate" in entry]
    assert entry["eval_gate"] is None
    assert "no dictionary" in entry["eval_gate_fault"]
    assert "eval_gate" not in trainer.evaluate() or trainer.evaluate()["eval_gate"] is None


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"every": 0}, "every: expected a number of at least 1, got 0"),
        ({"draw": "3"}, "draw: expected a number of at least 1, got '3'"),
        ({"draw": 4}, "draw: suite 'facts' has only 3 working cases, got 4"),
    ],
)
def test_wrong_options_are_refused_before_training(make_trainer: MakeTrainer, options: Any, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        tunegate.TrainerCallback("facts.yaml", **options)


def run_example(name: str, **names: Any) -> None:
    globs = {"__name__": "example", **names}
    [example] = doctest.DocTestFinder(recurse=False).find(getattr(tunegate, name), name, globs=globs)
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(example, out=told.append)
    assert runner.failures == 0, "".join(told)
    assert runner.tries > 0


def test_the_example_of_the_callback_runs(make_trainer: MakeTrainer) -> None:
    run_example("TrainerCallback", make_trainer=make_trainer)


PIPELINE = """
name: capitals
model: model
suites:
  facts: {cases: questions.jsonl, checks: [regex: "."], plan: {draw: 1, accept: 1}, generate: {max_new_tokens: 4}}
stages:
  - {name: shots, method: sft, data: train.jsonl, gates: [facts], args: {max_steps: 1}}
"""


def test_a_run_from_python_is_that_of_the_command_line(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    write_jsonl(tmp_path / "train.jsonl", [{"prompt": f"Which, {n}?", "completion": "BRCA1"} for n in range(4)])
    run_example("load_pipeline")
    run_example("run_pipeline")
    result = tunegate.run_pipeline("pipeline.yaml")  # finished: it trains no more
    assert result.record == Path("runs/capitals/events.jsonl")
    assert [gate["gate"] for gate in result.gates] == ["facts"]
    assert json.dumps(result.gates)
    assert result.report().is_file()
    assert "record" in result._repr_html_()
    with pytest.raises(TypeError, match="has no truth value"):
        bool(result)
    result.folder.rename("runs/finished")
    run_example("RunResult")
