"""JUnit XML: valid whatever a model wrote, red exactly where a gate did not pass."""

from __future__ import annotations

import random
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fake_run import HOSTILE, failed_run, gate_run, leaked_run, missing, outcomes, passing, pipeline_run
from tunegate.checks.outcome import Outcome
from tunegate.record.record import RunRecord
from tunegate.stats.sampling import SequentialPlan
from tunegate_reports.junit import NOT_XML, clean, write_junit


def junit(run: RunRecord) -> ET.Element:
    path = run.folder / "junit.xml"
    write_junit(run, path)
    return ET.fromstring(path.read_bytes())


def counts(element: ET.Element) -> dict[str, int]:
    return {name: int(element.get(name, "-1")) for name in ("tests", "failures", "errors", "skipped")}


@pytest.mark.parametrize(
    ("passed", "failed", "invalid", "failures", "errors"),
    [
        (90, 10, 0, 0, 0),  # passed: the ten misses are allowed, and CI stays green
        (89, 11, 0, 12, 0),  # failed: eleven cases and the gate
        (90, 9, 1, 9, 2),  # not judged: one case and the gate are errors
        (80, 19, 1, 20, 1),  # failed whatever the open case would say
    ],
)
def test_one_entry_a_case_and_one_for_the_gate(
    tmp_path: Path, passed: int, failed: int, invalid: int, failures: int, errors: int
) -> None:
    root = junit(gate_run(tmp_path, ("facts", outcomes(passed, failed, invalid, seed=1))))
    expected = {"tests": 101, "failures": failures, "errors": errors, "skipped": 0}
    assert counts(root) == expected
    assert counts(root[0]) == expected
    assert len(root.findall(".//testcase")) == 101
    assert len(root.findall(".//failure")) == failures
    assert len(root.findall(".//error")) == errors
    assert root.findall(".//skipped") == []
    gate = root.findall(".//testcase")[-1]
    assert gate.get("name") == "gate facts"
    assert f"{passed} of 100, 90 needed" in ET.tostring(gate, encoding="unicode")


def test_a_miss_that_a_gate_allows_is_told_but_not_red(tmp_path: Path) -> None:
    root = junit(gate_run(tmp_path, ("facts", outcomes(99, 1, 0, seed=1))))
    told = [out.text or "" for out in root.findall(".//testcase/system-out")]
    assert sum(text.startswith("missed; gate facts allows it (99 of 100, 90 needed)") for text in told) == 1
    assert root.findall(".//failure") == []


def test_cases_that_were_not_asked_are_no_entries(tmp_path: Path) -> None:
    """A verdict may stand before all were asked: a passed gate must not be red for what it spared."""
    failed = junit(gate_run(tmp_path / "failed", ("facts", outcomes(27, 11, 0, seed=1)), drawn=100))
    assert counts(failed) == {"tests": 39, "failures": 12, "errors": 0, "skipped": 0}
    early = SequentialPlan(draw=100, accept=90, slope=0.1, accept_intercept=3.0, reject_intercept=3.0)
    passed = junit(gate_run(tmp_path / "passed", ("facts", outcomes(30, 0, 0, seed=1)), plan=early))
    assert counts(passed) == {"tests": 31, "failures": 0, "errors": 0, "skipped": 0}


def test_cases_that_never_ran_are_errors(tmp_path: Path) -> None:
    root = junit(gate_run(tmp_path, ("facts", outcomes(95, 0, 0, seed=1)), drawn=100))
    assert counts(root) == {"tests": 101, "failures": 0, "errors": 6, "skipped": 0}


def test_a_promoted_run_is_green_although_it_was_retrained(tmp_path: Path) -> None:
    root = junit(pipeline_run(tmp_path))
    assert counts(root) == {"tests": 304, "failures": 0, "errors": 0, "skipped": 0}
    assert [suite.get("name") for suite in root] == ["sft: facts", "sft: quality", "align: facts", "run"]


def test_a_failed_run_is_red(tmp_path: Path) -> None:
    root = junit(failed_run(tmp_path))
    assert counts(root) == {"tests": 102, "failures": 18, "errors": 0, "skipped": 0}
    assert "the loss became infinite" in ET.tostring(root[-1], encoding="unicode")


def test_a_leak_is_an_error_not_a_failure(tmp_path: Path) -> None:
    assert counts(junit(leaked_run(tmp_path))) == {"tests": 1, "failures": 0, "errors": 1, "skipped": 0}


def test_no_case_name_depends_on_the_attempt(tmp_path: Path) -> None:
    root = junit(pipeline_run(tmp_path))
    assert not any("attempt" in entry.get("classname", "") + entry.get("name", "") for entry in root.iter("testcase"))


def test_hostile_text_is_text(tmp_path: Path) -> None:
    results: list[Outcome] = [missing("h", random.Random(1), response=HOSTILE), passing("p", random.Random(2))]
    root = junit(gate_run(tmp_path, ("facts", results), accept=2))
    text = "".join(root.itertext())
    assert HOSTILE.replace("\x07", "\ufffd") in text
    assert {element.tag for element in root.iter()} == {"testsuites", "testsuite", "testcase", "failure"}


@given(st.text(st.characters(codec=None, exclude_characters="\r")))
def test_any_text_makes_valid_xml(text: str) -> None:
    """Lone surrogates and control characters included; what XML can hold is kept as it is."""
    entry = ET.Element("failure", message=clean(text))
    entry.text = clean(text)
    parsed = ET.fromstring(ET.tostring(entry))
    assert (parsed.text or "", parsed.get("message")) == (clean(text), clean(text))
    assert NOT_XML.search(clean(text)) is None
    assert len(clean(text)) == len(text)
