"""What a stage or suite is compared with case by case: the draw, the rule, and what the rule lets through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from tunegate.pipeline.pipeline import Pipeline, RetentionTerms, Stage
from tunegate.stats.retention import KeptRule, slips

Json = Mapping[str, Any]


def compared(max_drop: float, draw: int, kept: KeptRule) -> Json:
    """The rule of a comparison, and what it lets through."""
    let_through = slips(draw, max_drop, kept)
    return {
        "max_drop": max_drop,
        "draw": draw,
        "kept": asdict(kept),
        "slips": {**asdict(let_through), "in_words": let_through.in_words},
    }


def comparisons_of(pipeline: Pipeline, stage: Stage) -> dict[str, dict[str, Json]]:
    """The comparisons of a stage by gate, by the purpose of their draws: `retention` and `worth`."""
    return {
        purpose: {name: _as_json(one) for name, one in terms.items()}
        for purpose, terms in pipeline.paired(stage).items()
    }


def _as_json(terms: RetentionTerms) -> Json:
    return {**asdict(terms), **compared(terms.max_drop, terms.draw, terms.kept)}


def comparison_lines(comparisons: Mapping[str, Json]) -> Iterator[str]:
    """What each rule asks and lets through; gates with the same rule share a line."""
    lines: dict[str, list[str]] = {}
    for gate, facts in comparisons.items():
        cases = f"{facts['draw']} fresh cases, net loss of at most {facts['kept']['net_loss']}"
        lines.setdefault(f"{cases}; {facts['slips']['in_words']}", []).append(gate)
    yield from (f"{', '.join(gates)}: {line}" for line, gates in lines.items())
