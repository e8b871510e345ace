"""`{field}` in the text of a check, filled from the case like any other template.

`{reference}` means the references of the case; `{prompt}`, `{context}`, `{id}` and `{group}` mean those parts of the
case; any other name is a field of the case's row. A field with a list, and several references, give alternatives.
`{{name}}` is a literal `{name}`; in a regular expression so is `\\{name\\}`. Anything else in braces (`{2,3}`,
`{"a": 1}`) is plain text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, product
from typing import Any, cast

from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.reading.templates import as_text, look_up

_PLACE = re.compile(r"\{\{(?P<literal>[A-Za-z_][\w.]*)\}\}|(?<!\\)(?<!\\[NpPxu])\{(?P<field>[A-Za-z_][\w.]*)\}")
MOST_ALTERNATIVES = 1000


def has_places(text: str) -> bool:
    """Whether the text has any field to fill."""
    return _PLACE.search(text) is not None


def fill_text(text: str, case: Case) -> list[str]:
    """The text with its fields filled: one text, or several if a field gives alternatives. Raises ConfigError."""
    if not has_places(text):
        return [text]
    pieces: list[list[str]] = []
    last = 0
    for match in _PLACE.finditer(text):
        pieces.append([text[last : match.start()]])
        pieces.append(_values(match["field"], case) if match["field"] else [f"{{{match['literal']}}}"])
        last = match.end()
    pieces.append([text[last:]])
    return ["".join(parts) for parts in islice(product(*pieces), MOST_ALTERNATIVES)]


def fill_pattern(pattern: str, case: Case | None) -> str:
    """The regular expression with its fields filled; values are matched literally. Raises ConfigError.

    Without a case, each field is replaced by a word.
    """
    if not has_places(pattern):
        return pattern
    values: Callable[[str], list[str]] = lambda name: ["word"] if case is None else _values(name, case)  # noqa: E731

    def filled(match: re.Match[str]) -> str:
        if not match["field"]:
            return rf"\{{{match['literal']}\}}"
        return f"(?:{'|'.join(map(re.escape, values(match['field'])))})"

    return _PLACE.sub(filled, pattern)


def fault_of_places(texts: Sequence[str], cases: Sequence[Case]) -> str | None:
    """Why a field of a check's text cannot be filled for some cases; None if all can be filled."""
    if not any(map(has_places, texts)):
        return None
    faults = [(case, fault) for case in cases if (fault := next(_faults(texts, case), None)) is not None]
    if not faults:
        return None
    case, fault = faults[0]
    also = f" (and for {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"case {case.id!r}{also}: {fault}; write a literal brace as '{{{{' and '}}}}'"


def _faults(texts: Sequence[str], case: Case) -> Iterator[str]:
    for text in texts:
        try:
            fill_text(text, case)
        except ConfigError as error:
            yield str(error)


def _values(name: str, case: Case) -> list[str]:
    known = {"prompt": case.prompt_text, "context": case.context, "id": case.id, "group": case.group}
    if name in ("reference", "references") and case.references:
        values = list(case.references)
    elif name not in case.fields and known.get(name) is not None:
        values = [str(known[name])]
    else:
        value = look_up(name, case.fields)
        items = cast("list[Any]", list(value)) if isinstance(value, list | tuple) else [value]  # pyright: ignore[reportUnknownArgumentType]
        values = [as_text(item, name) for item in items]
    if not values or not all(value.strip() for value in values):
        raise ConfigError(f"the field {name!r} is empty, so any answer would contain it; give it a value")
    return values
