"""The training rows near the missed cases of an attempt: which are nearest, and whether there is none like them.

Computed from the outcomes on record and from the rows in the attempt's folder, if they are still those on record.
Only training rows are shown: a case never becomes one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunegate.cases.case import Prompt, asked
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.data.nearest import Farther, Near, NearestByMeaning, NearestRows, farther
from tunegate.models.sentences import Embed
from tunegate.record.record import AttemptRecord, GateRecord, RunRecord
from tunegate.training.attempt_folder import DATA, trained_rows
from tunegate.verdicts.terms import REFERENCES
from tunegate.verdicts.words import p_words
from tunegate_reports.gate_view import GateView
from tunegate_reports.markup import Markup, join, tag

MOST_MISSES = 30
"""Missed cases shown for a draw, the least like any training row first."""
LONGEST = 120
"""Characters of a row's prompt, and of its answer."""


@dataclass(frozen=True, slots=True)
class Row:
    """A training row in words: its prompt (the text itself for plain text) and what the model was to answer."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Before:
    """What an earlier model of the run answered to the same question."""

    who: str
    response: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class MissedCase:
    """A missed case, its nearest training rows, and the answer from before the stage, if it was asked."""

    outcome: Outcome
    nearest: tuple[Near, ...]
    before: Before | None = None
    by_meaning: tuple[Near, ...] = ()

    @property
    def similarity(self) -> float:
        """That of its nearest row."""
        return self.nearest[0].similarity if self.nearest else 0.0


@dataclass(frozen=True, slots=True)
class NearRows:
    """The missed cases of a draw, those least like any training row first."""

    misses: tuple[MissedCase, ...]
    farther: Farther | None

    @property
    def in_words(self) -> str:
        """Whether missed cases are farther from the training rows than passed ones."""
        if self.farther is None:
            return "there are no passed cases to compare the missed ones with"
        found = self.farther
        return (
            f"{found.missed_far} of {found.missed} missed cases are less like every training row than the median case, "
            f"and {found.passed_far} of {found.passed} passed ones; {p_words(found.p_value)}"
        )


def rows_of(run: RunRecord, stage: str, attempt: AttemptRecord) -> list[Row]:
    """The rows of an attempt's training; empty if they are no longer in its folder, or not those on record."""
    trained = attempt if attempt.redraw_of is None else run.stages[stage].attempts[attempt.redraw_of]
    folder = run.folder / stage / f"attempt-{trained.number}"
    return [_row(row) for row in trained_rows(folder, trained.data_sha256)]


def _row(row: Mapping[str, Any]) -> Row:
    answers = [str(value) for key, value in row.items() if key not in ("prompt", "label")]
    prompt: Prompt | None = row.get("prompt")
    if prompt is None:
        return Row(answers[0] if answers else "", "")
    return Row(asked(prompt if isinstance(prompt, str) else tuple(prompt)), answers[0] if answers else "")


def near_rows(
    gate: GateRecord, rows: NearestRows, before: Mapping[str, Before], meant: NearestByMeaning | None = None
) -> NearRows:
    """The missed cases of a draw with their nearest rows, also by meaning; `before` are earlier answers by question."""
    questions = dict(zip(gate.case_ids, gate.questions, strict=False))
    misses: list[MissedCase] = []
    passed: list[float] = []
    for outcome in gate.outcomes:
        if outcome.verdict is Verdict.FAIL:
            text = asked(outcome.prompt)
            nearest, by_meaning = (tuple(of.of(text)) if of else () for of in (rows, meant))
            told = before.get(questions.get(outcome.case_id, ""))
            misses.append(MissedCase(outcome, nearest, told, by_meaning))
        elif outcome.verdict is Verdict.PASS:
            passed.append(next((near.similarity for near in rows.of(asked(outcome.prompt), 1)), 0.0))
    misses.sort(key=lambda miss: (miss.similarity, miss.outcome.case_id))
    return NearRows(tuple(misses), farther([miss.similarity for miss in misses], passed))


def before_of(run: RunRecord, stage: str, attempt: int) -> dict[str, Before]:
    """What earlier models answered, by question: the base model, then each stage before, then the references."""
    found: dict[str, Before] = {}
    draws = [("the base model", gate) for gate in run.gates.values()]
    for of, other in run.attempts_until(stage, attempt):
        if other.number == max(of.attempts):
            draws += [(of.name, gate) for gate in other.gates.values()]
    own = run.stages[stage].attempts[attempt].references.values()
    draws += [("the earlier model", gate) for gate in own if gate.purpose in REFERENCES]
    for who, gate in draws:
        by_id = {outcome.case_id: outcome for outcome in gate.outcomes}
        for case_id, question in zip(gate.case_ids, gate.questions, strict=False):
            if (outcome := by_id.get(case_id)) is not None:
                found[question] = Before(who, outcome.response, outcome.verdict)
    return found


# --- on the page ---------------------------------------------------------------------------------------------------


def near_section(
    run: RunRecord,
    attempt: AttemptRecord,
    gates: Sequence[GateView],
    numbers: Mapping[str, int],
    embed: Embed | None = None,
) -> Markup:
    """The rows near the missed cases of an attempt's gates, folded; empty without misses or without its rows.

    `numbers` are the places of its cases on the page, by gate and id. With `embed`, also the rows near by meaning.
    """
    missed = [gate for gate in gates if gate.record.purpose in ("gate", "confirm") and gate.record.failed]
    stage = missed[0].record.stage if missed else None
    rows = [] if stage is None else rows_of(run, stage, attempt)
    if stage is None or not rows:
        return Markup("")
    prompts = [row.prompt for row in rows]
    index, meant = NearestRows(prompts), NearestByMeaning(prompts, embed) if embed else None
    before = before_of(run, stage, attempt.number)
    return join(_draw(gate, near_rows(gate.record, index, before, meant), rows, numbers) for gate in missed)


def _draw(gate: GateView, found: NearRows, rows: Sequence[Row], numbers: Mapping[str, int]) -> Markup:
    words = found.in_words
    shown = [_missed(miss, rows, numbers.get(f"{gate.number} {miss.outcome.case_id}")) for miss in found.misses]
    more = len(shown) - MOST_MISSES
    return tag(
        "details",
        tag("summary", f"Training rows near the {len(shown)} missed cases of {gate.record.gate}"),
        tag("p", f"{words[:1].upper()}{words[1:]}."),
        tag(
            "p",
            "Likeness is that of words and pairs of words, from 0 to 1; the cases least like any row come first. Rows "
            f"are numbered as in the attempt's {DATA}.",
            class_="quiet",
        ),
        tag("ol", *shown[:MOST_MISSES]),
        tag("p", f"and {more} more, which are nearer to their rows", class_="quiet") if more > 0 else None,
        class_="near",
    )


def _missed(miss: MissedCase, rows: Sequence[Row], number: int | None) -> Markup:
    outcome, told = miss.outcome, miss.before
    name = outcome.case_id if number is None else tag("a", outcome.case_id, href=f"#case-{number}")
    near = [tag("li", *_row_words(one, rows[one.row])) for one in miss.nearest]
    said = f"; before this stage, {told.who} answered “{_start(told.response)}” ({told.verdict})" if told else ""
    meant = [tag("li", *_row_words(one, rows[one.row], "by meaning, ")) for one in miss.by_meaning]
    none = None if near else tag("p", "no training row has a word in common with it", class_="quiet")
    return tag(
        "li",
        name,
        f" answered “{_start(outcome.response)}”{said}",
        none,
        tag("ul", *near, *meant) if near or meant else None,
    )


def _row_words(near: Near, row: Row, how: str = "") -> Iterator[Markup | str]:
    yield tag("span", f"{how}row {near.row + 1}, {near.similarity:.2f}: ", class_="quiet")
    yield _end(row.prompt)
    if row.answer:
        yield f" → {_start(row.answer)}"


def _start(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _end(text: str) -> str:
    """The end of a long prompt, where the question is."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"…{line[1 - LONGEST :]}"
