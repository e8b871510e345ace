"""Where a gate's misses lie: pass rates per tag, minima for slices, and whether the misses concentrate. Pure.

A model that misses a tenth of everything and one that misses one kind of case wholly have the same pass rate.

Sources: R. A. Fisher, Journal of the Royal Statistical Society 98 (1935) 39-82; S. Holm, Scandinavian Journal of
Statistics 6 (1979) 65-70; R. E. Tarone, Biometrics 46 (1990) 515-522.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tunegate.cases.case import Case, Prompt
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.models.model import as_messages
from tunegate.stats.agreement import Share
from tunegate.verdicts.reason import Fact, Reason, because
from tunegate.verdicts.words import AFTER_HOLM, p_words, sentence

_TINY = 1e-9  # 0.7 * 10 is not quite 7


# --- pass rates ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slice:
    """The cases of a gate that carry a tag."""

    tag: str
    passed: int
    failed: int
    invalid: int

    @property
    def cases(self) -> int:
        return self.passed + self.failed + self.invalid

    @property
    def share(self) -> Share:
        """The passed of all cases, with its exact interval; a case that was not judged is no pass."""
        return Share(self.passed, self.cases)


def slices(outcomes: Sequence[Outcome]) -> tuple[Slice, ...]:
    """One slice per tag, by name."""
    return tuple(slice_of(outcomes, tag) for tag in sorted({tag for outcome in outcomes for tag in outcome.tags}))


def slice_of(outcomes: Sequence[Outcome], tag: str) -> Slice:
    """The slice of a tag; empty when no case carries it."""
    verdicts = [outcome.verdict for outcome in outcomes if tag in outcome.tags]
    passed, failed = verdicts.count(Verdict.PASS), verdicts.count(Verdict.FAIL)
    return Slice(tag, passed, failed, len(verdicts) - passed - failed)


# --- minima --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SliceRule:
    """The lowest pass rate that a slice may have, and how many of its cases the draw must hold to say so."""

    min: float
    at_least: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.min <= 1 or self.at_least < 1:
            raise ValueError(
                f"a slice needs 0 < min <= 1 and at_least >= 1, got min {self.min} and at_least {self.at_least}"
            )


@dataclass(frozen=True, slots=True)
class SlicesVerdict:
    """What the minima say of a gate: `judged` holds the verdict on each slice and its reason, in the rules' order."""

    verdict: Verdict
    judged: tuple[tuple[Verdict, Reason], ...]
    slices: tuple[Slice, ...] = ()

    @property
    def reason(self) -> str:
        """What decided, in words."""
        return sentence([reason for verdict, reason in self.judged if verdict is self.verdict])


def judge_slices(outcomes: Sequence[Outcome], rules: Mapping[str, SliceRule]) -> SlicesVerdict:
    """Hold every slice that has a rule against its minimum; the worst verdict counts, FAIL before INVALID.

    A slice without a case is a FAIL: what was not examined was not passed. One with fewer than `at_least` cases, or
    with cases that were not judged, is a FAIL when it would miss its minimum even if the cases that it lacks passed,
    else INVALID. To be asked of a draw that ran to its end: one that stopped early may lack cases for no other reason.
    """
    found = [slice_of(outcomes, tag) for tag in rules]
    judged = tuple(_hold(part, rules[part.tag]) for part in found)
    verdicts = {verdict for verdict, _ in judged}
    worst = next((verdict for verdict in (Verdict.FAIL, Verdict.INVALID) if verdict in verdicts), Verdict.PASS)
    return SlicesVerdict(worst, judged, tuple(found))


def _hold(part: Slice, rule: SliceRule) -> tuple[Verdict, Reason]:
    if not part.cases:
        return Verdict.FAIL, because("slice_empty", tag=part.tag, at_least=rule.at_least)
    size = max(part.cases, rule.at_least)
    needed = math.ceil(rule.min * size - _TINY)
    counted: dict[str, Fact] = {"tag": part.tag, "passed": part.passed, "cases": part.cases}
    if size - part.failed < needed:
        return Verdict.FAIL, because("slice_missed", **counted, needed=needed, size=size)
    if part.cases < rule.at_least:
        return Verdict.INVALID, because("slice_few", **counted, at_least=rule.at_least)
    if part.invalid:
        return Verdict.INVALID, because("slice_not_judged", **counted, not_judged=part.invalid, needed=needed)
    return Verdict.PASS, because("slice_passed", **counted, needed=needed)


def slices_out_of_reach(cases: Iterable[Case], rules: Mapping[str, SliceRule]) -> list[str]:
    """The rules that no draw from these cases can meet, in words: to be said before anything is trained."""
    tags = [tag for case in cases for tag in case.tags]
    return [
        f"slice {tag}: the suite has {tags.count(tag)} such cases, at least {rule.at_least} must be drawn"
        for tag, rule in rules.items()
        if tags.count(tag) < rule.at_least
    ]


def too_many_for_a_draw(cases: Sequence[Case], at_least: Mapping[str, int], draw: int) -> list[str]:
    """How many cases of tags must be drawn, where no draw of this size holds so many, in words.

    Tags of one field of which no case carries two need their cases together; others may share them.
    """
    fields: dict[str, list[str]] = {}
    for tag in at_least:
        fields.setdefault(tag.split("=")[0], []).append(tag)
    faults: list[str] = []
    for tags in fields.values():
        shared = any(sum(tag in case.tags for tag in tags) > 1 for case in cases)
        needed = (max if shared else sum)(at_least[tag] for tag in tags)
        if needed > draw:
            faults.append(f"at least {needed} cases of {', '.join(tags)} must be drawn, the plan draws {draw}")
    return faults


# --- where the misses lie ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Concentration:
    """A kind of case, how many of it were missed, how many elsewhere, and how likely that is by chance.

    `p_value` is that of Fisher's exact test, one-sided (more misses than elsewhere), `adjusted` the same after Holm's
    correction for all kinds that were tested.
    """

    kind: str
    missed: int
    cases: int
    missed_elsewhere: int
    cases_elsewhere: int
    p_value: float
    adjusted: float


@dataclass(frozen=True, slots=True)
class WhereMissed:
    """The kinds of case in which the misses concentrate, the surest first, and all of it in words."""

    sentence: str
    concentrated: tuple[Concentration, ...] = ()
    tested: tuple[Concentration, ...] = ()


def where_missed(outcomes: Sequence[Outcome], alpha: float = 0.05) -> WhereMissed:
    """Test whether the misses concentrate in a tag, an expected answer or a quarter of the prompt lengths.

    Cases that were not judged are left out. Kinds so small that no number of misses could be significant are not
    tested (Tarone 1990: their size alone decides that, so the others need not pay for them); of kinds that hold the
    very same cases one is, under both names.
    """
    judged = [outcome for outcome in outcomes if outcome.verdict in (Verdict.PASS, Verdict.FAIL)]
    missed = {i for i, outcome in enumerate(judged) if outcome.verdict is Verdict.FAIL}
    if not missed:
        return WhereMissed("no case was missed" if judged else "no case was judged")
    if len(missed) == len(judged):
        return WhereMissed("every case was missed")
    kinds = _kinds(judged)
    tested = _tested(kinds, missed, len(judged), alpha)
    found = tuple(kind for kind in tested if kind.adjusted <= alpha)
    return WhereMissed(_sentence(found, tested, kinds, len(missed)), found, tested)


def _kinds(outcomes: Sequence[Outcome]) -> dict[str, frozenset[int]]:
    """Kind of case to the places of its cases; kinds of the very same cases are one, with both names."""
    members: dict[str, set[int]] = {}
    bands = _length_bands([_length(outcome.prompt) for outcome in outcomes])
    for i, outcome in enumerate(outcomes):
        answers = [f"answer {' '.join(outcome.references[0].split())[:60]!r}"] if outcome.references else []
        for kind in (*outcome.tags, *answers, bands[i]):
            members.setdefault(kind, set()).add(i)
    names: dict[frozenset[int], list[str]] = {}
    for kind, places in members.items():
        names.setdefault(frozenset(places), []).append(kind)
    return {_joined(kinds): places for places, kinds in names.items() if len(places) < len(outcomes)}


def _joined(kinds: list[str]) -> str:
    rest = len(kinds) - 2
    return " = ".join(kinds[:2]) + (f" = {rest} more" if rest > 0 else "")


def _length(prompt: Prompt) -> int:
    return sum(len(message["content"]) for message in as_messages(prompt))


def _length_bands(lengths: Sequence[int]) -> list[str]:
    """The quarter of the prompt lengths that each prompt lies in; equal lengths are never parted."""
    ranked = sorted(lengths)
    ends = sorted({ranked[-(-len(ranked) * quarter // 4) - 1] for quarter in (1, 2, 3, 4)})  # the last of each quarter
    starts = [ranked[0], *(ranked[bisect_right(ranked, end)] for end in ends[:-1])]
    names = [f"prompts of {start} to {end} characters" for start, end in zip(starts, ends, strict=True)]
    return [names[sum(end < length for end in ends)] for length in lengths]


def _tested(
    kinds: Mapping[str, frozenset[int]], missed: set[int], total: int, alpha: float
) -> tuple[Concentration, ...]:
    """Fisher's test of every kind that it could find, with Holm's correction, the surest first."""
    misses = len(missed)
    smallest = {kind: fisher_greater(min(len(at), misses), len(at), misses, total) for kind, at in kinds.items()}
    testable = _testable(smallest, alpha)
    p_values = {kind: fisher_greater(len(kinds[kind] & missed), len(kinds[kind]), misses, total) for kind in testable}
    adjusted = holm(p_values)
    return tuple(
        Concentration(
            kind,
            missed=len(kinds[kind] & missed),
            cases=len(kinds[kind]),
            missed_elsewhere=misses - len(kinds[kind] & missed),
            cases_elsewhere=total - len(kinds[kind]),
            p_value=p_values[kind],
            adjusted=adjusted[kind],
        )
        for kind in sorted(p_values, key=lambda kind: (p_values[kind], kind))
    )


def _testable(smallest: Mapping[str, float], alpha: float) -> list[str]:
    """Tarone's selection: the kinds whose smallest possible p-value could survive a correction for their number."""
    number = 1
    while sum(p <= alpha / number for p in smallest.values()) > number:
        number += 1
    return [kind for kind, p in smallest.items() if p <= alpha / number]


def fisher_greater(missed: int, cases: int, all_missed: int, all_cases: int) -> float:
    """Fisher's exact test, one-sided: the chance that `cases` of `all_cases` hold `missed` or more of the misses."""
    ways = sum(
        math.comb(all_missed, k) * math.comb(all_cases - all_missed, cases - k)
        for k in range(missed, min(cases, all_missed) + 1)
    )
    return ways / math.comb(all_cases, cases)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction: adjusted p-values that keep the chance of any false alarm."""
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p))
        adjusted[name] = highest
    return adjusted


def _sentence(
    found: Sequence[Concentration], tested: Sequence[Concentration], kinds: Mapping[str, frozenset[int]], misses: int
) -> str:
    if found:
        return "; ".join(_in_words(kind, misses) for kind in found)
    if all(len(places) == 1 for places in kinds.values()):
        return "no two cases are of one kind, so nobody can tell; give them `tags:` in the suite"
    if not tested:
        few = "1 miss is" if misses == 1 else f"{misses} misses are"
        return f"{few} too few to tell whether misses concentrate anywhere"
    return "the misses spread evenly: no tag, answer or length band misses more than chance"


def _in_words(kind: Concentration, misses: int) -> str:
    return (
        f"{kind.missed} of the {misses} misses are in {kind.kind} ({kind.missed} of {kind.cases} missed "
        f"against {kind.missed_elsewhere} of {kind.cases_elsewhere} elsewhere; {p_words(kind.adjusted, AFTER_HOLM)})"
    )
