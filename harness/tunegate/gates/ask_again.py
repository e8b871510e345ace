"""Asking the stored weights some of the recorded cases again: do they give the answers that the record says they gave?

A record can be true to its own answers, and the answers be those of another model, or of no model. What shows this is
the model itself: some of the cases that were asked of its weights are asked again, with the recorded settings, judged
by the checks of their suites, and compared with the record, pass or miss.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.exceptions import CannotJudge, ConfigError, Tampered, message_of
from tunegate.gates.ask import judge_cases
from tunegate.gates.draw import place_of
from tunegate.models.model import Model, check_weights
from tunegate.progress import Progress
from tunegate.record.record import AttemptRecord, GateRecord, RunRecord
from tunegate.record.typed_json import read_as
from tunegate.stats.asked_again import (
    CONFIDENCE,
    FEWEST_ASKED,
    LARGEST_LOSS,
    chance_of_contradiction,
    contradicts,
    lower_bound,
)
from tunegate.suites.suite import Suite

OpenWeights = Callable[[str | None], Model]
"""Opens the stored weights; the argument is the number type that the record names."""
JUDGED = (Verdict.PASS, Verdict.FAIL)
SAID_RIGHT = 0.6
"""The result says how likely a model that is right this often would have been caught."""


@dataclass(frozen=True, slots=True)
class AskedCase:
    """A recorded case that was asked again: its draw, its id, and whether it passed then and passes now."""

    gate: str
    case: str
    passed: bool
    passes: bool


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """The result of asking weights again. `cases` follow from the record with the hash `record_sha256` and from
    `nonce`, and from nothing else."""

    record_sha256: str
    nonce: str
    cases: tuple[AskedCase, ...]

    @property
    def lost(self) -> tuple[AskedCase, ...]:
        """The cases that passed on record and miss now."""
        return tuple(case for case in self.cases if case.passed and not case.passes)

    @property
    def agreed(self) -> int:
        return sum(case.passed == case.passes for case in self.cases)

    @property
    def bound(self) -> float:
        """The one-sided lower bound of the share of lost passes among all recorded cases."""
        return lower_bound(len(self.lost), len(self.cases))

    @property
    def contradicts(self) -> bool:
        """Whether the weights cannot have given the answers on record."""
        return contradicts(len(self.lost), len(self.cases))

    def to_json(self) -> dict[str, Any]:
        """For the evidence of a promotion; `asked_from_json` is the inverse."""
        return {**asdict(self), "cases": [asdict(case) for case in self.cases]}

    @property
    def facts(self) -> dict[str, Any]:
        """For scripts: the cases and what follows from them."""
        return {**self.to_json(), "agreed": self.agreed, "lost": len(self.lost), "lower_bound": self.bound}

    @property
    def in_words(self) -> str:
        """`20 recorded cases asked again: 19 agree, 1 passed on record and misses now; …`"""
        asked, lost = len(self.cases), len(self.lost)
        won = asked - self.agreed - lost
        also = f", {won} missed on record and {'passes' if won == 1 else 'pass'} now" if won else ""
        return (
            f"{asked} recorded cases asked again: {self.agreed} agree, {lost} passed on record and "
            f"{'misses' if lost == 1 else 'miss'} now{also} (at least {self.bound:.1%} of all with {CONFIDENCE:.0%} "
            f"confidence, {LARGEST_LOSS:.0%} may differ between machines); a model right {SAID_RIGHT:.0%} of the time "
            f"behind a perfect record is caught with probability {chance_of_contradiction(1 - SAID_RIGHT, asked):.2f}"
        )


def asked_from_json(data: Mapping[str, Any]) -> AskedAgain:
    """The result in a file of a registry; raises TypeError, KeyError or ValueError for anything else."""
    return read_as(AskedAgain, data)


# --- drawing -------------------------------------------------------------------------------------------------------

Recorded = tuple[GateRecord, Outcome]
"""A recorded case: its draw and its outcome."""


def drawn_again(attempt: AttemptRecord, record_sha256: str, nonce: str, n: int) -> list[Recorded]:
    """The `n` recorded cases of an attempt to ask again, of all its draws; each question once.

    The order is that of SHA-256 of the record's hash, the nonce, the draw and the case. The nonce is made after the
    record was closed: whoever made the record up could not know the cases, so could not answer just those honestly.
    The record's hash ties the nonce to this record: a nonce that is known to be lucky for one is not for another.
    Raises ConfigError if there are fewer cases, or too few to show anything.
    """
    found: dict[str, Recorded] = {}
    for gate, outcome in sorted(_recorded(attempt), key=lambda one: _rank(record_sha256, nonce, *one)):
        found.setdefault(_question(gate, outcome), (gate, outcome))
    if not FEWEST_ASKED <= n <= len(found):
        raise ConfigError(
            f"ask {n}: {FEWEST_ASKED} cases at least can be asked again, and at most the {len(found)} that are on "
            "record for these weights"
        )
    return list(found.values())[:n]


def cases_on_record(attempt: AttemptRecord) -> int:
    """How many cases of an attempt can be asked again: each question counts once."""
    return len({_question(gate, outcome) for gate, outcome in _recorded(attempt)})


def _recorded(attempt: AttemptRecord) -> Iterator[Recorded]:
    """The cases with a verdict in the draws of an attempt's own weights."""
    for gate in attempt.gates.values():
        if gate.decided:
            yield from ((gate, outcome) for outcome in gate.outcomes if outcome.verdict in JUDGED)


def _rank(record_sha256: str, nonce: str, gate: GateRecord, outcome: Outcome) -> str:
    text = "\x00".join([record_sha256, nonce, gate.key, outcome.case_id])
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()  # a file may hold any string


def _question(gate: GateRecord, outcome: Outcome) -> str:
    """The identity of a question: gates that share a draw asked it once. Older records name only the case."""
    named = dict(zip(gate.case_ids, gate.questions, strict=False))
    return named.get(outcome.case_id, f"{gate.suite_sha256} {outcome.case_id}")


# --- asking --------------------------------------------------------------------------------------------------------


def ask_again(
    attempt: AttemptRecord,
    record_sha256: str,
    n: int,
    suites: Mapping[str, Suite],
    open_weights: OpenWeights,
    progress: Progress,
) -> AskedAgain:
    """Ask the weights of an attempt `n` of their recorded cases again, and judge the answers; does not decide.

    Raises ConfigError for a number that cannot be asked, Tampered if the weights or a suite are not those on record,
    CannotJudge if the model or a check fails.
    """
    nonce = secrets.token_hex(16)
    drawn = drawn_again(attempt, record_sha256, nonce, n)
    now: dict[tuple[str, str], bool] = {}
    for dtype in dict.fromkeys(gate.dtype for gate, _ in drawn):
        model = _opened(open_weights, dtype, attempt.model_sha256)
        for gate in {gate.key: gate for gate, _ in drawn if gate.dtype == dtype}.values():
            ids = [outcome.case_id for one, outcome in drawn if one.key == gate.key]
            for outcome in _outcomes(gate, ids, suites, model):
                now[gate.key, outcome.case_id] = _passes(gate, outcome)
                progress("asking again", len(now), n)
        check_weights(model)
    return AskedAgain(record_sha256, nonce, tuple(_asked(drawn, now)))


def _asked(drawn: Sequence[Recorded], now: Mapping[tuple[str, str], bool]) -> Iterator[AskedCase]:
    for gate, outcome in drawn:
        passed = outcome.verdict is Verdict.PASS
        yield AskedCase(gate.key, outcome.case_id, passed, now[gate.key, outcome.case_id])


def _opened(open_weights: OpenWeights, dtype: str | None, sha256: str) -> Model:
    """The stored weights; a model that cannot be opened was not asked, whatever the reason."""
    try:
        model = open_weights(dtype)
    except (Tampered, KeyboardInterrupt):
        raise
    except Exception as error:
        raise CannotJudge(f"the stored weights cannot be asked again: {message_of(error)}") from error
    if model.sha256 != sha256:
        raise Tampered(f"{model.name}: the stored weights are not those on record")
    return model


def _outcomes(gate: GateRecord, ids: Sequence[str], suites: Mapping[str, Suite], model: Model) -> Iterator[Outcome]:
    """The outcomes of some cases of a draw, asked of the model now, block by block."""
    suite = suites.get(gate.gate)
    if suite is None or suite.sha256 != gate.suite_sha256:
        raise Tampered(f"gate {gate.key!r}: its suite is not the one it was asked of; restore its files")
    by_id = {case.id: case for case in suite.cases}
    if strange := [case_id for case_id in ids if case_id not in by_id]:
        raise Tampered(f"gate {gate.key!r}: case {strange[0]!r} is on record, but not in the bank")
    for start in range(0, len(ids), model.block_size):
        yield from judge_cases(suite, model, [by_id[case_id] for case_id in ids[start : start + model.block_size]])


def _passes(gate: GateRecord, outcome: Outcome) -> bool:
    if outcome.verdict not in JUDGED:
        raise CannotJudge(
            f"gate {place_of(gate).label}: case {outcome.case_id!r}, asked again: {outcome.verdict}: {outcome.reason}"
        )
    return outcome.verdict is Verdict.PASS


def asker(
    suites: Mapping[str, Suite], open_weights: Callable[[Path, str | None], Model], progress: Progress
) -> Callable[[RunRecord, AttemptRecord, Path, int], AskedAgain]:
    """A function that asks the weights in a folder, which an attempt left, `n` of their recorded cases again."""

    def ask(run: RunRecord, attempt: AttemptRecord, folder: Path, n: int) -> AskedAgain:
        return ask_again(attempt, run.digest, n, suites, partial(open_weights, folder), progress)

    return ask


# --- holding -------------------------------------------------------------------------------------------------------


def check_agreement(asked: AskedAgain, place: object) -> None:
    """Raise Tampered if the weights cannot have given the answers on record."""
    if asked.contradicts:
        lost = ", ".join(f"{case.gate} {case.case}" for case in asked.lost[:5])
        more = f" and {len(asked.lost) - 5} more" if len(asked.lost) > 5 else ""
        raise Tampered(
            f"{place}: the stored weights do not give the answers on record: {len(asked.lost)} of {len(asked.cases)} "
            f"cases asked again passed on record and miss now ({lost}{more}); with {CONFIDENCE:.0%} confidence this is "
            f"at least {asked.bound:.1%} of all, and {LARGEST_LOSS:.0%} may differ between machines"
        )


def check_asked(asked: AskedAgain, attempt: AttemptRecord, record_sha256: str, place: object) -> None:
    """Raise Tampered unless a stored result is about just the cases that its nonce gives, says of them what the record
    says, and does not contradict it."""
    try:
        drawn = drawn_again(attempt, record_sha256, asked.nonce, len(asked.cases))
    except ConfigError as error:
        raise Tampered(f"{place}: it has {len(asked.cases)} cases, which its record cannot have given") from error
    expected = [(gate.key, outcome.case_id, outcome.verdict is Verdict.PASS) for gate, outcome in drawn]
    if asked.record_sha256 != record_sha256 or expected != [(one.gate, one.case, one.passed) for one in asked.cases]:
        raise Tampered(f"{place}: the cases that were asked again are not those that the record and the nonce give")
    check_agreement(asked, place)
