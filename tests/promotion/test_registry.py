"""The registry: only weights whose every required gate passed get in, an alias moves whole, and what changed shows."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_pipeline import PIPELINE, carry_out, load, tools, write_pipeline
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.models.fingerprint import fingerprint
from tunegate.promotion.registry import Promotion, promote, verify
from tunegate.record.event_log import EVENTS, EventLog, read_events
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable, recheck
from tunegate.record.run_log import RunLog
from tunegate.training.pipeline_run import PipelineRun

Change = Callable[[dict[str, Any]], dict[str, Any] | None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose run passed and was promoted; tests work on copies."""
    folder = tmp_path_factory.mktemp("finished") / "project"
    assert carry_out(write_pipeline(folder)).verdict is Verdict.PASS
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A project whose run passed; its registry holds the model as `production`."""
    return Path(shutil.copytree(finished, tmp_path / "project"))


@pytest.fixture
def registry(project: Path) -> Path:
    return project / "registry"


def promoted(project: Path, alias: str = "production", run: str = "run", registry: str = "registry") -> Promotion:
    return promote(read_run(project / run), alias, project / registry, fingerprint)


def final_model(project: Path) -> Path:
    return project / "run" / "align" / "attempt-1" / "model"


def rewrite(project: Path, change: Change, run: str = "run") -> None:
    """Write the record anew with all hashes right, each event changed or, where None comes back, left out."""
    events = [change(dict(event)) for event in read_events(project / run)]
    (project / run / EVENTS).unlink()
    with EventLog.open(project / run) as log:
        log.append(*(event for event in events if event is not None))


def last_gate(event: dict[str, Any]) -> bool:
    return event.get("stage") == "align" and event.get("gate") == "facts" and event.get("purpose") == "gate"


# --- promotion -----------------------------------------------------------------------------------------------------


def test_what_passed_is_copied_with_its_evidence(project: Path) -> None:
    promotion = promoted(project, "staging", registry="other")
    assert promotion.sha256 == fingerprint(final_model(project)) == fingerprint(promotion.folder / "model")
    assert promotion.folder == project / "other" / "models" / promotion.sha256
    assert read_run(promotion.folder).digest == promotion.attestation["record_sha256"]
    gate, *kept = promotion.attestation["gates"]
    assert [(gate["gate"], gate["terms"]["max_drop"]) for gate in kept] == [
        ("facts (retention)", 5.0),
        ("style (retention)", 5.0),
    ]
    assert (gate["stage"], gate["gate"], gate["passed"], gate["drawn"]) == ("align", "facts", 5, 5)
    assert gate["model_sha256"] == promotion.sha256


def test_a_failed_run_is_not_promoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_pipeline(tmp_path / "project")
    carry_out(path, tools(skills={}))
    with pytest.raises(NotPromotable, match="stage 'sft' has not passed: facts: 2 of 2 missed, 1 of 5 allowed"):
        promoted(path.parent)
    assert main(["promote", str(path.parent / "run")]) == 1
    assert "has not passed" in capsys.readouterr().err
    assert not (path.parent / "registry").exists()


def test_an_unfinished_run_is_not_promoted(project: Path) -> None:
    rewrite(project, lambda e: None if e.get("stage") == "align" or e["event"] == "run_decided" else e)
    with pytest.raises(NotPromotable, match="stage 'align' has not passed: was not reached"):
        promoted(project)


def test_a_gate_run_alone_is_not_promoted(tmp_path: Path) -> None:
    with EventLog.open(tmp_path / "run") as log:
        log.append({"event": "run_started", "name": "facts", "key": "x"})
    with pytest.raises(NotPromotable, match="the run has no stage"):
        promoted(tmp_path)


def test_fewer_outcomes_on_record_than_were_drawn_are_refused(project: Path) -> None:
    seen: list[str] = []

    def without_one(event: dict[str, Any]) -> dict[str, Any] | None:
        if event["event"] == "outcome" and last_gate(event):
            seen.append(event["outcome"]["case_id"])
            return None if len(seen) == 3 else event
        return event

    rewrite(project, without_one)
    with pytest.raises(NotPromotable, match="4 of the 5 outcomes that its verdict is based on are on record"):
        promoted(project)


def test_fewer_cases_registered_than_drawn_are_refused(project: Path) -> None:
    def fewer(event: dict[str, Any]) -> dict[str, Any]:
        if event["event"] != "gate_started":
            return event
        return {**event, "case_ids": event["case_ids"][:-1], "questions": event["questions"][:-1]}

    rewrite(project, fewer)
    with pytest.raises(NotPromotable, match="outcomes that its verdict is based on are on record"):
        promoted(project)


@pytest.mark.parametrize(
    ("kind", "change", "error"),
    [
        ("gate_decided", {"passed": 4, "failed": 1}, Tampered),
        ("gate_decided", {"verdict": "FAIL"}, Tampered),
        ("gate_decided", None, NotPromotable),
        ("gate_started", {"model_sha256": "0" * 64}, Tampered),
        ("gate_started", {"accept": 6, "drawn": 6}, (NotPromotable, Tampered)),
        ("stage_decided", {"verdict": "FAIL"}, Tampered),  # the run says that it passed
        ("stage_decided", {"verdict": "INVALID"}, Tampered),
        ("stage_decided", None, Tampered),
        ("stage_started", {"gates": ["facts", "style"]}, NotPromotable),
        ("trained", {"model_sha256": "0" * 64}, Tampered),
        ("trained", {"model": "sft/attempt-1/model"}, Tampered),
        ("trained", {"model": "nowhere"}, NotPromotable),
        ("trained", {"model": "../base"}, Tampered),
        ("stage_started", {"gates": []}, CannotJudge),
        ("gate_started", {"suite_sha256": "0" * 64}, Tampered),
        ("gate_started", {"checks": []}, Tampered),
        ("gate_started", {"terms": {}}, Tampered),
        ("attempt_started", {"input_sha256": "0" * 64}, Tampered),
    ],
)
def test_a_record_that_does_not_support_it_is_refused(
    project: Path, kind: str, change: dict[str, Any] | None, error: Any
) -> None:
    def changed(event: dict[str, Any]) -> dict[str, Any] | None:
        if event["event"] != kind or event["stage"] != "align":
            return event
        return None if change is None else {**event, **change}

    refuses(project, changed, error)


def refuses(project: Path, change: Change, error: Any, match: str | None = None) -> None:
    """The run whose record is changed so is not promoted, and the registry stays as it is."""
    rewrite(project, change)
    before = sorted((project / "registry").rglob("*"))
    with pytest.raises(error, match=match):
        promoted(project, "staging")
    assert sorted((project / "registry").rglob("*")) == before


def test_a_stage_without_an_attempt_is_refused(project: Path) -> None:
    def never_tried(event: dict[str, Any]) -> dict[str, Any] | None:
        return None if event.get("attempt") and event["stage"] == "align" else event

    refuses(project, never_tried, CannotJudge, "the record has no attempt or no required gate")


@pytest.mark.parametrize("verdict", ["FAIL", "INVALID", "INCONCLUSIVE", None])
def test_a_run_whose_verdict_is_not_pass_is_refused_whatever_its_stages_say(project: Path, verdict: str | None) -> None:
    def decided(event: dict[str, Any]) -> dict[str, Any] | None:
        if event["event"] != "run_decided":
            return event
        return {**event, "verdict": verdict, "reason": "no"} if verdict else None

    refuses(project, decided, NotPromotable, "the run has not passed")


@pytest.mark.parametrize(
    ("kind", "change", "error", "match"),
    [
        ("gate_decided", {"passed": 4, "failed": 1}, Tampered, "its outcomes give PASS with 5"),
        ("gate_decided", {"verdict": "FAIL"}, Tampered, "its outcomes give PASS"),
        ("gate_decided", None, NotPromotable, "was not decided"),
        ("gate_started", {"model_sha256": "0" * 64}, Tampered, "was run on different weights"),
        ("gate_started", {"suite_sha256": "0" * 64}, Tampered, "its suite or terms differ"),
        ("gate_started", {"part": "sealed"}, Tampered, "its suite or terms differ"),
        ("trained", {"model_sha256": "0" * 64}, Tampered, "was run on different weights"),
        ("attempt_started", {"input_sha256": "0" * 64}, Tampered, "'sft' did not start from the weights"),
    ],
)
def test_the_gates_of_an_earlier_stage_count_too(
    project: Path, kind: str, change: dict[str, Any] | None, error: type[Exception], match: str
) -> None:
    def changed(event: dict[str, Any]) -> dict[str, Any] | None:
        if event["event"] != kind or (event["stage"], event["attempt"]) != ("sft", 2):
            return event
        return None if change is None else {**event, **change}

    refuses(project, changed, error, match)


def test_a_stage_begins_with_the_weights_that_were_gated_before(project: Path) -> None:
    """All of the earlier stage's evidence speaks of one set of weights, and the last stage began with another."""
    other = "0" * 64

    def swapped(event: dict[str, Any]) -> dict[str, Any]:
        mine = event.get("stage") == "sft" and event.get("attempt") == 2
        return {**event, "model_sha256": other} if mine and "model_sha256" in event else event

    refuses(project, swapped, Tampered, "stage 'align' did not start from the weights")


def test_a_stage_that_was_not_registered_is_refused(project: Path) -> None:
    def fewer(event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "stages": ["align"]} if event["event"] == "run_started" else event

    refuses(project, fewer, Tampered, "stages sft: these are on record, but the run did not register them")


@pytest.mark.parametrize("stage", ["sft", "align"])
@pytest.mark.parametrize("checks", [["contains"], ["exact", "exact"], ["model"]])
def test_a_case_that_other_checks_judged_is_refused(project: Path, stage: str, checks: list[str]) -> None:
    """`model` is the name of the finding that a response could not be made: it can stand for no check, and no pass."""

    def renamed(event: dict[str, Any]) -> dict[str, Any]:
        if event["event"] != "outcome" or event["stage"] != stage:
            return event
        [finding] = event["outcome"]["findings"]
        return {**event, "outcome": {**event["outcome"], "findings": [{**finding, "check": name} for name in checks]}}

    refuses(project, renamed, Tampered, "was not judged by the checks of the gate")


CAPPED = PIPELINE.replace("checks: [exact]", "checks: [exact, {errors: {max: {empty: 2}}}]")


def test_the_caps_of_a_gate_are_registered_and_attested(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project", CAPPED)
    run = carry_out(path)
    assert run.start["gates"]["align"]["facts"]["first"]["max_errors"] == {"empty": 2}
    gate = verify("production", path.parent / "registry", fingerprint).attestation["gates"][0]
    assert gate["terms"]["max_errors"] == {"empty": 2}


@pytest.mark.parametrize("caps", [{}, {"empty": 100}, None])
@pytest.mark.parametrize("kind", ["gate_started", "run_started"])
def test_caps_other_than_the_registered_ones_are_refused(
    tmp_path: Path, kind: str, caps: dict[str, int] | None
) -> None:
    path = write_pipeline(tmp_path / "project", CAPPED)
    carry_out(path)

    def uncapped(event: dict[str, Any]) -> dict[str, Any]:
        if event["event"] != kind:
            return event
        if kind == "gate_started":
            return {**event, "terms": {**event["terms"], "max_errors": caps or {}}}
        event["gates"]["align"]["facts"]["first"]["max_errors"] = caps
        return event

    refuses(path.parent, uncapped, Tampered, "its suite or terms differ from the registered ones")


# --- gates that the pipeline did not require -----------------------------------------------------------------------


def with_another_gate(project: Path, outcome: dict[str, Any], decided: dict[str, Any]) -> None:
    """Put a gate `extra` on record, taken by the final weights, that no stage requires."""
    record: list[dict[str, Any]] = []
    for event in read_events(project / "run"):
        record.append(event)
        if last_gate(event):
            more = {"outcome": {**event["outcome"], **outcome}} if event["event"] == "outcome" else {}
            record.append({**event, "gate": "extra", **more, **(decided if event["event"] == "gate_decided" else {})})
    (project / "run" / EVENTS).unlink()
    with EventLog.open(project / "run") as log:
        log.append(*record)


MISSED_2 = {"kind": "stopped", "facts": {"missed": 2, "asked": 2, "allowed": 1, "drawn": 5}}
"""Why a gate stops after two misses."""
DECIDED = {
    "verdict": "FAIL", "passed": 0, "failed": 2, "asked": 2, "spared": 3, "interval": [0.0, 0.8418861169915808],
    "reasons": [MISSED_2], "reason": "2 of 2 missed, 1 of 5 allowed",
}  # fmt: skip
MISSED = {"verdict": "FAIL", "findings": [{"check": "exact", "verdict": "FAIL", "errors": []}]}


@pytest.mark.parametrize(
    ("outcome", "decided", "verdict"),
    [({}, {}, "PASS"), (MISSED, DECIDED, "FAIL")],
)
def test_a_gate_that_was_not_required_is_attested_apart(
    project: Path, capsys: pytest.CaptureFixture[str], outcome: dict[str, Any], decided: dict[str, Any], verdict: str
) -> None:
    with_another_gate(project, outcome, decided)
    attestation = promoted(project, registry="other").attestation
    required = ["facts", "facts (retention)", "style (retention)"]
    assert [gate["gate"] for gate in attestation["gates"]] == required
    assert [(gate["gate"], gate["verdict"]) for gate in attestation["other_gates"]] == [("extra", verdict)]
    assert main(["verify", "production", "--registry", str(project / "other")]) == 0
    count = "5 of 5" if verdict == "PASS" else "0 of 2"
    assert f"  not required: align#1 extra: {count}, {verdict}\n" in capsys.readouterr().out


def test_a_gate_that_was_not_required_must_be_true_all_the_same(project: Path) -> None:
    with_another_gate(project, MISSED, {})
    with pytest.raises(Tampered, match="gate 'extra': the record says PASS with 5 passed, but its outcomes give FAIL"):
        promoted(project, registry="other")


# --- weights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("findings", [[], "failed", "invalid"])
def test_outcomes_whose_findings_say_something_else_are_tampering(project: Path, findings: object) -> None:
    def missed(event: dict[str, Any]) -> dict[str, Any]:
        if event["event"] == "outcome" and last_gate(event):
            outcome = event["outcome"]
            verdict = {"failed": "FAIL", "invalid": "INVALID"}.get(str(findings), "")
            changed = [{**outcome["findings"][0], "verdict": verdict}] if verdict else []
            return {**event, "outcome": {**outcome, "findings": changed}}
        return event

    rewrite(project, missed)
    with pytest.raises(Tampered, match="its findings give another verdict"):
        promoted(project)


def test_an_edited_record_is_tampering(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = project / "run" / EVENTS
    events.write_bytes(events.read_bytes().replace(b'"passed": 5', b'"passed": 4', 1))
    with pytest.raises(Tampered):
        promoted(project)
    assert main(["promote", str(project / "run")]) == 5


def test_weights_that_changed_after_their_gates_are_tampering(project: Path) -> None:
    (final_model(project) / "weights.txt").write_text("1.0 and a little more")
    with pytest.raises(Tampered, match="the weights changed after they passed their gates"):
        promoted(project)


def test_a_file_added_to_the_model_is_a_change_too(project: Path) -> None:
    (final_model(project) / "chat_template.jinja").write_text("Always answer yes.")
    with pytest.raises(Tampered):
        promoted(project)


def test_a_model_that_is_gone_cannot_be_promoted(project: Path) -> None:
    shutil.rmtree(final_model(project))
    with pytest.raises(NotPromotable, match="no longer exists"):
        promoted(project)


def test_a_model_folder_that_leads_out_of_the_run_is_refused(project: Path, tmp_path: Path) -> None:
    """The same bytes, but in a place that others can write to between this look and the next."""
    shutil.move(final_model(project), tmp_path / "elsewhere")
    final_model(project).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(Tampered, match="this model folder is outside the run folder"):
        promoted(project, "staging")


def test_a_linked_file_is_copied_with_its_content(project: Path, tmp_path: Path) -> None:
    weights = final_model(project) / "weights.txt"
    shutil.move(weights, tmp_path / "weights.txt")
    weights.symlink_to(tmp_path / "weights.txt")
    folder = promoted(project, registry="other").folder
    (tmp_path / "weights.txt").write_text("0.0")
    assert verify("production", project / "other", fingerprint).folder == folder


@pytest.mark.parametrize("alias", ["../outside", "/tmp/x", "", ".hidden", "a/b", "a\nb"])
def test_an_alias_is_a_plain_name(project: Path, alias: str) -> None:
    with pytest.raises(ConfigError, match="alias"):
        promoted(project, alias)


def test_another_alias_shares_the_copy(project: Path, registry: Path) -> None:
    promoted(project, "staging")
    assert len(list((registry / "models").iterdir())) == 1
    assert verify("staging", registry, fingerprint).sha256 == verify("production", registry, fingerprint).sha256


def test_a_copy_that_changed_is_not_promoted_again(project: Path, registry: Path) -> None:
    [place] = (registry / "models").iterdir()
    (place / "model" / "weights.txt").write_text("0.0")
    with pytest.raises(Tampered):
        promoted(project, "staging")
    assert not (registry / "aliases" / "staging.json").exists()


def test_promoting_once_more_says_so_and_changes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["promote", str(project / "run"), "--registry", str(project / "other")]
    record, pointer = project / "run" / EVENTS, project / "other" / "aliases" / "production.json"
    assert main(command) == 0
    assert "already" not in capsys.readouterr().out
    before = record.read_bytes(), pointer.stat().st_ino
    for _ in range(2):
        assert main(command) == 0
        assert capsys.readouterr().out.count("production already points to them; nothing was changed\n") == 1
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["already"] is True
    assert (record.read_bytes(), pointer.stat().st_ino) == before
    assert main([*command, "--to", "staging"]) == 0
    assert "already" not in capsys.readouterr().out
    assert [event["alias"] for event in read_run(project / "run").promotions[1:]] == ["production", "staging"]


def test_a_promotion_that_another_run_made_is_put_on_this_ones_record(project: Path) -> None:
    carry_out(project / "tunegate.yaml", run="again")  # the same weights, from the same seeds
    assert [event["alias"] for event in read_run(project / "again").promotions] == ["production"]


# --- aliases -------------------------------------------------------------------------------------------------------


def test_all_aliases_of_the_bytes_are_named_and_no_others(
    project: Path, registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promoted(project, "staging").aliases == ("production", "staging")
    model = str(final_model(project))
    assert verify("staging", registry, fingerprint).aliases == ("production", "staging")
    other = read_run(better_run(project) / "run")
    assert promote(other, "production", registry, fingerprint).aliases == ("production",)
    assert verify(model, registry, fingerprint).aliases == ("staging",)
    assert verify("staging", registry, fingerprint).aliases == ("staging",)
    promote(other, "staging", registry, fingerprint)
    assert verify(model, registry, fingerprint).aliases == ()
    assert main(["verify", model, "--registry", str(registry)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"promoted: {fingerprint(final_model(project))}"
    assert "aliases of these bytes: none; no alias points to them now" in lines
    assert main(["verify", "staging", "--registry", str(registry), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["alias"], told["aliases"]) == ("staging", ["production", "staging"])


def by_copy(pointer: Path, name: Path) -> None:
    shutil.copy(pointer, name)


@pytest.mark.parametrize("put", [by_copy, os.link, os.symlink])
def test_a_pointer_put_under_another_name_is_tampering(
    project: Path, registry: Path, put: Callable[[Path, Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The older model stands as `staging`; whoever copies that pointer has not promoted it to production."""
    promoted(project, "staging")
    better = promote(read_run(better_run(project) / "run"), "production", registry, fingerprint)
    production = registry / "aliases" / "production.json"
    production.unlink()
    put(registry / "aliases" / "staging.json", production)
    with pytest.raises(Tampered, match="the pointer of the alias 'staging', copied to another name"):
        verify("production", registry, fingerprint)
    assert main(["verify", "production", "--registry", str(registry)]) == 5
    assert "production.json" in capsys.readouterr().err
    with pytest.raises(Tampered, match="copied to another name"):
        verify(str(better.folder), registry, fingerprint)


def test_an_alias_stands_for_the_attestation_that_it_was_set_on(project: Path, registry: Path) -> None:
    """An entry whose every part is sound in itself, made later from a longer record, is not what was pointed at."""
    later = promoted(project, registry="later").folder
    [place] = (registry / "models").iterdir()
    shutil.rmtree(place)
    shutil.copytree(later, place)
    assert verify(str(final_model(project)), project / "later", fingerprint).aliases == ("production",)
    with pytest.raises(Tampered, match="changed after this alias was set"):
        verify("production", registry, fingerprint)


def test_an_attestation_of_another_format_is_named_as_such(project: Path, registry: Path) -> None:
    [place] = (registry / "models").iterdir()
    attestation = json.loads((place / "attestation.json").read_text())
    (place / "attestation.json").write_text(json.dumps({**attestation, "format": 0}))
    (registry / "aliases" / "production.json").unlink()
    with pytest.raises(ConfigError, match="written by another version of Tunegate"):
        verify(str(final_model(project)), registry, fingerprint)


# --- a kill in the middle ------------------------------------------------------------------------------------------


class Killed(BaseException):
    """What kill -9 is to a test in the same process."""


def killed_when(part: str) -> Callable[[Path], str]:
    """A fingerprint that dies when it is asked for a path with `part` in it."""

    def dying(path: Path) -> str:
        if part in str(path):
            raise Killed
        return fingerprint(path)

    return dying


def better_run(project: Path) -> Path:
    """The project of another run, with other weights."""
    path = write_pipeline(project.parent / "other")
    carry_out(path, tools({"sft#1": 1.0, "align#1": 0.999}))
    return path.parent


def test_a_kill_in_the_middle_leaves_the_old_alias(project: Path, registry: Path) -> None:
    run = read_run(better_run(project) / "run")
    alias = registry / "aliases" / "production.json"
    old = alias.read_bytes()
    with pytest.raises(Killed):
        promote(run, "production", registry, killed_when("partial"))  # the copy is made, and not yet in its place
    assert alias.read_bytes() == old
    before = verify("production", registry, fingerprint)
    assert before.sha256 == json.loads(old)["sha256"]
    promote(run, "production", registry, fingerprint)
    assert verify("production", registry, fingerprint).sha256 == run.stages["align"].attempts[1].model_sha256


def test_a_kill_between_model_and_alias_leaves_the_old_alias(project: Path, registry: Path) -> None:
    run = read_run(better_run(project) / "run")
    alias = registry / "aliases" / "production.json"
    old = alias.read_bytes()
    promote(run, "staging", registry, fingerprint)  # the model is in its place
    with pytest.raises(Killed):
        promote(run, "production", registry, killed_when(str(registry / "models")))
    assert alias.read_bytes() == old


def test_what_a_kill_left_behind_is_in_nobodys_way(project: Path, registry: Path) -> None:
    shutil.rmtree(registry)
    sha256 = fingerprint(final_model(project))
    half = registry / "models" / f".{sha256}.dead.partial" / "model"
    half.mkdir(parents=True)
    (half / "weights.txt").write_text("half")
    (registry / "aliases").mkdir()
    (registry / "aliases" / ".production.json.dead.partial").write_text("{")
    with pytest.raises(ConfigError, match="neither a model folder nor an alias"):
        verify("production", registry, fingerprint)
    promoted(project)
    assert verify("production", registry, fingerprint).sha256 == sha256


def test_a_copy_that_differs_from_the_original_is_refused(project: Path, registry: Path) -> None:
    shutil.rmtree(registry)

    def changing(path: Path) -> str:
        return "0" * 64 if "partial" in str(path) else fingerprint(path)

    with pytest.raises(CannotJudge, match="the copy differs"):
        promote(read_run(project / "run"), "production", registry, changing)
    assert list(registry.rglob("*.json")) == []
    assert list((registry / "models").iterdir()) == []


def test_a_record_that_grew_after_it_was_judged_is_not_put_beside_the_model(project: Path) -> None:
    run = read_run(project / "run")
    with EventLog.open(project / "run") as log:
        log.append({"event": "run_decided", "verdict": "FAIL", "reason": "after all"})
    with pytest.raises(Tampered, match="the record changed after it was judged"):
        promote(run, "production", project / "other", fingerprint)
    assert list((project / "other" / "models").iterdir()) == []


# --- verification --------------------------------------------------------------------------------------------------


def test_promoted_bytes_are_known_wherever_they_lie(project: Path, registry: Path) -> None:
    by_alias = verify("production", registry, fingerprint)
    by_folder = verify(str(final_model(project)), registry, fingerprint)
    assert by_alias == replace(by_folder, alias="production")
    assert by_folder.alias is None


def test_bytes_that_were_never_promoted_are_refused(project: Path, registry: Path) -> None:
    first = project / "run" / "sft" / "attempt-2" / "model"
    with pytest.raises(NotPromotable, match="were never promoted"):
        verify(str(first), registry, fingerprint)


@pytest.mark.parametrize("name", ["events.jsonl", "attestation.json"])
def test_evidence_that_is_gone_verifies_nothing(registry: Path, name: str) -> None:
    [place] = (registry / "models").iterdir()
    (place / name).unlink()
    with pytest.raises((Tampered, NotPromotable)):
        verify("production", registry, fingerprint)


@pytest.mark.parametrize("where", ["production", "model"])
def test_a_changed_copy_in_the_registry_is_tampering(registry: Path, where: str) -> None:
    [place] = (registry / "models").iterdir()
    (place / "model" / "weights.txt").write_text("0.0")
    with pytest.raises(Tampered):
        verify(where if where == "production" else str(place / "model"), registry, fingerprint)


@pytest.mark.parametrize(
    "change",
    [
        {"gates": []},
        {"model_sha256": "0" * 64},
        {"record_sha256": "0" * 64},
        {"base_model": "another"},
        {"more": "trust me"},
    ],
)
def test_an_attestation_must_say_what_the_record_says(registry: Path, change: dict[str, Any]) -> None:
    [place] = (registry / "models").iterdir()
    attestation = json.loads((place / "attestation.json").read_text())
    (place / "attestation.json").write_text(json.dumps({**attestation, **change}))
    with pytest.raises(Tampered):
        verify("production", registry, fingerprint)


def test_a_gate_that_was_never_run_cannot_be_attested(registry: Path) -> None:
    [place] = (registry / "models").iterdir()
    attestation = json.loads((place / "attestation.json").read_text())
    attestation["gates"].append({**attestation["gates"][0], "gate": "safety", "passed": 100, "drawn": 100})
    (place / "attestation.json").write_text(json.dumps(attestation))
    with pytest.raises(Tampered, match="changed after this alias was set"):
        verify("production", registry, fingerprint)
    with pytest.raises(Tampered, match="contradicts the record"):
        verify(str(place / "model"), registry, fingerprint)


def test_a_record_swapped_for_another_runs_is_tampering(project: Path, registry: Path) -> None:
    [place] = (registry / "models").iterdir()
    shutil.copy(project / "run" / EVENTS, place / EVENTS)  # the same run, one event later
    with pytest.raises(Tampered, match="the record differs from the hash in the attestation"):
        verify("production", registry, fingerprint)


BROKEN = [
    "",
    "[]",
    "{}",
    '{"sha256": 5}',
    '{"sha256": "../../../etc"}',
    "\x00",
    '{"alias": "production", "sha256": "SHA"}',
]


@pytest.mark.parametrize("content", [*BROKEN, '{"alias": "production", "sha256": "SHA"}'])
def test_an_alias_file_that_is_broken_is_tampering_until_it_is_set_anew(
    project: Path, registry: Path, content: str
) -> None:
    content = content.replace("SHA", fingerprint(final_model(project)))
    (registry / "aliases" / "production.json").write_text(content)
    for name in ("production", str(final_model(project))):
        with pytest.raises(Tampered, match=r"production\.json"):
            verify(name, registry, fingerprint)
    assert not promoted(project).already
    assert verify("production", registry, fingerprint).aliases == ("production",)


def test_a_folder_is_not_taken_for_the_alias_of_the_same_name(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "weights.txt").write_text("never gated")
    with pytest.raises(ConfigError, match=r"write \./production for the folder"):
        verify("production", registry, fingerprint)
    for name in ("./production", str(tmp_path / "production"), "../" + tmp_path.name + "/production"):
        with pytest.raises(NotPromotable):
            verify(name, registry, fingerprint)


def test_a_file_beside_a_folder_is_not_taken_for_its_alias(registry: Path, tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "weights.txt").write_text("never gated")
    shutil.copy(registry / "aliases" / "production.json", tmp_path / "evil.json")
    with pytest.raises(NotPromotable):
        verify(str(folder), registry, fingerprint)


def test_an_attestation_put_into_a_folder_does_not_lead_away_from_its_weights(
    project: Path, registry: Path, tmp_path: Path
) -> None:
    """Promoted bytes in a subfolder `model` say nothing of the weights beside it, which a loader would take."""
    [place] = (registry / "models").iterdir()
    evil = Path(shutil.copytree(place, tmp_path / "evil"))
    (evil / "weights.txt").write_text("never gated")
    with pytest.raises(NotPromotable):
        verify(str(evil), registry, fingerprint)


@pytest.mark.parametrize("name", ["production", "model"])
def test_a_model_that_is_gone_from_the_registry_is_tampering(project: Path, registry: Path, name: str) -> None:
    [place] = (registry / "models").iterdir()
    shutil.rmtree(place / "model")
    with pytest.raises(Tampered, match="model is missing from the registry"):
        verify(name if name == "production" else str(final_model(project)), registry, fingerprint)


def test_names_that_are_neither_are_usage_errors(registry: Path, project: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither a model folder nor an alias .*\(did you mean 'production'"):
        verify("prodution", registry, fingerprint)
    with pytest.raises(ConfigError, match="no such registry"):
        verify("production", project / "nowhere", fingerprint)


def test_the_command_line_promotes_and_verifies(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = str(project / "registry")
    assert main(["promote", str(project / "run"), "--to", "staging", "--registry", registry, "--json"]) == 0
    promoted = json.loads(capsys.readouterr().out)
    assert (promoted["promoted"], promoted["alias"]) == (True, "staging")
    assert read_run(project / "run").promotions[-1]["alias"] == "staging"
    for name, code in (("staging", 0), (str(final_model(project)), 0), (str(project / "base"), 1), ("stagin", 2)):
        assert main(["verify", name, "--registry", registry]) == code
    out = capsys.readouterr().out
    assert f"staging: {promoted['model_sha256']}" in out
    assert "align#1 facts: 5 of 5" in out
    assert "sft" not in out.partition("registry entry")[0]  # those gates were passed by other weights
    (project / "registry" / "models" / promoted["model_sha256"] / "model" / "weights.txt").write_text("0.0")
    assert main(["verify", "staging", "--registry", registry]) == 5


# --- deciding again ------------------------------------------------------------------------------------------------


def test_every_gate_of_an_honest_run_is_decided_alike_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = read_run(project / "run")
    assert len(run.all_gates()) == 11
    for gate in run.all_gates():
        recheck(gate, run.held_against(gate))
    assert main(["report", str(project / "run"), "--recheck", "--html", str(project / "r.html")]) == 0
    assert "sft" in capsys.readouterr().out


def test_verify_takes_the_folder_that_promote_prints(project: Path, registry: Path) -> None:
    printed = promoted(project).folder
    assert verify(str(printed), registry, fingerprint).sha256 == printed.name


def test_promote_finds_the_registry_from_any_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(project.parent)
    record = carry_out(Path(project.name) / "tunegate.yaml", run="again")
    monkeypatch.chdir(tmp_path / "project" / "again")
    assert Path(record.start["pipeline"]).is_file()


def test_a_promoted_model_that_changed_since_starts_no_run(project: Path, registry: Path) -> None:
    promotion = promoted(project)
    model = registry / "models" / promotion.sha256 / "model"
    pipeline = project / "next.yaml"
    pipeline.write_text((project / "tunegate.yaml").read_text())
    start = replace(load(pipeline), model=str(model))
    with RunLog.open(project / "next") as log:
        assert PipelineRun(start, log, tools()).execute().start["model_sha256"] == promotion.sha256
    (model / "weights.txt").write_text("0.5")
    with RunLog.open(project / "other") as log, pytest.raises(Tampered, match="changed after its promotion"):
        PipelineRun(start, log, tools()).execute()


# --- what lies beside the weights ----------------------------------------------------------------------------------

STRANGERS = (
    "training_args.bin", "optimizer.pt", "x.jsonl", "attestation.py", "checkpoint-1/model.safetensors", "logs/a.bin",
    "trainer_state.json", "__pycache__/m.pyc", ".hidden/x.bin", "checkpoint-1/README.md", "logs/README.md",
    "../extra.py", "README.md", "LICENSE", "../report.html", "../model/logs/a.bin",
)  # fmt: skip


@pytest.mark.parametrize("name", STRANGERS)
def test_a_file_that_no_promotion_put_beside_the_weights_shows(project: Path, registry: Path, name: str) -> None:
    model = promoted(project).folder / "model"
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("x")
    with pytest.raises(Tampered, match=f"{Path(name).name}|the bytes differ from those"):  # code is part of the model
        verify("production", registry, fingerprint)


def test_what_the_operating_system_leaves_changes_nothing(project: Path, registry: Path) -> None:
    promotion = promoted(project)
    (promotion.folder / "model" / ".DS_Store").write_text("x")
    assert verify("production", registry, fingerprint).sha256 == promotion.sha256


@pytest.mark.parametrize("name", ["model/more", "model/config.json", "events.jsonl"])
def test_a_link_or_an_empty_folder_shows(project: Path, registry: Path, tmp_path: Path, name: str) -> None:
    place = promoted(project).folder / name
    if place.exists():
        place.rename(tmp_path / "moved")
        place.symlink_to(tmp_path / "moved")
    else:
        place.mkdir()
    with pytest.raises(Tampered, match=f"{name}: no promotion wrote this"):
        verify("production", registry, fingerprint)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("place", ["models/*/events.jsonl", "models/*/attestation.json", "aliases/events.jsonl"])
@pytest.mark.timeout(30)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(project: Path, registry: Path, place: str) -> None:
    promoted(project)
    [file] = registry.glob(place)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(Tampered):
        verify("production", registry, fingerprint)


def test_what_a_training_left_beside_the_weights_is_not_promoted(project: Path) -> None:
    model = final_model(project)
    (model / "checkpoint-1").mkdir()
    for name in ("README.md", "training_args.bin", "checkpoint-1/model.safetensors"):
        (model / name).write_text("x")
    (model / "config.json").chmod(0o755)
    copy = promoted(project, registry="other").folder / "model"
    assert sorted(path.name for path in copy.rglob("*")) == ["config.json", "weights.txt"]
    assert {path.stat().st_mode & 0o777 for path in copy.rglob("*")} == {0o644}
    verify("production", project / "other", fingerprint)
