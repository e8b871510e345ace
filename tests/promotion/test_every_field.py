"""What a record tells beside its verdicts must be true too: one field is edited, the chain of hashes is made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_pipeline import PIPELINE, SUITE, carry_out, tools, write_pipeline
from tests.support.record_edits import Events, events_of, set_at, write
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.ledger.ledger import FILE, FOLDER, Ledger
from tunegate.record.event_log import EVENTS


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a ledger and a run: `sft` missed once and passed at its second attempt."""
    path = write_pipeline(tmp_path_factory.mktemp("every") / "project", PIPELINE.partition("promote:")[0], 90)
    run = carry_out(path, replace(tools(), ledger=Ledger(path.parent / FOLDER)))
    assert run.verdict is Verdict.PASS
    return path.parent


@pytest.fixture
def forge(honest: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Rewrites the record with a change, and gives what `verify` says of it: its exit code and its line."""
    monkeypatch.delenv("TUNEGATE_LEDGER", raising=False)
    true = (honest / "run" / EVENTS).read_bytes()

    def forged(change: Callable[[Events], Events]) -> tuple[int, str]:
        (honest / "run" / EVENTS).unlink(missing_ok=True)
        events = change(json.loads(json.dumps(original)))
        write(honest / "run", events)
        code = main(["verify", str(honest / "run")])
        return code, capsys.readouterr().err

    original = events_of(honest / "run")
    yield forged
    (honest / "run" / EVENTS).write_bytes(true)


def test_the_record_as_it_was_is_true(forge: Any) -> None:
    """Else the tests below would find nothing."""
    assert forge(lambda events: events) == (0, "")


TOLD = [
    ("run_started", "model", "/models/llama-70b", "names another base model"),
    ("run_started", "data.sft.rows", 90_000, "registers other data of stage 'sft'"),
    ("run_started", "data.sft.sha256", "0" * 64, "registers other data of stage 'sft'"),
    ("attempt_started", "seed", 7, "attempt 1 has another seed"),
    ("attempt_started", "input_sha256", "0" * 64, "started from other weights"),
    ("gate_started", "model_sha256", "0" * 64, "no verdict about the model of this attempt"),
    ("gate_started", "seed", 7, "drawn with another seed"),
    ("gate_started", "bank", 5000, "the size of its bank"),
    ("gate_started", "settings.temperature", 0.9, "asked with other settings"),
    ("gate_started", "terms.ask_again", 9, "has other terms"),
    ("gate_started", "questions", [], "has another draw for it, or none"),
    ("gate_started", "ledger.lineage", 3, "counts 0 attempts before it, 3 of them"),
    ("gate_started", "ledger.before", 3, "counts 3 attempts before it"),
    ("gate_started", "ledger.entry", "0" * 64, "has another draw for it, or none"),
    ("gate_started", "ledger.repeats", "0" * 64, "has another draw for it, or none"),
    ("gate_started", "ledger", {"why_not": "none was asked for"}, "the record says that there was no ledger"),
    ("outcome", "outcome.reason", "nearly right", "its findings give another reason"),
    ("outcome", "outcome.findings.0.value", 0.5, "exact tells something else"),
    ("outcome", "outcome.findings.0.reason", "nearly right", "exact tells something else"),
    ("outcome", "outcome.findings.0.cutoff", 0.1, "exact tells something else"),
    ("outcome", "outcome.findings.0.version", "9", "exact tells something else"),
    ("outcome", "outcome.judged", "another part", "another part of its answer is judged"),
    ("gate_decided", "interval.0", 0.9, "another interval"),
    ("gate_decided", "error_categories", {"refusal": 0}, "other numbers of errors by category"),
    ("gate_decided", "reason", "a server was down", "another reason"),
    ("gate_decided", "reasons.0.facts.missed", 1, "another reason"),
    ("gate_decided", "drawn", 500, "decided on another plan"),
    ("stage_decided", "luck.facts.shows", 0.001, "another chance of a lucky pass"),
    ("stage_decided", "luck.facts.attempts", 1, "another chance of a lucky pass"),
    ("stage_decided", "luck", {}, "another chance of a lucky pass"),
    ("stage_decided", "reason", "facts: 500 of 500", "passed for another reason"),
    ("run_decided", "reason", "every gate passed twice", "passed for another reason"),
]


@pytest.mark.parametrize(("kind", "path", "value", "said"), TOLD, ids=lambda one: str(one)[:30])
def test_what_a_reader_is_told_must_follow(forge: Any, kind: str, path: str, value: object, said: str) -> None:
    def change(events: Events) -> Events:
        assert set_at(events, kind, path, value)
        return events

    code, line = forge(change)
    assert code == 5
    assert said in line


def without(kind: str, key: str) -> Callable[[Events], Events]:
    def change(events: Events) -> Events:
        for event in events:
            if event["event"] == kind:
                event.pop(key)
        return events

    return change


def test_a_verdict_cannot_lose_its_reasons_as_if_it_were_older(forge: Any) -> None:
    code, line = forge(without("gate_decided", "reasons"))
    assert (code, "a verdict without reasons on record" in line) == (5, True)


def test_the_verdict_of_a_missed_attempt_cannot_be_left_out(forge: Any) -> None:
    def change(events: Events) -> Events:
        first = next(event for event in events if event["event"] == "gate_decided")
        return [event for event in events if event is not first]

    code, line = forge(change)
    assert (code, "has no verdict about the model of this attempt" in line) == (5, True)


def first_attempt_hidden(events: Events) -> Events:
    """The second attempt as if it were the first: nothing that confirms it, and no chance of luck but its own."""
    kept = [
        event
        for event in events
        if (event.get("stage"), event.get("attempt")) != ("sft", 1) and event.get("purpose") != "confirm"
    ]
    for event in kept:
        if (event.get("stage"), event.get("attempt")) == ("sft", 2):
            event["attempt"] = 1
    return kept


def test_an_attempt_cannot_be_left_out(forge: Any) -> None:
    assert forge(first_attempt_hidden)[0] == 5


def test_an_attempt_cannot_be_left_out_where_the_ledger_is_gone(forge: Any, honest: Path) -> None:
    ledger = honest / FOLDER
    ledger.rename(honest / "gone")
    try:
        code, line = forge(lambda events: resaid(first_attempt_hidden(events)))
    finally:
        (honest / "gone").rename(ledger)
    assert (code, "another seed than the pipeline gives it" in line) == (5, True)


def resaid(events: Events) -> Events:
    """With the reason and the chance of luck that a pass at the first attempt has."""
    luck: dict[str, Any] = next(event["luck"] for event in events if event.get("stage") == "align" and "luck" in event)
    for event in events:
        if event["event"] == "stage_decided" and event["stage"] == "sft":
            event["luck"] = {name: {**luck["facts"], "limit": 3, **OF_THREE} for name in event["luck"]}
            event["reason"] = "facts: 5 of 5, 4 needed; style: 5 of 5, 4 needed"
    return events


OF_THREE = {"within_limit": 0.9849282356485665, "so_far": 0.8352100000000001}


def test_cases_cannot_be_chosen(forge: Any) -> None:
    """A draw of the cases that a model gets right, with their true questions: only the seed tells."""

    def change(events: Events) -> Events:
        last = [event for event in events if event.get("stage") == "align"]
        drawn = next(event for event in last if event["event"] == "gate_started" and event["purpose"] == "gate")
        drawn["case_ids"] = drawn["case_ids"][::-1]
        drawn["questions"] = drawn["questions"][::-1]
        drawn["ledger"] = {"why_not": "none was asked for"}
        return events

    code, line = forge(change)
    assert code == 5
    assert "its cases are not those that its seed draws from the bank" in line


def test_a_ledger_of_others_decides_nothing(forge: Any, honest: Path, tmp_path: Path) -> None:
    other = write_pipeline(tmp_path / "other", PIPELINE.partition("promote:")[0], 90)
    carry_out(other, replace(tools(), ledger=Ledger(tmp_path / FOLDER)))
    own = honest / FOLDER / FILE
    true = own.read_bytes()
    own.write_bytes((tmp_path / FOLDER / FILE).read_bytes())
    try:
        code, line = forge(lambda events: events)
    finally:
        own.write_bytes(true)
    assert code == 3
    assert "name its folder in TUNEGATE_LEDGER" in line


def test_a_ledger_that_is_gone_is_named(
    honest: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TUNEGATE_LEDGER", raising=False)
    (honest / FOLDER).rename(honest / "gone")
    try:
        assert main(["verify", str(honest / "run")]) == 0
    finally:
        (honest / "gone").rename(honest / FOLDER)
    assert "but not by the ledger, which is gone" in capsys.readouterr().out


def test_a_suite_that_its_file_names_otherwise_has_its_draws_in_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`suites: {facts: blimp.yaml}`: the ledger has the name of the file."""
    text = PIPELINE.replace(f"  facts: {SUITE}", "  facts: another.yaml").partition("promote:")[0]
    path = write_pipeline(tmp_path / "project", PIPELINE, 90)
    path.with_name("another.yaml").write_text("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 5, accept: 4}\n")
    path.write_text(text)
    run = carry_out(path, replace(tools(), ledger=Ledger(path.parent / FOLDER)))
    assert run.verdict is Verdict.PASS
    assert {entry.drawn.suite for entry in Ledger(path.parent / FOLDER).read().entries} == {"another", "style"}
    monkeypatch.delenv("TUNEGATE_LEDGER", raising=False)
    assert main(["verify", str(run.folder)]) == 0
