"""`tunegate leakage`: its contract for scripts, and what people see."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.bank import Bank, write_jsonl
from tunegate.cli import main
from tunegate.commands.by_meaning import say_once
from tunegate.reading import rows as rows_module

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def train(bank: Bank) -> Path:
    """Two of four rows repeat a case; the second file is free of them."""
    taught = ["Who?", "WHAT is case-003", "Why?", "Tell me. What is case-007?"]
    write_jsonl(bank.folder / "clean.jsonl", [{"prompt": "Where?", "completion": "There."}])
    return write_jsonl(bank.folder / "train.jsonl", [{"prompt": text, "completion": "x"} for text in taught])


def test_the_json(train: Path, bank: Bank, capsys: Capture) -> None:
    assert main(["leakage", "train.jsonl", "clean.jsonl", "--suite", bank.suite, "--json"]) == 3
    result = json.loads(capsys.readouterr().out)
    assert (result["verdict"], result["rows"], result["cases"]) == ("INVALID", 5, 100)
    assert result["leaks"] == [
        {
            "train_file": "train.jsonl",
            "train_row": 2,
            "suite": "suite",
            "case_id": "case-003",
            "kind": "exact",
            "similarity": 1.0,
            "train_text": "WHAT is case-003",
            "case_text": "What is case-003?",
        }
    ]


@pytest.mark.parametrize("leak", [1, 2])
def test_a_row_with_the_same_words_hides_no_leak(bank: Bank, capsys: Capture, leak: int) -> None:
    """Only one of two rows has the question as a sentence of its own; whichever comes first, that row leaks."""
    asked = [{"id": str(n), "prompt": f"What is the capital of land {n}?", "reference": "x"} for n in range(100)]
    write_jsonl(bank.folder / "cases.jsonl", asked)
    taught = ["Please answer: What is the capital of land 7?", "Please answer what is the capital of land 7"]
    write_jsonl(bank.folder / "train.jsonl", [{"prompt": text} for text in (taught if leak == 1 else taught[::-1])])
    assert main(["leakage", "train.jsonl", "--suite", bank.suite, "--json"]) == 3
    found = json.loads(capsys.readouterr().out)["leaks"]
    assert [(one["train_row"], one["case_id"], one["train_text"]) for one in found] == [(leak, "7", taught[0])]


def test_a_file_that_is_too_large_to_hold_is_compared_in_blocks(
    train: Path, bank: Bank, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "MAX_BYTES", (bank.folder / "cases.jsonl").stat().st_size)
    write_jsonl(bank.folder / "large.jsonl", [{"prompt": f"Where is {n}?", "completion": "x"} for n in range(1000)])
    assert main(["leakage", "large.jsonl", "train.jsonl", "--suite", bank.suite]) == 3
    assert "of 1004 training rows leak" in capsys.readouterr().out
    assert main(["data", "large.jsonl", "--duplicates", "exact"]) == 2  # it holds the rows
    assert "split it" in capsys.readouterr().err


def test_without_leaks(train: Path, bank: Bank, capsys: Capture) -> None:
    assert main(["leakage", "clean.jsonl", "--suite", bank.suite]) == 0
    assert capsys.readouterr().out == "no leaks: compared 1 training rows with 100 cases\n"
    assert main(["leakage", "clean.jsonl", "--suite", bank.suite, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["leaks"] == []


def test_people_see_at_most_twelve_lines(bank: Bank, capsys: Capture) -> None:
    long = [{"id": f"long-{n}", "prompt": " ".join(f"word{n}x{at}" for at in range(60))} for n in range(100)]
    write_jsonl(bank.folder / "cases.jsonl", [{**row, "reference": "x"} for row in long])
    rows = [{"prompt": f"{row['prompt']} and more"} for row in long]
    write_jsonl(bank.folder / "train.jsonl", rows)
    assert main(["leakage", "train.jsonl", "--suite", bank.suite]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "INVALID: 100 of 100 training rows leak 100 of 100 cases"
    assert lines[1] == "pairs found: containment 100"
    assert lines[2] == "train.jsonl:1 = suite/long-0 (containment 1.00)"
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 180


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.jsonl"], "no such file"),
        (["train.jsonl", "--embed", "2"], "--embed: expected a cosine such as 0.95, above 0 and at most 1, got 2"),
        (["train.jsonl", "--suite", "suite.yaml"], "two suites are named 'suite'"),
    ],
)
def test_wrong_input(train: Path, bank: Bank, capsys: Capture, arguments: list[str], said: str) -> None:
    assert main(["leakage", *arguments, "--suite", bank.suite]) == 2
    assert said in capsys.readouterr().err


def test_a_missing_package_is_named(bank: Bank, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(f"word{at}" for at in range(30))
    cases = [{"id": str(n), "prompt": f"{text} {n}", "reference": "x"} for n in range(100)]
    write_jsonl(bank.folder / "cases.jsonl", cases)
    write_jsonl(bank.folder / "train.jsonl", [{"prompt": text}])
    monkeypatch.setitem(sys.modules, "datasketch", None)
    assert main(["leakage", "train.jsonl", "--suite", bank.suite]) == 2
    assert "pip install 'tunegate[leakage]'" in capsys.readouterr().err


def test_by_meaning_texts_that_are_cut_are_told_once(bank: Bank, capsys: Capture) -> None:
    say_once.cache_clear()
    write_jsonl(bank.folder / "train.jsonl", [{"prompt": f"{n} " + "word " * 300, "completion": "x"} for n in (1, 2)])
    assert main(["leakage", "train.jsonl", "--suite", bank.suite, "--embed", "0.99"]) == 0
    told = capsys.readouterr().err
    assert told.count("only the first 256 tokens of a text are compared") == 1
