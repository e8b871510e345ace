"""Words, symbols and near misses."""

from __future__ import annotations

from collections.abc import Iterable

from tunegate.text.words import ALONE, compiled

_LETTER = rf"[[\w\p{{No}}]--[_]--{ALONE}]"
WORD = compiled(rf"{_LETTER}+(?:['’]{_LETTER}+)*")
"""A sequence of letters and digits, including apostrophes inside it. Hyphens separate: `X-linked` is two words.

Characters of scripts without spaces are left out: they have no spelling, and end the word next to them.
"""

MAX_WORD = 40
"""Longer sequences of letters are not words, and their deletions would fill the memory."""


def is_symbol(word: str) -> bool:
    """Whether a word looks like a symbol: BLM, TBC1D24, p53, mRNA; not `Paris`, `I` or `42`."""
    if word.isalpha():
        return len(word) > 1 and not word[1:].islower() and not word.islower() and word.upper() != word.lower()
    return not word.isdigit() and any(map(str.isdigit, word)) and any(map(str.isalpha, word))


def folded(word: str) -> str:
    """A word without differences that are not spelling: capitals, the form of the apostrophe, a possessive."""
    return word.casefold().replace("’", "'").removesuffix("'s").removesuffix("'")


class Vocabulary:
    """Correct words, with a fast search for words that are one typo away."""

    def __init__(self, texts: Iterable[str]) -> None:
        found = {word for text in texts for word in WORD.findall(text)}
        self.words = {folded(word) for word in found}
        self._symbols = {folded(word) for word in found if is_symbol(word)}
        self._by_deletion: dict[str, set[str]] | None = None

    def __contains__(self, word: str) -> bool:
        """Whether the vocabulary has the word, ignoring a plural `s`."""
        word = folded(word)
        return word in self.words or (len(word) > 3 and word.endswith("s") and word[:-1] in self.words)

    def near(self, word: str) -> set[str]:
        """The words that one typo turns into `word`; for a symbol only symbols, so that GNE is not a typo of `gene`.

        Two words that are one typo apart have a common form after one deletion (W. Garbe's SymSpell), so that the time
        depends on the length of the word and not on the size of the vocabulary.
        """
        if self._by_deletion is None:
            self._by_deletion = {}
            for known in self.words:
                for form in _deletions(known) if len(known) <= MAX_WORD else ():
                    self._by_deletion.setdefault(form, set()).add(known)
        of_its_kind = self._symbols if is_symbol(word) else self.words
        word = folded(word)
        candidates = set[str]().union(*(self._by_deletion.get(form, ()) for form in _deletions(word)))
        return {known for known in candidates & of_its_kind if one_slip_apart(known, word)}


def _deletions(word: str) -> set[str]:
    return {word} | {word[:i] + word[i + 1 :] for i in range(len(word))}


def one_slip_apart(a: str, b: str) -> bool:
    """Whether adding, removing or replacing one letter, or swapping two adjacent letters, gives the other word."""
    if abs(len(a) - len(b)) > 1 or a == b:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    rest_a, rest_b = a[start : len(a) - end], b[start : len(b) - end]
    return max(len(rest_a), len(rest_b)) == 1 or (len(rest_a) == 2 and rest_a == rest_b[::-1])
