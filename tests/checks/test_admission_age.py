"""An admission is as old as its first label, and expires where a judge says so."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.check_helpers import AGREES, sample
from tunegate.checks.judge_admission import Age, default_path, read_admission, write_admission
from tunegate.cli import main
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check
from tunegate_suites.judges.admission import AdmitOptions, expiry
from tunegate_suites.judges.fit import fitted_json
from tunegate_suites.judges.judge import Judge

Capture = pytest.CaptureFixture[str]
COMPARE = {"compare": {"features": ["contains"], "fitted": "w.json"}}
ASKED = sample("It is BLM.", "BLM")


def ago(days: int) -> str:
    return (datetime.now(UTC).date() - timedelta(days=days)).isoformat()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.json").write_text(fitted_json({"weights": {"contains": 1.0}, "bias": 0.0, "cut": 0.5}, [], {}))
    return tmp_path


def judge(folder: Path, **more: Any) -> Judge:
    one = build_check({"judge": {**COMPARE, **more}}, folder)
    assert isinstance(one, Judge)
    return one


def admit(folder: Path, made: str = "", labelled: tuple[str, str] | None = None) -> None:
    sha256 = judge(folder).judge_sha256
    write_admission(folder / default_path(sha256), sha256, AGREES, {"made": made, "labels": {"labelled": labelled}})


def test_an_admission_expires(folder: Path) -> None:
    within = {"min": 0.6, "within": "90 days"}
    for made, labelled, verdict in (
        (ago(0), None, "PASS"),
        (ago(90), None, "PASS"),
        (ago(91), None, "INVALID"),
        (ago(0), (ago(91), ago(1)), "INVALID"),  # old labels that are measured again stay old
        (ago(0), (ago(80), ago(1)), "PASS"),
        ("", None, "INVALID"),  # nobody knows how old it is
        (ago(-2), None, "INVALID"),  # a clock was wrong then, or is now
        (ago(0), (ago(-400), ago(-1)), "PASS"),
    ):
        admit(folder, made, labelled)
        [found] = judge(folder, admit=within).judge([ASKED])
        assert found.verdict == verdict, (made, labelled)
        if verdict == "INVALID":
            assert "the judge's admission expired" in found.reason
            assert "tunegate judge " in found.reason
        assert judge(folder, admit=0.6).judge([ASKED])[0].verdict == "PASS"  # without `within` it stays


def test_time_alone_makes_no_other_suite(folder: Path) -> None:
    """A gate that was decided while an admission was valid is not tampered with when it expires."""
    write_jsonl(folder / "cases.jsonl", [{"id": "a", "prompt": "?", "reference": "BLM"}])
    checks = [{"judge": {**COMPARE, "admit": {"within": "90 days"}}}]
    (folder / "s.yaml").write_text(
        json.dumps({"cases": "cases.jsonl", "checks": checks, "plan": {"draw": 1, "accept": 1}})
    )
    admit(folder, ago(80))
    before = load_suite(folder / "s.yaml", build_check)
    record = read_admission(folder / default_path(judge(folder).judge_sha256))
    [valid] = before.checks
    old = expiry(record.age, valid.admission_needs, date.fromisoformat(ago(-20)))  # type: ignore[attr-defined]
    assert "is 100 days old" in old
    expired = judge(folder, admit={"within": "90 days"})
    vars(expired)["standing"] = replace(expired.standing, fault=old, expired=True)
    assert expired.judge([ASKED])[0].verdict == "INVALID"
    assert expired.fingerprint == valid.fingerprint
    vars(expired)["standing"] = replace(expired.standing, expired=False)
    vars(expired).pop("fingerprint", None)
    assert expired.fingerprint != valid.fingerprint


def test_how_old_it_is_can_be_read_everywhere(folder: Path, capsys: Capture) -> None:
    """In the output of the measurement, in `check`, on record and in the report."""
    rows = [
        {
            "id": str(n), "prompt": f"Which is {n}?", "references": [f"GENE{n}X"], "labelled": ago(30 + n % 3),
            "response": f"It is GENE{n}X." if n % 2 else "Nobody knows.", "label": "right" if n % 2 else "wrong",
        }
        for n in range(80)
    ]  # fmt: skip
    write_jsonl(folder / "labels.jsonl", rows)
    (folder / "judge.yaml").write_text(json.dumps({**COMPARE, "admit": {"within": "90 days"}}))
    words = f"measured on {ago(0)} with labels of {ago(32)} to {ago(30)}"
    assert main(["judge", "judge.yaml", "--labels", "labels.jsonl"]) == 0
    assert words in capsys.readouterr().out
    assert main(["check", "judge.yaml"]) == 0
    assert f"the judge is admitted: {words}, valid for 90 days" in capsys.readouterr().out
    write_jsonl(folder / "cases.jsonl", [{"id": "a", "prompt": "?", "reference": "BLM"}])
    write_jsonl(folder / "r.jsonl", [{"id": "a", "response": "It is BLM."}])
    (folder / "s.yaml").write_text("cases: cases.jsonl\nchecks: [{judge: judge.yaml}]\nplan: {draw: 1, accept: 1}\n")
    assert main(["gate", "--responses", "r.jsonl", "--suite", "s.yaml", "--run", "g"]) == 0
    assert words in (folder / "g" / "report.html").read_text()
    (folder / "judge.yaml").write_text(json.dumps({**COMPARE, "admit": {"within": "20 days"}}))
    capsys.readouterr()
    assert main(["judge", "judge.yaml", "--labels", "labels.jsonl"]) == 1
    assert "NOT ADMITTED: the judge's admission expired: it is 32 days old" in capsys.readouterr().out


@pytest.mark.parametrize(("strange", "code"), [("01.03.2020", 2), (None, 0)])
def test_a_text_among_the_days_of_labels_hides_no_old_label(
    folder: Path, capsys: Capture, strange: str | None, code: int
) -> None:
    rows = [
        {
            "id": str(n), "prompt": f"Which is {n}?", "references": [f"GENE{n}X"],
            "labelled": strange if n == 7 else ago(30),
            "response": f"It is GENE{n}X." if n % 2 else "Nobody knows.", "label": "right" if n % 2 else "wrong",
        }
        for n in range(80)
    ]  # fmt: skip
    write_jsonl(folder / "labels.jsonl", rows)
    (folder / "judge.yaml").write_text(json.dumps(COMPARE))
    assert main(["judge", "judge.yaml", "--labels", "labels.jsonl"]) == code
    assert ("labelled: expected a day such as 2026-11-30" in capsys.readouterr().err) == bool(code)


def test_an_age_is_of_its_first_label() -> None:
    age = Age("2026-11-01", "2026-03-01", "2026-10-20")
    assert (age.since, age.days(date(2026, 3, 11))) == ("2026-03-01", 10)
    assert Age("2026-11-01").in_words == "measured on 2026-11-01"
    assert Age("2026-11-01", "2026-10-20", "2026-10-20").in_words == "measured on 2026-11-01 with labels of 2026-10-20"
    assert expiry(Age(), AdmitOptions(), date(2026, 1, 1)) == ""


@pytest.mark.parametrize("within", ["90", "0 days", "-1 days", "3 months", 90])
def test_a_limit_that_is_no_number_of_days_is_refused(folder: Path, within: Any, capsys: Capture) -> None:
    (folder / "judge.yaml").write_text(json.dumps({**COMPARE, "admit": {"within": within}}))
    assert main(["check", "judge.yaml"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "admit" in said
