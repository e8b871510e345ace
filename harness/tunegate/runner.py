"""Suite x model -> outcomes -> decision: draw, ask, judge, record, decide; an interrupted gate goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice, takewhile
from typing import Any, Protocol, cast

from tunegate.banks import Part, draw
from tunegate.cases import Case, Prompt
from tunegate.checks import Check, Sample, gate_can_fail, judge, variants_of
from tunegate.decision import Decision, find_stop
from tunegate.exceptions import ConfigError, Inconclusive, Tampered, TunegateError, without_addresses
from tunegate.models import Model, Response
from tunegate.outcomes import Outcome, Verdict
from tunegate.record import GateRecord, gate_key, outcome_to_json
from tunegate.suites import Suite
from tunegate.terms import Purpose, Terms, conclude


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
    purpose: Purpose = "gate"

    @property
    def key(self) -> str:
        """Unique within an attempt: `facts`, `facts (confirm)`."""
        return gate_key(self.gate, self.purpose)

    @property
    def label(self) -> str:
        """For a progress bar: `sft#2 facts`."""
        return self.key if self.stage is None else f"{self.stage}#{self.attempt} {self.key}"

    @property
    def part(self) -> Part:
        """The part of the bank that it may open."""
        return "sealed" if self.purpose == "confirm" else "working"


def place_of(gate: GateRecord) -> GatePlace:
    """Where a gate on record stood."""
    return GatePlace(gate.gate, gate.stage, gate.attempt, cast(Purpose, gate.purpose))


@dataclass(frozen=True, slots=True)
class Draw:
    """Registered cases, in the order they are asked. `reused` of them were asked before, as the file allows."""

    cases: tuple[Case, ...]
    seed: int
    reused: int = 0


def draw_fresh(
    place: GatePlace, suite: Suite, n: int, seed: int, used: frozenset[str] = frozenset(), reuse: bool = False
) -> Draw:
    """Draw `n` cases of the part of the bank that the place may open, none of which is in `used`.

    A spent bank raises Inconclusive, or with `reuse` lends cases that were used; one that has too few for a first
    attempt raises ConfigError.
    """
    if not gate_can_fail(suite.checks, n):
        raise ConfigError(
            f"suite {suite.name!r}: no answer can fail its checks: {', '.join(suite.check_names)}; add one that "
            "decides, such as `exact`, or forbid an error category"
        )
    part = suite.bank.part(place.part)
    distinct = suite.bank.distinct(place.part)
    if distinct < n and not used and place.attempt in (None, 1):
        twins = f" ({distinct} distinct tests)" if distinct < len(part) else ""
        raise ConfigError(f"suite {suite.name!r} has {len(part)} {place.part} cases{twins}, the plan draws {n}")
    cases = draw(part, n, seed, used)
    missing = n - len(cases)
    if missing and reuse:
        known = frozenset(case.id for case in cases)
        cases += draw(part, missing, seed, known)
    if len(cases) < n:
        raise Inconclusive(
            f"gate {place.label}: {len(cases)} of {n} {place.part} cases are left that no earlier draw asked; "
            f"{n - len(cases)} more are needed in the bank of {suite.name!r} (or `reuse: true`, which is marked)"
        )
    return Draw(cases, seed, missing)


@dataclass(frozen=True, slots=True)
class Reference:
    """What an earlier model made of the cases that are asked again, and where that stands on record."""

    place: GatePlace
    outcomes: Sequence[Outcome]


@dataclass(frozen=True, slots=True)
class GateRunner:
    """Runs gates and writes what happens through `append`, one event at a time."""

    append: Callable[..., None]
    progress: Progress = no_progress

    def run(
        self,
        place: GatePlace,
        suite: Suite,
        terms: Terms,
        model: Model,
        drawn: Draw,
        *,
        begun: GateRecord | None = None,
        before: Reference | None = None,
    ) -> Decision:
        """Run one draw to its decision.

        `begun` is the record of the same draw, interrupted or INVALID: its cases are kept, and those that were judged
        are not judged again. `before` is what a retention draw is held against. Where the terms let a draw stop early,
        the model is not asked further once the verdict stands.
        """
        started = time.monotonic()
        if begun is None:
            self._register(place, suite, terms, model, drawn, before)
        cases = drawn.cases if begun is None else _drawn_before(suite, begun)
        judged = begun.judged if begun else {}
        outcomes = {case_id: one for case_id, one in judged.items() if one.verdict is not Verdict.INVALID}
        self.progress(place.label, len(outcomes), len(cases))
        asked = 0
        for block in _blocks(cases, model.block_size, in_draw_order=terms.may_stop):
            # Only whole blocks count: a draw that was interrupted within one asks the same cases as one that was not.
            if terms.may_stop and find_stop(terms.plan, _in_order(cases[:asked], outcomes), terms.max_errors):
                break
            asked += len(block)
            for outcome in _judged(suite, model, block, frozenset(outcomes)):
                outcomes[outcome.case_id] = outcome
                self.append({**_at(place), "event": "outcome", "outcome": outcome_to_json(outcome)}, durable=False)
                self.progress(place.label, len(outcomes), len(cases))
        decision = conclude(terms, _in_order(cases, outcomes), before.outcomes if before else ())
        self.append({**_at(place), "event": "gate_decided", **asdict(decision), "seconds": time.monotonic() - started})
        if decision.spared:
            self.progress(place.label, len(cases), len(cases))
        return decision

    def _register(
        self, place: GatePlace, suite: Suite, terms: Terms, model: Model, drawn: Draw, before: Reference | None
    ) -> None:
        """Write down what will be asked and how it will be decided, before the first answer."""
        self.append(
            {
                **_at(place),
                "event": "gate_started",
                "part": place.part,
                "suite_sha256": suite.sha256,
                "model": model.name,
                "model_sha256": model.sha256,
                "dtype": model.dtype,
                "seed": drawn.seed,
                "terms": terms.to_json(),
                "against": asdict(before.place) if before else None,
                "drawn": terms.plan.draw,
                "accept": terms.plan.accept,
                "case_ids": [case.id for case in drawn.cases],
                "reused": drawn.reused,
                "bank": len(suite.bank.part(place.part)),
                "checks": suite.check_names,
            }
        )


def _at(place: GatePlace) -> dict[str, Any]:
    return {"gate": place.gate, "stage": place.stage, "attempt": place.attempt, "purpose": place.purpose}


def _drawn_before(suite: Suite, begun: GateRecord) -> tuple[Case, ...]:
    by_id = {case.id: case for case in suite.cases}
    for case_id in begun.case_ids:
        if case_id not in by_id:
            raise Tampered(f"gate {begun.key!r}: case {case_id!r} was drawn, and is not in the bank of {suite.name!r}")
    return tuple(by_id[case_id] for case_id in begun.case_ids)


def _in_order(cases: Sequence[Case], outcomes: Mapping[str, Outcome]) -> list[Outcome]:
    """The outcomes in draw order, up to the first case that has none."""
    return [outcomes[case.id] for case in takewhile(lambda case: case.id in outcomes, cases)]


def _blocks(cases: Sequence[Case], size: int, *, in_draw_order: bool) -> Iterator[Sequence[Case]]:
    """The cases block by block, those of a block sorted by length, which wastes the least padding.

    A draw that may stop early is cut into blocks as drawn: a verdict must not hang on the shortest cases. Else blocks
    too hold cases of similar length.
    """
    by_length = sorted(cases, key=_length)
    for start in range(0, len(cases), size):
        if in_draw_order:
            yield sorted(cases[start : start + size], key=_length)
        else:
            yield by_length[start : start + size]


def _length(case: Case) -> tuple[int, str]:
    return len(case.prompt_text), case.id


def _judged(suite: Suite, model: Model, block: Sequence[Case], finished: frozenset[str]) -> Iterator[Outcome]:
    """Ask and judge a block; it is asked whole, so that resuming asks for the very same batches."""
    if all(case.id in finished for case in block):
        return
    samples = ask_samples(suite, model, block)
    yield from _judged_in_batches(suite, [sample for sample in samples if sample.case.id not in finished])


def _judged_in_batches(suite: Suite, samples: Sequence[Sample]) -> Iterator[Outcome]:
    """As few at a time as the checks allow, so that an interruption loses as few judged cases as it can."""
    size = max(check.batch_size for check in suite.checks)
    for start in range(0, len(samples), size):
        yield from judge(suite.checks, samples[start : start + size], suite.answer)


def ask_samples(suite: Suite, model: Model, cases: Sequence[Case]) -> list[Sample]:
    """Ask the model the cases, and what the checks want asked beside them; one sample per case, in order."""
    wanted = [_wanted_beside(suite.checks, case) for case in cases]
    variants = [() if isinstance(prompts, Response) else prompts for prompts in wanted]
    responses = [
        fault if isinstance(fault, Response) else response
        for fault, response in zip(wanted, ask(suite, model, cases), strict=True)
    ]
    asked = [
        replace(case, id=variant_id(case, number), prompt=prompt)
        for case, prompts in zip(cases, variants, strict=True)
        for number, prompt in enumerate(prompts, start=1)
    ]
    answers = iter(ask(suite, model, asked) if asked else ())
    return [
        Sample(case, response, model.sha256, model.name, tuple(islice(answers, len(prompts))))
        for case, response, prompts in zip(cases, responses, variants, strict=True)
    ]


def variant_id(case: Case, number: int) -> str:
    """Under which id a model is asked what a check wants asked beside a case; they count from 1."""
    return f"{case.id} [variant {number}]"


def asked_ids(suite: Suite) -> set[str]:
    """The ids of all that a gate on a suite may ask: its cases, and what its checks want asked beside them."""
    ids = {case.id for case in suite.cases}
    for case in suite.cases:
        beside = _wanted_beside(suite.checks, case)
        if not isinstance(beside, Response):
            ids.update(variant_id(case, number) for number in range(1, len(beside) + 1))
    return ids


def _wanted_beside(checks: Sequence[Check], case: Case) -> tuple[Prompt, ...] | Response:
    """The prompts that the checks want asked beside a case; of a check that cannot say which, the fault."""
    try:
        return variants_of(checks, case)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Response("", error=f"what to ask beside this case is not known: {_in_short(error)}")


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
        fault = Response("", error=f"the model failed: {_in_short(error)}")
        if isinstance(error, IndexError):  # answers were mixed up: whose the others are is not known either
            return [fault for _ in responses]
        return [response or fault for response in responses]
    return [response or Response("", error="the model gave no response") for response in responses]


def _in_short(error: BaseException) -> str:
    return f"{type(error).__name__}: {without_addresses(' '.join(str(error).split()))[:300]}"


def _each_once(answers: Iterator[tuple[int, Response]], n: int) -> Iterator[tuple[int, Response]]:
    """The answers; IndexError when one is given to a case that was not asked, or to one that has its answer."""
    open_ = set(range(n))
    for index, response in answers:
        if index not in open_:
            raise IndexError(f"an answer to case {index} of {n}, which was not asked or is answered")
        open_.remove(index)
        yield index, response if _is_answer(response) else Response("", error=f"no answer but {response!r:.80}")


def _is_answer(response: Any) -> bool:
    """Somebody else's model may give anything."""
    return isinstance(response, Response) and isinstance(cast(object, response.text), str)


def _with_scores(generated: Response | None, scored: Response) -> Response:
    if generated is None or scored.error or generated.error:
        return scored if generated is None or not generated.error else generated
    return Response(generated.text, generated.finish_reason, generated.n_tokens, scored.choice_scores)
