"""The question of a case as the model read it: token ids, and the place of each token in what the user wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunegate.attribution.explanation import Pieces
from tunegate.attribution.pieces import pieces_of, tokens_in
from tunegate.cases.case import Case
from tunegate.exceptions import CannotJudge
from tunegate.models.hf import HFModel
from tunegate.models.model import GenerationSettings, as_messages
from tunegate.models.prompting import answer_text, choice_text, context_free, plain_ids

BETWEEN = "\n\n"
"""Between the messages of a chat, where they are shown as one text."""


@dataclass(frozen=True)
class Question:
    """A prompt of `ids`, an answer and the right one as token ids (None without a reference).

    `shown` is what the user wrote. `units` are its pieces: words or sentences first, then tokens; `members` holds for
    each unit, and each of its pieces, the places in `ids`.
    """

    ids: tuple[int, ...]
    answer: tuple[int, ...]
    reference: tuple[int, ...] | None
    shown: str
    units: tuple[Pieces, Pieces]
    members: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def parting(self) -> int | None:
        """The place of the first token that differs; None without a reference or a difference."""
        if self.reference is None or self.reference == self.answer:
            return None
        pairs = zip(self.answer, self.reference, strict=False)
        return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(self.answer), len(self.reference)))


def question_of(
    model: HFModel,
    case: Case,
    settings: GenerationSettings,
    answer: str,
    reference: str | None,
    *,
    scored: bool,
    ended: bool,
) -> Question:
    """The question as the gate asked it. `scored`: the answer is a choice whose likelihood was computed; `ended`: the
    answer ended by itself, so that its end token counts too; a right answer always ends.

    Raises CannotJudge for a tokenizer that does not give the places of its tokens in the text.
    """
    tokenizer = model.tokenizer
    text, is_raw = (choice_text if scored else answer_text)(tokenizer, case, settings)
    if scored:
        tail = text[len(text.rstrip()) :] + (model.target_delimiter if is_raw else "")
        text = text.rstrip()
    else:
        tail = answer[: len(answer) - len(answer.lstrip())]
        answer = answer.lstrip()
    ids, offsets = _encoded(tokenizer, text, is_raw)

    def continued(words: str, ends: bool) -> tuple[int, ...]:
        if scored and ids:
            whole: list[int] = tokenizer(text + tail + words, add_special_tokens=is_raw)["input_ids"]
            return tuple(whole[len(ids) :])
        end = [tokenizer.eos_token_id] if ends and tokenizer.eos_token_id is not None else []
        return (*plain_ids(tokenizer, tail + words), *end)

    prompt = settings.asks(case.prompt)
    contents = [prompt] if isinstance(prompt, str) else [one["content"] for one in as_messages(prompt)]
    shown, spans = _shown(text, contents, offsets)
    token_spans = _without_gaps([span for _, span in spans], len(shown))
    tokens = Pieces("token", tuple(span for span, _ in token_spans))
    own = tuple(tuple(spans[place][0] for place in places) for _, places in token_spans)
    parts = pieces_of(shown)
    inside = tokens_in(parts, [end for _, (_, end) in spans])
    return Question(
        tuple(ids or context_free(tokenizer)),
        continued(answer, ended),
        None if reference is None else continued(reference if scored else reference.lstrip(), True),
        shown,
        (parts, tokens),
        (tuple(tuple(spans[place][0] for place in places) for places in inside), own),
    )


def _encoded(tokenizer: Any, text: str, is_raw: bool) -> tuple[list[int], list[tuple[int, int]]]:
    try:
        encoded = tokenizer(text, add_special_tokens=is_raw, return_offsets_mapping=True)
    except NotImplementedError as error:
        raise CannotJudge(
            f"{tokenizer.name_or_path}: this tokenizer does not give the places of its tokens in a text, so no part of "
            "a prompt can be named; only fast tokenizers (tokenizer.json) do"
        ) from error
    return encoded["input_ids"], encoded["offset_mapping"]


def _shown(
    text: str, contents: Sequence[str], offsets: Sequence[tuple[int, int]]
) -> tuple[str, list[tuple[int, tuple[int, int]]]]:
    """What the user wrote, and the tokens that lie in it: place among the ids, and characters in the shown text.

    A message that the template changed is not found: then the whole rendered text is shown.
    """
    found: list[tuple[int, str]] = []
    at = 0
    for content in filter(None, (content.strip() for content in contents)):
        start = text.find(content, at)
        if start < 0:
            found = [(0, text)]
            break
        found.append((start, content))
        at = start + len(content)
    spans: list[tuple[int, tuple[int, int]]] = []
    shift = 0
    for start, content in found:
        stop = start + len(content)
        for place, (begin, end) in enumerate(offsets):
            if begin < end and start < end <= stop:
                spans.append((place, (max(begin, start) - start + shift, end - start + shift)))
        shift += len(content) + len(BETWEEN)
    return BETWEEN.join(content for _, content in found), spans


def _without_gaps(spans: Sequence[tuple[int, int]], length: int) -> list[tuple[tuple[int, int], list[int]]]:
    """Spans that cover the text, each with the tokens that end in it: several tokens may share a character."""
    merged: list[tuple[int, list[int]]] = []
    for place, (_, end) in enumerate(spans):
        if merged and merged[-1][0] == end:
            merged[-1][1].append(place)
        else:
            merged.append((end, [place]))
    starts = [0, *(end for end, _ in merged[:-1])]
    ends = [*(end for end, _ in merged[:-1]), length]
    return [((start, end), places) for start, end, (_, places) in zip(starts, ends, merged, strict=True)]
