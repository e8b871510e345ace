"""Where a gate's misses are: pass rates per tag, minima for slices, and whether the misses concentrate. Pure.

A model that misses a tenth of everything and a model that misses every case of one kind can have the same pass rate.

Sources: R. A. Fisher, Journal of the Royal Statistical Society 98 (1935) 39-82; R. E. Tarone, Biometrics 46 (1990)
515-522.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tunegate.cases.case import Case, Prompt
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.models.model import as_messages
from tunegate.stats.agreement import Share
from tunegate.stats.holm import holm
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
        """The share of cases that passed, with its exact interval; a case that was not judged did not pass."""
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
    """The lowest pass rate that a slice may have, and how many of its cases must be drawn to judge it."""

    min: float
    at_least: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.min <= 1 or self.at_least < 1:
            raise ValueError(
                f"a slice needs 0 < min <= 1 and at_least >= 1, but got min {self.min} and at_least {self.at_least}"
            )


@dataclass(frozen=True, slots=True)
class SlicesVerdict:
    """The verdict of the minima on a gate: `judged` holds the verdict on each slice and its reason, in rule order."""

    verdict: Verdict
    judged: tuple[tuple[Verdict, Reason], ...]
    slices: tuple[Slice, ...] = ()

    @property
    def reason(self) -> str:
        """The reasons that decided, in words."""
        return sentence([reason for verdict, reason in self.judged if verdict is self.verdict])


Undersized = Literal["INCONCLUSIVE", "INVALID"]
"""The verdict on a slice or group with fewer cases than its rule asks for; INVALID in older records."""


def judge_slices(
    outcomes: Sequence[Outcome], rules: Mapping[str, SliceRule], undersized: Undersized = "INCONCLUSIVE"
) -> SlicesVerdict:
    """Compare every slice that has a rule with its minimum; the worst verdict counts: FAIL, INVALID, INCONCLUSIVE.

    A slice with fewer than `at_least` cases, or with cases that were not judged, is a FAIL when it would miss its
    minimum even if the missing cases had passed. Otherwise it is INCONCLUSIVE if it has too few cases, and INVALID if
    some were not judged. Only for a draw that ran to its end: a draw that stopped early may lack cases for that reason
    alone.
    """
    found = [slice_of(outcomes, tag) for tag in rules]
    judged = tuple(_judge_slice(part, rules[part.tag], undersized) for part in found)
    verdicts = {verdict for verdict, _ in judged}
    worst = next((verdict for verdict in WORST if verdict in verdicts), Verdict.PASS)
    return SlicesVerdict(worst, judged, tuple(found))


WORST = (Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE)
"""The verdicts other than PASS; the first that is there counts."""


def _judge_slice(part: Slice, rule: SliceRule, undersized: Undersized) -> tuple[Verdict, Reason]:
    if not part.cases:  # an older record failed the model for it
        verdict = Verdict.FAIL if undersized == "INVALID" else Verdict(undersized)
        return verdict, because("slice_empty", tag=part.tag, at_least=rule.at_least)
    size = max(part.cases, rule.at_least)
    needed = math.ceil(rule.min * size - _TINY)
    counted: dict[str, Fact] = {"tag": part.tag, "passed": part.passed, "cases": part.cases}
    if size - part.failed < needed:
        return Verdict.FAIL, because("slice_missed", **counted, needed=needed, size=size)
    if part.cases < rule.at_least:
        return Verdict(undersized), because("slice_few", **counted, at_least=rule.at_least)
    if part.invalid:
        return Verdict.INVALID, because("slice_not_judged", **counted, not_judged=part.invalid, needed=needed)
    return Verdict.PASS, because("slice_passed", **counted, needed=needed)


def slices_out_of_reach(cases: Iterable[Case], rules: Mapping[str, SliceRule], where: str = "the suite") -> list[str]:
    """The rules that no draw from these cases can meet, in words: a reason to refuse before anything is trained."""
    tags = [tag for case in cases for tag in case.tags]
    return [
        f"slice {tag}: {where} has {tags.count(tag)} such cases, but at least {rule.at_least} must be drawn"
        for tag, rule in rules.items()
        if tags.count(tag) < rule.at_least
    ]


def too_many_for_a_draw(cases: Sequence[Case], at_least: Mapping[str, int], draw: int) -> list[str]:
    """The tags that need more cases than a draw of this size can hold, in words.

    Where no case carries two tags of a field, those tags need their cases together; other tags may share cases.
    """
    fields: dict[str, list[str]] = {}
    for tag in at_least:
        fields.setdefault(tag.split("=")[0], []).append(tag)
    faults: list[str] = []
    for tags in fields.values():
        shared = any(sum(tag in case.tags for tag in tags) > 1 for case in cases)
        needed = (max if shared else sum)(at_least[tag] for tag in tags)
        if needed > draw:
            faults.append(f"at least {needed} cases of {', '.join(tags)} must be drawn, but the plan draws {draw}")
    return faults


# --- where the misses are ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Concentration:
    """A kind of case, its misses, the misses elsewhere, and how likely that is by chance.

    `p_value` is from Fisher's exact test, one-sided (more misses than elsewhere); `adjusted` is the same after Holm's
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
    """The kinds of case in which the misses concentrate, lowest p-value first, and the finding in words."""

    sentence: str
    concentrated: tuple[Concentration, ...] = ()
    tested: tuple[Concentration, ...] = ()


def where_missed(outcomes: Sequence[Outcome], alpha: float = 0.05) -> WhereMissed:
    """Test whether the misses concentrate in a tag, an expected answer or a quarter of the prompt lengths.

    Cases that were not judged are left out. Kinds so small that no number of misses could be significant are not
    tested; since their size alone decides that, the correction does not count them (Tarone 1990). Kinds of exactly the
    same cases are tested once, under both names.
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
    """Kind of case to the indices of its cases; kinds of exactly the same cases are merged, with both names."""
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
    """The quarter of the prompt lengths that each prompt is in; prompts of equal length are in the same quarter."""
    ranked = sorted(lengths)
    ends = sorted({ranked[-(-len(ranked) * quarter // 4) - 1] for quarter in (1, 2, 3, 4)})  # the last of each quarter
    starts = [ranked[0], *(ranked[bisect_right(ranked, end)] for end in ends[:-1])]
    names = [f"prompts of {start} to {end} characters" for start, end in zip(starts, ends, strict=True)]
    return [names[sum(end < length for end in ends)] for length in lengths]


def _tested(
    kinds: Mapping[str, frozenset[int]], missed: set[int], total: int, alpha: float
) -> tuple[Concentration, ...]:
    """Fisher's test of every kind that can be significant, with Holm's correction, lowest p-value first."""
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


def _sentence(
    found: Sequence[Concentration], tested: Sequence[Concentration], kinds: Mapping[str, frozenset[int]], misses: int
) -> str:
    if found:
        return "; ".join(_concentration_sentence(kind, misses) for kind in found)
    if all(len(places) == 1 for places in kinds.values()):
        return "no two cases are of the same kind, so no pattern can be found; give the cases `tags:` in the suite"
    if not tested:
        few = "1 miss is" if misses == 1 else f"{misses} misses are"
        return f"{few} too few to tell whether misses concentrate anywhere"
    return "the misses are spread evenly: no tag, answer or length band has more misses than chance explains"


def _concentration_sentence(kind: Concentration, misses: int) -> str:
    return (
        f"{kind.missed} of the {misses} misses are in {kind.kind} ({kind.missed} of {kind.cases} missed "
        f"versus {kind.missed_elsewhere} of {kind.cases_elsewhere} elsewhere; {p_words(kind.adjusted, AFTER_HOLM)})"
    )
