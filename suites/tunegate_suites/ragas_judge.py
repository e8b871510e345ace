"""The judge of a ragas metric; its replies count only if they judge everything that was asked.

ragas treats a judge that found no statement in an answer as a perfect match (AnswerCorrectness), and uses only the
statements that were judged, not all that should have been (Faithfulness): a silent judge would pass answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tunegate.exceptions import CannotJudge
from tunegate.optional import optional_import


def judge_of(model: str, client: Any, settings: Mapping[str, Any]) -> Any:
    """A judge that uses `client` (an OpenAI client), as an instance of a subclass of ragas's base class."""
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
    """Raise CannotJudge for a reply of empty lists, or one that does not judge all statements of the prompt."""
    lists = [value for value in reply.values() if isinstance(value, list)]
    if lists and not any(lists):
        raise CannotJudge(f"the judge's reply is empty: {json.dumps(dict(reply))}")
    asked, judged = _statements_in(prompt), reply.get("statements")
    if asked is not None and isinstance(judged, list) and len(judged) != asked:
        raise CannotJudge(f"the judge's reply has {len(judged)} verdicts on {asked} statements")


def _statements_in(prompt: str) -> int | None:
    """The number of statements that need a verdict; ragas puts them as JSON at the end of the prompt."""
    _, found, asked = prompt.rpartition("\ninput: ")
    if not found:
        return None
    try:
        statements = json.JSONDecoder().raw_decode(asked)[0].get("statements")
    except (ValueError, AttributeError):
        return None
    return len(statements) if isinstance(statements, list) else None
