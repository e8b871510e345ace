"""The number of an attempt among all attempts on its bank, in words, for terminal and reports."""

from __future__ import annotations

from collections.abc import Iterable

from tunegate.record.draw_facts import LedgerPlace
from tunegate.record.record import GateRecord


def ledger_words(place: LedgerPlace, asked: str = "weights") -> str:
    """A sentence without its full stop; `asked` is what a repeated draw was asked of before.

    >>> ledger_words(LedgerPlace("1f", before=13, failed=12, undecided=1))
    'the 14th attempt on this bank; of the 13 before, 12 failed and 1 has no verdict'
    >>> ledger_words(LedgerPlace("1f"))
    'the first attempt on this bank in the ledger'
    """
    if not place.entry:
        return f"no ledger: attempts of other runs on this bank are not counted ({place.why_not})"
    again = f", repeated: these {asked} were asked the same cases before" if place.repeats else ""
    if not place.before:
        return f"the first attempt on this bank in the ledger{again}"
    told = [f"{place.failed} failed" if place.failed else ""]
    told += [f"{place.undecided} {'has' if place.undecided == 1 else 'have'} no verdict" if place.undecided else ""]
    became = " and ".join(filter(None, told)) or "none failed"
    return f"the {ordinal(place.before + 1)} attempt on this bank; of the {place.before} before, {became}{again}"


def told_of(gates: Iterable[GateRecord]) -> dict[str, list[str]]:
    """Each sentence with the gates it is about; nothing for records that are older than the ledger."""
    told: dict[str, list[str]] = {}
    for gate in gates:
        if gate.ledger is not None and gate.purpose == "gate":
            asked = "answers" if gate.model_sha256 is None else "weights"  # only these two are ever the same try
            told.setdefault(ledger_words(gate.ledger, asked), []).append(gate.gate)
    return told


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `4th`, `11th`, `22nd`.

    >>> [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 101, 111)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '101st', '111th']
    """
    last = 0 if 10 < number % 100 < 20 else number % 10
    return f"{number}{({1: 'st', 2: 'nd', 3: 'rd'}).get(last, 'th')}"
