"""A data card in the terminal: a few aligned lines, and the lengths as a histogram of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunegate.data.card import UNKNOWN, DataCard, Lengths
from tunegate.data.faults import counted, ranges

BAR = 32
NAMED = 12
KINDS = {
    "email": ("e-mail address", "e-mail addresses"),
    "phone": ("phone number",),
    "iban": ("IBAN",),
    "card": ("card number",),
    "national_id": ("national id",),
    "name": ("name",),
}
"""The name of each kind of personal data, and its plural if that is irregular."""


def card_lines(card: DataCard) -> Iterator[str]:
    """The lines that `tunegate data` prints for one data set."""
    yield f"{card.file}: {card.summary} (method {card.method})"
    yield from (_line(name, text) for name, text in _left_out(card))
    yield _line("tokens", tokens_words(card.lengths))
    yield from (f"{'':11}{bar}" for bar in _bars(card.lengths))
    if card.lengths.max_length is not None:
        yield _line("", cut_words(card.lengths))
    yield _line("answers", answers_words(card))
    if card.labels:
        yield _line("thumbs", shares(card.labels))
    if card.tags:
        yield _line(
            "tags", shares(card.tags) + (f", … ({card.different_tags:,} in all)" if card.different_tags > NAMED else "")
        )
    yield _line("repeats", repeats_words(card))
    yield _line("personal", pii_words(card))
    yield _line("language", language_words(card))
    if card.parts:
        yield _line("parts", parts_words(card))
    yield _line("sha256", f"{card.sha256[:16]}… of the rows, {card.to_json()['card_sha256'][:16]}… of this card")


def _line(name: str, text: str) -> str:
    return f"  {name:9}{text}"


def _left_out(card: DataCard) -> Iterator[tuple[str, str]]:
    for why, listed in card.left_out_rows.items():
        if why.startswith("part: "):
            continue  # these have their own line
        yield "left out", f"{why}: {left_out_words(listed[:NAMED], card.left_out[why])}"


def left_out_words(rows: Sequence[Sequence[int]], of: int) -> str:
    """`rows 5, 149 (as 12) and 11 more`: the first rows that are left out for a reason."""
    listed = ", ".join(f"{row[0]} (as {row[1]})" if len(row) > 1 else str(row[0]) for row in rows)
    more = of - len(rows)
    return f"{'row' if of == 1 else 'rows'} {listed}" + (f" and {more:,} more" if more else "")


def tokens_words(lengths: Lengths) -> str:
    """`104,158 in 1,080 rows: 68 to 139, half up to 97, 99 % up to 128; counted by the tokenizer of …`"""
    return (
        f"{lengths.total:,} in {counted(lengths.of, 'row')}: {lengths.shortest:,} to {lengths.longest:,}, half up to "
        f"{lengths.median:,}, 99 % up to {lengths.p99:,}; {lengths.how}"
    )


def cut_words(lengths: Lengths) -> str:
    """The effect of a `max_length`."""
    limit = f"max_length {lengths.max_length:,}"
    if lengths.chunks is not None:
        return f"{limit}: cut into {counted(lengths.chunks, 'chunk')}, nothing left out"
    if not lengths.longer:
        return f"{limit}: every row fits"
    rows = ranges(lengths.longer_rows[:NAMED])
    more = lengths.longer - min(lengths.longer, NAMED)
    return f"{limit}: {counted(lengths.longer, 'row is', 'rows are')} longer and would be left out: {rows}" + (
        f" and {more:,} more" if more else ""
    )


def answers_words(card: DataCard) -> str:
    """How many different answers there are, and the most common."""
    common = f"; most common: {shares(card.answers, card.trained)}" if card.answers else ""
    return f"{card.different_answers:,} different{common}"


def repeats_words(card: DataCard) -> str:
    """The remaining repeated and contradictory rows."""
    told = "no repeated rows"
    if card.repeated.exact:
        repeating = counted(card.repeated.exact, "row repeats", "rows repeat")
        told = f"{repeating} an earlier row word for word: {ranges(card.repeated.rows[:NAMED])}"
    if card.repeated.contradictions:
        told += f"; {counted(card.repeated.contradictions, 'prompt has', 'prompts have')} more than one answer"
    return told


def pii_words(card: DataCard) -> str:
    """Which kinds of personal data were found, and what was done with them; never the data."""
    found = ", ".join(counted(count, *KINDS[kind]) for kind, count in card.pii.kinds.items())
    of = f"in {counted(card.pii.of, 'row')}"
    if not found:
        return f"none found {of}"
    rows = f": {'row' if len(card.pii.rows) == 1 else 'rows'} {ranges(card.pii.rows)}" if card.pii.rows else ""
    return f"{found} {of}, {card.pii.done}{rows}"


def parts_words(card: DataCard) -> str:
    """The parts with their rows and groups."""
    parts = card.parts.items()
    return ", ".join(
        f"{name} {counted(part['rows'], 'row')} in {counted(part['groups'], 'group')}" for name, part in parts
    )


def language_words(card: DataCard) -> str:
    """The languages of the rows that were checked."""
    if card.language_fault:
        return card.language_fault
    told = {"too short to recognise" if code == UNKNOWN else code: n for code, n in card.languages.items()}
    return f"{shares(told)} of {counted(sum(told.values()), 'row')} checked"


def shares(counts: Mapping[str, int], of: int | None = None) -> str:
    """`task=gene 413 (38 %), task=prevalence 140 (13 %)`"""
    total = of or sum(counts.values()) or 1
    return ", ".join(f"{name} {n:,} ({n / total:.0%})" for name, n in list(counts.items())[:NAMED])


def _bars(lengths: Lengths) -> Iterator[str]:
    if len(lengths.bins) == 1:
        return  # the numbers are enough
    highest = max(rows for _, _, rows in lengths.bins)
    labels = [f"{low:,}-{high:,}" for low, high, _ in lengths.bins]
    width = max(map(len, labels))
    for label, (_, _, rows) in zip(labels, lengths.bins, strict=True):
        eighths = -(-8 * BAR * rows // highest)
        bar = "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else "")
        yield f"{label:>{width}} {bar} {rows:,}" if rows else f"{label:>{width}} 0"


def which_rows(stage: Mapping[str, Any]) -> str:
    """Which rows of a stage were dropped, by its record: `3 of 320 training rows and 2 general rows`"""
    own, general = len(stage["rows"]), len(stage.get("replay_rows", ()))
    rows = f"{own} of {stage['of']} training rows"
    return rows if not general else f"{rows} and {general} general rows" if own else f"{general} general rows"
