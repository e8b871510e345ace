"""What a server tells about itself and the model that it serves: version, name, context, prompts and first tokens.

Servers of llama.cpp have `/props` and `/apply-template`, those of vLLM `/version` and `/tokenize`, those of SGLang
`/get_server_info`, those of TGI `/info`; they list their models at `/v1/models`. A server that lacks one of these is
not at fault: what it does not tell stays unknown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit, urlunsplit

from tunegate.cases.case import Case
from tunegate.models.completions import count_of
from tunegate.models.first_tokens import FirstToken
from tunegate.models.guarded import REFUSED
from tunegate.models.model import GenerationSettings, as_messages
from tunegate.models.openai_client import ChatRequests, ask_all
from tunegate.models.openai_server import OpenAIModel
from tunegate.reading.chats import Message

if TYPE_CHECKING:
    from openai import AsyncOpenAI

TOP = 20
"""How many tokens are asked for: the most that OpenAI's API gives."""

MOST_NEGATIVE, ROUNDED = -1e6, 1e-3
"""What can be a log-probability: not NaN or infinity, and above 0 only by rounding."""

MOST_IDS, MOST_CHARS = 100, 200
"""How many models, and characters of a name or version, are kept: the record repeats them with each block of cases."""

TextOf = Callable[[Sequence[int]], str]
"""The text of token ids, by the tokenizer of the model that should be served."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server tells about itself; empty and None: not told.

    `context` is the largest number of tokens of prompt and answer; `number_type` is llama.cpp's name of the weights'
    types, such as `all F32` or `Q4_1`. `software` is the program and its version, such as `vLLM 0.11.0`.
    `batch_invariant`: whether its answers do not depend on what else it is asked at the time (vLLM's
    VLLM_BATCH_INVARIANT, SGLang's deterministic inference).
    """

    model_ids: tuple[str, ...] = ()
    context: int | None = None
    number_type: str = ""
    software: str = ""
    batch_invariant: bool | None = None


def server_facts(model: OpenAIModel) -> ServerFacts:
    """Ask a server about itself; an address that it lacks leaves its facts unknown."""

    async def ask(client: AsyncOpenAI, _: None) -> ServerFacts:
        return await facts_from(client, model)

    ((_, facts),) = ask_all(model.server, [None], ask)
    return facts


async def facts_from(client: AsyncOpenAI, model: OpenAIModel) -> ServerFacts:
    """`server_facts` with a client that is open."""
    root = _at_root(client, model)
    listed = _rows(await _get(client, "/models"), "data")
    props = _object(await _get(root, "/props"))
    own = [row for row in listed if model.model in (row.get("id"), *_texts(row.get("aliases")))] or listed
    meta = _object(own[0].get("meta") if own else None)
    slot = _object(props.get("default_generation_settings"))
    said = [slot.get("n_ctx"), *(row.get("max_model_len") for row in own), meta.get("n_ctx")]
    context = next((number for one in said if (number := count_of(one))), None)
    names = (name for row in (*own, *listed) for name in (row.get("id"), *_texts(row.get("aliases"))))
    ids = dict.fromkeys(name[:MOST_CHARS] for name in names if isinstance(name, str))
    number_type = props.get("model_ftype") or meta.get("ftype")
    typed = number_type[:MOST_CHARS] if isinstance(number_type, str) else ""
    return ServerFacts(tuple(islice(ids, MOST_IDS)), context, typed, *await _software(root, props))


async def _software(root: AsyncOpenAI, props: Mapping[str, Any]) -> tuple[str, bool | None]:
    """The program that serves and its version; and whether it is batch-invariant."""
    if props:
        return _versioned("llama.cpp", props.get("build_info")), None
    version = _object(await _get(root, "/version")).get("version")
    told = _object(await _get(root, "/server_info")) or _object(await _get(root, "/get_server_info"))
    if version is not None:  # `/server_info` only where vLLM is in its development mode
        invariant = _object(told.get("vllm_env")).get("VLLM_BATCH_INVARIANT")
        return _versioned("vLLM", version), None if invariant is None else invariant not in (False, 0, "0", "")
    if told.get("version") is not None:
        invariant = told.get("enable_deterministic_inference")
        return _versioned("SGLang", told["version"]), invariant if isinstance(invariant, bool) else None
    info = _object(await _get(root, "/info"))
    return _versioned("TGI", info.get("version")) if "model_id" in info else "", None


def _versioned(software: str, version: Any) -> str:
    return f"{software} {version[:MOST_CHARS]}" if isinstance(version, str) and version else ""


def first_tokens(
    model: OpenAIModel, cases: Sequence[Case], settings: GenerationSettings, text_of: TextOf
) -> list[FirstToken]:
    """The prompts of a server and their first tokens, one per case, in order. What it does not tell stays unknown."""
    requests = ChatRequests(model.request)

    async def ask(client: AsyncOpenAI, case: Case) -> FirstToken:
        messages = list(as_messages(settings.asks(case.prompt)))
        return (await short_answer(client, model, requests, messages, text_of)).first

    found = dict(ask_all(model.server, cases, ask))
    return [found[index] for index in range(len(cases))]


@dataclass(frozen=True, slots=True)
class ShortAnswer:
    """What a server makes of a prompt: its first token, and the text of its greedy answer; None: it gave none, since it
    `refused` the prompt or did not reply. `further` are the tokens after the first, each after those that it chose."""

    first: FirstToken
    text: str | None
    refused: bool = False
    further: tuple[FirstToken, ...] = ()

    @property
    def is_reply(self) -> bool:
        """Whether the server replied at all."""
        return self.text is not None or self.refused


async def short_answer(
    client: AsyncOpenAI,
    model: OpenAIModel,
    requests: ChatRequests,
    messages: Sequence[Message],
    text_of: TextOf,
    max_tokens: int = 1,
) -> ShortAnswer:
    """The greedy answer to a chat, of at most `max_tokens` tokens."""
    reply, refused = await _reply(client, requests, {"model": model.model, "messages": list(messages)}, max_tokens)
    prompt = await _prompt(_at_root(client, model), model.model, messages, text_of)
    text = _object(_first(_rows(reply, "choices")).get("message")).get("content")
    told = [_log_probabilities(row) for row in _rows(_first(_rows(reply, "choices")).get("logprobs"), "content")]
    first = FirstToken(told[0] if told else {}, _count(reply), prompt)
    further = tuple(map(FirstToken, told[1:max_tokens]))
    return ShortAnswer(first, (text if isinstance(text, str) else "") if reply else None, refused, further)


async def _reply(
    client: AsyncOpenAI, requests: ChatRequests, request: Mapping[str, Any], max_tokens: int
) -> tuple[Mapping[str, Any], bool]:
    """The greedy reply to a short request, without log-probabilities where the server refuses them; empty without a
    reply, and then whether the server refused the request itself."""
    from openai import APIConnectionError

    short, refused = {**request, "max_tokens": max_tokens, "temperature": 0.0}, False
    for more in ({"logprobs": True, "top_logprobs": TOP}, dict[str, Any]()):
        try:
            return _object(json.loads(await requests.send(client, {**short, **more}))), False
        except Exception as error:  # the answers themselves are asked apart, and report every error
            refused = getattr(error, "status_code", None) in REFUSED
            if isinstance(error, APIConnectionError):
                break
    return {}, refused


def _log_probabilities(place: Mapping[str, Any]) -> dict[str, float]:
    """The likeliest tokens at one place of an answer, by their text. Bytes are told beside it where a token is a part
    of a letter."""
    found: dict[str, float] = {}
    for row in _rows(place, "top_logprobs"):
        value, text, raw = row.get("logprob"), row.get("token"), row.get("bytes")
        with suppress(TypeError, ValueError):  # no bytes
            text = bytes(cast(list[int], raw)).decode("utf-8", "replace") if isinstance(raw, list) and raw else text
        if isinstance(text, str) and isinstance(value, int | float) and MOST_NEGATIVE < value < ROUNDED:
            found.setdefault(text, float(value))
    return found


def _count(reply: Mapping[str, Any]) -> int | None:
    return count_of(_object(reply.get("usage")).get("prompt_tokens")) or None


async def _prompt(client: AsyncOpenAI, name: str, messages: Sequence[Any], text_of: TextOf) -> str | None:
    """The prompt that the server makes of a chat: as text from llama.cpp, as token ids from vLLM."""
    rendered = _object(await _post(client, "/apply-template", {"messages": messages})).get("prompt")
    if isinstance(rendered, str):
        return rendered
    body = {"model": name, "messages": messages, "add_generation_prompt": True}
    tokens = _object(await _post(client, "/tokenize", body)).get("tokens")
    ids = cast(list[Any], tokens) if isinstance(tokens, list) else []
    return text_of(ids) if ids and all(isinstance(one, int) for one in ids) else None


def _at_root(client: AsyncOpenAI, model: OpenAIModel) -> AsyncOpenAI:
    """The client for the addresses beside OpenAI's API, which begins at `/v1`."""
    parts = urlsplit(model.base_url)
    path = parts.path.rstrip("/").removesuffix("/v1")
    return client.with_options(base_url=urlunsplit(parts._replace(path=path, query="", fragment="")))


async def _get(client: AsyncOpenAI, path: str) -> Any:
    try:
        return await client.with_options(max_retries=0).get(path, cast_to=object)
    except Exception:  # an address that it lacks, a reply that is not JSON
        return None


async def _post(client: AsyncOpenAI, path: str, body: Mapping[str, Any]) -> Any:
    try:
        return await client.with_options(max_retries=0).post(path, cast_to=object, body=body)
    except Exception:  # as above
        return None


def _object(value: Any) -> Mapping[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _rows(value: Any, name: str) -> list[Mapping[str, Any]]:
    found = _object(value).get(name)
    return [_object(row) for row in cast(list[Any], found)] if isinstance(found, list) else []


def _first(rows: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    return rows[0] if rows else {}


def _texts(value: Any) -> list[str]:
    return [one for one in cast(list[Any], value) if isinstance(one, str)] if isinstance(value, list) else []
