"""`tunegate suite contrast-report`: which kinds of members and which rules were missed in the recorded groups."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.exceptions import ConfigError
from tunegate.gates.draw import place_of
from tunegate.record.read_run import read_run
from tunegate.stats.agreement import Share

Group = Sequence[Mapping[str, Any]]
"""The members of a group as `contrast` recorded them: rule, kind, verdict."""


def report_on(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """The results of each gate with the check `contrast`."""
    found: list[dict[str, Any]] = []
    for folder in runs:
        for gate in read_run(folder).all_gates():
            groups = list(groups_of(gate.outcomes))
            if groups:
                found.append({"run": str(folder), "gate": place_of(gate).label, **summary(groups)})
    if not found:
        named = ", ".join(map(str, runs))
        raise ConfigError(
            f"{named}: no gate in these records judged groups; gate a suite that `tunegate suite expand` wrote"
        )
    return found


def groups_of(outcomes: Iterable[Outcome]) -> Iterable[Group]:
    """The groups that were judged, without INVALID ones."""
    for outcome in outcomes:
        for finding in outcome.findings:
            if finding.check.partition("#")[0] == "contrast" and finding.verdict is not Verdict.INVALID:
                yield json.loads(finding.detail or "[]")


def summary(groups: Sequence[Group]) -> dict[str, Any]:
    """Shares with exact 95 % intervals: of groups, of plain cases, of groups whose plain case is right, of members."""
    known = [group for group in groups if _right(group[0])]
    members = [member for group in groups for member in group]
    kinds = dict.fromkeys(str(member["kind"]) for member in members)
    rules = dict.fromkeys((str(member["kind"]), str(member["rule"])) for member in members)
    return {
        "groups": _share(all(map(_right, group)) for group in groups),
        "plain": _share(_right(group[0]) for group in groups),
        "groups_of_known": _share(all(map(_right, group)) for group in known),
        "kinds": {kind: _share(_right(one) for one in members if one["kind"] == kind) for kind in kinds},
        "rules": [
            {"kind": kind, "rule": rule, **_share(_right(one) for one in members if one["rule"] == rule)}
            for kind, rule in sorted(rules, key=lambda pair: list(kinds).index(pair[0]))
        ],
    }


def _right(member: Mapping[str, Any]) -> bool:
    return member["verdict"] == Verdict.PASS


def _share(right: Iterable[bool]) -> dict[str, Any]:
    counted = list(right)
    share = Share(sum(counted), len(counted))
    return {"count": share.count, "of": share.of, "interval": list(share.interval)}
