"""Small facts of a record: a draw's place in the ledger, the looks at a continued gate, and explained cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.record.frozen import FrozenDict

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LedgerPlace:
    """The place of a draw among all attempts on its bank, of any run, when it was registered.

    `entry` is the hash of its line in the ledger; it is empty without a ledger, and `why_not` says why there is none.
    `before` attempts were made earlier, `failed` of them failed, `undecided` of them have no verdict. `lineage` of
    them, in other runs, began with the same base model. `repeats` is the entry of an earlier draw of the same suite on
    the same weights: this draw asks its cases again, and is not a new attempt.
    """

    entry: str = ""
    before: int = 0
    failed: int = 0
    undecided: int = 0
    lineage: int = 0
    repeats: str = ""
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """A verdict after which a gate was continued: with its terms, and its counts among the first `drawn` cases.

    `ledger` names the entry of the cases that were added then.
    """

    verdict: Verdict
    drawn: int
    passed: int
    failed: int
    terms: Json
    ledger: LedgerPlace | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """For scripts: all but its terms."""
        return {name: value for name, value in asdict(self).items() if name != "terms"}


@dataclass(frozen=True, slots=True)
class ExplainedCases:
    """The file of explanations of an attempt's missed cases, relative to the run folder, and the cases in it.

    `faults` has the reason for each case that could not be explained.
    """

    stage: str
    attempt: int
    file: str
    sha256: str
    cases: tuple[str, ...]
    faults: Mapping[str, str] = field(default_factory=FrozenDict[str, str])
