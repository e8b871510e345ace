"""Checks that other packages add by the entry point `tunegate.checks`: subclasses of `tunegate.Check`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, cast

from tunegate.checks.own_check import Check, OwnCheck, as_asked
from tunegate.exceptions import ConfigError, message_of, nearest
from tunegate.extensions import Extension

BOUNDS = ("min", "max")


def build_installed(found: Extension, value: object, beside: Mapping[str, Any]) -> OwnCheck:
    """The check of an entry; its options go to the class, `min` and `max` are the bounds of a score.

    A value that is not a mapping is the first option of the class. Raises ConfigError with a message relative to the
    entry.
    """
    kind = found.load()
    if not isinstance(kind, type) or not issubclass(kind, Check):
        raise ConfigError(
            f"{found.name}: the package {found.in_words} must give a subclass of tunegate.Check, got {kind!r:.80}"
        )
    try:
        check = _made(found.name, kind, _options(found.name, kind, value, beside))
        check.name = found.name
        return as_asked(check, found.origin)
    except ConfigError as error:
        raise ConfigError(f"{error} (from the package {found.in_words})") from error


def _options(name: str, kind: type[Check], value: object, beside: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(value, Mapping):
        given = {str(key): one for key, one in cast("Mapping[object, Any]", value).items()}
    elif value is None:
        given = {}
    elif parameters := _parameters(kind):
        given = {parameters[0]: value}
    else:
        raise ConfigError(f"{name}: this check takes no value, got {value!r:.80}")
    return {**given, **beside}


def _made(name: str, kind: type[Check], options: Mapping[str, Any]) -> Check:
    known = _parameters(kind)
    for option in options:
        if option not in (*known, *BOUNDS):
            raise ConfigError(f"{name}.{option}: unknown option{nearest(option, [*known, *BOUNDS])}")
    try:
        check = kind(**{key: value for key, value in options.items() if key in known})
    except ConfigError:
        raise
    except Exception as error:
        reason = " ".join(message_of(error).split())[:200]
        raise ConfigError(f"{name}: the check cannot be created: {type(error).__name__}: {reason}") from error
    for bound in BOUNDS:
        if bound in options and bound not in known:
            setattr(check, bound, options[bound])
    return check


def _parameters(kind: type[Check]) -> list[str]:
    if kind.__init__ is object.__init__:
        return []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, one in inspect.signature(kind).parameters.items() if one.kind in kinds]
