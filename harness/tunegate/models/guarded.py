"""Reading servers' replies with limits: on time, on bytes, on redirects, and on what may be stored.

Whatever a server does, a try ends within its deadline and uses bounded memory: a reply may arrive byte by byte, be
endless, be compressed a thousandfold, or redirect the client with its key to another server.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from importlib import import_module
from typing import Any

from tunegate.addresses import MIN_SECRET_CHARS, without_secrets
from tunegate.models.streamed import ON_CHUNK

MAX_REPLY_BYTES = 16 * 2**20
"""The longest body that is read, in bytes after decompression; an answer of 100,000 tokens is half a megabyte."""
MAX_REDIRECTS = 5


REFUSED = (400, 401, 403, 404, 422)
"""Statuses of a request that was not carried out, so that the model was not asked.

429 (too many requests) is not included: a server that sends it whenever it would be wrong would end up always right."""

TRIES: ContextVar[list[int] | None] = ContextVar("TRIES", default=None)
"""The counter for the tries of one question; openai's client retries by itself without reporting it."""


def _count_try() -> None:
    if (tries := TRIES.get()) is not None:
        tries.append(1)


class BadReply(Exception):
    """A reply that cannot be used; asking again would give the same."""


class Elsewhere(BadReply):
    """The server redirects the request to another place, where the request and its key must not be sent."""


class IncompleteReply(Exception):
    """The cause of a connection fault: a successful reply ended before its JSON did; `str` is its text."""


def incomplete_reply(error: BaseException) -> IncompleteReply | None:
    """The incomplete reply of the last try, if that is why openai's client raised this error."""
    cause = error.__cause__
    return cause if cause is None or isinstance(cause, IncompleteReply) else incomplete_reply(cause)


def guarded(
    base: type[Any], timeout_s: float, secrets: Sequence[str], own_headers: Mapping[str, str | None] | None = None
) -> type[Any]:
    """A subclass of the httpx client class `base` in which every try ends after `timeout_s` and obeys the limits above.

    httpx's own time limit restarts with each byte. An incomplete reply is raised as a connection fault, which makes
    openai's client ask again; a reply that would not improve the next time is raised as `BadReply`.
    `own_headers` are those that each request must have; None is one that it must not have.
    """

    class Guarded(base):
        async def send(self, request: Any, **how: Any) -> Any:
            http = import_module(type(request).__module__.partition(".")[0])  # httpx or httpx2
            for name, value in (own_headers or {}).items():
                if value is not None:
                    request.headers[name] = value
                elif name in request.headers:
                    del request.headers[name]
            try:
                async with asyncio.timeout(timeout_s):
                    status, headers, body = await self._read(request, how)
                    if status not in REFUSED:
                        _count_try()
            except (http.ConnectError, http.ConnectTimeout, http.PoolTimeout):  # the server did not get the question
                raise
            except http.TransportError:
                _count_try()
                raise
            except TimeoutError as error:
                _count_try()
                raise http.ReadTimeout(f"no complete reply within {timeout_s:g} s", request=request) from error
            if status < 300 and is_incomplete(body):
                what = f"a reply of {len(body)} bytes with status {status} ended before its JSON did"
                raise http.ReadError(what, request=request) from IncompleteReply(_text(without(secrets, body)))
            body = without(secrets, body, may_alter=status >= 300)
            return http.Response(status, headers=headers, content=body, request=request)

        async def _read(self, request: Any, how: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
            for _ in range(MAX_REDIRECTS):
                client: Any = super()
                response = await client.send(request, **{**how, "stream": True, "follow_redirects": False})
                try:
                    if response.next_request is None:
                        return response.status_code, _kept(response.headers), await read_body(response)
                finally:
                    await response.aclose()
                check_redirect(request, response.next_request)
                request = response.next_request
            raise Elsewhere(f"the server redirected {MAX_REDIRECTS} times")

    return Guarded


def _kept(headers: Any) -> dict[str, str]:
    """The headers that a client uses: the kind of body, and when to ask again.

    A server may say that a retry is useless, but not that it is useful: with `x-should-retry: true` openai's client
    would repeat a question that was refused (400), and that try is not counted.
    """
    kept = ("content-type", "retry-after", "retry-after-ms", "x-should-retry")
    named = {name: value for name, value in headers.items() if name.lower() in kept and value.isascii()}
    return {name: value for name, value in named.items() if name.lower() != "x-should-retry" or value == "false"}


def check_redirect(request: Any, following: Any) -> None:
    """Raise Elsewhere unless the new request is the same request to the same server."""
    old, new = request.url, following.url
    same_place = (old.scheme, old.port) == (new.scheme, new.port) or (old.scheme, new.scheme) == ("http", "https")
    if old.host != new.host or not same_place or request.method != following.method:
        raise Elsewhere(
            f"the server redirects to {without_secrets(str(new))[:200]}, but redirects are not followed; if that is "
            "the "
            "right address, use it as the model's address"
        )


async def read_body(response: Any) -> bytes:
    """The whole body, decompressed; raises BadReply for a body that is too long or cannot be decompressed."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise BadReply(f"the server's reply is compressed as {encoding[:40]!r}, which was not requested")
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32) if encoding not in ("identity", "") else None
    body, on_chunk = bytearray(), ON_CHUNK.get()
    async for chunk in response.aiter_raw():
        room = MAX_REPLY_BYTES + 1 - len(body)
        try:
            part = chunk[:room] if inflate is None else inflate.decompress(chunk, room)
        except zlib.error as error:
            raise BadReply(f"the server's reply cannot be decompressed: {error}") from error
        body += part
        if on_chunk is not None:
            on_chunk(part)
        if len(body) > MAX_REPLY_BYTES:
            raise BadReply(f"the server's reply is longer than {MAX_REPLY_BYTES // 2**20} MiB")
    return bytes(body)


def is_incomplete(body: bytes) -> bool:
    """Whether a body is incomplete JSON or empty; a web page is not an answer, but it is complete."""
    text = _text(body).strip()
    if text and text[0] not in "{[":
        return False
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return True
    except (ValueError, RecursionError):  # numbers of 5,000 digits, 200,000 brackets
        return False
    return False


def without(secrets: Sequence[str], body: bytes, *, may_alter: bool = True) -> bytes:
    """The body without the secrets: servers often repeat a key when they refuse it.

    An answer (`may_alter` False) that contains a secret raises BadReply.
    """
    hidden = sorted((secret for secret in secrets if len(secret) >= MIN_SECRET_CHARS), key=len, reverse=True)
    if not hidden:
        return body
    text = _text(body)
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text))  # one spelling for each character
    spelled = [spelling for secret in hidden for spelling in (json.dumps(secret)[1:-1], secret)]
    if not any(spelling in text for spelling in spelled):
        return body
    if not may_alter:
        raise BadReply(
            "the server's reply contains the key, so it is not stored; if the key is not secret, use another key"
        )
    for spelling in spelled:
        text = text.replace(spelling, "***")
    return text.encode()


def _text(body: bytes) -> str:
    return body.decode("utf-8", "replace")
