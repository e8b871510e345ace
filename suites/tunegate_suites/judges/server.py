"""A judge on any OpenAI-compatible server. A reply that is not a verdict of the menu is not an opinion."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, field_serializer, field_validator, model_validator

from tunegate.addresses import check_address, check_key, check_unencrypted, without_secrets
from tunegate.exceptions import ConfigError
from tunegate.models.completions import read_completion
from tunegate.models.guarded import BadReply, incomplete_reply
from tunegate.models.model import OpenJudge
from tunegate.models.openai_client import FIXED_FIELDS, NO_KEY, ChatRequests, Server, ask_all
from tunegate.models.server_pool import ServerPool, lost_by
from tunegate.models.shared_queue import Attempt
from tunegate.reading.chats import Message
from tunegate.trust.allowed import user_trust
from tunegate.trust.wants import Contact, Wants, host_of
from tunegate_suites.base import Options
from tunegate_suites.json_check import parse
from tunegate_suites.judges.opinion import Opinion

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MAX_RAW_CHARS = 10_000
_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*)\n```", re.DOTALL)


Address = Annotated[str, Field(pattern=r"^https?://[^/\s]+")]


class ServerOptions(Options):
    """The address of the judge and the settings for asking it."""

    base_url: Address | Annotated[list[Address], Field(min_length=2)]
    """for example http://127.0.0.1:8080/v1; a list of servers that serve the same model is asked as one"""
    model: Annotated[str, Field(min_length=1)]
    """the model's name on the server"""
    # Time limits and retries change no verdict, so they are not part of the fingerprint.
    api_key_env: str | None = Field(default=None, exclude=True)
    """the environment variable with the key, for servers that need one"""
    timeout_s: Annotated[float, Field(gt=0, exclude=True)] = 60.0
    """longest wait for a complete reply, in seconds"""
    max_retries: Annotated[int, Field(ge=0, le=20, exclude=True)] = 3
    """retries after a refused connection, a timeout, 408, 409, 429 or 5xx; the pauses double from 0.5 s to 8 s"""
    concurrency: Annotated[int, Field(ge=1, le=256, exclude=True)] = 4
    """number of simultaneous requests"""
    max_tokens: Annotated[int, Field(ge=1)] = 512
    """longest reply, in tokens"""
    request: dict[str, Any] = Field(default={})
    """additional request fields, for example response_format; a field that is null is left out"""

    @field_validator("request")
    @classmethod
    def _not_the_judges_own(cls, request: dict[str, Any]) -> dict[str, Any]:
        for name in FIXED_FIELDS:
            if name in request:
                raise ValueError(f"the field {name!r} is set by the judge; leave it out")
        return request

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        limits = [name for name in ("max_tokens", "max_completion_tokens") if self.request.get(name) is not None]
        if limits and "max_tokens" in self.model_fields_set:
            raise ValueError(f"request: {limits[0]!r} would undo `max_tokens`; give one of the two")
        return self

    @field_serializer("base_url")
    def _without_secrets(self, base_url: str | list[str]) -> str | list[str]:
        """The address without user name, password and query, which change no verdict and are secrets."""
        return without_secrets(base_url) if isinstance(base_url, str) else [without_secrets(one) for one in base_url]

    @property
    def addresses(self) -> tuple[str, ...]:
        """The address of each server."""
        return (self.base_url,) if isinstance(self.base_url, str) else tuple(self.base_url)


WHAT_TO_DO = "start its server, or correct `server.base_url`, and give the same command again"
"""What to do about a judge's server that does not answer."""


def contact_of(options: ServerOptions, check: str) -> Wants:
    """The server that a check would contact, and the variable with the key that it would send.

    Raises ConfigError if the address is not valid.
    """
    where = f"{check}.server.base_url"
    for address in options.addresses:
        check_address(address, where)
    key_at = f"{check}.server.api_key_env"
    hosts = map(host_of, options.addresses)
    return Wants(contacts=tuple(Contact(host, where, options.api_key_env, key_at) for host in hosts))


def api_key(options: ServerOptions, check: str) -> str:
    """The key for the server, from the environment.

    Raises ConfigError if the variable is not set or has no key, if the address is not valid, or if the key would leave
    this machine over plain http.
    """
    where = f"{check}.server.base_url"
    for address in options.addresses:
        check_address(address, where)
        check_unencrypted(address, where, f"the key in {options.api_key_env}" if options.api_key_env else "")
    if options.api_key_env is None:
        return NO_KEY
    key = os.environ.get(options.api_key_env, "").strip()
    if not key:
        raise ConfigError(f"{check}.server.api_key_env: the environment variable {options.api_key_env!r} is not set")
    check_key(key, options.api_key_env)
    return key


def server_of(options: ServerOptions, check: str) -> Server:
    """The server of the options, with its key; raises ConfigError without a key, and for several servers."""
    key = api_key(options, check)
    address, *more = options.addresses
    if more:
        raise ConfigError(f"{check}.server.base_url: several servers are only for a judge; name one")
    return Server(address, options.timeout_s, options.max_retries, options.concurrency, key)


@dataclass(frozen=True)
class ServerJudge:
    """Asks the server; several questions at once."""

    options: ServerOptions
    menu: tuple[str, ...]

    def ask(self, questions: Sequence[tuple[Message, ...]], _: OpenJudge | None = None, /) -> list[Opinion]:
        opinions = self._asked_of_several(questions) if len(self.options.addresses) > 1 else self._asked(questions)
        return [opinions[index] for index in range(len(questions))]

    def _asked(self, questions: Sequence[tuple[Message, ...]]) -> dict[int, Opinion]:
        server = server_of(self.options, "judge")

        async def ask(client: AsyncOpenAI, question: tuple[Message, ...]) -> Opinion:
            opinion, _ = await self._ask_one(client, server, question)
            return opinion

        return dict(ask_all(server, questions, ask))

    def _asked_of_several(self, questions: Sequence[tuple[Message, ...]]) -> dict[int, Opinion]:
        try:
            pool = self._pool
        except ConfigError as error:  # none answers, or they disagree
            lost = Opinion(None, f"the judge could not be asked: {error}; {WHAT_TO_DO}")
            return dict.fromkeys(range(len(questions)), lost)

        async def ask(client: AsyncOpenAI, place: int, question: tuple[Message, ...]) -> Attempt[Opinion]:
            opinion, error = await self._ask_one(client, pool.models[place].server, question)
            return Attempt(opinion, 1, *lost_by(error))

        def nobody() -> Opinion:
            return Opinion(None, f"the judge could not be asked: no server answers; {WHAT_TO_DO}")

        return {index: said.answer for index, said in pool.ask_each(questions, ask, nobody)}

    @cached_property
    def _pool(self) -> ServerPool:
        options = self.options
        asking: dict[str, Any] = {name: getattr(options, name) for name in ("timeout_s", "max_retries", "concurrency")}
        asking |= {"request": options.request, "key_variable": options.api_key_env or ""}
        return ServerPool.open([f"{one}#{options.model}" for one in options.addresses], user_trust(), asking)

    @cached_property
    def _requests(self) -> ChatRequests:
        return ChatRequests(self.options.request)

    async def _ask_one(
        self, client: AsyncOpenAI, server: Server, question: tuple[Message, ...]
    ) -> tuple[Opinion, Exception | None]:
        """The opinion, and the error if there was no reply."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

        request: dict[str, Any] = {
            "model": self.options.model,
            "messages": list(question),
            "temperature": 0,
            "seed": 0,
            "max_tokens": self.options.max_tokens,
        }
        try:
            body = await self._requests.send(client, request)
        except APIStatusError as error:
            said = f"the judge answered with status {error.status_code}"
            return Opinion(None, said, error.response.text[:MAX_RAW_CHARS]), error
        except (OpenAIError, BadReply) as error:
            if incomplete := incomplete_reply(error):
                return Opinion(None, "the judge's reply is incomplete", str(incomplete)[:MAX_RAW_CHARS]), error
            closed = isinstance(error, APIConnectionError) and not isinstance(error, APITimeoutError)
            to_do = f"; {WHAT_TO_DO}" if closed else ""
            return Opinion(None, f"the judge could not be asked: {server.describe(error)}{to_do}"), error
        return read_reply(body, self.menu), None


def read_reply(body: str, menu: Sequence[str]) -> Opinion:
    """The opinion in the body of a server's reply."""
    raw = body[:MAX_RAW_CHARS]
    reply = read_completion(body)
    if reply.fault is not None:
        return Opinion(None, f"the judge's reply {reply.fault}", raw)
    if reply.finish_reason == "length":
        return Opinion(None, "the judge's reply was cut off at max_tokens", raw)
    if not reply.text.strip():
        return Opinion(None, "the judge's reply is empty", raw)
    return read_verdict(reply.text, menu)


def read_verdict(content: str, menu: Sequence[str]) -> Opinion:
    """The opinion in a judge's reply: exactly one JSON object (a code fence around it is allowed) with a verdict.

    Any text before or after the object makes it invalid: a verdict that the judge only quotes from the answer must not
    count.
    """
    raw = content[:MAX_RAW_CHARS]
    text = _without_thoughts(content).strip()
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1]
    try:
        reply = parse(text)
    except (ValueError, RecursionError):
        return Opinion(None, "the judge's reply is not a JSON object", raw)
    if not isinstance(reply, dict) or "verdict" not in reply:
        return Opinion(None, "the judge's reply has no 'verdict'", raw)
    label = _label(reply["verdict"], menu)
    if label is None:
        return Opinion(None, f"the judge's verdict {str(reply['verdict'])[:40]!r} is not one of {', '.join(menu)}", raw)
    return Opinion(label, " ".join(str(reply.get("reason", "")).split())[:300], raw, text)


def _without_thoughts(content: str) -> str:
    """A reasoning model's reply without the reasoning at its start."""
    if content.lstrip().startswith("<think>"):
        return content.rpartition("</think>")[2]
    return content


def _label(verdict: object, menu: Sequence[str]) -> str | None:
    if not isinstance(verdict, str | int | float):
        return None
    if isinstance(verdict, float):
        if not verdict.is_integer():
            return None
        verdict = int(verdict)
    wanted = str(verdict).strip().casefold()
    return next((label for label in menu if label.casefold() == wanted), None)
