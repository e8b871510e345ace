"""A gate whose verdict is people's: it waits for labels, and is decided on the same answers once they are there."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, carry_out, write_pipeline
from tests.support.reviewed import data_of, gate_to_review, page_of, right_by_reference, write_review
from tunegate.cases.case import Case
from tunegate.checks.check import Sample, judge
from tunegate.checks.outcome import of_samples
from tunegate.cli import main
from tunegate.gates.people import answer_sha256
from tunegate.models.model import Response
from tunegate.record.awaiting import awaiting
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate.reviewing.sheet import items_of
from tunegate_suites import build_check

Capture = pytest.CaptureFixture[str]
COMMAND = "tunegate review gate --missing --out review.html"
GATE = ["gate", "--responses", "gate.jsonl", "--suite", "facts.yaml", "--run", "gate"]


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gate of 100 answers that nobody has labelled."""
    monkeypatch.chdir(tmp_path)
    return gate_to_review(tmp_path, checks=[{"human": "labels.jsonl"}], plan={"draw": 100, "accept": 80})


def label(gate: Path, *words: str, name: str = "ann", wrong: tuple[str, ...] = ()) -> None:
    """What a reviewer says of the answers that wait, merged into the file of labels."""
    page = page_of(gate, "--missing", "--reviewer", name, *words)
    path = write_review(Path(f"{name}.jsonl"), page, name, lambda item, turn: right_by_reference(item, wrong))
    assert main(["review", "merge", str(path), "--out", "labels.jsonl"]) == 0


def asked(gate: Path) -> int:
    """How often the record says that answers came in."""
    return (gate / EVENTS).read_text().count('"answered"')


def test_a_gate_waits_for_people_and_is_decided_on_the_same_answers(waiting: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert main(GATE) == 4
    said = capsys.readouterr().out
    assert "INCONCLUSIVE: 0 of 100, 80 needed" in said
    assert f"labels: 100 answers wait for people: {COMMAND}; then run the same command again" in said
    answers = asked(waiting)
    label(waiting, "--n", "60")
    capsys.readouterr()
    assert main(GATE) == 4
    assert "labels: 40 answers wait for people" in capsys.readouterr().out
    for _ in range(5):  # more often than a judge may be asked
        assert main(GATE) == 4
    label(waiting)
    assert len(Path("labels.jsonl").read_text().splitlines()) == 100
    capsys.readouterr()
    assert main(GATE) == 0
    assert "PASS: 90 of 100, 80 needed" in capsys.readouterr().out
    assert asked(waiting) == answers
    [gate] = read_run(waiting).all_gates()
    assert len(gate.case_ids) == 100
    before = (waiting / EVENTS).read_text()
    assert main(GATE) == 0
    assert (waiting / EVENTS).read_text() == before


def test_a_page_of_what_is_missing_shows_only_that(waiting: Path) -> None:
    label(waiting, "--n", "60")
    main(GATE)
    labelled = {json.loads(line)["case_id"] for line in Path("labels.jsonl").read_text().splitlines()}
    data = data_of(page_of(waiting, "--missing"))
    assert len(data["items"]) == 40
    assert not labelled & {item["id"] for item in data["items"]}


def test_of_several_answers_only_those_without_a_label_are_shown(waiting: Path, tmp_path: Path) -> None:
    """A model asked three times gives answers of which some may have a label already."""
    cases = [Case(f"c{n}", f"Number {n}?", (f"{n}",)) for n in range(4)]
    samples = [Sample(case, Response(f"{case.id} {turn}", "stop")) for case in cases for turn in range(3)]
    rows = [{"case_id": one.case.id, "response": one.response.text, "label": "right"} for one in samples[::3]]
    write_jsonl(tmp_path / "labels.jsonl", rows)
    check = build_check({"human": "labels.jsonl"}, tmp_path)
    judged = list(judge([check], samples))
    outcomes = tuple(of_samples(judged[start : start + 3], "all") for start in range(0, 12, 3))
    assert all(one.awaits_label for one in outcomes)
    [gate] = read_run(waiting).all_gates()
    shown = items_of(replace(gate, outcomes=outcomes), only_missing=True)
    assert [item.answers for item in shown] == [(f"c{n} {turn}",) for n in range(4) for turn in (1, 2)]


def test_the_report_names_the_command(waiting: Path) -> None:
    main(GATE)
    page = (waiting / "report.html").read_text()
    assert "100 of 100 wait for people&#x27;s labels" in page
    assert "tunegate review gate --missing --out review.html" in page


def test_enough_wrong_answers_decide_without_the_rest(waiting: Path, capsys: Capture) -> None:
    """21 wrong of 100 cannot pass, whatever the other labels are."""
    [gate] = read_run(waiting).all_gates()
    rows = [
        {"case_id": one.case_id, "response_sha256": answer_sha256(one.response), "label": "wrong"}
        for one in gate.outcomes[:21]
    ]
    write_jsonl(Path("labels.jsonl"), rows)
    assert main(GATE) == 1


def test_an_answer_that_people_did_not_decide_is_invalid(waiting: Path, capsys: Capture) -> None:
    label(waiting)
    rows = [json.loads(line) for line in Path("labels.jsonl").read_text().splitlines()]
    write_jsonl(Path("labels.jsonl"), [*rows[:3], {**rows[3], "label": "can't tell"}, *rows[4:]])
    capsys.readouterr()
    assert main(GATE) == 3
    assert "people did not decide whether it is right" in capsys.readouterr().out
    write_jsonl(Path("labels.jsonl"), rows)  # they made up their minds
    assert main(GATE) == 0


def test_labels_of_another_models_answers_do_not_count(waiting: Path, tmp_path: Path, capsys: Capture) -> None:
    """A model that was trained again gives other answers, and needs other labels."""
    label(waiting)
    assert main(GATE) == 0
    rows = [json.loads(line) for line in (tmp_path / "gate.jsonl").read_text().splitlines()]
    write_jsonl(tmp_path / "next.jsonl", [{**row, "response": f"{row['response']}!"} for row in rows])
    capsys.readouterr()
    assert main([*GATE[:2], "next.jsonl", *GATE[3:-1], "next"]) == 4
    assert "labels: 100 answers wait for people" in capsys.readouterr().out


def test_labels_of_another_question_do_not_count(waiting: Path, capsys: Capture) -> None:
    """Another suite has the same ids, and the same short answers: there, they are wrong."""
    label(waiting)
    assert main(GATE) == 0
    rows = [json.loads(line) for line in Path("cases.jsonl").read_text().splitlines()]
    write_jsonl(Path("other.jsonl"), [{**row, "prompt": f"{row['prompt']} And one more?"} for row in rows])
    Path("other.yaml").write_text(Path("facts.yaml").read_text().replace("cases.jsonl", "other.jsonl"))
    capsys.readouterr()
    assert main([*GATE[:4], "other.yaml", "--run", "other"]) == 4
    assert "labels: 100 answers wait for people" in capsys.readouterr().out


def test_a_label_that_changes_while_others_are_missing_counts_as_it_is_now(waiting: Path, capsys: Capture) -> None:
    label(waiting, "--n", "85", wrong=())
    assert main(GATE) == 4
    rows = [json.loads(line) for line in Path("labels.jsonl").read_text().splitlines()]
    assert sum(row["label"] == "right" for row in rows) > 70
    write_jsonl(Path("labels.jsonl"), [{**row, "label": "wrong"} for row in rows[:40]] + rows[40:])
    capsys.readouterr()
    assert main(GATE) == 1
    failed = sum(row["label"] == "wrong" for row in rows[40:]) + 40
    [gate] = read_run(waiting).all_gates()
    assert gate.failed == failed
    assert main(["verify", "gate"]) in (0, 1)


def test_a_reviewer_counts_once(waiting: Path, capsys: Capture) -> None:
    """Ann's file is there twice, under two spellings of her name: against Bob she has no majority."""
    [gate] = read_run(waiting).all_gates()
    rows = [{"case_id": one.case_id, "response": one.response} for one in gate.outcomes]
    said = [("ann", "right"), ("Ann ", "right"), ("bob", "wrong")]
    write_jsonl(Path("labels.jsonl"), [{**row, "reviewer": who, "label": what} for row in rows for who, what in said])
    assert main(GATE) == 3
    assert "people did not decide" in capsys.readouterr().out
    more = {**rows[0], "reviewer": "ANN", "label": "wrong"}
    write_jsonl(Path("labels.jsonl"), [{**rows[0], "reviewer": "ann", "label": "right"}, more])
    assert main(GATE) == 2
    assert "labels.jsonl:2: 'ANN' says something else of this answer on line 1" in capsys.readouterr().err


def test_the_hash_of_the_labels_is_on_record_and_verify_judges_again(waiting: Path, capsys: Capture) -> None:
    label(waiting)
    assert main(GATE) == 0
    from tunegate.hashes import sha256_of

    [gate] = read_run(waiting).all_gates()
    assert {one.findings[0].version for one in gate.outcomes} == {f"1 (labels {sha256_of(Path('labels.jsonl'))})"}
    assert main(["report", "gate", "--recheck"]) == 0
    text = Path("labels.jsonl").read_text()
    case_id = gate.outcomes[0].case_id
    other = {"right": "wrong", "wrong": "right"}
    rows = [json.loads(line) for line in text.splitlines()]
    write_jsonl(
        Path("labels.jsonl"),
        [{**row, "label": other[row["label"]]} if row["case_id"] == case_id else row for row in rows],
    )
    capsys.readouterr()
    assert main(["report", "gate", "--recheck"]) == 5
    assert "human finds" in capsys.readouterr().err
    Path("labels.jsonl").unlink()
    assert main(["report", "gate", "--recheck"]) == 3
    assert "human can't judge its answer again here: nobody has labelled this answer yet" in capsys.readouterr().err


def test_the_ledger_counts_one_attempt_and_its_last_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("TUNEGATE_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.chdir(tmp_path)
    gate = gate_to_review(tmp_path, checks=[{"human": "labels.jsonl"}], plan={"draw": 100, "accept": 80})
    label(gate)
    assert main(GATE) == 0
    written = "".join(path.read_text() for path in (tmp_path / "ledger").rglob("*.jsonl"))
    lines = [json.loads(one) for one in written.splitlines()]
    assert [one["verdict"] for one in lines if one.get("verdict")] == ["PASS"]


def test_the_folder_of_a_gate_that_waits_is_found_again(waiting: Path, capsys: Capture) -> None:
    """Also where the folder is not named: the same command resumes it."""
    command = GATE[:-2]
    assert main(command) == 4
    [folder] = Path("tunegate-runs").iterdir()
    label(folder)
    assert main(command) == 0
    assert [one for one in Path("tunegate-runs").iterdir() if one.is_dir()] == [folder]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"case_id": "q1", "label": "right"}\n', "human.labels: .*labels.jsonl:1: expected the answer"),
        (
            '{"case_id": "q1", "response": "2", "label": "maybe"}\n',
            "human.labels: .*labels.jsonl:1: label: expected one",
        ),
        ('{"case_id": "q1", "resp', "human.labels: .*labels.jsonl:1: "),
    ],
)
def test_a_wrong_file_of_labels_is_one_line(waiting: Path, capsys: Capture, text: str, message: str) -> None:
    Path("labels.jsonl").write_text(text)
    capsys.readouterr()
    assert main(GATE) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(message, said), said


def test_check_says_that_labels_are_missing(waiting: Path, capsys: Capture) -> None:
    assert main(["check", "facts.yaml"]) == 0
    assert "labels.jsonl is not there yet" in capsys.readouterr().out


# --- in a pipeline ---------------------------------------------------------------------------------------------------

HUMAN = PIPELINE.replace("checks: [exact]", "checks: [{human: labels.jsonl}]", 1)
"""People decide the gate `facts` of both stages."""


def test_a_run_waits_for_people_at_each_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_pipeline(tmp_path / "p", HUMAN)
    waited: list[str] = []
    for turn in range(5):
        run = carry_out(path)
        if run.verdict != "INCONCLUSIVE":
            break
        [gate] = awaiting(run)
        stage = f"{gate.stage}#{gate.attempt}"
        waited.append(f"{stage} {gate.key}")
        page = page_of(path.parent / "run", "--missing", "--reviewer", "ann")
        said = write_review(tmp_path / f"{turn}.jsonl", page, "ann", lambda item, _: right_by_reference(item))
        out = str(path.parent / "labels.jsonl")
        assert main(["review", "merge", str(said), "--of", f"{run.folder}@{stage}", "--out", out]) == 0
    assert run.verdict == "PASS"
    assert waited == ["sft#2 facts", "sft#2 facts (confirm)", "align#1 facts"]
    assert {times for gate in run.all_gates() for times in gate.answers.times_asked.values()} == {1}
    assert [list(stage.attempts) for stage in run.stages.values()] == [[1, 2], [1]]
    assert run.promotions
    assert main(["verify", str(path.parent / "run")]) == 0


def test_real_weights_are_asked_once_and_people_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other weights give other answers, so their gate waits again: no label of the first model counts."""
    from tests.support.tiny_model import make_tiny_model

    monkeypatch.chdir(tmp_path)
    cases = [{"id": f"q{n}", "prompt": f"What is gene {n}?", "reference": "?"} for n in range(20)]
    write_jsonl(tmp_path / "cases.jsonl", cases)
    data = {"cases": "cases.jsonl", "checks": [{"human": "labels.jsonl"}], "generate": {"max_new_tokens": 8}}
    (tmp_path / "facts.yaml").write_text(json.dumps({**data, "plan": {"draw": 20, "accept": 15}}))
    for seed, verdict in ((0, 0), (1, 1)):
        model = str(make_tiny_model(tmp_path / f"model{seed}", seed=seed))
        gate = ["gate", model, "--suite", "facts.yaml", "--run", f"gate{seed}"]
        assert main(gate) == 4
        [waits] = read_run(Path(f"gate{seed}")).all_gates()
        assert waits.awaits_labels == 20
        said = {one.case_id: one.response for one in waits.outcomes}
        page = page_of(tmp_path / f"gate{seed}", "--missing", "--reviewer", "ann")
        label = ("right", "wrong")[verdict]
        path = write_review(tmp_path / f"ann{seed}.jsonl", page, "ann", lambda item, turn, label=label: label)
        assert main(["review", "merge", str(path), "--out", "labels.jsonl"]) == 0
        assert main(gate) == verdict
        [decided] = read_run(Path(f"gate{seed}")).all_gates()
        assert {one.case_id: one.response for one in decided.outcomes} == said
        assert set(decided.answers.times_asked.values()) == {1}
