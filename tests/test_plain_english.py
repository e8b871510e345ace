"""Errors, help, reports, docstrings and pages are plain English: subject, verb, object.

Each phrase below was found in this project and made native readers stumble. The list grows; it never shrinks.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.support.places import ROOT

INSTEAD = {
    r"\b(stands?|stood)\b(?!-in|s-in| (for|out|alone)\b)": "is, appears, is written",
    r"\b(lies|lay)\b": "is, is stored",
    r"\b(held?|holds?|holding) (\w+ )?against\b": "compared with",
    r"\b(has|have|had) not\b(?! (been|yet|to|\w+ed|\w+en)\b)": "does not have",
    r"\b(says?|knows?|means?|fits?|tells?|comes?|counts?|goes|needs) not\b": "does not say, does not know",
    r"\bso (many|much)\b(?! (that|as)\b)": "N, that many, this number of",
    r"\b(the|an?) one that\b": "the model that: name the thing",
    r"\b(no \w+|nothing|no one) but\b": "only",
    r"\b(can|could|may|to)( not|not|'t)? be had\b": "is available, exists",
    r"\btells? of\b": "describes, names",
    r"\band the like\b": "and so on, or the exact list",
    r"\bbe it\b": "whether it is",
    r"\bfor want of\b": "because there is no",
    r"\banew\b": "again, from the start",
    r"\b(thereof|therein|whereof|wherein|whence|thence|hereby|thereupon)\b": "of it, in it",
    r", for (it|they|its|their|he|this|that|there|no|these) ": "because",
    r"[;,] else [a-z]": "otherwise",
    r"(^|[.:] )(Refused|Left out|Counted|Kept|Not seen|Shown|Returned|Taken|Told|Meant) (is|are) ": "subject first",
    r"\b(is|are) told (by|apart|in|of)\b": "is reported, is named",
    r"\bgiv(e|es|en|ing) (\w+ )?away\b": "reveals the answer",
    r"\bof which (it|they|he|there|one)\b": "that it, where",
    r"\brests? on\b": "is based on",
    r"\b(?<!there )(is|are|was|were) no (?!longer\b|(less|more|\w+er) than\b|likelier\b)": "is not a",
    r"\botherwise than\b": "differs from, differently from",
    r"\bin the place of\b": "instead of",
    r"\bof (a )?strangers?\b": "a stranger's file, strangers' files",
    r"\bcode of (yours|the (user|file))\b": "your code, the user's code",
    r"\bas (the|a|its|this) \w+ (has|have|had) it\b": "as in, from",
    r"\b(told|said) by the file\b": "according to the file",
    r"\bof whatever \w+": "of any",
    r"(^|[.:;] |# |\"\"\")(Who|who) (can|may|has) [\w ]+ (can|may|has)\b": "anyone who can",
}
"""Pattern, and what to write instead."""
DATA = {
    "suites/tunegate_suites/cues/cues.py": "stood",  # a verb of the list of past tenses
    "suites/tunegate_suites/judges/prompt.py": "stand",  # of the prompt that admitted judges were measured with
}
"""Words of a file that are no English of ours."""

SOURCES = [
    *(path for top in ("harness", "suites", "trainers", "reports") for path in sorted((ROOT / top).rglob("*.py"))),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every string and comment of a module, docstrings included, or of every line of a page."""
    written = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from enumerate(written.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(written).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            yield token.start[0], token.string


def stumbles(path: Path) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line}: {match[0]!r} in {text[max(0, match.start() - 40) : match.end() + 40]!r}"
        f" -> {instead}"
        for line, text in texts(path)
        for pattern, instead in INSTEAD.items()
        for match in re.finditer(pattern, text, re.IGNORECASE | re.MULTILINE)
        if DATA.get(str(path.relative_to(ROOT))) != match[0]
    ]


def test_no_phrase_that_readers_stumble_over() -> None:
    found = [stumble for path in SOURCES for stumble in stumbles(path)]
    assert not found, "\n" + "\n".join(found)
