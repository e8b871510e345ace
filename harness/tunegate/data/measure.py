"""Measures a data set for its data card. The same data and tokenizer give the same card on every machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tunegate.cases.bank import draw_order
from tunegate.cases.case import asked
from tunegate.data.card import UNKNOWN, DataCard, Lengths, Pii, Repeated
from tunegate.data.languages import likeliest_language
from tunegate.data.near_duplicates import exact_repeats
from tunegate.data.prepare import left_out_words, row_pii
from tunegate.data.spec import DataSpec
from tunegate.data.split import group_of
from tunegate.data.token_lengths import CountTokens, Estimate, chunks_of, is_chunked
from tunegate.data.training_data import Example, TrainingData
from tunegate.exceptions import MissingExtra
from tunegate.models.pii_names import name_finder
from tunegate.progress import Progress
from tunegate.text.pii import find_pii

QUICK_ROWS = 2000
"""The number of random rows that are checked in detail before a run, when nobody asked for a card."""
LANGUAGE_ROWS = 200
"""The number of random rows whose language is recognised."""
SURE = 0.6
"""The minimum probability of a row's language. With it, one of 1,196 short texts in 35 languages was misread."""
BINS, COMMONEST, TAGS_SHOWN, ROWS_SHOWN, ANSWER_CHARS = 12, 10, 40, 20, 60


@dataclass(frozen=True, slots=True)
class Measuring:
    """How to make a card. `quick` checks only `QUICK_ROWS` rows in detail; `max_length` is the training's limit."""

    count_tokens: CountTokens = field(default_factory=Estimate)
    max_length: int | None = None
    quick: bool = False
    progress: Progress | None = None


def make_card(data: TrainingData, spec: DataSpec, method: str, measuring: Measuring) -> DataCard:
    """Measure the examples to train on; the same data give the same card."""
    looked_at = _drawn(data.examples, QUICK_ROWS) if measuring.quick else data.examples
    answers = Counter(
        " ".join(text.split()) for e in data.examples if (text := e.wanted) is not None and len(text) < 200
    )
    tags = Counter(tag for example in data.examples for tag in example.tags)
    languages, fault = _languages(_drawn(data.examples, LANGUAGE_ROWS), measuring.progress)
    return DataCard(
        file=data.path.name,
        method=method,
        rows=data.rows_in,
        trained=len(data.examples),
        sha256=data.sha256,
        summary=left_out_words(data),
        left_out={left.why: len(left.rows) for left in data.left_out},
        left_out_rows={left.why: _listed(left.rows, left.like) for left in data.left_out},
        lengths=_lengths(looked_at, method, measuring),
        repeated=_repeated(data.examples),
        pii=_pii(data, looked_at, spec, measuring.progress),
        answers={_cut(text): n for text, n in answers.most_common(COMMONEST) if n > 1 and not find_pii(text)},
        different_answers=len({e.wanted for e in data.examples} - {None}),
        labels=_labels(data.examples),
        tags=dict(tags.most_common(TAGS_SHOWN)),
        different_tags=len(tags),
        languages=languages,
        language_fault=fault,
        parts=_parts(data) if data.held_out else {},
    )


def _drawn(examples: Sequence[Example], most: int) -> Sequence[Example]:
    if len(examples) <= most:
        return examples
    by_number = {str(example.number): example for example in examples}
    return [by_number[number] for number in draw_order(by_number, seed=0)[:most]]


def _listed(rows: Sequence[int], like: Sequence[int]) -> list[list[int]]:
    """The first rows; for a repetition, the row and the row that it repeats."""
    pairs = zip(rows, like, strict=True) if like else ((row,) for row in rows)
    return [list(pair) for pair, _ in zip(pairs, range(ROWS_SHOWN), strict=False)]


def _cut(text: str) -> str:
    return text if len(text) <= ANSWER_CHARS else text[: ANSWER_CHARS - 1] + "…"


def _labels(examples: Sequence[Example]) -> dict[str, int]:
    labels = Counter(example.label for example in examples if example.label is not None)
    return {"wanted": labels[True], "unwanted": labels[False]} if labels else {}


def _parts(data: TrainingData) -> dict[str, dict[str, int]]:
    parts = {"train": data.examples, **data.held_out}
    return {part: {"rows": len(own), "groups": len(set(map(group_of, own)))} for part, own in parts.items()}


# --- lengths -------------------------------------------------------------------------------------------------------


def _lengths(examples: Sequence[Example], method: str, measuring: Measuring) -> Lengths:
    counts = measuring.count_tokens(examples, measuring.progress)
    ranked = sorted(counts)
    lengths = Lengths(
        how=measuring.count_tokens.how,
        exact=measuring.count_tokens.exact,
        of=len(counts),
        total=sum(counts),
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
    longer = [example.number for example, count in zip(examples, counts, strict=True) if count > limit]
    chunks = chunks_of(counts, limit) if is_chunked(method) else None
    return replace(
        lengths, max_length=limit, longer=len(longer), longer_rows=tuple(sorted(longer)[:ROWS_SHOWN]), chunks=chunks
    )


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


# --- repeats, personal data, language ------------------------------------------------------------------------------


def _repeated(examples: Sequence[Example]) -> Repeated:
    repeats = exact_repeats(examples)
    answers: dict[int, set[int]] = {}
    for example in examples:
        if example.prompt is not None:
            answered = (example.label, *example.answers.values()) if len(example.answers) < 2 else ()
            about = (
                asked(example.prompt) if example.label is None else (asked(example.prompt), *example.answers.values())
            )
            answers.setdefault(hash(about), set()).add(hash(answered))
    contradictions = sum(len(given) > 1 for given in answers.values())
    return Repeated(len(repeats), tuple(repeats)[:ROWS_SHOWN], contradictions)


def _pii(data: TrainingData, looked_at: Sequence[Example], spec: DataSpec, progress: Progress | None) -> Pii:
    """The personal data that were masked, if the file asks for it; otherwise those in the rows."""
    if spec.prepare is not None and spec.prepare.pii != "keep":
        done = "masked" if spec.prepare.pii == "mask" else "refused"
        return Pii(done, data.rows_in, dict(data.masked))
    names = spec.prepare.names if spec.prepare is not None else None
    find_names = None if names is None else name_finder(names)
    kinds: Counter[str] = Counter()
    rows: list[int] = []
    for done, example in enumerate(looked_at):
        if progress is not None and done % 1000 == 0:
            progress("personal data", done, len(looked_at), "rows")
        if found := row_pii(example, find_names).kinds:
            kinds += found
            rows.append(example.number)
    if progress is not None:
        progress("personal data", len(looked_at), len(looked_at), "rows")
    return Pii("kept", len(looked_at), dict(kinds), tuple(sorted(rows)[:ROWS_SHOWN]))


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
