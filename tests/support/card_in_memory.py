"""The data card with all rows in memory, and with the texts themselves instead of their digests: blocks must agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tunegate.cases.bank import draw_order
from tunegate.cases.case import asked
from tunegate.data.card import UNKNOWN, DataCard, Lengths, Pii, Repeated
from tunegate.data.languages import likeliest_language
from tunegate.data.measure import SURE
from tunegate.data.prepare import row_pii
from tunegate.data.spec import DataSpec
from tunegate.data.token_lengths import Estimate, chunks_of, is_chunked
from tunegate.data.training_data import Example, TrainingData
from tunegate.text.pii import find_pii


def card_in_memory(data: TrainingData, spec: DataSpec, method: str, max_length: int | None) -> DataCard:
    """The card of rows that nothing prepares, by the estimate of their lengths."""
    examples = data.examples
    shorter = [text for one in examples if (text := one.wanted) is not None and len(text) < 200]
    answers = Counter(" ".join(text.split()) for text in shorter).most_common(10)
    tags = Counter(tag for example in examples for tag in example.tags)
    labels = Counter(example.label for example in examples if example.label is not None)
    return DataCard(
        file=data.path.name,
        method=method,
        rows=len(examples),
        trained=len(examples),
        sha256=data.sha256,
        summary=f"{len(examples):,} row{'' if len(examples) == 1 else 's'}, {len(examples):,} usable",
        left_out={},
        left_out_rows={},
        lengths=_lengths(examples, method, max_length),
        repeated=_repeated(examples),
        pii=_pii(examples),
        answers={
            text if len(text) <= 60 else text[:59] + "…": n for text, n in answers if n > 1 and not find_pii(text)
        },
        different_answers=len({example.wanted for example in examples} - {None}),
        labels={"wanted": labels[True], "unwanted": labels[False]} if labels else {},
        tags=dict(tags.most_common(40)),
        different_tags=len(tags),
        languages=_languages(examples),
    )


def _lengths(examples: Sequence[Example], method: str, limit: int | None) -> Lengths:
    counts = Estimate()(examples)
    ranked = sorted(counts)
    last = len(ranked) - 1

    def quantile(percent: int) -> int:
        return next(length for at, length in enumerate(ranked) if 100 * (at + 1) >= percent * len(ranked) or at == last)

    low, high = ranked[0], quantile(99)
    steps = (scale * 10**power for power in range(9) for scale in (1, 2, 5))
    width = next(step for step in steps if high // step - low // step < 12)
    counted = Counter(min(length, high) // width for length in ranked)
    bins = [(at * width, at * width + width - 1, counted[at]) for at in range(low // width, high // width + 1)]
    bins[-1] = (bins[-1][0], max(bins[-1][1], ranked[-1]), bins[-1][2])
    longer = [one.number for one, count in zip(examples, counts, strict=True) if limit is not None and count > limit]
    return Lengths(
        how=Estimate.how,
        exact=False,
        of=len(counts),
        total=sum(counts),
        shortest=low,
        median=quantile(50),
        p90=quantile(90),
        p99=high,
        longest=ranked[-1],
        bins=tuple(bins),
        max_length=limit,
        longer=len(longer),
        longer_rows=tuple(longer[:20]),
        chunks=None if limit is None or not is_chunked(method) else chunks_of(counts, limit),
    )


def _repeated(examples: Sequence[Example]) -> Repeated:
    seen: set[str] = set()
    repeats: list[int] = []
    answers: dict[tuple[str, ...], set[tuple[object, ...]]] = {}
    for example in examples:
        if example.to_json() in seen:
            repeats.append(example.number)
        seen.add(example.to_json())
        if example.prompt is not None and len(example.answers) < 2:
            said = tuple(example.answers.values())
            about = (asked(example.prompt), *(() if example.label is None else said))
            answers.setdefault(about, set()).add((example.label, *said))
    return Repeated(len(repeats), tuple(repeats[:20]), sum(len(given) > 1 for given in answers.values()))


def _pii(examples: Sequence[Example]) -> Pii:
    found = {example.number: kinds for example in examples if (kinds := row_pii(example).kinds)}
    kinds: Counter[str] = Counter()
    for own in found.values():
        kinds += own
    return Pii("kept", len(examples), dict(kinds), tuple(list(found)[:20]))


def _languages(examples: Sequence[Example]) -> dict[str, int]:
    by_number = {str(example.number): example for example in examples}
    drawn = examples if len(examples) <= 200 else [by_number[one] for one in draw_order(by_number, seed=0)[:200]]
    found: Counter[str] = Counter()
    for example in drawn:
        texts = ([] if example.prompt is None else [asked(example.prompt)]) + list(example.answers.values())
        likeliest = likeliest_language("\n".join(texts))
        found[likeliest[0] if likeliest is not None and likeliest[1] >= SURE else UNKNOWN] += 1
    return dict(found.most_common())
