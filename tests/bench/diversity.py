"""How often the rule on diversity fails answers that are as diverse as the references, and how often it finds a model
that gives only 1, 3 or 10 different answers: simulated draws of 100, with 95 % exact intervals.

Usage: python -m tests.bench diversity (about ten minutes). docs/measured.md has the numbers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from random import Random

from tunegate.checks.outcome import Verdict
from tunegate.gates.diversity import Pair, measure
from tunegate.stats.sampling import exact_interval
from tunegate.verdicts.diversity import DiversityRule, verdict_on

DRAW, NULL, POWER = 100, 200, 30
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
LABELS = ("autosomal recessive", "autosomal dominant", "X-linked", "mitochondrial")
Writer = Callable[[Random], str]


def lexicon(size: int) -> list[str]:
    """Made-up words, the most frequent first."""
    random = Random(7)
    syllables = [a + b for a in CONSONANTS for b in VOWELS]
    return ["".join(random.choices(syllables, k=random.randint(1, 3))) for _ in range(size)]


WORDS = lexicon(2000)
FREQUENCIES = [1 / rank for rank in range(1, len(WORDS) + 1)]
"""Zipf's law."""


def free_text(random: Random) -> str:
    """5 to 30 words."""
    return " ".join(random.choices(WORDS, FREQUENCIES, k=random.randint(5, 30)))


def sentence_form(random: Random) -> str:
    """A sentence in one of eight forms, with two rare words in it."""
    form = Random(random.randrange(8))
    opening = form.choices(WORDS, FREQUENCIES, k=6)
    return " ".join([*opening[:3], *random.choices(WORDS[50:], k=2), *opening[3:]])


def label(random: Random) -> str:
    """One of four labels, as in a classification."""
    return random.choices(LABELS, (45, 35, 15, 5))[0]


WRITERS: dict[str, Writer] = {"free text": free_text, "eight forms": sentence_form, "four labels": label}


def verdict(answers: list[str], references: list[str]) -> Verdict:
    rule = DiversityRule()
    pairs = [Pair(one, other, str(at)) for at, (one, other) in enumerate(zip(answers, references, strict=True))]
    found = {verdict_on(rule, one) for one in measure(rule, pairs)}
    return next((one for one in (Verdict.FAIL, Verdict.INCONCLUSIVE) if one in found), Verdict.PASS)


def drawn(write: Writer, different: int, seed: int) -> Verdict:
    """The verdict on a draw whose answers have only this many different texts, written as the references are."""
    random = Random(seed)
    references = [write(random) for _ in range(DRAW)]
    known = [write(random) for _ in range(different)]
    return verdict(known if different == DRAW else random.choices(known, k=DRAW), references)


def main() -> None:
    for name, write in WRITERS.items():
        for different in (DRAW, 10, 3, 1):
            if name == "four labels" and different in (10, 3):
                continue  # that is all of its labels
            draws = NULL if different == DRAW else POWER
            counts = Counter(drawn(write, different, seed) for seed in range(draws))
            low, high = exact_interval(counts[Verdict.FAIL], draws)
            told = {"texts": name, "different_answers": different, "draws": draws}
            rates = {"fail": counts[Verdict.FAIL], "low": round(low, 4), "high": round(high, 4)}
            print(json.dumps({**told, **rates, "inconclusive": counts[Verdict.INCONCLUSIVE]}), flush=True)


if __name__ == "__main__":
    main()
