"""The user's own settings: `~/.config/tunegate/settings.yaml`, or in the folder that XDG_CONFIG_HOME names.

trust: [~/suites/shared]                        # files in these folders count as the user's own
hosts: [judge.example.org]                      # servers that strangers' files may contact
key_variables: {JUDGE_KEY: [judge.example.org]} # which server may get the key in which variable
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from tunegate.exceptions import ConfigError
from tunegate.reading.spec import Spec, read_spec
from tunegate.reading.yaml_file import load_yaml

FILE = Path("tunegate", "settings.yaml")


class SettingsSpec(Spec):
    """See the module's docstring."""

    trust: list[str] = Field(default=[])
    """Folders with files that count as your own; each an absolute path, or a path that begins with `~`."""
    hosts: list[str] = Field(default=[])
    """Names of servers that strangers' files may contact."""
    key_variables: dict[str, list[str]] = Field(default={})
    """For each environment variable with a key: the names of the servers that may get this key."""


def settings_place(environment: Mapping[str, str]) -> Path:
    """The path of the settings file; the file may not exist.

    >>> settings_place({"XDG_CONFIG_HOME": "/etc/me"})
    PosixPath('/etc/me/tunegate/settings.yaml')
    """
    named = environment.get("XDG_CONFIG_HOME", "")
    base = Path(named) if named.startswith("/") else Path(environment.get("HOME") or "~").expanduser() / ".config"
    return base / FILE


def read_settings(path: Path) -> SettingsSpec:
    """The settings in a file; if there is no file, nothing is allowed. Raises ConfigError for a wrong file."""
    if not path.is_file():
        return SettingsSpec()
    file = load_yaml(path)
    settings = read_spec(SettingsSpec, file)
    for index, folder in enumerate(settings.trust):
        if not folder.startswith(("/", "~")):
            raise file.error(("trust", index), f"expected an absolute path, or one that begins with ~, got {folder!r}")
    hosts = [(("hosts", index), host) for index, host in enumerate(settings.hosts)]
    for name, names in settings.key_variables.items():
        hosts += [(("key_variables", name, index), host) for index, host in enumerate(names)]
    for keys, host in hosts:
        if not host or set("/@*?#\\ ") & set(host):
            raise file.error(keys, f"expected the name of a server, such as judge.example.org, got {host!r}")
    return settings


def folders_of(settings: SettingsSpec) -> tuple[Path, ...]:
    """The trusted folders, after symbolic links are resolved."""
    try:
        return tuple(Path(folder).expanduser().resolve() for folder in settings.trust)
    except RuntimeError as error:  # `~nobody`
        raise ConfigError(f"settings: trust: {error}") from error
