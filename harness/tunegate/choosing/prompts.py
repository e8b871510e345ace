"""A bake-off of prompts: one model, several prompts, the same cases; the best prompt is then asked fresh cases.

The best of several pass rates is too high on average, because luck is one reason why it is the best (winner's curse).
The cases on which the prompt was chosen therefore count for the choice alone; its pass rate and the verdict come from
cases that no prompt was asked before. Whatever the number of prompts, a bad one passes this draw no more often than if
it had been the only one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tunegate.checks.outcome import Verdict
from tunegate.choosing.bake_off import BakeOff, Ranked
from tunegate.models.with_prompt import OwnPrompt
from tunegate.record.record import GateRecord
from tunegate.stats.plans import GatePlan

BASELINE = OwnPrompt("no prompt")
"""The model as it is."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The draw of fresh cases: its gate, or the fault that prevented one; `folder` is that of its record."""

    folder: Path
    gate: GateRecord | None = None
    fault: str = ""

    @property
    def verdict(self) -> Verdict:
        return Verdict.INVALID if self.gate is None or self.fault else self.gate.verdict


@dataclass(frozen=True, slots=True)
class PromptBakeOff:
    """The ranked prompts of `model`, each an entry of `choice` by its name; `files` has the file of each.

    `confirmed` is None if a prompt has no verdict: then another prompt might be the best.
    """

    model: str
    suite: str
    choice: BakeOff
    prompts: Mapping[str, OwnPrompt]
    files: Mapping[str, str]
    confirmed: Confirmed | None

    @property
    def best(self) -> Ranked | None:
        return best_of(self.choice)

    @property
    def verdict(self) -> Verdict:
        """INVALID if a prompt has no verdict, or if the best one was not confirmed; a miss is a result."""
        told = self.confirmed is not None and self.confirmed.verdict in (Verdict.PASS, Verdict.FAIL)
        return self.choice.verdict if told else Verdict.INVALID


def best_of(choice: BakeOff) -> Ranked | None:
    return next((one for one in choice.ranked if one.standing == "best"), None)


def choosing_plan(plan: GatePlan) -> GatePlan:
    """The plan by which prompts are compared: the first draw alone, of cases that were not asked before."""
    return replace(plan, confirm=None, confirms="never", spending=None, reuse=False)


def confirming_plan(plan: GatePlan, attempts_before: int) -> GatePlan:
    """The plan of the fresh draw: the suite's own.

    If it confirms only retries, the draws of the choice do not count as attempts, because none of their passes counts;
    `attempts_before` is the number of other attempts on the same bank.
    """
    first = plan.confirms == "after_retry" and not attempts_before
    return replace(plan, reuse=False, **({"confirm": None, "confirms": "never"} if first else {}))
