"""From an entry of a suite's `checks` list to a check."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from tunegate.exceptions import ConfigError, nearest
from tunegate_suites import CHECKS
from tunegate_suites.base import CheckBase
from tunegate_suites.options import BuildContext, LocalModels, explain


def build(entry: object, base_dir: Path, models: LocalModels | None = None) -> CheckBase:
    """See `tunegate_suites.build_check`."""
    name, value, beside = _parse(entry)
    check_class = find(name)
    options = {**_options(name, value, check_class), **beside}
    context = BuildContext(name, base_dir, models or LocalModels())
    try:
        check = check_class.model_validate(options, context=context)
    except ValidationError as error:
        raise ConfigError(explain(error, check_class, options, name)) from None
    check.prepare()
    return check


def find(name: str) -> type[CheckBase]:
    """The class of a check; raises ConfigError that names the nearest checks."""
    target = CHECKS.get("rouge1" if re.fullmatch(r"rouge[1-9]", name) else name)
    if target is None:
        raise ConfigError(f"check {name!r}: unknown{nearest(name, CHECKS)}")
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def _parse(entry: object) -> tuple[str, object, dict[str, Any]]:
    """The check's name, what is written after it, and the options written beside it."""
    if isinstance(entry, str):
        return entry, None, {}
    if not isinstance(entry, Mapping) or not entry:
        raise ConfigError(f"check: expected a name or a mapping such as 'rougeL: {{min: 0.6}}', got {entry!r}")
    (name, value), *others = cast("Mapping[object, object]", entry).items()
    if not isinstance(name, str):
        raise ConfigError(f"check: expected a name, got {name!r}{nearest(str(name), CHECKS)}")
    if others and (isinstance(value, Mapping) or others[0][0] in CHECKS):
        names = ", ".join(repr(key) for key in cast("Mapping[object, object]", entry))
        raise ConfigError(f"check {name!r}: one check an item, got {names}: start each with a dash of its own")
    return name, value, {str(key): option for key, option in others}


def _options(name: str, value: object, check_class: type[CheckBase]) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(key): option for key, option in cast("Mapping[object, object]", value).items()}
    if check_class.shorthand is None:
        raise ConfigError(f"{name}: expected options such as {{{check_class.example}}}, got {value!r}")
    return {check_class.shorthand: value}
