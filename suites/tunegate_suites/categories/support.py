"""`unsupported_number` and `unsupported_entity`: claims of an answer that are in no source of the case."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from tunegate.checks.check import Sample
from tunegate.checks.outcome import ErrorSpan
from tunegate.text.numbers import MAX_DIGITS, readings
from tunegate.text.words import ALONE, JOINED, compiled
from tunegate_suites.categories.han_numbers import HAN_NUMBER, HAN_POWERS, han_readings
from tunegate_suites.categories.settings import ErrorSettings, sources, span
from tunegate_suites.categories.words import WORD, folded, is_symbol

# Possessive quantifiers, so that `1,000x` is not a number, rather than the number 1. `COVID-19` is a name; 3000人 and
# 3000명 are a number and a counter: digits are part of a name only next to letters of scripts with spaces, except
# Korean.
_GROUPS = r"\d{1,3}(?:[ \u00a0\u2007\u2009\u202f'’]\d{3})++(?!\d)(?:[.,]\d++)?+"
_NUMBER = compiled(
    rf"(?<!{JOINED})(?<!{JOINED}[.,])(?<![{JOINED}--[\d_]][-‐‑])(?:{_GROUPS}|\d++(?:[.,]\d++)*+)(?!{JOINED})"
)
_ENUMERATION = compiled(rf"(?m)^[ \t]*[(（]?(\d{{1,3}})(?:[.)](?=\s|{ALONE})|[、．）])")
_DIGITS = re.compile(r"\d++(?:[.,]\d++)*+")
_GROUPED = re.compile(rf"(?<!\d){_GROUPS}")
_WRITTEN = (_DIGITS, _GROUPED)
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_TENS = "thirty forty fifty sixty seventy eighty ninety"
_IN_WORDS = {
    **{word: value for value, word in enumerate(_UNITS.split(" "))},
    **{word: value for value, word in zip(range(30, 100, 10), _TENS.split(" "), strict=True)},
    "hundred": 100,
    "thousand": 1000,
    "once": 1,
    "both": 2,
    "twice": 2,
    "half": 50,
    "dozen": 12,
}
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_IN_WORDS)})\b")


def unsupported_number(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """A number in digits that is not in the context, the prompt or a reference, in digits or as a word.

    `1,000`, `1 000` and `1000` are the same, and so are `2.50` and `2.5`, `1.234,5` and `1234.5`; digits within names
    (TBC1D24) and the numbering of a list do not count.
    """
    text, known = sample.response.text, sources(sample)
    as_written = {number for source in known for pattern in _WRITTEN for number in pattern.findall(source)}
    claimed = [match for match in _NUMBER.finditer(text) if match.group() not in as_written]
    if not claimed:
        return []
    numbered = {match.start(1) for match in _ENUMERATION.finditer(text)}
    supported = set[Fraction]().union(*map(_numbers, known))
    return [
        span("unsupported_number", text, match.start(), match.end())
        for match in claimed
        if match.start() not in numbered and not _is_supported(match.group(), text[match.end() :], supported)
    ]


def _numbers(text: str) -> set[Fraction]:
    """All numbers in a source, in digits or as words; digits in its symbols count too, to avoid false alarms."""
    written = [match for pattern in _WRITTEN for match in pattern.finditer(text)]
    in_digits = set[Fraction]().union(*(_readings(match[0], text[match.end() :]) for match in written))
    in_han = {Fraction(value) for word in HAN_NUMBER.findall(text) for value in han_readings(word)}
    return in_digits | in_han | {Fraction(_IN_WORDS[word]) for word in _NUMBER_WORD.findall(text.lower())}


def _is_supported(number: str, behind: str, supported: set[Fraction]) -> bool:
    """Whether the sources contain a number; `5 200` may be one number or two."""
    parts = number.split()
    return bool(_readings(number, behind) & supported) or (
        len(parts) > 1 and all(_readings(part) & supported for part in parts)
    )


def _readings(number: str, behind: str = "") -> frozenset[Fraction]:
    """The possible values of a number: `1,234` is 1234 or 1.234, depending on the country; 3万 is also 30000."""
    found = _values(number)
    power = HAN_POWERS.get(behind[:1])
    return found | {value * power for value in found} if power else found


@lru_cache(maxsize=4096)
def _values(number: str) -> frozenset[Fraction]:
    digits = re.sub(r"\D", "", number)[:MAX_DIGITS]
    return readings(number, "either") or frozenset({Fraction(int(digits))})


_BEGINNINGS = (
    "a an the this that these those in on at of to for from by with as and or but if when while after before since "
    "both each all some many most it its he she they we you his her their our your there here no not yes"
)
_FUNCTION_WORDS = frozenset(_BEGINNINGS.split(" "))


def unsupported_entity(sample: Sample, settings: ErrorSettings) -> list[ErrorSpan]:
    """A name or symbol that is not in the context, the prompt or a reference; adjacent words make one name.

    Names are recognised by their capitals, symbols by capitals and digits inside (BLM, p53). A capital at the start of
    a sentence means nothing, so a one-word name there is not found. Scripts without capitals are not judged.
    """
    text = sample.response.text
    found: list[ErrorSpan] = []
    names: set[str] | None = None
    run: list[re.Match[str]] = []
    for match in WORD.finditer(text):
        if _is_capitalised(match.group()):
            if names is None:
                names = {folded(word) for source in sources(sample) for word in WORD.findall(source)}
            if folded(match.group()) not in names:
                if run and text[run[-1].end() : match.start()] != " ":
                    found += _entity(text, run)
                    run = []
                run.append(match)
                continue
        found += _entity(text, run)
        run = []
    return found + _entity(text, run)


def _entity(text: str, run: list[re.Match[str]]) -> list[ErrorSpan]:
    if run and run[0].group().lower() in _FUNCTION_WORDS:
        run = run[1:]  # `The BLM`
    if not run or (len(run) == 1 and not is_symbol(run[0].group()) and _starts_sentence(text, run[0].start())):
        return []
    return [span("unsupported_entity", text, run[0].start(), run[-1].end())]


def _is_capitalised(word: str) -> bool:
    return len(word) > 1 and (word[0].isupper() or is_symbol(word)) and word[:2] not in ("I'", "I’")


def _starts_sentence(text: str, at: int) -> bool:
    before = text[max(0, at - 20) : at].rstrip(" \t\"'“‘([*_#>-–—")
    return not before or before[-1] in ".!?…:;\n" or (before[-1].isdigit() and not before.rstrip("0123456789"))
