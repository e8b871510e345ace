"""Whether a judge may decide: its hash is compared with its admission record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunegate.checks.judge_admission import Admission, History, brought_along, find_admission, read_admission
from tunegate.exceptions import ConfigError
from tunegate.hashes import judge_json, sha256_hex
from tunegate.trust.allowed import Trust


def judge_hash(identity: Mapping[str, Any]) -> str:
    """The hash under which a judge is admitted, over everything that can change its verdicts."""
    return sha256_hex(judge_json(identity))


@dataclass(frozen=True)
class Standing:
    """The admission of a judge: its record, if there is one, and why its verdicts do not count, if they do not."""

    record: Admission | None
    fault: str | None

    @property
    def in_short(self) -> str:
        """For the version of a finding."""
        if self.record is None:
            return "not admitted"
        measured = self.record.measured
        often = f", {self.record.history.in_words}" if self.record.history.in_words else ""
        return f"admission {self.record.sha256[:12]}, kappa at least {measured.kappa_interval[0]:.3f}{often}"


def standing(judge_sha256: str, path: Path | None, start: Path, admit: float, command: str, trust: Trust) -> Standing:
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
    if not record.measured.reaches(admit):
        return Standing(record, refusal(record, admit))
    return Standing(record, None)


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
