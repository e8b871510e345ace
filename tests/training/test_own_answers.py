"""Own answers: what the input model gets wrong on training prompts becomes pairs or thumbs, and is on record."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import SUITE, attempt_of, carry_out, load, open_model, tools, trainer, write_pipeline
from tests.support.tiny_model import make_tiny_model
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.data.training_data import Example
from tunegate.exceptions import ConfigError
from tunegate.models.model import GenerationSettings, Response, ScriptedModel
from tunegate.models.open_model import open_model as open_real_model
from tunegate.pipeline.own_answers_check import check_own_answers
from tunegate.plugin.function_check import FunctionCheck
from tunegate.record.record import AttemptRecord, RunRecord
from tunegate.training.own_answers import OwnAnswer, ask_rows, by_row, judged_before, preference_rows
from tunegate.training.trainer import TrainJob, TrainResult

PIPELINE = f"""\
name: small
model: base
suites:
  facts: {SUITE}
stages:
  - name: align
    method: dpo
    data: {{path: train.jsonl, own_answers: {{judged_by: facts, at_least: 2}}}}
    gates: [facts]
    retrain: {{max_attempts: 2, rows: [8, 12]}}
"""
SKILLS = {"align#1": 1.0}
LATER = {"align#2": 1.0}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A base model that answers the even training prompts right, says `wrong` to most odd ones, and nothing to 3."""
    path = write_pipeline(tmp_path / "project", PIPELINE)
    write_jsonl(path.parent / "train.jsonl", [{"prompt": f"train {i}?", "completion": f"{i}!"} for i in range(12)])
    return path


def answer(case: Case) -> str | Response:
    if not case.prompt_text.startswith("train"):
        return case.references[0]
    number = int(case.prompt_text.removeprefix("train ").removesuffix("?"))
    if number == 3:
        return ""
    return f"{number}!" if number % 2 == 0 else f"wrong {number}"


def half_right(path: str, asked: list[str], say: Callable[[Case], str | Response] = answer) -> ScriptedModel:
    def script(case: Case) -> str | Response:
        asked.append(case.prompt_text)
        return say(case)

    return replace(open_model(path), script=script)


def run(path: Path, asked: list[str], jobs: list[dict[str, Any]], **more: Any) -> RunRecord:
    """Carry the pipeline out, noting which prompts were asked and what each training read."""
    say = more.pop("say", answer)
    skills = more.pop("skills", SKILLS)
    train = more.pop("train", trainer(skills))

    def spying(job: TrainJob) -> TrainResult:
        rows = [json.loads(line) for line in Path(job.data).read_text().splitlines()]
        jobs.append({"attempt": attempt_of(job), "rows": rows})
        return train(job)

    def opened(place: str) -> ScriptedModel:
        return half_right(place, asked, say) if place.endswith("base") else open_model(place)

    return carry_out(path, replace(tools(skills), open_model=opened, train=spying))


def events(path: Path, kind: str) -> list[dict[str, Any]]:
    lines = (path.parent / "run" / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def test_misses_become_pairs_and_the_record_says_how_many(path: Path) -> None:
    asked: list[str] = []
    jobs: list[dict[str, Any]] = []
    record = run(path, asked, jobs)
    assert record.verdict is Verdict.PASS
    (job,) = jobs
    numbers = {int(prompt.split()[1].removesuffix("?")) for prompt in asked if prompt.startswith("train")}
    assert len(numbers) == 8
    missed = sorted(n for n in numbers if n % 2 and n != 3)
    expected = [{"prompt": f"train {n}?", "chosen": f"{n}!", "rejected": f"wrong {n}"} for n in missed]
    assert sorted(job["rows"], key=lambda row: int(row["chosen"][:-1])) == expected
    facts = record.stages["align"].attempts[1].summary["own_answers"]
    assert facts == {
        "asked": 8,
        "passed": len([n for n in numbers if n % 2 == 0]),
        "missed": len([n for n in numbers if n % 2]),
        "not_judged": 0,
        "used": len(missed),
    }
    (event,) = events(path, "own_answers")
    assert len(event["answers"]) == 8
    assert event["suite_sha256"] == load(path).suites["facts"].sha256


OWN_SETTINGS = {
    "temperature": 0.7, "seed": 5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "typical_p": 0.8, "repetition_penalty": 1.2
}  # fmt: skip


@pytest.mark.parametrize("own", [OWN_SETTINGS, {}])
def test_own_settings_replace_those_of_the_suite(path: Path, own: dict[str, float]) -> None:
    """They hold for the training prompts alone; the gates keep the suite's."""
    seen: dict[str, GenerationSettings] = {}

    @dataclass(frozen=True)
    class Noting(ScriptedModel):
        def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
            seen.update({case.prompt_text.split()[0]: settings for case in cases})
            return ScriptedModel.generate(self, cases, settings)

    def opened(place: str) -> ScriptedModel:
        plain = half_right(place, []) if place.endswith("base") else open_model(place)
        return Noting(plain.script, plain.name, plain.sha256, plain.dtype, plain.block_size)

    entry = "".join(f", {name}: {value}" for name, value in own.items())
    path.write_text(PIPELINE.replace("at_least: 2", f"at_least: 2{entry}"))
    carry_out(path, replace(tools(SKILLS), open_model=opened, train=trainer(SKILLS)))
    suite = load(path).suites["facts"]
    assert seen.pop("train") == replace(suite.settings, **own)
    assert set(seen.values()) == {suite.settings}
    (event,) = events(path, "own_answers")
    facts = json.loads(json.dumps(replace(suite.settings, **own).facts()))
    assert event.get("settings") == (facts if own else None)


def test_thumbs_for_kto(path: Path) -> None:
    path.write_text(PIPELINE.replace("method: dpo", "method: kto"))
    jobs: list[dict[str, Any]] = []
    run(path, [], jobs)
    rows = jobs[0]["rows"]
    down = {row["prompt"]: row["completion"] for row in rows if not row["label"]}
    assert down
    assert all(text.startswith("wrong") for text in down.values())
    assert all(row["completion"].endswith("!") for row in rows if row["label"])
    assert sum(row["label"] for row in rows) >= len(down)


def test_a_killed_training_goes_on_with_the_same_rows_and_asks_nothing_again(path: Path) -> None:
    def killed(job: TrainJob) -> TrainResult:
        raise KeyboardInterrupt

    asked: list[str] = []
    jobs: list[dict[str, Any]] = []
    with pytest.raises(KeyboardInterrupt):
        run(path, asked, jobs, train=killed)
    before = [prompt for prompt in asked if prompt.startswith("train")]
    record = run(path, asked, jobs)
    assert record.verdict is Verdict.PASS
    assert [prompt for prompt in asked if prompt.startswith("train")] == before
    assert jobs[0]["rows"] == jobs[1]["rows"]


def test_a_later_attempt_asks_only_the_rows_that_are_new(path: Path) -> None:
    asked: list[str] = []
    jobs: list[dict[str, Any]] = []
    record = run(path, asked, jobs, skills={"align#1": 0.0, "align#2": 1.0})
    assert record.verdict is Verdict.PASS
    prompts = [prompt for prompt in asked if prompt.startswith("train")]
    assert sorted(prompts) == sorted(f"train {n}?" for n in range(12))  # each of them once
    assert record.stages["align"].attempts[2].summary["own_answers"]["asked"] == 12
    assert {row["prompt"] for row in jobs[0]["rows"]} < {row["prompt"] for row in jobs[1]["rows"]}


def test_too_few_misses_train_nothing_and_say_so(path: Path) -> None:
    jobs: list[dict[str, Any]] = []
    record = run(path, [], jobs, say=lambda case: case.references[0])
    assert record.verdict is Verdict.INVALID
    assert not jobs
    assert "too few misses: of 12 training prompts the input model missed 0, at least 2 are needed" in record.reason


def test_too_few_misses_call_for_more_rows(path: Path) -> None:
    """Of the first 8 rows none was missed, so the next attempt asks all 12."""
    asked: list[str] = []
    run(path, asked, [])
    first = {prompt for prompt in asked if prompt.startswith("train")}
    shutil.rmtree(path.parent / "run")
    jobs: list[dict[str, Any]] = []
    record = run(path, [], jobs, say=lambda case: "no" if new(case, first) else case.references[0], skills=LATER)
    assert record.verdict is Verdict.PASS
    assert [job["attempt"] for job in jobs] == ["align#2"]
    assert len(jobs[0]["rows"]) == 4
    diagnosis = record.stages["align"].attempts[1].diagnosis
    assert diagnosis is not None
    assert (diagnosis.cause, diagnosis.changes) == ("too few misses", {"rows": (8, 12)})


def new(case: Case, known: set[str]) -> bool:
    return case.prompt_text.startswith("train") and case.prompt_text not in known


def test_what_could_not_be_judged_is_left_out_counted_and_asked_again(path: Path) -> None:
    def broken(case: Case) -> str | Response:
        return Response("", error="out of order") if case.prompt_text in ("train 1?", "train 5?") else answer(case)

    jobs: list[dict[str, Any]] = []
    path.write_text(PIPELINE.replace("rows: [8, 12]", "rows: [12]"))
    record = run(path, [], jobs, say=broken)
    facts = record.stages["align"].attempts[1].summary["own_answers"]
    assert (facts["asked"], facts["not_judged"], facts["missed"], facts["used"]) == (12, 2, 4, 3)
    assert "train 1?" not in {row["prompt"] for row in jobs[0]["rows"]}
    attempt = record.stages["align"].attempts[1]
    assert len(attempt.own_answers) == 12
    assert len(judged_before([attempt])) == 10


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("judged_by: facts", "judged_by: fact", r"own_answers\.judged_by: no suite is named 'fact' \(did you mean"),
        ("method: dpo", "method: sft", "own_answers: sft cannot learn from misses; dpo, kto, orpo, reward can"),
        (
            "train.jsonl,",
            'train.jsonl, rejected: "{x}",',
            "rejected: is made from the model's own answers; leave it out",
        ),
        (
            "cases: cases.jsonl, checks: [exact]",
            'cases: {path: cases.jsonl, choices: ["{reference}", "{prompt}"]}, checks: [choice]',
            "facts lets the model choose between given answers",
        ),
        ("at_least: 2", "at_least: 0", r"own_answers\.at_least"),
        ("at_least: 2", "top_p: 1.5", r"own_answers\.top_p: should be less than or equal to 1, got 1.5"),
        (
            "at_least: 2",
            "samples: 4",
            "own_answers: samples: 4 answers at temperature 0 are identical; set `temperature`",
        ),
        ("at_least: 2", "samples: 0", r"own_answers\.samples: should be greater than or equal to 1, got 0"),
        ("at_least: 2", "top_p: 0.5", r"own_answers: top_p: has no effect at temperature 0; set `temperature` too"),
    ],
)
def test_settings_that_cannot_work_are_named(path: Path, old: str, new: str, message: str) -> None:
    path.write_text(PIPELINE.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_a_contrast_suite_can_judge_no_training_row(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = [{"rule": "case", "kind": "invariant", "prompt": "CASE?", "references": ["yes"]}]
    cases = [{"id": n, "prompt": f"case {n}?", "references": ["yes"], "members": members} for n in range(9)]
    write_jsonl(path.parent / "groups.jsonl", cases)
    groups = "{cases: groups.jsonl, checks: [{contrast: {checks: [exact]}}], plan: {draw: 5, accept: 4}}"
    path.write_text(
        PIPELINE.replace("judged_by: facts", "judged_by: groups").replace(SUITE, f"{SUITE}\n  groups: {groups}")
    )
    assert main(["check", str(path)]) == 2
    told = capsys.readouterr().err
    assert "own_answers.judged_by: groups cannot judge a training row" in told
    assert "contrast: the row has no field 'members'" in told


def test_a_check_that_needs_a_context_can_judge_no_training_row(path: Path) -> None:
    @dataclass(frozen=True)
    class Faithful(FunctionCheck):
        needs_context = True

    loaded = load(path)
    facts = replace(loaded.suites["facts"], checks=(Faithful("faithful", lambda case, text: True, "1"),))
    with pytest.raises(
        ConfigError, match="faithful: needs a context, which training rows do not have; name a suite of plain"
    ):
        check_own_answers(loaded.stages[0].spec, {"facts": facts})


def test_thumbs_up_are_filled_with_gold_and_do_not_drown_the_misses() -> None:
    rows = [Example(n, f"{n}?", {"completion": f"{n}!"}) for n in range(20)]

    def lesson(right: int) -> list[Example]:
        answers = {n: [OwnAnswer(n, f"{n}!" if n < right else "?", verdict(n < right))] for n in range(20)}
        return preference_rows("kto", rows, answers, 1).examples

    mostly_wrong, mostly_right = lesson(2), lesson(18)
    assert [sum(row.label is kind for row in mostly_wrong) for kind in (True, False)] == [18, 18]
    assert [sum(row.label is kind for row in mostly_right) for kind in (True, False)] == [6, 2]


def verdict(right: bool) -> Verdict:
    return Verdict.PASS if right else Verdict.FAIL


def test_replayed_rows_stay_as_they_are() -> None:
    general = Example(1, "?", {"chosen": "a", "rejected": "b"})
    raw = Example(1, "1?", {"completion": "1!"})
    lesson = preference_rows("dpo", [raw, general], {1: [OwnAnswer(1, "?", Verdict.FAIL)]}, 1)
    assert lesson.examples == [Example(1, "1?", {"chosen": "1!", "rejected": "?"}), general]
    assert lesson.facts["asked"] == 1


def test_a_right_answer_that_a_check_refuses_for_another_reason_is_not_unlearnt() -> None:
    raw = Example(1, "1?", {"completion": "1!"})
    lesson = preference_rows("dpo", [raw], {1: [OwnAnswer(1, " 1! ", Verdict.FAIL)]}, 1)
    assert lesson.fault is not None
    assert "missed 1 (1 not usable)" in lesson.fault
    assert judged_before([AttemptRecord(1, 0, {}, "")]) == {}


# --- several answers to each prompt --------------------------------------------------------------------------------


def given(number: int, *verdicts: tuple[str, Verdict]) -> list[OwnAnswer]:
    return [OwnAnswer(number, text, verdict) for text, verdict in verdicts]


P, F, X = Verdict.PASS, Verdict.FAIL, Verdict.INVALID
ROWS = [Example(n, f"{n}?", {"completion": f"{n}!"}) for n in range(5)]
SAMPLED = {
    0: given(0, ("bad", F), ("good 0", P), ("fine 0", P)),
    1: given(1, ("bad", F), ("worse", F), ("bad", F)),
    2: given(2, ("good 2", P), ("good 2", P), ("good 2", P)),
    3: given(3, ("both", P), ("both ", F), ("", F)),
    4: given(4, ("lost", X), ("4!", F), ("off", F)),
}


def test_a_pair_is_a_right_and_a_wrong_answer_to_the_same_prompt() -> None:
    lesson = preference_rows("dpo", ROWS, SAMPLED, 3)
    assert [(row.number, row.answers["chosen"], row.answers["rejected"]) for row in lesson.examples] == [
        (0, "good 0", "bad"),
        (1, "1!", "bad"),
        (4, "4!", "off"),
    ]
    assert lesson.facts == {"asked": 5, "answers": 15, "passed": 6, "missed": 8, "not_judged": 1, "used": 3}


def test_every_different_answer_gets_a_label() -> None:
    lesson = preference_rows("kto", ROWS, SAMPLED, 3)
    assert [(row.number, row.answers["completion"]) for row in lesson.examples if not row.label] == [
        (0, "bad"),
        (1, "bad"),
        (1, "worse"),
        (4, "off"),
    ]
    good = [(row.number, row.answers["completion"]) for row in lesson.examples if row.label]
    assert good == [(0, "good 0"), (0, "fine 0"), (2, "good 2"), (3, "both")]


def test_too_few_prompts_with_a_miss_are_counted_in_prompts() -> None:
    fault = preference_rows("dpo", ROWS, SAMPLED, 4).fault
    assert fault is not None
    assert fault.startswith(
        "too few misses: of 15 answers to 5 training prompts the input model missed 8 (3 not usable) (1 could not be "
        "judged), on 3 prompts, at least 4 are needed; "
    )


def test_a_row_with_an_answer_that_was_not_judged_is_asked_again_whole() -> None:
    first = replace(AttemptRecord(1, 0, {}, ""), own_answers=tuple(SAMPLED[0] + SAMPLED[4]))
    assert judged_before([first], 3) == {0: SAMPLED[0]}
    again = given(4, ("4!", P), ("4!", P), ("off", F))
    assert judged_before([first, replace(first, own_answers=tuple(again))], 3) == {0: SAMPLED[0], 4: again}


@pytest.mark.parametrize("method", ["dpo", "kto", "orpo"])
def test_each_prompt_is_asked_as_often_as_the_file_says(path: Path, method: str) -> None:
    """The second answer to an even prompt is wrong, and to an odd prompt right."""
    turn: dict[str, int] = {}

    def sampled(case: Case) -> str | Response:
        if not case.prompt_text.startswith("train"):
            return case.references[0]
        number = int(case.prompt_text.removeprefix("train ").removesuffix("?"))
        turn[case.prompt_text] = turn.get(case.prompt_text, 0) + 1
        return f"{number}!" if (number + turn[case.prompt_text]) % 2 else f"wrong {number}"

    sampling = "at_least: 2, samples: 3, temperature: 0.7"
    path.write_text(PIPELINE.replace("at_least: 2", sampling).replace("dpo", method))
    jobs: list[dict[str, Any]] = []
    record = run(path, [], jobs, say=sampled)
    assert record.verdict is Verdict.PASS
    assert set(turn.values()) == {3}
    (event,) = events(path, "own_answers")
    assert len(event["answers"]) == 24
    assert event["settings"]["samples"] == 3
    for row in jobs[0]["rows"]:
        number = int(row["prompt"].removeprefix("train ").removesuffix("?"))
        right, wrong = f"{number}!", f"wrong {number}"
        if method == "kto":
            assert row["completion"] == (right if row["label"] else wrong)
        else:
            assert (row["chosen"], row["rejected"]) == (right, wrong)
    assert len(jobs[0]["rows"]) == (16 if method == "kto" else 8)


def test_a_real_model_gives_several_different_answers_and_the_same_again(path: Path, tmp_path: Path) -> None:
    suite = load(path).suites["facts"]
    hot = replace(suite, settings=replace(suite.settings, temperature=5.0, max_new_tokens=4))
    model = open_real_model(str(make_tiny_model(tmp_path / "tiny")), dtype="float32")
    once = ask_rows(hot, model, ROWS[:3], lambda *_: None, 4)
    assert [answer.number for answer in once] == [n for n in range(3) for _ in range(4)]
    assert all(len({answer.response for answer in some}) > 1 for some in by_row(once).values())
    assert ask_rows(hot, model, ROWS[:3], lambda *_: None, 4) == once
    first = {n: some[0].response for n, some in by_row(once).items()}
    assert {one.number: one.response for one in ask_rows(hot, model, ROWS[:3], lambda *_: None)} == first
