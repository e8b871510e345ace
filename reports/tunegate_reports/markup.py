"""HTML and SVG that are always escaped: a plain string is text, and only a `Markup` is markup."""

from __future__ import annotations

import html
import re

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]")
"""Invisible characters, and those that reorder text: shown as their code, so that they cannot deceive the reader."""

VOID = frozenset({"br", "hr", "input", "link", "meta"})


class Markup(str):
    """Text that is already HTML. Only `tag`, `join` and the page template make it."""

    __slots__ = ()


Child = str | int | None
Attribute = str | int | float | bool | None


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """One element: `tag("p", "a < b", class_="note")` gives `<p class="note">a &lt; b</p>`.

    An attribute name loses a trailing underscore; other underscores become hyphens (`aria_label`). True gives a bare
    attribute; False and None give no attribute. Children that are None are left out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(children: object) -> Markup:
    """Markup of several children in a row."""
    return Markup("".join(escape(child) for child in children if child is not None))  # pyright: ignore


def escape(child: Child) -> Markup:
    """A child as markup: text is escaped, Markup is kept."""
    return child if isinstance(child, Markup) else Markup(_escaped(str(child)))


def _escaped(text: str) -> str:
    return html.escape(UNSEEN.sub(lambda match: f"[U+{ord(match[0]):04X}]", text))


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f' {name}="{_escaped(text)}"'
