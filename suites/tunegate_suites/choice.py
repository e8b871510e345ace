"""`choice`: the choice with the highest likelihood is the right one."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from tunegate.cases.case import Case
from tunegate.checks.check import Need, Sample
from tunegate.checks.outcome import Finding
from tunegate.models.model import Response
from tunegate.reading.cells import truth
from tunegate_suites.base import CaseCheck
from tunegate_suites.normalise import plain, typographic


class Choice(CaseCheck):
    """The choice with the highest log-likelihood is the right one, as in lm-evaluation-harness.

    For a reward model, the choice with the highest reward; then `normalize` stays false.

    `normalize: false` is the harness's `acc`; `chars` divides by the length in characters and is its `acc_norm`;
    `bytes` divides by the length in bytes of UTF-8 and is its `acc_bytes` (lm_eval 0.4.13, api/task.py); for ASCII
    choices the last two agree. The first of equally likely choices counts, as with `numpy.argmax` there.

    Gold is the first reference. It is tried in this order: the exact text of a choice, its letter (A, b, (C), D.), its
    number, and its text without differences in typographic forms and capitals. If all numbers in a bank are 1 or more,
    the suite must say whether they start at 0 or 1 (`gold_base`). References with 1 or true for the right choice and 0
    or false for each other choice mark the right choice; references that name different choices make the case INVALID.
    """

    example: ClassVar[str] = "choice: {normalize: bytes}"
    reads_answer_alone: ClassVar[bool] = True
    revision: ClassVar[str] = "2"
    passes_when: ClassVar[str] = "the most likely choice is the reference"

    normalize: Literal[False, "chars", "bytes"] = False
    """divide each log-likelihood by the length of its choice: false, chars or bytes"""

    gold_base: Literal[0, 1] | None = None
    """the number of the first choice, if references are numbers; default: 0, for a bank that has a 0"""

    def fault_of(self, cases: Sequence[Case]) -> str | None:
        numbers = {number for case in cases if (number := gold_number(case)) is not None}
        if self.gold_base is not None:
            return self._fault_of_base(self.gold_base, numbers, cases)
        if not numbers or 0 in numbers:
            return None
        return (
            f"{self.name}: the references are numbers of choices, {_span(numbers)} without a 0, so they "
            "may count from 0 or from 1: write `choice: {gold_base: 1}` if 1 is the first choice, or `gold_base: 0`"
        )

    def _fault_of_base(self, base: int, numbers: set[int], cases: Sequence[Case]) -> str | None:
        known = [case for case in cases if case.references]
        if known and not numbers:
            first, gold = known[0], known[0].references[0].strip()
            is_text = gold in (choice.strip() for choice in first.choices)
            return (
                f"{self.name}.gold_base: no reference is the number of a choice: case {first.id!r} has {gold!r}"
                f"{', which is the text of a choice' if is_text else ''}; leave gold_base out"
            )
        if base == 1 and 0 in numbers:
            return f"{self.name}.gold_base: the value is 1, but a case has the reference 0; set it to 0"
        return None

    def remarks(self, cases: Sequence[Case]) -> Sequence[str]:
        unknown = [(case.id, gold) for case in cases if isinstance(gold := gold_index(case, self.gold_base or 0), str)]
        if not unknown:
            return ()
        count = f"{len(unknown)} of {len(cases)} cases cannot be judged"
        return [f"{count}; if drawn, they are INVALID; first {unknown[0][0]!r}: {unknown[0][1]}"]

    @property
    def needs_choices(self) -> bool:
        return True

    @property
    def needs(self) -> tuple[Need, ...]:
        return ("reference", "choices")

    def judge_one(self, sample: Sample) -> Finding:
        gold = gold_index(sample.case, self.gold_base or 0)
        if isinstance(gold, str):
            return self.invalid(gold)
        scores = self._scores(sample.case, sample.response)
        if isinstance(scores, str):
            return self.invalid(scores)
        chosen = scores.index(max(scores))
        choices = sample.case.choices
        reason = f"chose {_named(chosen, choices)}" + ("" if chosen == gold else f", gold {_named(gold, choices)}")
        return self.passed(choices[chosen] == choices[gold], choices[chosen], reason)  # equal choices have equal scores

    def _scores(self, case: Case, response: Response) -> list[float] | str:
        """One score per choice, or why there are none."""
        scores = response.choice_scores
        if not scores:
            return "the model gave no likelihoods of the choices"
        if len(scores) != len(case.choices):
            return f"the model gave {len(scores)} likelihoods for {len(case.choices)} choices"
        if any(math.isnan(score.log_likelihood) for score in scores):
            return "the likelihood of a choice is NaN"
        if all(score.log_likelihood == -math.inf for score in scores):
            return "no choice has a likelihood above zero"
        if self.normalize and any(score.n_bytes is None for score in scores):
            return (
                f"a reward cannot be divided by length: a reward model needs `normalize: false`, got {self.normalize}"
            )
        match self.normalize:
            case "bytes":
                lengths = [score.n_bytes or 0 for score in scores]
            case "chars":
                lengths = [len(choice) for choice in case.choices]
            case _:
                lengths = [1] * len(scores)
        if not all(lengths):
            return "an empty choice has no length to divide by"
        return [score.log_likelihood / length for score, length in zip(scores, lengths, strict=True)]


def _span(numbers: set[int]) -> str:
    return f"{min(numbers)} to {max(numbers)}" if len(numbers) > 1 else f"all {min(numbers)}"


def gold_index(case: Case, base: int = 0) -> int | str:
    """The index of the right choice, from 0, or why it is unknown. `base` is the number of the first choice."""
    if len(case.choices) < 2:
        return f"the case has {len(case.choices)} choices, but at least 2 are needed"
    if not case.references:
        return "the case has no reference that says which choice is right"
    texts = [choice.strip() for choice in case.choices]
    marks = _marks(case)
    if marks is not None:
        return (
            marks.index(True) if marks.count(True) == 1 else f"the references mark {marks.count(True)} choices as right"
        )
    named = _named_choices(case.references, texts)
    if len(named) > 1:
        return f"the references name {len(named)} choices as right, but only one can be"
    gold = case.references[0].strip()
    if texts.count(gold) > 1:
        return f"the reference {gold!r} is the text of {texts.count(gold)} choices"
    if gold in texts:
        return texts.index(gold)
    number = _number(gold)
    index = _letter(gold, texts) if number is None else number - base
    if index is not None and 0 <= index < len(texts):
        return index
    alike = [place for place, text in enumerate(texts) if plain(text) == plain(gold)]
    if len(alike) == 1:
        return alike[0]
    return f"the reference {gold!r} is neither a choice nor the letter or number of a choice"


def gold_number(case: Case) -> int | None:
    """The number that is a case's gold; None if the gold is a text or a letter."""
    gold = case.references[0].strip() if case.references else ""
    if gold in (choice.strip() for choice in case.choices) or _marks(case) is not None:
        return None
    return _number(gold)


def _marks(case: Case) -> list[bool] | None:
    """Which choices are right, if the references mark each one: 0, 1, 0 (TruthfulQA) or false, true, false."""
    found = [truth(reference) if reference in _MARKS else None for reference in case.references]
    marks = [mark for mark in found if mark is not None]
    meant = len(marks) == len(found) == len(case.choices) and not {*case.references} & {*case.choices}
    return marks if meant else None


_MARKS = ("0", "1", "true", "false")


def _named_choices(references: Sequence[str], texts: Sequence[str]) -> set[int]:
    """The choices that references name by text, or by letter if none does: a letter next to a text may be its label."""
    by_text = {texts.index(reference.strip()) for reference in references if texts.count(reference.strip()) == 1}
    letters = {place for reference in references if (place := _letter(reference, texts)) is not None}
    return by_text or {place for place in letters if place < len(texts)}


def _letter(gold: str, texts: Sequence[str]) -> int | None:
    """The index of a letter in any of its common forms: `B`, `(b)`, `B.`, `B. Mars`."""
    match = _LETTER.fullmatch(typographic(gold.strip()))
    if match is None:
        return None
    index = ord(match["letter"].upper()) - ord("A")
    text = match["text"]
    return index if not text or (index < len(texts) and plain(text) == plain(texts[index])) else None


_LETTER = re.compile(r"[*(\[]*(?P<letter>[A-Za-z])(?:[*)\].:]*|[*)\].:]+\s*(?P<text>\S.*))", re.DOTALL)
_NUMBER = re.compile(r"([0-9]{1,3})(?:\.0+)?")


def _number(gold: str) -> int | None:
    """A number of a choice; tables with empty cells write 1 as 1.0."""
    found = _NUMBER.fullmatch(gold)
    return int(found[1]) if found else None


def _named(index: int, choices: tuple[str, ...]) -> str:
    letter = chr(ord("A") + index) if index < 26 else str(index)
    text = choices[index]
    return f"{letter} ({text if len(text) <= 40 else text[:39] + '…'})"
