"""Records that were edited and sealed again: never a traceback, and never a PASS or a promotion that was not earned.

`data/resealed_edits.json` are edits that once ended in a traceback; the rest are drawn at random.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import fake_pipeline
from tests.support.bank import write_jsonl
from tests.support.places import FILES
from tests.support.record_edits import Events, edited, events_of, set_at, write
from tunegate.cases.case import Case
from tunegate.cli import main
from tunegate.exceptions import Tampered, TunegateError
from tunegate.gates.gate_run import GateRequest, run_gate
from tunegate.models.model import ScriptedModel
from tunegate.progress import no_progress
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

ATTACKS = json.loads((FILES / "resealed_edits.json").read_text())
TRIED = [one["edits"] for one in ATTACKS if one["edits"][0][0] != "event count"]
KEPT = "{cases: cases.jsonl, checks: [exact], plan: {draw: 5, accept: 1}, retention: {max_drop: 90}}"
RETENTION = fake_pipeline.PIPELINE.replace("  style: ", f"  kept: {KEPT}\n  style: ")
RETENTION = RETENTION.replace("gates: [facts]", "gates: [facts, kept]")
SUITE = "cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 5, accept: 4, confirm: never}\n"


@dataclass(frozen=True)
class Victim:
    """A project with a record, and what may be done with the record: each gives an exit code."""

    folder: Path
    events: Events
    commands: dict[str, Callable[[Path], int]]
    passed: bool

    @property
    def record(self) -> Path:
        return self.folder / "run"

    def attack(self, events: Events, command: str) -> int:
        """Put the events in the place of the record, and have a command look at it."""
        (self.record / EVENTS).unlink()
        write(self.record, events)
        return self.commands[command](self.folder)


def quietly(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def report(folder: Path) -> int:
    return quietly("report", folder / "run")


def recheck(folder: Path) -> int:
    return quietly("report", folder / "run", "--recheck", "--junit", folder / "r.xml", "--markdown", folder / "r.md")


def promote(folder: Path) -> int:
    return quietly("promote", folder / "run", "--to", "edited", "--registry", folder / "other")


def verify(folder: Path) -> int:
    """Whether the registry takes the edited record, with an attestation that names it, for what it vouches for."""
    shutil.rmtree(folder / "registry", ignore_errors=True)
    shutil.copytree(folder / "kept", folder / "registry")
    shutil.rmtree(folder / "registry" / "aliases")  # which would know the attestation again
    [place] = (folder / "registry" / "models").iterdir()
    attestation = json.loads((place / "attestation.json").read_text())
    shutil.copy(folder / "run" / EVENTS, place / EVENTS)
    lines = (place / EVENTS).read_bytes().splitlines()
    attested = attestation | {"record_sha256": json.loads(lines[-1])["line_sha256"] if lines else ""}
    (place / "attestation.json").write_text(json.dumps(attested))
    return quietly("verify", place / "model", "--registry", folder / "registry")


def resume(skills: dict[str, float]) -> Callable[[Path], int]:
    def again(folder: Path) -> int:
        shutil.rmtree(folder / "registry", ignore_errors=True)
        return coded(lambda: fake_pipeline.carry_out(folder / "tunegate.yaml", fake_pipeline.tools(skills)).verdict)

    return again


def gate(right: float) -> Callable[[Path], int]:
    def again(folder: Path) -> int:
        suite = load_suite(folder / "suite.yaml", build_check)
        model = ScriptedModel(answers(right), name="m", sha256="weights")
        request = GateRequest(suite, suite.plan, 0, model, str(folder / "run"))
        return coded(lambda: run_gate(request, no_progress, {}).deciding.verdict)

    return again


def answers(right: float) -> Callable[[Case], str]:
    return lambda case: case.references[0] if fake_pipeline.luck_of(case.id) < right else "?"


def coded(work: Callable[[], Any]) -> int:
    """What the command line makes of it: the verdict's exit code, or the error's. Others are for pytest to show."""
    try:
        return work().exit_code
    except TunegateError as error:
        return error.exit_code


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Victim]:
    """A run that passed and was promoted, one that missed to the end, and a gate alone that missed."""
    made: dict[str, Victim] = {}
    for name, skills in {"good": dict(fake_pipeline.SKILLS), "bad": {"sft#1": 0.3}}.items():
        folder = tmp_path_factory.mktemp(name) / "project"
        run = fake_pipeline.carry_out(fake_pipeline.write_pipeline(folder, RETENTION), fake_pipeline.tools(skills))
        commands = {"report": report, "recheck": recheck, "promote": promote, "run": resume(skills)}
        if name == "good":
            commands["verify"] = verify
            shutil.copytree(folder / "registry", folder / "kept")
        made[name] = Victim(folder, events_of(folder / "run"), commands, run.verdict == "PASS")
    folder = tmp_path_factory.mktemp("gate") / "project"
    folder.mkdir()
    write_jsonl(folder / "cases.jsonl", [{"id": f"c{n}", "prompt": f"{n}?", "reference": f"a{n}"} for n in range(20)])
    (folder / "suite.yaml").write_text(SUITE)
    assert gate(0.0)(folder) == 1
    commands = {"report": report, "recheck": recheck, "promote": promote, "gate": gate(0.0)}
    made["gate"] = Victim(folder, events_of(folder / "run"), commands, passed=False)
    return made


def test_records_as_they_were_are_what_they_were(victims: dict[str, Victim]) -> None:
    """Else the tests below would find nothing."""
    good, bad, alone = victims["good"], victims["bad"], victims["gate"]
    assert (good.passed, bad.passed) == (True, False)
    assert {name: good.attack(good.events, name) for name in good.commands} == dict.fromkeys(good.commands, 0)
    assert {name: bad.attack(bad.events, name) for name in bad.commands} == {
        "report": 0, "recheck": 0, "promote": 1, "run": 1
    }  # fmt: skip
    assert alone.attack(alone.events, "gate") == 1


@pytest.mark.parametrize("edits", TRIED, ids=lambda edits: "-".join(f"{kind}.{path}" for kind, path, _ in edits))
def test_what_once_was_a_traceback_is_tampering(
    victims: dict[str, Victim], edits: list[tuple[str, str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    good = victims["good"]
    for name in good.commands:
        events = json.loads(json.dumps(good.events))
        for kind, path, text in edits:
            assert set_at(events, kind, path, value_of(text))
        code = good.attack(events, name)
        printed = capsys.readouterr()
        assert "internal error" not in printed.err + printed.out, name
        assert code == 5, (name, printed.err)


def value_of(text: str) -> Any:
    """The value that was written, of which some were cut short when they were noted down."""
    try:
        return json.loads(text)
    except ValueError:
        return ["exact"] * 9


def fuzz(victims: dict[str, Victim], capsys: pytest.CaptureFixture[str], seeds: range) -> set[int]:
    """Edit so many records and look at each with one command; the exit codes that came of it."""
    codes: set[int] = set()
    for seed in seeds:
        rng = random.Random(seed)
        victim = victims[rng.choice(sorted(victims))]
        name = rng.choice(sorted(victim.commands))
        events = edited(victim.events, rng)
        if name == "promote":
            shutil.rmtree(victim.folder / "other", ignore_errors=True)
        try:
            code = victim.attack(events, name)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {name} of {victim.folder}") from error
        printed = capsys.readouterr()
        assert "internal error" not in printed.err + printed.out, (seed, name, printed.err)
        if not victim.passed and name in ("run", "gate", "promote"):
            assert code != 0, (seed, name)
        codes.add(code)
    return codes


def test_edited_records_neither_crash_nor_pass(victims: dict[str, Victim], capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz(victims, capsys, range(60)) >= {0, 5}


def test_a_gate_without_its_beginning_is_not_begun_again(victims: dict[str, Victim]) -> None:
    """Seed 1644 of the fuzz: the new beginning took the gate off the record, and the command ended in a traceback."""
    victim = victims["gate"]
    assert victim.events[0]["event"] == "run_started"
    assert victim.attack(victim.events[1:], "gate") == 5


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(10))
def test_five_thousand_edited_records_neither_crash_nor_pass(
    victims: dict[str, Victim], capsys: pytest.CaptureFixture[str], part: int
) -> None:
    fuzz(victims, capsys, range(1000 + 500 * part, 1500 + 500 * part))


def test_a_misfit_is_named_by_its_line_its_event_and_its_field(victims: dict[str, Victim]) -> None:
    victim = victims["gate"]
    events = json.loads(json.dumps(victim.events))
    assert set_at(events, "gate_decided", "interval.1", "high")
    (victim.record / EVENTS).unlink()
    write(victim.record, events)
    with pytest.raises(Tampered, match=r"events\.jsonl:\d+: event gate_decided .*: interval.1: expected a number, got"):
        read_run(victim.record)
