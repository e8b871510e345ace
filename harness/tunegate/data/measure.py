"""Measures a data set for its data card. The same data and tokenizer give the same card on every machine."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tunegate.cases.case import asked
from tunegate.data.card import UNKNOWN, DataCard, Lengths, Pii, Repeated
from tunegate.data.faults import usable_words
from tunegate.data.languages import likeliest_language
from tunegate.data.prepare import left_out_words
from tunegate.data.spec import DataSpec
from tunegate.data.split import group_of
from tunegate.data.survey import (
    DIGEST,
    LANGUAGE_ROWS,
    ROWS_SHOWN,
    CloseLook,
    Details,
    Digests,
    Draw,
    Looking,
    Survey,
    digests_of,
    survey,
    texts,
)
from tunegate.data.token_lengths import CountTokens, Estimate, chunks_of, is_chunked
from tunegate.data.training_data import Example, TrainingData, TrainingFile
from tunegate.exceptions import MissingExtra
from tunegate.progress import Progress
from tunegate.text.digests import each
from tunegate.text.pii import find_pii

QUICK_ROWS = 2000
"""The number of random rows that are checked in detail before a run, when nobody asked for a card."""
SURE = 0.6
"""The minimum probability of a row's language. With it, one of 1,196 short texts in 35 languages was misread."""
BINS, COMMONEST, TAGS_SHOWN, ANSWER_CHARS = 12, 10, 40, 60


@dataclass(frozen=True, slots=True)
class Measuring:
    """How to measure rows: the counter of their tokens, and the training's limit on them."""

    count_tokens: CountTokens = field(default_factory=Estimate)
    max_length: int | None = None
    progress: Progress | None = None


def make_card(
    data: TrainingData | TrainingFile,
    spec: DataSpec,
    method: str,
    measuring: Measuring,
    processes: int | None = None,
) -> DataCard:
    """Measure the examples to train on; the same data give the same card, in memory or in a file.

    Several processes look at the blocks of a file (default: one per core if there are many rows). A part of the file is
    read twice.
    """
    if isinstance(data, TrainingData):
        return _card_of_held(data, data.examples, spec, method, measuring)
    surveyed = survey(data, _looking(spec, measuring, find_pii=True), measuring.progress, processes)
    examples = (example for row in data for example in data.rendered([row])[0])
    return _card(data.path, surveyed, examples, method, measuring)


def quick_card(data: TrainingData, spec: DataSpec, method: str, measuring: Measuring) -> DataCard:
    """A card for which only `QUICK_ROWS` random rows are checked in detail."""
    return _card_of_held(data, _drawn(data.examples, QUICK_ROWS), spec, method, measuring)


def _card_of_held(
    data: TrainingData, looked_at: Sequence[Example], spec: DataSpec, method: str, measuring: Measuring
) -> DataCard:
    masking = None if spec.prepare is None or spec.prepare.pii == "keep" else spec.prepare.pii
    look = CloseLook(_looking(spec, measuring, find_pii=masking is None))
    details = look(looked_at, measuring.progress)
    surveyed = Survey(digests_of(data.examples), details, data.sha256, _drawn(data.examples, LANGUAGE_ROWS))
    card = _card(data.path, surveyed, data.examples, method, measuring)
    if masking is not None:
        card = replace(card, pii=Pii("masked" if masking == "mask" else "refused", data.rows_in, dict(data.masked)))
    return replace(
        card,
        rows=data.rows_in,
        summary=left_out_words(data),
        left_out={left.why: len(left.rows) for left in data.left_out},
        left_out_rows={left.why: _listed(left.rows, left.like) for left in data.left_out},
        parts=_parts(data) if data.held_out else {},
    )


def _looking(spec: DataSpec, measuring: Measuring, find_pii: bool) -> Looking:
    names = None if spec.prepare is None else spec.prepare.names
    return Looking(measuring.count_tokens, measuring.max_length, find_pii, names)


def _card(path: Path, surveyed: Survey, examples: Iterable[Example], method: str, measuring: Measuring) -> DataCard:
    """The card of rows, none of which is left out; `examples` are iterated once, to find the texts that it shows."""
    digests, details = surveyed.digests, surveyed.details
    rows = len(digests.numbers)
    repeated = _repeated(digests)
    different_answers = len(set(each(digests.wanted, DIGEST)))
    answers, _ = _commonest(digests.answers, COMMONEST)
    answers = {digest: n for digest, n in answers.items() if n > 1}
    tags, different_tags = _commonest(digests.tags, TAGS_SHOWN)
    shown = texts(examples, answers.keys() | tags.keys(), path)
    languages, fault = _languages(surveyed.sample, measuring.progress)
    return DataCard(
        file=path.name,
        method=method,
        rows=rows,
        trained=rows,
        sha256=surveyed.sha256,
        summary=usable_words(rows, {}),
        left_out={},
        left_out_rows={},
        lengths=_lengths(details, method, measuring),
        repeated=repeated,
        pii=Pii("kept", details.lengths.total(), dict(details.kinds), tuple(details.with_pii)),
        answers={_cut(shown[digest]): n for digest, n in answers.items() if not find_pii(shown[digest])},
        different_answers=different_answers,
        labels=_labels(digests.labels),
        tags={shown[digest]: n for digest, n in tags.items()},
        different_tags=different_tags,
        languages=languages,
        language_fault=fault,
    )


def _drawn(examples: Sequence[Example], most: int) -> Sequence[Example]:
    drawn = Draw[Example](most)
    for example in examples:
        drawn.add(example.number, example)
    return drawn.rows


def _listed(rows: Sequence[int], like: Sequence[int]) -> list[list[int]]:
    """The first rows; for a repetition, the row and the row that it repeats."""
    pairs = zip(rows, like, strict=True) if like else ((row,) for row in rows)
    return [list(pair) for pair, _ in zip(pairs, range(ROWS_SHOWN), strict=False)]


def _commonest(digests: bytearray, most: int) -> tuple[dict[bytes, int], int]:
    """How often the most common digests occur (of equally common ones, the first), and how many different ones do."""
    times = Counter(each(digests, DIGEST))
    return dict(times.most_common(most)), len(times)


def _cut(text: str) -> str:
    return text if len(text) <= ANSWER_CHARS else text[: ANSWER_CHARS - 1] + "…"


def _labels(labels: Counter[bool | None]) -> dict[str, int]:
    return {} if None in labels else {"wanted": labels[True], "unwanted": labels[False]}


def _parts(data: TrainingData) -> dict[str, dict[str, int]]:
    parts = {"train": data.examples, **data.held_out}
    return {part: {"rows": len(own), "groups": len(set(map(group_of, own)))} for part, own in parts.items()}


# --- lengths -------------------------------------------------------------------------------------------------------


def _lengths(details: Details, method: str, measuring: Measuring) -> Lengths:
    counts = details.lengths
    ranked = [length for length in sorted(counts) for _ in range(counts[length])]
    lengths = Lengths(
        how=measuring.count_tokens.how,
        exact=measuring.count_tokens.exact,
        of=len(ranked),
        total=sum(ranked),
        shortest=ranked[0],
        median=_quantile(ranked, 0.5),
        p90=_quantile(ranked, 0.9),
        p99=_quantile(ranked, 0.99),
        longest=ranked[-1],
        bins=_bins(ranked),
    )
    if measuring.max_length is None:
        return lengths
    limit = measuring.max_length
    longer = sum(rows for length, rows in counts.items() if length > limit)
    chunks = chunks_of(ranked, limit) if is_chunked(method) else None
    return replace(lengths, max_length=limit, longer=longer, longer_rows=tuple(details.longer), chunks=chunks)


def _quantile(ranked: Sequence[int], share: float) -> int:
    """The smallest length that this share of the rows does not exceed."""
    return ranked[max(0, -(-int(share * 1000) * len(ranked) // 1000) - 1)]


def _bins(ranked: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """At most `BINS` bins of a round width, up to the 99th percentile; longer rows are in the last bin."""
    low, high = ranked[0], _quantile(ranked, 0.99)
    steps = (scale * 10**power for power in range(9) for scale in (1, 2, 5))
    width = next(step for step in steps if high // step - low // step < BINS)
    first = low // width
    counts = Counter(min(length, high) // width for length in ranked)
    bins = [[at * width, at * width + width - 1, counts[at]] for at in range(first, high // width + 1)]
    bins[-1][1] = max(bins[-1][1], ranked[-1])
    return tuple((start, end, rows) for start, end, rows in bins)


# --- repeats, language ---------------------------------------------------------------------------------------------


def _repeated(digests: Digests) -> Repeated:
    rows = array("Q", _repeating(digests))
    prompts = Counter(pair[:DIGEST] for pair in set(each(digests.asked, 2 * DIGEST)))
    return Repeated(len(rows), tuple(rows[:ROWS_SHOWN]), sum(answers > 1 for answers in prompts.values()))


def _repeating(digests: Digests) -> Iterator[int]:
    """The numbers of the rows that equal an earlier one."""
    seen: set[bytes] = set()
    for number, digest in zip(digests.numbers, each(digests.rows, DIGEST), strict=True):
        if digest in seen:
            yield number
        seen.add(digest)


def _languages(examples: Sequence[Example], progress: Progress | None) -> tuple[dict[str, int], str]:
    """The number of rows by language, or why it is unknown."""
    found: Counter[str] = Counter()
    for done, example in enumerate(examples):
        if progress is not None and done % 20 == 0:
            progress("language", done, len(examples), "rows")
        prompt = [] if example.prompt is None else [asked(example.prompt)]
        try:
            likeliest = likeliest_language("\n".join((*prompt, *example.answers.values())))
        except MissingExtra:
            return {}, "not measured: pip install 'tunegate[text]'"
        found[likeliest[0] if likeliest is not None and likeliest[1] >= SURE else UNKNOWN] += 1
    if progress is not None:
        progress("language", len(examples), len(examples), "rows")
    return dict(found.most_common()), ""
