"""Categories that depend on the form of an answer: length, format, refusals, echoes."""

from __future__ import annotations

import re
from itertools import islice

from tunegate.checks.check import Sample
from tunegate.checks.outcome import ErrorSpan
from tunegate.text.timing import time_limit
from tunegate.text.words import length_in_words, word_spans
from tunegate_suites.categories.settings import ErrorSettings, span
from tunegate_suites.normalise import plain
from tunegate_suites.placeholders import fill_pattern

FORMAT_LIMIT_S = 2.0


def empty(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """The answer has no visible character."""
    return [] if plain(sample.response.text) else [ErrorSpan("empty")]


def truncated(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """The token limit ended the answer. Stored answers without a finish reason count as complete."""
    end = len(sample.response.text)
    return [ErrorSpan("truncated", end, end)] if sample.response.finish_reason == "length" else []


def too_long(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """The answer is longer than `max_words` or `max_chars`; the span is the excess."""
    text = sample.response.text
    limit = settings.max_chars or len(text)
    if settings.max_words:
        surplus = next(islice(word_spans(text), settings.max_words, None), None)
        limit = min(limit, surplus[0] if surplus else limit)
    elif not settings.max_chars:
        references = sample.case.references
        limit = 4 * max(map(len, references)) + 200 if references else 4000
    return [span("too_long", text, limit, len(text))] if len(text.rstrip()) > limit else []


def too_short(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """The answer is shorter than `min_words` or `min_chars`; the span is the whole answer."""
    text = sample.response.text.strip()
    least = settings.min_chars or 0
    if not settings.min_chars and not settings.min_words:
        least = min(map(len, sample.case.references), default=4) // 4 or 1
    words = sum(1 for _ in islice(word_spans(text), settings.min_words)) if settings.min_words else 0
    if len(text) >= least and words >= (settings.min_words or 0):
        return []
    return [span("too_short", sample.response.text, 0, len(sample.response.text))]


def format_(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """The answer, without the spaces around it, does not match the regular expression `format`."""
    text = sample.response.text
    with time_limit(FORMAT_LIMIT_S):  # TooSlow makes the case INVALID, as any exception does
        matches = re.fullmatch(fill_pattern(settings.format or "", sample.case), text.strip()) is not None
    return [] if matches else [span("format", text, 0, len(text))]


_REFUSAL = re.compile(
    r"""(?:
        \b(?:i['’]?m|i\ am)\ (?:so\ |very\ |really\ )?(?:sorry|afraid|unable|not\ able|not\ allowed|not\ permitted)
        # `cannot` of the model itself, not of the cells that cannot provide an enzyme
        | (?:\b(?:i|we)\ |\A\s*|(?<=[.!?,]\ ))(?:can['’]?t|cannot|can\ not|won['’]?t|will\ not|must\ decline\ to)\ +
          (?:help|assist|answer|comply|provide|fulfill?|do\ that|discuss|give|share|engage|continue)
        | \bas\ an?\ (?:ai|artificial\ intelligence|(?:large\ )?language\ model|ai\ assistant)
        | \bi\ (?:do\ not|don['’]?t)\ (?:know|have\ (?:access|enough|the\ (?:information|ability)|information))
        | \bi\ (?:must|have\ to)\ (?:decline|refuse)
        | \b(?:sorry|apologies|i\ apologi[sz]e),?\ (?:but|i)
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)


def refusal(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """The model declines to answer (English phrases)."""
    text = sample.response.text
    match = _REFUSAL.search(text)
    return [span("refusal", text, match.start(), match.end())] if match else []


def prompt_echo(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """The answer repeats the end of the prompt, which holds the question, word for word.

    The beginning of the prompt does not count: an answer may quote its context.
    """
    prompt = sample.case.prompt
    last = prompt if isinstance(prompt, str) else prompt[-1]["content"] if prompt else ""
    text = sample.response.text
    wanted, spans = _last_words(last.casefold(), settings.echo_words), list(word_spans(text))
    if length_in_words(" ".join(wanted)) < 4 or len(wanted) > len(spans):
        return []
    # Search in joined words: the library's substring search is linear, and a word number is a count of spaces.
    joined = " " + " ".join(text[start:end].casefold() for start, end in spans) + " "
    at = joined.find(" " + " ".join(wanted) + " ")
    if at < 0:
        return []
    first = joined.count(" ", 0, at)
    return [span("prompt_echo", text, spans[first][0], spans[first + len(wanted) - 1][1])]


def _last_words(text: str, length: int) -> list[str]:
    """The last words with this length in words; in Chinese more characters, since each says less than a word."""
    words = [text[start:end] for start, end in word_spans(text)]
    count = length
    while count < len(words) and length_in_words(" ".join(words[-count:])) < length:
        count += 1
    return words[-count:]
