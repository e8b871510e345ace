"""Comparing two pass rates: of a model before and after on the same cases, or of two groups of cases. Pure.

Retention asks whether a stage forgot what the model could do before. Both models answer the same cases, so only the
cases on which they differ count: `lost` (passed before, missed now) and `won` (missed before, passes now).

A retention gate decides by a count, like every gate: FAIL when the net loss (lost minus won) is more than `max_drop`
points of the cases. A confidence bound that had to clear 5 points on 100 cases would reject nearly every model that
forgot nothing. `shown` says, in addition to the verdict, whether the whole interval of the drop is on the verdict's
side of `max_drop`; otherwise the count alone decides. With `prove`, a pass that is not shown is INCONCLUSIVE. On 100
cases with `max_drop` 5, exactly (`forgetting_caught`, `retention_shown`):

    true drop, points            0      5      10     15     20
    chance to FAIL, 10 % differ  0.040  0.428  0.942
    chance to FAIL, 20 % differ  0.109  0.453  0.850  0.990  1.000
    chance to FAIL, 30 % differ  0.157  0.463  0.799  0.965  0.998
    a pass is shown, 10 %        0.289  0.018  0.000
    a pass is shown, 20 %        0.179  0.022  0.001  0.000  0.000

"differ" is the share of cases on which the two models differ. A model that forgot 10 points passes with probability
0.06 to 0.2, on 400 cases with at most 0.035; a model that forgot nothing fails with 0.04 to 0.16, on 400 cases with at
most 0.031: a sharper gate needs more cases.

Sources: Q. McNemar, Psychometrika 12 (1947) 153-157; T. Tango, Statistics in Medicine 17 (1998) 891-908; R. G.
Newcombe, Statistics in Medicine 17 (1998) 873-890; E. B. Wilson, Journal of the American Statistical Association 22
(1927) 209-212.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.stats.agreement import Share
from tunegate.stats.binomial import binomial_tail
from tunegate.stats.not_worse import LEVEL, cases_to_show, more_cases_to_show, p_not_worse
from tunegate.stats.paired import Interval, PairedCounts, gap_interval, is_forgotten
from tunegate.stats.retention import KeptRule, RetentionRisk, gets_through
from tunegate.verdicts.reason import Fact, Reason, because
from tunegate.verdicts.slices import Undersized
from tunegate.verdicts.words import p_words, sentence

_TINY = 1e-9  # 0.7 * 100 is not quite 70

JUMP_POINTS = 15.0
JUMP_P_VALUE = 0.001
"""A gain of at least this many points with at most this p-value is called suspicious. Without a true gain, 1 in 2,000
comparisons is."""
SURPRISING = 0.05
"""Below this chance, a number of differing cases is more than the planned share explains."""


# --- paired cases --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of two models on one suite.

    `counts` is None when the cases could not be compared (INVALID). `shown`: the whole interval is on the verdict's
    side of `max_drop`. `suspicious` is empty, or says why the gain looks like a leak; it never changes the verdict.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...]
    max_drop: float
    counts: PairedCounts | None = None
    shown: bool = False
    suspicious: str = ""

    @property
    def reason(self) -> str:
        """The reasons in words."""
        return sentence(self.reasons)


def compare(
    before: Sequence[Outcome],
    after: Sequence[Outcome],
    max_drop: float = 5.0,
    *,
    prove: bool = False,
    kept: KeptRule | None = None,
) -> Comparison:
    """Compare a model with its predecessor on the same cases; `max_drop` in percentage points, see the module.

    The largest net loss is that of `kept` where it was solved from a risk, otherwise `max_drop` points of the cases.
    INVALID when the two lists are not the same cases with the same prompts, or when a case was not judged on a side.
    """
    fault = _not_comparable(before, after)
    if fault is not None:
        return Comparison(Verdict.INVALID, (fault,), max_drop)
    counts = _paired(before, after)
    if kept is not None and kept.risk is not None:
        return _by_plan(counts, max_drop, kept, kept.risk)
    if kept is not None and kept.tier == "critical":
        return _if_shown(counts, max_drop)
    low, high = counts.drop_interval
    if is_forgotten(counts.lost - counts.won, counts.n, max_drop):
        shown = low > max_drop
        verdict, reason = Verdict.FAIL, because("forgetting", **_change(counts), allowed=max_drop)
        note = None if shown else because("likely_exceeded", allowed=max_drop)
    else:
        shown = high <= max_drop
        verdict = Verdict.PASS if shown or not prove else Verdict.INCONCLUSIVE
        reason = because("kept", **_change(counts), allowed=max_drop)
        note = None if shown else _not_shown(counts, max_drop)
    reasons = (reason,) if note is None else (reason, note)
    return Comparison(verdict, reasons, max_drop, counts, shown, _suspicion(counts))


def _if_shown(counts: PairedCounts, max_drop: float) -> Comparison:
    """FAIL by the count; PASS only where the cases rule out, exactly, that more was lost; otherwise INCONCLUSIVE."""
    if is_forgotten(counts.lost - counts.won, counts.n, max_drop):
        reason = because("forgetting", **_change(counts), allowed=max_drop)
        return Comparison(Verdict.FAIL, (reason,), max_drop, counts, counts.drop_interval[0] > max_drop)
    p_value = p_not_worse(counts.lost, counts.won, counts.n, max_drop / 100.0)
    reason = because("kept", **_change(counts), allowed=max_drop)
    if p_value <= LEVEL:
        shown = because("shown_not_worse", p_value=p_value, allowed=max_drop)
        return Comparison(Verdict.PASS, (reason, shown), max_drop, counts, True, _suspicion(counts))
    facts: dict[str, Fact] = {"p_value": p_value, "allowed": max_drop, "cases": counts.n}
    facts |= {"needed": 0, "more": 0} | _how_many(counts, max_drop / 100.0)
    notes = [because("not_shown_not_worse", **facts)]
    notes += [because("too_close")] if counts.lost - counts.won >= max_drop / 100.0 * counts.n - _TINY else []
    return Comparison(Verdict.INCONCLUSIVE, (reason, *notes), max_drop, counts)


def _how_many(counts: PairedCounts, margin: float) -> dict[str, Fact]:
    """How many cases could show it: at best if none differs, or how many more if the models differ as often."""
    needed = cases_to_show(margin)
    if needed is None or counts.n < needed:
        return {"needed": needed or 0}
    return {"more": more_cases_to_show(counts.lost, counts.won, counts.n, margin) or 0}


def _by_plan(counts: PairedCounts, max_drop: float, kept: KeptRule, risk: RetentionRisk) -> Comparison:
    """The verdict by a largest net loss that was solved from a risk; a note where more cases differ than chance
    explains at the planned share."""
    low, high = counts.drop_interval
    lost, facts = counts.lost - counts.won, {**_change(counts), "net_loss": kept.net_loss}
    if lost > kept.net_loss:
        verdict, shown, reason = Verdict.FAIL, low > max_drop, because("lost_by_plan", **facts, most=max_drop)
    else:
        verdict, shown, reason = Verdict.PASS, high <= max_drop, because("kept_by_plan", **facts, most=max_drop)
    differ = (counts.lost + counts.won) / counts.n
    expected = binomial_tail(counts.lost + counts.won, counts.n, risk.differ) >= SURPRISING
    if expected or verdict is Verdict.FAIL:
        return Comparison(verdict, (reason,), max_drop, counts, shown, _suspicion(counts))
    through = gets_through(counts.n, kept.net_loss, max_drop, max(differ, max_drop / 100.0), kept.attempts)
    note = because("more_differ", differ=100.0 * differ, planned=100.0 * risk.differ, drop=max_drop, through=through)
    return Comparison(verdict, (reason, note), max_drop, counts, shown, _suspicion(counts))


def _not_comparable(before: Sequence[Outcome], after: Sequence[Outcome]) -> Reason | None:
    """Why two lists cannot be compared; None when they can."""
    old, new = ({outcome.case_id: outcome for outcome in side} for side in (before, after))
    if not before or not after:
        return because("nothing_to_compare")
    if len(old) < len(before) or len(new) < len(after):
        return because("duplicate_case")
    if old.keys() != new.keys():
        alone = sorted(old.keys() ^ new.keys())
        return because("other_cases", cases=len(alone), example=alone[0])
    changed = [case_id for case_id in old if old[case_id].prompt != new[case_id].prompt]
    if changed:
        return because("other_prompts", cases=len(changed), example=changed[0])
    unjudged = [i for i in old if not _judged(old[i]) or not _judged(new[i])]
    if unjudged:
        return because("pair_not_judged", not_judged=len(unjudged), cases=len(old), example=unjudged[0])
    return None


def _judged(outcome: Outcome) -> bool:
    return outcome.verdict in (Verdict.PASS, Verdict.FAIL)


def _paired(before: Sequence[Outcome], after: Sequence[Outcome]) -> PairedCounts:
    now = {outcome.case_id: outcome.verdict is Verdict.PASS for outcome in after}
    pairs = [(outcome.verdict is Verdict.PASS, now[outcome.case_id]) for outcome in before]
    return PairedCounts(
        both=pairs.count((True, True)),
        lost=pairs.count((True, False)),
        won=pairs.count((False, True)),
        neither=pairs.count((False, False)),
    )


def _change(counts: PairedCounts) -> dict[str, Fact]:
    low, high = counts.drop_interval
    before, now = counts.both + counts.lost, counts.both + counts.won
    pairs: dict[str, Fact] = {"before": before, "now": now, "cases": counts.n, "lost": counts.lost, "won": counts.won}
    return {**pairs, "drop": counts.drop, "low": low, "high": high, "mid_p": counts.mid_p}


def _not_shown(counts: PairedCounts, max_drop: float) -> Reason:
    """What a pass by count does not show, and how many cases could show it if the rates stayed the same."""
    reach, differ = NormalDist().inv_cdf(0.975), (counts.lost + counts.won) / counts.n
    drop, margin = counts.drop / 100.0, max_drop / 100.0
    if drop >= margin:
        return because("too_close")
    needed = math.ceil(reach**2 * max(differ - drop**2, 0.0) / (margin - drop) ** 2)
    return because("more_cases", cases=counts.n, needed=needed)


def _suspicion(counts: PairedCounts) -> str:
    if -counts.drop < JUMP_POINTS or counts.p_value > JUMP_P_VALUE:
        return ""
    return (
        f"{-counts.drop:.3g} points more than before ({p_words(counts.p_value)}) is a suspiciously large jump: "
        "check whether these cases, or near copies of them, are in the training data"
    )


# --- what the rule does, exactly -----------------------------------------------------------------------------------


# --- intervals -----------------------------------------------------------------------------------------------------


# --- groups --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class GroupGap:
    """The widest gap between the pass rates of groups, `better` minus `worse`, in percentage points.

    `interval` is the interval of the gap, 95 % for all pairs of groups at once (Bonferroni): the widest was chosen.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...]
    max_gap: float
    groups: Mapping[str, Share]
    better: str = ""
    worse: str = ""
    gap: float = 0.0
    interval: Interval = (0.0, 100.0)

    @property
    def reason(self) -> str:
        """The reasons in words."""
        return sentence(self.reasons)


def group_gap(
    outcomes: Sequence[Outcome],
    tags: Sequence[str],
    max_gap: float = 10.0,
    at_least: int = 20,
    undersized: Undersized = "INCONCLUSIVE",
) -> GroupGap:
    """Compare the pass rates of the groups that `tags` name: FAIL when the widest gap is more than `max_gap` points.

    INVALID when a group has a case that was not judged, or when `tags` names fewer than two groups; otherwise
    INCONCLUSIVE when a group has fewer than `at_least` cases.
    """
    members = {tag: [outcome for outcome in outcomes if tag in outcome.tags] for tag in tags}
    groups = {
        tag: Share(sum(outcome.verdict is Verdict.PASS for outcome in group), len(group))
        for tag, group in members.items()
    }
    faults = [because("gap_needs_two")] if len(groups) < 2 else []
    few: list[Reason] = []
    for tag, group in members.items():
        unjudged = sum(not _judged(outcome) for outcome in group)
        if len(group) < max(1, at_least):
            few.append(because("gap_few", tag=tag, cases=len(group), at_least=at_least))
        if unjudged:
            faults.append(because("gap_not_judged", tag=tag, not_judged=unjudged, cases=len(group)))
    if faults or few:
        verdict = Verdict.INVALID if faults else Verdict(undersized)
        return GroupGap(verdict, (*faults, *few), max_gap, groups)
    worse, *_, better = sorted(groups, key=lambda tag: _rate(groups[tag]))
    pairs = math.comb(len(groups), 2)
    gap = 100.0 * (_rate(groups[better]) - _rate(groups[worse]))
    low, high = (100.0 * bound for bound in gap_interval(groups[better], groups[worse], 1.0 - 0.05 / pairs))
    ok = gap <= max_gap + _TINY
    reason = because(
        "gap",
        better=better,
        better_passed=groups[better].count,
        better_cases=groups[better].of,
        worse=worse,
        worse_passed=groups[worse].count,
        worse_cases=groups[worse].of,
        gap=gap,
        low=low,
        high=high,
        allowed=max_gap,
    )
    return GroupGap(Verdict.PASS if ok else Verdict.FAIL, (reason,), max_gap, groups, better, worse, gap, (low, high))


def _rate(share: Share) -> float:
    return share.count / share.of
