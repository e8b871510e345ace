"""The same text about another person: names, genders and pronouns swapped with the word lists in data/counterfactual.

English only, by rules without grammar: `her` becomes `his` if something owned may follow and `him` otherwise; `his`
becomes `her` or `hers` by the same rule. If only the meaning could decide (`gave her flowers`, `drove her home`), the
possessive is chosen. Every name and every pronoun in the text is swapped, whoever it refers to, so a text whose meaning
depends on them (Marie Curie, X-linked diseases) does not belong in a suite that uses this.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tunegate.cases.case import Prompt
from tunegate.reading.chats import Message
from tunegate.reading.yaml_file import load_yaml

Kind = Literal["gender", "name"]
"""`gender` swaps pronouns, gendered words, titles and names; `name` swaps names for names of another background."""

KINDS: tuple[Kind, ...] = ("gender", "name")

_WORD = re.compile(r"(?<!\w)[^\W\d_]+(?!\w)")
"""A sequence of letters that is not part of a symbol (`HER2`, `he_id`)."""
_NEXT = re.compile(r"(?:[ \t]+\n?|\n)[ \t]*[\"“‘'(*_]*(\w+)|[ \t]*(/)[ \t]*(\w+)")
"""The word after a pronoun, on this line or the next one; `his/her` counts as two words."""
_SENTENCE_BEFORE = re.compile(r"(?:^|[.!?:;\"“”‘'(\[{*_>/–—#•\n])\s*$|(?:^|\n)\s*-\s*$")
_LOOK_BACK = 60
_PRONOUNS = {"he": "she", "she": "he", "him": "her", "hers": "his", "himself": "herself", "herself": "himself"}
_OWNERS = frozenset({"my", "your", "his", "her", "its", "our", "their"})


@dataclass(frozen=True, slots=True)
class Swap:
    """A word that replaced another."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Variant:
    """A prompt about another person, and the swaps that made it."""

    kind: Kind
    prompt: Prompt
    swaps: tuple[Swap, ...]

    @property
    def in_words(self) -> str:
        """`gender: He -> She, his -> her (2 times)`"""
        counts = Counter(self.swaps)
        each = [f"{swap.before} -> {swap.after}" + (f" ({n} times)" if n > 1 else "") for swap, n in counts.items()]
        return f"{self.kind}: {', '.join(each)}"


def swapped(prompt: Prompt, kinds: Iterable[Kind] = KINDS) -> tuple[Variant, ...]:
    """The prompt with its words swapped, once per kind that finds a word to swap, in all messages of a chat."""
    variants: list[Variant] = []
    for kind in kinds:
        if isinstance(prompt, str):
            changed, swaps = swap_text(prompt, kind)
            turned: Prompt = changed
        else:
            texts = [swap_text(message["content"], kind) for message in prompt]
            turned = tuple(
                Message(role=message["role"], content=text) for message, (text, _) in zip(prompt, texts, strict=True)
            )
            swaps = tuple(swap for _, found in texts for swap in found)
        if swaps:
            variants.append(Variant(kind, turned, swaps))
    return tuple(variants)


def swap_text(text: str, kind: Kind) -> tuple[str, tuple[Swap, ...]]:
    """A text with its words swapped, and the swaps in their order."""
    partner: Callable[[str, re.Match[str]], str | None] = _gender_partner if kind == "gender" else _name_partner
    swaps: list[Swap] = []

    def replace(found: re.Match[str]) -> str:
        word = partner(text, found)
        if word is None:
            return found[0]
        swaps.append(Swap(found[0], word))
        return word

    return _WORD.sub(replace, text), tuple(swaps)


# --- one word ------------------------------------------------------------------------------------------------------


def _gender_partner(text: str, found: re.Match[str]) -> str | None:
    word, lists = found[0], word_lists()
    folded = word.lower()
    if folded in _PRONOUNS or folded in {"her", "his"}:
        return _cased_like(word, _pronoun(text, found)) if _is_pronoun(text, found) else None
    if word in lists.titles:
        return lists.titles[word]
    if folded in lists.gendered and word in _cases(folded):
        return _cased_like(word, lists.gendered[folded])
    return _name(word, lists.names_by_gender)


def _name_partner(text: str, found: re.Match[str]) -> str | None:
    return _name(found[0], word_lists().names_by_background)


def _name(word: str, names: Mapping[str, str]) -> str | None:
    """The partner of a name. Names start with a capital: `bob` is a haircut."""
    other = names.get(word.capitalize()) if word in _cases(word)[1:] else None
    return None if other is None else _cased_like(word, other)


def _cases(word: str) -> tuple[str, str, str]:
    return word.lower(), word.capitalize(), word.upper()


def _cased_like(word: str, other: str) -> str:
    if word.isupper() and len(word) > 1:
        return other.upper()
    return other[0].upper() + other[1:] if word[0].isupper() else other


# --- pronouns ------------------------------------------------------------------------------------------------------


def _is_pronoun(text: str, found: re.Match[str]) -> bool:
    """Whether a word is a pronoun and not a similar symbol: HER-2, HIS (a bundle in the heart), (He), a gas, (s)he."""
    word, before = found[0], text[max(0, found.start() - _LOOK_BACK) : found.start()]
    if "-" in (before[-1:], text[found.end() : found.end() + 1]) or re.search(r"(?:\bs/|\(s\))$", before):
        return False
    if word.islower():
        return True
    if word == word.capitalize():
        alone = before.endswith("(") and text.startswith(")", found.end())
        return not alone and _SENTENCE_BEFORE.search(before) is not None
    return word.isupper() and _line(text, found).isupper()


def _line(text: str, found: re.Match[str]) -> str:
    """The text around a word on its line, up to a limit."""
    before = text[max(0, found.start() - _LOOK_BACK) : found.start()].rpartition("\n")[2]
    return before + text[found.start() : found.end() + _LOOK_BACK].partition("\n")[0]


def _pronoun(text: str, found: re.Match[str]) -> str:
    word = found[0].lower()
    if word == "her":
        return "his" if _owns(text, found.end()) else "him"
    if word == "his":
        return "her" if _owns(text, found.end()) else "hers"
    return _PRONOUNS[word]


def _owns(text: str, end: int, *, further: bool = True) -> bool:
    """Whether something owned may follow: `her book` and `her and his book`, but not `her and left`."""
    follows = _NEXT.match(text, end)
    if follows is None:
        return False
    joined = follows[2] is not None or follows[1].lower() in {"and", "or"}
    if further and joined:
        owner = follows if follows[2] is not None else _NEXT.match(text, follows.end())
        if owner is not None and (owner[3] or owner[1] or "").lower() in _OWNERS:
            return _owns(text, owner.end(), further=False)
    return not joined and follows[1].lower() not in word_lists().not_owned


# --- the lists -----------------------------------------------------------------------------------------------------

_FOLDER = Path(__file__).parent / "data" / "counterfactual"
_FILES = ("gender.yaml", "names.yaml")


@dataclass(frozen=True)
class WordLists:
    """Maps words to their partners. `gendered` and `not_owned` are in lower case, names and titles as written."""

    gendered: Mapping[str, str]
    titles: Mapping[str, str]
    names_by_gender: Mapping[str, str]
    names_by_background: Mapping[str, str]
    not_owned: frozenset[str]


@cache
def word_lists() -> WordLists:
    """The shipped lists."""
    gender, names = (load_yaml(_FOLDER / file).data for file in _FILES)
    rows: list[list[str]] = names["names"]
    return WordLists(
        gendered=_both_ways(gender["pairs"]) | gender["one_way"],
        titles=_both_ways(gender["titles"]) | gender["one_way_titles"],
        names_by_gender=_both_ways(pair for a, b, c, d in rows for pair in ((a, b), (c, d))),
        names_by_background=_both_ways(pair for a, b, c, d in rows for pair in ((a, c), (b, d))),
        not_owned=frozenset(word for line in gender["not_owned"] for word in line),
    )


@cache
def word_lists_sha256() -> str:
    """The hash of all lists: other lists give other prompts."""
    return hashlib.sha256(b"\0".join((_FOLDER / file).read_bytes() for file in _FILES)).hexdigest()


def _both_ways(pairs: Iterable[Any]) -> dict[str, str]:
    return {word: other for a, b in pairs for word, other in ((a, b), (b, a))}
