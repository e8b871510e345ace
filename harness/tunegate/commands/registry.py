"""`tunegate registry`: what is promoted, since when and by whom; rolling back; clearing up."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunegate.commands.console import show, show_json
from tunegate.commands.exported import verify_export
from tunegate.commands.promote import fingerprint, show_model
from tunegate.exceptions import ConfigError
from tunegate.promotion.aliases import Move, history
from tunegate.promotion.keeping import Listed, attestation_of, differences, listed, remove, rollback, unused

NO_HISTORY = "set by an older Tunegate, which kept no history"


def carry_out(options: Namespace) -> int:
    """Carry out an action of `tunegate registry`."""
    actions: dict[str, Callable[[Namespace, Path], Any]] = {
        "list": _list,
        "history": _history,
        "diff": _diff,
        "rollback": _rollback,
        "gc": _gc,
    }
    registry = Path(options.registry)
    if options.action == "show":
        found = verify_export(options)
        return show_model(options, None) if found is None else found
    facts, lines = actions[options.action](options, registry)
    if options.json:
        show_json(facts)
    else:
        for line in lines:
            show(line)
    return 0


Result = tuple[dict[str, Any], list[str]]
"""The facts for `--json`, and the lines for people."""


def _list(options: Namespace, registry: Path) -> Result:
    found = listed(registry)
    facts = {"aliases": [asdict(one) for one in found]}
    width = max((len(one.alias) for one in found), default=0)
    lines = [f"{one.alias:{width}}  {one.sha256[:12]}…  {_moved(one.moved)}{_export(one)}" for one in found]
    return facts, lines or ["no alias points to a model"]


def _export(one: Listed) -> str:
    return f"; an export of {one.export_of[:12]}…" if one.export_of else ""


def _moved(last: Move | None) -> str:
    return NO_HISTORY if last is None else f"since {last.time}, by {last.who}{_why(last)}, run {last.run}"


def _why(one: Move) -> str:
    return f": {one.why}" if one.why else ""


def _history(options: Namespace, registry: Path) -> Result:
    moves = history(registry, options.alias)
    if not moves:
        raise ConfigError(
            f"{options.alias}: no such alias in the history of {registry}; `tunegate registry list` shows the aliases"
        )
    lines = [
        f"{one.time}  {_short(one.before)} -> {_short(one.sha256)}  by {one.who}, run {one.run}{_why(one)}"
        for one in moves
    ]
    return {"alias": options.alias, "moves": [asdict(one) for one in moves]}, lines


def _short(sha256: str | None) -> str:
    return "(new)" if sha256 is None else f"{sha256[:12]}…"


def _diff(options: Namespace, registry: Path) -> Result:
    before, after = (attestation_of(one, registry) for one in (options.before, options.after))
    found = list(differences(before, after))
    lines = [f"{one.what}: {_in_words(one.before)} -> {_in_words(one.after)}" for one in found]
    return {"differences": [asdict(one) for one in found]}, lines or ["no difference in the evidence"]


def _in_words(value: Any) -> str:
    match value:
        case None:
            return "none"
        case [float(low), float(high)]:
            return f"{100 * low:.1f} to {100 * high:.1f} %"
        case list():
            return ", ".join(map(str, value)) or "none"  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return str(value)


def _rollback(options: Namespace, registry: Path) -> Result:
    before, after = rollback(registry, options.alias, fingerprint, to=options.to, why=options.why)
    facts = {"alias": options.alias, "before": before, "sha256": after}
    return facts, [f"{options.alias}: {_short(before)} -> {_short(after)}"]


def _gc(options: Namespace, registry: Path) -> Result:
    found = remove(registry, options.keep) if options.yes else unused(registry, options.keep)
    done = "removed" if options.yes else "would remove"
    lines = [f"{done} {path}" for path in found]
    if not options.yes and found:
        lines.append("nothing was removed; add --yes to remove them")
    return {"removed" if options.yes else "unused": [str(path) for path in found]}, lines or ["nothing to remove"]
