"""How much a model may lose compared with an earlier one: from the file to a draw and a largest net loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunegate.cases.bank import Bank
from tunegate.exceptions import ConfigError
from tunegate.stats.retention import KeptRule, RetentionRisk, kept_rule
from tunegate.suites.suite_spec import RetentionSpec, SuiteSpec


@dataclass(frozen=True, slots=True)
class Retention:
    """How much may be lost: `max_drop` is in percentage points of the pass rate; `risk` sets the number of cases.

    `reuse` allows cases that were asked before, but for those that chose the earlier model.
    """

    max_drop: float = 5.0
    risk: RetentionRisk | None = None
    reuse: bool = False

    def rule(self, cases: int, attempts: int) -> tuple[int, KeptRule]:
        """The draw (`cases` without a risk) and the rule of a paired comparison over these attempts."""
        return kept_rule(self.max_drop, cases, attempts, self.risk)


def retention_of(spec: RetentionSpec) -> Retention:
    """What may be lost, from the file's spec to the engine's type."""
    risk = None if spec.risk is None else RetentionRisk(spec.risk.consumer, spec.risk.producer, spec.risk.differ)
    return Retention(spec.max_drop, risk, spec.reuse)


def check_paired_bank(bank: Bank, draw: int, kept: KeptRule, *, reuse: bool, taken: int = 0) -> None:
    """Raise ConfigError if the bank has too few cases for one paired draw beside the `taken` cases, which chose the
    earlier model."""
    missing = draw + (0 if reuse else taken) - bank.distinct("working")
    if missing > 0:
        solved = " (computed from `risk`)" if kept.risk else ""
        beside = f", other than the {taken} that chose the earlier model" if taken and not reuse else ""
        raise ConfigError(
            f"a retention draw asks two models {draw} fresh cases{solved}{beside}, but the bank has "
            f"{bank.in_words('working')}; add {missing} cases, draw fewer, or set `reuse: true` in its plan"
        )


def dumped_rules(spec: SuiteSpec) -> dict[str, Any]:
    """The rules that a suite's hash covers; a retention without later keys keeps the hash that it always had."""
    rules = spec.model_dump(include={"slices", "gap", "retention"})
    if spec.retention is not None:
        for later, default in (("risk", None), ("reuse", False)):
            if rules["retention"][later] == default:
                del rules["retention"][later]
    return rules
