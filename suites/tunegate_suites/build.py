"""From an entry of a suite's `checks` list to a check."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from tunegate.checks.check import Check
from tunegate.exceptions import ConfigError, nearest
from tunegate.extensions import extension, names
from tunegate.reading.files import resolve
from tunegate.reading.yaml_file import load_yaml
from tunegate.trust.allowed import refuse
from tunegate.trust.wants import Wants
from tunegate_suites import CHECKS
from tunegate_suites.base import CheckBase
from tunegate_suites.installed import build_installed
from tunegate_suites.options import BuildContext, LocalModels, explain, sha256_offline


def build(
    entry: object,
    base_dir: Path,
    models: LocalModels | None = None,
    file: Path | None = None,
    look: bool = False,
) -> Check:
    """See `tunegate_suites.build_check`."""
    default = LocalModels(sha256=sha256_offline) if look else LocalModels()
    return build_in(entry, BuildContext("", base_dir, models or default, file, look))


def build_in(entry: object, around: BuildContext) -> Check:
    """The check of an entry in the context of another check, or of a suite."""
    name, value, beside = _parse(entry)
    if (installed := extension("tunegate.checks", name, built_in=_built_in(name) is not None)) is not None:
        return build_installed(installed, value, beside)
    check_class, options = _read(name, value, beside)
    if _is_in_file(check_class, options):
        return _from_file(name, options, around, build_in)
    check = _validated(name, check_class, options, around)
    wants = check.wants
    if not around.look and (wants.runs or wants.contacts):
        refuse(wants, around.file, around.trust)
    check.prepare()
    return check


def wants_in(entry: object, around: BuildContext) -> list[tuple[Path | None, Wants]]:
    """What the check of an entry would do, by its options alone, with the file of these options.

    A panel is followed by its members. Raises ConfigError for wrong options.
    """
    name, value, beside = _parse(entry)
    if (installed := extension("tunegate.checks", name, built_in=_built_in(name) is not None)) is not None:
        return [(around.file, Wants(installed=(f"{name} of the package {installed.in_words}",)))]
    check_class, options = _read(name, value, beside)
    if _is_in_file(check_class, options):
        return _from_file(name, options, around, wants_in)
    check = _validated(name, check_class, options, around)
    return [(around.file, check.wants), *(one for entry in check.inner for one in wants_in(entry, around))]


def _read(name: str, value: object, beside: Mapping[str, Any]) -> tuple[type[CheckBase], dict[str, Any]]:
    check_class = find(name)
    return check_class, {**_options(name, value, check_class), **beside}


def _is_in_file(check_class: type[CheckBase], options: Mapping[str, Any]) -> bool:
    return check_class.shorthand == "file" and "file" in options


def _validated(name: str, check_class: type[CheckBase], options: Mapping[str, Any], around: BuildContext) -> CheckBase:
    try:
        return check_class.model_validate(options, context=replace(around, name=name, given=options))
    except ValidationError as error:
        raise ConfigError(explain(error, check_class, options, name)) from None


Made = TypeVar("Made")


def _from_file(
    name: str, options: Mapping[str, Any], around: BuildContext, then: Callable[[object, BuildContext], Made]
) -> Made:
    """A check with its options in a separate file; paths in it are relative to that file."""
    others = [option for option in options if option != "file"]
    if others:
        raise ConfigError(f"{name}: all options must be in the file: move {', '.join(map(repr, others))} into it")
    if not isinstance(options["file"], str):
        raise ConfigError(f"{name}: expected the path of a file, got {options['file']!r}")
    path = resolve(options["file"], around.base_dir)
    data = load_yaml(path).data
    if not isinstance(data, Mapping) or "file" in data:
        raise ConfigError(f"{path}: expected the options of the check {name!r}, got {str(data)[:80]!r}")
    try:
        return then({name: data}, replace(around, base_dir=path.parent, file=path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def find(name: str) -> type[CheckBase]:
    """The class of a check; raises ConfigError with the nearest names."""
    target = _built_in(name)
    if target is None:
        raise ConfigError(f"check {name!r}: unknown check{nearest(name, [*CHECKS, *names('tunegate.checks')])}")
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def _built_in(name: str) -> str | None:
    return CHECKS.get("rouge1" if re.fullmatch(r"rouge[1-9]", name) else name)


def _parse(entry: object) -> tuple[str, object, dict[str, Any]]:
    """The check's name, its value, and the options next to it."""
    if isinstance(entry, str):
        return entry, None, {}
    if not isinstance(entry, Mapping) or not entry:
        raise ConfigError(f"check: expected a name or a mapping such as 'rougeL: {{min: 0.6}}', got {entry!r}")
    (name, value), *others = cast("Mapping[object, object]", entry).items()
    if not isinstance(name, str):
        raise ConfigError(f"check: expected a name, got {name!r}{nearest(str(name), CHECKS)}")
    if others and (isinstance(value, Mapping) or others[0][0] in CHECKS):
        keys = ", ".join(repr(key) for key in cast("Mapping[object, object]", entry))
        raise ConfigError(
            f"check {name!r}: expected one check per item, got {keys}: start each check with its own dash"
        )
    return name, value, {str(key): option for key, option in others}


def _options(name: str, value: object, check_class: type[CheckBase]) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(key): option for key, option in cast("Mapping[object, object]", value).items()}
    if check_class.shorthand is None:
        raise ConfigError(f"{name}: expected options such as {{{check_class.example}}}, got {value!r}")
    return {check_class.shorthand: value}
