"""A judge without a language model: it compares the answer with the references by a few numbers that people can check.

Logistic regression finds the weights of the numbers on answers that people judged (`tunegate judge --fit`). The fitted
weights are a small JSON file, which also holds the hashes of the questions used for the fit: the judge is never
measured on those.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from tunegate.checks.check import Sample
from tunegate.exceptions import ConfigError
from tunegate.models.sentences import Embed, SentenceModel, default_model
from tunegate.text.words import JOINED, compiled, has_words_of_one_character
from tunegate_suites.base import Options
from tunegate_suites.judges.opinion import Opinion
from tunegate_suites.normalise import squad

FeatureName = Literal["contains", "recall", "numbers", "length", "similarity", "support"]
EMBEDDED = {"similarity", "support"}
MOST_EMBEDDED = 8
"""The largest number of references of one case that are embedded; some questions have a hundred spellings."""
NO_REFERENCE = "the case has no reference, or an empty one"
FORMAT = "tunegate-compare/1"
_NUMBER = re.compile(r"\d+")


class CompareOptions(Options):
    """The numbers for the comparison, and the file of fitted weights."""

    features: Annotated[list[FeatureName], Field(min_length=1)]
    """contains, recall, numbers, length; similarity and support need the extra 'similarity'"""
    fitted: Annotated[str, Field(min_length=1, exclude=True)]
    """the weights, a JSON file that `tunegate judge --fit` writes; relative to this file"""
    separator: str | None = None
    """the separator of alternatives in a reference, for example /"""


@dataclass(frozen=True)
class Fitted:
    """Weights of the numbers, the bias, and the cut from which an answer counts as correct."""

    weights: Mapping[str, float]
    bias: float
    cut: float
    questions: frozenset[str]
    """`question_hash` of each question used for the fit."""
    sha256: str = ""

    def score(self, values: Mapping[str, float]) -> float:
        """The log-odds that people would judge the answer correct."""
        return self.bias + math.fsum(self.weights[name] * values[name] for name in self.weights)


def read_fitted(text: str, features: Sequence[str]) -> Fitted:
    """Weights from the text of their file; raises ConfigError for another text, or weights for other features."""
    try:
        data: Any = json.loads(text)
        if data["format"] != FORMAT:
            raise ValueError("the format is different")
        weights = {str(name): float(value) for name, value in data["weights"].items()}
        fitted = Fitted(weights, float(data["bias"]), float(data["cut"]), frozenset(map(str, data["questions"])))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError("this is not a file of fitted weights; write one with `tunegate judge --fit`") from error
    if set(weights) != expanded(features):
        raise ConfigError(
            f"the weights are for other features ({', '.join(sorted(weights))}); fit again: tunegate judge --fit"
        )
    if not all(map(math.isfinite, (fitted.bias, fitted.cut, *weights.values()))):
        raise ConfigError("a weight is not a finite number; fit again: tunegate judge --fit")
    return Fitted(weights, fitted.bias, fitted.cut, fitted.questions, hashlib.sha256(text.encode()).hexdigest())


@dataclass(frozen=True)
class ComparingJudge:
    """Judges an answer `correct` if its score is at least the cut."""

    options: CompareOptions
    fitted: Fitted

    @cached_property
    def _sentences(self) -> SentenceModel:
        return default_model("judge")

    def opinions(self, samples: Sequence[Sample]) -> list[Opinion]:
        faults = faults_of(samples, self.options, lambda: self._sentences)
        judged = [sample for sample, fault in zip(samples, faults, strict=True) if fault is None]
        rows = iter(numbers(judged, self.options, lambda texts: self._sentences.embed(texts)))
        return [self._opinion(next(rows)) if fault is None else Opinion(None, fault) for fault in faults]

    def _opinion(self, values: Mapping[str, float]) -> Opinion:
        score = self.fitted.score(values)
        if not math.isfinite(score):
            return Opinion(None, f"the score is {score}")
        shown = ", ".join(f"{name} {value:.2f}" for name, value in values.items())
        return Opinion("correct" if score >= self.fitted.cut else "incorrect", shown, f"log-odds {score:.4f}")


def question_hash(prompt: str) -> str:
    """The hash of a question in the file of weights."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:12]


# --- samples that cannot be compared -------------------------------------------------------------------------------


def faults_of(
    samples: Sequence[Sample], options: CompareOptions, model: Callable[[], SentenceModel]
) -> list[str | None]:
    """For each sample, why its answer cannot be compared with its references; None if it can."""
    wanted = expanded(options.features)
    parts = [_references(sample, options.separator) for sample in samples]
    faults = [_fault_of_references(references, wanted) for references in parts]
    if not EMBEDDED & wanted:
        return faults
    embedded = [
        [] if fault else _to_embed(sample, references, wanted).all()
        for sample, references, fault in zip(samples, parts, faults, strict=True)
    ]
    texts = [text for one in embedded for text in one]
    long = model().too_long(texts) if texts else {}
    window = model().window if long else None
    return [
        fault or next((_cut(long[text], window) for text in one if text in long), None)
        for fault, one in zip(faults, embedded, strict=True)
    ]


def _fault_of_references(references: Sequence[str], wanted: set[str]) -> str | None:
    if not references:
        return NO_REFERENCE
    if not EMBEDDED & wanted and not any(_HAS_SPACED_WORD.search(text) for text in references):
        alone = any(map(has_words_of_one_character, references))
        return "the reference's script has no spaces between words, but this judge compares words" if alone else None
    return None


_HAS_SPACED_WORD = compiled(JOINED)


def _cut(tokens: int, window: int | None) -> str:
    return f"a text has {tokens} tokens, but the sentence model reads only {window}, so its end would not count"


# --- the numbers ---------------------------------------------------------------------------------------------------


def expanded(features: Sequence[str]) -> set[str]:
    """The numbers computed for the features."""
    parts = {"length": ["length", "reference_length"], "numbers": ["numbers", "has_numbers"]}
    return {number for feature in features for number in parts.get(feature, [feature])}


def numbers(samples: Sequence[Sample], options: CompareOptions, embed: Embed) -> list[dict[str, float]]:
    """For each sample (with a reference), the numbers for judging its answer; the best reference counts.

    contains: the answer contains a reference. recall: the share of a reference's words, without those of the question,
    that are in the answer. numbers: the share of its numbers. length: the word counts of answer and reference, as
    logarithms. similarity: cosine of answer and reference. support: how much closer the answer is to question and
    reference together than to the question alone.
    """
    wanted = expanded(options.features)
    rows = [_words(sample, _references(sample, options.separator)) for sample in samples]
    if EMBEDDED & wanted:
        texts = [_to_embed(sample, _references(sample, options.separator), wanted) for sample in samples]
        vectors = embed([text for one in texts for text in one.all()])
        for row, one in zip(rows, texts, strict=True):
            row.update(_cosines(one, vectors))
    return [{name: row[name] for name in sorted(wanted)} for row in rows]


def _references(sample: Sample, separator: str | None) -> list[str]:
    parts = [part for text in sample.case.references for part in (text.split(separator) if separator else [text])]
    return [part for part in parts if part.strip()]


def _words(sample: Sample, references: Sequence[str]) -> dict[str, float]:
    answer = squad(sample.response.text)
    words, question = answer.split(), set(squad(sample.case.prompt_text).split())
    present = set(words)
    normal = [squad(reference) or reference for reference in references]
    wanted = [reference.split() or [""] for reference in normal]
    new = [[word for word in reference if word not in question] or reference for reference in wanted]
    figures = [found for reference in references if (found := _NUMBER.findall(reference))]
    mine = set(_NUMBER.findall(sample.response.text))
    return {
        "contains": max(float(f" {reference} " in f" {answer} ") for reference in normal),
        "recall": max(_share(reference, present) for reference in new),
        "numbers": max((_share(found, mine) for found in figures), default=0.0),
        "has_numbers": float(bool(figures)),
        "length": math.log1p(len(words)),
        "reference_length": math.log1p(min(map(len, wanted))),
    }


def _share(wanted: Sequence[str], present: set[str]) -> float:
    return sum(word in present for word in wanted) / len(wanted)


@dataclass(frozen=True)
class _ToEmbed:
    """`questions` are the question alone, then with each reference; texts that no feature needs are left out."""

    answer: str
    references: list[str]
    questions: list[str]

    def all(self) -> list[str]:
        return [self.answer, *self.references, *self.questions]


def _to_embed(sample: Sample, references: list[str], wanted: set[str]) -> _ToEmbed:
    question, references = sample.case.prompt_text, references[:MOST_EMBEDDED]
    asked = [question, *(f"{question} {text}" for text in references)] if "support" in wanted else []
    return _ToEmbed(sample.response.text, references if "similarity" in wanted else [], asked)


def _cosines(texts: _ToEmbed, vectors: Mapping[str, Any]) -> dict[str, float]:
    answer = vectors[texts.answer]
    near = [float(answer @ vectors[text]) for text in texts.references]
    alone, *supported = [float(answer @ vectors[text]) for text in texts.questions] or [0.0, 0.0]
    return {"similarity": max(near, default=0.0), "support": max(supported) - alone}
