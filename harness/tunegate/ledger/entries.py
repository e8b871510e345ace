"""The entries of a ledger, and what they say of a bank: which questions were asked, how often it was tried. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import takewhile

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import LISTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A draw, written before its first answer.

    `questions` are `cases.question_of` of the cases, in draw order. `run` is the run or the gate run alone. `lineage`
    is the SHA-256 of the base model of a run, or the name of a model without weights to compare; None: the origin is
    unknown. `weights` is the SHA-256 of the model, or of stored answers. `key` identifies suite, plan and seed: with
    the same weights the draw is the same try again. `repeats` is then the hash of the earlier entry. `session`: `run`
    is a pytest session, whose gates are one attempt.
    """

    run: str
    suite: str
    purpose: str
    part: str
    draw: int
    accept: int
    model: str
    weights: str | None
    lineage: str | None
    key: str
    questions: tuple[str, ...]
    stage: str | None = None
    attempt: int | None = None
    reused: int = 0
    repeats: str = ""
    session: bool = False

    @property
    def place(self) -> tuple[object, ...]:
        """The place of the draw in its run."""
        return self.run, self.suite, self.stage, self.attempt, self.purpose


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The verdict on a draw, by the hash of its entry. `unasked` are the places in its draw that were not asked."""

    of: str
    verdict: Verdict
    passed: int
    unasked: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A draw with its hash, and its verdict, if it has one."""

    sha256: str
    drawn: Drawn
    decided: Decided | None = None

    @property
    def asked(self) -> frozenset[str]:
        """The questions that were asked: all of them, as long as there is no verdict that says otherwise."""
        unasked = frozenset(self.decided.unasked if self.decided else ())
        return frozenset(one for place, one in enumerate(self.drawn.questions) if place not in unasked)

    @property
    def try_of(self) -> tuple[object, ...]:
        """What counts as one attempt on a bank: all gates of an attempt of a run; those of a pytest session that ask
        one model the same cases, which begin with the same one; otherwise each gate."""
        drawn = self.drawn
        if drawn.stage is not None:
            return drawn.run, drawn.stage, drawn.attempt
        which = drawn.questions[:1] if drawn.session else (drawn.key,)
        return drawn.run, drawn.model, drawn.weights, *which


@dataclass(frozen=True, slots=True)
class Standing:
    """The attempts on a bank before this one, over all runs: how many, how many of them failed, and how many have no
    verdict. `lineage` counts those of other runs from the same base."""

    before: int = 0
    failed: int = 0
    undecided: int = 0
    lineage: int = 0


CONTINUES = "continue"
"""The purpose of a draw that adds cases to a gate that could not tell."""
GATED = ("gate", "confirm", CONTINUES)
"""The purposes of draws by which a model is accepted; the others measure or compare."""


@dataclass(frozen=True, slots=True)
class History:
    """All entries of a ledger, in the order in which they were written; `follows` has the line that each line follows,
    by their hashes."""

    entries: Sequence[Entry] = ()
    follows: Mapping[str, str] = field(default_factory=dict[str, str])

    def followed_by(self, sha256: str) -> list[Entry]:
        """The entries that were certainly written before the one with this hash. After a merge of two branches, others
        may have been too: those of `before`."""
        earlier = set[str]()
        while (sha256 := self.follows.get(sha256, "")) and sha256 not in earlier:
            earlier.add(sha256)
        return [entry for entry in self.entries if entry.sha256 in earlier]

    def before(self, sha256: str, *, of_others_than: str = "") -> list[Entry]:
        """The entries before the one with this hash; `of_others_than`: without those of this entry's run."""
        own = {entry.drawn.run for entry in self.entries if entry.sha256 == of_others_than}
        earlier = takewhile(lambda entry: entry.sha256 != sha256, self.entries)
        return [entry for entry in earlier if entry.drawn.run not in own]

    def asked(self, *, but_not_by: str, nor_as: str = "") -> frozenset[str]:
        """Every question that any other run asked; with `nor_as`, not those of draws with this key."""
        others = (e for e in self.entries if e.drawn.run != but_not_by and e.drawn.key != nor_as)
        return frozenset[str]().union(*(entry.asked for entry in others))

    def asked_by(self, bank: AbstractSet[str], *, but_not_by: str) -> str:
        """Which models other runs asked these questions, and how many of them: `a.jsonl 100, b.jsonl 20`."""
        found: dict[str, set[str]] = {}
        for entry in self.entries:
            if entry.drawn.run != but_not_by and (asked := entry.asked & bank):
                found.setdefault(entry.drawn.model, set()).update(asked)
        told = [f"{model} {len(asked)}" for model, asked in found.items()]
        more = f" and {len(told) - LISTED} more models" if len(told) > LISTED else ""
        return ", ".join(told[:LISTED]) + more

    def same_try(self, key: str, weights: str | None, purpose: str) -> Entry | None:
        """The first draw of this purpose with the same key and weights: asking it again is not a new attempt."""
        if weights is None:
            return None
        same = (key, weights, purpose)
        for entry in self.entries:
            if (entry.drawn.key, entry.drawn.weights, entry.drawn.purpose) == same and not entry.drawn.repeats:
                return entry
        return None

    def continued(self, key: str, weights: str) -> tuple[str, ...]:
        """The questions by which the same try was continued so far, by any run, in order and each once."""
        same = (CONTINUES, key, weights)
        drawn = [e.drawn for e in self.entries if (e.drawn.purpose, e.drawn.key, e.drawn.weights) == same]
        return tuple(dict.fromkeys(one for draw in drawn for one in draw.questions))

    def at(self, drawn: Drawn, *, by_model: bool) -> Entry | None:
        """The first draw of the same suite and seed at the same place of the same run; `by_model`: of these weights."""
        for entry in self.entries:
            same = (entry.drawn.place, entry.drawn.key) == (drawn.place, drawn.key)
            model = (entry.drawn.model, entry.drawn.weights) == (drawn.model, drawn.weights)
            if same and (model or not by_model):
                return entry
        return None

    def lineage_of(self, weights: str | None) -> str | None:
        """The base of these weights, if a run that is in the ledger trained them."""
        return next((e.drawn.lineage for e in self.entries if weights and e.drawn.weights == weights), None)

    def clashes(self, drawn: Drawn) -> frozenset[str]:
        """The questions that the same session asked the same model in another draw."""
        others = (
            entry.asked
            for entry in self.entries
            if (entry.drawn.run, entry.drawn.model) == (drawn.run, drawn.model)
            and entry.drawn.questions[:1] != drawn.questions[:1]
        )
        return frozenset[str]().union(*others)

    def standing(self, bank: AbstractSet[str], lineage: str | None, own: Drawn) -> Standing:
        """The attempts on a bank before `own`: those that asked one of its questions at least. The bank is given as its
        questions.

        The models of unknown origin are taken as one lineage: they may all be one model, retrained until it passes.
        """
        tries = {name: entries for name, entries in self.tries_on(bank).items() if name != Entry("", own).try_of}
        verdicts = [[entry.decided and entry.decided.verdict for entry in one] for one in tries.values()]
        others = [one[0].drawn for one in tries.values() if not _same_run(one[0].drawn, own)]
        return Standing(
            before=len(tries),
            failed=sum(Verdict.FAIL in one for one in verdicts),
            undecided=sum(Verdict.FAIL not in one and (None in one or Verdict.INVALID in one) for one in verdicts),
            lineage=sum(drawn.lineage == lineage for drawn in others),
        )

    def tries_on(self, bank: AbstractSet[str]) -> dict[tuple[object, ...], list[Entry]]:
        """The draws of each attempt that asked one of these questions at least."""
        tries: dict[tuple[object, ...], list[Entry]] = {}
        gates: dict[tuple[object, ...], tuple[object, ...]] = {}
        for entry in self._on(bank):
            drawn = entry.drawn
            gate = (drawn.run, drawn.stage, drawn.attempt, drawn.suite, drawn.model, drawn.weights)
            if drawn.purpose == "gate":
                gates[gate] = entry.try_of
            name = gates.get(gate, entry.try_of)  # a draw that confirms or continues belongs to the gate before it
            tries.setdefault(name, []).append(entry)
        return tries

    def _on(self, bank: AbstractSet[str]) -> Iterator[Entry]:
        for entry in self.entries:
            drawn = entry.drawn
            if drawn.purpose in GATED and not drawn.repeats and not bank.isdisjoint(drawn.questions):
                yield entry


def _same_run(one: Drawn, own: Drawn) -> bool:
    """Whether two draws are of one pipeline run, whose own attempts its plans count themselves."""
    return own.stage is not None and one.run == own.run
