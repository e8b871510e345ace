"""Gates of a stage that ask the same bank with the same settings: one draw, one set of answers, each its own checks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fake_pipeline import PIPELINE, Killed, carry_out, killed_after, open_model, tools, write_pipeline
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.models.model import GenerationSettings, Response, ScriptedModel
from tunegate.models.shared_answers import SharedAnswers
from tunegate.record.recheck import recheck_all
from tunegate.training.tools import Tools

OTHER_BANK = PIPELINE.replace("style: {cases: cases.jsonl", 'style: {cases: {path: cases.jsonl, id: "s{id}"}', 1)
OTHER_SETTINGS = PIPELINE.replace("  style: {cases", "  style: {generate: {max_new_tokens: 9}, cases", 1)


def counting(asked: Counter[tuple[str, str]]) -> Tools:
    """How often each model was asked each case."""

    def opened(path: str) -> ScriptedModel:
        inner = open_model(path)

        def answer(case: Case) -> str | Response:
            asked[Path(path).parent.name + Path(path).parent.parent.name, case.id] += 1
            return inner.script(case)

        return replace(inner, script=answer)

    return replace(tools(), open_model=opened)


def test_they_draw_the_same_cases_and_the_model_is_asked_once(tmp_path: Path) -> None:
    asked: Counter[tuple[str, str]] = Counter()
    run = carry_out(write_pipeline(tmp_path / "project"), counting(asked))
    assert run.verdict is Verdict.PASS
    gates = [attempt.gates for stage in run.stages.values() for attempt in stage.attempts.values()]
    for own in gates:
        for suffix in ("", " (confirm)", " (retention)"):
            facts, style = own.get(f"facts{suffix}"), own.get(f"style{suffix}")
            if facts and style:
                assert facts.case_ids == style.case_ids
                shared = facts.answers.responses.keys() & style.answers.responses.keys()
                assert {name: facts.answers.responses[name] for name in shared} == {
                    name: style.answers.responses[name] for name in shared
                }
    in_gates = {key: times for key, times in asked.items() if key[0].startswith("attempt")}
    diagnosed = {case_id for (_, case_id) in in_gates if case_id.isdigit()}
    assert diagnosed
    assert {times for key, times in in_gates.items() if key[0] != "attempt-1sft"} == {1}
    assert recheck_all(run) == len(run.all_gates())


def test_each_attempt_is_asked_what_none_of_them_was_asked(tmp_path: Path) -> None:
    run = carry_out(write_pipeline(tmp_path / "project"))
    first, second = run.stages["sft"].attempts.values()
    opened = first.gates["facts"].seen | first.gates["style"].seen
    assert not opened & (set(second.gates["facts"].case_ids) | set(second.gates["style"].case_ids))


@pytest.mark.parametrize("text", [OTHER_BANK, OTHER_SETTINGS], ids=["another bank", "other settings"])
def test_others_draw_for_themselves(tmp_path: Path, text: str) -> None:
    assert text != PIPELINE
    run = carry_out(write_pipeline(tmp_path / "project", text))
    gates = run.stages["sft"].attempts[2].gates
    facts, style = (set(gates[name].case_ids) for name in ("facts", "style"))
    assert facts != {case_id.removeprefix("s") for case_id in style}
    assert gates["facts"].seed != gates["style"].seed


@pytest.mark.parametrize(("dtype", "passed"), [(None, 5), ("float32", 0)])
def test_a_run_that_is_interrupted_asks_nothing_again_and_shares_what_is_on_record(
    tmp_path: Path, dtype: str | None, passed: int
) -> None:
    """A model that would answer otherwise after the interruption: both gates judge the answers of before, unless the
    model is open with another number type, as it may be on another machine."""
    path = write_pipeline(tmp_path / "project")
    whole = carry_out(path, run="whole")
    style = next(n for n, gate in enumerate(whole.all_gates()) if gate.key == "style" and gate.attempt == 2)

    with pytest.raises(Killed):
        carry_out(path, open_log=killed_after(_events_before(path.parent / "whole", "style", 2)))
    other = {"script": lambda case: "other", "dtype": dtype}
    silent = replace(tools(), open_model=lambda place: replace(open_model(place), **other))
    run = carry_out(path, silent)
    gate = run.all_gates()[style]
    assert (gate.key, gate.passed, gate.dtype) == ("style", passed, dtype)


def _events_before(folder: Path, gate: str, attempt: int) -> int:
    from tunegate.record.event_log import read_events

    for number, event in enumerate(read_events(folder)):
        if event["event"] == "gate_started" and (event["gate"], event["attempt"]) == (gate, attempt):
            return number
    raise AssertionError


def test_what_failed_is_asked_again_and_repeats_are_questions_of_their_own() -> None:
    said = iter(["", "a", "b", "c"])

    def answer(case: Case) -> Response:
        text = next(said)
        return Response(text, "stop", error=None if text else "out of memory")

    model = SharedAnswers(ScriptedModel(answer, sha256="w"))
    one, repeat = Case("1", "?"), Case("1 [sample 2]", "?")
    settings = GenerationSettings()
    assert dict(model.generate([one], settings))[0].error == "out of memory"
    assert [response.text for _, response in sorted(model.generate([one, repeat], settings))] == ["a", "b"]
    assert [response.text for _, response in sorted(model.generate([repeat, one], settings))] == ["b", "a"]
    assert dict(model.generate([one], replace(settings, max_new_tokens=9)))[0].text == "c"
