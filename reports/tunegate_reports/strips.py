"""Heat strips: a prompt whose pieces are marked by their weight, with numbers and lines beside the colour."""

from __future__ import annotations

from collections.abc import Sequence

from tunegate.attribution.explanation import UNSIGNED, Explanation, Strip
from tunegate_reports.markup import Markup, join, tag

LEVELS = 5
RANKED = 5
"""How many pieces are numbered, and listed below the strip."""
MANY = 400
"""Of a strip with more pieces, the faintest level is not marked: the page stays small."""


def levels(weights: Sequence[float]) -> list[int]:
    """From -5 to 5: the weight of each piece relative to the largest.

    >>> levels([2.0, -1.0, 0.1])
    [5, -2, 0]
    """
    most = max(map(abs, weights), default=0.0)
    return [0 if most == 0 else round(LEVELS * weight / most) for weight in weights]


def heat_strip(explanation: Explanation, strip: Strip, label: str) -> Markup:
    """The prompt with its pieces marked, and a list of the highest: a screen reader reads the same as the eye sees."""
    rank = {place: number for number, place in enumerate(strip.strongest[:RANKED], 1) if strip.weights[place] > 0}
    pieces = zip(explanation.texts(strip.unit), levels(strip.weights), strict=True)
    faintest = 1 if len(strip.weights) <= MANY else 2
    parts = [_piece(text, level, rank.get(place), faintest) for place, (text, level) in enumerate(pieces)]
    text = tag("p", *parts, class_="strip", tabindex="0", role="group", aria_label=label, dir="auto")
    return join([text, _ranking(explanation, strip, list(rank))])


def _piece(text: str, level: int, rank: int | None, faintest: int) -> Markup | str:
    if abs(level) < faintest and rank is None:
        return text
    number = tag("sup", rank) if rank is not None else None
    words = text.rstrip()  # the number follows the words, not the space or the line end after them
    return tag("span", words, number, text[len(words) :], class_=f"{'n' if level < 0 else 's'}{abs(level)}")


def _ranking(explanation: Explanation, strip: Strip, places: Sequence[int]) -> Markup | None:
    if not places:
        return tag("p", "No piece has a weight above 0.", class_="quiet")
    texts, unsigned = explanation.texts(strip.unit), strip.method in UNSIGNED
    rows = [
        tag("li", tag("q", " ".join(texts[place].split()) or repr(texts[place])), f" {strip.weights[place]:+.3g}")
        for place in places
    ]
    least = min(range(len(strip.weights)), key=strip.weights.__getitem__)
    against = None
    if not unsigned and strip.weights[least] < 0:
        said = " ".join(texts[least].split()) or repr(texts[least])
        against = tag("p", "Most against the answer: ", tag("q", said), f" {strip.weights[least]:+.3g}", class_="quiet")
    return join([tag("ol", *rows, class_="ranking"), against])
