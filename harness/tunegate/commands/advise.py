"""`tunegate advise`: asks for what the command line does not give, recommends stages, and writes the pipeline file."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from tunegate.choosing.advice import (
    DATA,
    Advice,
    Budget,
    Data,
    Improve,
    Licence,
    ModelKind,
    Situation,
    advise,
    kinds_of_data,
)
from tunegate.choosing.advice_file import SUITES, files_of, gates_of, pipeline_text
from tunegate.commands.console import show, show_json
from tunegate.exceptions import CannotJudge, ConfigError, nearest

Ask = Callable[[str], str]
"""Asks a person a question and returns the answer."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "improve": get_args(Improve),
    "model_kind": get_args(ModelKind),
    "budget": get_args(Budget),
    "licence": get_args(Licence),
}
QUESTIONS: Mapping[str, str] = {
    "improve": "What must improve?\n"
    "  language: it should write like your field\n  knowledge: it should know your facts\n"
    "  task: it should do one thing right\n  behaviour: people should prefer its answers",
    "data": "What data do you have, and how much?\n"
    + "".join(f"  {kind}: {holds}\n" for kind, holds in DATA.items())
    + "  for example: labelled=800,pairs=120 (or: none)",
    "model_kind": "Which kind of model do you start from?\n"
    "  base: it continues text\n  instruct: it already answers questions",
    "budget": "What can you spend?\n  cpu: minutes on this machine\n  gpu: one GPU\n  more: several, or days",
    "licence": "What must the licence of the result allow?\n"
    "  any: nothing in particular\n  commercial: use in business\n  open: redistribution by anybody",
}


def run_advise(options: Namespace, ask: Ask | None) -> int:
    """Advise; `ask` is None if nobody can be asked.

    Exit code 0, whether or not there are enough data to train on; 1 if a file was requested and there are not enough.
    """
    situation = _situation(options, ask)
    advice = advise(situation)
    text = pipeline_text(advice, options.model) if advice.stages else None
    written = _write(Path(options.out), text) if options.out and text else None
    unwritten = bool(options.out) and not text
    if unwritten:
        print(
            f"tunegate advise: --out {options.out}: no file is written, because nothing can be trained", file=sys.stderr
        )
    if options.json:
        show_json({**_as_json(advice), "pipeline": text, "written": str(written) if written else None})
    else:
        _print(advice, text, written, model_chosen=options.model is not None)
    return 1 if unwritten else 0


def ask_on_terminal(question: str) -> str:
    """Ask on standard error, so that standard output contains only the result."""
    sys.stderr.write(f"{question}\n> ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        raise ConfigError("no answer was given; give the options instead, see `tunegate advise --help`")
    return answer.strip()


# --- what is asked -------------------------------------------------------------------------------------------------


def _situation(options: Namespace, ask: Ask | None) -> Situation:
    given = {name: getattr(options, name) for name in QUESTIONS}
    answers = {name: _read(name, value) for name, value in given.items() if value is not None}
    missing = [name for name in QUESTIONS if name not in answers]
    if missing and ask is None:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise ConfigError(f"cannot ask, standard input is not a terminal: give {flags}; see `tunegate advise --help`")
    return Situation(**answers, **{name: _ask(name, ask) for name in missing})


def _ask(name: str, ask: Ask | None) -> Any:
    """Ask until the answer is valid."""
    assert ask is not None  # otherwise _situation has raised
    fault = ""
    while True:
        try:
            return _read(name, ask(f"{fault}{QUESTIONS[name]}"))
        except _Misread as error:
            fault = f"{error}\n"


class _Misread(ConfigError):
    """An answer that is not one of the choices."""


def _read(name: str, answer: str) -> Any:
    if name == "data":
        return read_data(answer)
    choices, word = CHOICES[name], answer.strip().lower()
    if word not in choices:
        raise _Misread(f"--{name.replace('_', '-')} {answer!r}: not a valid answer{nearest(word, choices)}")
    return word


def read_data(text: str) -> dict[Data, int]:
    """`labelled=800,raw=200000` as a number per kind; `none` as no data."""
    data: dict[Data, int] = {}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in [] if parts == ["none"] else parts:
        kind, _, count = (word.strip() for word in part.partition("="))
        if kind not in kinds_of_data():
            raise _Misread(f"--data {part}: {kind!r} is not a kind of data{nearest(kind, kinds_of_data())}")
        if not count.replace("_", "").isdecimal():
            raise _Misread(f"--data {part}: the number of rows is missing; write {kind}=800")
        if kind in data:
            raise _Misread(f"--data {part}: {kind} is given twice; give each kind once")
        data[kind] = int(count)
    return data


# --- what is answered ----------------------------------------------------------------------------------------------


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(f"{path}: already exists and is not overwritten; choose another name") from error
    except OSError as error:
        raise CannotJudge(f"{path}: cannot be written: {error.strerror}") from error
    return path


def _as_json(advice: Advice) -> dict[str, Any]:
    situation = advice.situation
    return {
        "enough": bool(advice.stages),
        "too_little": advice.too_little,
        "stages": [
            {
                "name": rule.name,
                "method": rule.method,
                "data": rule.data,
                "why": rule.why,
                "source": rule.source,
                "gates": gates_of(situation, rule),
            }
            for rule in advice.stages
        ],
        "do_not": [{"text": caution.text, "source": caution.source} for caution in advice.cautions],
        "files": files_of(advice),
    }


def _print(advice: Advice, text: str | None, written: Path | None, *, model_chosen: bool) -> None:
    """The stages with their reasons, the gates, what not to do, and the file."""
    if advice.too_little:
        show(advice.too_little)
    for number, rule in enumerate(advice.stages, start=1):
        show(
            f"{number}. {rule.name}: {rule.method} on {rule.data}; gate: {', '.join(gates_of(advice.situation, rule))}"
        )
        show(f"   {rule.why} [{rule.source}]")
    gates = dict.fromkeys(gate for rule in advice.stages for gate in gates_of(advice.situation, rule))
    for gate in gates:
        show(f"gate {gate}, 90 of 100: {SUITES[gate].asks}; cases: {SUITES[gate].path}")
    for caution in advice.cautions:
        show(f"note: {caution.text}{f' [{caution.source}]' if caution.source else ''}")
    if advice.stages and not model_chosen:
        show("first: tunegate bake-off MODEL MODEL… --suite FILE shows which base model to start from")
    if written is not None:
        show(f"wrote {written}; it lists the files to provide. Next: tunegate check {written}")
    elif text is not None:
        show("the pipeline file (--out FILE writes it):")
        for line in text.splitlines():
            show(f"  {line}" if line else "")
