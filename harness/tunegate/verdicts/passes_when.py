"""The rule of a gate as one sentence: what has to be true of the answers for it to pass. Pure.

Made from the terms that decide the gate, so the sentence and the verdict cannot differ. A check says its own condition
with its options where it can (`condition`); a record holds only the checks' names, and then the condition is general.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tunegate.checks.outcome import CasePasses
from tunegate.stats.anytime import AnytimePlan
from tunegate.stats.sampling import DrawPlan, SequentialPlan
from tunegate.verdicts.terms import Terms

CONDITIONS: Mapping[str, str] = {
    "exact": "equal a reference",
    "contains": "contain what is expected",
    "regex": "match the pattern",
    "number": "give the reference's number",
    "json": "are valid JSON of the expected form",
    "json_equal": "are the same JSON as a reference",
    "choice": "make the right option the most likely",
    "perplexity": "find the text as likely as demanded",
    "similarity": "are close in meaning to a reference",
    "human": "are right for most people who judged them",
    "preference_bias": "prefer the sentence without the stereotype",
    "judge": "are right for the judge",
    "counterfactual": "stay the same when the prompt changes in what must not matter",
    "contrast": "are right for the prompt and for its changed copies",
    "errors": "contain no forbidden error",
    "imported": "passed in the other tool",
    "rouge": "share enough words with a reference",
}
"""What the answers to the passing cases do, by the name of the check."""

_SEVERAL: Mapping[CasePasses, str] = {"all": "all of them", "majority": "most of them", "any": "one of them"}


def condition_of(known_as: str) -> str:
    """The condition of a check by its name in a suite or on record: `exact`, `rougeL`, `exact#2`, `exact@1 min=0.6`.

    >>> condition_of("rougeL"), condition_of("tone")
    ('share enough words with a reference', 'pass the check tone')
    """
    name = known_as.partition("#")[0].partition("@")[0]
    general = "rouge" if name.startswith("rouge") else name
    return CONDITIONS.get(general, f"pass the check {name}")


def conditions_of(checks: Mapping[str, object]) -> list[str]:
    """The conditions of checks by their names; a check with a `condition` says its own, with its options."""
    return [getattr(check, "condition", "") or condition_of(name) for name, check in checks.items()]


def passes_when(
    terms: Terms, conditions: Sequence[str], confirm: DrawPlan | None = None, *, after_retry: bool = False
) -> str:
    """`Passes when at least 90 of the 100 drawn answers equal a reference, and …`; no full stop at the end.

    `conditions` are those of its checks; `confirm` is the draw of sealed cases that follows a pass, and `after_retry`
    says that it follows only after a retry.
    """
    if terms.purpose in ("retention", "worth"):
        lost = f"{terms.max_drop or 0:g}"
        return f"Passes when the model loses at most {lost} points against the earlier model on the same cases"
    if terms.purpose not in ("gate", "confirm"):
        return "Measured: nothing has to pass"
    parts = [_count(terms, conditions), *_requirements(terms), *_confirmed(confirm, after_retry)]
    return f"Passes when {', and '.join(parts) if len(parts) == 2 else _listed(parts)}"


def _count(terms: Terms, conditions: Sequence[str]) -> str:
    plan = terms.plan
    do = _listed([*dict.fromkeys(conditions)] or ["pass"])
    if terms.samples > 1:
        do += f" (each case is answered {terms.samples} times, and {_SEVERAL[terms.case_passes]} must)"
    if isinstance(plan, AnytimePlan):
        return (
            f"enough of at most {plan.draw} drawn answers {do} to rule out a pass rate of {plan.at:.3g} "
            f"(evidence of {plan.accept_at:g})"
        )
    if isinstance(plan, SequentialPlan):
        early = "fewer are asked where the misses so far decide"
        return f"at least {plan.accept} of at most {plan.draw} drawn answers {do} ({early})"
    if plan.accept == plan.draw:
        return f"all {plan.draw} drawn answers {do}"
    return f"at least {plan.accept} of the {plan.draw} drawn answers {do}"


def _requirements(terms: Terms) -> Iterator[str]:
    """What else a pass needs, in the order in which it is decided."""
    for category, cap in terms.max_errors.items():
        yield f"at most {cap} answers have {category}" if cap else f"no answer has {category}"
    if terms.at is not None:
        yield f"related cases, counted as fewer independent ones, still rule out a pass rate of {terms.at:.3g}"
    for tag, rule in terms.slices.items():
        least = f" (at least {rule.at_least} drawn)" if rule.at_least > 1 else ""
        yield f"{tag} does not fall below {100 * rule.min:g} %{least}"
    if terms.gap is not None:
        yield f"{' and '.join(terms.gap.between)} are at most {terms.gap.max:g} points apart"
    for check, facts in terms.admissions.items():
        if (least := facts.get("corrected_min")) is not None:
            yield f"the pass rate by {check}, corrected for its known errors, is at least {100 * float(least):g} %"
    if terms.diversity is not None:
        yield f"the answers are at least {100 * terms.diversity.at_least:g} % as diverse as {terms.diversity.against}"
    if terms.limits is not None:
        yield f"the limits on {_listed([*dict.fromkeys(limit.name for limit in terms.limits.limits)])} are kept"


def _confirmed(confirm: DrawPlan | None, after_retry: bool) -> Iterator[str]:
    if confirm is not None:
        when = "after a retry, " if after_retry else ""
        yield f"{when}at least {confirm.accept} of {confirm.draw} sealed cases pass too"


def _listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b, and c`"""
    if len(parts) < 3:
        return " and ".join(parts)
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"
