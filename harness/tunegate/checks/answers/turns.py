"""Where a model's own turn ends: the control tokens of chat templates, and further turns that a model invents.

A tuned model that never learnt to end its turn continues with the user's next question and answers that too. The text
after the first turn is not an answer to the case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tunegate.checks.answers.roles import is_quoted, turns_in_words

_NAMES = (
    "im_start|im_end|im_sep|im_user|im_assistant|im_system|im_middle|endoftext|end_of_text|begin_of_text|startoftext|"
    "start_of_text|eot_id|eom_id|eot|eom|start_header_id|end_header_id|header_start|header_end|start|end|return|call|"
    "user|assistant|system|bot|human|prompter|end_of_turn|endofturn|start_of_turn|startofturn|start_of_role|"
    "end_of_role|end_of_message|message_end|START_OF_TURN_TOKEN|END_OF_TURN_TOKEN|USER_TOKEN|CHATBOT_TOKEN|"
    "SYSTEM_TOKEN|START_RESPONSE|END_RESPONSE|endofprompt|eos|bos|pad|eod|eop|sep|turn|reserved_special_token_\\d+"
)
_OTHERS = (
    "tool|call|python|vision|image|img|audio|video|box|quad|object|fim|code|file|repo|jupyter|issue|commit|"
    "think|thought|solution|channel|message"
)
"""Other words in names of tokens: these tokens mark a part of an answer, not its end."""
_OF_TURNS = "start|begin|end|eot|turn|role|user|assistant|system|sep"
_TOKEN = re.compile(
    rf"""<\|/?(?:{_NAMES})\|>                                       # ChatML, Llama 3, Phi, Zephyr, Cohere, gpt-oss
        | <\|/?(?!\w{{0,40}}(?:{_OTHERS}))\w{{0,40}}(?:{_OF_TURNS})\w{{0,40}}\|>
        | <[｜|](?:User|Assistant|System|(?:begin|end)[▁_ ]of[▁_ ]sentence|▁pad▁|EOT)[｜|]>       # DeepSeek
        | \[/?INST\] | <</?SYS>> | \[/?SYSTEM_PROMPT\] | \[\|/?(?:user|assistant|system|endofturn)\|\]
        | </s> | <s> | <bos> | <eos> | <pad> | \[PAD\] | \[EOS\]     # Llama 2, Mistral, Gemma
        | <(?:start|end)_of_turn> | <\|turn> | <turn\|> | <extra_id_[01]> | <reserved_10[67]> | <end_of_utterance>""",
    re.VERBOSE | re.IGNORECASE,
)
_REST_OF_HEADER = re.compile(r"(?:<\|(?:end_header_id|header_end|end_of_role|im_sep)\|>)?\s*")
_BEGINS_TURN = re.compile(
    r"""<s>|<bos>|<\|(?:begin_of_text|startoftext|start_of_text|bos)\|>|<｜begin▁of▁sentence｜>
        |<\|(?:im_start|start_header_id|header_start|start|start_of_role|turn)\|>\s*(?:assistant|model)
        |<start_of_turn>\s*model|<\|turn>\s*model|<\|(?:assistant|CHATBOT_TOKEN|START_RESPONSE)\|>
        |<\|START_OF_TURN_TOKEN\|>(?=\s*<\|CHATBOT_TOKEN\|>)|<｜Assistant｜>|\[/INST\]|\[\|assistant\|\]
        |\#\#\#\ (?:Response|Assistant|Answer):|(?:Assistant|ASSISTANT):""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Turn:
    """The model's own turn, `text[start:end]`.

    `further` is the first further turn, from its first token on; None if there is no further turn. `token` is the
    control token at the end of the answer, empty if there is none.
    """

    start: int
    end: int
    further: tuple[int, int] | None = None
    token: str = ""


def own_turn(text: str, prompt: str = "", known: Iterable[str] = (), after: int = 0) -> Turn:
    """Find the model's own turn in an answer; the text before `after` (its reasoning) is not searched.

    Control tokens in code, in quotes, and in the `known` texts (references) are part of the answer.
    """
    header = after_header(text) if after == 0 else 0
    start = header if header < len(text) else 0
    begin = after + after_header(text[after:]) if after else start
    found = _further(text, max(start, begin), start, prompt, tuple(known))
    if found is None:
        return Turn(start, len(text))
    at, stop = found
    if stop < len(text):
        return Turn(start, at, (at, min(len(text), max(stop, at + 1))))
    if not text[start:at].strip():
        return Turn(0, len(text))  # only tokens: they are the answer
    return Turn(start, at, None, token=text[at:].split()[0])


def after_header(text: str) -> int:
    """The start of the answer after the opening of its own template: `<|im_start|>assistant`, `<s>`."""
    at = len(text) - len(text.lstrip())
    begun = False
    while match := _BEGINS_TURN.match(text, at):
        begun = True
        rest = _REST_OF_HEADER.match(text, match.end())
        at = rest.end() if rest else match.end()
    return at if begun else 0


def _further(text: str, begin: int, start: int, prompt: str, known: tuple[str, ...]) -> tuple[int, int] | None:
    """The earliest end of a turn after `begin`: the start and the end of its mark."""
    places = [_token(text, begin, start, known), *turns_in_words(text, begin, start, prompt)]
    return min((place for place in places if place is not None), default=None)


def _token(text: str, begin: int, start: int, known: tuple[str, ...]) -> tuple[int, int] | None:
    if "<" not in text and "[" not in text:  # every token begins with one of them
        return None
    for match in _TOKEN.finditer(text, begin):
        if is_quoted(text, match.start()) or any(match.group() in one for one in known):
            continue
        if _SPOKEN_OF.match(text, match.end()):
            continue
        if match.group().lower() in ("<s>", "</s>") and _strikes_through(text, start, match):
            continue
        return match.start(), _end_of_tokens(text, match.end())
    return None


_SPOKEN_OF = re.compile(r" (?:special |control )?(?:token|tag|mark|marker|sign|symbol)s?\b")
"""What follows a token that the answer explains: `the <pad> token`."""


def _end_of_tokens(text: str, at: int) -> int:
    """The end of a sequence of control tokens with only white space between them."""
    while True:
        space = len(text) - len(text[at:].lstrip()) if at < len(text) else at
        match = _TOKEN.match(text, space)
        if match is None:
            return len(text) if space == len(text) else at
        at = match.end()


def _strikes_through(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether `<s>` or `</s>` is one of a pair: HTML's struck-out text."""
    if match.group().lower() == "<s>":
        return "</s>" in text[match.end() :]
    return text.count("<s>", start, match.start()) > text.count("</s>", start, match.start())
