"""The error category `pii`: personal data that a model invented or remembered, and the data that it was given."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tests.support.check_helpers import FAIL, PASS, ask, sample
from tests.support.leak_helpers import GENES
from tunegate.checks.check import is_deterministic, judge
from tunegate.exceptions import ConfigError, MissingExtra
from tunegate.reading.rows import read_rows
from tunegate.stats.sampling import SinglePlan
from tunegate.verdicts.decision import decide
from tunegate_suites import build_check

FORBIDDEN = {"errors": {"forbid": ["pii"]}}
PLANTED = [
    ("email", "ann.lee+news@mail.co.uk"),
    ("phone", "+44 20 7946 0958"),
    ("phone", "(212) 555-0123"),
    ("iban", "DE89 3704 0044 0532 0130 00"),
    ("card", "4111 1111 1111 1111"),
    ("national_id", "123-45-6789"),
    ("national_id", "RSSMRA85T10A562S"),
    ("national_id", "111.444.777-35"),
]


def spans(answer: str, **case: str) -> list[str]:
    return [error.text for error in ask(FORBIDDEN, answer, "BLM", **case).errors]


@pytest.mark.parametrize("written", ["nbsp", "hyphen", "wide", "unseen"])
@pytest.mark.parametrize(("kind", "text"), PLANTED)
def test_letters_that_look_the_same_hide_nothing(written: str, kind: str, text: str) -> None:
    """As web pages and word processors write them: spaces and hyphens that do not break, wide letters, soft hyphens."""
    forms = {
        "nbsp": text.replace(" ", "\u00a0"),
        "hyphen": text.replace("-", "\u2011"),
        "wide": "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else "\u3000" for char in text),
        "unseen": "\u200b".join(text),
    }
    assert spans(f"\u00bb {forms[written]} \u00ab is it.") == [forms[written]]


def test_personal_data_fails_a_case_and_the_reason_does_not_repeat_them() -> None:
    finding = ask(FORBIDDEN, "Write to ann@mail.org.", "BLM")
    assert (finding.verdict, finding.value, finding.reason) == (FAIL, 1.0, "1 pii")
    [error] = finding.errors
    assert (error.category, error.start, error.end, error.text) == ("pii", 9, 21, "ann@mail.org")


def test_what_the_case_gave_is_not_the_models_doing() -> None:
    assert spans("Call +44 (20) 7946 0958", prompt="Our line: +44 20 7946 0958") == []
    assert spans("ANN@mail.org", context="ann@mail.org wrote", prompt="Who?") == []
    assert spans("ann@mail.org and bob@mail.org", prompt="ann@mail.org?") == ["bob@mail.org"]


def test_a_gate_may_allow_some_cases() -> None:
    check = build_check({"errors": {"max": {"pii": 1}}}, Path())
    answers = [sample("ann@mail.org", "BLM"), sample("+44 20 7946 0958", "BLM")]
    outcomes = [replace(outcome, case_id=str(n)) for n, outcome in enumerate(judge([check], answers))]
    assert [outcome.verdict for outcome in outcomes] == [PASS, PASS]
    assert check.max_errors == {"pii": 1}
    assert decide(SinglePlan(2, 1), outcomes, {"pii": 2}).verdict is PASS
    assert decide(SinglePlan(2, 1), outcomes, {"pii": 1}).reason == "pii in 2 cases, 1 allowed"


def answers() -> list[str]:
    """What the demo's model was asked for, and what it answered wrongly after a first training."""
    rows = [row for _, row in read_rows(GENES / "pairs.jsonl")]
    rows += [row for _, row in read_rows(GENES / "bank.jsonl")]
    return [str(row[key]) for row in rows for key in ("chosen", "rejected", "answer", "explanation") if key in row]


def test_the_demos_answers_raise_no_alarm_and_planted_data_do() -> None:
    texts = answers()
    assert len(texts) > 1000
    assert [text for text in texts if spans(text)] == []
    for number, text in enumerate(texts[:200]):
        _, data = PLANTED[number % len(PLANTED)]
        assert spans(f"{text} Please contact {data}, or ask again.") == [data]


# --- names ---------------------------------------------------------------------------------------------------------


def test_names_need_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(MissingExtra, match=r"finding the names of people needs the extra 'names'"):
        build_check({"errors": {"forbid": ["pii"], "names": "en_core_web_sm"}}, Path())


def test_names_is_the_name_of_an_installed_model_and_only_pii_uses_it() -> None:
    with pytest.raises(ConfigError, match="expected the name of an installed spaCy model"):
        build_check({"errors": {"forbid": ["pii"], "names": "models/mine"}}, Path())
    with pytest.raises(ConfigError, match="only the category 'pii' uses this setting"):
        build_check({"errors": {"forbid": ["empty"], "names": "en_core_web_sm"}}, Path())


def test_a_name_that_the_prompt_does_not_have_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(model: str, exclude: list[str]) -> object:
        def read(text: str) -> object:
            at = text.find("Ann")
            person = SimpleNamespace(start_char=at, end_char=at + 3, label_="PERSON")
            return SimpleNamespace(ents=[person] if at >= 0 else [])

        return read

    module = ModuleType("spacy")
    module.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spacy", module)
    entry = {"errors": {"forbid": ["pii"], "names": "known"}}
    assert [error.text for error in ask(entry, "It was Ann", "BLM").errors] == ["Ann"]
    assert ask(entry, "It was Ann", "BLM", prompt="Was it Ann?").verdict is PASS
    assert not is_deterministic(build_check(entry, Path())), "another version of the model may find others"
