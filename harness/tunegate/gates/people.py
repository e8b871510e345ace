"""People's labels of a gate's answers: which answers they are of, and the pass rate that people would find."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunegate.cases.case import Prompt
from tunegate.checks.outcome import CasePasses, Outcome, Verdict, vote
from tunegate.exceptions import ConfigError
from tunegate.reading.rows import Row, read_rows
from tunegate.record.record import GateRecord
from tunegate.stats.labelled import LabelledAnswers, LabelledRate, labelled_rate
from tunegate.text.normal_form import normalised

PASSES = frozenset({"true", "1", "yes", "right", "correct", "pass"})
FAILS = frozenset({"false", "0", "no", "wrong", "incorrect", "fail"})
UNDECIDED = frozenset({"", "none", "can't tell", "cannot tell", "skip"})
"""The values of `label`, in any letter case."""
REVIEW = "tunegate-review/1"
"""The format of a file that a page of `tunegate review` saves."""
FEWEST = 20
"""With fewer labels no rate is estimated: its interval would say nothing."""

Answer = tuple[str, str]
"""The id of a case, and the SHA-256 of the answer's text in UTF-8."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What one person says of an answer, None if they could not tell; and the hash of the prompt, if it is known."""

    passes: bool | None
    prompt_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class PeopleLabels:
    """What people say of answers."""

    votes: Mapping[Answer, Sequence[Vote]] = field(default_factory=dict[Answer, Sequence[Vote]])

    def verdict(self, case_id: str, prompt: Prompt, response: str) -> Verdict | None:
        """What most people say of an answer to this prompt: INVALID if they did not decide, None without a label.

        Another suite may have a case with the same id and a short answer with the same bytes, such as "yes".
        """
        asked = prompt_sha256(prompt)
        votes = [
            one for one in self.votes.get((case_id, answer_sha256(response)), ()) if one.prompt_sha256 in (None, asked)
        ]
        said = Counter(one.passes for one in votes)
        if said[True] == said[False]:
            return Verdict.INVALID if votes else None
        return Verdict.PASS if said[True] > said[False] else Verdict.FAIL

    @property
    def labelled(self) -> frozenset[Answer]:
        """The answers of which somebody said that they are right or wrong."""
        return frozenset(answer for answer, votes in self.votes.items() if any(one.passes is not None for one in votes))


@dataclass(frozen=True, slots=True)
class PeopleRate:
    """The pass rate of a gate by people's labels, its interval, and what it comes from.

    `answers` is how many answers the gate judged, `other` how many labels are of other answers to its cases: of another
    model, or of an earlier version. `undecided` are answers of the gate that have no label, or as many for as against.
    """

    rate: LabelledRate
    answers: int
    other: int = 0
    undecided: int = 0

    @property
    def in_words(self) -> str:
        """The rate, its interval and the number of labels."""
        low, high = self.rate.interval
        labels = "1 label is" if self.other == 1 else f"{self.other} labels are"
        other = f"; {labels} of other answers to these cases, and do not count" if self.other else ""
        undecided = f"; people did not decide {self.undecided} of them" if self.undecided else ""
        return (
            f"people would pass {self.rate.rate:.1%} of the answers (95 % interval {low:.1%} to {high:.1%}), from "
            f"{self.rate.labels} labels of {self.answers} answers{undecided}{other}"
        )


NOBODY: Mapping[int, PeopleRate] = {}
"""No labels were given."""


def read_people(path: Path, *, may_be_empty: bool = False) -> PeopleLabels:
    """The labels of a file with `case_id`, `label`, and `response_sha256` or `response`; raises ConfigError.

    Several people may label an answer: the majority counts, and each `reviewer` once. A row with `repeat_of` measures a
    person, not an answer. If a row names its prompt (`prompt_sha256`, or `prompt`), it counts for no other. The file
    that a page of `tunegate review` saves is read as well: its first line describes the page.
    """
    votes: dict[Answer, list[Vote]] = {}
    said: dict[tuple[object, ...], tuple[int, bool | None]] = {}
    for number, row in read_rows(path):
        if row.get("format") is not None:
            _check_header(path, number, row)
            continue
        if row.get("repeat_of"):
            continue
        answer = _answer(path, number, row)
        vote = Vote(_label(path, number, row), prompt_sha256_of(row))
        if reviewer := row.get("reviewer"):
            line, before = said.setdefault((answer, vote.prompt_sha256, person(str(reviewer))), (number, vote.passes))
            if before != vote.passes:
                raise ConfigError(
                    f"{path}:{number}: {reviewer!r:.60} says something else of this answer on line {line}; a person "
                    "counts once: remove one of the rows"
                )
            if line != number:
                continue
        votes.setdefault(answer, []).append(vote)
    labels = PeopleLabels(votes)
    if not labels.labelled and not may_be_empty:
        raise ConfigError(f"{path}: no row has a label; write true or false, right or wrong, pass or fail")
    return labels


def people_rate(gate: GateRecord, labels: PeopleLabels) -> PeopleRate | None:
    """The pass rate of a gate by these labels; None for fewer than 20 of its answers.

    It holds if which answers are labelled does not depend on the answers: label a random part, not the misses. A case
    with several answers counts once, as in the gate: by the vote of its labels, once all of its answers have one.
    """
    cells = Counter[tuple[bool, bool]]()
    others = Counter[bool]()
    for outcome in gate.outcomes:
        passed = outcome.verdict is Verdict.PASS
        by_people = _by_people(gate, outcome, labels)
        if by_people is None:
            others[passed] += 1
        else:
            cells[by_people, passed] += 1
    if cells.total() < FEWEST:
        return None
    found = LabelledAnswers(
        both_pass=cells[True, True],
        people_only=cells[True, False],
        judge_only=cells[False, True],
        neither=cells[False, False],
        others=others.total(),
        others_passed=others[True],
    )
    asked = {outcome.case_id for outcome in gate.outcomes}
    own = {
        (one.case_id, answer_sha256(text))
        for one in gate.outcomes
        for text, said in zip(_answers(one), _said(one, labels), strict=True)
        if said is not None
    }
    other = sum(answer[0] in asked and answer not in own for answer in labels.labelled)
    undecided = sum(Verdict.INVALID in _said(outcome, labels) for outcome in gate.outcomes)
    return PeopleRate(labelled_rate(found), len(gate.outcomes), other, undecided)


def _by_people(gate: GateRecord, outcome: Outcome, labels: PeopleLabels) -> bool | None:
    """Whether people pass a case; None unless all of its answers have a label."""
    said = [one for one in _said(outcome, labels) if one is Verdict.PASS or one is Verdict.FAIL]
    if len(said) < len(_answers(outcome)):
        return None
    passes: CasePasses = gate.terms.get("case_passes", "all")
    return vote(said, passes) is Verdict.PASS


def rates_of(gates: Iterable[GateRecord], path: Path) -> dict[int, PeopleRate]:
    """The rates of a run's gates, by their place in it; raises ConfigError if the labels are of no gate's answers."""
    labels = read_people(path)
    all_gates = list(gates)
    rates = {place: rate for place, gate in enumerate(all_gates) if (rate := people_rate(gate, labels)) is not None}
    if not rates:
        found = [sum(_by_people(gate, outcome, labels) is not None for outcome in gate.outcomes) for gate in all_gates]
        asked = {outcome.case_id for gate in all_gates for outcome in gate.outcomes}
        strange = sum(case_id not in asked for case_id, _ in labels.labelled)
        raise ConfigError(
            f"{path}: {FEWEST} labelled answers of one gate are needed, and at most {max(found, default=0)} are here: "
            f"of {len(labels.labelled)} answers with a label, {strange} have a case_id that no gate asked; the others "
            "must be the very answers on record (`response_sha256`, or the text as `response`)"
        )
    return rates


def _answers(outcome: Outcome) -> list[str]:
    """The answers to a case: one, or as many as the suite asks for."""
    return [answer.response for answer in outcome.samples or (outcome,)]


def _said(outcome: Outcome, labels: PeopleLabels) -> list[Verdict | None]:
    """What people say of each answer to a case."""
    return [labels.verdict(outcome.case_id, outcome.prompt, text) for text in _answers(outcome)]


def answer_sha256(text: str) -> str:
    """The hash of an answer's text in UTF-8, by which labels name it."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def prompt_text(prompt: Prompt) -> str:
    """A prompt as one text; the turns of a chat are named."""
    return prompt if isinstance(prompt, str) else "\n".join(f"{one['role']}: {one['content']}" for one in prompt)


def prompt_sha256(prompt: Prompt) -> str:
    """The hash of a prompt, by which labels name it."""
    return answer_sha256(prompt_text(prompt))


def prompt_sha256_of(row: Row) -> str | None:
    """The hash of the prompt that a row of labels names; None if it names none."""
    given, prompt = row.get("prompt_sha256"), row.get("prompt")
    return str(given) if given is not None else answer_sha256(prompt) if isinstance(prompt, str) else None


def person(name: str) -> str:
    """A reviewer's name, so that one person is not counted twice for a space or a capital letter.

    >>> person("Ann ") == person("ann")
    True
    """
    return normalised(name) or name


def _check_header(path: Path, number: int, row: Mapping[str, Any]) -> None:
    """Refuse the first line of a file of something else, or of pairs, whose labels say which answer is better."""
    if row["format"] != REVIEW:
        raise ConfigError(f"{path}:{number}: format: expected '{REVIEW}', got {row['format']!r:.60}")
    if row.get("kind") != "answers":
        raise ConfigError(f"{path}: it holds people's choices between two answers, not whether an answer is right")


def _answer(path: Path, number: int, row: Mapping[str, Any]) -> Answer:
    case_id, sha256, response = (row.get(name) for name in ("case_id", "response_sha256", "response"))
    if case_id in (None, ""):
        raise ConfigError(f"{path}:{number}: `case_id` is missing or empty; write the id of the case")
    if sha256 is None and not isinstance(response, str):
        raise ConfigError(
            f"{path}:{number}: expected the answer as `response` (text) or `response_sha256`, got {response!r:.60}"
        )
    return str(case_id), str(sha256) if sha256 is not None else answer_sha256(str(response))


def _label(path: Path, number: int, row: Mapping[str, Any]) -> bool | None:
    if "label" not in row:
        raise ConfigError(f"{path}:{number}: `label` is missing; write true or false, right or wrong, pass or fail")
    value = str(row["label"]).strip().casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    if value in PASSES | FAILS:
        return value in PASSES
    if value in UNDECIDED:
        return None
    raise ConfigError(
        f"{path}:{number}: label: expected one of {', '.join(sorted(PASSES | FAILS))} or can't tell, got {value!r:.60}"
    )
