"""Asking a model the cases of a draw, as often as the suite says, and the additional prompts that checks need.

A question is a case as the model sees it: the case itself, or, under its own id, the same case for another answer or an
additional prompt (`asked_prompts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

from tunegate.cases.case import Case, Prompt, sample_id
from tunegate.checks.check import Check, Sample, is_deterministic, variants_of
from tunegate.checks.outcome import Outcome
from tunegate.exceptions import TunegateError, message_of, without_addresses
from tunegate.gates.judging import Judging
from tunegate.models.blocks import Block
from tunegate.models.model import Fault, GenerationSettings, Model, Response
from tunegate.models.shared_answers import Question, question_of
from tunegate.models.timing import judge_opener
from tunegate.suites.suite import Suite


def ask_samples(suite: Suite, model: Model, cases: Sequence[Case], samples: int = 1) -> list[Sample]:
    """Ask the model the cases and the additional prompts of the checks, whatever number of answers the suite asks for;
    `samples` for each case, in the order of the cases."""
    return _ask_all(with_samples(suite, samples), model, cases)


def with_samples(suite: Suite, samples: int) -> Suite:
    """The suite with another number of answers to each case."""
    return replace(suite, settings=replace(suite.settings, samples=samples))


def judge_cases(suite: Suite, model: Model, cases: Sequence[Case]) -> list[Outcome]:
    """Ask and judge cases without recording it; one outcome per case, in order."""
    return list(Judging.of(suite).outcomes(_ask_all(suite, model, cases)))


def _ask_all(suite: Suite, model: Model, cases: Sequence[Case]) -> list[Sample]:
    responses: dict[str, Response] = {}
    for wanted in open_questions(suite, cases, lambda question: True):
        responses |= zip((question.id for question in wanted), ask(suite, model, wanted), strict=True)
    return samples_of(suite, model, cases, responses)


def open_questions(suite: Suite, cases: Sequence[Case], is_open: Callable[[str], bool]) -> Iterator[list[Case]]:
    """The open questions of the cases, in batches that are asked one after the other; no batch is empty."""
    for asked in (cases, [question for case in cases for question in beside(suite, case)]):
        questions = [repeat for question in asked for repeat in repeats(suite, question)]
        if wanted := [question for question in questions if is_open(question.id)]:
            yield wanted


def blocks_to_ask(suite: Suite, cases: Sequence[Case], is_open: Callable[[str], bool]) -> Iterator[Block]:
    """What the model will be asked about these cases, call by call, as `open_questions` and `ask` do it."""
    for wanted in open_questions(suite, cases, is_open):
        if _is_generated(suite):
            yield Block("generate", tuple(wanted), suite.settings)
        if _is_scored(suite):
            yield Block("score_choices", tuple(wanted), suite.settings)


def _is_generated(suite: Suite) -> bool:
    return any(not check.needs_choices for check in suite.checks)


def _is_scored(suite: Suite) -> bool:
    return any(check.needs_choices for check in suite.checks)


class Named(Protocol):
    """Who gave an answer: a model, or the name of one on record."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str | None: ...


def samples_of(suite: Suite, model: Named, cases: Sequence[Case], responses: Mapping[str, Response]) -> list[Sample]:
    """The samples for the checks: each answer to each case, with the answers to its additional prompts."""
    open_judge = None if all(map(is_deterministic, suite.checks)) else judge_opener(model)
    return [
        Sample(
            case,
            fault or responses[sample_id(case.id, number)],
            model.sha256,
            model.name,
            tuple(responses[sample_id(variant_id(case, place), number)] for place in range(1, len(prompts) + 1)),
            open_judge=open_judge,
        )
        for case in cases
        for prompts, fault in [_wanted_beside(suite.checks, case)]
        for number in range(1, suite.settings.samples + 1)
    ]


def questions(suite: Suite, case: Case) -> list[Case]:
    """All questions about a case, repeated as often as they are asked."""
    return [repeat for question in (case, *beside(suite, case)) for repeat in repeats(suite, question)]


def repeats(suite: Suite, question: Case) -> list[Case]:
    """The question, once for each requested answer."""
    further = range(2, suite.settings.samples + 1)
    return [question, *(replace(question, id=sample_id(question.id, number)) for number in further)]


def known_answers(suite: Suite, case: Case, responses: Mapping[str, Response]) -> dict[Question, Response]:
    """The answers to a case among these, by question, as a model that shares its answers keeps them.

    Likelihoods beside a generated answer are not: alone, they come with the likeliest choice as the text.
    """
    known: dict[Question, Response] = {}
    for one in questions(suite, case):
        response = responses.get(one.id)
        if response is None or response.error is not None:
            continue
        if _is_generated(suite):
            known[question_of("generate", one, suite.settings)] = replace(response, choice_scores=())
        elif _is_scored(suite) and response.choice_scores:
            known[question_of("score_choices", one, suite.settings)] = response
    return known


def beside(suite: Suite, case: Case) -> list[Case]:
    """The additional prompts of the checks for a case; empty if a check cannot name its prompts."""
    prompts, _ = _wanted_beside(suite.checks, case)
    return [replace(case, id=variant_id(case, number), prompt=prompt) for number, prompt in enumerate(prompts, start=1)]


def asked_prompts(suite: Suite) -> dict[str, Prompt]:
    """All prompts that a gate on a suite may ask, by id: its cases, and the additional prompts of its checks.

    With several samples, each of these is asked that number of times, under the ids that `sample_id` gives.
    """
    return {question.id: question.prompt for case in suite.cases for question in (case, *beside(suite, case))}


def variant_id(case: Case, number: int) -> str:
    """The id of an additional prompt for a case; the numbers count from 1."""
    return f"{case.id} [variant {number}]"


def _wanted_beside(checks: Sequence[Check], case: Case) -> tuple[tuple[Prompt, ...], Response | None]:
    """The additional prompts of the checks for a case; a response with an error if a check cannot name its prompts."""
    try:
        return variants_of(checks, case), None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return (), Response(
            "", error=f"a check could not name its additional prompts for this case: {_in_short(error)}"
        )


def ask(
    suite: Suite, model: Model, cases: Sequence[Case], on_answer: Callable[[int, Response], None] | None = None
) -> list[Response]:
    """One response per case, in order. A case that the model could not answer gets a response with an error.

    `on_answer` is called with each generated answer as it arrives, and with the index of its case.
    """

    def work(responses: list[Response | None]) -> None:
        if _is_generated(suite):
            for index, response in _each_once(model.generate(cases, suite.settings), len(cases)):
                responses[index] = response
                if on_answer is not None:
                    on_answer(index, response)
        if _is_scored(suite):
            for index, scored in _each_once(model.score_choices(cases, suite.settings), len(cases)):
                responses[index] = _with_scores(responses[index], scored)

    return _one_each(len(cases), work)


def generated(model: Model, cases: Sequence[Case], settings: GenerationSettings) -> list[Response]:
    """One generated answer per case, in order, without any suite; with an error for a case that has no answer."""

    def work(responses: list[Response | None]) -> None:
        for index, response in _each_once(model.generate(cases, settings), len(cases)):
            responses[index] = response

    return _one_each(len(cases), work)


def _one_each(n: int, work: Callable[[list[Response | None]], None]) -> list[Response]:
    """The `n` responses that `work` fills in, as far as it comes; the others have an error."""
    responses: list[Response | None] = [None] * n
    try:
        work(responses)
    except (TunegateError, KeyboardInterrupt):
        raise
    except BaseException as error:  # out of memory, a bug in a model's code: not judged, with the reason
        failed = f"the model failed: {_in_short(error)}"
        if isinstance(error, IndexError):  # answers were mixed up, so it is unknown which case the others belong to
            return [Response("", error=failed, fault=Fault.NO_REPLY) for _ in responses]
        return [response or Response("", error=failed, fault=Fault.NO_REPLY) for response in responses]
    silent = Response("", error="the model gave no response", fault=Fault.NO_REPLY)
    return [response or silent for response in responses]


def _in_short(error: BaseException) -> str:
    return f"{type(error).__name__}: {without_addresses(' '.join(message_of(error).split()))[:300]}"


def _each_once(answers: Iterator[tuple[int, Response]], n: int) -> Iterator[tuple[int, Response]]:
    """The answers; raises IndexError for an answer to a case that was not asked or already has its answer."""
    open_ = set(range(n))
    for index, response in answers:
        if index not in open_:
            raise IndexError(f"the model answered case {index} of {n}, which was not asked or already has an answer")
        open_.remove(index)
        yield index, response if _is_answer(response) else _not_an_answer(response)


def _is_answer(response: Any) -> bool:
    """Whether this is a usable response: third-party models may return anything."""
    return isinstance(response, Response) and isinstance(cast(object, response.text), str)


def _not_an_answer(response: object) -> Response:
    return Response("", error=f"the model returned {response!r:.80} instead of an answer", fault=Fault.NO_REPLY)


def _with_scores(generated: Response | None, scored: Response) -> Response:
    if generated is None or scored.error or generated.error:
        return scored if generated is None or not generated.error else generated
    return replace(generated, choice_scores=scored.choice_scores)
