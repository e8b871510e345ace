"""Do several servers serve the same model? They are asked the same few prompts, and disagree where the model differs.

The rules are those of `tunegate serve-check` (docs/serving.md): the prompts must be the same, and the log-probability
of the first token that the model is not certain of must be nearly the same. Servers that tell no such log-probabilities
must give the same texts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from tunegate.models.first_tokens import SAME_GAP, FirstToken, gap
from tunegate.models.openai_client import ChatRequests, open_client
from tunegate.models.openai_server import OpenAIModel
from tunegate.models.server_facts import ServerFacts, ShortAnswer, facts_from, short_answer
from tunegate.reading.chats import Message

MAX_TOKENS = 8
CERTAIN = -0.01
"""Natural log: two models that both give a token at least this cannot be told apart by it. Reasoning models begin every
answer with the same token."""
TOKEN_IDS = "token ids: "


def _user(text: str) -> Message:
    return Message(role="user", content=text)


PROMPTS: tuple[tuple[Message, ...], ...] = (
    (_user("What is the capital of Mongolia?"),),
    (_user("Write the first line of a poem about rust on an old gate."),),
    (_user("def mean(values: list[float]) -> float:\n    return"),),
    (_user("Réponds en français : pourquoi le ciel est-il bleu ?"),),
    (_user("17 * 23 ="),),
    (_user("Which gene is linked to cystic fibrosis? Answer with its symbol only."),),
    (Message(role="system", content="You answer like a pirate."), _user("How is the weather?")),
    (_user("My name is Ada."), Message(role="assistant", content="Hello, Ada."), _user("What is my name?")),
)
"""Fixed prompts that belong to no suite; varied, since a model that is sure of a token hides small differences. The
last two show what a chat template makes of a system message and of earlier turns."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a server answered to each prompt of the probe, and what it says about itself."""

    answers: tuple[ShortAnswer, ...]
    facts: ServerFacts

    @property
    def replied(self) -> bool:
        """Whether the server replied to each prompt."""
        return all(one.is_reply for one in self.answers)

    @property
    def can_be_compared(self) -> bool:
        """Whether the server replied to each prompt, and gave anything that another model might not give."""
        return self.replied and any(one.text or one.first.log_probabilities for one in self.answers)


SILENT = ShortAnswer(FirstToken({}), None)


async def probe(model: OpenAIModel) -> Probed:
    """Ask a server the fixed prompts; what it does not answer stays unknown. After a prompt without any reply it is
    asked no further: each would be waited for, and without all of them it cannot be compared."""
    requests, slots = ChatRequests(model.request), asyncio.Semaphore(min(4, model.concurrency))
    replies = True

    async with open_client(model.server) as client:

        async def one(chat: Sequence[Message]) -> ShortAnswer:
            nonlocal replies
            async with slots:
                if not replies:
                    return SILENT
                answer = await short_answer(client, model, requests, chat, _as_ids, MAX_TOKENS)
            replies = replies and answer.is_reply
            return answer

        facts, found = await asyncio.gather(facts_from(client, model), asyncio.gather(*map(one, PROMPTS)))
    return Probed(tuple(found), facts)


def _as_ids(ids: Sequence[int]) -> str:
    return TOKEN_IDS + " ".join(map(str, ids))


# --- comparing -----------------------------------------------------------------------------------------------------

Kind = Literal["refuses", "template", "tokens", "context", "weights", "texts"]


@dataclass(frozen=True, slots=True)
class Difference:
    """How a server differs from another: the kind, and its own and the other's figure (of weights: the gap and the
    largest that is the same; of prompts and texts: how many differ, and of how many)."""

    kind: Kind
    own: float
    other: float

    @property
    def in_words(self) -> str:
        own, other = self.own, self.other
        return {
            "refuses": f"another model or chat template: it answers {own} of the probe's prompts, not {other}",
            "template": f"another chat template: {own} of {other} prompts differ",
            "tokens": f"another chat template or tokenizer: a prompt has {own} tokens, not {other}",
            "context": f"another context: {own} tokens, not {other}",
            "weights": f"other weights: the first token's log-probability is {own:.2f} apart in the median (the "
            f"same: at most {other})",
            "texts": f"other weights: {own} of {other} short answers differ, and there are no log-probabilities that "
            "tell more",
        }[self.kind]


def difference(own: Probed, other: Probed) -> Difference | None:
    """How a server differs from another; None if both serve the same model, as far as the probe tells."""
    refused = [[one.refused for one in side.answers] for side in (own, other)]
    if refused[0] != refused[1]:
        return Difference("refuses", *(len(side) - sum(side) for side in refused))
    pairs = [(one.first, two.first) for one, two in zip(own.answers, other.answers, strict=True)]
    prompts = [(one.prompt, two.prompt) for one, two in pairs if one.prompt is not None and two.prompt is not None]
    alike = [(one, two) for one, two in prompts if one.startswith(TOKEN_IDS) == two.startswith(TOKEN_IDS)]
    if apart := sum(one != two for one, two in alike):
        return Difference("template", apart, len(alike))
    for one, two in pairs:
        if one.n_prompt is not None and two.n_prompt is not None and one.n_prompt != two.n_prompt:
            return Difference("tokens", one.n_prompt, two.n_prompt)
    if None not in (own.facts.context, other.facts.context) and own.facts.context != other.facts.context:
        return Difference("context", own.facts.context or 0, other.facts.context or 0)
    both = zip(own.answers, other.answers, strict=True)
    gaps = [found for one, two in both if (found := gap_within(one, two)) is not None]
    if gaps:
        return Difference("weights", median(gaps), SAME_GAP) if median(gaps) > SAME_GAP else None
    unequal = sum(one.text != two.text for one, two in zip(own.answers, other.answers, strict=True))
    return Difference("texts", unequal, len(own.answers)) if unequal else None


def gap_within(own: ShortAnswer, other: ShortAnswer) -> float | None:
    """The gap at the first token that one of them is not certain of; None if there is none, or they do not tell it.

    >>> sure, here, there = FirstToken({"<think>": 0.0}), FirstToken({"A": -0.2}), FirstToken({"A": -1.2})
    >>> gap_within(ShortAnswer(sure, "", further=(there,)), ShortAnswer(sure, "", further=(here,)))
    1.0
    """
    for one, two in zip((own.first, *own.further), (other.first, *other.further), strict=False):
        found = gap(two, one)
        if found is None or found > SAME_GAP or not (_is_certain(one) and _is_certain(two)):
            return found
    return None


def _is_certain(token: FirstToken) -> bool:
    return max(token.log_probabilities.values()) >= CERTAIN


def odd_ones(probed: Sequence[Probed]) -> tuple[int, dict[int, Difference]]:
    """The server that most others agree with (the first of equals), and how the rest differ from it."""
    tables = [{place: difference(one, reference) for place, one in enumerate(probed)} for reference in probed]
    found = [{place: one for place, one in table.items() if one is not None} for table in tables]
    reference = min(range(len(probed)), key=lambda place: len(found[place]))
    return reference, found[reference]
