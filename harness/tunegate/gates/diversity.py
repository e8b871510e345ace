"""Measures how diverse the answers of a draw are, compared with the references or with the texts of a file.

Every figure depends on the number of texts and on their lengths, so both sides have the same: each answer has a
partner, its reference or a text of the file, and the measures that count words see only as many words of the two as
the shorter one has. The sampling error comes from random halves of the cases, in which partners stay together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, isclose
from random import Random

from tunegate.checks.outcome import Outcome, Verdict
from tunegate.exceptions import CannotJudge, MissingExtra, Tampered, TunegateError
from tunegate.models.sentences import SentenceModel, default_model
from tunegate.record.record import GateRecord
from tunegate.stats.half_samples import random_halves, upper_limit
from tunegate.text.diversity import Figure, distinct, incompressible, no_template, not_repeated, unlike_others, vendi
from tunegate.text.words import words
from tunegate.verdicts.diversity import DiversityFigure, DiversityRule, Measure, ratio
from tunegate.verdicts.terms import Terms

DECIDED = ("gate", "confirm")
"""The purposes of draws that a rule on diversity applies to."""
HALVES = 199
"""Random halves of the cases; more if a smaller risk needs a higher rank than the highest of these."""
BELIEVED: tuple[Measure, ...] = ("vendi",)
"""Measures that use a model: the figures on record are believed, like those of a check that uses one."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An answer and its partner; `unit` names the group of cases that it belongs to."""

    answer: str
    other: str
    unit: str


def measured_draw(terms: Terms, texts: Sequence[str], outcomes: Sequence[Outcome]) -> tuple[DiversityFigure, ...]:
    """The figures that the rule of a draw asks for; none without a rule, or if the draw stopped before its end.

    `texts` are those that the answers are compared with; if there are none, the references are.
    """
    rule = terms.diversity
    if rule is None or terms.purpose not in DECIDED or len(outcomes) < terms.plan.draw:
        return ()
    return measure(rule, pairs_of(outcomes, texts))


def pairs_of(outcomes: Sequence[Outcome], texts: Sequence[str] = ()) -> list[Pair]:
    """The answers, each with its first reference; or each with a text, of which some are chosen at random.

    Answers and chosen texts are ordered by length, so that partners are about equally long.
    """
    asked = [one for one in outcomes if one.verdict is not Verdict.INVALID and (texts or one.references)]
    said = [(_answer(one), one.group or one.case_id) for one in asked]
    if not texts:
        return [Pair(text, one.references[0], unit) for (text, unit), one in zip(said, asked, strict=True)]
    ranked = sorted(said, key=lambda one: (len(words(one[0])), one))
    chosen = sorted(_some(texts, len(said)), key=lambda text: (len(words(text)), text))
    return [Pair(text, other, unit) for (text, unit), other in zip(ranked, chosen, strict=False)]


def _answer(outcome: Outcome) -> str:
    """What was judged of the first answer to a case."""
    return answers_of(outcome)[0]


def answers_of(outcome: Outcome) -> list[str]:
    """What was judged of each answer to a case: at least one text."""
    return [one.response if one.judged is None else one.judged for one in outcome.samples or (outcome,)]


def _some(texts: Sequence[str], number: int) -> list[str]:
    random = Random(0)
    order = sorted(range(len(texts)), key=lambda _: random.random())
    return [texts[at] for at in order[:number]]


# --- figures -------------------------------------------------------------------------------------------------------

Prepare = Callable[[Sequence[Sequence[str]]], Figure]
_OF_WORDS: Mapping[Measure, Prepare] = {
    "distinct_1": partial(distinct, n=1),
    "distinct_2": partial(distinct, n=2),
    "self_bleu": unlike_others,
    "gzip": incompressible,
}
_OF_TEXTS: Mapping[Measure, Callable[[Sequence[str]], Figure]] = {
    "near_duplicates": not_repeated,
    "templates": no_template,
}


def figure_of(name: Measure, texts: Sequence[str]) -> Figure:
    """How diverse chosen ones of these whole texts are, by one measure; raises MissingExtra, CannotJudge."""
    if name in _OF_WORDS:
        return _OF_WORDS[name]([words(text.casefold()) for text in texts])
    return _OF_TEXTS.get(name, _of_meanings)(texts)


def measure(rule: DiversityRule, pairs: Sequence[Pair]) -> tuple[DiversityFigure, ...]:
    """The figures by each measure of the rule; a measure that cannot be computed has a fault instead."""
    risk = rule.risk / len(rule.measures)
    return tuple(_measured(name, pairs, risk) for name in rule.measures)


def _measured(name: Measure, pairs: Sequence[Pair], risk: float) -> DiversityFigure:
    if name in _OF_WORDS:
        cut = [(one, *_of_one_length(one)) for one in pairs]
        pairs = [one for one, answer, _ in cut if answer]
        sides = [words for _, words, _ in cut if words], [words for _, _, words in cut if words]
        prepare: Callable[[Sequence[object]], Figure] = _OF_WORDS[name]  # pyright: ignore[reportAssignmentType]
    else:
        sides = [one.answer for one in pairs], [one.other for one in pairs]
        prepare = _OF_TEXTS.get(name, _of_meanings)  # pyright: ignore[reportAssignmentType]
    units = _units(pairs)
    if not units:
        return DiversityFigure(name)
    try:
        answers, others = (prepare(side) for side in sides)
    except (MissingExtra, CannotJudge) as error:
        return DiversityFigure(name, fault=str(error))
    every = range(len(pairs))
    ratios = [ratio(answers(half), others(half)) for half in random_halves(units, max(HALVES, ceil(1 / risk)))]
    return DiversityFigure(name, len(units), answers(every), others(every), upper_limit(ratios, risk))


def _of_one_length(pair: Pair) -> tuple[list[str], list[str]]:
    answer, other = words(pair.answer.casefold()), words(pair.other.casefold())
    length = min(len(answer), len(other))
    return answer[:length], other[:length]


def _units(pairs: Sequence[Pair]) -> list[list[int]]:
    units: dict[str, list[int]] = {}
    for at, pair in enumerate(pairs):
        units.setdefault(pair.unit, []).append(at)
    return list(units.values())


def _of_meanings(texts: Sequence[str]) -> Figure:
    vectors = _embedded(default_model("vendi"), texts)
    return vendi([vectors[text] for text in texts])


def _embedded(model: SentenceModel, texts: Sequence[str]) -> Mapping[str, object]:
    try:
        return model.embed(texts)
    except TunegateError:
        raise
    except Exception as error:  # a broken model folder, no memory: no figure, and not the fault of the answers
        raise CannotJudge(f"the embeddings failed: {type(error).__name__}: {error}") from error


# --- again ---------------------------------------------------------------------------------------------------------


def measure_again(gate: GateRecord, expected: DiversityRule | None, texts: Sequence[str]) -> list[str]:
    """Measure the answers of a recorded draw again; returns the measures whose figures had to be believed.

    Raises Tampered if the draw registered another rule than its suite has, or if a figure on record does not follow
    from the answers. Sizes after gzip may differ by 2 %, because not all versions of zlib give the same bytes.
    """
    if gate.purpose not in DECIDED or not gate.terms:
        return []
    if gate.registered.diversity != expected:
        raise Tampered(f"gate {gate.key!r}: it registered another rule on diversity than its suite has")
    again = {one.measure: one for one in measured_draw(gate.registered, texts, gate.outcomes)}
    for then in gate.diversity:
        now = again.get(then.measure)
        if then.measure in BELIEVED or then.fault:
            continue
        tolerance = 0.02 if then.measure == "gzip" else 1e-6
        if now is None or now.texts != then.texts or not _close(then, now, tolerance):
            raise Tampered(
                f"gate {gate.key!r}: its answers give another diversity by {then.measure} than that on record"
            )
    return [f"diversity by {one.measure}" for one in gate.diversity if one.measure in BELIEVED]


def _close(one: DiversityFigure, other: DiversityFigure, tolerance: float) -> bool:
    pairs = ((one.answers, other.answers), (one.others, other.others), (one.upper, other.upper))
    return all(isclose(*pair, rel_tol=tolerance, abs_tol=1e-9) for pair in pairs)
