"""The command of a stage of method command: split into words, its placeholders checked and filled, its files hashed.

No shell runs it, so that a path with a space stays one word and no value can add a word. Pure functions.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tunegate.data.methods import METHODS
from tunegate.exceptions import ConfigError, SettingError, nearest
from tunegate.extensions import extension
from tunegate.models.fingerprint import file_sha256
from tunegate.pipeline.stage_spec import StageSpec
from tunegate.reading.files import read_text, resolve

PLACES = ("model", "rows", "output", "seed", "attempt", "settings")
"""What every command may name in braces; `eval_rows` where the data are split, `config` where the options name one, and
`args.NAME` for each of `args`."""

MAX_BYTES = 4 * 2**20
_PLACE = re.compile(r"(?<!\{)\{([A-Za-z_][\w.]*)\}(?!\})")
"""`{"r": 8}`, `{{ messages }}` and `{% if %}` are none: JSON and chat templates stay as they are."""


@dataclass(frozen=True, slots=True)
class OwnCommand:
    """A command whose placeholders are still to be filled, the folder it runs in, and the text of its `config`."""

    words: tuple[str, ...]
    folder: Path
    config: Path | None


def command_of(stage: StageSpec, base_dir: Path) -> OwnCommand | None:
    """The command of a stage, None for a stage of another method.

    Raises ConfigError whose message begins with the key, for what could not be run.
    """
    if stage.method != "command":
        if stage.command is not None:
            raise SettingError(
                "command", f"method {stage.method} trains by itself; leave it out, or write method: command"
            )
        return None
    if not hasattr(os, "killpg"):
        raise SettingError(
            "method", "a command is held in a group of processes, which this system lacks; use Linux or macOS"
        )
    words = _words(stage.command)
    config = _config(stage.options.get("config"), base_dir)
    sometimes = {"config": config is not None, "eval_rows": _is_split(stage)}
    known = [*PLACES, *(name for name, there in sometimes.items() if there), *(f"args.{name}" for name in stage.args)]
    _check_places("command", " ".join(words), known)
    if config is not None:
        _check_config(config, known)
        if not any("{config}" in word or "TUNEGATE_CONFIG" in word for word in words):
            raise SettingError(
                "options.config", f"the command does not read it; write {{config}} in it, for the path of {config.name}"
            )
    _check_program(words[0], base_dir)
    return OwnCommand(tuple(words), base_dir.resolve(), config)


def command_sha256(stage: StageSpec, base_dir: Path) -> str:
    """The hash of the files that a command names: its scripts and its `config`; empty where there are none.

    Of a method that a package adds, that of its name and version.
    """
    if stage.method not in METHODS and (package := extension("tunegate.methods", stage.method)) is not None:
        return hashlib.sha256(f"{package.in_words} {package.place.value}".encode()).hexdigest()
    if stage.method != "command" or stage.command is None:
        return ""
    program, *words = _words(stage.command)
    own = [program] if "/" in program and not Path(program).is_absolute() else []  # Python counts by its version
    config = _config(stage.options.get("config"), base_dir)
    named = [*(base_dir / word for word in (*own, *words)), *([] if config is None else [config])]
    files = [path for path in named if os.path.isfile(path)]  # a word may be too long for a name
    digest = hashlib.sha256("\n".join(file_sha256(path) for path in files).encode())
    return digest.hexdigest() if files else ""


def fill(text: str, values: Mapping[str, Any]) -> str:
    """The text with each placeholder replaced by its value; what is in other braces stays.

    >>> fill('--lr {args.lr} --lora {"r":8}', {"args.lr": 1e-5})
    '--lr 1.0e-05 --lora {"r":8}'
    """
    return _PLACE.sub(lambda found: as_word(values[found[1]]) if found[1] in values else found[0], text)


def as_word(value: Any) -> str:
    """A setting as a word of a command or a value in its config: numbers as YAML reads them, otherwise JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and "e" in (text := repr(value)):
        mantissa, exponent = text.split("e")
        return f"{mantissa}e{exponent}" if "." in mantissa else f"{mantissa}.0e{exponent}"
    return json.dumps(value, default=str)


def _words(command: str | list[str] | None) -> list[str]:
    """The words of a command, as a shell would split them."""
    if command is None:
        raise SettingError(
            "command", 'this key is required; write how your trainer is started: "python train.py {rows}"'
        )
    try:
        words = shlex.split(command) if isinstance(command, str) else command
    except ValueError as error:
        raise SettingError("command", f"{command!r}: cannot be split into words: {error}") from error
    if not words or not words[0].strip():
        raise SettingError("command", f"a program and its arguments were expected, got {command!r}; name your trainer")
    if any("\0" in word for word in words):
        raise SettingError("command", "a word holds the character NUL, which no program can be given")
    return words


def _config(name: object, base_dir: Path) -> Path | None:
    return resolve(name, base_dir) if isinstance(name, str) else None


def _text_of(config: Path) -> str:
    try:
        return read_text(config, MAX_BYTES)
    except ConfigError as error:
        raise SettingError("options.config", str(error)) from error


def _check_config(config: Path, known: list[str]) -> None:
    """A trainer's file may have fields of its own in braces, `{instruction}`: only what must be meant is refused."""
    names = _PLACE.findall(_text_of(config))
    meant = [name for name in names if name.startswith("args.") or get_close_matches(name, known, cutoff=0.75)]
    _check_places("options.config", "".join(f"{{{name}}}" for name in meant), known, f" in {config.name}")


def _check_places(key: str, text: str, known: list[str], where: str = "") -> None:
    for name in _PLACE.findall(text):
        if name not in known:
            why = "; no shell runs the command, so it cannot read variables" if f"${{{name}}}" in text else ""
            also = _MISSING.get(name.partition(".")[0], "")
            raise SettingError(key, f"{{{name}}}{where}: no such placeholder{also}{nearest(name, known)}{why}")


_MISSING = {
    "args": ": the stage's `args` have no such setting",
    "config": ": name the file in `options.config`",
    "eval_rows": ": keep rows for it with `data.prepare.split.validation`",
}


def _is_split(stage: StageSpec) -> bool:
    split = stage.data.prepare and stage.data.prepare.split
    return bool(split and split.validation)


def _check_program(program: str, base_dir: Path) -> None:
    """Raise ConfigError where nothing would be started; a program with a slash in it counts from the pipeline file."""
    if shutil.which(str(base_dir / program) if "/" in program else program) is not None:
        return
    if "/" in program:
        raise SettingError("command", f"{program!r}: no such program; paths start from the folder of this file")
    raise SettingError(
        "command", f"{program!r} is not on PATH; install it in this environment, or write its whole path"
    )
