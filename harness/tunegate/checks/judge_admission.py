"""The admission record of a judge: the file with its measured agreement with people; writing, sealing and reading it.

A judge decides nothing before it has been compared with people. `tunegate judge` makes the comparison and writes the
record. A gate's `judge` check looks for the record with the hash of the same judge (its weights or server, rubric and
pass condition), and counts only when the lower end of kappa's interval reaches the check's `admit`.

The seal detects a record that was changed by hand or cut short. It is not a signature: whoever can write the record can
also write a false one, as with any unsigned evidence.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.hashes import canonical_json, sha256_hex
from tunegate.reading.files import read_text
from tunegate.stats.agreement import (
    CorrectedRate,
    Interval,
    Share,
    agreement,
    corrected_pass_rate,
    grouped_kappa_interval,
    kappa,
    two_way_kappa_interval,
)
from tunegate.trust.allowed import Trust, user_trust
from tunegate.whole_files import write_whole

FORMAT = "tunegate-admission/1"
FOLDER = Path(".tunegate", "admissions")
DEFAULT_ADMIT = 0.6
"""The lowest acceptable lower end of kappa's interval: Landis and Koch (Biometrics 33, 1977) call more than 0.6
substantial."""
MAX_BYTES = 16 * 2**20
SEAL = "record_sha256"
MOST_LABELS = 10**9
"""More labels than people ever made; the arithmetic is exact up to this number."""

MOST_GROUPS = 10**6
"""More groups of labels than a record can list."""

Counts = tuple[tuple[int, int, int], tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge compared with people, as counts: one row for answers that people passed, one for those they failed.

    The columns are answers that the judge passed, that it failed, and that it gave no verdict on (INVALID). INVALID is
    always a disagreement: in kappa, in the sensitivity and in the specificity. All figures are derived from these
    counts, so that none can be changed alone.
    """

    counts: Counts
    groups: tuple[tuple[int, Counts], ...] = ()
    """If some labels are of one group: the counts of the groups, each with the number of groups that have them. They
    sum to `counts`, and kappa's interval is for the groups."""

    @property
    def n(self) -> int:
        return sum(map(sum, self.counts))

    @property
    def invalid(self) -> int:
        return self.counts[0][2] + self.counts[1][2]

    @property
    def agreement(self) -> float:
        return agreement(self.counts)

    @property
    def kappa(self) -> float | None:
        return kappa(self.counts)

    @property
    def kappa_interval(self) -> Interval:
        return grouped_kappa_interval(self.counts, self.groups) if self.groups else two_way_kappa_interval(self.counts)

    @property
    def sensitivity(self) -> Share:
        """The share that the judge passes of the answers that people pass."""
        return Share(self.counts[0][0], sum(self.counts[0]))

    @property
    def specificity(self) -> Share:
        """The share that the judge fails of the answers that people fail."""
        return Share(self.counts[1][1], sum(self.counts[1]))

    def reaches(self, admit: float) -> bool:
        """Whether the agreement beyond chance is, with 95 % confidence, at least `admit`.

        False if all labels are PASS or all are FAIL: then sensitivity or specificity is unknown.
        """
        both_sides = bool(self.sensitivity.of and self.specificity.of)
        return both_sides and self.kappa is not None and self.kappa_interval[0] >= admit

    def corrected(self, passed: int, drawn: int) -> CorrectedRate | None:
        """The pass rate of a gate on which this judge passed `passed` of the drawn cases, corrected for its errors."""
        return corrected_pass_rate(passed, drawn, self.sensitivity, self.specificity)

    def as_json(self) -> dict[str, Any]:
        """The figures, under their names in `tunegate judge --json`."""
        return {
            "n": self.n,
            "agreement": self.agreement,
            "kappa": self.kappa,
            "kappa_interval": list(self.kappa_interval),
            "sensitivity": self.sensitivity.rate,
            "sensitivity_interval": list(self.sensitivity.interval),
            "specificity": self.specificity.rate,
            "specificity_interval": list(self.specificity.interval),
            "invalid": self.invalid,
            "counts": [list(row) for row in self.counts],
            **(
                {"groups": [[number, [list(row) for row in one]] for number, one in self.groups]} if self.groups else {}
            ),
        }


@dataclass(frozen=True, slots=True)
class History:
    """How often this judge was measured, as far as the records show: each record carries the history of the previous.

    Deleting a record deletes its history too; it shows an honest reader that the best of many measurements was kept.
    """

    count: int = 1
    by_labels: Mapping[str, int] = field(default_factory=dict[str, int])
    """how often with each file of labels, by its hash"""
    previous_sha256: str | None = None
    """the seal of the previous record"""

    def then(self, labels_sha256: str, previous_sha256: str) -> History:
        """This history with one more measurement."""
        more = {**self.by_labels, labels_sha256: self.by_labels.get(labels_sha256, 0) + 1}
        return History(self.count + 1, more, previous_sha256)

    @property
    def in_words(self) -> str:
        """For readers of the admission; empty for a judge that was measured once."""
        return f"measured {self.count} times" if self.count > 1 else ""


def read_history(data: Any) -> History:
    """A history from a record (written by `asdict`); None is one measurement. Raises ValueError or TypeError."""
    if data is None:
        return History()
    history = History(**data)
    counts: list[Any] = [history.count, *history.by_labels.values()]
    if any(type(count) is not int or not 0 < count <= MOST_LABELS for count in counts):
        raise ValueError("numbers of measurements must be whole and positive")
    return history


@dataclass(frozen=True, slots=True)
class Age:
    """The days, as ISO dates, of a measurement and of the first and last of its labels; empty where unknown."""

    measured: str = ""
    first_label: str = ""
    last_label: str = ""

    @property
    def since(self) -> str:
        """The day from which an admission ages: of its first label if that is known, because old labels that are
        measured again stay old."""
        return min(filter(None, (self.measured, self.first_label)), default="")

    def days(self, today: date) -> int | None:
        """Days since then; None if no day is on record."""
        return (today - date.fromisoformat(self.since)).days if self.since else None

    @property
    def in_words(self) -> str:
        """`measured on 2026-11-01 with labels of 2026-03-01 to 2026-10-20`; empty if no day is on record."""
        labels = " to ".join(dict.fromkeys(filter(None, (self.first_label, self.last_label))))
        measured = f"measured on {self.measured}" if self.measured else ""
        return " ".join(filter(None, (measured, f"with labels of {labels}" if labels else "")))


def admitted_words(facts: Mapping[str, Any]) -> str:
    """`the judge is admitted: measured on 2026-11-01, valid for 90 days`, from the facts of a gate's record."""
    limit = f"valid for {facts['within_days']} days" if "within_days" in facts else ""
    told = ", ".join(filter(None, (Age(**facts.get("age", {})).in_words, limit)))
    return f"the judge is admitted{f': {told}' if told else ''}"


def _age(record: Mapping[str, Any]) -> Age:
    """From a record; raises ValueError or TypeError for anything that is not a day."""
    about: Mapping[str, Any] = record.get("labels") or {}
    labelled: Sequence[object] = about.get("labelled") or ("", "")
    days = [str(record.get("made") or "")[:10], *(str(labelled[place]) for place in (0, 1))]
    for day in filter(None, days):
        date.fromisoformat(day)
    return Age(*days)


@dataclass(frozen=True, slots=True)
class Admission:
    """The contents of a record: the judge, the measured figures, and the seal."""

    path: Path
    judge_sha256: str
    measured: Agreement
    sha256: str
    history: History = field(default_factory=lambda: History())
    age: Age = field(default_factory=lambda: Age())

    def facts(self) -> dict[str, Any]:
        """The facts for a gate's own record."""
        return {
            "record_sha256": self.sha256,
            "judge_sha256": self.judge_sha256,
            "measurements": self.history.count,
            "kappa": self.measured.kappa,
            "kappa_low": self.measured.kappa_interval[0],
            "sensitivity": [self.measured.sensitivity.count, self.measured.sensitivity.of],
            "specificity": [self.measured.specificity.count, self.measured.specificity.of],
        }


def write_admission(
    path: Path,
    judge_sha256: str,
    measured: Agreement,
    further: Mapping[str, Any] | None = None,
    history: History | None = None,
) -> Admission:
    """Write a sealed record; raises CannotJudge when it cannot be written. `further` is kept for auditors."""
    history = history or History()
    body = {
        "format": FORMAT,
        "judge_sha256": judge_sha256,
        "figures": measured.as_json(),
        "measurements": asdict(history),
        **(further or {}),
    }
    seal = _seal(body)
    record = {**body, SEAL: seal}
    try:
        write_whole(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise CannotJudge(f"{path}: cannot write the admission record: {error.strerror}") from error
    return Admission(path, judge_sha256, measured, seal, history, _age(body))


def read_admission(path: Path) -> Admission:
    """Read a record. Raises ConfigError if it is not one, Tampered if its seal or its figures do not match it."""
    try:
        record: Any = json.loads(read_text(path, MAX_BYTES))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not an admission record: not valid JSON") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:  # pyright: ignore[reportUnknownMemberType]
        raise ConfigError(
            f"{path}: not an admission record: it has no 'format': '{FORMAT}'; write one with `tunegate judge`"
        )
    body: dict[str, Any] = {key: value for key, value in record.items() if key != SEAL}  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    try:
        seal = _seal(body)
    except (ValueError, RecursionError):  # NaN and infinity, which are never written into a record
        seal = None
    if seal is None or record.get(SEAL) != seal:  # pyright: ignore[reportUnknownMemberType]
        raise Tampered(
            f"{path}: the admission record was changed after it was sealed; delete it and measure the judge again"
        )
    try:
        figures = body["figures"]
        first, second = figures["counts"]
        measured = Agreement((_row(first), _row(second)), _groups(figures.get("groups", []), figures["counts"]))
        if not 0 < measured.n <= MOST_LABELS:
            raise ValueError("there are no labels, or impossibly many")
        history = read_history(body.get("measurements"))
        admission = Admission(path, str(body["judge_sha256"]), measured, seal, history, _age(body))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{path}: not an admission record: the counts or the judge's hash are missing; write one with `tunegate "
            "judge`"
        ) from error
    for name, value in measured.as_json().items():
        if not _is_same(figures.get(name), value):
            raise Tampered(
                f"{path}: {name} in the admission record does not follow from its counts; measure the judge again"
            )
    return admission


def _is_same(stated: Any, computed: Any) -> bool:
    """Whether a figure follows from the counts, except for the last digits, which depend on the machine."""
    if isinstance(computed, list):
        return isinstance(stated, list) and len(stated) == len(computed) and all(map(_is_same, stated, computed))  # pyright: ignore[reportUnknownArgumentType]
    if type(stated) is int and abs(stated) > MOST_LABELS:
        return False
    if isinstance(stated, int | float) and isinstance(computed, int | float):
        return math.isclose(stated, computed, rel_tol=1e-9, abs_tol=1e-9)
    return stated == computed


def find_admission(judge_sha256: str, start: Path, trust: Trust | None = None) -> Admission | None:
    """The record of a judge in an admissions folder of the user's own.

    These are the folders of `start`, of the working folder and of all above them. From `start` upwards, only those
    count that the user trusts: a record that comes with a stranger's suite says what the stranger wants.
    """
    trust = trust or user_trust()
    beside = [path for path in _places(judge_sha256, start) if trust.trusts(path)]
    mine = [path for path in _places(judge_sha256, Path.cwd()) if trust.trusts(path) or is_in_place(path)]
    found = next((path for path in (*beside, *mine) if path.is_file()), None)
    return None if found is None else read_admission(found)


def brought_along(judge_sha256: str, start: Path, trust: Trust) -> Path | None:
    """A record of the judge that is stored with the suite and is not the user's own."""
    return next((one for one in _places(judge_sha256, start) if one.is_file() and not trust.trusts(one)), None)


def is_in_place(path: Path) -> bool:
    """Whether a record in an admissions folder is a file of this user or of root, and no link leads to it."""
    try:
        owner = path.stat().st_uid
    except OSError:
        return False
    return owner in (0, os.getuid()) and path.resolve() == path


def _places(judge_sha256: str, start: Path) -> list[Path]:
    return [folder / FOLDER / f"{judge_sha256}.json" for folder in _upwards(start)]


def default_path(judge_sha256: str) -> Path:
    """The default path for writing and finding a record."""
    return FOLDER / f"{judge_sha256}.json"


def _upwards(start: Path) -> list[Path]:
    resolved = start.resolve()
    return [resolved, *resolved.parents]


def _groups(data: Any, counts: Any) -> tuple[tuple[int, Counts], ...]:
    """The counts of groups in a record; they must sum to all counts."""
    groups = tuple((number, (_row(first), _row(second))) for number, (first, second) in data)
    if any(type(number) is not int or number < 1 for number, _ in groups) or sum(n for n, _ in groups) > MOST_GROUPS:
        raise ValueError("numbers of groups must be whole and positive")
    if any(not any(map(any, one)) for _, one in groups):
        raise ValueError("a group has labels")
    summed = [[sum(number * one[i][j] for number, one in groups) for j in range(3)] for i in range(2)]
    if groups and summed != [list(row) for row in counts]:
        raise ValueError("the groups do not sum to the counts")
    return groups


def _row(values: Any) -> tuple[int, int, int]:
    passed, failed, invalid = values
    if any(type(value) is not int or value < 0 for value in values):
        raise ValueError("counts must be whole numbers")
    return passed, failed, invalid


def _seal(body: Mapping[str, Any]) -> str:
    return sha256_hex(canonical_json(body))
