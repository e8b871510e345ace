"""Rows of training data that repeat earlier ones: word for word, or nearly.

Nearly: MinHash proposes pairs, as for leaks (`minhash`), and the weighted Jaccard similarity of their three-word
sequences decides (`grams`): a template that many rows share has little weight, so rows that differ in its fields stay.
Short answers must be the same: "yes" and "no" to the same question are a contradiction, not a repetition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from tunegate.cases.case import asked
from tunegate.data.training_data import Example
from tunegate.optional import optional_import
from tunegate.progress import Progress
from tunegate.text.digests import digest_of
from tunegate.text.grams import SHINGLE, SHORTEST_RUN, Vocabulary, runs
from tunegate.text.minhash import NEARLY_THE_SAME, signature
from tunegate.text.normal_form import normalised
from tunegate.text.words import length_in_words

BANDS, ROWS_PER_BAND = 16, 4
"""Signatures of 64 numbers in bands of 4: a pair with similarity 0.7 is proposed with probability 0.99, with 0.3
with probability 0.12 (1 - (1 - s^4)^16; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4)."""
LIKELY = 0.5
"""The share of two signatures that must agree before texts are compared: three deviations below the threshold."""
MOST_COMPARED = 50
"""Maximum earlier rows to compare a row with: if a template proposes thousands, the closest come first."""

ROW_DIGEST = 16
"""Bytes: a row is left out by its digest alone, so nobody may be able to write two rows with the same one."""

Repeats = dict[int, int]
"""The number of a repeating row to the number of the earlier row."""


def exact_repeats(examples: Iterable[Example]) -> Repeats:
    """The examples that equal an earlier one, letter for letter."""
    first: dict[bytes, int] = {}
    found: Repeats = {}
    for example in examples:
        number = first.setdefault(digest_of(example.to_json(), ROW_DIGEST), example.number)
        if number != example.number:
            found[example.number] = number
    return found


def near_repeats(examples: Sequence[Example], progress: Progress | None = None) -> Repeats:
    """The examples that are nearly the same as an earlier one that repeats no other; raises MissingExtra."""
    texts = [whole_text(example) for example in examples]
    signatures = _signatures(texts, progress)
    keys = _shared_keys(signatures)
    alike = [at for at in range(len(texts)) if keys[at]]
    vocabulary = Vocabulary(_shingles(texts[at]) for at in alike)
    buckets: dict[int, list[int]] = defaultdict(list)
    found: Repeats = {}

    @lru_cache(maxsize=4096)
    def shingles(at: int) -> set[str]:
        return _shingles(texts[at])

    def similarity(one: int, other: int) -> float:
        if texts[one] == texts[other]:
            return 1.0
        shared = vocabulary.total(shingles(one) & shingles(other))
        return shared / (vocabulary.total(shingles(one) | shingles(other)) or 1.0)

    for done, at in enumerate(alike):
        if progress is not None and done % 500 == 0:
            progress("near-duplicates", done, len(alike), "rows")
        proposed = sorted({other for key in keys[at] for other in buckets.get(key, ())})
        twins = (other for other in _likely(signatures, at, proposed) if _answers_agree(examples[at], examples[other]))
        twin = next((other for other in twins if similarity(at, other) >= NEARLY_THE_SAME), None)
        if twin is not None:
            found[examples[at].number] = examples[twin].number
            continue
        for key in keys[at]:
            buckets[key].append(at)
    if progress is not None and alike:
        progress("near-duplicates", len(alike), len(alike), "rows")
    return found


def whole_text(example: Example) -> str:
    """The whole text of an example, for the comparison."""
    prompt = [] if example.prompt is None else [asked(example.prompt)]
    return "\n".join(normalised(text) for text in (*prompt, *example.answers.values()))


def _likely(signatures: Any, at: int, proposed: Sequence[int]) -> list[int]:
    """The proposed rows whose signatures agree enough, the most similar first, then the earliest."""
    if not proposed:
        return []
    agreeing = (signatures[proposed] == signatures[at]).mean(axis=1).tolist()
    ranked = sorted((-share, other) for share, other in zip(agreeing, proposed, strict=True) if share >= LIKELY)
    return [other for _, other in ranked[:MOST_COMPARED]]


def _answers_agree(one: Example, other: Example) -> bool:
    """Short answers must be the same; longer answers are compared as part of the whole text."""
    if one.label != other.label:
        return False
    for name, text in one.answers.items():
        own, others = normalised(text), normalised(other.answers.get(name, ""))
        if min(length_in_words(own), length_in_words(others)) < SHORTEST_RUN and own != others:
            return False
    return True


def _shingles(text: str) -> set[str]:
    return runs(text.split(), SHINGLE)


def _signatures(texts: Sequence[str], progress: Progress | None) -> Any:
    """An array with one MinHash signature per text."""
    sketch = optional_import("datasketch", "leakage", "looking for near-duplicates")
    numpy = optional_import("numpy", "leakage", "looking for near-duplicates")
    empty: Any = sketch.MinHash(num_perm=BANDS * ROWS_PER_BAND, seed=1)
    signatures = numpy.empty(
        (len(texts), BANDS * ROWS_PER_BAND), dtype=numpy.uint32
    )  # datasketch's hashes have 32 bits
    for at, text in enumerate(texts):
        if progress is not None and at % 1000 == 0:
            progress("MinHash", at, len(texts), "rows")
        signatures[at] = signature(empty, _shingles(text)).hashvalues
    if progress is not None:
        progress("MinHash", len(texts), len(texts), "rows")
    return signatures


def _shared_keys(signatures: Any) -> list[list[int]]:
    """For each text the keys of its bands that at least one other text has too."""
    numpy = optional_import("numpy", "leakage", "looking for near-duplicates")
    factors = numpy.random.default_rng(1).integers(1, 2**63, size=(BANDS, ROWS_PER_BAND), dtype=numpy.uint64)
    bands = (signatures.reshape(-1, BANDS, ROWS_PER_BAND) * factors).sum(axis=2)  # wraps around, as a hash may
    keys, counts = numpy.unique(bands, return_counts=True)
    shared = set(keys[counts > 1].tolist())
    return [[key for key in row if key in shared] for row in bands.tolist()]
