"""The types of the terms of a draw, as a record holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunegate.stats.retention import KeptRule
from tunegate.verdicts.diversity import DiversityRule
from tunegate.verdicts.limits import LimitRules
from tunegate.verdicts.slices import SliceRule, Undersized
from tunegate.verdicts.terms import GapRule, Purpose

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RegisteredTerms:
    """The types of what `Terms.to_json` writes; `terms_from_json` reads it. Older records hold fewer terms."""

    plan: Json
    purpose: Purpose
    curtail: bool
    max_errors: Mapping[str, int]
    slices: Mapping[str, SliceRule] = field(default_factory=dict[str, SliceRule])
    gap: GapRule | None = None
    admissions: Mapping[str, Json] = field(default_factory=dict[str, Json])
    max_drop: float | None = None
    kept: KeptRule | None = None
    ask_again: int = 0
    samples: int = 1
    undersized: Undersized = "INVALID"
    weight: Mapping[str, float] = field(default_factory=dict[str, float])
    at: float | None = None
    diversity: DiversityRule | None = None
    limits: LimitRules | None = None
