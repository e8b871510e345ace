"""Which answers become rows: each is kept, or dropped for the first reason that applies. Pure but for the checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunegate.cases.case import Case, asked
from tunegate.checks.check import Sample, judge
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.data.near_duplicates import near_repeats
from tunegate.data.training_data import Example
from tunegate.leaks.leakage import Looking, compare
from tunegate.leaks.texts import TrainRow, told
from tunegate.models.model import OpenJudge, Response
from tunegate.progress import Progress
from tunegate.suites.suite import Suite
from tunegate.text.normal_form import normalised

NO_ANSWER, EMPTY, CUT_OFF, NOT_JUDGED = "no answer", "empty", "cut off at max_new_tokens", "not judged"
REPEATED, NEARLY, OVER = "repeats a row", "nearly repeats a row", "more than --per-tag"
NO_TAG = "no tag"
LONGER = "raise --max-new-tokens"
JUDGED_AT_ONCE = 256


def mostly_cut_off(dropped: Mapping[str, int], answers: int) -> bool:
    """Whether more than half of the answers were dropped because they were too long."""
    return dropped.get(CUT_OFF, 0) * 2 > answers


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer to a prompt. `number` is its row while it is compared, `sample` counts the answers to one prompt."""

    number: int
    case: Case
    sample: int
    response: Response

    @property
    def text(self) -> str:
        return self.response.text.strip()


@dataclass(frozen=True, slots=True)
class Filters:
    """What a row must pass, besides being complete: the checks of a suite, no leak of the suites `not_in`, and at most
    `per_tag` rows for each tag. `model` is the name and the hash of the model that answered, for checks that read
    them, and `open_judge` opens a judge where that model is open."""

    checks: Suite | None = None
    not_in: tuple[Suite, ...] = ()
    per_tag: int | None = None
    model: tuple[str, str | None] = ("", None)
    open_judge: OpenJudge | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The kept answers, and how many were dropped by reason; together, these are all. `usable` are the answers before
    any filter: they came, and are whole."""

    kept: tuple[Candidate, ...]
    usable: tuple[Candidate, ...]
    dropped: dict[str, int]


def choose(candidates: Sequence[Candidate], filters: Filters, progress: Progress) -> Chosen:
    """Filter the answers, in this order: whole, right by the checks, no leak, new, balanced; raises MissingExtra."""
    dropped: Counter[str] = Counter()

    def without(left: Sequence[Candidate], why: Callable[[Candidate], str | None]) -> list[Candidate]:
        reasons = [(one, why(one)) for one in left]
        dropped.update(reason for _, reason in reasons if reason is not None)
        return [one for one, reason in reasons if reason is None]

    # The first answers to all prompts come before any second one, so that rows of as many prompts as possible are kept.
    ordered = sorted(candidates, key=lambda one: (one.sample, one.number))
    usable = left = without(ordered, _not_whole)
    if filters.checks is not None:
        missed = dict(_missed(left, filters, progress))
        left = without(left, lambda one: missed.get(one.number))
    if filters.not_in:
        leaks = _leaks(left, filters.not_in, progress)
        left = without(left, lambda one: leaks.get(one.number))
    left = without(left, _repeated())
    near = _nearly(left, progress)
    left = without(left, lambda one: NEARLY if one.number in near else None)
    if filters.per_tag is not None:
        left = without(left, _over(filters.per_tag))
    kept = tuple(sorted(left, key=lambda one: one.number))
    return Chosen(kept, tuple(usable), dict(dropped))


def _not_whole(one: Candidate) -> str | None:
    if one.response.error is not None:
        return NO_ANSWER
    return EMPTY if not one.text else CUT_OFF if one.response.finish_reason == "length" else None


def _missed(left: Sequence[Candidate], filters: Filters, progress: Progress) -> Iterator[tuple[int, str]]:
    """The answers that do not pass the checks, by number, with the check that they miss."""
    assert filters.checks is not None
    name, sha256 = filters.model
    for start in range(0, len(left), JUDGED_AT_ONCE):
        progress("checks", start, len(left), "answers")
        block = left[start : start + JUDGED_AT_ONCE]
        samples = [Sample(one.case, one.response, sha256, name, open_judge=filters.open_judge) for one in block]
        for one, outcome in zip(block, judge(filters.checks.checks, samples, filters.checks.answer), strict=True):
            if outcome.verdict is not Verdict.PASS:
                yield one.number, _why(outcome)
    progress("checks", len(left), len(left), "answers")


def _why(outcome: Outcome) -> str:
    missed = [finding.check for finding in outcome.findings if finding.verdict is Verdict.FAIL]
    return f"missed {missed[0]}" if outcome.verdict is Verdict.FAIL and missed else NOT_JUDGED


def _leaks(left: Sequence[Candidate], suites: Sequence[Suite], progress: Progress) -> dict[int, str]:
    """The rows that are, contain or reveal a case, by number, with the suite; the pipeline's leak guard finds them."""
    rows = [
        TrainRow("", one.number, (asked(one.case.prompt),), (*told(one.case.prompt), one.response.text)) for one in left
    ]
    leaks = compare(rows, suites, Looking(progress=progress))
    return {leak.train_row: f"leaks a case of {leak.suite}" for leak in reversed(leaks)}


def _repeated() -> Callable[[Candidate], str | None]:
    seen: set[tuple[str, str]] = set()

    def why(one: Candidate) -> str | None:
        key = (normalised(asked(one.case.prompt)), normalised(one.text))
        again = key in seen
        seen.add(key)
        return REPEATED if again else None

    return why


def _nearly(left: Sequence[Candidate], progress: Progress) -> set[int]:
    """The rows that nearly repeat an earlier one, by number.

    Both the whole row and its answer must: answers to one long prompt are different rows, and so is one short answer to
    different prompts.
    """
    whole = [Example(one.number, one.case.prompt, {"completion": one.text}) for one in left]
    answers = [Example(one.number, None, {"completion": one.text}) for one in left]
    return {*near_repeats(whole, progress)} & {*near_repeats(answers, progress)}


def _over(limit: int) -> Callable[[Candidate], str | None]:
    """A row is kept if there is room for it under each of its tags; rows without a tag are a group too."""
    held: Counter[str] = Counter()

    def why(one: Candidate) -> str | None:
        tags = set(one.case.tags or (NO_TAG,))
        if any(held[tag] >= limit for tag in tags):
            return OVER
        held.update(tags)
        return None

    return why


def row_of(one: Candidate) -> dict[str, Any]:
    """The row as a stage's `data` and a suite's `cases` read it: a tag `field=value` is a field again."""
    prompt = {"prompt": one.case.prompt} if isinstance(one.case.prompt, str) else {"messages": list(one.case.prompt)}
    row: dict[str, Any] = {"id": f"{one.case.id}-{one.sample}", **prompt, "completion": one.text}
    fields: dict[str, list[str]] = {}
    for tag in one.case.tags:
        name, equals, value = tag.partition("=")
        fields.setdefault(name if equals and name not in row else "tags", []).append(value if equals else tag)
    return row | {name: values[0] if len(values) == 1 and name != "tags" else values for name, values in fields.items()}
