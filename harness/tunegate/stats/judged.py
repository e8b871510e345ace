"""What a check that errs makes of a pass rate: the operating characteristic of a gate that a judge decides.

A judge with sensitivity Se and specificity Sp passes, of answers that people pass at the rate p, the share
`p·Se + (1 - p)·(1 - Sp)`. Plans, risks and the chance of a lucky pass are therefore computed on the judge's scale. The
rates are known from the counts of its admission only: besides the estimate there are two scales for the worse ends of
their intervals, `lenient` (the judge passes more than was measured) and `strict` (it passes less).

Source: W. J. Rogan, B. Gladen, American Journal of Epidemiology 107 (1978) 71-76, the relation that they invert.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tunegate.stats.agreement import Share


@dataclass(frozen=True, slots=True)
class Scale:
    """The share that passes of the answers that people pass (`right`) and of those that people fail (`wrong`).

    Example:
        >>> from tunegate.stats.judged import Scale
        >>> round(Scale(right=0.931, wrong=1 - 0.849).passes(0.85), 4)
        0.814
    """

    right: float
    wrong: float

    def passes(self, p: float) -> float:
        """The pass rate that the check finds where people would find `p`."""
        return p * self.right + (1.0 - p) * self.wrong


@dataclass(frozen=True, slots=True)
class Judged:
    """The scale of a gate's judges: as measured, and at the worse ends of the 95 % intervals of its error rates."""

    point: Scale
    lenient: Scale
    strict: Scale


def judged_scale(judges: Sequence[tuple[Share, Share]]) -> Judged | None:
    """The scale of a gate whose cases pass when all its judges pass; each is (sensitivity, specificity).

    None without a judge, or where a rate was never measured. How the errors of several judges go together is not
    known: a right answer passes as if they were independent, a wrong one as if they erred together, which is the worse
    case for whoever relies on the gate. At the strict end neither is assumed.
    """
    if not judges or any(not se.of or not sp.of for se, sp in judges):
        return None
    shares = [(se.count / se.of, 1.0 - sp.count / sp.of) for se, sp in judges]
    bounds = [(se.interval, (1.0 - sp.interval[1], 1.0 - sp.interval[0])) for se, sp in judges]
    return Judged(
        point=Scale(math.prod(right for right, _ in shares), min(wrong for _, wrong in shares)),
        lenient=Scale(min(right[1] for right, _ in bounds), min(wrong[1] for _, wrong in bounds)),
        strict=Scale(
            max(0.0, 1.0 - math.fsum(1.0 - right[0] for right, _ in bounds)),
            math.prod(wrong[0] for _, wrong in bounds),
        ),
    )
