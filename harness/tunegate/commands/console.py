"""Output for people and scripts: short text and JSON on standard output, progress on standard error."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunegate.checks.outcome import Verdict, never_ended
from tunegate.commands.gate_json import draw_as_json
from tunegate.commands.plan_pipeline import pipeline_facts
from tunegate.exceptions import CannotJudge
from tunegate.gates.draw import place_of
from tunegate.gates.gate_run import GateRunResult
from tunegate.gates.people import NOBODY, PeopleRate
from tunegate.progress import Bar as Bar
from tunegate.progress import duration
from tunegate.record.awaiting import awaiting, awaiting_in_words
from tunegate.record.event_log import EVENTS, is_being_written
from tunegate.record.imported_words import imported_in_words
from tunegate.record.ledger_words import told_of
from tunegate.record.record import AttemptRecord, GateRecord, RunRecord, StageRecord
from tunegate.record.registered_risk import registered_risk
from tunegate.record.server_words import servers_in_words
from tunegate.record.under_way import under_way
from tunegate.stats.retention import slips
from tunegate.text.printable import json_pieces, printable
from tunegate.verdicts.limit_words import limit_lines
from tunegate.verdicts.luck_words import in_words as luck_in_words
from tunegate.verdicts.reason import beyond_count, without_limits
from tunegate.verdicts.terms import PAIRED
from tunegate.verdicts.words import diversity_in_words, interval_words, sentence, weighted_in_words

SHOWN_IDS = 12

# --- lines ---------------------------------------------------------------------------------------------------------


def show(line: str) -> None:
    """Print one line of a result."""
    _write([printable(line)])


def show_json(value: object) -> None:
    """Print the one JSON object of `--json`, on one line."""
    _write(json_pieces(value))


def _write(pieces: Iterable[str]) -> None:
    """Raises CannotJudge if the result cannot be written, BrokenPipeError if the reader closed the pipe."""
    try:
        sys.stdout.writelines(pieces)
        sys.stdout.write("\n")
    except OSError as error:
        raise _not_told(error) from error


def flush() -> None:
    """Flush the output, so that write errors show; raises like `show`."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _not_told(error) from error


def _not_told(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return error
    return CannotJudge(f"cannot write to standard output: {error.strerror}")


# --- a gate --------------------------------------------------------------------------------------------------------


def gate_as_json(result: GateRunResult, report: Path | None) -> dict[str, Any]:
    """The contract of `tunegate gate --json`; contains no time, so that a resumed gate prints exactly the same bytes.

    The counts are those of the first draw. The verdict and `gate_interval` are the gate's: with `confirm`, those of the
    confirming draw, which decides.
    """
    confirm = None if result.confirm is None else draw_as_json(result.confirm)
    earlier = {"earlier": list(result.earlier)} if result.earlier else {}
    luck = (
        None
        if result.luck is None
        else {
            "at": result.luck.at,
            "probability": result.luck.so_far,
            "at_most": result.luck.at_most,
            "shows": result.luck.shows,
            "shows_at_least": result.luck.shows_at_least,
            "independent": result.luck.independent,
        }
    )
    told = {"imported": dict(told)} if (told := result.run.start.get("imported")) else {}
    places = {"record": str(result.folder / EVENTS), "report": None if report is None else str(report)}
    drawn = draw_as_json(result.record)
    decided = {"verdict": result.deciding.verdict, "gate_interval": list(result.deciding.interval)}
    return {**drawn, **decided, "lucky_pass": luck, "confirm": confirm, **earlier, **told, **places}


def on_workers(executor: Mapping[str, Any] | None) -> str:
    """`, 2 processes`: where the model answered, if not in this process, and which of these places were lost."""
    if executor is None:
        return ""
    workers = executor["workers"]
    lost = [f"{worker['place']}: {worker['lost']}" for worker in workers if worker.get("lost")]
    what = "processes" if executor["kind"] == "processes" else f"workers of {executor['kind']}"
    return f", {len(workers)} {what}" + (f" ({len(lost)} lost: {'; '.join(lost)})" if lost else "")


def print_gate(result: GateRunResult, report: Path | None) -> None:
    """At most ten lines; the last are the verdict, the count, the report and the missed ids."""
    gate = result.deciding
    if result.confirm is not None:
        show(f"first draw: {result.record.reason}; confirming draw of sealed cases:")
    who = f"{gate.model}{on_workers(gate.executor)}"
    show(f"gate {gate.key}: {gate.drawn} cases drawn with seed {gate.seed}, answered by {who}")
    if gate.halved_batch is not None:
        size = gate.halved_batch
        show(f"GPU memory ran out: batches were reduced to {size}; --batch-size {size} saves the attempts")
    if gate.servers:
        show(f"servers: {servers_in_words(gate)}")
    if gate.error_categories:
        show("errors: " + ", ".join(f"{name} {count}" for name, count in gate.error_categories.items()))
    if result.earlier:
        show(result.earlier_in_words)
    if again := gate.asked_or_judged_again:
        show(again)
    if spent := gate.answers.spent(gate.registered.ask_again):
        show(f"{spent} questions got no answer and are not asked again; `--run FOLDER` with a new folder starts over")
    if given_up := gate.judged.spent(gate.registered.ask_again):
        show(
            f"{given_up} answers got no verdict and are not judged again; `--run FOLDER` with a new folder starts over"
        )
    if faults := [outcome for outcome in gate.outcomes if outcome.verdict is Verdict.INVALID]:
        several = f"{_ids(gate, Verdict.INVALID)}; " if len(faults) > 1 else ""
        show(f"not judged: {several}{faults[0].case_id}: {_short(faults[0].reason)}")
    for words in result.record.looks_in_words:
        show(f"continued: {words}")
    for words in imported_in_words(result.run.start, gate.checks):
        show(f"imported: {words}")
    for words in told_of([result.record]):
        show(f"ledger: {words}")
    if result.unknown_luck:
        show(f"luck: {result.unknown_luck}")
    if result.luck is not None:
        show(f"luck: {luck_in_words(result.luck)}")
    count = f"{gate.passed} of {gate.drawn}, {gate.accept} needed" if not gate.spared else gate.reason
    show(f"{gate.verdict}: {count} ({interval_words(gate.interval, selected=gate.selected)})")
    if gate.weighted is not None:
        show(weighted_in_words(gate.weighted))
    for line in limit_lines(result.record.limit_results, result.record.figures):
        show(line)
    if gate.diversity and gate.registered.diversity:
        show(diversity_in_words(gate.registered.diversity, gate.diversity))
    if (
        gate.verdict is not Verdict.PASS
        and not gate.spared
        and (more := sentence(beyond_count(without_limits(gate.reasons))))
    ):
        show(f"reason: {_short(more)}")
    show_in_common(gate)
    for waits in awaiting_in_words(result.run):
        show(f"labels: {waits}")
    if gate.can_be_continued:
        show("continue: the same command with `--continue N` adds N fresh cases, and keeps the risk of the plan")
    show_unended(gate)
    missed = _ids(gate, Verdict.FAIL)
    show(f"report: {report or 'not written; see --report'}" + (f"; missed: {missed}" if missed else ""))


def show_in_common(gate: GateRecord, of: str = "") -> None:
    """What the misses of a failed gate have in common, if something is shown."""
    if gate.verdict is Verdict.FAIL and gate.in_common is not None:
        show(f"{of}{gate.in_common.sentence}")


def show_unended(gate: GateRecord, of: str = "") -> None:
    """A note if every answer that passed ran to the token limit."""
    count = never_ended(gate.outcomes)
    if count:
        show(
            f"note: {of}all {count} answers that passed run to the token limit: the model may not know how to end one; "
            "set `generate.stop` in the suite, or check where the chat template ends a turn"
        )


def _ids(gate: GateRecord, verdict: Verdict) -> str:
    by_id = {outcome.case_id: outcome for outcome in gate.outcomes}
    ids = [case_id for case_id in gate.case_ids if case_id in by_id and by_id[case_id].verdict is verdict]
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    return ", ".join(ids[:SHOWN_IDS]) + more


def _short(text: str, limit: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


# --- a run ---------------------------------------------------------------------------------------------------------


def _last_gates(stage: StageRecord) -> list[GateRecord]:
    """The gates of a stage's last attempt."""
    return list(stage.attempts[max(stage.attempts)].gates.values()) if stage.attempts else []


def run_as_json(run: RunRecord, report: Path | None, people: Mapping[int, PeopleRate] = NOBODY) -> dict[str, Any]:
    """A run for scripts. The verdict of a `measured` gate says only that every case was judged.

    `people` are the pass rates by people's labels, by the place of a gate.
    """
    return {
        "run": str(run.folder),
        "name": run.name,
        "verdict": run.verdict,
        "reason": run.reason,
        "awaiting_labels": sum(gate.awaits_labels for gate in awaiting(run)),
        "under_way": None if run.verdict or not run.start.get("stages") else under_way(run),
        "leaks": run.leaks,
        "waivers": run.waivers(),
        "gates": [
            {
                "stage": gate.stage,
                "attempt": gate.attempt,
                "gate": gate.gate,
                "verdict": gate.verdict,
                "measured": gate.measured,
                "passed": gate.passed,
                "drawn": gate.drawn,
                "accept": gate.accept,
                "reused": gate.reused,
                "ledger": gate.ledger and asdict(gate.ledger),
                "asked_again": gate.answers.asked_again,
                "judged_again": gate.judged.judged_again,
                "seconds": round(gate.seconds, 1),
                "in_common": gate.in_common and gate.in_common.facts,
                **({"people": asdict(people[place])} if place in people else {}),
            }
            for place, gate in enumerate(run.all_gates())
        ],
        "diagnoses": [
            {"stage": stage.name, "attempt": attempt.number, **asdict(attempt.diagnosis)}
            for stage in run.stages.values()
            for attempt in stage.attempts.values()
            if attempt.diagnosis is not None
        ],
        "luck": {
            stage.name: {gate: one if isinstance(one, str) else asdict(one) for gate, one in stage.luck.items()}
            for stage in run.stages.values()
            if stage.luck
        },
        "pipeline": pipeline_facts(risk) if (risk := registered_risk(run)) and risk.decides else None,
        "promoted": [{"alias": event["alias"], "folder": event["folder"]} for event in run.promotions],
        "report": str(report) if report else None,
    }


def print_run(run: RunRecord, report: Path | None, people: Mapping[int, PeopleRate] = NOBODY) -> None:
    """One table (stage, attempt, gate, passed/drawn, verdict, time), the verdict, and where to look."""
    rows: list[tuple[str, ...]] = [("stage", "attempt", "gate", "passed", "verdict", "time")]
    base = "base" if run.stages else ""
    rows.extend((base, "", *_gate_cells(gate)) for gate in run.gates.values())
    for stage in run.stages.values():
        for attempt in stage.attempts.values():
            rows.extend(_attempt_rows(stage, attempt))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows if len(rows) > 1 else []:
        show("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for stage in run.stages.values():
        for gate in _last_gates(stage):
            show_unended(gate, f"{stage.name} {gate.key}: ")
            show_in_common(gate, f"{stage.name} {gate.key}: ")
        for words, gates in told_of(_last_gates(stage)).items():
            show(f"ledger: {stage.name} {', '.join(gates)}: {words}")
        for told in _noise_of_last(stage):
            show(f"{stage.name}: {told}")
    for line, draws in _slips(run).items():
        show(f"{', '.join(draws)}: {line}")
    for place, gate in enumerate(run.all_gates()):
        if place in people:
            show(f"{place_of(gate).label}: {people[place].in_words}")
    for waits in awaiting_in_words(run):
        show(f"labels: {waits}")
    for waiver in run.waivers():
        show(waived_words(waiver))
    if run.verdict is None and not any(gate.decided for gate in run.gates.values() if not run.stages):
        show(f"not finished: {_short(under_way(run), 400)}; {_who_works(run)}")
    elif run.stages or run.reason:
        show(f"{run.verdict}: {_short(run.reason, 400)}")
    show(f"report: {report}")
    for event in {(event["alias"], Path(event["folder"]).resolve()): event for event in run.promotions}.values():
        show(f"promoted to {event['alias']}: {event['folder']}")


def _noise_of_last(stage: StageRecord) -> tuple[str, ...]:
    """How likely a good model misses as badly as the last attempt of a stage, if this was diagnosed."""
    last = stage.attempts[max(stage.attempts)] if stage.attempts else None
    noise = None if last is None or last.diagnosis is None else last.diagnosis.noise
    return () if noise is None else noise.in_words


def _slips(run: RunRecord) -> dict[str, list[str]]:
    """What the comparisons of each stage's last attempt let through, with the draws that share a rule."""
    lines: dict[str, list[str]] = {}
    for stage in run.stages.values():
        for gate in _last_gates(stage):
            if gate.decided and gate.purpose in PAIRED and (kept := gate.registered.kept):
                words = slips(gate.drawn, gate.registered.max_drop or 0.0, kept).in_words
                lines.setdefault(words, []).append(f"{stage.name} {gate.key}")
    return lines


def _who_works(run: RunRecord) -> str:
    if is_being_written(run.folder):
        return "a process is working on it"
    return f"no process is working on it: {run.faults[-1]}" if run.faults else "no process is working on it"


def _attempt_rows(stage: StageRecord, attempt: AttemptRecord) -> list[tuple[str, ...]]:
    head = (stage.name, str(attempt.number))
    failed = "" if attempt.error is None else "failed"
    rows: list[tuple[str, ...]] = [(*head, "(training)", "", failed, duration(attempt.seconds))]
    if attempt.redraw_of is not None:
        rows = [(*head, f"(weights of attempt {attempt.redraw_of})", "", "", "")]
    rows.extend((*head, *_gate_cells(gate)) for gate in attempt.draws)
    return rows


def _gate_cells(gate: GateRecord) -> tuple[str, ...]:
    return (
        gate.key,
        f"{gate.passed}/{gate.asked or gate.drawn}",
        "measured" if gate.measured else gate.verdict if gate.decided else "…",
        duration(gate.seconds),
    )


# --- init, waivers --------------------------------------------------------------------------------------------


def print_written(files: Sequence[Path], commands: Sequence[Sequence[str]]) -> None:
    """The files, as paths from here, and the commands to type next, from here."""
    show("wrote one file:" if len(files) == 1 else f"wrote {len(files)} files:")
    for path in files:
        show(f"  {path}")
    show("next:")
    for command in commands:
        show(f"  {shlex.join(command)}")


def waived_words(waiver: dict[str, Any]) -> str:
    """`WAIVED: sft#2 facts, by ada@example.org until 2026-12-31: the reason`"""
    where = f"{waiver['stage']}#{waiver['attempt']} {waiver['gate']}"
    people = " and ".join(filter(None, (waiver["owner"], waiver.get("approved_by"))))
    return f"WAIVED: {where}, by {people} until {waiver['expires']}: {waiver['reason']}"
