"""Faults of commands, injected into the real command line: a judge's admission, a gate alone, a promoted model."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.bank import write_jsonl
from tests.support.fault_rows import Row, on_record, without_places
from tests.support.faults import Ending, Lab, tamper, unlimited_afterwards
from tests.support.judge_server import Reply, judge_server
from tunegate.checks.judge_admission import DEFAULT_ADMIT
from tunegate.cli import main
from tunegate.record.event_log import read_events
from tunegate.record.read_run import read_run

GATE, ADMISSION, VERIFY = "gate alone", "judge admission", "verify"
TUNEGATE = [sys.executable, "-c", "from tunegate.cli import console_main; console_main()"]
SUITE = "cases: cases.jsonl\nchecks: [CHECK]\nplan: {draw: 10, accept: 9}\n"
GATE_COMMAND = ["gate", "--responses", "answers.jsonl", "--suite", "suite.yaml", "--run", "run"]
VERIFY_COMMAND = ["verify", "production", "--registry", "registry"]


@dataclass(frozen=True)
class CommandFault:
    """A fault, and what carries a command out in the working folder while it strikes, then again without it."""

    name: str
    where: str
    act: Callable[[], Ended]

    def inject(self, folder: Path) -> Row:
        folder.mkdir()
        before = Path.cwd()
        os.chdir(folder)
        try:
            ended = self.act()
        finally:
            os.chdir(before)
        verdict = Ending(ended.exit_code, None).verdict
        return Row(self.name, self.where, verdict, ended.exit_code, without_places(ended.said, folder), ended.again)


@dataclass(frozen=True)
class Ended:
    """How a command ended, and with which verdict once the fault was gone."""

    exit_code: int
    said: str
    again: str


def command(*arguments: str) -> tuple[int, str]:
    """The exit code of `tunegate …`, and the last line that it says to people."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as errors:
        code = main(arguments)
    return code, errors.getvalue().strip().rpartition("\n")[2]


def ended(exit_code: int, error: str, said: list[str], again: int) -> Ended:
    assert exit_code != 0
    words = said[0] if said else f"nothing; the command says: {error}"
    return Ended(exit_code, words, Ending(again, None).verdict)


# --- a gate alone -----------------------------------------------------------------------------------------------------


def write_gate(check: str = "exact") -> None:
    write_jsonl(Path("cases.jsonl"), [{"id": f"c{n}", "prompt": f"{n}?", "reference": f"{n}!"} for n in range(10)])
    write_jsonl(Path("answers.jsonl"), [{"id": f"c{n}", "response": f"{n}!"} for n in range(10)])
    Path("suite.yaml").write_text(SUITE.replace("CHECK", check))


def gated(break_: Callable[[], None], mend: Callable[[], None], check: str = "exact") -> Ended:
    write_gate(check)
    break_()
    with unlimited_afterwards():
        code, error = command(*GATE_COMMAND)
    said = on_record(read_run(Path("run"))) if Path("run/events.jsonl").exists() else []
    mend()
    return ended(code, error, said, command(*GATE_COMMAND)[0])


def nothing() -> None:
    pass


def metric(code: str) -> Callable[[], None]:
    """The fifth case that the metric sees is its last, for as long as the file `armed` is there."""

    def write() -> None:
        Path("armed").touch()
        Path("m.py").write_text(
            "import os, resource, signal\nfrom pathlib import Path\n\n\ndef right(case, text, seen=[]):\n"
            "    seen.append(case.id)\n"
            f"    if len(seen) == 5 and Path({str(Path('armed').absolute())!r}).exists():\n        {code}\n"
            "    return text == case.references[0]\n"
        )

    return write


def disarm() -> None:
    Path("armed").unlink()


MY_METRIC = '{python: "m:right"}'
FULL = "resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat('run/events.jsonl').st_size + 20, -1))"


def killed_gate() -> Ended:
    """kill -9 while the fifth case is judged; the same command goes on with it."""
    write_gate(MY_METRIC)
    metric("os.kill(os.getpid(), signal.SIGKILL)")()
    process = subprocess.run([*TUNEGATE, *GATE_COMMAND], capture_output=True, check=False)
    kept = [event["event"] for event in read_events(Path("run"))].count("outcome")
    disarm()
    return ended(process.returncode, "", [f"{kept} of 10 outcomes, no verdict"], command(*GATE_COMMAND)[0])


def take_an_answer_away() -> None:
    lines = Path("answers.jsonl").read_text().splitlines(keepends=True)
    Path("answers.jsonl").write_text("".join(lines[1:]))


def put_a_file_in_the_way() -> None:
    Path("run").write_text("in the way")


SERVER = """
import http.server, json, os, sys
left = 4
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": '{"reason": "so it is", "verdict": "yes"}'}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *args): pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


# --- judges -----------------------------------------------------------------------------------------------------------


def write_judge(base_url: str, timeout_s: float = 30.0, concurrency: int = 1) -> None:
    server = {"base_url": base_url, "model": "m", "max_retries": 0, "timeout_s": timeout_s, "concurrency": concurrency}
    Path("rubric.yaml").write_text("criterion: Is the answer right?\nlabels: [yes, no]\n")
    Path("judge.yaml").write_text(json.dumps({"rubric": "rubric.yaml", "accept": ["yes"], "server": server}))
    write_labels()


def write_labels() -> None:
    rows = [{"question": f"q{n}?", "response": f"{n}!", "human_correct": True} for n in range(30)]
    rows += [{"question": f"r{n}?", "response": "?", "human_correct": False} for n in range(30)]
    write_jsonl(Path("labels.jsonl"), rows)


@contextmanager
def a_judge(broken: Callable[[int], Reply | None] = lambda number: None, timeout_s: float = 30.0) -> Iterator[None]:
    """A judge that is right, but where `broken` has another reply to the n-th request."""

    def answer(request: dict[str, Any], number: int) -> Reply:
        good = "!" in request["messages"][-1]["content"].rpartition("<<<ANSWER")[2]
        return broken(number) or Reply(json.dumps({"reason": "so it is", "verdict": "yes" if good else "no"}))

    with judge_server(answer) as server:
        write_judge(server.base_url, timeout_s, concurrency=8)
        yield


JUDGE_COMMAND = ["judge", "judge.yaml", "--labels", "labels.jsonl", "--out", "admission.json"]


def admission() -> list[str]:
    """What the admission record says of the judge; nothing where there is none."""
    path = Path("admission.json")
    if not path.exists():
        return []
    figures = json.loads(path.read_text())["figures"]
    refused = "refused" if figures["kappa_interval"][0] < DEFAULT_ADMIT else "admitted"
    return [f"admission record: {figures['invalid']} of {figures['n']} INVALID, {refused}"]


def measured(
    broken: Callable[[int], Reply | None], break_: Callable[[], None] = nothing, timeout_s: float = 30.0
) -> Ended:
    """Measure a judge while it is broken, then again."""
    healthy = [False]
    with a_judge(lambda number: None if healthy[0] else broken(number), timeout_s):
        with unlimited_afterwards():
            break_()
            code, error = command(*JUDGE_COMMAND)
        said = admission()
        healthy[0] = True
        if break_ is tear_the_labels:
            write_labels()
        return ended(code, error, said, command(*JUDGE_COMMAND)[0])


def sometimes(reply: Reply) -> Callable[[int], Reply | None]:
    return lambda number: reply if number % 4 == 0 else None


def always(reply: Reply) -> Callable[[int], Reply | None]:
    return lambda number: reply


def interrupted(number: int) -> None:
    """The server's thread interrupts the command as a person would."""
    if number == 5:
        os.kill(os.getpid(), signal.SIGINT)


def killed_admission() -> Ended:
    """kill -9 while the sixth answer is judged."""
    processes: list[subprocess.Popen[bytes]] = []
    with a_judge(lambda number: processes[0].kill() if number == 5 else None):
        processes.append(subprocess.Popen([*TUNEGATE, *JUDGE_COMMAND], stderr=subprocess.DEVNULL))
        code = processes[0].wait()
        assert admission() == []
        return ended(code, "", ["nothing"], command(*JUDGE_COMMAND)[0])


def allow_ten_bytes() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def tear_the_labels() -> None:
    Path("labels.jsonl").write_text('{"question": "q?", "resp')


def judged(break_: Callable[[Path], None]) -> Ended:
    """A gate by a judge whose admission record is broken, and by one whose is mended."""
    with a_judge():
        write_gate("judge: judge.yaml")
        Path("suite.yaml").write_text(SUITE.replace("[CHECK]", "[{judge: judge.yaml}]"))
        judge = [*JUDGE_COMMAND[:4]]
        assert command(*judge)[0] == 0
        [record] = Path(".tunegate/admissions").iterdir()
        shutil.copy(record, "good.json")
        break_(record)
        code, error = command(*GATE_COMMAND)
        said = on_record(read_run(Path("run"))) if Path("run/events.jsonl").exists() else []
        shutil.copy("good.json", record)
        shutil.rmtree("run", ignore_errors=True)  # the suite is another one with its judge admitted
        return ended(code, error, said, command(*GATE_COMMAND)[0])


def of_another_judge(record: Path) -> None:
    from tests.support.check_helpers import AGREES
    from tunegate.checks.judge_admission import write_admission

    write_admission(record, "0" * 64, AGREES)


def of_a_bad_judge(record: Path) -> None:
    from tunegate.checks.judge_admission import Agreement, write_admission

    write_admission(record, record.stem, Agreement(((20, 10, 0), (15, 15, 0))))


def dying_judge() -> Ended:
    """The judge's server dies after three verdicts, as a process that is killed; then it is started again."""
    write_gate()
    Path("suite.yaml").write_text(SUITE.replace("[CHECK]", "[{judge: judge.yaml}]"))

    def serve(port: str, code: str = SERVER) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen([sys.executable, "-c", code, port], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process.stdout:
            return process, process.stdout.readline().strip()

    server, port = serve("0")
    write_judge(f"http://127.0.0.1:{port}/v1")
    from tests.support.check_helpers import AGREES
    from tunegate.checks.judge_admission import default_path, write_admission
    from tunegate_suites import build_check

    sha256 = build_check({"judge": "judge.yaml"}, Path()).judge_sha256  # type: ignore[attr-defined]
    write_admission(default_path(sha256), sha256, AGREES)
    code, error = command(*GATE_COMMAND)
    assert server.wait() == 9
    said = on_record(read_run(Path("run")))
    server, _ = serve(port, SERVER.replace("left = 4", "left = 99"))
    again = command(*GATE_COMMAND)[0]
    server.kill()
    server.wait()
    return ended(code, error, said, again)


# --- a promoted model -------------------------------------------------------------------------------------------------


def verified(break_: Callable[[Path], None], key: bool = False) -> Ended:
    """Verify a promoted model of which something is broken, and the whole one; with a key, its signature too."""
    lab = Lab(Path("project"))
    lab.write()
    assert lab.carry_out().exit_code == 0
    os.chdir("project")
    if key:
        for words in (["keygen", "k.key"], ["promote", "run", "--sign", "k.key"]):
            assert command(*words) == (0, "")
    verify = [*VERIFY_COMMAND, *(["--key", "k.pub"] if key else [])]
    [place] = Path("registry/models").iterdir()
    shutil.copytree("registry", "whole")
    break_(place)
    code, error = command(*verify)
    shutil.rmtree("registry", ignore_errors=True)
    shutil.move("whole", "registry")
    return ended(code, error.replace("project/", ""), [], command(*verify)[0])


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    return lambda place: tamper(place / name, old, new)


def remove(name: str) -> Callable[[Path], None]:
    return lambda place: (place / name).unlink()


def cut(name: str) -> Callable[[Path], None]:
    return lambda place: os.truncate(place / name, (place / name).stat().st_size // 2)


def no_registry(place: Path) -> None:
    shutil.rmtree("registry")


SIGNED = "attestation.sigstore.json"
ALIAS = "../../aliases/production.json"
NAN = Reply('{"reason": "so it is", "verdict": NaN}')
LATE = Reply(never=True)
HTML = Reply(body="<html>Bad gateway</html>", content_type="text/html")

COMMANDS: tuple[CommandFault, ...] = (
    CommandFault("metric raises", GATE, partial(gated, metric("raise ValueError('no such word')"), disarm, MY_METRIC)),
    CommandFault("metric calls sys.exit(0)", GATE, partial(gated, metric("raise SystemExit(0)"), disarm, MY_METRIC)),
    CommandFault("an answer is missing", GATE, partial(gated, take_an_answer_away, write_gate)),
    CommandFault("run folder cannot be made", GATE, partial(gated, put_a_file_in_the_way, Path("run").unlink)),
    CommandFault("disk is full", GATE, partial(gated, metric(FULL), disarm, MY_METRIC)),
    CommandFault("Ctrl-C", GATE, partial(gated, metric("signal.raise_signal(signal.SIGINT)"), disarm, MY_METRIC)),
    CommandFault("process is killed (kill -9)", GATE, killed_gate),
    CommandFault("judge's server is killed", GATE, dying_judge),
    CommandFault("admission record is missing", GATE, partial(judged, lambda record: record.unlink())),
    CommandFault("admission record is edited", GATE, partial(judged, lambda record: tamper(record, "30", "31"))),
    CommandFault("admission record is torn", GATE, partial(judged, lambda record: os.truncate(record, 100))),
    CommandFault("admission record is of another judge", GATE, partial(judged, of_another_judge)),
    CommandFault("admission record shows a poor judge", GATE, partial(judged, of_a_bad_judge)),
    CommandFault("judge answers with HTML, 1 in 4", ADMISSION, partial(measured, sometimes(HTML))),
    CommandFault("judge says NaN, 1 in 4", ADMISSION, partial(measured, sometimes(NAN))),
    CommandFault("judge times out, 1 in 4", ADMISSION, partial(measured, sometimes(LATE), timeout_s=2.0)),
    CommandFault("judge never says anything", ADMISSION, partial(measured, always(Reply("")))),
    CommandFault("labels are torn", ADMISSION, partial(measured, always(NAN), tear_the_labels)),
    CommandFault("disk is full", ADMISSION, partial(measured, lambda number: None, allow_ten_bytes)),
    CommandFault("Ctrl-C", ADMISSION, partial(measured, interrupted)),
    CommandFault("process is killed (kill -9)", ADMISSION, killed_admission),
    CommandFault("promoted weights change", VERIFY, partial(verified, edit("model/weights.txt", "1.0", "0.9"))),
    CommandFault("attestation is edited", VERIFY, partial(verified, edit("attestation.json", "5", "9"))),
    CommandFault("attestation is torn", VERIFY, partial(verified, cut("attestation.json"))),
    CommandFault("attestation is deleted", VERIFY, partial(verified, remove("attestation.json"))),
    CommandFault("record in the registry is edited", VERIFY, partial(verified, edit("events.jsonl", "FAIL", "PASS"))),
    CommandFault("record in the registry is torn", VERIFY, partial(verified, cut("events.jsonl"))),
    CommandFault("record in the registry is deleted", VERIFY, partial(verified, remove("events.jsonl"))),
    CommandFault("signature is edited", VERIFY, partial(verified, edit(SIGNED, "eyJ", "eyK"), key=True)),
    CommandFault("signature is torn", VERIFY, partial(verified, cut(SIGNED), key=True)),
    CommandFault("signature is deleted", VERIFY, partial(verified, remove(SIGNED), key=True)),
    CommandFault("alias is torn", VERIFY, partial(verified, cut(ALIAS))),
    CommandFault("registry is deleted", VERIFY, partial(verified, no_registry)),
)  # fmt: skip
