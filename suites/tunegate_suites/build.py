"""From an entry of a suite's `checks` list to a check."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from tunegate.checks.check import Check
from tunegate.exceptions import ConfigError, nearest
from tunegate.extensions import extension, names
from tunegate.reading.files import resolve
from tunegate.reading.yaml_file import load_yaml
from tunegate_suites import CHECKS
from tunegate_suites.base import CheckBase
from tunegate_suites.installed import build_installed
from tunegate_suites.options import BuildContext, LocalModels, explain


def build(entry: object, base_dir: Path, models: LocalModels | None = None, file: Path | None = None) -> Check:
    """See `tunegate_suites.build_check`. `file` is the file of the entry, if known."""
    name, value, beside = _parse(entry)
    if (installed := extension("tunegate.checks", name, built_in=_built_in(name) is not None)) is not None:
        return build_installed(installed, value, beside)
    check_class = find(name)
    options = {**_options(name, value, check_class), **beside}
    if check_class.shorthand == "file" and "file" in options:
        return _from_file(name, options, base_dir, models)
    context = BuildContext(name, base_dir, models or LocalModels(), file)
    try:
        check = check_class.model_validate(options, context=context)
    except ValidationError as error:
        raise ConfigError(explain(error, check_class, options, name)) from None
    check.prepare()
    return check


def _from_file(name: str, options: Mapping[str, Any], base_dir: Path, models: LocalModels | None) -> Check:
    """A check with its options in a separate file; paths in it are relative to that file."""
    others = [option for option in options if option != "file"]
    if others:
        raise ConfigError(f"{name}: all options must be in the file: move {', '.join(map(repr, others))} into it")
    if not isinstance(options["file"], str):
        raise ConfigError(f"{name}: expected the path of a file, got {options['file']!r}")
    path = resolve(options["file"], base_dir)
    data = load_yaml(path).data
    if not isinstance(data, Mapping) or "file" in data:
        raise ConfigError(f"{path}: expected the options of the check {name!r}, got {str(data)[:80]!r}")
    try:
        return build({name: data}, path.parent, models, path)
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
