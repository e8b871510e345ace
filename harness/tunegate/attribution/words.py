"""An explanation in words: the terminal prints them, and the pages begin with them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tunegate.attribution.explanation import Deletion, Explanation, Lens, Method, Strip, Unit

NAMES: dict[Method, str] = {
    "ablation": "feature ablation",
    "shapley": "Shapley sampling",
    "lime": "LIME",
    "integrated_gradients": "integrated gradients",
    "input_x_gradient": "input x gradient",
    "attention_rollout": "attention rollout",
    "logit_lens": "logit lens",
}
LIMITS: dict[Method, str] = {
    "ablation": "One piece at a time is left out: two pieces that say the same hide each other.",
    "shapley": "The mean over random orders: prompts with few pieces left are unlike any that the model knows.",
    "lime": "A linear model of random prompts: it cannot show that two pieces only matter together.",
    "integrated_gradients": "It depends on the neutral prompt that it starts from, here one of padding tokens.",
    "input_x_gradient": "Only what a very small change would do, and without a sign: how much, not in which direction.",
    "attention_rollout": "Where information could flow, not what it does there; attention is not a cause.",
    "logit_lens": "Early layers are not made to be read this way: trust the last third most.",
}
"""What each method cannot tell."""
SHOWN = 3


def in_words(explanation: Explanation) -> list[str]:
    """The findings, the most important first: where the texts part, what the answer is based on, layers, faults."""
    return [parting_words(explanation), *_based_on(explanation), *_lens(explanation), *notes(explanation)]


def parting_words(explanation: Explanation) -> str:
    """`The answer and the reference first differ at token 3: “dominant” (p 0.71) instead of “recessive” (p 0.12).`"""
    place, total = explanation.parting, sum(one.log_probability for one in explanation.answer_tokens)
    if explanation.reference is None:
        return f"There is no reference; the log-probability of the answer is {total:.2f}."
    if place is None:
        return f"The answer is the reference, word for word; its log-probability is {total:.2f}."
    answer, reference = (
        f"{quoted(tokens[place].text)} (p {_p(tokens[place].log_probability)})" if place < len(tokens) else "its end"
        for tokens in (explanation.answer_tokens, explanation.reference_tokens)
    )
    return f"The answer and the reference first differ at token {place + 1}: {answer} instead of {reference}."


def _based_on(explanation: Explanation) -> Iterator[str]:
    best = explanation.best
    if best is None:
        return
    pieces = [piece for piece in top_pieces(explanation, best) if piece[1] > 0]
    if not pieces:
        yield f"No piece of the prompt speaks for the answer ({NAMES[best.method]})."
        return
    listed = ", ".join(quoted(text) for text, _ in pieces)
    yield f"The answer depends most on the {units(best.unit, len(pieces))} {listed} ({NAMES[best.method]})."


def units(unit: Unit, count: int) -> str:
    """The name of a unit for this number of pieces.

    >>> units("token", 1), units("group of words", 2)
    ('token', 'groups of words')
    """
    first, *rest = unit.split()
    return unit if count == 1 else " ".join([f"{first}s", *rest])


def top_pieces(explanation: Explanation, strip: Strip, count: int = SHOWN) -> list[tuple[str, float]]:
    """The pieces with the highest weights, with these."""
    texts = explanation.texts(strip.unit)
    return [(texts[place], strip.weights[place]) for place in strip.strongest[:count]]


def strip_words(explanation: Explanation, strip: Strip) -> str:
    """One line for a method: its unit, its cost, its highest pieces, its deletion test."""
    pieces = ", ".join(f"{quoted(text)} {weight:+.2g}" for text, weight in top_pieces(explanation, strip))
    passes = f"{strip.passes} pass{'' if strip.passes == 1 else 'es'}"
    test = deletion_words(strip.deletion, strip.unit) if strip.deletion else "too few pieces for a deletion test"
    return f"{NAMES[strip.method]} (by {strip.unit}, {passes}): {pieces}; {test}"


def deletion_words(test: Deletion, unit: Unit) -> str:
    """`without its 5 highest words, the log-probability falls by 2.31; without random ones, it falls by 0.40; …`"""
    low, high = test.interval
    count = f"{test.removed} " if test.removed > 1 else ""
    what = f"{count}highest {units(unit, test.removed)}"
    verdict = "better than random" if test.beats_random else "NOT shown to be better than random"
    too_few = "" if test.can_show else f"; there are too few {units(unit, 2)} for that"
    return (
        f"without its {what}, the log-probability {_falls(test.fall)}; without random ones, it "
        f"{_falls(test.random_fall)}; the fall is larger than for {test.above} of {test.of} random sets "
        f"({test.share:.0%}, 95 %: {low:.0%} to {high:.0%}): {verdict}{too_few}"
    )


def _falls(by: float) -> str:
    return f"{'rises' if by < 0 else 'falls'} by {abs(by):.2f}"


def _lens(explanation: Explanation) -> Iterator[str]:
    if explanation.lens is not None:
        yield lens_words(explanation.lens)


def lens_words(lens: Lens) -> str:
    """At which layer the answer's token appears, and at which the right one falls behind."""
    last = lens.layers[-1].layer
    leads = (
        f"leads from layer {lens.appears} of {last} on"
        if lens.appears is not None
        else f"does not lead even after layer {last}"
    )
    if lens.layers[-1].reference is None:
        return f"The answer's token {leads} (logit lens)."
    if lens.layers[-1].reference > lens.layers[-1].answer:
        return f"The answer's token {leads}; the right one is ahead of it at the end (logit lens)."
    lost = "was never ahead of it" if lens.lost is None else f"falls behind it at layer {lens.lost}"
    return f"The answer's token {leads}; the right one {lost} (logit lens)."


def notes(explanation: Explanation) -> list[str]:
    """What a reader must know before believing the rest: failed methods, an answer that could not be rebuilt."""
    told = [f"{NAMES[fault.method]} gave no result: {fault.reason}." for fault in explanation.faults]
    if not explanation.rebuilt:
        told.append(
            "Here, some tokens of the recorded answer are not the model's most likely ones: the answer was encoded "
            "differently, or this machine computes differently. Read the figures with care."
        )
    if explanation.flipped:
        told.append("The base model answered this case right: the training lost it.")
    return told


def quoted(text: str) -> str:
    """A piece on one line, in quotation marks."""
    line = " ".join(text.split()) or repr(text)
    return f"“{line if len(line) <= 60 else f'{line[:59]}…'}”"


def _p(log_probability: float) -> str:
    value = math.exp(log_probability)
    return f"{value:.2f}" if value >= 0.005 else f"{value:.1g}"
