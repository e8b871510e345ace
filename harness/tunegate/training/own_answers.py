"""Learning from a model's mistakes: its judged answers to training prompts become pairs or good/bad labels.

The stage's input model answers its training prompts, never a gate's cases, and a suite's checks judge the answers. Dpo
learns to prefer the row's own answer to a miss; kto gets a true or false label for every answer. An answer that could
not be judged is left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tunegate.cases.case import Case
from tunegate.checks.check import judge
from tunegate.checks.outcome import Verdict
from tunegate.data.methods import METHODS
from tunegate.data.training_data import Example
from tunegate.gates.ask import ask_samples
from tunegate.models.model import Model
from tunegate.record.record import AttemptRecord, OwnAnswer
from tunegate.suites.suite import Suite

GOOD_PER_BAD = 3
"""At most this number of good answers for each bad answer: more would outweigh the misses."""


@dataclass(frozen=True, slots=True)
class RowsToTrain:
    """The rows that an attempt is trained on. `facts` go on record; `fault` says why there are none."""

    examples: list[Example]
    facts: Mapping[str, int] = field(default_factory=dict[str, int])
    fault: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For the summary of a training; empty if no model was asked."""
        return {"own_answers": dict(self.facts)} if self.facts else {}


def ask_rows(
    suite: Suite, model: Model, rows: Sequence[Example], progress: Callable[[int, int], None]
) -> list[OwnAnswer]:
    """Have the model answer the prompts of rows and the suite's checks judge it; ordered by row number."""
    once = {row.number: row for row in rows}.values()
    by_length = sorted(map(_case, once), key=lambda case: (len(case.prompt_text), int(case.id)))
    answers: list[OwnAnswer] = []
    progress(0, len(by_length))
    for start in range(0, len(by_length), model.block_size):
        samples = ask_samples(suite, model, by_length[start : start + model.block_size])
        for outcome in judge(suite.checks, samples, suite.answer):
            answers.append(OwnAnswer(int(outcome.case_id), outcome.response, outcome.verdict))
        progress(len(answers), len(by_length))
    return sorted(answers, key=lambda answer: answer.number)


def _case(row: Example) -> Case:
    return Case(str(row.number), row.prompt or "", (row.answers["completion"],), tags=row.tags)


def preference_rows(
    method: str, rows: Sequence[Example], answers: Mapping[int, OwnAnswer], at_least: int
) -> RowsToTrain:
    """Turn rows of prompt and completion into rows of the method's format. Rows that already have it stay.

    Pairs: each miss is rejected, its row's completion chosen. Labels: a passed answer is good, a miss is bad; if there
    are fewer passes than misses, the completions of missed rows are added as good answers.
    """
    own = [row for row in rows if is_raw(row)]
    others = [row for row in rows if not is_raw(row)]
    verdicts = Counter(answers[row.number].verdict for row in own)
    missed = [row for row in own if _is_usable_miss(row, answers[row.number])]
    derived = (_labelled if METHODS[method].labelled else _pairs)(own, missed, answers)
    facts = {
        "asked": len(own),
        "passed": verdicts[Verdict.PASS],
        "missed": verdicts[Verdict.FAIL],
        "not_judged": verdicts[Verdict.INVALID],
        "used": len(derived),
    }
    if len(missed) < at_least:
        fault = (
            f"too few misses: of {facts['asked']} training prompts the input model missed {facts['missed']}"
            f"{_in_brackets(facts['missed'] - len(missed), 'not usable')}"
            f"{_in_brackets(facts['not_judged'], 'could not be judged')}, at least {at_least} are needed; add rows, or "
            "remove the stage: the model has little to learn from it"
        )
        return RowsToTrain([], facts, fault)
    return RowsToTrain([*derived, *others], facts)


def is_raw(row: Example) -> bool:
    """Whether the model is asked this row: replayed rows of general data already have the method's format."""
    return set(row.answers) == {"completion"} and row.label is None


def _in_brackets(count: int, what: str) -> str:
    return f" ({count} {what})" if count else ""


def _is_usable_miss(row: Example, answer: OwnAnswer) -> bool:
    """Whether an answer is a usable miss: not empty, and not the text that the model should learn."""
    text = answer.response.strip()
    return answer.verdict is Verdict.FAIL and text not in ("", row.answers["completion"].strip())


def _pairs(own: Sequence[Example], missed: Sequence[Example], answers: Mapping[int, OwnAnswer]) -> list[Example]:
    return [
        replace(row, answers={"chosen": row.answers["completion"], "rejected": answers[row.number].response})
        for row in missed
    ]


def _labelled(own: Sequence[Example], missed: Sequence[Example], answers: Mapping[int, OwnAnswer]) -> list[Example]:
    passed = [row for row in own if answers[row.number].verdict is Verdict.PASS]
    good = [_labelled_row(row, answers[row.number].response, True) for row in passed[: GOOD_PER_BAD * len(missed)]]
    gold = [_labelled_row(row, row.answers["completion"], True) for row in missed[: max(0, len(missed) - len(good))]]
    return [*good, *gold, *(_labelled_row(row, answers[row.number].response, False) for row in missed)]


def _labelled_row(row: Example, completion: str, label: bool) -> Example:
    return replace(row, answers={"completion": completion}, label=label)


def judged_before(attempts: Iterable[AttemptRecord]) -> dict[int, OwnAnswer]:
    """The answers on record by row number: all attempts of a stage start from one model, which is asked once.

    Answers that could not be judged are asked for again.
    """
    answers = [answer for attempt in attempts for answer in attempt.own_answers]
    return {answer.number: answer for answer in answers if answer.verdict is not Verdict.INVALID}
