"""What the user allows: which folders count as the user's own, and what files from other folders may not do.

The user's own folders are the working folder, the folders that `--trust` and the settings name, and what ships with
Tunegate. Paths are compared after symbolic links are resolved, so that a link cannot add a folder. A key is sent only
to a server that the user pairs with it, even if the file that asks is the user's own.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tunegate.exceptions import ConfigError
from tunegate.trust.settings import folders_of, read_settings, settings_place
from tunegate.trust.wants import Code, Contact, Wants, Written

VARIABLE = "TUNEGATE_TRUST"
"""The environment variable with further trusted folders, separated as in PATH; `--trust` adds to it."""
DEFAULT_KEYS = {"OPENAI_API_KEY": frozenset({"api.openai.com"})}
"""The variables that belong to one known server."""
OWN = ("tunegate", "tunegate_suites")


@dataclass(frozen=True, slots=True)
class Trust:
    """What the user allows. `folders` are resolved paths; `keys` has the servers that may get the key in each variable.

    `settings` is the file in which the user can allow more; messages name it.
    """

    folders: tuple[Path, ...] = ()
    hosts: frozenset[str] = frozenset()
    keys: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    settings: Path = Path("settings.yaml")

    def trusts(self, path: Path) -> bool:
        """Whether a file or folder is in one of the user's own folders, after symbolic links are resolved."""
        real = path.resolve()
        return any(real.is_relative_to(folder) for folder in self.folders)

    def allows_host(self, name: str) -> bool:
        return name in self.hosts or any(name in names for names in self.keys.values())


def user_trust(environment: Mapping[str, str] = os.environ, working: Path | None = None) -> Trust:
    """What the user of this process allows; raises ConfigError for wrong settings.

    The working folder counts as the user's project, unless it contains the user's home: downloads are there, too.

    Example:
        >>> user_trust({"HOME": "/home/me", "TUNEGATE_TRUST": "/srv/suites"}, Path("/")).trusts(Path("/srv/suites/a"))
        True
    """
    place = settings_place(environment)
    settings = read_settings(place)
    here = (working or Path.cwd()).resolve()
    named = [Path(one).expanduser().resolve() for one in environment.get(VARIABLE, "").split(os.pathsep) if one]
    home = environment.get("HOME")
    is_project = here != Path(here.anchor) and not (home and Path(home).resolve().is_relative_to(here))
    return Trust(
        (*([here] if is_project else []), *named, *folders_of(settings), *_shipped()),
        frozenset(host.lower() for host in settings.hosts),
        {name: frozenset(host.lower() for host in hosts) for name, hosts in settings.key_variables.items()},
        place,
    )


@cache
def _shipped() -> tuple[Path, ...]:
    specs = [find_spec(name) for name in OWN]
    return tuple(Path(place).resolve() for spec in specs if spec for place in spec.submodule_search_locations or ())


@contextmanager
def trusting(folders: Sequence[str]) -> Generator[None]:
    """While a command runs: also trust these folders, in this process and in those that it starts.

    Raises ConfigError for a folder that does not exist.
    """
    for folder in folders:
        if not Path(folder).expanduser().is_dir():
            raise ConfigError(f"--trust {folder}: no such folder; give the folder of the file that you trust")
    before = os.environ.get(VARIABLE)
    real = [str(Path(folder).expanduser().resolve()) for folder in folders]
    if real:
        os.environ[VARIABLE] = os.pathsep.join([*([before] if before else []), *real])
    try:
        yield
    finally:
        if real:
            os.environ.pop(VARIABLE)
            if before is not None:
                os.environ[VARIABLE] = before


# --- what is refused ------------------------------------------------------------------------------------------------


def refusals(wants: Wants, by: Path | None, trust: Trust) -> list[str]:
    """A line for each thing that the file `by` wants and the user does not allow: which key, what, how to allow it.

    `by` is None for the user's own Python code, which is allowed everything.

    Example:
        >>> refusals(Wants(runs=(Code("m:f", "python"),)), Path("/srv/a.yaml"), Trust())
        ['python: wants to run m:f, but you do not trust /srv; to allow it: --trust /srv, or TUNEGATE_TRUST=/srv']
    """
    if by is None:
        return []
    own = trust.trusts(by)
    lines = [line for code in wants.runs if (line := _of_code(code, by, own, trust))]
    lines += [line for written in wants.writes if not own and (line := _of_writing(written, by))]
    for contact in wants.contacts:
        lines += [line for line in (_of_host(contact, by, own, trust), _of_key(contact, own, trust)) if line]
    return list(dict.fromkeys(lines))


def refuse(wants: Wants, by: Path | None, trust: Trust) -> None:
    """Raise ConfigError with everything of `refusals`."""
    if lines := refusals(wants, by, trust):
        raise ConfigError(in_one_line(lines))


def in_one_line(refused: Sequence[str]) -> str:
    """All that is refused, in one message, so that nobody allows one thing only to be told of the next.

    >>> in_one_line(["a: wants to run x", "b: wants to run y"])
    '2 things are refused: (1) a: wants to run x; (2) b: wants to run y'
    """
    if len(refused) == 1:
        return refused[0]
    each = "; ".join(f"({number}) {line}" for number, line in enumerate(refused, start=1))
    return f"{len(refused)} things are refused: {each}"


def _of_code(code: Code, by: Path, own: bool, trust: Trust) -> str:
    if not own:
        return f"{code.at}: wants to run {code}, but {_stranger(by)}"
    if code.path is None or not code.beside or trust.trusts(code.path):
        return ""
    return f"{code.at}: wants to run {code}, but {_stranger(code.path)}"


def _of_writing(written: Written, by: Path) -> str:
    """A stranger's file may write beside itself, as every run does."""
    if written.path.resolve().is_relative_to(by.resolve().parent):
        return ""
    return f"{written.at}: wants to write {written.path}, but {_stranger(by)}"


def _of_host(contact: Contact, by: Path, own: bool, trust: Trust) -> str:
    host = contact.host
    if own or host.is_loopback or trust.allows_host(host.name):
        return ""
    return f"{contact.at}: wants to contact {host}, but {_stranger(by)}, or `hosts: [{host.name}]` in {trust.settings}"


def _of_key(contact: Contact, own: bool, trust: Trust) -> str:
    """A key may go to a server that the user pairs with it; for the user's own file, also to this machine and to the
    server in `DEFAULT_KEYS`."""
    name, host = contact.key_variable, contact.host
    if name is None or host.name in trust.keys.get(name, ()):
        return ""
    if own and (host.is_loopback or (host.scheme == "https" and host.name in DEFAULT_KEYS.get(name, ()))):
        return ""
    return (
        f"{contact.key_at or contact.at}: wants to send the key in {name} to {host}, but you have not allowed this; to "
        f"allow it: `key_variables: {{{name}: [{host.name}]}}` in {trust.settings}"
    )


def _stranger(path: Path) -> str:
    folder = path.resolve().parent
    word = shlex.quote(str(folder))
    return f"you do not trust {folder}; to allow it: --trust {word}, or TUNEGATE_TRUST={word}"
