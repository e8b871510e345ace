"""Waivers in a run: what they let pass, what they never do, and where they show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.support.fake_pipeline import PIPELINE, tools, write_pipeline
from tests.support.waiver_date import EXPIRES, LAST_DAY
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.fingerprint import fingerprint
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.promotion.evidence import check_gates
from tunegate.promotion.registry import promote, verify
from tunegate.record.event_log import EVENTS, read_events, sealed_line
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable
from tunegate.record.record import RunRecord
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import PipelineRun
from tunegate_suites import build_check

PASS, FAIL, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INVALID
TODAY = date.today()
WAIVER = f"""waivers:
  - gate: style
    owner: ada@example.org
    reason: the style bank mislabels carriers upstream, see the tracker
    expires: {EXPIRES}
"""
TEXT = PIPELINE.replace("gates: [facts]", "gates: [facts, style]") + "waivers: waivers.yaml\n"
ONLY_STYLE_MISSES = TEXT.replace(
    "  style: {cases: cases.jsonl, checks: [exact]", "  style: {cases: cases.jsonl, checks: [{exact: {}}, {regex: no}]"
)


def carried_out(folder: Path, skills: Mapping[str, float], *, today: date = TODAY) -> RunRecord:
    path = folder / "tunegate.yaml"
    pipeline = replace(load_pipeline(path, build_check, today=today), model=str(folder / "base"))
    with RunLog.open(folder / "run") as log:
        return PipelineRun(pipeline, log, replace(tools(skills), today=lambda: today)).execute()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_pipeline(tmp_path, ONLY_STYLE_MISSES, bank=60)
    (tmp_path / "waivers.yaml").write_text(WAIVER)
    return tmp_path


GOOD = {"sft#1": 1.0, "sft#2": 1.0, "sft#3": 1.0, "align#1": 1.0, "align#2": 1.0, "align#3": 1.0}


def test_a_waived_miss_lets_a_stage_pass_and_says_so_everywhere(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = carried_out(project, GOOD)
    assert (run.verdict, run.reason) == (PASS, "passed, but waived: sft style, align style")
    assert run.stages["sft"].attempts[1].gates["style"].verdict is FAIL  # the miss stays a miss
    assert [(waiver["stage"], waiver["owner"]) for waiver in run.waivers()] == [
        ("sft", "ada@example.org"),
        ("align", "ada@example.org"),
    ]
    attestation = verify("production", project / "registry", fingerprint).attestation
    assert [waiver["gate"] for waiver in attestation["waivers"]] == ["style", "style"]
    style = next(gate for gate in attestation["gates"] if gate["gate"] == "style")
    assert style["verdict"] == "FAIL"
    capsys.readouterr()
    command = ["verify", "production", "--registry", str(project / "registry")]
    assert main(command) == 6  # no script takes it for a pass
    assert main([*command, "--allow-waived"]) == 0
    shown = ["registry", "show", "production", "--registry", str(project / "registry")]
    assert [main(shown), main([*shown, "--allow-waived"])] == [6, 0]
    assert f"WAIVED: align#1 style, by ada@example.org until {EXPIRES}: the style bank" in capsys.readouterr().out
    for command in (["verify", str(project / "run")], ["promote", str(project / "run"), "--to", "staging"]):
        assert [main(command), main([*command, "--allow-waived"])] == [6, 0]
    assert main(["run", str(project / "tunegate.yaml"), "--run", str(project / "run"), "--allow-waived"]) == 0


@pytest.mark.parametrize(
    ("policy", "approved", "why"),
    [
        ("{most: 1}", "", "2 misses are waived, at most 1 may be"),
        ("{most: 2, two_people: true}", "", "the waiver of sft style needs a second person, as `approved_by`"),
        ("{most: 2, two_people: true}", "Ada@example.org", "the waiver of sft style is approved by its own owner"),
        ("{most: 2, two_people: true}", "grace@example.org", ""),
    ],
)
def test_a_policy_limits_waivers(
    project: Path, capsys: pytest.CaptureFixture[str], policy: str, approved: str, why: str
) -> None:
    if approved:
        waiver = WAIVER.replace("    reason:", f"    approved_by: {approved}\n    reason:")
        (project / "waivers.yaml").write_text(waiver)
    text = (project / "tunegate.yaml").read_text()
    (project / "tunegate.yaml").write_text(text.partition("promote:")[0] + "waivers: waivers.yaml\n")
    assert carried_out(project, GOOD).verdict is PASS
    (project / "registry").mkdir()
    (project / "registry" / "policy.yaml").write_text(f"waivers: {policy}\n")
    assert main(["promote", str(project / "run")]) == (1 if why else 6)
    said = capsys.readouterr()
    assert why in said.err
    assert why or "by ada@example.org and grace@example.org until" in said.out


def test_with_every_gate_waived_nothing_is_promoted(project: Path) -> None:
    text = (project / "tunegate.yaml").read_text().replace("gates: [facts, style]", "gates: [style]")
    (project / "tunegate.yaml").write_text(text.partition("promote:")[0] + "waivers: waivers.yaml\n")
    assert carried_out(project, GOOD).verdict is PASS
    with pytest.raises(NotPromotable, match="every gate of the final stage is waived"):
        promote(read_run(project / "run"), "staging", project / "other", fingerprint, today=TODAY)


def test_without_it_the_same_run_fails(project: Path) -> None:
    edited = (project / "tunegate.yaml").read_text().replace("waivers: waivers.yaml\n", "")
    (project / "tunegate.yaml").write_text(edited)
    assert carried_out(project, GOOD).verdict is FAIL


def test_a_failed_run_goes_on_when_a_waiver_is_granted(project: Path) -> None:
    """The file is no part of what the run locked: it comes when the run has failed."""
    (project / "waivers.yaml").write_text(WAIVER.replace("gate: style", "gate: facts"))
    failed = carried_out(project, GOOD)
    assert failed.verdict is FAIL
    (project / "waivers.yaml").write_text(WAIVER)
    run = carried_out(project, GOOD)
    assert run.verdict is PASS
    assert len(run.stages["sft"].attempts) == len(failed.stages["sft"].attempts)  # nothing was trained again
    last = max(run.stages["sft"].attempts)
    waived = [(waiver["stage"], waiver["attempt"], waiver["gate"]) for waiver in run.waivers()]
    assert waived == [("sft", last, "style"), ("sft", last, "style (confirm)"), ("align", 1, "style")]


def test_a_waiver_never_excuses_what_was_not_judged(project: Path) -> None:
    text = (project / "tunegate.yaml").read_text().replace("{regex: no}", "{python: 'metric:broken'}")
    (project / "tunegate.yaml").write_text(text)
    (project / "metric.py").write_text("def broken(case, response):\n    raise ValueError('no')\n")
    run = carried_out(project, GOOD)
    assert run.verdict is INVALID
    assert run.waivers() == []


def test_a_waiver_that_expired_before_promotion_supports_none(project: Path) -> None:
    carried_out(project, GOOD)
    run = read_run(project / "run")
    check_gates(run, LAST_DAY)
    with pytest.raises(NotPromotable, match="its waiver is not in force"):
        promote(run, "staging", project / "other", fingerprint, today=LAST_DAY + timedelta(days=1))
    assert not (project / "other").exists()


def with_times(project: Path, of_gates: str, of_waivers: str) -> RunRecord:
    """The run with its verdicts of gates and its waivers at other times, under a chain of hashes that is whole."""
    folder = project / "run"
    events = list(read_events(folder))
    (folder / EVENTS).unlink()
    previous = ""
    with (folder / EVENTS).open("wb") as file:
        for event in events:
            time = {"gate_decided": of_gates, "waived": of_waivers}.get(event["event"], event["time"])
            body = {k: v for k, v in event.items() if k != "line_sha256"}
            line, previous = sealed_line({**body, "time": time, "previous_sha256": previous})
            file.write(line)
    return read_run(folder)


BEFORE, AFTER = f"{EXPIRES}T09:00:00Z", f"{LAST_DAY + timedelta(days=1)}T12:00:00Z"


@pytest.mark.parametrize(("of_gates", "of_waivers"), [(AFTER, AFTER), (BEFORE, AFTER), (AFTER, BEFORE)])
def test_a_waiver_that_had_expired_by_the_record_never_counts(project: Path, of_gates: str, of_waivers: str) -> None:
    carried_out(project, GOOD)
    run = with_times(project, of_gates, of_waivers)
    for today in (None, TODAY, LAST_DAY):
        with pytest.raises(NotPromotable, match=f"its waiver had expired when it was waived, {AFTER}"):
            check_gates(run, today)
    check_gates(with_times(project, BEFORE, BEFORE), TODAY)


def test_an_old_promotion_stays_valid_when_its_waiver_has_expired(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was made while the waiver was in force: `verify` says that it has expired; only a new one is refused."""
    (project / "waivers.yaml").write_text(WAIVER.replace(EXPIRES, "2026-01-31"))
    text = (project / "tunegate.yaml").read_text()
    (project / "tunegate.yaml").write_text(text.partition("promote:")[0] + "waivers: waivers.yaml\n")
    long_ago = date(2026, 1, 15)
    with pytest.raises(NotPromotable, match="had expired when it was waived"):
        carried_out(project, GOOD, today=long_ago)  # the record's own clock is that of this machine
    run = with_times(project, "2026-01-15T09:00:00Z", "2026-01-15T09:00:01Z")
    promote(run, "production", project / "registry", fingerprint, today=long_ago)
    for command in (
        ["verify", "production", "--registry", str(project / "registry")],
        ["verify", str(project / "run")],
    ):
        assert [main(command), main([*command, "--allow-waived"])] == [6, 0]
        said = capsys.readouterr().out
        assert "the waiver of align#1 style expired on 2026-01-31: it was in force when the gate was decided" in said
    assert main(["promote", str(project / "run"), "--to", "staging"]) == 1
    assert "its waiver is not in force" in capsys.readouterr().err


def test_an_expired_waiver_stops_before_anything_is_trained(project: Path) -> None:
    with pytest.raises(ConfigError, match=rf"waivers\.yaml:\d+: waivers\[0\]\.expires: expired on {EXPIRES}"):
        carried_out(project, GOOD, today=LAST_DAY + timedelta(days=1))


def test_the_json_of_a_run_names_its_waivers(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    carried_out(project, GOOD)
    assert main(["report", str(project / "run"), "--json", "--html", str(project / "r.html")]) == 0
    assert [waiver["gate"] for waiver in json.loads(capsys.readouterr().out)["waivers"]] == ["style", "style"]


def test_a_withdrawn_waiver_excuses_nothing_any_more(project: Path) -> None:
    """First style is waived and facts is missed; then the file waives facts only: style counts as missed again."""
    failed = carried_out(project, {})
    assert failed.verdict is FAIL
    (project / "waivers.yaml").write_text(WAIVER.replace("gate: style", "gate: facts"))
    run = carried_out(project, {})
    assert run.verdict is FAIL
    assert "style: " in run.reason
    assert run.promotions == ()
