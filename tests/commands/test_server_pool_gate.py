"""`tunegate gate` on several servers: what the user sees, the record, Ctrl-C and resuming, and who gets which key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.pool_servers import PoolServer, pool_servers, spec_of
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models import shared_queue
from tunegate.models.server_pool import key_variables
from tunegate.record.read_run import read_run
from tunegate.trust.allowed import Trust

pytest.importorskip("openai")

N = 100


@pytest.fixture(autouse=True)
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite that a server passes which repeats the question."""
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"q{number}", "question": f"question {number}"} for number in range(400)]
    write_jsonl(tmp_path / "cases.jsonl", rows)
    spec = {
        "cases": {"path": "cases.jsonl", "id": "{id}", "prompt": "{question}", "reference": "re: {question}"},
        "checks": ["exact"],
        "plan": {"draw": N, "accept": 90, "confirm": "never"},
    }
    (tmp_path / "suite.yaml").write_text(json.dumps(spec))
    return tmp_path / "suite.yaml"


def gate(capsys: pytest.CaptureFixture[str], spec: str, *more: str) -> tuple[int, dict[str, Any], str]:
    code = main(["gate", spec, "--suite", "suite.yaml", "--json", *more])
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def test_the_verdict_says_who_answered_how_many_and_with_which_version(capsys: pytest.CaptureFixture[str]):
    with pool_servers(PoolServer(seconds=0.01), PoolServer(seconds=0.01)) as servers:
        code, told, _ = gate(capsys, spec_of(servers), "--run", "run")
        assert (code, told["verdict"], told["passed"]) == (0, "PASS", N)
        assert {one["server"]: one["answered"] for one in told["servers"]} == {
            one.url: len(one.completed) for one in servers
        }
        assert [one["software"] for one in told["servers"]] == ["llama.cpp b1-stub"] * 2
        main(["gate", spec_of(servers), "--suite", "suite.yaml", "--ledger", "none"])
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("servers: "))
    assert f"{servers[0].url} (llama.cpp b1-stub) answered " in line
    record = read_run(Path("run")).gates["suite"]
    assert record.model == ",".join(sorted(one.url for one in servers))
    assert Counter(response.by for response in record.answers.responses.values()) == Counter(record.answered_by)
    assert main(["report", "run", "--recheck"]) == 0
    assert "(llama.cpp b1-stub) answered" in Path("run/report.html").read_text()


def test_a_server_that_is_lost_meanwhile_is_named(capsys: pytest.CaptureFixture[str]):
    def dies(question: str, number: int) -> None:
        if number == 20:
            one.kill()

    one, two = PoolServer(seconds=0.01, before=dies), PoolServer(seconds=0.01)
    with pool_servers(one, two) as servers:
        code, told, _ = gate(capsys, spec_of(servers), "--run", "run")
        assert code == 0
        assert {one["server"]: one.get("lost") for one in told["servers"]} == {one.url: "no reply", two.url: None}
    main(["report", "run"])
    assert ", then gave no reply" in Path("run/report.html").read_text()


def test_the_outcomes_do_not_depend_on_who_answered(capsys: pytest.CaptureFixture[str]):
    def shown(*servers: PoolServer) -> list[tuple[str, str, str]]:
        with pool_servers(*servers):
            _, told, _ = gate(capsys, spec_of(servers), "--ledger", "none")
        return [(case["id"], case["response"], case["verdict"]) for case in told["cases"]]

    slow_first = shown(PoolServer(seconds=0.05), PoolServer())
    assert slow_first == shown(PoolServer(), PoolServer(seconds=0.05), PoolServer()) == shown(PoolServer())


def test_no_server_is_sent_more_at_once_than_the_user_allows(capsys: pytest.CaptureFixture[str]):
    with pool_servers(PoolServer(seconds=0.02), PoolServer(seconds=0.02)) as servers:
        assert gate(capsys, spec_of(servers), "--concurrency", "2")[0] == 0
        assert [one.most_at_once for one in servers] == [2, 2]
        assert gate(capsys, servers[0].url, "--concurrency", "3")[0] == 0
    assert servers[0].most_at_once == 3


def test_servers_that_disagree_are_refused_in_one_line_before_the_first_case(capsys: pytest.CaptureFixture[str]):
    with pool_servers(PoolServer(), PoolServer(weights=1.0)) as servers:
        code, told, _ = gate(capsys, spec_of(servers))
    assert code == 2
    assert f"{servers[1].url} has other weights" in told["error"]
    assert "\n" not in told["error"]
    assert not any(one.asked for one in servers)
    assert not Path("tunegate-runs").exists()


def test_without_any_server_left_the_gate_is_invalid_and_the_same_command_resumes_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shared_queue, "RETURNS_S", (0.0, 0.2, 0.4))  # a server that is gone is looked for less long

    def dies(question: str, number: int) -> None:
        if number == 20:
            for server in (one, two):
                server.kill()

    one, two = PoolServer(before=dies), PoolServer()
    with pool_servers(one, two) as servers:
        code, told, _ = gate(capsys, spec_of(servers), "--run", "run")
        assert (code, told["verdict"]) == (3, "INVALID")
        assert told["drawn"] == N
        answered = set(one.completed + two.completed)
        one.start()
        two.start()
        code, told, _ = gate(capsys, spec_of(servers), "--run", "run")
    assert (code, told["verdict"], told["passed"]) == (0, "PASS", N)
    assert set((one.completed + two.completed).values()) == {1}
    assert answered < set(one.completed + two.completed)


def test_ctrl_c_keeps_the_answers_and_the_same_command_asks_only_the_rest(tmp_path: Path):
    started = [0]

    def interrupts(question: str, number: int) -> None:
        started[0] += 1
        if started[0] == 30:
            process.send_signal(signal.SIGINT)

    words = [sys.executable, "-c", "from tunegate.cli import console_main; console_main()", "gate"]
    one, two = PoolServer(seconds=0.05, before=interrupts), PoolServer(seconds=0.05)
    with pool_servers(one, two) as servers:
        command = [*words, spec_of(servers), "--suite", "suite.yaml", "--run", "run"]
        process = subprocess.Popen(command, env={**os.environ, "TUNEGATE_TRUST": str(tmp_path)})
        assert process.wait(120) == 130
        kept = {name for name, answer in read_run(Path("run")).gates["suite"].answers.responses.items() if answer.came}
        assert 0 < len(kept) < N
        before = one.completed + two.completed
        assert subprocess.run(command, check=False).returncode == 0
    again = {question for question, times in (one.completed + two.completed).items() if times > 1}
    assert not again & {f"question {name[1:]}" for name in kept}
    assert len(before) >= len(kept)


# --- keys ----------------------------------------------------------------------------------------------------------

A, B = "https://a.example/v1#m", "https://b.example/v1#m"
PAIRED = Trust(keys={"A_KEY": frozenset({"a.example"}), "B_KEY": frozenset({"b.example"})})


@pytest.mark.parametrize(
    ("addresses", "named", "trust", "expected"),
    [
        ((A, B), None, PAIRED, ["A_KEY", "B_KEY"]),
        ((A, B), None, Trust(), ["", ""]),  # OPENAI_API_KEY goes to neither
        ((A, "http://127.0.0.1:1/v1#m"), None, PAIRED, ["A_KEY", ""]),
        ((A, "https://a.example:8443/v1#m"), None, Trust(), ["OPENAI_API_KEY"] * 2),
        ((A, "https://a.example:8443/v1#m"), "A_KEY", Trust(), ["A_KEY"] * 2),
        ((A, B), "A_KEY", PAIRED, ["A_KEY", "B_KEY"]),
    ],
)
def test_each_server_gets_only_its_own_key(
    addresses: Sequence[str], named: str | None, trust: Trust, expected: list[str]
):
    assert key_variables(addresses, named, trust, {"A_KEY": "a", "B_KEY": "b", "OPENAI_API_KEY": "c"}) == expected


def test_a_key_that_is_named_goes_to_no_server_that_it_is_not_paired_with():
    with pytest.raises(ConfigError, match=r"to send it to https://a.example: `key_variables: {A_KEY: \[a.example\]}`"):
        key_variables((A, B), "A_KEY", Trust(), {"A_KEY": "a"})


def test_the_keys_arrive_where_they_belong(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("ONE_KEY", "key-of-one")
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-openai")
    (tmp_path / "tunegate").mkdir()
    (tmp_path / "tunegate" / "settings.yaml").write_text("key_variables: {ONE_KEY: [127.0.0.1]}")
    with pool_servers(PoolServer(), PoolServer()) as servers:
        spec = f"{servers[0].url},{servers[1].url.replace('127.0.0.1', 'localhost')}"
        assert gate(capsys, spec, "--ledger", "none")[0] == 0
    assert [one.keys_seen for one in servers] == [{"Bearer key-of-one"}, {"Bearer none"}]
