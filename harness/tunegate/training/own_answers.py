"""Learning from what a model gets wrong: its own answers to training prompts, judged, become pairs or thumbs.

The stage's input model is asked its training prompts, never a gate's cases; a suite lends its checks. What it misses is
what dpo is to make less likely, beside the row's own answer; kto gets a thumb for every answer. An answer that could
not be judged says nothing, and is left out and counted.
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

UPS_PER_DOWN = 3
"""So many thumbs up for each thumb down at most: more of them would drown the misses."""


@dataclass(frozen=True, slots=True)
class RowsToLearn:
    """What an attempt is trained on. `facts` go on record; `fault` says why there is nothing to train on."""

    examples: list[Example]
    facts: Mapping[str, int] = field(default_factory=dict[str, int])
    fault: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For the summary of a training; nothing where no model was asked."""
        return {"own_answers": dict(self.facts)} if self.facts else {}


def ask_rows(
    suite: Suite, model: Model, rows: Sequence[Example], progress: Callable[[int, int], None]
) -> list[OwnAnswer]:
    """Have the model answer the prompts of rows and the suite's checks judge it; in the order of the row numbers."""
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


def rows_to_learn(method: str, rows: Sequence[Example], answers: Mapping[int, OwnAnswer], at_least: int) -> RowsToLearn:
    """Turn rows of prompt and completion into what the method learns from. Rows that hold that already stay.

    Pairs: each miss is rejected, its row's completion chosen. Thumbs: a pass is wanted, a miss is not; where passes are
    fewer than misses, the completions of missed rows are wanted too.
    """
    own = [row for row in rows if is_raw(row)]
    others = [row for row in rows if not is_raw(row)]
    verdicts = Counter(answers[row.number].verdict for row in own)
    missed = [row for row in own if _teaches(row, answers[row.number])]
    derived = (_thumbs if METHODS[method].labelled else _pairs)(own, missed, answers)
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
            f"{_said(facts['missed'] - len(missed), 'with nothing to unlearn')}"
            f"{_said(facts['not_judged'], 'could not be judged')}, at least {at_least} are needed; ask more rows, or "
            "leave the stage out: there is little for it to mend"
        )
        return RowsToLearn([], facts, fault)
    return RowsToLearn([*derived, *others], facts)


def is_raw(row: Example) -> bool:
    """Whether a row is one to ask: replayed rows of general data are in the method's own format already."""
    return set(row.answers) == {"completion"} and row.label is None


def _said(count: int, what: str) -> str:
    return f" ({count} {what})" if count else ""


def _teaches(row: Example, answer: OwnAnswer) -> bool:
    """Whether an answer is a miss that can be unlearnt: not empty, and not the very text that is to be learnt."""
    text = answer.response.strip()
    return answer.verdict is Verdict.FAIL and text not in ("", row.answers["completion"].strip())


def _pairs(own: Sequence[Example], missed: Sequence[Example], answers: Mapping[int, OwnAnswer]) -> list[Example]:
    return [
        replace(row, answers={"chosen": row.answers["completion"], "rejected": answers[row.number].response})
        for row in missed
    ]


def _thumbs(own: Sequence[Example], missed: Sequence[Example], answers: Mapping[int, OwnAnswer]) -> list[Example]:
    passed = [row for row in own if answers[row.number].verdict is Verdict.PASS]
    ups = [_thumb(row, answers[row.number].response, True) for row in passed[: UPS_PER_DOWN * len(missed)]]
    gold = [_thumb(row, row.answers["completion"], True) for row in missed[: max(0, len(missed) - len(ups))]]
    return [*ups, *gold, *(_thumb(row, answers[row.number].response, False) for row in missed)]


def _thumb(row: Example, completion: str, label: bool) -> Example:
    return replace(row, answers={"completion": completion}, label=label)


def judged_before(attempts: Iterable[AttemptRecord]) -> dict[int, OwnAnswer]:
    """The answers on record by row number: all attempts of a stage begin with one model, which is asked once.

    What could not be judged is asked again.
    """
    answers = [answer for attempt in attempts for answer in attempt.own_answers]
    return {answer.number: answer for answer in answers if answer.verdict is not Verdict.INVALID}
