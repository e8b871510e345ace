"""How varied texts are, as figures for a data card. Everything that the card says on diversity comes from here."""

from __future__ import annotations

from collections.abc import Sequence

from tunegate.text.diversity import distinct, not_repeated
from tunegate.text.normal_form import normalised


def diversity(texts: Sequence[str]) -> dict[str, float | int]:
    """The number of texts, and measures of them from 0 to 1; without texts, the number alone.

    distinct_1, distinct_2: different words, and pairs of words, as a share of all (Li et al. 2016, "A Diversity-
    Promoting Objective Function"); longer texts have lower values. different: different texts in their normal form, as
    a share of all. near_duplicates: the share of texts that nearly repeat an earlier one, as in a gate on diversity.

    >>> diversity(["a b", "a c"])["distinct_1"]
    0.75
    """
    if not texts:
        return {"texts": 0}
    words, every = [normalised(text).split() for text in texts], range(len(texts))
    return {
        "texts": len(texts),
        "distinct_1": round(distinct(words, 1)(every), 4),
        "distinct_2": round(distinct(words, 2)(every), 4),
        "different": round(len(set(map(tuple, words))) / len(texts), 4),
        "near_duplicates": round(1.0 - not_repeated(texts)(every), 4),
    }
