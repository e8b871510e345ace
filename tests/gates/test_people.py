"""`tunegate report --labels FILE`: the pass rate that people would find, from labels of some of a gate's answers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.gates.people import people_rate, rates_of, read_people
from tunegate.record.read_run import read_run
from tunegate.stats.labelled import LabelledAnswers, labelled_rate

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def run(make_bank: Any, tmp_path: Path) -> Path:
    """A gate of 100 stored answers, of which its check passes 95."""
    bank = make_bank()
    assert main(["gate", "--responses", bank.answers(95), "--suite", bank.suite, "--run", "out"]) == 0
    return Path("out")


def labels(run: Path, path: Path, number: int = 60, wrong: int = 6, **more: Any) -> Path:
    """People's labels of the first answers on record: the last `wrong` of them are not right."""
    [gate] = read_run(run).all_gates()
    rows = [
        {
            "case_id": one.case_id,
            "response_sha256": hashlib.sha256(one.response.encode()).hexdigest(),
            "label": place < number - wrong,
            **more,
        }
        for place, one in enumerate(gate.outcomes[:number])
    ]
    return write_jsonl(path, rows)


def test_the_rate_is_in_terminal_json_and_report(run: Path, tmp_path: Path, capsys: Capture) -> None:
    path = labels(run, tmp_path / "labels.jsonl")
    capsys.readouterr()
    assert main(["report", str(run), "--labels", str(path), "--json"]) == 0
    [gate] = json.loads(capsys.readouterr().out)["gates"]
    [record] = read_run(run).all_gates()
    first = [(place < 54, outcome.verdict == "PASS") for place, outcome in enumerate(record.outcomes[:60])]
    others = [outcome.verdict == "PASS" for outcome in record.outcomes[60:]]
    expected = labelled_rate(
        LabelledAnswers(
            first.count((True, True)),
            first.count((True, False)),
            first.count((False, True)),
            first.count((False, False)),
            len(others),
            sum(others),
        )
    )
    assert gate["people"]["rate"]["rate"] == expected.rate
    assert gate["people"]["rate"]["interval"] == list(expected.interval)
    assert (gate["people"]["answers"], gate["people"]["other"]) == (100, 0)
    assert main(["report", str(run), "--labels", str(path), "--html", "r.html"]) == 0
    words = f"eople would pass {expected.rate:.1%} of the answers"
    assert words in capsys.readouterr().out
    assert words in Path("r.html").read_text()
    assert "from 60 labels of 100 answers" in Path("r.html").read_text()


def test_an_answer_may_be_given_by_its_text_and_judged_by_several(run: Path, tmp_path: Path) -> None:
    [gate] = read_run(run).all_gates()
    rows: list[dict[str, Any]] = []
    for outcome in gate.outcomes[:40]:
        row = {"case_id": outcome.case_id, "response": outcome.response}
        rows += [{**row, "label": label} for label in ("right", "Wrong", "Correct")]
    rows += [{**rows[0], "label": "wrong", "repeat_of": 1}] * 9
    tie = {"case_id": gate.outcomes[50].case_id, "response": gate.outcomes[50].response}
    rows += [{**tie, "label": "pass"}, {**tie, "label": "fail"}, {**tie, "label": "can’t tell"}]
    found = read_people(write_jsonl(tmp_path / "labels.jsonl", rows))
    said = [found.verdict(one.case_id, one.prompt, one.response) for one in gate.outcomes]
    assert (said.count(Verdict.PASS), said.count(Verdict.INVALID), said.count(Verdict.FAIL)) == (40, 1, 0)
    rate = people_rate(gate, found)
    assert rate is not None
    assert (rate.rate.labels, rate.undecided) == (40, 1)
    assert "people did not decide 1 of them" in rate.in_words


def test_labels_of_another_models_answers_do_not_count(run: Path, tmp_path: Path) -> None:
    path = labels(run, tmp_path / "labels.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    stale = [{**row, "response_sha256": "0" * 64} for row in rows[:30]]
    [gate] = read_run(run).all_gates()
    found = people_rate(gate, read_people(write_jsonl(path, [*stale, *rows[30:]])))
    assert found is not None
    assert (found.rate.labels, found.other) == (30, 30)
    assert "30 labels are of other answers to these cases, and do not count" in found.in_words
    with pytest.raises(
        ConfigError,
        match="and at most 0 are here: of 30 answers with a label, 0 have",
    ):
        rates_of([gate], write_jsonl(path, stale))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"response": "x", "label": True}, ":1: `case_id` is missing or empty"),
        ({"case_id": "c", "label": True}, ":1: expected the answer as `response`"),
        ({"case_id": "c", "response": 4, "label": True}, ":1: expected the answer as `response` .text. .* got 4"),
        ({"case_id": "c", "response": "x"}, ":1: `label` is missing"),
        ({"case_id": "c", "response": "x", "label": "perhaps"}, ":1: label: expected one of .* got 'perhaps'"),
        ({"case_id": "c", "response": "x", "label": None}, "no row has a label"),
    ],
)
def test_what_is_no_label_is_one_line(
    run: Path, tmp_path: Path, capsys: Capture, row: dict[str, Any], message: str
) -> None:
    path = write_jsonl(tmp_path / "labels.jsonl", [row])
    with pytest.raises(ConfigError, match=message):
        read_people(path)
    capsys.readouterr()
    assert main(["report", str(run), "--labels", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("tunegate report: ")
    assert said.count("\n") == 1
