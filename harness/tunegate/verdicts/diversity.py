"""How diverse the answers of a draw must be: as diverse as other texts, up to a factor and to sampling error. Pure.

The figures are measured once and recorded (`DiversityFigure`); this decides from them, now and when a
record is read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from tunegate.checks.outcome import Verdict
from tunegate.verdicts.reason import Reason, because

Measure = Literal["distinct_1", "distinct_2", "self_bleu", "gzip", "near_duplicates", "templates", "vendi"]
"""The measures of diversity; `text/diversity.py` has their formulas. Higher figures are more diverse."""
MEASURES: tuple[Measure, ...] = get_args(Measure)
WITHOUT_EXTRA: tuple[Measure, ...] = tuple(name for name in MEASURES if name != "vendi")
"""The measures that need no further package: the default."""
SMALLEST_RISK = 0.001
"""A smaller one needs more random halves of the cases than are worth their time."""
FEWEST = 20
"""With fewer independent texts, no sampling error can be trusted."""


@dataclass(frozen=True, slots=True)
class DiversityRule:
    """The lowest diversity of the answers as a share of that of other texts, `against`.

    `risk` is the chance that a draw fails although each figure of its answers is `at_least` this share; the measures
    divide it between them (Bonferroni). `against_sha256` names the texts of a file; it is empty for the references.
    `version` is that of the measures.
    """

    at_least: float = 0.8
    measures: tuple[Measure, ...] = WITHOUT_EXTRA
    risk: float = 0.05
    against: str = "the references"
    against_sha256: str = ""
    version: str = "1"

    def __post_init__(self) -> None:
        if not 0 < self.at_least <= 1 or not SMALLEST_RISK <= self.risk < 0.5 or not {*self.measures} <= {*MEASURES}:
            raise ValueError(f"no such rule of diversity: {self}")


@dataclass(frozen=True, slots=True)
class DiversityFigure:
    """The diversity of the answers and of the other texts by one measure.

    `texts` is how many pairs of independent texts were measured. `upper` is the upper limit of the ratio of the two
    figures. `fault` says why there are no figures; it is empty otherwise.
    """

    measure: Measure
    texts: int = 0
    answers: float = 0.0
    others: float = 0.0
    upper: float = 0.0
    fault: str = ""

    @property
    def ratio(self) -> float:
        """The diversity of the answers as a share of that of the other texts."""
        return ratio(self.answers, self.others)


def ratio(answers: float, others: float) -> float:
    """The share of one figure in another; 1 if the other texts have no diversity, since then nothing is asked for."""
    return answers / others if others > 1e-9 else 1.0


def verdict_on(rule: DiversityRule, one: DiversityFigure) -> Verdict:
    """FAIL only if the upper limit is below the share; INCONCLUSIVE if only the estimate is, or for too few texts."""
    if one.fault:
        return Verdict.INVALID
    if one.texts < FEWEST:
        return Verdict.INCONCLUSIVE
    if one.ratio >= rule.at_least:
        return Verdict.PASS
    return Verdict.FAIL if one.upper < rule.at_least else Verdict.INCONCLUSIVE


def judge_diversity(rule: DiversityRule, measured: Sequence[DiversityFigure]) -> list[tuple[Verdict, Reason]]:
    """The verdict and the reason by each measure of the rule, in its order; a measure without figures is INVALID."""
    by_name = {one.measure: one for one in measured}
    found = [by_name.get(name, DiversityFigure(name, fault="its figures are not on record")) for name in rule.measures]
    return [(verdict_on(rule, one), _reason(rule, one)) for one in found]


def _reason(rule: DiversityRule, one: DiversityFigure) -> Reason:
    if one.fault:
        return because("diversity_not_measured", measure=one.measure, cause=one.fault)
    if one.texts < FEWEST:
        return because("diversity_few", measure=one.measure, texts=one.texts, needed=FEWEST)
    figures = {"answers": one.answers, "others": one.others, "against": rule.against}
    limits = {"ratio": one.ratio, "upper": one.upper, "at_least": rule.at_least}
    verdict = verdict_on(rule, one)
    if verdict is Verdict.PASS:
        return because("diversity_kept", measure=one.measure, **figures, **limits)
    if verdict is Verdict.FAIL:
        return because("diversity_lost", measure=one.measure, **figures, **limits)
    return because("diversity_undecided", measure=one.measure, **figures, **limits)
