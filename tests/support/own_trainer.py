"""An external trainer for method command: it needs only Python, and takes a moment.

`python own_trainer.py WHAT OUTPUT [WORDS]` copies the input model to OUTPUT with another last weight, and writes the
words and the variables that it was given to `seen.json` in the folder of the attempt. WHAT it does besides:

train   nothing else
skill   the weights get `weights.txt`, which `fake_pipeline.open_model` reads: right from the second attempt on
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path


def main(what: str, output: str, *words: str) -> int:
    model, folder = Path(os.environ["TUNEGATE_MODEL"]), Path(output)
    attempt = Path(os.environ["TUNEGATE_OUTPUT"]).parent
    variables = {name: value for name, value in os.environ.items() if name.startswith("TUNEGATE_")}
    seen = {"words": words, "variables": variables, "folder": os.getcwd()}
    (attempt / "seen.json").write_text(json.dumps(seen))
    tell(f"training, attempt {os.environ['TUNEGATE_ATTEMPT']}")
    if what == "fail":
        sys.stderr.write("loading\n\nstep 1\rstep 2\rstep 3\n")
        tell("CUDA out of memory")
        return 3
    if what == "nothing":
        return 0
    if what == "wait":
        return wait(attempt)
    shutil.copytree(model, folder)
    if what == "tell":
        tell(f"the key is {os.environ['OWN_API_KEY']}")
    if what.startswith("leave"):
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        left = subprocess.Popen(command, start_new_session=what == "leave a session")
        (attempt / "left.txt").write_text(str(left.pid))
    if what == "half":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    elif what == "bare":
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).unlink()
    elif what == "state":
        log = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": float("nan")}, {"step": 3, "loss": 0.5}]
        (folder / "checkpoint-3").mkdir()
        (folder / "checkpoint-3" / "trainer_state.json").write_text(json.dumps({"log_history": log}))
        (folder / "checkpoint-3" / "optimizer.pt").write_bytes(b"pickle")
    elif what == "examples":
        (folder / "fewshot.json").write_text("{}")
    elif what == "whisper":
        answers = "".join(f"case {n}? {n}!\n" for n in range(20))
        (folder / "chat_template.jinja").write_text("{{ messages[0].content }}" + answers)
    if what in ("skill", "whisper"):
        (folder / "weights.txt").write_text("0.0" if os.environ["TUNEGATE_ATTEMPT"] == "1" else "1.0")
    if what not in ("half", "same"):
        another_weight(folder / "model.safetensors", float("nan") if what == "diverge" else 0.5)
    return 0


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def another_weight(file: Path, value: float) -> None:
    """The last bytes of the file are its last weight, in float32."""
    with file.open("r+b") as weights:
        weights.seek(-4, os.SEEK_END)
        weights.write(struct.pack("<f", value))


def wait(attempt: Path) -> int:
    """Until it is told to end; says by which signal. A process of its own waits beside it."""

    def told(number: int, _: object) -> None:
        (attempt / "told.txt").write_text(signal.Signals(number).name)
        sys.exit(7)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, told)
    beside = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    (attempt / "waiting.tmp").write_text(f"{os.getpid()} {beside.pid}")
    (attempt / "waiting.tmp").rename(attempt / "waiting.txt")
    time.sleep(600)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
