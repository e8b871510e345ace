"""What the misses of a gate have in common: one rule of at most two features, tested on other cases. Pure.

`slices.where_missed` tests each tag, answer and length alone, exactly. This search also looks at the words and signs of
a prompt and at pairs of features; `stats.rule_search` makes its p-value hold for all rules that it looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunegate.cases.traits import BOTH, Traits, columns_of, in_words, known_of_rows, traits_of
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.seeds import derived_seed
from tunegate.stats.rule_search import FoundRule, Hits, distinct, find_rule
from tunegate.verdicts.words import p_words

ALPHA = 0.02
"""The largest p-value that is reported: if misses have nothing in common, at most 2 % of draws get a rule."""
FEWEST_CASES, SMALLEST_SHARE = 4, 0.04
"""A feature counts if at least this number and this share of the cases have it, and as many lack it."""
MOST_FEATURES = 80
MOST_CASES = 2000
"""Of larger draws the first are searched, which bounds the time; the counts are those of all cases."""


@dataclass(frozen=True, slots=True)
class InCommon:
    """A rule that the misses share: of `cases` cases with these features `missed` were missed; elsewhere the rest.

    `found` and `tested` are its counts on the half where it was found and on the half where it was tested. `p_value` is
    that of the whole search, over `searched` rules, by `permutations` permutations.
    """

    features: tuple[str, ...]
    missed: int
    cases: int
    missed_elsewhere: int
    cases_elsewhere: int
    found: Hits
    tested: Hits
    p_value: float
    permutations: int
    searched: int

    @property
    def kind(self) -> str | None:
        """The kind of training row that the rule names; None if a training row cannot have a feature of it."""
        return BOTH.join(self.features) if all(map(known_of_rows, self.features)) else None

    @property
    def sentence(self) -> str:
        """`12 of 14 misses: questions with a percentage in them (12 of 15 such cases missed; 2 of 85 others), p = …`"""
        return (
            f"{self.missed} of {self.missed + self.missed_elsewhere} misses: {in_words(self.features)} ({self.missed} "
            f"of {self.cases} such cases missed; {self.missed_elsewhere} of {self.cases_elsewhere} others), "
            f"{p_words(self.p_value)}"
        )

    @property
    def facts(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "features": list(self.features),
            "missed": self.missed,
            "cases": self.cases,
            "missed_elsewhere": self.missed_elsewhere,
            "cases_elsewhere": self.cases_elsewhere,
            "found": [self.found.missed, self.found.cases],
            "tested": [self.tested.missed, self.tested.cases],
            "p_value": self.p_value,
            "permutations": self.permutations,
            "searched": self.searched,
            "sentence": self.sentence,
        }


def in_common(outcomes: Sequence[Outcome]) -> InCommon | None:
    """The rule that the misses share, if one is shown; cases that were not judged are left out.

    Features of the cases are searched first. Only if none is found, the length of the model's answers is searched: a
    wrong answer is often longer, which would hide what the questions have in common. Each of the two searches has half
    of ALPHA. The same outcomes give the same rule, because the seed comes from the cases' ids.
    """
    judged = [outcome for outcome in outcomes if outcome.verdict in (Verdict.PASS, Verdict.FAIL)]
    missed = [outcome.verdict is Verdict.FAIL for outcome in judged]
    every = list(map(_traits, judged[:MOST_CASES]))
    fewest = max(FEWEST_CASES, round(SMALLEST_SHARE * len(every)))
    columns = columns_of(every, fewest)
    seed = derived_seed("misses in common", *sorted(outcome.case_id for outcome in judged))
    for of_rows in (True, False):
        own = {feature: column for feature, column in columns.items() if known_of_rows(feature) is of_rows}
        rule = find_rule(distinct(own, fewest, MOST_FEATURES), missed[: len(every)], seed, above=ALPHA / 2)
        if rule is not None and rule.p_value <= ALPHA / 2:
            return _counted(rule, [*every, *map(_traits, judged[len(every) :])], missed)
    return None


def _traits(outcome: Outcome) -> Traits:
    return traits_of(outcome.prompt, outcome.references, outcome.tags, outcome.group, outcome.response)


def _counted(rule: FoundRule, every: Sequence[Traits], missed: Sequence[bool]) -> InCommon:
    """The rule with its counts among all judged cases."""
    holds = [all(map(one.has, rule.features)) for one in every]
    shared = sum(hit and miss for hit, miss in zip(holds, missed, strict=True))
    return InCommon(
        rule.features,
        missed=shared,
        cases=sum(holds),
        missed_elsewhere=sum(missed) - shared,
        cases_elsewhere=len(every) - sum(holds),
        found=rule.found,
        tested=rule.tested,
        p_value=rule.p_value,
        permutations=rule.permutations,
        searched=rule.searched,
    )
