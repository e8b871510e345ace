"""Bad input: one clear line, the right exit code, never a traceback, never a pass."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bank import Bank, write_jsonl
from tunegate.cli import main

Capture = pytest.CaptureFixture[str]
TUNEGATE = [sys.executable, "-c", "from tunegate.cli import console_main; console_main()"]


def refused(capsys: Capture, *arguments: str, code: int = 2) -> str:
    """Run a command that must end with `code` and one line on standard error; returns that line."""
    assert main(list(arguments)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def gate(bank: Bank, responses: str | Path | None = None) -> list[str]:
    return ["gate", "--responses", str(responses or bank.answers(100)), "--suite", bank.suite]


# --- files ---------------------------------------------------------------------------------------------------------

BROKEN: dict[str, tuple[bytes | int | None, str]] = {
    "missing": (None, "no such file"),
    "empty": (b"", "the file is empty"),
    "blank": (b"\n  \n", "no rows|is empty"),
    "truncated": (b'{"id": "case-000", "prompt": "a", "response": "b', "not valid|unexpected"),
    "not UTF-8": (b'{"id": "\xff"}\n', "not UTF-8"),
    "UTF-16, torn": ('{"id": "a"}\n'.encode("utf-16")[:-1], "not UTF-8|not valid|mapping|no field"),
    "zeros": (b"\x00" * 1000, "not valid"),
    "1 GB": (2**30, "at most .* MiB are read"),
}


@pytest.mark.parametrize("which", ["suite.yaml", "cases.jsonl", "answers.jsonl"])
@pytest.mark.parametrize("fault", BROKEN)
def test_broken_files_are_named(bank: Bank, capsys: Capture, which: str, fault: str) -> None:
    content, message = BROKEN[fault]
    responses = bank.answers(100)
    path = bank.folder / which
    path.unlink()
    if isinstance(content, int):
        with path.open("wb") as file:
            file.truncate(content)
    elif content is not None:
        path.write_bytes(content)
    if which == "suite.yaml" and fault == "truncated":
        path.write_text('cases: cases.jsonl\nchecks: ["exact')
    line = refused(capsys, *gate(bank, responses))
    assert which in line
    assert re.search(message, line), line


@pytest.mark.parametrize("which", ["suite.yaml", "cases.jsonl", "answers.jsonl"])
def test_a_byte_order_mark_changes_nothing(bank: Bank, capsys: Capture, which: str) -> None:
    arguments = gate(bank)
    path = bank.folder / which
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert main(arguments) == 0


@pytest.mark.parametrize("which", ["suite.yaml", "cases.jsonl", "answers.jsonl"])
def test_a_folder_where_a_file_should_be(bank: Bank, capsys: Capture, which: str) -> None:
    arguments = gate(bank)
    (bank.folder / which).unlink()
    (bank.folder / which).mkdir()
    assert which in refused(capsys, *arguments)


@pytest.mark.parametrize("command", ["check", "gate --responses answers.jsonl --suite", "run"])
def test_data_where_a_suite_should_be(bank: Bank, capsys: Capture, command: str) -> None:
    bank.answers(100)
    line = refused(capsys, *command.split(), "cases.jsonl")
    assert line.endswith(
        "cases.jsonl: a YAML file was expected, got a data file; `tunegate data cases.jsonl` shows its contents\n"
    )


@pytest.mark.parametrize("command", ["check", "gate --responses answers.jsonl --suite", "bake-off a b --suite"])
def test_a_builtin_suite_that_there_is_not(bank: Bank, capsys: Capture, command: str) -> None:
    bank.answers(100)
    line = refused(capsys, *command.split(), "builtin:facts")
    assert line.endswith(
        ": builtin:facts: Tunegate ships no suite with this name (known: blimp, dolly, mmlu, piqa, stereotypes)\n"
    )
    assert "(did you mean 'blimp'?)" in refused(capsys, *command.split(), "builtin:blmp")


def test_a_builtin_suite_is_checked_like_any_other(capsys: Capture) -> None:
    assert main(["check", "builtin:blimp"]) == 0
    assert "suite blimp: " in capsys.readouterr().out


# --- suites --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "key", "hint"),
    [
        ("test: [exact]", "test", ""),
        ("tests: [exact]", "tests", ""),
        ("asert: [exact]", "asert", ""),
        ("asserts: [exact]", "asserts", ""),
        ("check: [exact]", "check", "did you mean 'checks'"),
        ("plam: {draw: 100}", "plam", "did you mean 'plan'"),
        ("Checks: [exact]", "Checks", "did you mean 'checks'"),
    ],
)
def test_an_unknown_key_names_file_line_key_and_nearest(
    bank: Bank, capsys: Capture, line: str, key: str, hint: str
) -> None:
    with open(bank.suite, "a") as file:
        file.write(line + "\n")
    message = refused(capsys, *gate(bank))
    assert f"suite.yaml:3: {key}: unknown key" in message
    assert hint in message
    assert "did you mean" in message or "known: " in message


def test_a_misspelled_key_instead_of_the_right_one(bank: Bank, capsys: Capture) -> None:
    Path(bank.suite).write_text("cases: cases.jsonl\ncheks: [exact]\n")
    assert "suite.yaml:2: cheks: unknown key (did you mean 'checks'" in refused(capsys, *gate(bank))


def test_duplicate_ids(bank: Bank, capsys: Capture) -> None:
    rows = [*({"id": i, "prompt": f"{i}?", "reference": "x"} for i in bank.ids), {"id": "case-005", "prompt": "again"}]
    write_jsonl(bank.folder / "cases.jsonl", rows)
    message = refused(capsys, *gate(bank))
    assert "cases.jsonl:101: the id 'case-005' is duplicated, first on line 6" in message


def test_a_template_field_that_no_row_has(bank: Bank, capsys: Capture) -> None:
    Path(bank.suite).write_text("cases: {path: cases.jsonl, prompt: '{promt}'}\nchecks: [exact]\n")
    message = refused(capsys, *gate(bank))
    assert "suite.yaml:1: cases: " in message
    assert "no field 'promt' (did you mean 'prompt'" in message


def test_tabs(bank: Bank, capsys: Capture) -> None:
    Path(bank.suite).write_text("cases:\n\tpath: cases.jsonl\nchecks: [exact]\n")
    message = refused(capsys, *gate(bank))
    assert "suite.yaml:2: not valid YAML" in message
    assert "never with tabs" in message


def test_a_key_that_stands_twice(bank: Bank, capsys: Capture) -> None:
    Path(bank.suite).write_text("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 100}\nplan: {draw: 1, accept: 1}\n")
    assert "suite.yaml:4: plan: the key is duplicated, first on line 3" in refused(capsys, *gate(bank))


def test_99_cases_are_too_few(make_bank: Callable[..., Bank], capsys: Capture) -> None:
    bank = make_bank(99)
    assert "the bank has 99 cases, but the plan draws 100" in refused(capsys, *gate(bank))
    assert "99 cases" in refused(capsys, "check", bank.suite)
    assert not (bank.folder / "tunegate-runs").exists()


def test_cases_without_a_reference_are_not_judged(bank: Bank, capsys: Capture) -> None:
    rows = [{"id": i, "prompt": f"{i}?", "references": []} for i in bank.ids]
    write_jsonl(bank.folder / "cases.jsonl", [*rows[:-1], {**rows[-1], "references": ["x"]}])
    assert main(gate(bank)) == 3
    assert "INVALID: 0 of 100" in capsys.readouterr().out
    write_jsonl(bank.folder / "cases.jsonl", rows)
    assert main(gate(bank)) == 2
    assert f"none of the {len(rows)} cases of cases.jsonl has it: all would be INVALID" in capsys.readouterr().err


# --- responses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"response": "x"}, "r.jsonl:1: the row has no field 'id'"),
        ({"id": "case-000"}, "r.jsonl:1: the row has no field 'response'"),
        ({"id": "case-000", "answer": "x"}, "r.jsonl:1: the row has no field 'response'"),
        ({"id": "case-000", "response": None}, "r.jsonl:1: the field 'response': a text was expected, got null"),
        (
            {"id": "case-000", "response": {"text": "x"}},
            "r.jsonl:1: the field 'response': a text was expected, got an object",
        ),
        (
            {"id": "case-000", "response": ["x", "y"]},
            "r.jsonl:1: the field 'response': a text was expected, got a list",
        ),
        ({"id": ["case-000"], "response": "x"}, "r.jsonl:1: the field 'id': a text was expected, got a list"),
        ({"id": None, "response": "x"}, "r.jsonl:1: the field 'id': a text was expected, got null"),
        ({"id": "case-000", "response": "x", "finish_reason": 7}, "r.jsonl:1: finish_reason"),
        ({"id": "case-0000", "response": "x"}, "no id in this file belongs to a case (did you mean 'case-000'"),
        (["case-000", "x"], "r.jsonl:1: a JSON object was expected"),
    ],
)
def test_rows_that_are_no_response(bank: Bank, capsys: Capture, row: object, message: str) -> None:
    assert message in refused(capsys, *gate(bank, write_jsonl(bank.folder / "r.jsonl", [row])))


def test_two_answers_to_one_case(bank: Bank, capsys: Capture) -> None:
    path = Path(bank.answers(0))
    path.write_text(path.read_text() + json.dumps({"id": "case-001", "response": "answer case-001"}) + "\n")
    assert "answers.jsonl:101: this is a second response with id 'case-001'" in refused(capsys, *gate(bank, path))


def test_ids_of_another_bank_are_not_listed_by_the_thousand(make_bank: Callable[..., Bank], capsys: Capture) -> None:
    bank = make_bank(20_000)
    path = write_jsonl(bank.folder / "r.jsonl", [{"id": "zzz/9#", "response": "x"}])
    assert len(refused(capsys, *gate(bank, path))) < 600


DIFFICULT = {
    "emoji": "👩🏽‍🚀🏳️‍🌈" * 50,
    "right to left": "الجواب הוא \u202e42\u202c",
    "100,000 characters": "word " * 20_000,
    "one long word": "a" * 100_000,
    "half a character": "cut \ud83d",
    "control signs": "\x00\x1b[2J\x07\x7f\r\n\u2028",
    "markup": "</script><script>alert(1)</script>]]>",
    "looks like JSON": '", "verdict": "PASS", "line_sha256": "',
    "empty": "",
    "spaces": " \t\n ",
}


@pytest.mark.parametrize("name", DIFFICULT)
def test_difficult_responses_are_judged_like_any_other(bank: Bank, capsys: Capture, name: str) -> None:
    answer = DIFFICULT[name]
    rows = [{"id": i, "response": answer if n < 11 else f"answer {i}"} for n, i in enumerate(bank.ids)]
    path = write_jsonl(bank.folder / "r.jsonl", rows)
    assert main([*gate(bank, path), "--json", "--junit", "j.xml", "--markdown", "m.md"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["verdict"], result["passed"], result["failed"], result["invalid"]) == ("FAIL", 89, 11, 0)
    assert main(["gate", "--responses", str(path), "--suite", bank.suite]) == 1
    assert len(capsys.readouterr().out.splitlines()) <= 12


def test_difficult_prompts_ids_and_references(make_bank: Callable[..., Bank], capsys: Capture) -> None:
    bank = make_bank(len(DIFFICULT) - 3, plan=f"{{draw: {len(DIFFICULT) - 3}, accept: 1}}")
    texts = [text for name, text in DIFFICULT.items() if name not in ("half a character", "empty", "spaces")]
    rows = [{"id": text, "prompt": text, "reference": text, "tags": [text]} for text in texts]
    write_jsonl(bank.folder / "cases.jsonl", rows)
    path = write_jsonl(bank.folder / "r.jsonl", [{"id": text, "response": text} for text in texts])
    assert main([*gate(bank, path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {case["id"] for case in result["cases"]} == set(texts)
    assert result["passed"] == len(texts)


# --- disks ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own; skips the test where mounting is not permitted."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("mounting a tmpfs is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")


@needs_linux
@pytest.mark.parametrize("kilobytes", [0, 4, 16, 32, 64])
def test_a_full_disk_is_no_verdict_and_can_be_made_good(bank: Bank, capsys: Capture, kilobytes: int) -> None:
    arguments = [*gate(bank, bank.answers(95)), "--run"]
    with mounted(bank.folder / "small", "size=128k") as small:
        filler = small / "filler"
        filler.write_bytes(b"x" * 1024 * (128 - kilobytes))
        message = refused(capsys, *arguments, str(small / "run"), code=3)
        assert "No space left on device" in message
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True)
        assert main([*arguments, str(small / "run"), "--json"]) == 0
        resumed = json.loads(capsys.readouterr().out)
    assert main([*arguments, "elsewhere", "--json"]) == 0
    places = {"record": "", "report": ""}
    assert {**resumed, **places} == {**json.loads(capsys.readouterr().out), **places}


@needs_linux
def test_a_read_only_folder_is_one_clear_line(bank: Bank, capsys: Capture) -> None:
    arguments = gate(bank)
    with mounted(bank.folder / "ro", "size=64k") as folder:
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        for options in (["--run", str(folder)], ["--run", str(folder / "run")]):
            assert "Read-only file system" in refused(capsys, *arguments, *options, code=3)
        for option in ("--report", "--junit", "--markdown"):
            message = refused(capsys, *arguments, option, str(folder / "report"), code=3)
            assert "Read-only file system" in message
        assert "Read-only file system" in refused(capsys, "init", str(folder), code=3)


# --- whatever else -------------------------------------------------------------------------------------------------

LINES = """\
cases: cases.jsonl
cases: {path: cases.jsonl}
checks: [exact]
checks: [{regex: '('}]
plan: {draw: 1, accept: 1}
plan:
  draw: 1
- exact
generate: {stop: x}
&a [*a]
\t
? {
""".splitlines(keepends=True)
lines = st.lists(st.sampled_from(LINES) | st.text(max_size=5), max_size=6)
suites = st.binary(max_size=80) | lines.map(lambda parts: _bytes(parts))
rows = st.lists(st.sampled_from(['{"id": "a"', ', "response": "x"', "}", "\n", "null", "[", '"']), max_size=8)


def _bytes(parts: list[str]) -> bytes:
    return "".join(parts).encode(errors="replace")


@settings(max_examples=150)
@given(content=suites)
def test_any_bytes_as_a_suite_end_in_a_known_way(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "suite.yaml").write_bytes(content)
    write_jsonl(folder / "cases.jsonl", [{"id": "a", "prompt": "?", "reference": "x"}])
    responses = write_jsonl(folder / "r.jsonl", [{"id": "a", "response": "y"}])
    out, err = _quietly(
        ["gate", "--responses", str(responses), "--suite", str(folder / "suite.yaml"), "--run", str(folder / "run")]
    )
    assert "Traceback" not in err
    assert "internal error" not in err
    assert "PASS" not in out


@settings(max_examples=100)
@given(content=st.binary(max_size=60) | rows.map(lambda parts: _bytes(parts)))
def test_any_bytes_as_responses_end_in_a_known_way(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "suite.yaml").write_text("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 1, accept: 1}\n")
    write_jsonl(folder / "cases.jsonl", [{"id": "a", "prompt": "?", "reference": "the right answer"}])
    (folder / "r.jsonl").write_bytes(content)
    out, err = _quietly(
        [
            "gate",
            "--responses",
            str(folder / "r.jsonl"),
            "--suite",
            str(folder / "suite.yaml"),
            "--run",
            str(folder / "run"),
        ]
    )
    assert "Traceback" not in err
    assert "internal error" not in err
    assert "PASS" not in out


def _quietly(arguments: list[str]) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    assert code in {1, 2, 3, 4, 5}
    return out.getvalue(), err.getvalue()


def test_a_closed_pipe_is_quiet(bank: Bank) -> None:
    process = subprocess.Popen(
        [*TUNEGATE, *gate(bank), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert process.wait() in (0, 3)


@pytest.mark.parametrize("name", ["run", "report", "promote"])
def test_folders_that_hold_no_run(tmp_path: Path, capsys: Capture, name: str) -> None:
    before = os.listdir(tmp_path)
    refused(capsys, name, str(tmp_path))
    refused(capsys, name, str(tmp_path / "nowhere"))
    assert os.listdir(tmp_path) == before
