"""`choice`: the option that the model finds likeliest is the right one."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from tunegate.cases import Case
from tunegate.checks import Need, Sample
from tunegate.models import Response
from tunegate.outcomes import Finding
from tunegate_suites.base import CaseCheck


class Choice(CaseCheck):
    """The choice with the highest log-likelihood is the right one, as in lm-evaluation-harness.

    Of a reward model, the choice with the highest reward; then `normalize` stays false.

    `normalize: false` is its `acc`; `chars` divides by the length in characters and is its `acc_norm`; `bytes` divides
    by the length in bytes of UTF-8 and is its `acc_bytes` (lm_eval 0.4.13, api/task.py); for ASCII choices the last
    two agree. The first of equally likely choices counts, as with `numpy.argmax` there.

    Gold is the first reference: the exact text of a choice, else its letter (A, B, …), else its number from 0.
    """

    example: ClassVar[str] = "choice: {normalize: bytes}"
    passes_when: ClassVar[str] = "the likeliest choice is the reference"

    normalize: Literal[False, "chars", "bytes"] = False
    """divide each log-likelihood by the length of its choice: false, chars or bytes"""

    @property
    def needs_choices(self) -> bool:
        return True

    @property
    def needs(self) -> tuple[Need, ...]:
        return ("reference", "choices")

    def judge_one(self, sample: Sample) -> Finding:
        gold = gold_index(sample.case)
        if isinstance(gold, str):
            return self.invalid(gold)
        scores = self._scores(sample.case, sample.response)
        if isinstance(scores, str):
            return self.invalid(scores)
        chosen = scores.index(max(scores))
        choices = sample.case.choices
        reason = f"chose {_named(chosen, choices)}" + ("" if chosen == gold else f", gold {_named(gold, choices)}")
        return self.passed(chosen == gold, choices[chosen], reason)

    def _scores(self, case: Case, response: Response) -> list[float] | str:
        """One score per choice, or why there are none."""
        scores = response.choice_scores
        if not scores:
            return "the model gave no likelihoods of the choices"
        if len(scores) != len(case.choices):
            return f"{len(scores)} likelihoods for {len(case.choices)} choices"
        if any(math.isnan(score.log_likelihood) for score in scores):
            return "the likelihood of a choice is NaN"
        if all(score.log_likelihood == -math.inf for score in scores):
            return "no choice has a likelihood above zero"
        if self.normalize and any(score.n_bytes is None for score in scores):
            return f"a reward is not divided by length; a reward model needs `normalize: false`, not {self.normalize}"
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


def gold_index(case: Case) -> int | str:
    """The index of the right choice, or why it is not known."""
    if len(case.choices) < 2:
        return f"the case has {len(case.choices)} choices, at least 2 are needed"
    if not case.references:
        return "the case has no reference that says which choice is right"
    gold = case.references[0].strip()
    texts = [choice.strip() for choice in case.choices]
    if texts.count(gold) > 1:
        return f"the reference {gold!r} is the text of {texts.count(gold)} choices"
    if gold in texts:
        return texts.index(gold)
    index = _letter_or_number(gold)
    if index is None or index >= len(texts):
        return f"the reference {gold!r} is neither a choice nor the letter or number of one"
    return index


def _letter_or_number(gold: str) -> int | None:
    if len(gold) == 1 and "A" <= gold.upper() <= "Z" and gold.isascii():
        return ord(gold.upper()) - ord("A")
    return int(gold) if gold.isascii() and gold.isdigit() and len(gold) < 4 else None


def _named(index: int, choices: tuple[str, ...]) -> str:
    letter = chr(ord("A") + index) if index < 26 else str(index)
    text = choices[index]
    return f"{letter} ({text if len(text) <= 40 else text[:39] + '…'})"
