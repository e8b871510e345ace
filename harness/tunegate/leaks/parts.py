"""The parts of a prompt: the question, separated from its options, its labels, and the lines that all prompts share.

A multiple-choice case asks `Question: … A. … B. … Answer:`, while a training row has only the question, with options
1 to 4, or with the same options in another order. The question reveals the case, so it is compared separately.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, groupby

from tunegate.leaks.json_text import laid_out
from tunegate.text.grams import COMMON
from tunegate.text.normal_form import normalised, unescaped
from tunegate.text.words import ALONE, compiled, length_in_words

FEWEST_WORDS = 2
"""A shorter stretch ("Answer") is not a question."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence or an option of a prompt, with its normal form without the label before it.

    `line` is the number of its line; `is_labelled` is true for the first sentence of `Question: …`.
    """

    text: str
    normal: str
    line: int
    is_option: bool = False
    is_labelled: bool = False

    @property
    def asks(self) -> bool:
        """Whether it ends in a question mark."""
        return _ASKS.search(self.text) is not None


@dataclass(frozen=True, slots=True)
class Question:
    """The question of a prompt: the segments of one stretch, without any part of the prompt's frame between them."""

    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments)

    @property
    def normal(self) -> str:
        return " ".join(segment.normal for segment in self.segments)

    @property
    def length(self) -> float:
        """In words (`length_in_words`)."""
        return length_in_words(self.normal)

    @property
    def asks(self) -> bool:
        return any(segment.asks for segment in self.segments)

    def lines(self) -> list[Question]:
        """The question split into lines."""
        return [Question(tuple(line)) for _, line in groupby(self.segments, key=lambda segment: segment.line)]

    def sentences(self) -> list[Question]:
        """The question split into sentences."""
        return [Question((segment,)) for segment in self.segments]


def segments(text: str) -> list[Segment]:
    """The sentences and options of a text, in order."""
    text = _TAG.sub("\n", laid_out(unescaped(text))).replace("**", "")
    found: list[Segment] = []
    at = 0
    for start, end in _options(text):
        if not _ASKS.search(text[start:end]):  # otherwise it is a question with a number
            option = normalised(_MARKED.sub("", text[start:end], count=1)) or "-"
            found += [*_sentences(text[at:start], at), Segment(text[start:end], option, start, is_option=True)]
            at = end
    found += _sentences(text[at:], at)
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
    """The question of a prompt: the last stretch before options, and the last with a question mark; or the last one.

    Earlier stretches are examples. If only the frame is left, the frame is the question.
    """
    stretches = _stretches(prompt, frame) or _stretches(prompt, frozenset())
    before_options = [question for question, then in stretches if then]
    asking = [question for question, _ in stretches if question.asks]
    chosen = [*before_options[-1:], *asking[-1:]] or [question for question, _ in stretches][-1:]
    return list(dict.fromkeys(chosen))


def length_beside(prompt: Sequence[Segment], frame: frozenset[str], question: Question) -> float:
    """How many words of reading material a question has: words around it, before the last option."""
    last = max((at for at, segment in enumerate(prompt) if segment.is_option), default=len(prompt))
    beside = [one.normal for one in prompt[:last] if _kind(one, frame) == "text" and one not in question.segments]
    return length_in_words(" ".join(beside))


def _stretches(prompt: Sequence[Segment], frame: frozenset[str]) -> list[tuple[Question, bool]]:
    """The stretches of text between other parts and from label to label, and whether options follow."""
    starts = accumulate(segment.is_labelled for segment in prompt)
    numbered = list(zip(prompt, starts, strict=True))
    groups = [
        (kind, Question(tuple(segment for segment, _ in group)))
        for (kind, _), group in groupby(numbered, key=lambda one: (_kind(one[0], frame), one[1]))
    ]
    found: list[tuple[Question, bool]] = []
    for place, (kind, question) in enumerate(groups):
        if kind == "text" and question.length >= FEWEST_WORDS:
            later = [kind for kind, _ in groups[place + 1 :] if kind != "frame"]
            found.append((question, later[:1] == ["option"]))
    return found


def _kind(segment: Segment, frame: frozenset[str]) -> str:
    if segment.is_option:
        return "option"
    return "frame" if segment.normal in frame or segment.normal in _headings() else "text"


_HEADING_WORDS = """a q question questions answer response output explanation solution user assistant human
    choices options 选项 答案 选择 選択肢 回答 答え 解答 보기 정답 คำตอบ"""


@cache
def _headings() -> frozenset[str]:
    """Lines that only announce the next part."""
    return frozenset(map(normalised, [*_HEADING_WORDS.split(), "your answer", "the answer", "answer choices"]))


# --- sentences and labels ------------------------------------------------------------------------------------------

_TAG = re.compile(r"</?[A-Za-z][\w-]*(?:\s[^<>]*)?/?>")
"""A tag of HTML or XML."""
_ASKS = re.compile(r"[?？؟՞፧][\s\"'”’»)\]*_]*$")
_SENTENCE_ENDS = re.compile(r"(?<=[.!?…])[\"'”’)\]*_]*\s+|(?<=[。！？｡؟։۔။។।])")
_LABEL_WORDS = (
    "question|query|problem|prompt|input|user|human|instruction|exercise|item|task|text|passage|context|paragraph|"
    "q|frage|pregunta|domanda|pergunta|вопрос|问题|問題|题目|題目|质问|質問|问|問|คำถาม|질문|문제"
)
_LABEL = compiled(
    rf"(?i)^\W*(?:(?:{_LABEL_WORDS})\s*(?:no\.?\s*)?\d*\s*[:：.)）、．|-]+|\d{{1,4}}\s*[.)）、．:：]+(?!\d))\W*(?=\w)"
)


def _sentences(text: str, place: int) -> list[Segment]:
    found: list[Segment] = []
    for line in text.splitlines(keepends=True):
        unlabelled = _LABEL.sub("", line)
        labelled = unlabelled != line
        for part in filter(None, map(str.strip, _SENTENCE_ENDS.split(unlabelled))):
            found.append(Segment(part, normalised(part), place, is_labelled=labelled))
            labelled = False
        place += len(line)
    return found


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
    r"(?!\d)(?=[^\S\n]*\S)"
)
_MARK = compiled(rf"(?m)(?:^|(?<=[\s?？。:：;；,，、|])|(?<={ALONE})){_MARK_FORM}|(?P<round>[{_FAMILIES[1]}])")
_LIST = compiled(r"(?im)(?:^|(?<=[\s.?!？。]))(?:answer choices|options|choices|选项|選項|選択肢)\s*[:：]")
_BULLET = re.compile(r"(?m)^[ \t]*[-*•·‣–—][ \t]+(?=\S)")
_MARKED = compiled(rf"^\s*(?:{_MARK_FORM}|[{_FAMILIES[1]}]|[-*•·‣–—][ \t])")


def _options(text: str) -> list[tuple[int, int]]:
    """The positions of the options: each from its mark to the next mark, or to the end of the line."""
    marks = _marks(text)
    ends = [*marks[1:], len(text)][: len(marks)]
    lines = (text.find("\n", start) for start in marks)
    return [(start, min(end, line if line >= 0 else end)) for start, end, line in zip(marks, ends, lines, strict=True)]


def _marks(text: str) -> list[int]:
    """The positions of marks that form a series: A, B, C or 1, 2, 3, in any order, or lines with bullets."""
    labels: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for match in _MARK.finditer(text):
        sign = match["round"] or unicodedata.normalize("NFKC", match["within"] or match["closed"]).casefold()
        family, rank = ("digits", int(sign)) if sign.isdecimal() else _rank(sign)
        labels.setdefault((family, match["open"] or match["close"] or ""), []).append((rank, match.start()))
    bullets = [match.start() for match in _BULLET.finditer(text)]
    lists = (match.start() for match in _LIST.finditer(text))
    places = [place for found in labels.values() if _is_series({rank for rank, _ in found}) for _, place in found]
    return sorted({*places, *lists, *(bullets if len(bullets) > 1 else ())})


def _rank(sign: str) -> tuple[str, int]:
    family = next(family for family in _FAMILIES if sign in family)
    return family, family.index(sign) + 1


def _is_series(ranks: set[int]) -> bool:
    return len(ranks) > 1 and min(ranks) <= 1 and max(ranks) - min(ranks) == len(ranks) - 1
