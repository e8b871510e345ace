"""What a suite, judge or pipeline file would do when it is used, as values: run, read, contact, load.

The values are collected before anything runs. `trust.refusals` compares them with what the user allows, and
`tunegate check` shows them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from tunegate.addresses import is_loopback

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Host:
    """A server: the scheme of its address (http, https), its name, and its port."""

    scheme: str
    name: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.name)

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{self.scheme}://{name}" + ("" if self.port == PORTS.get(self.scheme) else f":{self.port}")


def host_of(url: str) -> Host:
    """The server of an address; raises ValueError for an address without a host or with an impossible port.

    >>> str(host_of("https://me:pw@Judge.Example.org:443/v1?key=1"))
    'https://judge.example.org'
    """
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("it has no host")
    return Host(parts.scheme, parts.hostname.rstrip("."), parts.port or PORTS.get(parts.scheme, 0))


def one_spelling(address: str) -> str:
    """The address of a server, with its model if it names one, in one spelling and without secrets: two that are equal
    are one server. Raises ValueError, as `host_of` does.

    >>> one_spelling("HTTP://me:pw@LocalHost:80/v1/?key=1#m")
    'http://127.0.0.1/v1#m'
    """
    parts, host = urlsplit(address), host_of(address)
    host = replace(host, name="127.0.0.1") if host.name == "localhost" else host
    return f"{host}{parts.path.rstrip('/')}{'#' if parts.fragment else ''}{parts.fragment}"


@dataclass(frozen=True, slots=True)
class Code:
    """Code that would run: a file, or (`path` is None) something of which only the name is known.

    `at` is the option that names it. `beside` says whether the file is stored with the suite, not on Python's path.
    """

    name: str
    at: str
    path: Path | None = None
    beside: bool = True

    def __str__(self) -> str:
        return self.name if self.path is None else str(self.path)


@dataclass(frozen=True, slots=True)
class Contact:
    """A server that would be contacted, and the variable with the key that it would get."""

    host: Host
    at: str
    key_variable: str | None = None
    key_at: str = ""

    def __str__(self) -> str:
        return str(self.host) + (f" with the key in {self.key_variable}" if self.key_variable else "")


@dataclass(frozen=True, slots=True)
class Written:
    """A folder that would be written, and the option that names it."""

    path: Path
    at: str

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Wants:
    """What one file, or one check of it, would do.

    `runs` is code, `installed` are packages that run because the file uses their checks, `reads` are files, `writes`
    are folders, `contacts` are servers with the keys that they get, `loads` are models, `converts` are GGUF files whose
    weights are converted into the cache, `admissions` are admission records that come with the file.

    Example:
        >>> server = Contact(host_of("http://127.0.0.1:8080/v1"), "server")
        >>> wants = Wants(loads=("./judge",)) + Wants(contacts=(server,))
        >>> wants.to_json()["contact"], wants.to_json()["load"]
        ([{'host': '127.0.0.1', 'port': 8080, 'scheme': 'http', 'key_variable': None}], ['./judge'])
    """

    runs: tuple[Code, ...] = ()
    installed: tuple[str, ...] = ()
    reads: tuple[Path, ...] = ()
    writes: tuple[Written, ...] = ()
    contacts: tuple[Contact, ...] = ()
    loads: tuple[str, ...] = ()
    converts: tuple[str, ...] = ()
    admissions: tuple[Path, ...] = ()

    def __add__(self, other: Wants) -> Wants:
        """Both together, without repeats."""
        both = ((one.name, (*getattr(self, one.name), *getattr(other, one.name))) for one in fields(self))
        return Wants(**{name: tuple(dict.fromkeys(values)) for name, values in both})

    @property
    def key_variables(self) -> tuple[str, ...]:
        """The names of the variables whose keys would be sent."""
        return tuple(dict.fromkeys(one.key_variable for one in self.contacts if one.key_variable))

    def to_json(self) -> dict[str, Any]:
        """For `tunegate check --json`."""
        return {
            "run": list(dict.fromkeys(map(str, self.runs))),
            "installed": list(self.installed),
            "read": list(map(str, self.reads)),
            "write": list(map(str, self.writes)),
            "contact": [
                {
                    "host": one.host.name,
                    "port": one.host.port,
                    "scheme": one.host.scheme,
                    "key_variable": one.key_variable,
                }
                for one in self.contacts
            ],
            "key_variables": list(self.key_variables),
            "load": list(self.loads),
            "convert": list(self.converts),
            "admissions": list(map(str, self.admissions)),
        }


NOTHING = Wants()


def outside_of(folder: Path, paths: Iterable[Path]) -> tuple[Path, ...]:
    """The paths that are not in this folder or below it, after symbolic links are resolved."""
    inside = folder.resolve()
    return tuple(path for path in paths if not path.resolve().is_relative_to(inside))


def all_of(wants: Iterable[Wants]) -> Wants:
    """The sum."""
    return sum(wants, NOTHING)


@runtime_checkable
class SaysWhatItWants(Protocol):
    """A check that runs code, reads files, or contacts a server."""

    @property
    def wants(self) -> Wants: ...
