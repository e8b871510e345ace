"""Checks a server before the first case: does it answer, and does it accept our key?

The check is `GET /models`, which does not ask the model anything. Only if that, or later a case, is refused, the model
is asked a fixed question for one token that belongs to no suite.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tunegate.exceptions import ConfigError
from tunegate.models.guarded import BadReply, Elsewhere
from tunegate.models.openai_client import NO_KEY, ChatRequests, Server, ask_all

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

CLOSED = (401, 403, 404)
"""Statuses of a server that denies access, has no such model, or does not have this API."""
LOADING = 503
PAUSE_S = 0.5


class NoReply(ConfigError):
    """No server answers at an address."""


def check_server(server: Server, name: str, check_access: Callable[[AsyncOpenAI], Awaitable[None]]) -> None:
    """Raise NoReply if no server answers, ConfigError if it denies access.

    Waits for a server that is loading its model, twice as long as for a reply.
    """

    async def look(client: AsyncOpenAI, _: None) -> None:
        deadline = time.monotonic() + 2 * server.timeout_s
        while (status := await _status_of_models(client, server, name)) == LOADING:
            if time.monotonic() > deadline:
                raise NoReply(
                    f"model {name}: the server still replied {LOADING} (not ready) after {2 * server.timeout_s:g} "
                    "s; try "
                    "again when it has loaded its model, or raise --timeout"
                )
            await asyncio.sleep(PAUSE_S)
        if status in CLOSED:
            await check_access(client)

    list(ask_all(server, [None], look))


async def _status_of_models(client: AsyncOpenAI, server: Server, name: str) -> int | None:
    """The status of `GET /models`, which many servers do not have; None for a reply without information."""
    from openai import APIConnectionError, APIStatusError, APITimeoutError

    try:
        return (await client.with_options(max_retries=0).models.with_raw_response.list()).status_code
    except APIStatusError as error:
        return error.status_code
    except APITimeoutError as error:
        raise NoReply(
            f"model {name}: no reply within {server.timeout_s:g} s; if the server is busy, raise --timeout"
        ) from error
    except APIConnectionError as error:
        if type(error.__cause__).__name__ == "ConnectError":
            raise NoReply(f"model {name}: no server answers at this address: {server.describe(error)}") from error
        return None
    except Elsewhere as error:
        raise ConfigError(f"model {name}: {error}") from error
    except BadReply:
        return None


async def check_access(
    client: AsyncOpenAI, requests: ChatRequests, server: Server, name: str, key_variable: str
) -> None:
    """Raise ConfigError if the server refuses a question for one token; the cases report any other error."""
    from openai import APIStatusError, OpenAIError

    question = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    try:
        await requests.send(client, {"model": name.partition("#")[2], **question})
    except APIStatusError as error:
        if error.status_code in CLOSED:
            raise ConfigError(f"model {name}: {_remedy(error, server, key_variable)}") from error
    except (OpenAIError, BadReply):
        return


def _remedy(error: APIStatusError, server: Server, key_variable: str) -> str:
    reply = server.describe(error)
    if error.status_code == 404:
        return f"the server has no such model, or has no API at this address (most addresses end in /v1): {reply}"
    if not key_variable:  # one of several servers
        return f"the server needs a key; pair a variable with its host in `key_variables` of your settings: {reply}"
    if server.api_key == NO_KEY:
        return f"the server needs a key; set the environment variable {key_variable}: {reply}"
    return f"the server refuses the key in the environment variable {key_variable}: {reply}"
