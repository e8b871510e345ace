"""Several servers that serve one model: `http://a/v1#m,http://b/v1#m`. They share one queue of cases.

Before the first case, all are asked a few fixed prompts; servers that disagree are refused. A server that does not
answer, then or later, leaves its cases to the others. It is asked again only after it answered those prompts as before.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, Any

from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.models.back_pressure import Window
from tunegate.models.model import Fault, GenerationSettings, Response
from tunegate.models.openai_client import Say, heard
from tunegate.models.openai_server import KEY_VARIABLE, PASSING_STATUSES, OpenAIModel
from tunegate.models.pool_probe import Probed, difference, odd_ones, probe
from tunegate.models.probe import NoReply
from tunegate.models.shared_queue import Answer, Attempt, Endpoint, How, Question, Said, ask_shared
from tunegate.models.timing import HowTimed, Timing
from tunegate.trust.allowed import Trust
from tunegate.trust.wants import host_of, one_spelling

if TYPE_CHECKING:
    from openai import AsyncOpenAI


def key_variables(addresses: Sequence[str], named: str | None, trust: Trust, set_: Mapping[str, str]) -> list[str]:
    """The variable with the key of each server; empty for a server that gets none.

    Servers on one host get the key in the variable `named`, or in OPENAI_API_KEY, as one server does; with an empty
    `named`, no server gets one. On several hosts,
    each gets only the key that the user's settings pair with it (`key_variables`). Raises ConfigError for a `named`
    variable that a host is not paired with.
    """
    hosts = [host_of(address) for address in addresses]
    if len({host.name for host in hosts}) == 1:
        return [KEY_VARIABLE if named is None else named] * len(hosts)
    paired = [[name for name, names in trust.keys.items() if host.name in names and set_.get(name)] for host in hosts]
    if named:
        for host, names in zip(hosts, paired, strict=True):
            if not names and not host.is_loopback:
                raise ConfigError(
                    f"--key-env {named}: the servers are on several hosts, and a key goes only to its own; to send it "
                    f"to {host}: `key_variables: {{{named}: [{host.name}]}}` in {trust.settings}"
                )
    if named == "":
        return [""] * len(hosts)
    return [named if named in names else names[0] if names else "" for names in paired]


@dataclass(frozen=True)
class ServerPool:
    """One model on several servers. `endpoints` and `probed` belong to `models`, place by place; `probed` is None for a
    server that has not answered yet. Each server is sent at most `concurrency` requests at once, and fewer if it
    refuses some or answers no faster with more (`back_pressure`)."""

    models: tuple[OpenAIModel, ...]
    endpoints: tuple[Endpoint, ...]
    probed: list[Probed | None]
    agreed: Probed
    """The answers to the probe with which those of each server agree."""
    notes: tuple[str, ...] = ()
    sha256: None = None
    dtype: None = None

    @classmethod
    def open(cls, addresses: Sequence[str], trust: Trust, asking: Mapping[str, Any]) -> ServerPool:
        """The pool, if the servers agree; raises ConfigError if two of them do not, or if none answers."""
        models = [OpenAIModel.from_url(address, **asking) for address in addresses]
        places = [one_spelling(address) for address in addresses]
        if repeated := next((one for one in places if places.count(one) > 1), None):
            raise ConfigError(
                f"model {repeated}: the server is named twice; name each server once (user name, password and query do "
                "not tell servers apart: the record holds neither)"
            )
        variables = key_variables(addresses, asking.get("key_variable"), trust, os.environ)
        models = [replace(model, key_variable=name) for model, name in zip(models, variables, strict=True)]
        faults = [_fault_of(model) for model in models]
        if all(faults):
            raise ConfigError("; ".join(str(fault) for fault in faults))
        found = _probe_all([None if fault else model for model, fault in zip(models, faults, strict=True)])
        if not any(one is not None and one.replied for one in found):
            raise ConfigError(f"model {_named(models)}: no server replies any more; start them and run this again")
        probed = [one if one is not None and one.can_be_compared else None for one in found]
        notes = tuple(
            f"{model.name}: {'no server answers' if fault else 'no answers to the probe'}; its cases go to the others"
            for model, fault, one in zip(models, faults, probed, strict=True)
            if one is None
        )
        endpoints = [
            Endpoint(replace(model.server, max_retries=0), Window(model.concurrency), out=one is None)
            for model, one in zip(models, probed, strict=True)
        ]
        return cls(tuple(models), tuple(endpoints), probed, _agreed(models, probed), notes)

    @property
    def name(self) -> str:
        return _named(self.models)

    @property
    def block_size(self) -> int:
        return sum(model.block_size for model in self.models)

    @property
    def request(self) -> Mapping[str, Any]:
        return self.models[0].request

    @property
    def servers(self) -> tuple[dict[str, Any], ...]:
        """What each server says about itself, for the record."""
        return tuple(
            {"server": model.name, **({"absent": True} if one is None else asdict(one.facts) | _lost(endpoint))}
            for model, one, endpoint in zip(self.models, self.probed, self.endpoints, strict=True)
        )

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        """Ask for all answers; each is yielded when it arrives, with the server that gave it."""
        for model in self.models:
            model.check_settings(settings)

        async def ask(client: AsyncOpenAI, place: int, case: Case) -> Attempt[Response]:
            response, error = await self.models[place].attempt(client, case, settings)
            return Attempt(response, response.tries, *lost_by(error))

        def nobody() -> Response:
            return Response("", error=f"{self.name}: no server answers", fault=Fault.NO_REPLY)

        for index, said in self.ask_each(cases, ask, nobody):
            by = self.models[said.endpoint].name if said.endpoint is not None and said.answer.came else ""
            yield index, replace(said.answer, tries=max(1, said.tries), by=by)

    def ask_each(
        self,
        questions: Sequence[Question],
        ask: Callable[[AsyncOpenAI, int, Question], Awaitable[Attempt[Answer]]],
        nobody: Callable[[], Answer],
    ) -> Iterator[tuple[int, Said[Answer]]]:
        """Ask any questions, each at one of the servers; `shared_queue.How` says what `ask` and `nobody` are."""
        how = How(ask, self._admits, nobody, most_tries=1 + self.models[0].max_retries)
        return ask_shared(self.endpoints, questions, how)

    def timed(self, cases: Sequence[Case], settings: GenerationSettings, how: HowTimed) -> Iterator[Timing]:
        """Raises ConfigError: how long a request takes is a property of one server."""
        raise ConfigError(f"limits: they are measured on one server, and {self.name} are several")

    def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        """Raises ConfigError, as one server does."""
        return self.models[0].score_choices(cases, settings)

    async def _admits(self, place: int) -> bool | None:
        """Whether a server that was gone serves the same model now; None if it does not answer."""
        now = await probe(replace(self.models[place], max_retries=0))
        if not now.can_be_compared:
            return None
        self.probed[place] = now
        return difference(now, self.agreed) is None


def _lost(endpoint: Endpoint) -> dict[str, str]:
    """Whether a server is not asked any more, and why."""
    return {"lost": "other model" if endpoint.retired else "no reply"} if endpoint.out else {}


def _named(models: Sequence[OpenAIModel]) -> str:
    """All servers, in an order of their own: the same servers in another order are the same model, and its
    earlier attempts count."""
    return ",".join(sorted(model.name for model in models))


def _fault_of(model: OpenAIModel) -> NoReply | None:
    """Why a server does not answer; raises ConfigError where it refuses."""
    try:
        model.check()
    except NoReply as error:
        return error
    return None


def _probe_all(models: Sequence[OpenAIModel | None]) -> list[Probed | None]:
    """The answers of all servers, asked at once; None for one that is not asked."""

    async def one(model: OpenAIModel | None) -> Probed | None:
        return None if model is None else await probe(model)

    async def work(say: Say[list[Probed | None]], closed: Event) -> None:
        say(0, await asyncio.gather(*map(one, models)))

    ((_, found),) = heard(1, work)
    return found


def _agreed(models: Sequence[OpenAIModel], probed: Sequence[Probed | None]) -> Probed:
    """The answers that the servers agree on; raises ConfigError that names those who disagree, and how."""
    known = [(model.name, one) for model, one in zip(models, probed, strict=True) if one is not None]
    if not known:
        raise ConfigError(
            f"model {_named(models)}: no server answers the prompts that show whether all serve the same model, with "
            "text or log-probabilities; gate one of them alone"
        )
    place, odd = odd_ones([one for _, one in known])
    if odd:
        words = "; ".join(f"{known[other][0]} has {one.in_words}" for other, one in odd.items())
        raise ConfigError(
            f"model: the servers do not serve the same model: compared with {known[place][0]}, {words}; leave out the "
            "wrong one, or gate them one by one"
        )
    return known[place][1]


def lost_by(error: Exception | None) -> tuple[Any, float]:
    """Whether another request may bring an answer, and after how many seconds at the same server."""
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIConnectionError):  # time-outs and incomplete replies included
        return "gone", 0.0
    if isinstance(error, APIStatusError) and (error.status_code in PASSING_STATUSES or error.status_code >= 500):
        return "refused", _seconds(error.response.headers.get("retry-after"))
    return "", 0.0


def _seconds(retry_after: str | None) -> float:
    """The seconds of a Retry-After header, at most a minute; 0 for a date or nonsense.

    >>> _seconds("7"), _seconds("Fri, 31 Dec 1999 23:59:59 GMT"), _seconds("1e9")
    (7.0, 0.0, 60.0)
    """
    try:
        return min(60.0, max(0.0, float(retry_after or 0)))
    except ValueError:
        return 0.0
