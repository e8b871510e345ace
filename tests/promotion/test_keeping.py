"""`tunegate registry`: the history of the aliases, differences, the way back, clearing up, two promotions at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_pipeline import PIPELINE, carry_out, tools, write_pipeline
from tests.support.record_edits import events_of, write
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.promotion import aliases
from tunegate.promotion.aliases import history, moving, pointer_file
from tunegate.record.event_log import EVENTS, read_events

UNPROMOTED = PIPELINE.partition("promote:")[0]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with two runs that passed; the second one at its first attempt, so with other weights."""
    path = write_pipeline(tmp_path / "project", UNPROMOTED, bank=80)
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    assert carry_out(path, run="one").verdict is Verdict.PASS
    assert carry_out(path, tools({"sft#1": 1.0, "align#1": 1.0}), run="two").verdict is Verdict.PASS
    return path.parent


def said(capsys: Capture, *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(list(words)) == code
    out = capsys.readouterr()
    return out.out if code == 0 else out.err


def facts(capsys: Capture, *words: str) -> Any:
    return json.loads(said(capsys, *words, "--json"))


def both(capsys: Capture) -> tuple[str, str]:
    """Promote one run after the other to production; returns the fingerprints."""
    found = [facts(capsys, "promote", run, "--why", f"release of {run}")["model_sha256"] for run in ("one", "two")]
    assert found[0] != found[1]
    return found[0], found[1]


def test_the_history_says_who_moved_an_alias_when_and_why(project: Path, capsys: Capture) -> None:
    one, two = both(capsys)
    moves = facts(capsys, "registry", "history", "production")["moves"]
    assert [(move["before"], move["sha256"], move["who"], move["why"]) for move in moves] == [
        (None, one, "ada", "release of one"),
        (one, two, "ada", "release of two"),
    ]
    lines = said(capsys, "registry", "history", "production").splitlines()
    assert lines[1].endswith(f"{one[:12]}… -> {two[:12]}…  by ada, run small: release of two")
    [alias] = facts(capsys, "registry", "list")["aliases"]
    assert (alias["alias"], alias["sha256"], alias["moved"]["who"]) == ("production", two, "ada")
    assert "no such alias in the history of registry" in said(capsys, "registry", "history", "staging", code=2)
    assert two in said(capsys, "registry", "show", "production")
    facts(capsys, "promote", "two", "--to", "staging")
    columns = [line.index("since") for line in said(capsys, "registry", "list").splitlines()]
    assert columns == [columns[0]] * 2, "the columns are aligned"
    both(capsys)
    assert said(capsys, "report", "two").count("promoted to production: ") == 1


def test_a_key_verifies_the_signature_when_a_model_is_shown(project: Path, capsys: Capture) -> None:
    pytest.importorskip("cryptography")
    assert main(["keygen", "a.key"]) == 0
    assert main(["promote", "one", "--sign", "a.key"]) == 0
    assert "signature: good" in said(capsys, "registry", "show", "production", "--key", "a.pub")


def test_without_a_job_it_is_the_user_of_the_machine(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTOR")
    monkeypatch.setenv("LOGNAME", "grace")
    assert main(["promote", "one"]) == 0
    assert history(project / "registry")[0].who.startswith("grace@")


def test_the_history_is_not_read_once_for_each_alias(
    project: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    both(capsys)
    asked: list[Path] = []
    monkeypatch.setattr(aliases, "read_events", lambda folder: asked.append(folder) or read_events(folder))

    def reads(*words: str) -> int:
        asked.clear()
        said(capsys, *words)
        return len(asked)

    commands = [("registry", "list"), ("registry", "gc"), ("verify", "./registry/models/" + both(capsys)[1])]
    before = [reads(*words) for words in commands]
    for alias in ("staging", "canary", "demo"):
        assert main(["promote", "two", "--to", alias]) == 0
    assert [reads(*words) for words in commands] == before
    assert all(before)
    assert len(facts(capsys, "registry", "list")["aliases"]) == 4


def test_promoting_the_same_again_is_no_move(project: Path, capsys: Capture) -> None:
    both(capsys)
    assert facts(capsys, "promote", "two")["already"]
    assert len(history(project / "registry")) == 2


def test_the_differences_in_the_evidence_are_shown(project: Path, capsys: Capture) -> None:
    one, two = both(capsys)
    assert main(["promote", "one", "--to", "staging"]) == 0
    found = {one["what"]: one for one in facts(capsys, "registry", "diff", "staging", "production")["differences"]}
    assert found == {}  # the final stage was the same: one attempt, all cases right
    assert "no difference in the evidence" in said(capsys, "registry", "diff", one[:8], two[:8])
    assert "neither an alias nor a model" in said(capsys, "registry", "diff", "stagin", "production", code=2)


def test_a_rollback_goes_to_the_model_before_and_is_a_move_itself(project: Path, capsys: Capture) -> None:
    one, two = both(capsys)
    back = facts(capsys, "registry", "rollback", "production", "--why", "the answers got longer")
    assert (back["before"], back["sha256"]) == (two, one)
    assert one in said(capsys, "verify", "production")
    assert [move.why for move in history(project / "registry", "production")][-1] == "the answers got longer"
    assert (
        facts(capsys, "registry", "rollback", "production", "--to", two[:8], "--why", "no, they did not")["sha256"]
        == two
    )


def test_a_rollback_to_nothing_changes_nothing(project: Path, capsys: Capture) -> None:
    assert main(["promote", "one"]) == 0
    told = said(capsys, "registry", "rollback", "production", "--why", "it is slow", code=2)
    assert "production: it has no earlier model; see `tunegate registry history production" in told
    assert "0 earlier models begin with 'abcdef'" in said(
        capsys, "registry", "rollback", "production", "--to", "abcdef", "--why", "so", code=2
    )
    assert "--why" in said(capsys, "registry", "rollback", "production", "--why", " ", code=2)


def test_a_rollback_to_bytes_that_changed_is_refused(project: Path, capsys: Capture) -> None:
    one, two = both(capsys)
    (project / "registry" / "models" / one / "model" / "weights.txt").write_text("0.1")
    said(capsys, "registry", "rollback", "production", "--why", "slow", code=5)
    assert two in said(capsys, "verify", "production")


def test_a_policy_holds_for_a_rollback_too(project: Path, capsys: Capture) -> None:
    both(capsys)
    (project / "registry" / "policy.yaml").write_text("draw: 100\n")
    assert "100 are needed" in said(capsys, "registry", "rollback", "production", "--why", "slow", code=1)


def test_an_alias_file_that_the_history_does_not_know_is_tampering(project: Path, capsys: Capture) -> None:
    """Somebody copies an older alias file back: a true pointer to a true model, which nobody set."""
    assert main(["promote", "one"]) == 0
    older = pointer_file("production", project / "registry").read_bytes()
    assert main(["promote", "two"]) == 0
    pointer_file("production", project / "registry").write_bytes(older)
    assert "but the history last moved it to" in said(capsys, "verify", "production", code=5)


def test_a_history_that_was_edited_is_tampering(project: Path, capsys: Capture) -> None:
    both(capsys)
    log = project / "registry" / "aliases" / EVENTS
    log.write_text(log.read_text().replace('"who": "ada"', '"who": "bob"'))
    assert "the record was changed" in said(capsys, "registry", "history", "production", code=5)


def test_a_promotion_that_is_killed_leaves_the_old_alias_valid(project: Path, capsys: Capture) -> None:
    """Killed after the intention was written, and before the alias was replaced."""
    one, two = both(capsys)
    folder = project / "registry" / "aliases"
    events = events_of(folder)
    pointer = json.dumps({key: events[1][key] for key in ("alias", "sha256", "attestation_sha256")}, indent=2)
    (folder / EVENTS).unlink()
    write(folder, events[:3])  # moved to one, moving to two
    (folder / "production.json").write_text(pointer)
    assert one in said(capsys, "verify", "production")
    assert facts(capsys, "promote", "two")["model_sha256"] == two
    assert two in said(capsys, "verify", "production")


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(project: Path, capsys: Capture) -> None:
    with moving(project / "registry"):
        told = said(capsys, "promote", "one", code=3)
    assert "another promotion is under way, and this one changed nothing" in told
    assert main(["promote", "one"]) == 0


def test_two_processes_promote_and_the_history_knows_both(project: Path) -> None:
    command = [sys.executable, "-c", "from tunegate.cli import console_main; console_main()", "promote"]
    env = {**os.environ, "TUNEGATE_LEDGER": "none"}
    running = [subprocess.Popen([*command, run], env=env, stderr=subprocess.PIPE, text=True) for run in ("one", "two")]
    ended = [(process.communicate()[1], process.returncode) for process in running]
    assert {code for _, code in ended} <= {0, 3}
    assert all("another promotion is under way" in told for told, code in ended if code)
    assert len(history(project / "registry")) == sum(code == 0 for _, code in ended) > 0


def test_what_no_alias_points_to_is_removed_only_when_told(project: Path, capsys: Capture) -> None:
    one, two = both(capsys)
    half = project / "registry" / "models" / ".dead.partial"
    half.mkdir()
    models = project / "registry" / "models"
    listed = facts(capsys, "registry", "gc", "--keep", "0")["unused"]
    assert [Path(path).name for path in listed] == [one, ".dead.partial"]
    assert facts(capsys, "registry", "gc")["unused"] == ["registry/models/.dead.partial"]  # younger than 30 days
    assert "nothing was removed; add --yes" in said(capsys, "registry", "gc", "--keep", "0")
    assert sorted(path.name for path in models.iterdir()) == sorted([".dead.partial", one, two])
    assert len(facts(capsys, "registry", "gc", "--keep", "0", "--yes")["removed"]) == 2
    assert [path.name for path in models.iterdir()] == [two]
    assert two in said(capsys, "verify", "production")
    assert "nothing to remove" in said(capsys, "registry", "gc", "--keep", "0", "--yes")
    told = said(capsys, "registry", "rollback", "production", "--why", "slow", code=2)
    assert "its earlier model" in told


def test_a_folder_that_is_no_registry_is_one_line(project: Path, capsys: Capture) -> None:
    for action in (["list"], ["gc"], ["diff", "a", "b"], ["rollback", "a", "--why", "b c"]):
        told = said(capsys, "registry", *action, "--registry", "nowhere", code=2)
        assert told.count("\n") == 1
        assert "nowhere: no such registry" in told
