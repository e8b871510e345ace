"""From a whole answer to the part that the checks judge."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from tunegate.cases.case import Case
from tunegate.checks.answers.extract import EXTRACT_LIMIT_S, PRESETS, extract
from tunegate.checks.answers.reasoning import closings, openings
from tunegate.checks.answers.turns import Turn, after_header, own_turn
from tunegate.checks.outcome import ErrorSpan, Finding, Verdict
from tunegate.models.model import Response
from tunegate.text.timing import TooSlow

THINK = "think"
RUN_ON = "run_on"
CONTROL_TOKEN = "control_token"
UNFINISHED = "unfinished_reasoning"
NO_ANSWER = "no_answer"
MAX_SPAN_CHARS = 500
REVISION = "1"
"""The version of the known marks and tokens: raised whenever a different part of an answer may be judged."""


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """Which part of an answer is judged.

    `after`: the text after the last such mark; `think` removes a block of reasoning, whatever its marks. `extract`:
    names of presets and regular expressions; the first that matches counts. `whole`: the whole answer, including
    reasoning and control tokens. Without any of these, an answer with reasoning is not judged.
    """

    after: str | None = None
    extract: tuple[str, ...] = ()
    whole: bool = False

    def to_json(self) -> Mapping[str, Any]:
        """The fields that can change a verdict."""
        return {**asdict(self), "revision": REVISION}


AUTO = AnswerRule()
WHOLE = AnswerRule(whole=True)


@dataclass(frozen=True, slots=True)
class Part:
    """The part of an answer that is judged: `text`, which begins at `start` of the whole.

    `left_out` is the part that was left out although no option asked for it: further turns that the model wrote, or the
    control token at the end; `note` reports it.
    """

    text: str
    start: int = 0
    left_out: ErrorSpan | None = None

    @property
    def note(self) -> str:
        return "" if self.left_out is None else _left_out_note(self.left_out)


def part_of(response: Response, case: Case, rule: AnswerRule) -> Part | Finding:
    """The part of a response that is judged; a finding if there is none.

    An answer without the part that the rule requires is a miss, with the error category `no_answer` or
    `unfinished_reasoning`. An answer with reasoning is INVALID if no rule says how to treat reasoning: it may name the
    right answer and then reject it.
    """
    if rule.whole:
        return Part(response.text)
    text = response.text
    turn = _own_turn(text, case)
    own, left_out = text[turn.start : turn.end], _left_out(text, turn)
    note = "" if left_out is None else _left_out_note(left_out)
    part = _after(own, rule, response.finish_reason)
    if isinstance(part, Finding):
        return replace(part, reason=_joined(part.reason, note))
    if rule.extract:
        try:
            place = extract(own[part:], rule.extract)
        except TooSlow:
            return _finding(
                Verdict.INVALID, f"extracting the answer took more than {EXTRACT_LIMIT_S:g} s: simplify `extract`"
            )
        if place is None:
            return _miss(NO_ANSWER, _joined(f"no answer: no match of {_named(rule.extract)}", note))
        start = turn.start + part + place[0]
        return Part(text[start : start + place[1] - place[0]], start, left_out)
    start, end = _without_frame(text, turn.start + part, turn.end, rule)
    stretch = text[start:end]
    if stretch == text:
        return Part(text)
    if (start, end) != (0, len(text)):
        start, stretch = start + len(stretch) - len(stretch.lstrip()), stretch.strip()
    return Part(stretch, start, left_out)


_FRAME = re.compile(
    r"\s*(?:<(?P<tag>answer|final_answer|response|solution)>(?P<a>.*)</(?P=tag)>"
    r"|<\|begin_of_solution\|>(?P<b>.*)<\|end_of_solution\|>)\s*\Z",
    re.DOTALL | re.IGNORECASE,
)


def _without_frame(text: str, start: int, end: int, rule: AnswerRule) -> tuple[int, int]:
    """The answer after reasoning, without its header or the `<answer>` tags around all of it."""
    start += after_header(text[start:end]) if start else 0
    framed = _FRAME.match(text, start, end) if rule.after == THINK and start else None
    if framed is None:
        return start, end
    return framed.span("b" if framed["a"] is None else "a")


def left_out_of(whole: str, case: Case) -> ErrorSpan | None:
    """The text outside the model's own turn: everything from the first further turn, or the control token at the
    end."""
    return _left_out(whole, _own_turn(whole, case))


def _own_turn(text: str, case: Case) -> Turn:
    return _turn(text, _last_message(case), case.references)


@lru_cache(maxsize=512)
def _turn(text: str, prompt: str, references: tuple[str, ...]) -> Turn:
    """Kept, since a check such as `errors` asks for it again after a whole block of answers was cut to its turns."""
    return own_turn(text, prompt, references, _end_of_reasoning(text))


def _left_out(text: str, turn: Turn) -> ErrorSpan | None:
    if turn.further is None and not turn.token:
        return None
    end = min(len(text), turn.end + MAX_SPAN_CHARS)
    return ErrorSpan(RUN_ON if turn.further else CONTROL_TOKEN, turn.end, end, text[turn.end : end])


def reference_part(reference: str, rule: AnswerRule) -> str:
    """The part of a reference that counts by the same rule; all of it if the reference does not have that form."""
    if rule.whole or rule == AUTO:
        return reference
    after = AnswerRule(THINK if rule.after is None else rule.after)
    start = _after(reference, after, "stop")
    at = 0 if isinstance(start, Finding) else start
    rest = reference[slice(*_without_frame(reference, at, len(reference), after))].strip() if at else reference
    try:
        place = extract(rest, rule.extract) if rule.extract else None
    except TooSlow:
        place = None
    return rest[slice(*place)] if place else rest


def as_judged(case: Case, rule: AnswerRule) -> Case:
    """The case with the parts of its references that count."""
    references = tuple(reference_part(text, rule) for text in case.references)
    return case if references == case.references else replace(case, references=references)


def unfinished(text: str) -> tuple[int, int] | None:
    """The start of reasoning that does not end; None if there is none."""
    last = max((match.end() for match in closings(text)), default=0)
    opening = next((match for match in openings(text) if match.start() >= last), None)
    return opening.span() if opening else None


def _after(text: str, rule: AnswerRule, finish_reason: str) -> int | Finding:
    """The start of the answer, after its reasoning."""
    by_mark = rule.after not in (None, THINK)
    ends = [match.end() for match in closings(text)]
    if by_mark and rule.after is not None and rule.after in text:
        ends = [text.rindex(rule.after) + len(rule.after)]
    if not by_mark and rule.after is None and not rule.extract:
        if ends or next(openings(text), None) is not None:
            return _finding(
                Verdict.INVALID,
                "the answer contains reasoning, which may name an answer that it rejects: write `answer: think` in the "
                "suite to judge only the text after it, or `answer: whole` to judge everything",
            )
        return 0
    start = max(ends, default=0)
    opened = unfinished(text)
    if opened is not None and opened[0] >= start:
        return _miss(UNFINISHED, f"the reasoning never ends: {text[slice(*opened)].strip()!r} is not closed")
    if by_mark and rule.after is not None and rule.after not in text:
        if finish_reason == "length":
            return _miss(UNFINISHED, f"no answer: the token limit was reached before {rule.after!r}")
        return _miss(NO_ANSWER, f"no answer: the text does not contain {rule.after!r}")
    if not ends and finish_reason == "length" and rule.after == THINK and not rule.extract:
        return _miss(UNFINISHED, "no answer: the token limit was reached before the end of the reasoning")
    if ends and not text[start:].strip():
        return _miss(NO_ANSWER, "no answer: nothing follows the reasoning")
    return start


def _end_of_reasoning(text: str) -> int:
    """The end of the first block of reasoning, in which a turn cannot end; 0 if a turn ended before it began."""
    opening = next(openings(text), None)
    if opening is None:
        # gpt-oss, if the template wrote the opening: the mark at the end of its reasoning begins with a control token.
        final = next(closings(text), None)
        return final.end() if final and "<|channel|>" in final.group() else 0
    before = text[: opening.start()]
    turn = own_turn(before)
    if after_header(before) < len(before) and (turn.further or turn.token):
        return 0
    return next((match.end() for match in closings(text) if match.start() >= opening.start()), len(text))


def _last_message(case: Case) -> str:
    prompt = case.prompt
    return prompt if isinstance(prompt, str) else prompt[-1]["content"] if prompt else ""


def _left_out_note(left_out: ErrorSpan) -> str:
    shown = repr(" ".join(left_out.text[:40].split()))
    if left_out.category == RUN_ON:
        return f"run_on: the answer continues after its end; the text from {shown} on was not judged"
    return f"the control token {shown} at its end was removed"


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _named(rules: Sequence[str]) -> str:
    return ", ".join(rule if rule in PRESETS else repr(rule) for rule in rules)


def _miss(category: str, reason: str) -> Finding:
    return _finding(Verdict.FAIL, reason, ErrorSpan(category))


def _finding(verdict: Verdict, reason: str, *errors: ErrorSpan) -> Finding:
    return Finding("answer", verdict, None, reason, REVISION, errors=errors)
