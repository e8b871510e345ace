"""Leakage against labels that people gave: precision and recall per case, and by which kind each was found.

Genes: `near_dup_of_train` of the test items, all that ship. The thresholds were fitted on one half, split by document;
the other half was held out. Support: `duplicate_of_train` of the sample in tests/files/support, nothing fitted on it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.leak_helpers import GENES, SUPPORT, read, suite
from tunegate.cases.case import Case
from tunegate.leaks.leakage import Leak, compare
from tunegate.leaks.texts import TrainRow, row_as_it_is

Row = dict[str, Any]


@dataclass(frozen=True)
class Agreement:
    """Cases that were flagged, that the label says leak, and that both say."""

    flagged: int
    labelled: int
    both: int

    @property
    def precision(self) -> float:
        return self.both / self.flagged

    @property
    def recall(self) -> float:
        return self.both / self.labelled


def agreement(leaks: Sequence[Leak], rows: Sequence[Row], label: str) -> Agreement:
    """How far the leaks agree with the label of these rows."""
    ids = {row["id"] for row in rows}
    flagged = {leak.case_id for leak in leaks} & ids
    labelled = {row["id"] for row in rows if row[label]}
    return Agreement(len(flagged), len(labelled), len(flagged & labelled))


def rendered(row: Row) -> str:
    return f"{row['context']}\n\n{row['question']}"


def genes(render: bool) -> tuple[list[Leak], list[Row]]:
    """The leaks of the gene tests; training rows as the demo's pipeline renders them, or as the file has them."""
    tests = [row for row in read(GENES / "bank.jsonl") if row["split"] == "test"]
    cases = [Case(row["id"], rendered(row), (row["answer"],), row["context"]) for row in tests]
    rows = list(enumerate(read(GENES / "train.jsonl"), start=1))
    as_taught = [TrainRow("train.jsonl", number, (rendered(row),), (row["answer"],)) for number, row in rows]
    as_filed = [row_as_it_is("train.jsonl", number, row) for number, row in rows]
    return compare(as_taught if render else as_filed, [suite(*cases)]), tests


def support(folder: Path = SUPPORT) -> tuple[list[Leak], list[Row]]:
    tests = read(folder / "dev.jsonl")
    cases = [Case(row["id"], row["utterance"], (row["intent"],)) for row in tests]
    rows = enumerate(read(folder / "train.jsonl"), start=1)
    return compare([row_as_it_is("train.jsonl", number, row) for number, row in rows], [suite(*cases)]), tests


def is_fitted_on(row: Row) -> bool:
    """Whether a gene test is of the half that the thresholds were fitted on."""
    return hashlib.sha256(row["doc"].encode()).digest()[-1] % 2 == 0


def main() -> None:
    for name, render in (("genes, as the pipeline renders them", True), ("genes, rows as they are", False)):
        leaks, tests = genes(render)
        halves: dict[str, Callable[[Row], bool]] = {
            "fitted": is_fitted_on,
            "held out": lambda row: not is_fitted_on(row),
        }
        for half, belongs in halves.items():
            _print(f"{name}, {half}", agreement(leaks, [row for row in tests if belongs(row)], "near_dup_of_train"))
    leaks, tests = support()
    _print("support", agreement(leaks, tests, "duplicate_of_train"))
    unlabelled = {row["id"] for row in tests if not row["duplicate_of_train"]}
    print(f"  flagged against the label: {dict(Counter(leak.kind for leak in leaks if leak.case_id in unlabelled))}")


def _print(name: str, found: Agreement) -> None:
    print(f"{name}: precision {found.precision:.3f} ({found.both}/{found.flagged}), ", end="")
    print(f"recall {found.recall:.3f} ({found.both}/{found.labelled})")


if __name__ == "__main__":
    main()
