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
from tunegate.models.openai_client import FIXED_FIELDS, NO_KEY, ChatRequests, Server, ask_all
from tunegate.reading.chats import Message
from tunegate.trust.wants import Contact, Wants, host_of
from tunegate_suites.base import Options
from tunegate_suites.json_check import parse
from tunegate_suites.judges.opinion import Opinion

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MAX_RAW_CHARS = 10_000
_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*)\n```", re.DOTALL)


class ServerOptions(Options):
    """The address of the judge and the settings for asking it."""

    base_url: Annotated[str, Field(pattern=r"^https?://[^/\s]+")]
    """for example http://127.0.0.1:8080/v1"""
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
    def _without_secrets(self, base_url: str) -> str:
        """The address without user name, password and query, which change no verdict and are secrets."""
        return without_secrets(base_url)


WHAT_TO_DO = "start its server, or correct `server.base_url`, and give the same command again"
"""What to do about a judge's server that does not answer."""


def contact_of(options: ServerOptions, check: str) -> Wants:
    """The server that a check would contact, and the variable with the key that it would send.

    Raises ConfigError if the address is not valid.
    """
    where = f"{check}.server.base_url"
    check_address(options.base_url, where)
    key_at = f"{check}.server.api_key_env"
    return Wants(contacts=(Contact(host_of(options.base_url), where, options.api_key_env, key_at),))


def api_key(options: ServerOptions, check: str) -> str:
    """The key for the server, from the environment.

    Raises ConfigError if the variable is not set or has no key, if the address is not valid, or if the key would leave
    this machine over plain http.
    """
    where = f"{check}.server.base_url"
    check_address(options.base_url, where)
    check_unencrypted(options.base_url, where, f"the key in {options.api_key_env}" if options.api_key_env else "")
    if options.api_key_env is None:
        return NO_KEY
    key = os.environ.get(options.api_key_env, "").strip()
    if not key:
        raise ConfigError(f"{check}.server.api_key_env: the environment variable {options.api_key_env!r} is not set")
    check_key(key, options.api_key_env)
    return key


def server_of(options: ServerOptions, check: str) -> Server:
    """The server of the options, with its key; raises ConfigError if there is no key."""
    key = api_key(options, check)
    return Server(options.base_url, options.timeout_s, options.max_retries, options.concurrency, key)


@dataclass(frozen=True)
class ServerJudge:
    """Asks the server; several questions at once."""

    options: ServerOptions
    menu: tuple[str, ...]

    def ask(self, questions: Sequence[tuple[Message, ...]]) -> list[Opinion]:
        opinions = dict(ask_all(server_of(self.options, "judge"), questions, self._ask_one))
        return [opinions[index] for index in range(len(questions))]

    @cached_property
    def _requests(self) -> ChatRequests:
        return ChatRequests(self.options.request)

    async def _ask_one(self, client: AsyncOpenAI, question: tuple[Message, ...]) -> Opinion:
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
            return Opinion(
                None, f"the judge answered with status {error.status_code}", error.response.text[:MAX_RAW_CHARS]
            )
        except (OpenAIError, BadReply) as error:
            if incomplete := incomplete_reply(error):
                return Opinion(None, "the judge's reply is incomplete", str(incomplete)[:MAX_RAW_CHARS])
            closed = isinstance(error, APIConnectionError) and not isinstance(error, APITimeoutError)
            to_do = f"; {WHAT_TO_DO}" if closed else ""
            said = server_of(self.options, "judge").describe(error)
            return Opinion(None, f"the judge could not be asked: {said}{to_do}")
        return read_reply(body, self.menu)


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
