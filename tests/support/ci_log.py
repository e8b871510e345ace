"""How CI servers read a log, by their documentation: which parts of a text they would obey."""

from __future__ import annotations

import re

# GitHub trims a line before it looks for `::`; `##[`, `##vso[` and `##teamcity[` are looked for anywhere in a line.
_OBEYED = re.compile(r"^\s*::[^\n]*|##[a-z]*\[[^\n]*", re.MULTILINE | re.IGNORECASE)


def commands_in(log: str) -> list[str]:
    """The commands that a CI server would take from a log."""
    return _OBEYED.findall(re.sub(r"\r|\x0b|\x0c|[\x1c-\x1e]|\x85|\u2028|\u2029", "\n", log))
