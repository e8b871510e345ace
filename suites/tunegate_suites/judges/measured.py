"""What a measurement of a judge against human labels found, as values; `to_json` is what `--json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tunegate.checks.judge_admission import Age, Agreement, History
from tunegate.stats.agreement import PositionBias, Share


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Which labels were used: `left_out` are on questions that the judge was made with, `copies` repeat other rows.

    `passes`, `fails` and `skipped` count each value of the column by the side that it was taken for.
    """

    file: str
    sha256: str
    left_out: int
    copies: int
    passes: Mapping[str, int]
    fails: Mapping[str, int]
    skipped: Mapping[str, int]
    labelled: tuple[str, str] | None = None
    """the days of the first and of the last label, if the rows say so (`labelled`)"""


@dataclass(frozen=True, slots=True)
class LengthBias:
    """The correlation of an answer's length with the verdicts of each side; None where it is not defined."""

    human: float | None
    judge: float | None


@dataclass(frozen=True, slots=True)
class SelfConsistency:
    """In how many of the answers all rounds ended in the same verdict."""

    repeats: int
    same: Share


@dataclass(frozen=True, slots=True)
class WeightedKappa:
    """Kappa on a scale, where a near miss counts for less than a far one, with its 95 % interval."""

    kappa: float | None
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Biases:
    """What else than its agreement was measured of a judge; None where it does not apply."""

    weighted_kappa: Mapping[str, WeightedKappa] | None
    """by the names of the weights, linear and quadratic"""
    position_bias: PositionBias | None
    length_bias: LengthBias
    self_consistency: SelfConsistency | None

    def to_json(self) -> dict[str, Any]:
        place, again = self.position_bias, self.self_consistency
        return {
            "weighted_kappa": self.weighted_kappa and {name: asdict(one) for name, one in self.weighted_kappa.items()},
            "position_bias": place
            and {"consistent": _share(place.consistent), "first_place_when_not": _share(place.first)},
            "length_bias": asdict(self.length_bias),
            "self_consistency": again and {"repeats": again.repeats, **_share(again.same)},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A measurement with its admission record; `reason` says why a judge is not admitted."""

    judge: str
    judge_sha256: str
    agreement: Agreement
    biases: Biases
    labels: LabelCounts
    measurements: History
    admit: float
    reason: str
    record: str
    record_sha256: str
    age: Age = field(default_factory=Age)
    expired: str = ""
    """Why the admission is too old already: its labels are."""
    executor: Mapping[str, Any] | None = None
    """Who judged, if that was not the process of the command."""

    @property
    def admitted(self) -> bool:
        return self.agreement.reaches(self.admit) and not self.expired

    def to_json(self) -> dict[str, Any]:
        return {
            "judge": self.judge,
            "judge_sha256": self.judge_sha256,
            **self.agreement.as_json(),
            **self.biases.to_json(),
            "labels": asdict(self.labels),
            "measurements": asdict(self.measurements),
            "admit": self.admit,
            "admitted": self.admitted,
            "reason": self.reason or self.expired,
            "age": asdict(self.age),
            "record": self.record,
            "record_sha256": self.record_sha256,
            **({"executor": self.executor} if self.executor else {}),
        }


def _share(share: Share) -> dict[str, Any]:
    return {"share": share.rate, "count": share.count, "of": share.of, "interval": list(share.interval)}
