"""What `tunegate suite` prints; what it does is in the suites' package."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from tunegate.console import show


def print_expansion(facts: Mapping[str, Any]) -> None:
    """How many groups there are, what became of each rule, and what to type next."""
    left_out = len(facts["left_out"])
    out = f"; {left_out} left out" if left_out else ""
    show(f"{facts['cases']} cases of {facts['suite']}, rules of {facts['rules']}: {facts['groups']} groups{out}")
    width = max(len(count["rule"]) for count in facts["by_rule"])
    show(f"{'rule':{width}}  kind         members  does not apply  refused")
    for count in facts["by_rule"]:
        numbers = f"{count['members']:7}  {count['skipped']:14}  {count['refused']:7}"
        show(f"{count['rule']:{width}}  {count['kind']:11}  {numbers}")
    show(f"written: {', '.join(facts['written'])}")
    show(f"next: {shlex.join(['tunegate', 'gate', 'MODEL', '--suite', facts['written'][0]])}")


def print_cue_data(facts: Mapping[str, Any]) -> None:
    """How the cue goes with the label in the training rows and in the gate's cases."""
    show(f"cue {facts['cue']}, strength {facts['strength']:g}")
    for part, path in zip(("train", "gate"), facts["written"], strict=True):
        counts = facts[part]
        show(
            f"{path}: {counts['rows']} rows, {counts['positive']} with the label, {counts['with_cue']} with the cue, "
            f"phi {counts['phi']:.2f}"
        )
    show("in a suite: tags: [cue, has_cue], and gap: {between: [cue=agrees, cue=contradicts]}")


def print_contrast_report(facts: Mapping[str, Any]) -> None:
    """Groups and plain cases, then the members by rule."""
    for gate in facts["gates"]:
        show(f"{gate['run']}: {gate['gate']}")
        _share("plain cases right", gate["plain"])
        _share("groups right", gate["groups"])
        _share("groups right where the plain case is", gate["groups_of_known"])
        for rule in gate["rules"]:
            _share(rule["rule"] if rule["kind"] == "original" else f"{rule['kind']}: {rule['rule']}", rule)


def _share(what: str, share: Mapping[str, Any]) -> None:
    low, high = share["interval"]
    show(f"  {what:46} {share['count']:4} of {share['of']:4}  (95 % interval {low:.1%} to {high:.1%})")


def print_cue_report(facts: Mapping[str, Any]) -> None:
    """One block a gate: accuracy in all and by what the cue says, and phi."""
    for gate in facts["gates"]:
        show(f"{gate['run']}: {gate['gate']}")
        _share("right", gate["right"])
        _share("right where the cue agrees with the label", gate["agrees"])
        _share("right where the cue contradicts the label", gate["contradicts"])
        show(f"  phi of answer and cue: {gate['phi']:.2f}")
