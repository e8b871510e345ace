"""The sheet of one reviewer: which answers are shown, in which order, which of them twice, and on which side.

Which cases are shown depends on the seed alone, so all reviewers with the same seed see the same cases. The order, the
repeats and the sides also depend on the reviewer. A sheet does not contain which model answered, or what any check
found. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunegate.cases.bank import draw_order
from tunegate.cases.case import Prompt
from tunegate.checks.outcome import Outcome, is_unlabelled
from tunegate.exceptions import ConfigError
from tunegate.gates.people import REVIEW, answer_sha256, prompt_sha256
from tunegate.hashes import canonical_json, sha256_hex
from tunegate.record.judged_log import is_unanswered
from tunegate.record.record import GateRecord
from tunegate.reviewing.review_rubric import ReviewRubric
from tunegate.seeds import derived_seed

REPEATS = 0.1
"""The share of showings that are added to measure a reviewer against themselves."""
APART = 5
"""At least this many other answers are shown between the two showings of an answer."""
Kind = Literal["answers", "pairs"]


@dataclass(frozen=True, slots=True)
class Item:
    """What is shown at once: a prompt, its references, and one answer, or two in the order of their hashes.

    `notes` are what earlier reviewers said, for adjudication.
    """

    case_id: str
    prompt: Prompt
    references: tuple[str, ...]
    answers: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def answer_hashes(self) -> tuple[str, ...]:
        return tuple(map(answer_sha256, self.answers))


@dataclass(frozen=True, slots=True)
class Showing:
    """An item in its turn. `repeat_of` is the number of its first showing (from 1), if this is the second.

    With `swapped`, the second answer of a pair is on the left.
    """

    item: int
    repeat_of: int | None = None
    swapped: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """All that a page shows and saves. `records` are the hashes of the reviewed gate, and of the gate beside it.

    `settles` marks a sheet of disagreements, whose labels decide.
    """

    records: tuple[str, ...]
    rubric: ReviewRubric
    reviewer: str
    seed: int
    items: tuple[Item, ...]
    showings: tuple[Showing, ...]
    settles: bool = False

    @property
    def kind(self) -> Kind:
        return "pairs" if len(self.records) > 1 else "answers"

    @property
    def repeats(self) -> int:
        return sum(one.repeat_of is not None for one in self.showings)

    @property
    def sha256(self) -> str:
        """Identifies the page: everything that it shows, and in which order."""
        return sha256_hex(canonical_json(self._content()))

    def to_json(self) -> dict[str, Any]:
        """The data of the page: its content, and the first line of the file that it saves."""
        header = {
            "format": REVIEW,
            "kind": self.kind,
            "record_sha256": self.records[0],
            **({"against_sha256": self.records[1]} if self.kind == "pairs" else {}),
            "rubric_sha256": self.rubric.sha256,
            "page_sha256": self.sha256,
            "reviewer": self.reviewer,
            "seed": self.seed,
            "items": list(self.rubric.items),
            "settles": self.settles,
        }
        return {"header": header, **self._content()}

    def _content(self) -> dict[str, Any]:
        shown = self.rubric.show
        return {
            "for": [*self.records, self.reviewer, self.seed, self.settles],
            "criterion": self.rubric.criterion,
            "meaning": [[str(verdict), text] for verdict, text in self.rubric.meaning.items()],
            "parts": [[name, text] for name, text in self.rubric.items.items()],
            "items": [
                {
                    "id": one.case_id,
                    "prompt_sha256": prompt_sha256(one.prompt),
                    **({"prompt": [list(turn) for turn in turns_of(one.prompt)]} if "prompt" in shown else {}),
                    **({"references": list(one.references)} if "references" in shown and one.references else {}),
                    "answers": [list(pair) for pair in zip(one.answer_hashes, one.answers, strict=True)],
                    **({"notes": list(one.notes)} if one.notes else {}),
                }
                for one in self.items
            ],
            "showings": [[one.item, one.repeat_of or 0, int(one.swapped)] for one in self.showings],
        }


def sheet_of(
    records: Sequence[str],
    items: Sequence[Item],
    rubric: ReviewRubric,
    *,
    n: int,
    seed: int = 0,
    reviewer: str = "",
    settles: bool = False,
) -> Sheet:
    """The sheet of a reviewer with `n` cases, drawn at random from these items; raises ConfigError for fewer than one.

    A page that settles disagreements repeats nothing.
    """
    if n < 1:
        raise ConfigError(f"--n {n}: expected at least 1 case")
    chosen = draw_order({one.case_id for one in items}, derived_seed(seed, "review"))[:n]
    wanted = frozenset(chosen)
    kept = tuple(one for one in items if one.case_id in wanted)
    shown = in_order(len(kept), seed, reviewer, repeats=0 if settles else round(len(kept) * REPEATS))
    return Sheet(tuple(records), rubric, reviewer, seed, kept, shown, settles)


def in_order(number: int, seed: int, reviewer: str, repeats: int) -> tuple[Showing, ...]:
    """`number` items in the order for one reviewer; `repeats` of them are shown again, at least six turns later.

    >>> [one.item for one in in_order(3, 0, "ann", 0)] != [one.item for one in in_order(3, 0, "bob", 0)]
    True
    """

    def seed_of(*parts: object) -> int:
        return derived_seed(seed, "reviewer", reviewer, *parts)

    order = [int(name) for name in draw_order(map(str, range(number)), seed_of("order"))]
    early = order[: max(0, number - APART)]
    again = {int(name) for name in draw_order(map(str, early), seed_of("again"))[:repeats]}
    turns: list[tuple[float, int, bool]] = []
    for place, item in enumerate(order):
        turns.append((place, item, False))
        if item in again:
            share = seed_of("place", item) / 2**31
            turns.append((place + APART + 0.5 + share * (number - place - APART - 1), item, True))
    first: dict[int, int] = {}
    showings: list[Showing] = []
    for turn, (_, item, is_again) in enumerate(sorted(turns), start=1):
        first.setdefault(item, turn)
        showings.append(Showing(item, first[item] if is_again else None, bool(seed_of("side", item, is_again) % 2)))
    return tuple(showings)


# --- what there is to review ---------------------------------------------------------------------------------------


def record_sha256(gate: GateRecord) -> str:
    """Identifies the answers of a gate: suite, draw, and the hash of each answer; not what any check found."""
    answers = [[one.case_id, answer_sha256(text)] for one in gate.outcomes for text in _texts(one)]
    return sha256_hex(canonical_json([gate.suite_sha256, gate.key, answers]))


def items_of(gate: GateRecord, *, only_missing: bool = False) -> list[Item]:
    """The answers of a gate, each different answer to a case once; cases without an answer are left out.

    With `only_missing`, only those that wait for a label.
    """
    return [
        Item(one.case_id, one.prompt, one.references, (text,))
        for one in gate.outcomes
        if not is_unanswered(one) and (one.awaits_label or not only_missing)
        for text in dict.fromkeys(_texts(one, only_missing=only_missing))
    ]


def pairs_of(gate: GateRecord, other: GateRecord) -> tuple[list[Item], int]:
    """The answers of two gates to the same cases, and how many cases are left out because both answers are equal.

    Raises ConfigError if no case is in both, or a case has another prompt.
    """
    before = {one.case_id: one for one in other.outcomes if not is_unanswered(one)}
    both = [(one, before[one.case_id]) for one in gate.outcomes if one.case_id in before and not is_unanswered(one)]
    if not both:
        raise ConfigError("--against: the two gates asked no case in common; ask both with the same --seed")
    strange = [one.case_id for one, two in both if one.prompt != two.prompt]
    if strange:
        raise ConfigError(f"--against: case {strange[0]!r} has another prompt there; both must be of the same suite")
    pairs = [(one, _texts(one)[0], _texts(two)[0]) for one, two in both]
    items = [
        Item(one.case_id, one.prompt, one.references, tuple(sorted((a, b), key=answer_sha256)))
        for one, a, b in pairs
        if a != b
    ]
    return items, len(pairs) - len(items)


def texts_of(gates: Sequence[GateRecord]) -> Mapping[tuple[str, str], tuple[str, Outcome]]:
    """The text and the outcome of each answer of these gates, by case id and the answer's hash."""
    return {
        (one.case_id, answer_sha256(text)): (text, one)
        for gate in gates
        for one in gate.outcomes
        for text in _texts(one)
    }


def turns_of(prompt: Prompt) -> tuple[tuple[str, str], ...]:
    """A prompt as (role, text)."""
    if isinstance(prompt, str):
        return (("prompt", prompt),)
    return tuple((message["role"], message["content"]) for message in prompt)


def _texts(outcome: Outcome, *, only_missing: bool = False) -> list[str]:
    answers = outcome.samples or (outcome,)
    return [one.response for one in answers if not only_missing or any(map(is_unlabelled, one.findings))]
