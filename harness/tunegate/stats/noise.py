"""Whether a miss can be told from bad luck: how often a model that is good enough misses its draws as badly.

A gate rejects good models too, as often as its plan allows, and a stage with many gates more often. Before a training
is paid for, the diagnosis therefore says how likely the miss was for a model that needs no training. Pure functions.

What is at least as likely as `NOISE` counts as noise. It is the producer's risk that plans allow by default: a result
that a good model meets that often is one that the plans accept to meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunegate.stats.binomial import binomial_tail

NOISE = 0.05
"""A good model that misses as badly with at least this probability: the miss can't be told from noise."""


@dataclass(frozen=True, slots=True)
class MissedDraw:
    """A missed draw, and the chance of a miss as bad as this or worse, `chance`.

    The chance is that of a model that is right at the rate `good`, on the scale of the gate's judges; `at_most` is the
    chance if the judges are as strict as their admission leaves open. Of a draw that was compared with an earlier model
    (`good` is None), `missed` cases were lost and `won` were won, and the chance is that of a model that lost nothing.
    `chance` is None where it can't be known: the gate was missed for another reason than its count.
    """

    gate: str
    asked: int
    missed: int
    chance: float | None
    good: float | None = None
    at_most: float | None = None
    won: int = 0

    @property
    def in_words(self) -> str:
        """`facts: a model that is right 95% of the time misses 11 of 100 or more with probability 0.011`"""
        if self.chance is None:
            return f"{self.gate}: not missed by its count alone, so how often a good model misses it is unknown"
        if self.good is None:
            told = f"a model that lost nothing loses {self.missed} cases and wins {self.won} of {self.asked}, or worse,"
        else:
            rate = f"{100 * self.good:g}%"
            told = f"a model that is right {rate} of the time misses {self.missed} of {self.asked} or more"
        judge = "" if self.at_most is None else f" (up to {probability(self.at_most)} by the judge's error rates)"
        return f"{self.gate}: {told} with probability {probability(self.chance)}{judge}"


@dataclass(frozen=True, slots=True)
class Noise:
    """How likely the misses of one model were for a good model: each alone, and all `draws` of the model together.

    `chance` is that of a model that is good at every gate, to miss that many of its draws so badly; None where the
    chance of a missed draw can't be known.
    """

    misses: tuple[MissedDraw, ...]
    draws: int
    chance: float | None

    @property
    def likely(self) -> bool:
        """Whether the miss can't be told from noise."""
        return self.chance is not None and self.chance >= NOISE

    @property
    def in_words(self) -> tuple[str, ...]:
        """One sentence for each missed draw, and what they come to, without full stops."""
        return (*(one.in_words for one in self.misses), *self._together)

    @property
    def _together(self) -> tuple[str, ...]:
        if self.chance is None:
            return ()
        what = "this can't be told from noise" if self.likely else "this is more than noise"
        if self.draws == 1:
            return (what,)
        return (f"over its {self.draws} draws a good model misses so badly with {probability(self.chance)}: {what}",)


def probability(chance: float) -> str:
    """`0.011`, or `less than 0.001`."""
    return f"{chance:.3f}" if chance >= 0.0005 else "less than 0.001"


def lost_by_chance(lost: int, won: int) -> float:
    """The chance that a model that passes no fewer cases than an earlier one loses that many of those that differ.

    McNemar's test, exact and one-sided (Q. McNemar, Psychometrika 12 (1947) 153-157).
    """
    return binomial_tail(lost, lost + won, 0.5)


def together(missed: Sequence[float], draws: int) -> float:
    """The chance that a good model misses as badly as here: `missed` of its `draws`, each with its own chance.

    With the missed draws in order, the i-th at chance p: at least i of the draws go at least that badly with
    B(i, draws, p), and the smallest of these counts. Draws ask different cases, so for a model with given pass rates
    they are independent. `draws` gates that ask the same cases are one draw (`on_one_draw`).
    """
    return min(binomial_tail(i, draws, p) for i, p in enumerate(sorted(missed), start=1))


def on_one_draw(missed: Sequence[float], gates: int) -> float:
    """The same for `gates` that judge one draw, some of them `missed`: at most (Bonferroni), since they depend."""
    return min(1.0, gates * min(missed))
