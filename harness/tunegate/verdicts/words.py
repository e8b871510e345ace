"""Reasons in words, for terminal, report, JUnit and Markdown: the only module that turns reasons into sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tunegate.stats.holm import SHOWN_P_VALUE
from tunegate.stats.stratified import StratifiedRate
from tunegate.verdicts import limit_words
from tunegate.verdicts.diversity import DiversityFigure, DiversityRule
from tunegate.verdicts.reason import OBJECTIONS, Fact, Kind, Reason

Facts = Mapping[str, Fact]

AFTER_HOLM = " after Holm's correction"
"""The note on a p-value that was corrected for the number of comparisons."""
SELECTED = "too optimistic: a PASS shows only draws that passed"
"""The note on the interval of a draw that passed: of the draws that pass with 90 of 100, .878 cover a rate of 85 %."""
VERY_UNLIKELY = 0.01
"""Below this p-value, a difference is very unlikely to be chance; below `SHOWN_P_VALUE`, unlikely."""


def sentence(reasons: Sequence[Reason]) -> str:
    """`90 of 100, 90 needed, but b: 10 of 20, 16 of 20 needed`

    >>> from tunegate.verdicts.reason import because
    >>> sentence([because("count", passed=89, drawn=100, needed=90)])
    '89 of 100, 90 needed'
    """
    plain = "; ".join(_of(reason) for reason in reasons if reason.kind not in OBJECTIONS)
    objections = "; ".join(_of(reason) for reason in reasons if reason.kind in OBJECTIONS)
    return f"{plain}, but {objections}" if plain and objections else plain or objections


def chance_words(p_value: float) -> str:
    """A p-value in words, for readers who do not know what one is.

    The p-value is the chance of a difference at least as large as this one if only chance were at work.

    >>> [chance_words(p) for p in (0.004, 0.03, 0.41)]
    ['very unlikely to be chance', 'unlikely to be chance', 'may well be chance']
    """
    if p_value < VERY_UNLIKELY:
        return "very unlikely to be chance"
    return "unlikely to be chance" if p_value < SHOWN_P_VALUE else "may well be chance"


def p_words(p_value: float, note: str = "") -> str:
    """`p = 0.03: unlikely to be chance`: the number, a note on it, and the words. Terminal and reports all use this."""
    return f"p = {p_value:.2g}{note}: {chance_words(p_value)}"


def interval_words(interval: tuple[float, float], *, selected: bool) -> str:
    """`95 % interval 82.4% to 95.1%`; with `SELECTED` if only because the draw passed its interval counts."""
    low, high = interval
    return f"95 % interval {low:.1%} to {high:.1%}{f', {SELECTED}' if selected else ''}"


def probability(value: float) -> str:
    """A probability with three digits; what is not 0 is not printed as 0.

    >>> probability(0.0987), probability(1e-7)
    ('0.099', '< 0.001')
    """
    return "< 0.001" if value < 0.0005 else f"{value:.3f}"


def weighted_in_words(found: StratifiedRate) -> str:
    """A weighted pass rate, for terminal and report."""
    low, high = found.interval
    return (
        f"weighted by the suite's shares: {found.rate:.1%} (95 % interval {low:.1%} to {high:.1%}); it decides nothing"
    )


def diversity_in_words(rule: DiversityRule, measured: Sequence[DiversityFigure]) -> str:
    """The figures of a rule on diversity in one line, for terminal and report."""
    told = (f"{one.measure} {'not measured' if one.fault else f'{one.ratio:.2f}'}" for one in measured)
    return f"diversity as a share of that of {rule.against}: {', '.join(told)}; at least {rule.at_least:g} needed"


def _of(reason: Reason) -> str:
    wording = WORDINGS[reason.kind]
    return wording.format(**reason.facts) if isinstance(wording, str) else wording(reason.facts)


def _change(facts: Facts) -> str:
    """`from 90 to 84 of 100 cases: 10 lost, 4 won, 6 points fewer (95 %: -1.2 to 13.6; McNemar mid-p 0.12)`."""
    drop, low, high = (float(facts[name]) for name in ("drop", "low", "high"))
    points = f"{abs(drop):.3g} points {'fewer' if drop >= 0 else 'more'}"
    bounds = f"95 %: {low:.1f} to {high:.1f}" if drop >= 0 else f"95 %: {-high:.1f} to {-low:.1f}"
    passed = f"from {facts['before']} to {facts['now']} of {facts['cases']} cases"
    mid_p = f"; McNemar mid-p {facts['mid_p']:.2g}" if "mid_p" in facts else ""  # older records have none
    return f"{passed}: {facts['lost']} lost, {facts['won']} won, {points} ({bounds}{mid_p})"


def _by_plan(facts: Facts) -> str:
    """`a net loss of 11 cases is allowed, so that a loss of 5 points is found`"""
    return f"a net loss of at most {facts['net_loss']} cases is allowed, which finds a loss of {facts['most']:g} points"


_DIVERSITY = "{measure} {ratio:.2f} of that of {against} (upper limit {upper:.2f}, {at_least:g} needed)"


def _not_shown(facts: Facts) -> str:
    """Why a candidate is not shown to be as good as its baseline, and how many cases could show it at best."""
    exact = f"exact p = {facts['p_value']:.2g}"
    said = f"{facts['cases']} cases do not rule out a loss of {facts['allowed']:g} points ({exact})"
    if float(facts["needed"]) > float(facts["cases"]):  # an older record has it also where more were asked
        return f"{said}; at least {facts['needed']} are needed, if none differs"
    more = int(facts.get("more", 0))
    return f"{said}; about {more} more could, if the models differ as often on these" if more else said


def _more_cases(facts: Facts) -> str:
    # The number is a normal approximation and the interval is not: where they disagree, say "a few more".
    more = f"about {facts['needed']}" if facts["needed"] > facts["cases"] else "a few more"  # pyright: ignore[reportOperatorIssue]
    return f"the count is within the limit, but {facts['cases']} cases are too few to show it; {more} could"


WORDINGS: Mapping[Kind, str | Callable[[Facts], str]] = {
    "said": "{text}",
    "count": "{passed} of {drawn}, {needed} needed",
    "stopped": "{missed} of {asked} missed, {allowed} of {drawn} allowed",
    "settled": "{missed} of {asked} missed, which settled it; at most {drawn} would have been asked",
    "undecided": (
        "{missed} of {asked} missed: the evidence against a model that passes {at:.3g} of cases is {evidence:g}, "
        "{needed:g} is needed; more cases may decide it"
    ),
    "allowed": "{allowed} of {drawn} allowed",
    "settled_it": "the misses so far settled it; at most {drawn} would have been asked",
    "not_judged": "{not_judged} of {drawn} not judged, {passed} passed, {needed} needed",
    "unlabelled": "{missing} of {drawn} wait for people's labels; so far {passed} passed, {needed} needed",
    "mismatch": "{outcomes} outcomes do not match the {drawn} registered cases",
    "errors_over": "{category} in {cases} cases, {allowed} allowed",
    "measured": "measured: {passed} of {drawn}",
    "measured_in_part": "measured: {passed} of {drawn}, {not_judged} not judged",
    "kept": lambda facts: f"{_change(facts)}, {facts['allowed']:g} allowed",
    "forgetting": lambda facts: f"forgetting: {_change(facts)}, more than the {facts['allowed']:g} allowed",
    "kept_by_plan": lambda facts: f"{_change(facts)}; {_by_plan(facts)}",
    "lost_by_plan": lambda facts: f"forgetting: {_change(facts)}; {_by_plan(facts)}",
    "more_differ": (
        "the models differ on {differ:.3g} % of the cases, the plan expected at most {planned:.3g} %: at this share a "
        "model that lost {drop:g} points gets through with probability {through:.2g}"
    ),
    "shown_not_worse": "the cases rule out a loss of {allowed:g} points (exact p = {p_value:.2g})",
    "not_shown_not_worse": lambda facts: _not_shown(facts),
    "likely_exceeded": "a drop of more than {allowed:g} points is likely but not shown",
    "too_close": "the count is within the limit, but so close to it that no number of cases could show it",
    "more_cases": _more_cases,
    "nothing_to_compare": "there is nothing to compare: one side has no cases",
    "none_in_common": "the two models were not asked any case in common; ask both with the same --seed",
    "duplicate_case": "a case is duplicated on one side",
    "other_cases": "not the same cases: {cases} are on one side only, for example {example!r}",
    "other_prompts": "not the same cases: {cases} have another prompt now, for example {example!r}",
    "pair_not_judged": "{not_judged} of {cases} cases were not judged on both sides, for example {example!r}",
    "slice_passed": "{tag}: {passed} of {cases}, {needed} needed",
    "slice_missed": "{tag}: {passed} of {cases}, {needed} of {size} needed",
    "slice_empty": "{tag}: no case was drawn, at least {at_least} expected",
    "slice_few": "{tag}: {passed} of {cases} passed, but at least {at_least} cases must be drawn",
    "slice_not_judged": "{tag}: {passed} of {cases}, {not_judged} not judged, {needed} needed",
    "gap": (
        "{better} passes {better_passed} of {better_cases}, {worse} {worse_passed} of {worse_cases}: "
        "{gap:.3g} points apart (95 %: {low:.1f} to {high:.1f}), {allowed:g} allowed"
    ),
    "gap_needs_two": "a gap needs at least two groups",
    "gap_few": "{tag} has {cases} cases, {at_least} needed",
    "gap_not_judged": "{not_judged} of {cases} cases of {tag} were not judged",
    "grouped": "{cases} cases of {groups} groups count as {independent:g} independent ones",
    "grouped_luck": (
        "{cases} cases of {groups} groups count as {independent:g} independent ones, {needed} are needed: add groups "
        "(a model that passes {at:.1%} of cases reaches this rate with probability {luck:.3f}, "
        "{allowed:.3f} is allowed)"
    ),
    "limits_kept": lambda facts: limit_words.all_kept(facts),
    **limit_words.WORDINGS,
    "diversity_kept": f"diversity: {_DIVERSITY}",
    "diversity_lost": f"too little diversity: {_DIVERSITY}",
    "diversity_undecided": f"diversity: {_DIVERSITY}, which may be chance: draw more cases",
    "diversity_few": "{measure}: {texts} independent answers are too few to tell their diversity, {needed} are needed",
    "diversity_not_measured": "the diversity of the answers by {measure} was not measured: {cause}",
    "not_corrected": "{check}: the pass rate cannot be corrected for the judge's errors, {needed:.0%} needed",
    "corrected_low": (
        "{check}: {rate:.1%} ({low:.1%} to {high:.1%}) corrected for the judge's errors, "
        "a lower end of at least {needed:.0%} needed"
    ),
}
