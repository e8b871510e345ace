"""`tunegate suite cue-report`: how far recorded answers follow the cue instead of the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from typing import Any

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.exceptions import ConfigError, nearest
from tunegate.gates.draw import place_of
from tunegate.record.read_run import read_run
from tunegate.stats.agreement import Share
from tunegate_suites.cues.cues import phi
from tunegate_suites.normalise import plain

CUED = {"has_cue=yes": True, "has_cue=no": False}
"""The tags that `suite cue` adds to cases through the field `has_cue`."""


def report_on(runs: Sequence[Path], positive: str) -> list[dict[str, Any]]:
    """The results of each gate on cases with cues; `positive` is the answer that correlated with the cue in
    training."""
    cued = [
        (folder, gate)
        for folder in runs
        for gate in read_run(folder).all_gates()
        if any(tag in CUED for outcome in gate.outcomes for tag in outcome.tags)
    ]
    if not cued:
        named = ", ".join(map(str, runs))
        raise ConfigError(
            f"{named}: no gate in these records asked cases with the tag has_cue; add `tags: [cue, has_cue]` to the "
            "suite"
        )
    _check_label({text for _, gate in cued for outcome in gate.outcomes for text in outcome.references}, positive)
    return [
        {"run": str(folder), "gate": place_of(gate).label, **reliance(gate.outcomes, positive)} for folder, gate in cued
    ]


def reliance(outcomes: Iterable[Outcome], positive: str) -> dict[str, Any]:
    """Accuracy overall, where the cue agrees with the label and where it contradicts it, and phi of answer and cue.

    Intervals are exact, 95 %. An answer that begins with `positive` predicts that label, any other answer the other
    label. Cases without a verdict are left out of phi, and count as missed elsewhere.
    """
    cued = [(one, CUED[tag]) for one in outcomes for tag in one.tags if tag in CUED]
    answered = [(one, cue) for one, cue in cued if one.verdict is not Verdict.INVALID]
    return {
        "right": _share([one for one, _ in cued]),
        "agrees": _share([one for one, _ in cued if "cue=agrees" in one.tags]),
        "contradicts": _share([one for one, _ in cued if "cue=contradicts" in one.tags]),
        "phi": phi((plain(one.response).startswith(plain(positive)), cue) for one, cue in answered),
    }


def _check_label(labels: Set[str], positive: str) -> None:
    """Refuse a label with which no answer can begin: its phi is 0, as if the model did not follow the cue."""
    begin_so = {label for label in labels if plain(label).startswith(plain(positive))}
    if labels and not begin_so:
        raise ConfigError(f"--positive: no case has the label {positive!r}{nearest(positive, labels)}")
    if len(labels) > 1 and begin_so == labels:
        known = nearest("", labels)
        raise ConfigError(f"--positive: every case has the label {positive!r}, so it distinguishes no cases{known}")


def _share(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    share = Share(sum(one.verdict is Verdict.PASS for one in outcomes), len(outcomes))
    return {"count": share.count, "of": share.of, "interval": list(share.interval)}
