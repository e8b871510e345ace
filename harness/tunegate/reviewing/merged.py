"""Merges what several reviewers say: the labels, and how far they agree, also each with themselves. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tunegate.exceptions import ConfigError
from tunegate.gates.people import person
from tunegate.reviewing.review_file import CANT_TELL, Key, ReviewFile
from tunegate.stats.agreement import Interval, Share, kappa, kappa_interval, two_way_kappa_interval
from tunegate.stats.krippendorff import alpha, alpha_interval

FEWEST_COPIED = 5
"""Two people who judge this many answers do not take the same seconds for each."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The agreement beyond chance: Cohen's kappa for two reviewers, Krippendorff's alpha for more. `value` is None if
    all verdicts are the same. `same` counts the answers on which all agree, among those that at least two reviewers
    judged; can't tell is a verdict like any other."""

    name: Literal["kappa", "alpha"]
    value: float | None
    interval: Interval
    same: Share


@dataclass(frozen=True, slots=True)
class Label:
    """What people say about an answer. `verdict` is the majority's, or that of the person who settled the answer;
    without either, it is can't tell. `verdicts` counts what the reviewers said. `prompt_sha256` is None in older
    files."""

    key: Key
    verdict: str
    verdicts: Mapping[str, int]
    labelled: str
    settled: bool = False
    prompt_sha256: str | None = None

    @property
    def disputed(self) -> bool:
        """Whether reviewers differ, and nobody has settled it."""
        return len(self.verdicts) > 1 and not self.settled


@dataclass(frozen=True, slots=True)
class Merged:
    """The labels of all files, and the agreement: on the verdict, on each item, and of each with themselves."""

    labels: tuple[Label, ...]
    overall: Agreement | None
    parts: Mapping[str, Agreement]
    with_themselves: Mapping[str, Share]

    @property
    def disputed(self) -> tuple[Label, ...]:
        return tuple(one for one in self.labels if one.disputed)

    @property
    def undecided(self) -> int:
        return sum(one.verdict == CANT_TELL for one in self.labels)


def merge(files: Sequence[ReviewFile]) -> Merged:
    """The files of several reviewers of the same gate; raises ConfigError for files that do not belong together."""
    _check_together(files)
    reviewers = [one for one in files if not one.settles]
    verdicts = [{key: said.verdict for key, said in one.first.items()} for one in reviewers]
    names = dict.fromkeys(name for one in reviewers for said in one.rows for name in said.parts)
    parts = {
        name: [{key: said.parts[name] for key, said in one.first.items() if name in said.parts} for one in reviewers]
        for name in names
    }
    return Merged(
        labels=tuple(_labels(files)),
        overall=agreement(verdicts),
        parts={name: found for name, marks in parts.items() if (found := agreement(marks)) is not None},
        with_themselves={one.reviewer: share for one in reviewers if (share := _with_themselves(one)).of},
    )


def agreement(said: Sequence[Mapping[Key, str]]) -> Agreement | None:
    """The agreement of reviewers, each with a verdict on some keys; None if no two judged the same."""
    keys = dict.fromkeys(key for one in said for key in one)
    units = [[_as_place(key, one[key]) for one in said if key in one] for key in keys]
    units = [unit for unit in units if len(unit) > 1]
    if not units:
        return None
    same = Share(sum(len(set(unit)) == 1 for unit in units), len(units))
    if len(said) > 2:
        return Agreement("alpha", alpha(units), alpha_interval(units), same)
    used = sorted({verdict for unit in units for verdict in unit})
    cells = Counter((first, second) for first, second in units)
    table = [[cells[one, other] for other in used] for one in used]
    interval = two_way_kappa_interval(table) if len(used) == 2 else kappa_interval(table)
    return Agreement("kappa", kappa(table), interval, same)


def _as_place(key: Key, verdict: str) -> str:
    """A verdict on a pair names the better answer by its hash: as its place, it can be compared between pairs."""
    return str(key[1].index(verdict)) if verdict in key[1] else verdict


def _with_themselves(file: ReviewFile) -> Share:
    """How many of the answers that were shown twice got the same verdict twice."""
    turns = {one.order: one for one in file.rows}
    again = [(one, turns[one.repeat_of]) for one in file.rows if one.repeat_of is not None]
    return Share(sum(one.verdict == first.verdict for one, first in again), len(again))


def _labels(files: Sequence[ReviewFile]) -> list[Label]:
    found: list[Label] = []
    for key in dict.fromkeys(key for one in files for key in one.first):
        votes = Counter(one.first[key].verdict for one in files if key in one.first and not one.settles)
        settled = _settled([one for one in files if one.settles and key in one.first], key)
        labelled = min(one.saved for one in files if key in one.first)
        verdict = _majority(votes) if settled is None else settled
        asked = next((said for one in files if key in one.first and (said := one.first[key].prompt_sha256)), None)
        found.append(Label(key, verdict, dict(sorted(votes.items())), labelled[:10], settled is not None, asked))
    return found


def _settled(files: Sequence[ReviewFile], key: Key) -> str | None:
    """What those say who settle disagreements; raises ConfigError if they disagree."""
    for one in files[1:]:
        if one.first[key].verdict != files[0].first[key].verdict:
            raise ConfigError(
                f"{one.path}: it settles {key[0]!r} differently from {files[0].path}; merge the file of one of them"
            )
    return files[0].first[key].verdict if files else None


def _majority(votes: Counter[str]) -> str:
    """The verdict that most reviewers gave, not counting can't tell; can't tell if no verdict leads."""
    decided = [(count, verdict) for verdict, count in votes.items() if verdict != CANT_TELL]
    most = max((count for count, _ in decided), default=0)
    leading = [verdict for count, verdict in decided if count == most]
    return leading[0] if len(leading) == 1 else CANT_TELL


def _check_together(files: Sequence[ReviewFile]) -> None:
    first, *others = files
    for one in others:
        for what, of_first, of_one in (
            ("kind of page", first.kind, one.kind),
            ("record", first.records, one.records),
            ("rubric", first.rubric_sha256, one.rubric_sha256),
        ):
            if of_first != of_one:
                raise ConfigError(f"{one.path}: its {what} is not that of {first.path}; merge only files of one review")
    seen: dict[str, ReviewFile] = {}
    for one in files:
        before = seen.setdefault(person(one.reviewer), one)
        if before is not one:
            raise ConfigError(
                f"{one.path}: the reviewer {one.reviewer!r} saved {before.path}, too; each person counts once"
            )
        copied = next((other for other in files if other is not one and other.rows == one.rows), None)
        if len(one.rows) >= FEWEST_COPIED and copied is not None:
            raise ConfigError(
                f"{one.path}: the same verdicts in the same order and the same seconds as in {copied.path}; each "
                "person counts once"
            )
