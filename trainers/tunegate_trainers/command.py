"""Any trainer: a command of the user's own is run, and the model that it leaves is gated like any other.

The command is given the input model, the rows, the folder for its model, a seed and the settings of the attempt, as
placeholders and in its environment. It runs without a shell, in the folder of the pipeline file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TextIO

from tunegate.exceptions import ConfigError, OutOfMemory, SettingError
from tunegate.models.model import as_messages
from tunegate.pipeline.own_command import MAX_BYTES, fill
from tunegate.reading.files import read_text
from tunegate.reading.rows import read_rows
from tunegate.text.printable import printable
from tunegate.training.trainer import HELD, TrainJob
from tunegate_trainers import common, guard, own_trainer
from tunegate_trainers.settings import Settings
from tunegate_trainers.task import MethodOptions, Task

LOG = "command.log"
"""What a command printed, in the folder of the attempt."""
LAST_LINES = 5
READING_S = 2.0
"""How long its last lines may take to arrive when it has ended."""
GRACE_S = 10.0
"""How long a command may take to end when it was told to, before it is killed."""


class Options(MethodOptions):
    """What the command is given."""

    own_trainer = True

    rows: Literal["sft", "explain", "dpo", "orpo", "kto", "rlhf", "cpt"] = "sft"
    """The method whose rows the command reads: prompt and completion (sft), chosen and rejected (dpo), text (cpt)."""
    form: Literal["fields", "messages"] = "fields"
    """`fields`: as the method has them. `messages`: each row of sft as one chat, `messages`, with the answer last."""
    config: str | None = None
    """A configuration file of your trainer, in which the same placeholders are filled; `{config}` is the path of the
    filled one. Relative to the pipeline file."""

    def check(self, settings: Settings) -> None:
        own_trainer.check(settings)
        if self.form == "messages" and self.rows != "sft":
            raise SettingError("options.form", f"'messages' is for rows of sft, got rows: {self.rows}; leave it out")


def train(task: Task) -> tuple[common.Log, common.Summary]:
    """Run the command and look at what it left. Returns (log, summary)."""
    job, command = task.job, task.job.command
    if command is None:
        raise SettingError("command", "this job has none")
    attempt = Path(job.output).parent
    as_chats = task.options.form == "messages"
    places = _places(job, command, attempt, _as_chats if as_chats else Path.resolve)
    words = [fill(word, places) for word in command["words"]]
    with (attempt / LOG).open("w", encoding="utf-8") as log:
        code, last = run(words, Path(command["folder"]), environment(places), log)
    if code != 0:
        told = f"; its last lines: {' | '.join(last)}" if last else "; it printed nothing"
        kind = OutOfMemory if any("out of memory" in line.lower() for line in last) else ConfigError
        raise kind(f"the command ended with {_ended(code)}{told} (all of it: {attempt / LOG})")
    steps, summary = own_trainer.settle(job, "the command")
    return steps, {**summary, "command": words}


def _as_chats(rows: Path) -> Path:
    """The rows of a file as chats, in a file beside it."""
    chats = rows.with_suffix(".messages.jsonl").resolve()
    with chats.open("w", encoding="utf-8") as file:
        for _, row in read_rows(rows):
            answer = {"role": "assistant", "content": row["completion"]}
            file.write(json.dumps({"messages": [*as_messages(row["prompt"]), answer]}, ensure_ascii=False) + "\n")
    return chats


def _places(job: TrainJob, command: Mapping[str, Any], attempt: Path, given: Callable[[Path], Path]) -> dict[str, Any]:
    """The values of the placeholders; writes the files that some of them name. `given` makes a file of rows ready."""
    settings = attempt / "settings.json"
    settings.write_text(json.dumps(dict(job.args), indent=1, default=str), encoding="utf-8")
    places: dict[str, Any] = {
        "model": str(Path(job.model).resolve()),
        "rows": str(given(Path(job.data))),
        "output": str(common.partial(job).resolve()),
        "seed": job.seed,
        "attempt": job.attempt,
        "settings": str(settings.resolve()),
        **({} if job.eval_data is None else {"eval_rows": str(given(Path(job.eval_data)))}),
        **{f"args.{name}": value for name, value in job.args.items()},
    }
    if command["config"] is not None:
        template = Path(command["config"])
        filled = attempt / f"config{template.suffix}"
        filled.write_text(fill(read_text(template, MAX_BYTES), places), encoding="utf-8")
        places["config"] = str(filled.resolve())
    return places


def environment(places: Mapping[str, Any]) -> dict[str, str]:
    """This process's, and each placeholder but the single settings as `TUNEGATE_MODEL`, `TUNEGATE_ROWS`, …"""
    own = {f"TUNEGATE_{name.upper()}": str(value) for name, value in places.items() if "." not in name}
    inherited = {name: value for name, value in os.environ.items() if name != HELD}
    return {"PYTHONUNBUFFERED": "1", **inherited, **own}


def run(words: list[str], folder: Path, variables: Mapping[str, str], log: TextIO) -> tuple[int, list[str]]:
    """Run a command to its end; what it prints goes to `log` and to standard error, a line at a time.

    Returns its exit code (of a signal, 128 more) and its last lines. Ctrl-C and SIGTERM are passed on to it, and raised
    as KeyboardInterrupt when it has ended. It ends with this process, however that ends.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__, *words],
        cwd=folder,
        env=dict(variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    last: deque[str] = deque(maxlen=LAST_LINES)
    with process, _passing_on(process) as told:
        reader = threading.Thread(target=_copy, args=(process.stdout, log, last), daemon=True)
        reader.start()
        code = process.wait()
        if code < 0:  # the guard itself was killed, and the command was not
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        reader.join(READING_S)  # what escaped the guard may hold the pipe open for ever
        if told:
            raise KeyboardInterrupt
    return code, list(last)


def _copy(pipe: Any, log: TextIO, last: deque[str]) -> None:
    for line in pipe:
        # Of a bar that is drawn over and over only its last state is a line.
        text = printable(line.decode(errors="replace").rstrip("\r\n").rpartition("\r")[2])
        if text.strip():
            last.append(text.strip()[:300])
        for stream in (log, sys.stderr):
            with suppress(OSError, ValueError):  # a full disk or a closed terminal must not leave the command waiting
                stream.write(f"{text}\n")
                stream.flush()


@contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Generator[list[int]]:
    """Pass Ctrl-C and SIGTERM on to the group of a command, which has `GRACE_S` seconds to end; a second Ctrl-C ends
    it at once."""
    told: list[int] = []

    def pass_on(number: int, _: object) -> None:
        if not told:
            last = threading.Timer(GRACE_S, _tell, (process, signal.SIGKILL))
            last.daemon = True
            last.start()
            _tell(process, number)
        elif number == signal.SIGINT:
            _tell(process, signal.SIGKILL)
        told.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        if process.poll() is None:
            os.killpg(process.pid, number)


def _ended(code: int) -> str:
    code = 128 - code if code < 0 else code
    if code > 128 and code - 128 in {number.value for number in signal.Signals}:
        return f"signal {signal.Signals(code - 128).name}"
    return f"exit code {code}"
