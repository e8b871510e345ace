"""The parts of a prompt: the question, apart from its options, its labels, and the lines that all prompts share.

A case of multiple choice asks `Question: … A. … B. … Answer:` where a training row has the question alone, with options
1 to 4, or with the same options in another order. The question gives the case away, so it is compared by itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tunegate.leaks.disguises import normalised, unescaped
from tunegate.leaks.grams import COMMON
from tunegate.text.words import ALONE, compiled, length_in_words

FEWEST_WORDS = 2
"""A shorter stretch ("Answer") asks nothing."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence, a line or an option of a prompt, and its normal form without the label before it."""

    text: str
    normal: str
    is_option: bool = False

    @property
    def asks(self) -> bool:
        """Whether it ends in a question mark."""
        return _ASKS.search(self.text) is not None


@dataclass(frozen=True, slots=True)
class Question:
    """What a prompt asks: the segments of one stretch, with nothing of the prompt's frame between them."""

    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)

    @property
    def normal(self) -> str:
        return " ".join(segment.normal for segment in self.segments)

    @property
    def last_asked(self) -> Segment | None:
        """The last segment with a question mark, where others stand beside it."""
        asked = [segment for segment in self.segments if segment.asks]
        return asked[-1] if asked and len(self.segments) > 1 else None


def segments(text: str) -> list[Segment]:
    """The sentences, lines and options of a text, in order."""
    text = unescaped(text)
    found: list[Segment] = []
    at = 0
    for start, end in _options(text):
        if not _ASKS.search(text[start:end]):  # or it is a question with a number
            option = normalised(_MARKED.sub("", text[start:end], count=1))
            found += [*_sentences(text[at:start]), Segment(text[start:end], option, True)]
            at = end
    found += _sentences(text[at:])
    return [segment for segment in found if segment.normal]


def frame(prompts: Iterable[Sequence[Segment]]) -> frozenset[str]:
    """The segments that many different prompts share, in their normal form: instructions, examples, `Answer:`.

    Many: more than half of the prompts, or more than `COMMON`.
    """
    distinct = {tuple(segment.normal for segment in prompt): prompt for prompt in prompts}
    counts = Counter(
        normal for prompt in distinct.values() for normal in {one.normal for one in prompt if not one.is_option}
    )
    return frozenset(
        normal for normal, count in counts.items() if count > 1 and (2 * count > len(distinct) or count > COMMON)
    )


def questions(prompt: Sequence[Segment], frame: frozenset[str] = frozenset()) -> list[Question]:
    """What a prompt asks: the last stretch before options, and the last one with a question mark; else the last one.

    Earlier ones are examples. Where nothing but the frame is left, the frame is what is asked.
    """
    stretches = _stretches(prompt, frame) or _stretches(prompt, frozenset())
    before_options = [question for question, then in stretches if then]
    asking = [question for question, _ in stretches if any(one.asks for one in question.segments)]
    chosen = [*before_options[-1:], *asking[-1:]] or [question for question, _ in stretches][-1:]
    return list(dict.fromkeys(chosen))


def _stretches(prompt: Sequence[Segment], frame: frozenset[str]) -> list[tuple[Question, bool]]:
    """The stretches of text between what is no question, and whether options follow."""
    kinds = [(_kind(segment, frame), tuple(group)) for segment, group in _grouped(prompt, frame)]
    found: list[tuple[Question, bool]] = []
    for place, (kind, group) in enumerate(kinds):
        if kind != "text" or length_in_words(" ".join(one.normal for one in group)) < FEWEST_WORDS:
            continue
        later = [kind for kind, _ in kinds[place + 1 : place + 3] if kind != "frame"]
        found.append((Question(group), later[:1] == ["option"]))
    return found


def _grouped(prompt: Sequence[Segment], frame: frozenset[str]) -> Iterator[tuple[Segment, Iterable[Segment]]]:
    for _, group in groupby(prompt, key=lambda segment: _kind(segment, frame)):
        members = list(group)
        yield members[0], members


def _kind(segment: Segment, frame: frozenset[str]) -> str:
    if segment.is_option:
        return "option"
    return "frame" if segment.normal in frame or segment.normal in _HEADINGS else "text"


_HEADING_WORDS = """question questions answer choices options 选项 答案 选择 選択肢 回答 答え 보기 정답"""
_HEADINGS = frozenset(map(normalised, [*_HEADING_WORDS.split(), "your answer", "answer choices"]))


# --- sentences and labels ------------------------------------------------------------------------------------------

_ASKS = re.compile(r"[?？؟՞፧][\s\"'”’»)\]*_]*$")
_SENTENCE_ENDS = re.compile(r"(?<=[.!?…])[\"'”’)\]*_]*\s+|(?<=[。！？｡؟։۔။។।])")
_LABEL_WORDS = (
    "question|query|problem|prompt|input|user|human|instruction|exercise|item|task|text|passage|context|paragraph|"
    "q|frage|pregunta|domanda|pergunta|вопрос|问题|問題|题目|題目|质问|質問|问|問|คำถาม|질문|문제"
)
_LABEL = compiled(
    rf"(?i)^\W*(?:(?:{_LABEL_WORDS})\s*(?:no\.?\s*)?\d*\s*[:：.)）、．|-]+|\d{{1,4}}\s*[.)）、．:：]+(?!\d))\W*(?=\w)"
)


def _sentences(text: str) -> list[Segment]:
    lines = (_LABEL.sub("", line) for line in text.splitlines())
    parts = (part.strip() for line in lines for part in _SENTENCE_ENDS.split(line))
    return [Segment(part, normalised(part)) for part in parts if part]


# --- options -------------------------------------------------------------------------------------------------------

_FAMILIES = (
    "abcdefghij",
    "①②③④⑤⑥⑦⑧⑨⑩",
    "アイウエオカキク",
    "กขคงจฉ",
    "가나다라마바",
    "甲乙丙丁戊己",
    "абвгде",
    "أبجده",
)
_SIGN = rf"(?i:[a-jａ-ｊ]|\d{{1,2}}|[{''.join(_FAMILIES[1:])}])"
_MARK_FORM = (
    r"(?i:option\s+|choice\s+|选项\s*|選項\s*|選択肢\s*)?[*_]{0,2}"
    rf"(?:(?P<open>[(（\[【])(?P<within>{_SIGN})[)）\]】]|(?P<closed>{_SIGN})(?P<close>[.)）．、:：\]】]))"
    r"(?!\d)"
)
_MARK = compiled(rf"(?m)(?:^|(?<=[\s?？。:：;；,，、|])|(?<={ALONE})){_MARK_FORM}|(?P<round>[{_FAMILIES[1]}])")
_BULLET = re.compile(r"(?m)^[ \t]*[-*•·‣–—][ \t]+(?=\S)")
_MARKED = compiled(rf"^\s*(?:{_MARK_FORM}|[{_FAMILIES[1]}]|[-*•·‣–—][ \t])")


def _options(text: str) -> list[tuple[int, int]]:
    """Where the options stand: each from its mark to the next one, or to the end of the line."""
    marks = _marks(text)
    ends = [*marks[1:], len(text)][: len(marks)]
    lines = (text.find("\n", start) for start in marks)
    return [(start, min(end, line if line >= 0 else end)) for start, end, line in zip(marks, ends, lines, strict=True)]


def _marks(text: str) -> list[int]:
    """The places of marks that belong together: A, B, C or 1, 2, 3, in any order, or lines with bullets."""
    labels: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for match in _MARK.finditer(text):
        sign = match["round"] or unicodedata.normalize("NFKC", match["within"] or match["closed"]).casefold()
        family, rank = ("digits", int(sign)) if sign.isdecimal() else _rank(sign)
        labels.setdefault((family, match["open"] or match["close"] or ""), []).append((rank, match.start()))
    bullets = [match.start() for match in _BULLET.finditer(text)]
    places = [place for found in labels.values() if _is_series({rank for rank, _ in found}) for _, place in found]
    return sorted({*places, *(bullets if len(bullets) > 1 else ())})


def _rank(sign: str) -> tuple[str, int]:
    family = next(family for family in _FAMILIES if sign in family)
    return family, family.index(sign) + 1


def _is_series(ranks: set[int]) -> bool:
    return len(ranks) > 1 and min(ranks) <= 1 and max(ranks) - min(ranks) == len(ranks) - 1
