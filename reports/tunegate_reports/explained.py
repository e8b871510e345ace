"""The explanations of a run's missed cases, as the page of its report holds them: short, and drawn when unfolded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunegate.attribution.explained_file import read_explained
from tunegate.attribution.explanation import Explanation, Strip
from tunegate.attribution.words import NAMES, deletion_words, in_words
from tunegate.exceptions import Tampered
from tunegate.record.record import RunRecord
from tunegate_reports.strips import RANKED, levels

MOST_PIECES = 400
"""A strip with more pieces is left to the page of `tunegate explain-case`."""

Key = tuple[str | None, int | None, str, str]
"""Stage, attempt, gate and case."""


def explained_cases(run: RunRecord) -> dict[Key, dict[str, Any]]:
    """What the page shows of each explained case; a file that is not the one on record is not shown, but named."""
    shown: dict[Key, dict[str, Any]] = {}
    for recorded in run.explained:
        attempt = run.stages[recorded.stage].attempts[recorded.attempt]
        faults: Mapping[str, str] = recorded.faults
        try:
            found = read_explained(run.folder, recorded) if recorded.sha256 else []
        except Tampered as error:
            found, faults = [], {**faults, **dict.fromkeys(recorded.cases, f"not shown: {error}")}
        for one in found:
            shown[one.stage, one.attempt, one.gate, one.case_id] = compact(one)
        for gate in attempt.gates:
            for case_id, reason in faults.items():
                shown[recorded.stage, recorded.attempt, gate, case_id] = {"fault": reason}
    return shown


def compact(one: Explanation) -> dict[str, Any]:
    """The words, and the strips as levels from -5 to 5 with the ends of their pieces."""
    strips = [strip for strip in one.strips if len(strip.weights) <= MOST_PIECES]
    units = {strip.unit: [] for strip in strips}
    ends = {pieces.unit: [end for _, end in pieces.spans] for pieces in one.pieces if pieces.unit in units}
    return {"words": in_words(one), "text": one.prompt, "ends": ends, "strips": [_strip(strip) for strip in strips]}


def _strip(strip: Strip) -> dict[str, Any]:
    told = f": {deletion_words(strip.deletion, strip.unit)}" if strip.deletion else ""
    return {
        "name": f"{NAMES[strip.method]}, by {strip.unit}{told}",
        "unit": strip.unit,
        "levels": levels(strip.weights),
        "top": [place for place in strip.strongest[:RANKED] if strip.weights[place] > 0],
    }
