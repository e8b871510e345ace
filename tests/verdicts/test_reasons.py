"""Reasons: each kind has one wording, a record gives them back, and the kind says what goes beyond a count."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from tests.support.bank import Bank
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.record.events import event_from_json
from tunegate.record.gate_events import GateDecided
from tunegate.verdicts.reason import Kind, Reason, because, beyond_count, reasons_or_sentence
from tunegate.verdicts.words import AFTER_HOLM, WORDINGS, chance_words, p_words, sentence

COUNT = because("count", passed=90, drawn=100, needed=90)
SLICE = because("slice_missed", tag="b", passed=10, cases=20, needed=16, size=20)


def test_every_kind_has_its_wording() -> None:
    assert set(WORDINGS) == set(get_args(Kind))


@pytest.mark.parametrize(
    ("p_value", "words"),
    [
        (0.0, "very unlikely to be chance"),
        (0.0099, "very unlikely to be chance"),
        (0.01, "unlikely to be chance"),
        (0.0499, "unlikely to be chance"),
        (0.05, "may well be chance"),
        (1.0, "may well be chance"),
    ],
)
def test_a_p_value_has_its_words(p_value: float, words: str) -> None:
    assert chance_words(p_value) == words


def test_the_number_goes_beside_the_words() -> None:
    assert p_words(0.41) == "p = 0.41: may well be chance"
    assert p_words(0.0312, AFTER_HOLM) == "p = 0.031 after Holm's correction: unlikely to be chance"


@pytest.mark.parametrize(
    ("reasons", "words", "beyond"),
    [
        ([COUNT], "90 of 100, 90 needed", ""),
        ([COUNT, SLICE], "90 of 100, 90 needed, but b: 10 of 20, 16 of 20 needed", "b: 10 of 20, 16 of 20 needed"),
        (
            [because("stopped", missed=11, asked=31, allowed=10, drawn=100)],
            "11 of 31 missed, 10 of 100 allowed",
            "10 of 100 allowed",
        ),
        ([because("measured", passed=7, drawn=9)], "measured: 7 of 9", ""),
        (
            [because("errors_over", category=name, cases=4, allowed=3) for name in ("empty", "too_long")],
            "empty in 4 cases, 3 allowed; too_long in 4 cases, 3 allowed",
            "empty in 4 cases, 3 allowed; too_long in 4 cases, 3 allowed",
        ),
    ],
)
def test_reasons_in_words(reasons: list[Reason], words: str, beyond: str) -> None:
    assert sentence(reasons) == words
    assert sentence(beyond_count(reasons)) == beyond


def test_a_record_gives_them_back_and_an_older_one_its_sentence() -> None:
    decided = GateDecided(
        gate="g", stage=None, attempt=None, purpose="gate", verdict=Verdict.PASS, reason="x", interval=(0, 1)
    )
    assert reasons_or_sentence(decided.reasons, "what it said") == (because("said", text="what it said"),)
    line = GateDecided(
        gate="g",
        stage=None,
        attempt=None,
        purpose="gate",
        verdict=Verdict.FAIL,
        reason="x",
        reasons=(COUNT, SLICE),
        interval=(0, 1),
    ).to_json()
    read = event_from_json(json.loads(json.dumps(line)), "the line")
    assert isinstance(read, GateDecided)
    assert read.reasons == (COUNT, SLICE)


def test_scripts_get_them_as_values(bank: Bank, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gate", "--responses", bank.answers(89), "--suite", bank.suite, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["reasons"] == [{"kind": "count", "facts": {"passed": 89, "drawn": 100, "needed": 90}}]
