"""Extracting the final answer from a longer answer: `\\boxed{42}`, `Answer: (B)`, the last number, a JSON block.

Every extractor returns the place of its match, the last one if there are several, or None.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

from tunegate.text.numbers import numbers_in
from tunegate.text.timing import time_limit
from tunegate.text.words import ALONE, compiled

EXTRACT_LIMIT_S = 2.0
Place = tuple[int, int]


def extract(text: str, rules: Sequence[str]) -> Place | None:
    """The match of the first rule that matches; a rule is the name of a preset or a regular expression.

    Raises TooSlow when a regular expression takes longer than EXTRACT_LIMIT_S.
    """
    return next((place for rule in rules if (place := _extract(text, rule)) is not None), None)


def fault_of_rule(rule: str) -> str | None:
    """The fault of a rule that is not a preset: a regular expression with one group is expected."""
    try:
        groups = [re.compile(part).groups for part in _alternatives(rule)]
        re.compile(rule)
    except (re.error, OverflowError, RecursionError) as error:
        return f"{rule!r} is not a regular expression: {error}"
    if all(count == 1 for count in groups):
        return None
    return (
        f"{rule!r} has {sum(groups)} groups; expected one of {', '.join(PRESETS)}, or a regular expression with "
        "exactly one group (in each alternative) for the answer; write other groups as (?:…)"
    )


def _extract(text: str, rule: str) -> Place | None:
    preset = PRESETS.get(rule)
    if preset is not None:
        return preset(text)
    with time_limit(EXTRACT_LIMIT_S):
        places = [match.span(match.lastindex) for match in re.finditer(rule, text) if match.lastindex]
    return _trimmed(text, places)


def _trimmed(text: str, places: Sequence[Place]) -> Place | None:
    """The last place that is not blank, without the white space around it."""
    for start, end in reversed(places):
        part = text[start:end]
        if part.strip():
            return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
    return None


def _alternatives(pattern: str) -> list[str]:
    """The alternatives of a regular expression, split at each `|` outside groups and character classes."""
    parts, depth, in_class, start, at = list[str](), 0, False, 0, 0
    while at < len(pattern):
        sign = pattern[at]
        if sign == "\\":
            at += 1
        elif in_class:
            in_class = sign != "]"
        elif sign == "[":
            in_class = True
            at += pattern[at + 1 : at + 2] == "^"
            at += pattern[at + 1 : at + 2] == "]"
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign == "|" and depth == 0:
            parts.append(pattern[start:at])
            start = at + 1
        at += 1
    return [*parts, pattern[start:]]


# --- presets -------------------------------------------------------------------------------------------------------

_BRACES = re.compile(r"(?P<box>\\{1,2}f?box(?:ed)?\s{0,9}\{)|\\.|[{}]", re.DOTALL)
_UNBRACED = re.compile(r"\\f?boxed[ ]{1,9}([^\s${}\\]{1,99}?)(?=[.,;]?(?:[\s$]|\Z))")
_WRAPPED = re.compile(r"\s*\\(?:text|textbf|textit|mathrm|mathbf|mbox)\s*\{")


def boxed(text: str) -> Place | None:
    r"""The contents of the last `\boxed{…}`, with balanced braces; a `\text{…}` around all of it is removed."""
    place = _trimmed(text, _braced(text) or [match.span(1) for match in _UNBRACED.finditer(text)])
    while place is not None and (wrapped := _WRAPPED.match(text, *place)) is not None:
        end = _closing_brace(text, wrapped.end())
        if end is None or end + 1 != place[1]:
            break
        place = _trimmed(text, [(wrapped.end(), end)])
    return place


def _braced(text: str) -> list[Place]:
    """The contents of the braces of each box, in the order of their starts."""
    places: list[Place] = []
    open_: list[tuple[int, bool]] = []
    for match in _BRACES.finditer(text):
        if match["box"] or match.group() == "{":
            open_.append((match.end(), bool(match["box"])))
        elif match.group() == "}" and open_:
            start, is_box = open_.pop()
            places += [(start, match.start())] if is_box else []
    return sorted(places)


def _closing_brace(text: str, at: int) -> int | None:
    depth = 1
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, at):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return match.start()
    return None


# The letter of a choice, with possible marks around it. A and I may be words: `I don't know` names no choice.
_OPEN, _CLOSE = r"""[*_`"'“‘$\s]*(?:\\(?:boxed|text|textbf|mathrm)\{)*[*_`"'“‘]*""", r"""[*_`"'”’}$]*"""
_LETTER = rf"""(?: [(\[（]\s*(?P<in>[A-Za-zＡ-Ｚ])\s*[)\]）]
      | (?P<bare>(?!I\s+(?!is\b)[a-z])[A-ZＡ-Ｚ])(?:(?![\w'’+\#])|(?={ALONE}))
      | (?P<low>[a-z])(?={_CLOSE}\s*(?:[).:,;]|$)))"""
_NAMED_LETTER = compiled(
    rf"""(?xm)\b(?i:answer|ans|(?:correct|right|best|final)\ (?:option|choice)
            |antwort|réponse|respuesta|risposta|resposta|ответ)
        ["'”*_`>]*(?:\s+(?i:is|(?:would|must|should)\ be|choice|option|letter|ist|est|es|è|é|correct[aeo]?|corretta))*
        \s*["'”*_`]*[:=：–—-]?\s*(?i:option|choice)?(?:\#\#\#\#\s*)?{_OPEN}{_LETTER}"""
)
_BEHIND_ITS_TEXT = compiled(r"(?m)\b(?i:answer)\b(?:(?!\b(?i:not|never|isn)\b)[^\n(]){1,200}\((?P<in>[A-Z])\)[.*\s]*$")
_PRAISED_LETTER = compiled(
    r"(?m)(?:(?i:option|choice)\s+|^|[.!?:;,]\s+|\b(?i:so|thus|hence|therefore)\s+)[(*]*(?P<bare>[A-Z])[)*]*\s+"
    r"(?i:is\s+(?:my\s+answer|(?:the\s+)?(?:correct|right|best|answer))\b)"
)
_CHOSEN_LETTER = compiled(
    r"""(?xm)\b(?i:it(?:['’]s|\ is|\ (?:should|must|has\ to)\ be)|choose|pick|select|go\ with)\s+
        (?:(?i:option|choice)\s+)?(?:[(\[*]+(?P<in>[A-Z])[)\]*]+|(?P<bare>[A-Z])(?![\w'’+\#]))(?!\s+[a-z])"""
)
_IN_EAST_ASIA = compiled(
    r"(?:答案|正解|答え|[应应該该]选|故选|[選选]择?|정답|답)(?:应该|應該)?(?:是|为|為|は|은|는)?\s*[:：]?\s*[(（「【]?\s*"
    r"(?P<in>[A-ZＡ-Ｚ])(?![A-Za-z])"
)
_NAMING = (_NAMED_LETTER, _BEHIND_ITS_TEXT, _PRAISED_LETTER, _CHOSEN_LETTER, _IN_EAST_ASIA)
_WHOLE_LETTER = re.compile(
    r"""[\s*_`"'“‘(\[（$]*(?:(?i:option|choice)\s+[(*]*)?(?:\\(?:boxed|text)\{)*([A-Za-zＡ-Ｚ])[}\s*_`"'”’)\]）.:,;$]*"""
)
_LEADING_LETTER = re.compile(
    r"[\s*_`(\[（]*([A-ZＡ-Ｚ])(?:[*_`]*[)\].:：）][*_`]*(?:\s|$)|[*_`]*\s+[-–—]\s|[*_`]*[ \t]*\n)"
    r"(?!\s*(?:is|was|are)\s+(?:wrong|incorrect|false|not)\b)"
)
_OR_ANOTHER = re.compile(r"[)\]*_`\"'”’}$]*\s*(?:(?:or|and|oder|und|ou|o|y)\b|[/,&])\s*[(\[*_`\"'“‘]*[A-Z](?![\w'’])")


def letter(text: str) -> Place | None:
    """The letter of a choice: the letter after `Answer:` or `the answer is`. Without one, the whole text if it is a
    letter, the letter at its start (`B) …`), or the letter alone on its last line. Two letters (`A or B`) are no
    answer."""
    named = [match for pattern in _NAMING for match in pattern.finditer(text)]
    if named:
        last = max(named, key=lambda match: _group(match))
        return None if _OR_ANOTHER.match(text, last.end()) else _group(last)
    last_line = text.rstrip().rfind("\n") + 1
    for match in (
        _WHOLE_LETTER.fullmatch(text),
        _LEADING_LETTER.match(text),
        _WHOLE_LETTER.fullmatch(text, last_line),
    ):
        if match is not None:
            return None if _OR_ANOTHER.match(text, match.end(1)) else match.span(1)
    return None


def _group(match: re.Match[str]) -> Place:
    return match.span(match.lastindex or 0)


def last_number(text: str) -> Place | None:
    """The last number, with its sign and without its unit."""
    return max(((number.start, number.end) for number in numbers_in(text)), default=None)


_FENCE, _INFO, _REST = re.compile("```|~~~"), re.compile(r"[ \t]*(\w*)[ \t]*\n?"), re.compile(r"[ \t]*$", re.M)
_JSON_NAMES = ("", "json", "jsonc", "json5")


def fenced_json(text: str) -> Place | None:
    """The last code block that is JSON; without one, the whole text if it is JSON."""
    for place in reversed(list(_blocks(text))):
        if _is_json(text[slice(*place)]):
            return _trimmed(text, [place])
    return _trimmed(text, [(0, len(text))]) if _is_json(text) else None


def _blocks(text: str) -> Iterator[Place]:
    """The contents of code blocks that name JSON, or no language."""
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is not None and fence[0] == opened[0] and _REST.match(text, fence.end()):
            info = _INFO.match(text, opened.end())
            if info is not None and info[1].casefold() in _JSON_NAMES and info.end() <= fence.start():
                yield info.end(), fence.start()
            opened = None
        elif opened is None or fence[0] == opened[0]:
            begins_line = not text[text.rfind("\n", 0, fence.start()) + 1 : fence.start()].strip()
            opened = fence if begins_line else opened


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list) or bool(text.strip())
    except (ValueError, RecursionError):
        return False


PRESETS: dict[str, Callable[[str], Place | None]] = {
    "boxed": boxed,
    "letter": letter,
    "last_number": last_number,
    "fenced_json": fenced_json,
}
