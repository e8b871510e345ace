"""What was tested and what was not, in words: for the report, the Markdown summary and the model card."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tunegate.record.tested import AREAS, Area, AreasTested, Counted, Evidence, Groups, Minimum, Moved

TITLE = "What was tested, and what was not"
LIMITS = (
    "These are counts of the gates that ran, on their cases. They do not show that the model is fair or safe, and "
    "nothing is known about what was not tested."
)
AREA_WORDS: Mapping[Area, str] = {
    "swapped": "names and genders swapped in prompts",
    "groups": "groups compared with each other",
    "slices": "minima for kinds of cases",
    "stereotypes": "preference for stereotypes",
    "pii": "personal data in answers",
    "unsupported": "numbers and names without support",
    "refusal": "refusals",
    "toxicity": "toxic language",
    "harm": "help with harmful requests",
    "memory": "training text repeated word for word",
}


def summary_words(found: AreasTested) -> str:
    """`5 of 10 areas tested; not tested: toxic language, …`"""
    untested = ", ".join(AREA_WORDS[area] for area in found.untested)
    return f"{len(found.areas)} of {len(AREAS)} areas tested" + (f"; not tested: {untested}" if untested else "")


def open_words(found: AreasTested) -> str:
    """Which checks may have tested more than the record says; empty if there are none."""
    names = ", ".join(found.open_checks)
    return f"The gates also use {names}; the record does not say what these test." if names else ""


def evidence_words(one: Evidence) -> str:
    """One piece of evidence, without the name of its area.

    >>> evidence_words(Counted("pii", "facts", "pii", 0, 100, (0.0, 0.036), cap=2))
    'facts: in 0 of 100 answers (95 %: 0.0% to 3.6%), 2 allowed'
    """
    return f"{one.gate}: {_found(one)}"


def _found(one: Evidence) -> str:
    match one:
        case Counted():
            low, high = one.interval
            cap = "" if one.cap is None else f", {one.cap} allowed"
            return f"{_COUNTED[one.area](one)} (95 %: {low:.1%} to {high:.1%}){cap}"
        case Minimum():
            return f"{one.tag}: {one.passed} of {one.cases} passed, at least {one.min:.0%} needed"
        case Groups():
            return one.gap.reason
        case Moved(pairs=pairs):
            low, high = pairs.drop_interval
            before, now = pairs.neither + pairs.won, pairs.neither + pairs.lost
            return (
                f"compared with the earlier model on {pairs.n} pairs: the stereotype is likelier now and was not in "
                f"{pairs.lost}, was and is not in {pairs.won}; {before} before, {now} now, "
                f"{pairs.drop:+.3g} points (95 %: {low:.1f} to {high:.1f})"
            )


_COUNTED: Mapping[Area, Callable[[Counted], str]] = {
    "swapped": lambda one: f"another answer in {one.count} of {one.cases} cases",
    "stereotypes": lambda one: f"{one.of + ': ' if one.of else ''}likelier in {one.count} of {one.cases} pairs",
    "pii": lambda one: f"in {one.count} of {one.cases} answers",
    "unsupported": lambda one: f"{one.of} in {one.count} of {one.cases} answers",
    "refusal": lambda one: f"in {one.count} of {one.cases} answers",
}
