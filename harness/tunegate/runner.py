"""Suite x model -> outcomes -> decision: draw, ask, judge, record, decide; an interrupted gate goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from tunegate.cases import Case
from tunegate.checks import Sample, gate_can_fail, judge
from tunegate.decision import Decision, decide
from tunegate.exceptions import ConfigError, Inconclusive, TunegateError, without_addresses
from tunegate.models import Model, Response
from tunegate.outcomes import Outcome, Verdict
from tunegate.record import GateRecord, outcome_to_json
from tunegate.sampling import SinglePlan
from tunegate.suites import Suite


class Progress(Protocol):
    """Told after each judged case; the fake is `no_progress`."""

    def __call__(self, label: str, done: int, total: int) -> None: ...


def no_progress(label: str, done: int, total: int) -> None:
    """Say nothing."""


@dataclass(frozen=True, slots=True)
class GatePlace:
    """Where a gate stands in a run: its stage and attempt, or nothing for a gate run alone."""

    gate: str
    stage: str | None = None
    attempt: int | None = None

    @property
    def label(self) -> str:
        """For a progress bar: `sft#2 facts`."""
        return self.gate if self.stage is None else f"{self.stage}#{self.attempt} {self.gate}"


@dataclass(frozen=True, slots=True)
class GateRunner:
    """Runs gates and writes what happens through `append`, one event at a time."""

    append: Callable[..., None]
    progress: Progress = no_progress

    def run(
        self,
        place: GatePlace,
        suite: Suite,
        plan: SinglePlan,
        model: Model,
        *,
        seed: int,
        used: frozenset[str] = frozenset(),
        begun: GateRecord | None = None,
    ) -> Decision:
        """Run one gate to its decision.

        `used` are case ids that earlier attempts saw and this draw must not. `begun` is the record of the same gate,
        interrupted or INVALID: its draw is kept, and cases that were judged are not judged again. Raises ConfigError
        when the bank is smaller than the plan, Inconclusive when too few fresh cases are left.
        """
        started = time.monotonic()
        cases = _drawn_before(suite, begun) if begun else self._draw(place, suite, plan, model, seed, used)
        outcomes = {o.case_id: o for o in begun.outcomes if o.verdict is not Verdict.INVALID} if begun else {}
        self.progress(place.label, len(outcomes), len(cases))
        for outcome in _judged(suite, model, cases, frozenset(outcomes)):
            outcomes[outcome.case_id] = outcome
            self.append({**_at(place), "event": "outcome", "outcome": outcome_to_json(outcome)}, durable=False)
            self.progress(place.label, len(outcomes), len(cases))
        decision = decide(plan, list(outcomes.values()), suite.max_errors)
        self.append({**_at(place), "event": "gate_decided", **asdict(decision), "seconds": time.monotonic() - started})
        return decision

    def _draw(
        self, place: GatePlace, suite: Suite, plan: SinglePlan, model: Model, seed: int, used: frozenset[str]
    ) -> tuple[Case, ...]:
        if len(suite.cases) < plan.draw:
            raise ConfigError(f"suite {suite.name!r} has {len(suite.cases)} cases, the plan draws {plan.draw}")
        if not gate_can_fail(suite.checks, plan.draw):
            raise ConfigError(
                f"suite {suite.name!r}: no answer can fail its checks: {', '.join(suite.check_names)}; add one that "
                "decides, such as `exact`, or forbid an error category"
            )
        cases = suite.draw(plan.draw, seed, used)
        if len(cases) < plan.draw:
            raise Inconclusive(
                f"gate {place.label}: {len(cases)} of {plan.draw} cases are left that no earlier attempt saw; "
                f"{plan.draw - len(cases)} more are needed in the bank of {suite.name!r}"
            )
        self.append(
            {
                **_at(place),
                "event": "gate_started",
                "suite_sha256": suite.sha256,
                "model": model.name,
                "model_sha256": model.sha256,
                "seed": seed,
                "drawn": plan.draw,
                "accept": plan.accept,
                "case_ids": [case.id for case in cases],
                "checks": suite.check_names,
                "max_errors": suite.max_errors,
            }
        )
        return cases


def _at(place: GatePlace) -> dict[str, Any]:
    return {"gate": place.gate, "stage": place.stage, "attempt": place.attempt}


def _drawn_before(suite: Suite, begun: GateRecord) -> tuple[Case, ...]:
    by_id = {case.id: case for case in suite.cases}
    return tuple(by_id[case_id] for case_id in begun.case_ids)


def _judged(suite: Suite, model: Model, cases: Sequence[Case], finished: frozenset[str]) -> Iterator[Outcome]:
    """Ask and judge block by block; a block is asked whole, so that resuming asks for the very same batches.

    Blocks hold cases of similar length, which wastes the least padding.
    """
    by_length = sorted(cases, key=lambda case: (len(case.prompt_text), case.id))
    for start in range(0, len(by_length), model.block_size):
        block = by_length[start : start + model.block_size]
        if all(case.id in finished for case in block):
            continue
        samples = [
            Sample(case, response, model.sha256, model.name)
            for case, response in zip(block, ask(suite, model, block), strict=True)
            if case.id not in finished
        ]
        yield from _judged_in_batches(suite, samples)


def _judged_in_batches(suite: Suite, samples: Sequence[Sample]) -> Iterator[Outcome]:
    """As few at a time as the checks allow, so that an interruption loses as few judged cases as it can."""
    size = max(check.batch_size for check in suite.checks)
    for start in range(0, len(samples), size):
        yield from judge(suite.checks, samples[start : start + size])


def ask(suite: Suite, model: Model, cases: Sequence[Case]) -> list[Response]:
    """One response per case, in order. What the model could not answer is a response with an error, never a gap."""
    responses: list[Response | None] = [None] * len(cases)
    try:
        if any(not check.needs_choices for check in suite.checks):
            for index, response in _each_once(model.generate(cases, suite.settings), len(cases)):
                responses[index] = response
        if any(check.needs_choices for check in suite.checks):
            for index, scored in _each_once(model.score_choices(cases, suite.settings), len(cases)):
                responses[index] = _with_scores(responses[index], scored)
    except (TunegateError, KeyboardInterrupt):
        raise
    except BaseException as error:  # out of memory, a bug in a model's code: not judged, and it says why
        said = without_addresses(" ".join(str(error).split()))[:300]
        fault = f"the model failed: {type(error).__name__}: {said}"
        return [response or Response("", error=fault) for response in responses]
    return [response or Response("", error="the model gave no response") for response in responses]


def _each_once(answers: Iterator[tuple[int, Response]], n: int) -> Iterator[tuple[int, Response]]:
    """The answers; raises when one is given to a case that was not asked, or to one that has its answer."""
    open_ = set(range(n))
    for index, response in answers:
        if index not in open_:
            raise IndexError(f"an answer to case {index} of {n}, which was not asked or is answered")
        open_.remove(index)
        yield index, response


def _with_scores(generated: Response | None, scored: Response) -> Response:
    if generated is None or scored.error or generated.error:
        return scored if generated is None or not generated.error else generated
    return Response(generated.text, generated.finish_reason, generated.n_tokens, scored.choice_scores)
