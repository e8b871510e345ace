"""Error-driven repair: training rows of the kinds that were missed, at the same amount of text, and never a case's."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, carry_out, load, open_model, tools, trainer, write_pipeline
from tests.training.test_run import Killed, essence, killed_after
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.data.training_data import Example, TrainingData
from tunegate.exceptions import ConfigError
from tunegate.models.model import ScriptedModel
from tunegate.pipeline.ladders import Settings, apply
from tunegate.record.event_log import read_events
from tunegate.record.record import Diagnosis
from tunegate.training.repair import MOST_REPEATS, repaired, size, training_set

RARE = "answer=not inherited"


def data(common: int, rare: int, tags: tuple[str, ...] = ()) -> TrainingData:
    answers = ["dominant"] * common + ["not inherited"] * rare
    rows = [
        Example(n, f"How is condition {n:04d} inherited?", {"completion": text}, None, tags)
        for n, text in enumerate(answers)
    ]
    return TrainingData(Path("train.jsonl"), tuple(rows), "sha")


def count(examples: list[Example], answer: str = "not inherited") -> int:
    return sum(example.wanted == answer for example in examples)


def text(examples: list[Example]) -> int:
    return sum(map(size, examples))


def test_a_share_of_the_text_goes_to_the_missed_kind_at_the_same_budget() -> None:
    base = data(95, 5).take(None, 1)
    rows = repaired(base, base, [RARE], 0.2, seed=1)
    assert text(rows) == pytest.approx(text(base), rel=0.01)
    assert count(rows) == pytest.approx(20, abs=1)
    assert max(Counter(row.number for row in rows if row.wanted == "not inherited").values()) == MOST_REPEATS
    assert max(Counter(row.number for row in rows if row.wanted == "dominant").values()) == 1


def test_rows_that_were_not_trained_on_yet_come_before_a_second_time() -> None:
    all_rows = data(900, 100).take(None, 1)
    rows = repaired(all_rows[:100], all_rows, [RARE], 0.3, seed=1)
    assert count(rows) == pytest.approx(30, abs=2)
    assert len({row.number for row in rows}) == len(rows)


def test_a_row_is_not_given_so_often_that_it_is_learnt_by_heart() -> None:
    base = data(98, 2).take(None, 1)
    rows = repaired(base, base, [RARE], 0.5, seed=1)
    assert count(rows) == 2 * MOST_REPEATS
    assert count(rows, "dominant") == 92  # the text that is left is still used


def test_tags_are_kinds_too() -> None:
    tagged = data(10, 0, ("task=gene",)).examples
    base = [*data(90, 0).take(None, 1), *(replace(one, number=one.number + 500) for one in tagged)]
    rows = repaired(base, base, ["task=gene"], 0.3, seed=1)
    assert sum("task=gene" in row.tags for row in rows) == pytest.approx(30, abs=1)


@given(st.integers(1, 60), st.integers(0, 20), st.floats(0.01, 0.9), st.integers(0, 100))
def test_any_repair_keeps_the_budget_and_follows_from_its_seed(common: int, rare: int, share: float, seed: int) -> None:
    whole = data(common, rare)
    settings = Settings(repair=share, kinds=(RARE,))
    rows = training_set(whole, None, settings, seed).examples
    assert rows == training_set(whole, None, settings, seed).examples
    one = max(map(size, whole.examples))
    assert text(rows) <= text(list(whole.examples)) + one
    assert {row.number for row in rows} <= {row.number for row in whole.examples}


def test_what_was_done_is_told_and_on_record() -> None:
    lesson = training_set(data(95, 5), None, Settings(repair=0.2, kinds=(RARE,)), seed=1)
    assert lesson.notes == [f"repaired: {RARE}: 5 rows, used 19 times"]
    facts = lesson.to_json()
    assert (facts["rows"], facts["notes"]) == (len(lesson.examples), lesson.notes)
    assert facts["sha256"] != training_set(data(95, 5), None, Settings(), seed=1).to_json()["sha256"]


def test_rows_that_disagree_are_left_out_where_the_settings_say_so() -> None:
    rows = [Example(n, "Is this condition inherited at all?", {"completion": "yes" if n else "no"}) for n in range(2)]
    mixed = TrainingData(Path("x"), (*rows, *data(5, 0).examples[2:]), "sha")
    lesson = training_set(mixed, None, Settings(conflicts="drop"), seed=1)
    assert {row.number for row in lesson.examples} == {2, 3, 4}
    assert lesson.notes == ["2 rows left out that answer the same question differently"]
    assert len(training_set(mixed, None, Settings(conflicts="keep"), seed=1).examples) == 5


def test_kinds_come_back_from_a_record_as_they_were() -> None:
    changes = json.loads(json.dumps({"repair": (0.0, 0.2), "kinds": ((), (RARE,))}))
    diagnosis = Diagnosis("class imbalance", [], "", {name: tuple(change) for name, change in changes.items()})
    assert apply(diagnosis, Settings(repair=0.0)) == Settings(repair=0.2, kinds=(RARE,))


# --- in a run -------------------------------------------------------------------------------------------------------

REPAIR = """\
name: small
model: base
suites:
  facts: {cases: cases.jsonl, checks: [exact], plan: {draw: 40, accept: 36, curtail: false}}
stages:
  - {name: sft, method: sft, data: train.jsonl, gates: [facts],
     retrain: {max_attempts: 2, repair: [0.0, 0.3], rows: [40, 80]}}
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A model that never says `rare`, until a third of its training text is of that kind."""
    path = write_pipeline(tmp_path / "project", REPAIR)
    cases = [{"id": n, "prompt": f"case {n}?", "reference": "rare" if n % 5 == 0 else "usual"} for n in range(200)]
    write_jsonl(path.parent / "cases.jsonl", cases)
    train = [{"prompt": f"train {n}?", "completion": "rare" if n % 10 == 0 else "usual"} for n in range(80)]
    write_jsonl(path.parent / "train.jsonl", train)
    return path


def answering(path: str) -> ScriptedModel:
    data_file = Path(path).parent / "data.jsonl"
    rows = data_file.read_text().splitlines() if data_file.exists() else []
    knows = sum('"rare"' in row for row in rows) > 0.2 * len(rows)

    def answer(case: Case) -> str:
        return case.references[0] if knows else "usual"

    return replace(open_model(path), script=answer)


def test_a_run_repairs_what_it_misses(pipeline: Path) -> None:
    run = carry_out(pipeline, replace(tools(), train=trainer({}), open_model=answering))
    assert run.verdict is Verdict.PASS, run.reason
    first, second = run.stages["sft"].attempts.values()
    assert first.diagnosis is not None
    assert first.diagnosis.cause == "class imbalance"
    assert second.settings["repair"] == 0.3
    assert second.settings["kinds"] == ["answer=rare"]
    assert second.summary["data"]["notes"][0].startswith("repaired: answer=rare: ")
    trained = (pipeline.parent / "run" / "sft" / "attempt-2" / "data.jsonl").read_text()
    assert "case" not in trained  # no test's text, of the missed ones or of any other


def test_a_killed_repair_goes_on_with_the_same_rows(pipeline: Path) -> None:
    given_tools = replace(tools(), train=trainer({}), open_model=answering)
    whole = carry_out(pipeline, given_tools, run="whole")
    total = len(list(read_events(pipeline.parent / "whole")))
    for n in range(3, total, 23):
        with pytest.raises(Killed):
            carry_out(pipeline, given_tools, run=f"run-{n}", open_log=killed_after(n))
        run = carry_out(pipeline, given_tools, run=f"run-{n}")
        assert essence(run) == essence(whole)
        data_of = [one.stages["sft"].attempts[2].summary["data"] for one in (run, whole)]
        assert data_of[0] == data_of[1]


@pytest.mark.parametrize(
    ("ladder", "message"),
    [
        ("repair: [0.2, 0.4]", "repair: expected 0 first"),
        ("repair: [0.0, 1.0]", r"retrain\.repair\[1\]: .*less than 1"),
        ("repair: [0.0, 0.3, 0.2]", "repair: expected rising values"),
        ("replay: [0.0, 0.2]", "replay needs `replay_data`"),
        ("replay_data: train.jsonl", "replay_data has no effect without `replay`"),
        ("conflicts: [keep, keep]", "conflicts: expected different values"),
        ("max_length: [64], epochs: [0]", r"retrain\.epochs"),
        ("search: optunna", r"retrain\.search"),
    ],
)
def test_a_ladder_that_cannot_be_is_refused(tmp_path: Path, ladder: str, message: str) -> None:
    path = write_pipeline(tmp_path / "project", PIPELINE.replace("max_attempts: 3, rows: [2, 4, 8]", ladder))
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_a_setting_has_one_place(tmp_path: Path) -> None:
    args = "    args: {max_length: 64}\n    retrain: {max_attempts: 3, max_length: [64, 128]}"
    path = write_pipeline(
        tmp_path / "project", PIPELINE.replace("    retrain: {max_attempts: 3, rows: [2, 4, 8]}", args)
    )
    with pytest.raises(ConfigError, match=r"args\.max_length: also set by `retrain\.max_length`; give one of the two"):
        load(path)
