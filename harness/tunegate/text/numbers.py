"""Numbers as people write them: separators, signs, fractions, exponents, scale words and units.

`1,200`, `1 200`, `1'200` and `1200.0` are the same number; so are `1.234.567,5` and `1234567.5`. If a separator is
ambiguous (`1,234`), `decimal` names the decimal sign: `.`, `,` or `either`, which gives both readings. Digits within a
word (`p53`, `COVID-19`), ordinals (`2nd`) and versions (`1.2.3`) are not numbers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from tunegate.text.words import JOINED, compiled

Decimals = Literal[".", ",", "either"]

MAX_DIGITS = 400
"""A longer sequence of digits, or a larger exponent, is not read as a number."""

_L = rf"[{JOINED}--[\d_]]"
_SPACE = r"[\x20\u00a0\u2007\u2009\u202f'’]"
_CURRENCY = r"US\$|A\$|C\$|[$€£¥₹]|(?:USD|EUR|GBP|JPY|INR|CHF)(?=\s?\d)"
_TIMES_TEN = r"\s?(?:[×x*·⋅]|\\times|\\cdot)\s?10"
_RAISED_TO = r"\s?\^\s?\{?([-−]?\d{1,4})\}?|(⁻?[⁰¹²³⁴-⁹]{1,4})"
_VULGAR = r"[¼-¾⅐-⅞]"
_NUMBER = compiled(
    rf"""(?x)(?P<fraction_sign>(?<![\w)])[-−–])?\\[dt]?frac\{{(?P<top>\d{{1,20}})\}}\{{(?P<bottom>\d{{1,20}})\}}
    | (?P<negative>\b(?:minus|negative)\s)?
      (?:(?P<outer>(?<![\w)])[-−–+])(?=[$€£¥₹]))?
      (?:(?P<currency>(?<!\w)(?:{_CURRENCY}))\s?)?
      (?P<sign>(?<![\w)/.,])[-−–+])?
      (?<!{JOINED})(?<!\w[.,])(?<!{_L}[-‐‑])(?P<slashed>(?<=/))?
      (?: (?P<vulgar>{_VULGAR})
        | (?P<body>\d{{1,3}}(?:{_SPACE}\d{{3}})++(?!\d)(?:[.,]\d++)?+(?![.,]\d) | \d++(?:[.,٫٬]\d++)*+ | \.\d++)
          (?:(?P<part>\s?{_VULGAR})|\x20(?P<over>\d{{1,2}})/(?P<under>\d{{1,2}})(?![/\d]))?+
          (?(slashed)|(?:/(?P<divisor>\d++)(?![/\d]))?+)
          (?:[eE](?P<exponent>[-+−]?\d{{1,4}})|{_TIMES_TEN}(?P<power>{_RAISED_TO})|(?P<raised>{_RAISED_TO}))?
      )
      (?P<tail>\s?(?:%|‰|°C|°F|€|\$|£|¥|₹|[万萬만亿億억兆百백]|[千천](?![克米瓦卡])|{_L}++[²³23]?))?+
    """
)
_MAY_BE_NEGATIVE = re.compile(
    r"(?:^|[=:(,;.]|\b(?:is|was|are|were|be|of|to|at|about|approximately|equals?|answer|or|and|by|from|than))\s*$"
)
"""The text before `minus 5` if it is a number and not a subtraction."""
_SCALES = {
    name: scale
    for scale, names in {
        12: "dozen",
        100: "hundred 百 백",
        10**3: "k thousand thousands tausend тысяч тысячи тысяча 千 천",
        10**4: "万 萬 만",
        10**5: "lakh lakhs",
        10**6: "million millions mn mio millionen millón millones milione milioni milhão milhões млн миллион миллионов",
        10**7: "crore crores",
        10**8: "亿 億 억",
        10**9: "billion billions bn mrd milliarde milliarden milliard milliards млрд миллиардов",
        10**12: "trillion trillions billionen billones 兆",
    }.items()
    for name in names.split()
}
_OF_MONEY = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
"""`$5M`; without a currency these are units or parts of a name."""
_UNITS = {
    alias: unit
    for unit, aliases in {
        "$": "$ US$ USD dollar dollars",
        "€": "€ EUR euro euros",
        "£": "£ GBP",
        "¥": "¥ JPY yen",
        "₹": "₹ INR rupee rupees",
        "CHF": "CHF",
        "%": "% percent",
        "‰": "‰ permille",
        "°C": "°C",
        "°F": "°F",
        "kg": "kg kilogram kilograms kilo kilos",
        "g": "g gram grams",
        "mg": "mg milligram milligrams",
        "µg": "µg μg ug mcg microgram micrograms",
        "ng": "ng nanogram nanograms",
        "t": "tonne tonnes",
        "l": "l L liter liters litre litres",
        "ml": "ml mL milliliter milliliters millilitre millilitres",
        "dl": "dl dL",
        "km": "km kilometer kilometers kilometre kilometres",
        "m": "m meter meters metre metres",
        "cm": "cm centimeter centimeters centimetre centimetres",
        "mm": "mm millimeter millimeters millimetre millimetres",
        "µm": "µm μm um",
        "nm": "nm",
        "mi": "mi mile miles",
        "ft": "ft foot feet",
        "m²": "m² m2",
        "m³": "m³ m3",
        "h": "h hour hours",
        "min": "min minute minutes",
        "s": "s sec second seconds",
        "ms": "ms millisecond milliseconds",
        "d": "day days",
        "wk": "week weeks",
        "mo": "month months",
        "yr": "year years",
        "mol": "mol",
        "mmol": "mmol",
        "Hz": "Hz",
        "kHz": "kHz",
        "MHz": "MHz",
        "kcal": "kcal",
        "kJ": "kJ",
        "kDa": "kDa",
        "lb": "lb lbs",
        "oz": "oz ounce ounces",
        "inch": "inch inches",
        "yd": "yd yard yards",
        "mmHg": "mmHg",
        "Pa": "Pa",
        "kPa": "kPa",
        "hPa": "hPa",
        "J": "joule joules",
        "W": "watt watts",
        "kW": "kW",
        "kWh": "kWh",
        "V": "volt volts",
        "IU": "IU",
        "mEq": "mEq",
        "dB": "dB",
        "bpm": "bpm",
        "mph": "mph",
        "KB": "KB",
        "MB": "MB",
        "GB": "GB",
        "TB": "TB",
        "bp": "bp",
        "kb": "kb",
        "Mb": "Mb",
    }.items()
    for alias in aliases.split()
}
_LETTER = compiled(_L)


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text, `text[start:end]` with its sign and without unit; `values` are its possible values.

    `unit` is the unit next to it, as a symbol, if the unit is known; `whole_end` is where the unit ends.
    """

    start: int
    end: int
    values: frozenset[Fraction]
    unit: str
    whole_start: int
    whole_end: int


def numbers_in(text: str, decimal: Decimals = ".") -> Iterator[Number]:
    """The numbers of a text, in order."""
    for match in _NUMBER.finditer(text):
        number = _number(match, decimal)
        if number is not None:
            yield number
        elif re.fullmatch(r"\d+(?:,\d+)+", match["body"] or ""):  # `1,2,3` is a list
            for part in re.finditer(r"\d+", match["body"]):
                start, end = (match.start("body") + place for place in part.span())
                yield Number(start, end, readings(part.group()), "", start, end)


def number_of(text: str, decimal: Decimals = ".") -> Number | None:
    """The number of a text that is one number, unit included, and nothing else; None for any other text."""
    text = text.strip()
    found = next(numbers_in(text, decimal), None)
    return found if found and (found.whole_start, found.whole_end) == (0, len(text)) else None


def _number(match: re.Match[str], decimal: Decimals) -> Number | None:
    if match["top"] is not None:
        sign = -1 if match["fraction_sign"] else 1
        values = _quotient({Fraction(sign * int(match["top"]))}, match["bottom"])
        return Number(match.start(), match.end(), values, "", match.start(), match.end()) if values else None
    known = _tail(match)
    if known is None:
        return None
    scale, unit, whole_end = known
    values, power = _raised(_with_fraction(match, decimal), match), _power(match)
    if not values or power is None:
        return None
    sign, start = _sign(match)
    end = max(
        match.end(group) for group in ("body", "vulgar", "part", "under", "divisor", "exponent", "power", "raised")
    )
    currency = _UNITS.get(match["currency"] or "", match["currency"] or "")
    whole = min(start, match.start("currency")) if match["currency"] else start
    factor = scale * power * sign
    return Number(start, end, frozenset(value * factor for value in values), currency or unit, whole, whole_end)


def _sign(match: re.Match[str]) -> tuple[int, int]:
    """-1 or 1, and the start of the number."""
    before = match.string[max(0, match.start() - 20) : match.start()]
    if match["negative"] and _MAY_BE_NEGATIVE.search(before):
        return -1, match.start("negative")
    group = next(name for name in ("sign", "outer", "body", "vulgar") if match[name])
    return -1 if (match["sign"] or match["outer"] or "") in tuple("-−–") else 1, match.start(group)


def _with_fraction(match: re.Match[str], decimal: Decimals) -> frozenset[Fraction]:
    """The values of the digits with the fraction after them: 3/4, 1 1/2, 1½."""
    values = readings(match["body"], decimal) if match["body"] else frozenset({Fraction()})
    vulgar = (match["vulgar"] or match["part"] or "").strip()
    if vulgar:
        return frozenset(value + Fraction(unicodedata.numeric(vulgar)).limit_denominator(10) for value in values)
    if match["over"]:
        [part, *_] = _quotient({Fraction(match["over"])}, match["under"]) or [None]
        return frozenset() if part is None else frozenset(value + part for value in values)
    return _quotient(values, match["divisor"]) if match["divisor"] else values


def _raised(values: frozenset[Fraction], match: re.Match[str]) -> frozenset[Fraction]:
    """The values raised to the power after them: 10^3, 10³."""
    exponent = _exponent(match["raised"]) if match["raised"] else 1
    if any(len(f"{value.numerator}{value.denominator}") * abs(exponent) > MAX_DIGITS for value in values):
        return frozenset()
    return frozenset(value**exponent for value in values if value or exponent >= 0)


def _tail(match: re.Match[str]) -> tuple[int, str, int] | None:
    """Scale, unit and end of the text after the digits; None if the digits are the beginning of a word (`5th`,
    `3D`)."""
    tail, text = match["tail"] or "", match.string
    end = match.end("tail") if match["tail"] else match.end()
    digits_end = end - len(tail)
    word = tail.strip()
    after = text[end : end + 1]
    if tail == "s" and len(match["body"]) == 4:
        return None  # the 1990s
    ends = not (after.isdigit() or after == "_")
    if word in _UNITS and ends:
        return 1, _UNITS[word], end
    if match["currency"] and word.casefold() in _OF_MONEY and ends:
        return _OF_MONEY[word.casefold()], "", end
    if word.casefold() in _SCALES and ends and (word.casefold() != "k" or word == tail):
        return _SCALES[word.casefold()], "", end
    if tail and tail == word and _LETTER.match(word):
        return None
    if text[digits_end : digits_end + 1] == "_":
        return None
    return 1, "", digits_end


def _power(match: re.Match[str]) -> Fraction | None:
    written = match["exponent"] or match["power"]
    exponent = _exponent(written) if written else 0
    return None if abs(exponent) > MAX_DIGITS else Fraction(10) ** exponent


def _exponent(written: str) -> int:
    return int(re.sub(r"[\s^{}]", "", unicodedata.normalize("NFKC", written)).replace("−", "-"))


def _quotient(values: frozenset[Fraction] | set[Fraction], divisor: str) -> frozenset[Fraction]:
    by = int(divisor) if len(divisor) <= MAX_DIGITS else 0
    return frozenset(value / by for value in values) if by else frozenset()


def readings(digits: str, decimal: Decimals = ".") -> frozenset[Fraction]:
    """The possible values of digits and separators without a sign; empty if they are not a number (`1.2.3`)."""
    if len(digits) > MAX_DIGITS:
        return frozenset()
    plain = "".join(str(unicodedata.digit(sign)) if sign.isdigit() else sign for sign in digits)
    plain = re.sub(_SPACE, "", plain.replace("٫", ".").replace("٬", ","))
    *groups, tail = re.split(r"[.,]", plain)
    signs = re.findall(r"[.,]", plain)
    if not signs:
        return frozenset({Fraction(int(tail))})
    as_decimals = _value("".join(groups), tail) if len(set(signs[:-1])) <= 1 else None
    if len(set(signs)) == 2:  # `1.234,5`: the last separator is the decimal sign
        grouped = _grouped(groups) and signs.count(signs[-1]) == 1
        return frozenset({as_decimals} if grouped and as_decimals is not None else ())
    if len(signs) > 1:
        return frozenset({_value("".join(groups) + tail, "")} if _grouped([*groups, tail]) else ())
    if not _grouped([*groups, tail]):
        return frozenset({_value(groups[0], tail)})
    both = {_value(groups[0], tail): signs[0], _value(groups[0] + tail, ""): "." if signs[0] == "," else ","}
    return frozenset(value for value, sign in both.items() if decimal in ("either", sign))


def _value(whole: str, decimals: str) -> Fraction:
    return Fraction(int(whole + decimals or "0"), 10 ** len(decimals))


def _grouped(groups: list[str]) -> bool:
    """Whether these are groups of thousands (of hundreds before the last, as in India: `1,00,000`)."""
    first, *rest = groups
    if not (1 <= len(first) <= 3 and first[0] != "0"):
        return False
    return all(len(group) == 3 for group in rest) or (
        len(rest) > 1 and len(rest[-1]) == 3 and all(len(group) == 2 for group in rest[:-1]) and len(first) <= 2
    )
