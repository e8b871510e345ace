"""What came of a fault, as a line of docs/faults.md; and what must hold for every one."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.faults import Ending, Fault, Lab, judged_by_a_server
from tunegate.checks.outcome import Verdict
from tunegate.record.record import GateRecord, RunRecord


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    fault: str
    where: str
    verdict: str
    exit_code: int
    said: str
    again: str


def inject(fault: Fault, step: str, folder: Path, whole: RunRecord) -> Row:
    """Carry a pipeline out while a fault strikes, hold it against `whole`, the run without, and start it again."""
    lab = Lab(folder, fault, step)
    with judged_by_a_server(lab) if fault.judge else nullcontext():
        if not fault.judge:
            lab.write()
        ending = lab.carry_out()
        lab.restore()
        assert lab.struck or fault.metric or fault.opens, "the fault did not strike"
        check_no_pass(fault, step, ending, folder)
        if ending.run is not None:
            check_denominators(ending.run, whole)
        said = on_record(ending.run)
        assert bool(said) == fault.on_record, (said, ending.error)
        again = Lab(folder).carry_out()
    assert again.verdict == fault.again, again.error
    if again.exit_code == 0:
        assert again.run is not None
        assert essence(again.run) == essence(whole)
        assert promoted(folder)
    words = said[0] if said else f"nothing; the command says: {ending.error}" if ending.error else "nothing"
    return Row(fault.name, step, ending.verdict, ending.exit_code, without_places(words, folder), again.verdict)


def check_no_pass(fault: Fault, step: str, ending: Ending, folder: Path) -> None:
    """No fault that touches what decides ends in a pass, on record or elsewhere."""
    if not fault.decides or step == "diagnosis":
        return
    assert ending.exit_code != 0
    assert not promoted(folder)
    decided_before = step == "promotion"
    assert ending.run is None or decided_before or ending.run.verdict is not Verdict.PASS


def on_record(run: RunRecord | None) -> list[str]:
    """Where a record speaks of a fault."""
    if run is None:
        return []
    outcomes = [outcome for gate in run.all_gates() for outcome in gate.outcomes]
    said = [f"outcome INVALID: {outcome.reason}" for outcome in outcomes if outcome.verdict is Verdict.INVALID]
    attempts = [attempt for stage in run.stages.values() for attempt in stage.attempts.values()]
    said += [f"training_failed: {attempt.error}" for attempt in attempts if attempt.error]
    diagnoses = [line for attempt in attempts if attempt.diagnosis for line in attempt.diagnosis.evidence]
    said += [f"diagnosed: {line}" for line in diagnoses if "not judged" in line]
    return said + [f"fault: {reason}" for reason in run.faults]


def essence(run: RunRecord) -> Any:
    """What a run found out, in however many sittings."""
    return run.verdict, [(gate.stage, gate.attempt, gate.key, *counts(gate)) for gate in run.all_gates()]


def counts(gate: GateRecord) -> tuple[Any, ...]:
    return gate.verdict, gate.passed, gate.failed, gate.invalid, gate.spared, gate.drawn, tuple(gate.case_ids)


def promoted(folder: Path) -> bool:
    return (folder / "registry" / "aliases" / "production.json").exists()


def check_denominators(run: RunRecord, whole: RunRecord) -> None:
    """A fault changes neither what was registered nor what it adds up to."""
    registered = {(gate.stage, gate.attempt, gate.key): gate for gate in whole.all_gates()}
    for gate in run.all_gates():
        untouched = registered[gate.stage, gate.attempt, gate.key]
        assert (gate.drawn, gate.case_ids) == (untouched.drawn, untouched.case_ids)
        if gate.decided:
            assert gate.passed + gate.failed + gate.invalid + gate.spared == gate.drawn == len(gate.case_ids)


def without_places(text: str, folder: Path) -> str:
    """For the table: nothing that differs from one run of it to the next."""
    text = " ".join(text.replace(f"{folder}/", "").replace(str(folder), ".").split())
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", text)
    text = re.sub(r"events\.jsonl:\d+", "events.jsonl:N", text)
    return re.sub(r"[0-9a-f]{12,64}", "…", text).replace("|", "\\|").strip()
