"""`human`: people's verdicts on the answers are the check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from tunegate.cases.case import Case
from tunegate.checks.check import Sample
from tunegate.checks.outcome import NO_LABEL, Finding, Verdict
from tunegate.exceptions import ConfigError
from tunegate.gates.people import PeopleLabels, read_people
from tunegate.hashes import sha256_of
from tunegate.reading.files import resolve
from tunegate.trust.wants import Wants
from tunegate_suites.base import CheckBase


class Human(CheckBase):
    """Most people who judged this very answer say that it is right.

    `tunegate review` writes the page on which they judge, and `tunegate review merge` the file of labels, which the
    check reads when it judges. A label is for the bytes of an answer (`response_sha256`) to its prompt, so a model that
    was trained again needs new labels. An answer without a label, or on which people could not decide, makes its case
    INVALID. If only labels are missing, the gate is INCONCLUSIVE; once they are there, the same command decides it on
    the same answers. The file is not part of the suite's hash, since it grows; its own hash is in the version of each
    finding.
    """

    shorthand: ClassVar[str | None] = "labels"
    example: ClassVar[str] = "human: labels.jsonl"
    passes_when: ClassVar[str] = "most people's labels of the answer say right"
    reads_answer_alone: ClassVar[bool] = True

    labels: str
    """the file of labels; it may be missing until somebody has judged the first answers"""

    @property
    def batch_size(self) -> int:
        return 64  # the file is read once for each batch

    @property
    def wants(self) -> Wants:
        return Wants(reads=(self._path,))

    def prepare(self) -> None:
        """Refuse a file that holds no labels now, before anything is asked."""
        try:
            self._read()
        except ConfigError as error:
            raise self.config_error("labels", str(error)) from error

    def remarks(self, cases: Sequence[Case]) -> Sequence[str]:
        missing = f"{self.labels} is not there yet: a gate is INCONCLUSIVE until people labelled its answers"
        return () if self._path.exists() else (missing,)

    @property
    def _path(self) -> Path:
        return resolve(self.labels, self._context.base_dir)

    def _read(self) -> tuple[PeopleLabels, str]:
        """The labels, and what the version of a finding says of their file."""
        if not self._path.exists():
            return PeopleLabels(), "no labels yet"
        return read_people(self._path, may_be_empty=True), f"labels {sha256_of(self._path)}"

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        try:
            labels, file = self._read()
        except (ConfigError, OSError) as error:
            return [self.invalid(f"the labels cannot be read: {error}") for _ in samples]
        return [self._finding(sample, labels, f"{self.revision} ({file})") for sample in samples]

    def _finding(self, sample: Sample, labels: PeopleLabels, version: str) -> Finding:
        text = sample.response.text if sample.whole is None else sample.whole
        verdict = labels.verdict(sample.case.id, sample.case.prompt, text)
        if verdict is None:
            return Finding(self.name, Verdict.INVALID, NO_LABEL, "nobody has labelled this answer yet", version)
        if verdict is Verdict.INVALID:
            return Finding(self.name, verdict, "can't tell", "people did not decide whether it is right", version)
        value = "right" if verdict is Verdict.PASS else "wrong"
        return Finding(self.name, verdict, value, f"people say that it is {value}", version)
