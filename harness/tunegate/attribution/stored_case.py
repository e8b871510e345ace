"""A recorded case with its answer, the settings of its question, and the place of the weights that answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tunegate.cases.case import Case
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.exceptions import CannotJudge, ConfigError, nearest
from tunegate.models.model import GenerationSettings
from tunegate.record.record import AttemptRecord, GateRecord, RunRecord
from tunegate.verdicts.terms import REFERENCES


@dataclass(frozen=True)
class StoredCase:
    """One recorded answer. `place` is where the weights were; `flipped`: the base model answered this case right."""

    case: Case
    answer: str
    reference: str | None
    verdict: Verdict
    gate: str
    stage: str | None
    attempt: int | None
    settings: GenerationSettings
    scored: bool
    """Whether the answer is a choice whose likelihood was computed."""
    ended: bool
    """Whether the answer ended by itself."""
    place: str
    model_sha256: str | None
    dtype: str | None
    flipped: bool = False
    by_another: bool = False
    """Whether the model that explains the answer did not give it."""

    @property
    def has_prompt(self) -> bool:
        """Whether there is a text that the answer can be based on; a pair of sentences or a perplexity has none."""
        return bool(self.case.prompt_text.strip())


def stored_cases(run: RunRecord, attempt: AttemptRecord | None) -> list[StoredCase]:
    """The answers of an attempt, or of the gates of a record without stages, each case once: its last draw counts.

    Misses come first, of these the cases with a prompt, and of these the cases that the base model answered right.
    """
    draws = run.gates.values() if attempt is None else attempt.gates.values()
    right = base_was_right(run)
    found: dict[str, StoredCase] = {}
    for gate in draws:
        place = run.start.get("model") or gate.model if attempt is None else str(run.folder / attempt.model)
        for outcome in _outcomes(gate):
            found.pop(outcome.case_id, None)
            found[outcome.case_id] = _stored(gate, outcome, str(place), (gate.suite_sha256, outcome.case_id) in right)
    return sorted(
        found.values(), key=lambda one: (one.verdict is not Verdict.FAIL, not one.has_prompt, not one.flipped)
    )


def find_case(run: RunRecord, attempt: AttemptRecord | None, case_id: str) -> StoredCase:
    """The answer to one case; raises ConfigError if it is not on record, CannotJudge if it or its prompt is empty."""
    cases = stored_cases(run, attempt)
    found = next((one for one in cases if one.case.id == case_id), None)
    if found is None:
        known = nearest(case_id, (one.case.id for one in cases))
        raise ConfigError(f"{run.folder}: no answer to a case {case_id!r} is on record{known}")
    if not found.answer:
        raise CannotJudge(f"case {case_id!r}: its answer is empty, so there is nothing to explain")
    if not found.has_prompt:
        raise CannotJudge(f"case {case_id!r}: it has no prompt, so there is no text that its answer could be based on")
    return found


def base_was_right(run: RunRecord) -> frozenset[tuple[str, str]]:
    """The cases that the base model answered right, by suite and id, if the run asked it."""
    base = run.start.get("model_sha256")
    if not run.stages or base is None:
        return frozenset()
    attempts = [attempt for stage in run.stages.values() for attempt in stage.attempts.values()]
    draws = [*run.gates.values(), *(gate for one in attempts for gate in one.references.values())]
    return frozenset(
        (gate.suite_sha256, outcome.case_id)
        for gate in draws
        if gate.model_sha256 == base and gate.purpose in (*REFERENCES, "baseline")
        for outcome in _outcomes(gate)
        if outcome.verdict is Verdict.PASS
    )


def _outcomes(gate: GateRecord) -> Iterator[Outcome]:
    """The answers that decided a draw, as its report shows them; of an undecided draw, those judged so far."""
    yield from gate.outcomes or gate.judged.outcomes.values()


def _stored(gate: GateRecord, outcome: Outcome, place: str, flipped: bool) -> StoredCase:
    response = gate.answers.responses.get(outcome.case_id)
    scored = response is not None and bool(response.choice_scores)
    return StoredCase(
        case=Case(outcome.case_id, outcome.prompt, outcome.references, tags=outcome.tags),
        answer=outcome.response,
        reference=nearest_reference(outcome.response, outcome.references),
        verdict=outcome.verdict,
        gate=gate.key,
        stage=gate.stage,
        attempt=gate.attempt,
        settings=_settings(gate.settings),
        scored=scored,
        ended=not scored and outcome.finish_reason == "stop",
        place=place,
        model_sha256=gate.model_sha256,
        dtype=gate.dtype,
        flipped=flipped and outcome.verdict is Verdict.FAIL,
    )


def nearest_reference(answer: str, references: Sequence[str]) -> str | None:
    """The reference that shares the longest beginning with the answer.

    >>> nearest_reference("autosomal dominant", ["recessive", "autosomal recessive"])
    'autosomal recessive'
    """

    def common(reference: str) -> int:
        pairs = zip(answer.strip(), reference.strip(), strict=False)
        return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(answer), len(reference)))

    return max(references, key=common, default=None)


def _settings(recorded: Mapping[str, Any]) -> GenerationSettings:
    """The settings that a draw registered; keys of later versions are left out."""
    known = {one.name for one in fields(GenerationSettings)}
    given = {name: value for name, value in recorded.items() if name in known}
    stop: tuple[str, ...] = tuple(given.pop("stop", ()))
    return GenerationSettings(**given, stop=stop)
