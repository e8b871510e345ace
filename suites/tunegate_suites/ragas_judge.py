"""The judge of a metric of ragas, whose replies count only when they judge all that was asked.

ragas takes a judge that found no statement in an answer for a perfect match (AnswerCorrectness), and reckons with the
statements that were judged, not with those that were to be (Faithfulness): a judge that is silent would pass answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tunegate.exceptions import CannotJudge
from tunegate.optional import optional_import


def judge_of(model: str, client: Any, settings: Mapping[str, Any]) -> Any:
    """A judge behind `client` (an OpenAI client) as ragas wants it: an instance of a subclass of its base class."""
    asked = optional_import("ragas.llms", "ragas", "ragas").llm_factory(model, client=client, **settings)
    base = optional_import("ragas.llms.base", "ragas", "ragas").InstructorBaseRagasLLM

    class Judge(base):
        def generate(self, prompt: str, response_model: Any) -> Any:
            raise NotImplementedError("metrics are asked for their `ascore`")

        async def agenerate(self, prompt: str, response_model: Any) -> Any:
            reply = await asked.agenerate(prompt, response_model)
            check_whole(prompt, dict(reply))
            return reply

    return Judge()


def check_whole(prompt: str, reply: Mapping[str, Any]) -> None:
    """Raise CannotJudge for a reply of empty lists, and for one that judges other than all statements of the prompt."""
    lists = [value for value in reply.values() if isinstance(value, list)]
    if lists and not any(lists):
        raise CannotJudge(f"the judge's reply is empty: {json.dumps(dict(reply))}")
    asked, judged = _statements_in(prompt), reply.get("statements")
    if asked is not None and isinstance(judged, list) and len(judged) != asked:
        raise CannotJudge(f"the judge's reply holds {len(judged)} verdicts on {asked} statements")


def _statements_in(prompt: str) -> int | None:
    """How many statements a prompt asks a verdict on; ragas puts what is asked, as JSON, at its end."""
    _, found, asked = prompt.rpartition("\ninput: ")
    if not found:
        return None
    try:
        statements = json.JSONDecoder().raw_decode(asked)[0].get("statements")
    except (ValueError, AttributeError):
        return None
    return len(statements) if isinstance(statements, list) else None
