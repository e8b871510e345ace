"""A language model as a judge: it judges an answer alone, or compares it with another in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunegate.checks.check import Sample
from tunegate.models.model import OpenJudge
from tunegate_suites.judges.opinion import Asker, Opinion
from tunegate_suites.judges.prompt import judge_messages, pair_messages
from tunegate_suites.judges.rubric import Rubric

REPEATED = "the judge only repeated a verdict that is word for word in the answer"
NO_RIVAL = "the case has no reference to compare the answer with"


@dataclass(frozen=True)
class OneByOne:
    """Each answer is judged alone by the rubric; the label is a verdict of its menu."""

    rubric: Rubric
    asker: Asker
    as_json: bool

    def opinions(self, samples: Sequence[Sample]) -> list[Opinion]:
        questions = [
            judge_messages(self.rubric, sample.case, sample.response.text, as_json=self.as_json) for sample in samples
        ]
        opinions = self.asker.ask(questions, _opener(samples))
        return [own_words(opinion, sample.response.text) for opinion, sample in zip(opinions, samples, strict=True)]


@dataclass(frozen=True)
class InPairs:
    """Each answer is compared with the case's first reference, in both orders; the label is `better` or `worse`.

    A judge that prefers the same place in both orders did not compare the texts: this is neither an opinion nor a tie.
    """

    rubric: Rubric
    asker: Asker
    as_json: bool

    def opinions(self, samples: Sequence[Sample]) -> list[Opinion]:
        compared = [sample for sample in samples if sample.case.references]
        texts = [(sample.response.text, sample.case.references[0]) for sample in compared]
        questions = [
            pair_messages(self.rubric, sample.case, *order, as_json=self.as_json)
            for sample, (answer, rival) in zip(compared, texts, strict=True)
            for order in ((answer, rival), (rival, answer))
        ]
        replies = iter(self.asker.ask(questions, _opener(samples)))
        merged = iter([_both(own_words(next(replies), *pair), own_words(next(replies), *pair)) for pair in texts])
        return [next(merged) if sample.case.references else Opinion(None, NO_RIVAL) for sample in samples]


def _opener(samples: Sequence[Sample]) -> OpenJudge | None:
    """Opens a judge where the model of these samples is open; they are all of one model."""
    return samples[0].open_judge if samples else None


def own_words(opinion: Opinion, *texts: str) -> Opinion:
    """The opinion, unless the JSON object with the verdict is part of a judged text."""
    if opinion.label is not None and opinion.object:
        verdict = _squeezed(opinion.object)
        if any(verdict in _squeezed(text) for text in texts):
            return Opinion(None, REPEATED, opinion.raw)
    return opinion


def _both(forward: Opinion, backward: Opinion) -> Opinion:
    """One opinion from the opinions on both orders."""
    raw = f"answer first: {forward.raw}\nanswer second: {backward.raw}"
    for opinion in (forward, backward):
        if opinion.label is None:
            return Opinion(None, opinion.reason, raw)
    if forward.label == backward.label:
        place = "first" if forward.label == "1" else "second"
        return Opinion(None, f"the judge prefers the {place} answer in both orders", raw, place=place)
    better = forward.label == "1"
    reason = f"preferred in both orders: {forward.reason}" if better else f"not preferred: {forward.reason}"
    return Opinion("better" if better else "worse", reason, raw)


def _squeezed(text: str) -> str:
    """The text without white space: the prompt adds it to control tokens, and a judge may add it anywhere."""
    return "".join(text.split())
