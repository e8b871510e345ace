"""Further turns in words that a model invents: `User: …`, `### Instruction:`, the next `Question:`.

Prose may contain such words too: a list of settings (`User: root`), or a dialogue or quiz that the case asks for. Each
rule below says how to distinguish the two; if it cannot, the text counts as prose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Place = tuple[int, int]

_USER = (
    "User|Human|USER|HUMAN|user|human|You|(?:GPT4 Correct )User|Benutzer|Nutzer|Utilisateur|Usuario|Usuário|Utente|"
    "Пользователь|用户|用戶|人类|ユーザー|사용자"
)
_ASSISTANT = (
    "Assistant|ASSISTANT|assistant|(?:GPT4 Correct )Assistant|AI|Bot|BOT|bot|Model|model|GPT|Chatbot|Assistent|"
    "Asistente|Assistente|Ассистент|助手|助理|アシスタント|어시스턴트"
)
_ASKS = re.compile(rf"^[ \t>*_\[(<]*(?P<role>{_USER})[*_\])>]*(?:[ \t]?[:：]|(?<=>))[*_]*(?P<rest>.*)$", re.M)
_REPLIES = re.compile(rf"^[ \t>*_\[(<]*(?:{_ASSISTANT})[*_\])>]*(?:[ \t]?[:：]|(?<=>))", re.M)
_SAID_ALONE = ("User", "Human", "USER", "HUMAN")
"""Roles that count without a reply after them, if the text after them reads as a question."""
_IN_A_LINE = re.compile(r"(?<=[\w.!?)\"] )(?P<ask>USER|User|Human): ")
_REPLY_IN_A_LINE = re.compile(r"\s(?:ASSISTANT|Assistant): ?")
# Templates whose control tokens were skipped: their roles are alone on a line, or joined to the last word.
_BARE = re.compile(r"(?:^|(?<=[^\s]))(?:user|human)[ \t]*\n|(?<=[^\s])(?<!AI)assistant[ \t]*\n\n", re.M)
_BARE_REPLY = re.compile(r"(?:^|(?<=[^\s]))(?:assistant|model)[ \t]*\n", re.M)

_TEMPLATE_LINE = re.compile(r"^###[ ]?(?:Instruction|Human|Assistant|User|System)s?[ ]?:", re.M | re.I)
_ALPACA_LINE = re.compile(r"^###[ ]?(?:Instruction|Input|Response)[ ]?:", re.M | re.I)

_HEADED = re.compile(rf"^#{{1,6}} (?:{_USER})[ ]?:?[ \t]*$", re.M)
_HEADED_REPLY = re.compile(rf"^#{{1,6}} (?:{_ASSISTANT})[ ]?:?[ \t]*$", re.M)
_REPLY_ALONE = re.compile(r"^(?:Assistant|ASSISTANT): ?(?=\S)", re.M)

_NEXT_QUESTION = re.compile(
    r"^[ \t*#]*(?:(?:Next )?Question(?: ?\d+)?|Q\d*|Frage|Pregunta|Domanda|Pergunta|Вопрос|Instruction|Prompt|"
    r"问题?|問題?|質問|질문)(?: ?\d+)?[ ]?[:：]",
    re.M,
)
_ITS_ANSWER = re.compile(
    r"^[ \t*#]*(?:Answer|A\d*|Antwort|Réponse|Respuesta|Risposta|Resposta|Ответ|Response|Completion|"
    r"答案?|回答|답변?)(?: ?\d+)?[ ]?[:：]",
    re.M,
)
_WANTS_QUESTIONS = re.compile(
    r"\b(?:questions?|quiz\w*|faqs?|q\s?&\s?a|exams?|exercises?|examples?|flash ?cards?)\b|问|問|题|題", re.I
)
_WANTS_DIALOGUE = re.compile(
    r"\b(?:dialog(?:ue)?s?|dialogo|diálogo|conversations?|transcripts?|chats?|role-?play|interviews?|screenplay|script|"
    r"gespräch)\b|对话|對話|会話",
    re.I,
)
_LABELLED = re.compile(r"[ \t>*_-]*\w[\w ]{0,20}[*_]*:")
_SYSTEM = re.compile(r"[ \t>*_-]*(?:System|SYSTEM)[*_]*:")
_LAST_LABEL = re.compile(r"(?:^|\n)[ \t#*]*(?:\w+ )?\w+[*]*:[*]*\s*\Z")
_QUESTION_LABEL = re.compile(
    r"^[ \t#*]*(?P<label>(?:Q|Question|User|Human|Input|Instruction|Problem|Prompt|Query|Task|Exercise)(?: ?\d+)?):",
    re.M | re.I,
)


_MAY_BEGIN_TURN = re.compile("[:：>\n]")
"""A text with none of these has no further turn: it is one line without a label. Most answers need no more search."""


def turns_in_words(text: str, begin: int, start: int, prompt: str) -> Iterator[Place]:
    """The starts of further turns after `begin`, and the ends of their marks; the answer begins at `start`."""
    if not _MAY_BEGIN_TURN.search(text, begin):
        return
    places = [_template_line(text, begin, prompt), _label_of_prompt(text, begin, prompt)]
    if not _WANTS_DIALOGUE.search(prompt):
        places.append(_plain_role(text, begin, start, prompt))
        places.append(_role_in_a_line(text, begin, start, prompt))
        places.append(_bare_role(text, begin))
        places.append(_headed_role(text, begin))
        places.append(_reply_alone(text, begin, start))
    if not _WANTS_QUESTIONS.search(prompt):
        places.append(_next_question(text, begin, start))
    yield from (place for place in places if place is not None)


def _template_line(text: str, begin: int, prompt: str) -> Place | None:
    """A line of a template in words; `### Input:` and `### Response:` only if the prompt uses that template."""
    lines = _ALPACA_LINE if _ALPACA_LINE.search(prompt) else _TEMPLATE_LINE
    return next((match.span() for match in lines.finditer(text, begin) if not is_quoted(text, match.start())), None)


def _label_of_prompt(text: str, begin: int, prompt: str) -> Place | None:
    """The label of the prompt's own questions (`Q:`), if the prompt ends with the label of an answer."""
    labels = {_unnumbered(match["label"]) for match in _QUESTION_LABEL.finditer(prompt)}
    if not labels or not _LAST_LABEL.search(prompt):
        return None
    matches = _QUESTION_LABEL.finditer(text, begin)
    return next((match.span() for match in matches if _unnumbered(match["label"]) in labels), None)


def _unnumbered(label: str) -> str:
    return re.sub(r" ?\d+$", "", label.casefold())


def _plain_role(text: str, begin: int, start: int, prompt: str) -> Place | None:
    """A turn of the user in plain words, after an answer: `User: And the liver?`.

    A case that contains the role itself may be answered by a dialogue, and so may a case whose answer begins with it.
    """
    last_reply = _last(_REPLIES, text, begin)
    for number, match in enumerate(_ASKS.finditer(text, begin)):
        if number == 0 and not text[start : match.start()].strip():
            return None
        if f"{match['role']}:".casefold() in prompt.casefold() or is_quoted(text, match.start()):
            continue
        alone = match["role"] in _SAID_ALONE and _is_question(text, match)
        if alone or (last_reply > match.end("role") and not _in_a_list(text, match, _SYSTEM)):
            return match.start(), match.end("role") + 1
    return None


def _role_in_a_line(text: str, begin: int, start: int, prompt: str) -> Place | None:
    """A turn of the user within a line, with a reply: `… USER: And the liver? ASSISTANT: …`."""
    last_reply = _last(_REPLY_IN_A_LINE, text, begin)
    for match in _IN_A_LINE.finditer(text, begin):
        if last_reply <= match.end() or is_quoted(text, match.start()):
            continue
        if f"{match['ask']}:".casefold() not in prompt.casefold() and text[start : match.start()].strip():
            return match.span()
    return None


def _last(pattern: re.Pattern[str], text: str, begin: int) -> int:
    return max((match.start() for match in pattern.finditer(text, begin)), default=-1)


def _bare_role(text: str, begin: int) -> Place | None:
    """`user` or `assistant` alone on its line, or joined to the last word, with a reply after it."""
    last_reply = _last(_BARE_REPLY, text, begin)
    for match in _BARE.finditer(text, begin):
        answered = match.group().startswith("assistant") or last_reply >= match.end()
        if match.start() and answered and not is_quoted(text, match.start()):
            return match.span()
    return None


def _headed_role(text: str, begin: int) -> Place | None:
    """`## User` as a heading, with `## Assistant` after it."""
    asked = _HEADED.search(text, begin)
    answered = asked and _HEADED_REPLY.search(text, asked.end())
    return asked.span() if asked and answered and not is_quoted(text, asked.start()) else None


def _reply_alone(text: str, begin: int, start: int) -> Place | None:
    """A second `Assistant: …` after an answer, outside a list of people."""
    match = _REPLY_ALONE.search(text, begin)
    if match is None or not text[start : match.start()].strip() or is_quoted(text, match.start()):
        return None
    return None if _in_a_list(text, match) else match.span()


def _next_question(text: str, begin: int, start: int) -> Place | None:
    """A further question with its answer, after an answer."""
    asked = _NEXT_QUESTION.search(text, begin)
    if asked is None or not text[start : asked.start()].strip() or is_quoted(text, asked.start()):
        return None
    return asked.span() if _ITS_ANSWER.search(text, asked.end()) else None


def _is_question(text: str, match: re.Match[str]) -> bool:
    """Whether the text after `User:` reads as something said, and not as one of several settings."""
    if _in_a_list(text, match):
        return False
    said = match["rest"].strip() or text[match.end() : match.end() + 200].lstrip().split("\n", 1)[0]
    return len(said.split()) >= 3 or said.endswith(("?", "？", "؟"))


def _in_a_list(text: str, match: re.Match[str], role: re.Pattern[str] = _REPLIES) -> bool:
    """Whether a line next to a role's line begins with a label that is not a role: `Password:`, `Admin:`."""
    before = text[max(0, match.start() - 200) : match.start()].rstrip().rsplit("\n", 1)[-1]
    after = text[match.end() : match.end() + 200].lstrip().split("\n", 1)[0]
    labelled = (line for line in (before, after) if _LABELLED.match(line) and not _REPLIES.match(line))
    return any(not role.match(line) for line in labelled)


def is_quoted(text: str, at: int) -> bool:
    """Whether a place is within code, or directly after a quotation mark."""
    if at and text[at - 1] in "`\"'“‘«「":
        return True
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return text.count("```", 0, at) % 2 == 1 or line.replace("```", "").count("`") % 2 == 1
