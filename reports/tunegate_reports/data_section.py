"""The training data of each stage, from the data cards in the record: lengths, answers, repeats, rows left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunegate.data import card_words as data_words
from tunegate.data.card import DataCard, card_from_json
from tunegate.data.faults import usable_words
from tunegate.record.record import RunRecord, StageRecord
from tunegate_reports.charts import lengths_chart
from tunegate_reports.markup import Child, Markup, tag

BARS = 10


def data_cards(run: RunRecord) -> dict[str, DataCard]:
    """The cards in the record, by stage; records of older versions have none."""
    facts = run.start.get("data")
    stages: Mapping[str, Any] = facts if isinstance(facts, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]
    values = {stage: own["card"] for stage, own in stages.items() if isinstance(own, Mapping) and "card" in own}
    cards = {stage: card_from_json(value) for stage, value in values.items() if isinstance(value, Mapping)}
    return {stage: card for stage, card in cards.items() if card is not None}


def data_section(run: RunRecord) -> Markup | None:
    """One data card per stage."""
    cards = data_cards(run)
    if not cards:
        return None
    few = len(cards) <= 2
    return tag(
        "section",
        tag("h2", "Data", id="data-title"),
        *(_card(stage, card, rows_words(run, stage, card), opened=few) for stage, card in cards.items()),
        id="training-data",
        aria_labelledby="data-title",
    )


def data_line(run: RunRecord, stage: str, card: DataCard) -> str:
    """One data set in a sentence, for the summary."""
    found = f"; personal data: {data_words.pii_words(card)}" if card.pii.kinds else ""
    return f"Data of {stage}: {card.file}, {rows_words(run, stage, card)}{found}"


def rows_words(run: RunRecord, stage: str, card: DataCard) -> str:
    """What happened to the rows: how many are usable, how many leaks were dropped, how many each attempt used."""
    leaks = sum(len(one["rows"]) for one in run.dropped if one["stage"] == stage)
    left_out = {**card.left_out, **({"leaks": leaks} if leaks else {})}
    trained = trained_words(run.stages.get(stage))
    return usable_words(card.rows, left_out) + (f"; {trained}" if trained else "")


def trained_words(stage: StageRecord | None) -> str:
    """`trained on: 16 (attempt 1), 64 (attempt 2)`; `examples from: …` where rows are only examples in a prompt."""
    attempts = stage.attempts.values() if stage else ()
    used = {attempt.number: attempt.summary.get("rows", attempt.rows) for attempt in attempts}
    told = ", ".join(f"{rows:,} (attempt {number})" for number, rows in used.items() if isinstance(rows, int) and rows)
    trained = any(attempt.summary.get("steps") != 0 for attempt in attempts)
    return f"{'trained on' if trained else 'examples from'}: {told}" if told else ""


def _card(stage: str, card: DataCard, rows: str, *, opened: bool) -> Markup:
    summary = tag("summary", tag("strong", stage), " ", tag("span", f"{card.file}: {rows}", class_="quiet"))
    numbers = tag(
        "dl", *(part for name, text in _facts(card) for part in (tag("dt", name), tag("dd", text))), class_="facts"
    )
    lengths = tag(
        "figure",
        tag("figcaption", f"Tokens per row, {card.lengths.how}"),
        lengths_chart(card.lengths.bins, card.lengths.max_length),
    )
    pictures = [lengths] if len(card.lengths.bins) > 1 else []
    shares = [_bars(title, counts, of) for title, counts, of in _balances(card)]
    return tag(
        "details",
        summary,
        tag("div", numbers, tag("div", *pictures, *shares), class_="card-body"),
        class_="card",
        open=opened,
    )


def _facts(card: DataCard) -> Iterator[tuple[str, Child]]:
    for why, rows in card.left_out_rows.items():
        if not why.startswith("part: "):
            yield f"Left out: {why}", data_words.left_out_words(rows, card.left_out[why])
    yield "Tokens", data_words.tokens_words(card.lengths)
    if card.lengths.max_length is not None:
        yield "Too long", data_words.cut_words(card.lengths)
    yield "Answers", f"{card.different_answers:,} different"
    yield "Repeats", data_words.repeats_words(card)
    yield "Personal data", data_words.pii_words(card)
    yield "Language", data_words.language_words(card)
    if card.parts:
        yield "Parts", data_words.parts_words(card)
    yield "SHA-256", tag("code", card.sha256)


def _balances(card: DataCard) -> Iterator[tuple[str, Mapping[str, int], int]]:
    if card.labels:
        yield "Thumbs", card.labels, card.trained
    if card.tags:
        yield "Tags", card.tags, card.trained
    if card.answers:
        yield "Most common answers", card.answers, card.trained


def _bars(title: str, counts: Mapping[str, int], of: int) -> Markup:
    rows = [_bar(name, count, of) for name, count in list(counts.items())[:BARS]]
    return tag("div", tag("p", title, class_="caption"), tag("ul", *rows, class_="bars"))


def _bar(name: str, count: int, of: int) -> Markup:
    share = count / max(of, 1)
    drawn = tag(
        "svg",
        tag("rect", x=0, y=2, width=100, height=6, class_="rail"),
        tag("rect", x=0, y=2, width=min(100.0, max(100 * share, 0.5)), height=6, class_="range"),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    return tag("li", tag("span", name), drawn, tag("span", f"{count:,} ({share:.0%})", class_="number"))
