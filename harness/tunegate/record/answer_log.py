"""What a model answered in one draw, and which of its questions may still be asked.

A question that has an answer on record is never asked again: a sampled model would be right sooner or later. Only a
question that got no answer (no connection, no time left, a server error, a killed process) is asked again, a few times
at most, and every try is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tunegate.models.model import ChoiceScore, Fault, FinishReason, ImportedScore, Response
from tunegate.record.frozen import FrozenDict
from tunegate.record.typed_json import read_as

INTERRUPTED = Response("", error="it was interrupted while it was asked", fault=Fault.NO_REPLY)


@dataclass(frozen=True, slots=True)
class AnswerLog:
    """The latest response to each question, and how often it was asked. The id it is asked under names a question.

    >>> answers = AnswerLog()
    >>> answers.add("c1", Response("", error="no connection", fault=Fault.NO_REPLY))
    >>> answers.may_be_asked("c1", ask_again=3), answers.may_be_asked("c1", ask_again=0)
    (True, False)

    `under_way`: questions that the record says were put to the model, without an answer so far.
    `replaced`: questions whose answer was replaced by another; older versions asked again.
    """

    responses: dict[str, Response] = field(default_factory=dict[str, Response])
    times_asked: dict[str, int] = field(default_factory=dict[str, int])
    under_way: set[str] = field(default_factory=set[str])
    replaced: set[str] = field(default_factory=set[str])

    def begin(self, questions: Iterable[str]) -> None:
        """Note that questions are being asked; raises ValueError when one already has its answer."""
        for question in questions:
            self.under_way.discard(question)
            self.add(question, INTERRUPTED)
            self.under_way.add(question)

    def add(self, question: str, response: Response) -> None:
        """Add a response; raises ValueError when the question already has its answer."""
        if self.came(question):
            raise ValueError(f"{question!r} already has an answer, but is asked again")
        self.times_asked[question] = self._times_with(question, response)
        self.responses[question] = response
        self.under_way.discard(question)

    def add_once_more(self, question: str, response: Response) -> None:
        """Add a response from an older record, where it may replace an earlier one."""
        earlier = self.responses.pop(question, None)
        if earlier is not None and earlier.came and earlier.text != response.text:
            self.replaced.add(question)
        self.add(question, response)

    def _times_with(self, question: str, response: Response) -> int:
        return self.times_asked.get(question, 0) + response.tries - (question in self.under_way)

    def accepted(self, question: str, response: Response, ask_again: int) -> Response:
        """The response, or no answer if the question was asked too often before the response came.

        A client may have asked several times by itself. A server that stays silent whenever it would be wrong would
        otherwise end up with only right answers.
        """
        times, allowed = self._times_with(question, response), 1 + ask_again
        if times <= allowed or not response.came:
            return response
        error = f"the model answered only at try {times} of this question; ask_again allows {allowed} tries"
        return Response("", error=error, fault=Fault.NO_REPLY, tries=response.tries)

    def copy(self) -> AnswerLog:
        """A copy that can be added to."""
        return AnswerLog(dict(self.responses), dict(self.times_asked), set(self.under_way), set(self.replaced))

    def frozen(self) -> AnswerLog:
        """A copy that cannot be added to."""
        again: Any = frozenset(self.under_way), frozenset(self.replaced)
        return AnswerLog(FrozenDict(self.responses), FrozenDict(self.times_asked), *again)

    def came(self, question: str) -> bool:
        """Whether the model answered, even with an answer that cannot be used."""
        return question in self.responses and self.responses[question].came

    def may_be_asked(self, question: str, ask_again: int) -> bool:
        """Whether the question has no answer yet, and was not asked too often."""
        return not self.came(question) and self.times_asked.get(question, 0) <= ask_again

    @property
    def asked_again(self) -> int:
        """How many questions were asked more than once."""
        return sum(times > 1 for times in self.times_asked.values())

    @property
    def most_asked_until_one_came(self) -> int:
        """The largest number of tries among the questions that have an answer."""
        return max((times for question, times in self.times_asked.items() if self.came(question)), default=0)

    @property
    def most_asked(self) -> int:
        """The largest number of tries of any question."""
        return max(self.times_asked.values(), default=0)

    def spent(self, ask_again: int) -> int:
        """How many questions have no answer and may not be asked again."""
        return sum(not self.came(name) and not self.may_be_asked(name, ask_again) for name in self.times_asked)

    @property
    def in_words(self) -> str:
        """`12 answers were asked for twice`; empty where each question was asked once."""
        again, most = self.asked_again, self.most_asked
        if not again:
            return ""
        how_often = "twice" if most == 2 else f"up to {most} times"
        return f"{again} answer{'s were' if again > 1 else ' was'} asked for {how_often}"


def counted(responses: Sequence[Response]) -> Sequence[Response]:
    """The responses to a batch of questions, with the number of tries that counts for each.

    A client retries by itself, and each of its tries counts. But if no question of the batch got an answer, the server
    was down, which says nothing about any one question: that counts as one try.
    """
    if any(response.came for response in responses):
        return responses
    return [replace(response, tries=1) for response in responses]


def answers_to_json(responses: Mapping[str, Response]) -> list[dict[str, Any]]:
    """Responses by question, for the record; `answers_from_json` is the inverse."""
    return [{"id": question, **_response_to_json(response)} for question, response in responses.items()]


def _response_to_json(response: Response) -> dict[str, Any]:
    scores = [[score.log_likelihood, score.n_bytes] for score in response.choice_scores]
    rare: dict[str, Any] = {"n_tokens": response.n_tokens, "choice_scores": scores}
    rare |= {"error": response.error, "fault": response.fault}
    rare["tries"] = None if response.tries == 1 else response.tries
    rare["by"] = response.by
    rare["imported"] = [[score.name, score.value, score.passed] for score in response.imported]
    return {
        "response": response.text,
        "finish_reason": response.finish_reason,
        **{name: value for name, value in rare.items() if value not in (None, [], "")},
    }


@dataclass(frozen=True, slots=True)
class _Row:
    """An answer as a record holds it. The log of a likelihood of zero is minus infinity, which is written as a text."""

    id: str
    response: str
    finish_reason: FinishReason
    n_tokens: int | None = None
    choice_scores: tuple[tuple[float | str, int | None], ...] = ()
    error: str | None = None
    fault: Fault | None = None
    tries: int = 1
    imported: tuple[tuple[str, float, bool | None], ...] = ()
    by: str = ""

    def to_response(self) -> Response:
        """The recorded response."""
        if self.tries < 1:
            raise ValueError(f"tries must be at least 1, got {self.tries!r}")
        scores = tuple(ChoiceScore(float(score), n_bytes) for score, n_bytes in self.choice_scores)
        imported = tuple(ImportedScore(*one) for one in self.imported)
        return Response(
            *(self.response, self.finish_reason, self.n_tokens, scores, self.error, self.fault, self.tries, imported),
            by=self.by,
        )


def answers_from_json(rows: Iterable[Mapping[str, Any]]) -> dict[str, Response]:
    """The responses that a record holds; raises ValueError for anything else."""
    return {row.id: row.to_response() for row in (read_as(_Row, row) for row in rows)}
