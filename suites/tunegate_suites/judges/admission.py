"""Whether a judge may decide: its hash is compared with its admission record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from tunegate.checks.judge_admission import (
    DEFAULT_ADMIT,
    Admission,
    Age,
    History,
    brought_along,
    find_admission,
    read_admission,
)
from tunegate.exceptions import ConfigError
from tunegate.hashes import judge_json, sha256_hex
from tunegate.trust.allowed import Trust
from tunegate_suites.base import Options


def judge_hash(identity: Mapping[str, Any]) -> str:
    """The hash under which a judge is admitted, over everything that can change its verdicts."""
    return sha256_hex(judge_json(identity))


class AdmitOptions(Options):
    """What an admission needs: how well the judge agrees with people, and how old that may be."""

    min: Annotated[float, Field(gt=0, lt=1)] = DEFAULT_ADMIT
    """the judge counts only if the lower end of kappa's interval is at least this"""
    within: Annotated[str, Field(pattern=r"^[1-9]\d{0,4} days?$")] | None = None
    """how long an admission is valid, for example 90 days, counted from its first label or its measurement"""

    @property
    def days(self) -> int | None:
        return None if self.within is None else int(self.within.partition(" ")[0])


@dataclass(frozen=True)
class Standing:
    """The admission of a judge: its record, if there is one, and why its verdicts do not count, if they do not.

    `expired`: only because it is too old. Time alone does not change which suite a gate was asked of.
    """

    record: Admission | None
    fault: str | None
    expired: bool = False

    @property
    def in_short(self) -> str:
        """For the version of a finding."""
        if self.record is None:
            return "not admitted"
        measured = self.record.measured
        often = f", {self.record.history.in_words}" if self.record.history.in_words else ""
        return f"admission {self.record.sha256[:12]}, kappa at least {measured.kappa_interval[0]:.3f}{often}"


def standing(
    judge_sha256: str, path: Path | None, start: Path, admit: AdmitOptions, command: str, trust: Trust
) -> Standing:
    """Read the record of a judge: at `path`, or found in `start` and the folders above.

    Only a record of the user's own counts; another is not even read. `command` is the command that measures the judge,
    for the reason. Raises Tampered for a record that was changed.
    """
    named = path is not None and trust.trusts(path)
    try:
        record = read_admission(path) if path and named else find_admission(judge_sha256, start, trust)
    except ConfigError as error:
        return Standing(None, f"the judge is not admitted: {error}; measure it first: {command}")
    foreign = path if path is not None and not named else brought_along(judge_sha256, start, trust)
    if record is None and foreign is not None:
        place = foreign.resolve().parent
        return Standing(
            None,
            f"the judge is not admitted: the record {foreign} came with the suite, and you do not trust {place}; "
            f"measure the judge yourself: {command}",
        )
    if record is None:
        return Standing(
            None, f"the judge is not admitted: no record of {judge_sha256[:12]}… was found; measure it first: {command}"
        )
    if record.judge_sha256 != judge_sha256:
        return Standing(
            None,
            f"the judge is not admitted: {record.path} is for another judge, rubric or model; measure it: {command}",
        )
    if not record.measured.reaches(admit.min):
        return Standing(record, refusal(record, admit.min))
    expired = expiry(record.age, admit, datetime.now(UTC).date())
    return Standing(record, f"{expired}: {command}" if expired else None, bool(expired))


def expiry(age: Age, admit: AdmitOptions, today: date) -> str:
    """Why an admission is too old; empty if it is not."""
    days = age.days(today)
    if admit.days is None or (days is not None and 0 <= days <= admit.days):
        return ""
    if days is None:
        old = "does not say when it was made"
    else:
        old = f"is of a day to come ({age.in_words})" if days < 0 else f"is {days} days old ({age.in_words})"
    return f"the judge's admission expired: it {old}, and `admit.within` is {admit.within}; measure it with new labels"


def history_before(judge_sha256: str, paths: Iterable[Path], labels_sha256: str) -> History:
    """The history of a judge including the current measurement, from the longest history among its records.

    A record that is broken or missing has no history. Raises Tampered for a record that was changed.
    """
    before: list[Admission] = []
    for path in paths:
        with suppress(ConfigError):
            before.append(read_admission(path))
    longest = max((one for one in before if one.judge_sha256 == judge_sha256), key=_times, default=None)
    return longest.history.then(labels_sha256, longest.sha256) if longest else History(by_labels={labels_sha256: 1})


def _times(record: Admission) -> int:
    return record.history.count


def refusal(record: Admission, admit: float) -> str:
    """Why a measured judge is refused."""
    measured = record.measured
    kappa, (low, high) = measured.kappa, measured.kappa_interval
    if kappa is None or not (measured.sensitivity.of and measured.specificity.of):
        unknown = "sensitivity" if measured.specificity.of else "specificity"
        return (
            "the judge is refused: people gave all answers the same verdict, so agreement proves nothing and the "
            f"{unknown} is unknown; label both good and bad answers"
        )
    return (
        f"the judge is refused: kappa is {kappa:.2f} ({low:.2f} to {high:.2f}) on {measured.n} human labels, "
        f"but its lower end must be at least {admit:g}"
    )
