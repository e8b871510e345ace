"""Learning from a model's mistakes: its judged answers to training prompts become pairs or good/bad labels.

The stage's input model answers its training prompts, never a gate's cases, and a suite's checks judge the answers. Dpo
learns to prefer a right answer to a miss: a right answer of the model to the same prompt, or, without any, the row's
completion. Kto gets a true or false label for every answer. An answer that could not be judged is left out and counted.
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
from tunegate.gates.ask import ask_samples, blocks_to_ask, with_samples
from tunegate.models.blocks import expect
from tunegate.models.model import Model, answers_the_same
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
    suite: Suite, model: Model, rows: Sequence[Example], progress: Callable[[int, int], None], samples: int = 1
) -> list[OwnAnswer]:
    """Have the model answer the prompts of rows, each `samples` times, and the suite's checks judge the answers.

    They are ordered by row number; those of one row keep their order.
    """
    once = {row.number: row for row in rows}.values()
    by_length = sorted(map(_case, once), key=lambda case: (len(case.prompt_text), int(case.id)))
    size = model.block_size
    blocks = [by_length[start : start + size] for start in range(0, len(by_length), size)]
    if answers_the_same(model):
        sampled = with_samples(suite, samples)
        expect(model, (one for block in blocks for one in blocks_to_ask(sampled, block, lambda question: True)))
    answers: list[OwnAnswer] = []
    progress(0, len(by_length))
    for block in blocks:
        asked = ask_samples(suite, model, block, samples)
        for outcome in judge(suite.checks, asked, suite.answer):
            answers.append(OwnAnswer(int(outcome.case_id), outcome.response, outcome.verdict))
        progress(len(answers) // samples, len(by_length))
    return sorted(answers, key=lambda answer: answer.number)


def _case(row: Example) -> Case:
    return Case(str(row.number), row.prompt or "", (row.answers["completion"],), tags=row.tags)


AnswersByRow = Mapping[int, Sequence[OwnAnswer]]
"""Row number to the answers to its prompt."""


def by_row(answers: Iterable[OwnAnswer]) -> dict[int, list[OwnAnswer]]:
    """The answers of each row, in their order."""
    rows: dict[int, list[OwnAnswer]] = {}
    for answer in answers:
        rows.setdefault(answer.number, []).append(answer)
    return rows


def preference_rows(method: str, rows: Sequence[Example], answers: AnswersByRow, at_least: int) -> RowsToTrain:
    """Turn rows of prompt and completion into rows of the method's format. Rows that already have it stay.

    Pairs: one for each missed prompt. A miss is rejected; chosen is a right answer of the model to the same prompt, or
    the row's completion if there is none. Labels: each passed answer is good, each miss is bad; if there are fewer
    passes than misses, the completions of missed rows are added as good answers.
    """
    own = [row for row in rows if is_raw(row)]
    others = [row for row in rows if not is_raw(row)]
    sorted_ = [_Sorted.of(row, answers[row.number]) for row in own]
    verdicts = Counter(answer.verdict for row in own for answer in answers[row.number])
    missed = [one for one in sorted_ if one.wrong]
    derived = (_labelled if METHODS[method].labelled else _pairs)(sorted_)
    given = sum(verdicts.values())
    facts = {
        "asked": len(own),
        **({"answers": given} if given > len(own) else {}),
        "passed": verdicts[Verdict.PASS],
        "missed": verdicts[Verdict.FAIL],
        "not_judged": verdicts[Verdict.INVALID],
        "used": len(derived),
    }
    if len(missed) < at_least:
        return RowsToTrain([], facts, _too_few(facts, sorted_, at_least))
    return RowsToTrain([*derived, *others], facts)


def _too_few(facts: Mapping[str, int], rows: Sequence[_Sorted], at_least: int) -> str:
    of = f"{facts['answers']} answers to " if "answers" in facts else ""
    unused = facts["missed"] - sum(one.misses for one in rows)
    missed = sum(bool(one.wrong) for one in rows)
    prompts = f", on {missed} prompts" if of else ""
    return (
        f"too few misses: of {of}{facts['asked']} training prompts the input model missed {facts['missed']}"
        f"{_in_brackets(unused, 'not usable')}"
        f"{_in_brackets(facts['not_judged'], 'could not be judged')}{prompts}, at least {at_least} are needed; add "
        "rows, or remove the stage: the model has little to learn from it"
    )


def is_raw(row: Example) -> bool:
    """Whether the model is asked this row: replayed rows of general data already have the method's format."""
    return set(row.answers) == {"completion"} and row.label is None


def _in_brackets(count: int, what: str) -> str:
    return f" ({count} {what})" if count else ""


@dataclass(frozen=True, slots=True)
class _Sorted:
    """A row with the different texts that the model answered, right and wrong; `misses` counts usable wrong answers.

    A wrong answer is usable if it is not empty, not the text that the model should learn, and not a text that was
    judged right at another time.
    """

    row: Example
    right: Sequence[str]
    wrong: Sequence[str]
    misses: int

    @classmethod
    def of(cls, row: Example, answers: Sequence[OwnAnswer]) -> _Sorted:
        right = [answer.response for answer in answers if answer.verdict is Verdict.PASS]
        not_wrong = {"", row.answers["completion"].strip(), *(text.strip() for text in right)}
        failed = [answer.response for answer in answers if answer.verdict is Verdict.FAIL]
        wrong = [text for text in failed if text.strip() not in not_wrong]
        return cls(row, list(dict.fromkeys(right)), list(dict.fromkeys(wrong)), len(wrong))


def _pairs(rows: Sequence[_Sorted]) -> list[Example]:
    return [
        replace(
            one.row,
            answers={"chosen": (*one.right, one.row.answers["completion"])[0], "rejected": one.wrong[0]},
        )
        for one in rows
        if one.wrong
    ]


def _labelled(rows: Sequence[_Sorted]) -> list[Example]:
    bad = [_labelled_row(one.row, text, False) for one in rows for text in one.wrong]
    right = [_labelled_row(one.row, text, True) for one in rows for text in one.right]
    good = right[: GOOD_PER_BAD * len(bad)]
    missed = [one.row for one in rows if one.wrong]
    gold = [_labelled_row(row, row.answers["completion"], True) for row in missed[: max(0, len(bad) - len(good))]]
    return [*good, *gold, *bad]


def _labelled_row(row: Example, completion: str, label: bool) -> Example:
    return replace(row, answers={"completion": completion}, label=label)


def judged_before(attempts: Iterable[AttemptRecord], samples: int = 1) -> dict[int, Sequence[OwnAnswer]]:
    """The answers on record by row number: all attempts of a stage start from one model, which is asked once.

    A row is asked again if one of its answers could not be judged; then its last answers count.
    """
    known = by_row(answer for attempt in attempts for answer in attempt.own_answers)
    last = {number: answers[-samples:] for number, answers in known.items()}
    judged = {n: some for n, some in last.items() if all(answer.verdict is not Verdict.INVALID for answer in some)}
    return {number: answers for number, answers in judged.items() if len(answers) == samples}
