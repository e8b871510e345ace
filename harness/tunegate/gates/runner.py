"""The loop of one draw, in a pipeline or alone: ask, judge, record, decide; an interrupted draw is resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice, takewhile

from tunegate.cases.case import Case
from tunegate.checks.check import Sample
from tunegate.checks.outcome import Outcome, shallow
from tunegate.exceptions import ConfigError, Tampered
from tunegate.gates.ask import ask, blocks_to_ask, open_questions, questions, repeats, samples_of
from tunegate.gates.diversity import measured_draw
from tunegate.gates.draw import Draw, GatePlace, Reference
from tunegate.gates.judging import Judging, Row, judged_rows
from tunegate.gates.limits import check_measurable, measure, open_baseline
from tunegate.models.blocks import expect
from tunegate.models.model import Model, Response, StoredResponses, answers_the_same, check_weights, servers_of
from tunegate.models.timing import Measured, end_draw, executor_facts, halved_batch
from tunegate.progress import Progress, no_progress
from tunegate.record.answer_log import AnswerLog, answers_to_json, counted
from tunegate.record.gate_events import (
    Answered,
    Asking,
    GateDecided,
    GateStarted,
    LimitsMeasured,
    OfGate,
    OutcomeJudged,
    OutcomesJudged,
)
from tunegate.record.judged_log import JudgedLog
from tunegate.record.record import GateRecord
from tunegate.record.run_log import RunLog
from tunegate.suites.suite import Suite
from tunegate.text.common_start import common_start
from tunegate.verdicts.decision import Decision, find_stop
from tunegate.verdicts.limits import any_not_measured
from tunegate.verdicts.terms import Terms, conclude

DOCUMENT_CHARS = 200
"""Prompts that have this many characters in common, or all of a shorter prompt, are taken to share a document."""


@dataclass(frozen=True, slots=True)
class GateRunner:
    """Runs gates and records what happens, one event at a time. Only the log holds the outcomes."""

    log: RunLog
    progress: Progress = no_progress
    base: Callable[[], Model] | None = None
    """Opens the model that a pipeline began with: the baseline `base` of limits."""

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

        `begun` is the record of the same draw, interrupted or INVALID: its cases and answers are kept. A case with a
        verdict is not judged again, unless by people; a case that could not be judged is judged again from the answer
        on record, a few times at most; only questions without an answer are asked again. `before` are the outcomes that
        a retention draw is compared with. If the terms allow a draw to stop early, the model is not asked further once
        the verdict is certain.
        """
        started = time.monotonic()
        check_measurable(terms.limits, model, self.base)
        if begun is None:
            self._register(place, suite, terms, model, drawn, before)
        cases = drawn.cases if begun is None else _drawn_before(suite, begun)
        answers = begun.answers.copy() if begun else AnswerLog()
        judged = begun.judged if begun else JudgedLog()
        known = (case for case in cases if case.id in judged.outcomes)
        done = {case.id for case in known if _is_final(suite, case, judged, answers, terms.ask_again)}
        measured = self._measure(place, suite, terms, model, cases, begun)
        self.progress(place.label, len(done), len(cases))
        asked = 0
        blocks = list(blocks_of(cases, _block_size(model, terms, len(cases)), in_draw_order=terms.may_stop))
        if begun is not None and _are_open(suite, [case for case in cases if case.id not in done], terms, answers):
            _check_same_dtype(place, begun, model)
        self._announce(suite, terms, model, blocks, done, answers)
        for block in blocks:
            # Only whole blocks count: a draw that was interrupted within a block asks the same cases as any other draw.
            if terms.may_stop and find_stop(terms.plan, self._in_order(place, cases[:asked], done), terms.max_errors):
                break
            asked += len(block)
            left = [case for case in block if case.id not in done]
            self._ask(place, suite, terms, model, left, answers)
            samples = samples_of(suite, model, left, answers.responses)
            rows = judged_rows(suite, samples, judged.outcomes)
            in_line = _rows_per_line(suite, samples)
            while part := list(islice(rows, in_line)):
                self.log.append(_as_judged(place, part, alone=in_line == 1), durable=False)
                done |= {row["case_id"] for row in part}
                self.progress(place.label, len(done), len(cases))
        end_draw(model)
        if asked:
            check_weights(model)  # before the verdict: it is about the bytes that were hashed
        judged_cases = self._in_order(place, cases, done)
        diversity = measured_draw(terms, suite.diversity_texts, judged_cases)
        decision = conclude(terms, judged_cases, before.outcomes if before else (), measured, diversity)
        self.log.append(
            GateDecided(
                **place.named,
                **shallow(decision),
                reason=decision.reason,
                seconds=time.monotonic() - started,
                servers=tuple(servers_of(model)),
                executor=executor_facts(model),
                halved_batch=halved_batch(model),
            )
        )
        if decision.spared:
            self.progress(place.label, len(cases), len(cases))
        return decision

    def _in_order(self, place: GatePlace, cases: Sequence[Case], done: Set[str]) -> list[Outcome]:
        """The outcomes in draw order, up to the first case that is not done."""
        outcomes = self.log.judged(OfGate(**place.named))
        return [outcomes[case.id] for case in takewhile(lambda case: case.id in done, cases)]

    def _measure(
        self,
        place: GatePlace,
        suite: Suite,
        terms: Terms,
        model: Model,
        cases: Sequence[Case],
        begun: GateRecord | None,
    ) -> Measured | None:
        """Time the requests of the suite's limits, unless they are on record: first, since a server may keep prompts
        that it was asked before."""
        if terms.limits is None or terms.purpose != "gate":
            return None
        known = begun.figures if begun else None
        if known is not None and not any_not_measured(terms.limits, known):
            return known
        if begun is not None:
            _check_same_dtype(place, begun, model)
        measured = measure(terms.limits, suite.settings, model, cases, lambda: open_baseline(terms.limits, self.base))
        self.log.append(LimitsMeasured(**place.named, measured=measured))
        return measured

    def _announce(
        self,
        suite: Suite,
        terms: Terms,
        model: Model,
        blocks: Sequence[Sequence[Case]],
        done: Set[str],
        answers: AnswerLog,
    ) -> None:
        """Tell the model what it will be asked, unless it may answer differently the next time: that is asked only
        after it is on record."""
        if answers_the_same(model):
            lefts = [[case for case in block if case.id not in done] for block in blocks]
            is_open = partial(answers.may_be_asked, ask_again=terms.ask_again)
            expect(model, (one for left in lefts for one in blocks_to_ask(suite, left, is_open)))

    def _ask(
        self, place: GatePlace, suite: Suite, terms: Terms, model: Model, cases: Sequence[Case], answers: AnswerLog
    ) -> None:
        """Ask the open questions, and record all answers before any is judged: a check that ends the process gets the
        same answers the next time.

        A model that may answer differently the next time counts as asked even if the gate ends meanwhile, so its
        questions are recorded first. Known weights give the same answers again.
        """
        for wanted in open_questions(suite, cases, lambda name: answers.may_be_asked(name, terms.ask_again)):
            names = [question.id for question in wanted]
            if answers_the_same(model):
                responses = dict(zip(names, ask(suite, model, wanted), strict=True))
            else:
                servers = tuple(servers_of(model))
                self.log.append(Asking(**place.named, questions=tuple(names), servers=servers), durable=False)
                answers.begin(names)
                responses = self._hear(place, suite, terms, model, wanted, answers)
            self._take_in(place, terms, responses, answers)

    def _hear(
        self, place: GatePlace, suite: Suite, terms: Terms, model: Model, wanted: Sequence[Case], answers: AnswerLog
    ) -> Mapping[str, Response]:
        """Ask, and record each answer as it arrives, since it may have cost money; return the responses not
        recorded."""
        taken: set[str] = set()

        def on_answer(index: int, response: Response) -> None:
            if response.came:
                taken.add(wanted[index].id)
                self._take_in(place, terms, {wanted[index].id: response}, answers)

        responses = counted(ask(suite, model, wanted, on_answer))
        return {one.id: said for one, said in zip(wanted, responses, strict=True) if one.id not in taken}

    def _take_in(self, place: GatePlace, terms: Terms, responses: Mapping[str, Response], answers: AnswerLog) -> None:
        if not responses:
            return
        kept = {name: answers.accepted(name, one, terms.ask_again) for name, one in responses.items()}
        names = iter(kept)
        while part := {name: kept[name] for name in islice(names, ANSWERS_PER_LINE)}:
            self.log.append(Answered(**place.named, answers=answers_to_json(part)), durable=False)
        for question, response in kept.items():
            answers.add(question, response)

    def _register(
        self, place: GatePlace, suite: Suite, terms: Terms, model: Model, drawn: Draw, before: Reference | None
    ) -> None:
        """Record which cases will be asked and how the draw will be decided, before the first answer."""
        self.log.append(
            GateStarted(
                **place.named,
                part=place.part,
                suite_sha256=suite.sha256,
                model=model.name,
                model_sha256=model.sha256,
                dtype=model.dtype,
                seed=drawn.seed,
                terms=terms.to_json(),
                against=before.place.named if before else None,
                drawn=terms.plan.draw,
                accept=terms.plan.accept,
                case_ids=tuple(case.id for case in drawn.cases),
                reused=drawn.reused,
                questions=drawn.questions,
                ledger=drawn.ledger,
                bank=len(suite.bank.part(place.part)),
                checks=tuple(suite.check_names),
                settings=asdict(suite.settings),
            )
        )


def _are_open(suite: Suite, cases: Sequence[Case], terms: Terms, answers: AnswerLog) -> bool:
    """Whether the model must be asked any more questions about these cases."""
    return any(open_questions(suite, cases, lambda name: answers.may_be_asked(name, terms.ask_again)))


def _check_same_dtype(place: GatePlace, begun: GateRecord, model: Model) -> None:
    """Raise ConfigError if the rest would be answered with another number type: `auto` depends on the machine."""
    if None not in (begun.dtype, model.dtype) and begun.dtype != model.dtype:
        raise ConfigError(
            f"gate {place.label}: it began with the number type {begun.dtype}, and the model is open as {model.dtype}, "
            "which may answer differently; go on where it began, on the same kind of machine and with the same options"
        )


def _is_final(suite: Suite, case: Case, judged: JudgedLog, answers: AnswerLog, ask_again: int) -> bool:
    """Whether no further asking or judging may change the outcome of a case.

    A case that could not be judged is final if no answer can be used and none may be asked for again, or if it was
    judged as often as allowed.
    """
    if not judged.may_be_judged(case.id, ask_again):
        return True
    if any(answers.may_be_asked(question.id, ask_again) for question in questions(suite, case)):
        return False
    return all(answers.responses[question.id].error is not None for question in repeats(suite, case))


def _drawn_before(suite: Suite, begun: GateRecord) -> tuple[Case, ...]:
    by_id = {case.id: case for case in suite.cases}
    for case_id in begun.case_ids:
        if case_id not in by_id:
            raise Tampered(
                f"gate {begun.key!r}: case {case_id!r} was drawn, but it is not in the bank of {suite.name!r}"
            )
    return tuple(by_id[case_id] for case_id in begun.case_ids)


def _block_size(model: Model, terms: Terms, cases: int) -> int:
    """Stored answers are all one block, which several processes can judge, unless the draw may stop after a block."""
    return max(1, cases) if isinstance(model, StoredResponses) and not terms.may_stop else model.block_size


def blocks_of(cases: Sequence[Case], size: int, *, in_draw_order: bool) -> Iterator[Sequence[Case]]:
    """The cases block by block. A model computes a block at once, so its cases are alike: `_alike_together`.

    A draw that may stop early is split into blocks in draw order: a verdict must not depend on the shortest cases
    first.
    """
    in_order = cases if in_draw_order else _alike_together(cases)
    for start in range(0, len(cases), size):
        block = in_order[start : start + size]
        yield _alike_together(block) if in_draw_order else block


def _alike_together(cases: Sequence[Case]) -> list[Case]:
    """The cases by length, which wastes the least padding, but those about one document together: it is computed once.

    Cases are about one document if their prompts go on alike where the prompts of all cases begin to differ.
    """
    same = len(common_start(case.prompt_text for case in cases))
    heads = {case.id: case.prompt_text[same : same + DOCUMENT_CHARS] for case in cases}
    longest: dict[str, int] = {}
    for case in cases:
        longest[heads[case.id]] = max(longest.get(heads[case.id], 0), len(case.prompt_text))
    return sorted(cases, key=lambda case: (longest[heads[case.id]], heads[case.id], len(case.prompt_text), case.id))


def _rows_per_line(suite: Suite, samples: Sequence[Sample]) -> int:
    """How many outcomes are written to the record at once: many if there are many, and judging them again is free.

    An interruption loses those not yet written, and what a judge says may have cost money.
    """
    return ANSWERS_PER_LINE if len(samples) >= ANSWERS_PER_LINE and Judging.of(suite).is_pure else 1


def _as_judged(place: GatePlace, rows: Sequence[Row], *, alone: bool) -> OutcomeJudged | OutcomesJudged:
    """The event of outcomes that are written in one line."""
    return OutcomeJudged(**place.named, outcome=rows[0]) if alone else OutcomesJudged(**place.named, outcomes=rows)


ANSWERS_PER_LINE = 1024
"""The number of answers, or of outcomes, in one line of the record: a line is held in memory whole."""
