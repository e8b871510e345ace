"""Mutated cases, responses, suites, pipelines and command lines: none ends in a traceback, or with another exit code
than those that are documented; 1 only where a gate was decided, and failed.

The inputs of a number are always the same: `fuzz_input(number)`. The fast test takes the first 200.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tunegate.cli import main

FAST, ALL, CHUNK = 200, 20_000, 1_000

# --- valid seeds -----------------------------------------------------------------------------------------------------

CASES = [
    {"id": "a", "prompt": "Which gene?", "reference": "BLM", "tags": ["gene"], "group": "1"},
    {"id": "b", "prompt": "Which organ?", "references": ["liver", "the liver"], "context": "The liver swells.", "n": 2},
    {"id": "c", "messages": [{"role": "user", "content": "How many?"}], "reference": "42", "choices": ["1", "42"]},
    {"id": "d", "prompt": "Why?", "reference": "because", "meta": {"topic": "x", "year": 2020}},
]
RESPONSES = [
    {"id": case["id"], "response": answer} for case, answer in zip(CASES, ("BLM", "liver", "42", "no"), strict=True)
]
CSV = 'id,prompt,reference,tags\na,Which gene?,BLM,x\nb,"Which, organ?",liver,y\nc,How many?,42,x\nd,Why?,because,y\n'
SUITE = """\
cases: {path: cases.jsonl, id: "{id}"}
checks:
  - exact: {normalize: true}
  - contains: {whole_words: true}
  - regex: {pattern: "[a-z]+"}
  - errors: {forbid: [empty, repetition, too_long], max_words: 20}
generate: {max_new_tokens: 16, temperature: 0.0}
plan: {kind: single, draw: 4, accept: 3, curtail: true}
"""
SUITES = [
    SUITE,
    "cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 4, accept: 3}\n",
    "cases: cases.csv\nchecks: [{contains: {text: [BLM, liver]}}]\nplan: {draw: 2, accept: 1}\n",
    "cases: cases.jsonl\nchecks: [{json: {schema: {type: object}}}]\nplan: {kind: sequential, draw: 4}\n",
]
PIPELINE = """\
name: demo
model: model
seed: 1
suites:
  facts: {cases: cases.jsonl, checks: [{exact: {normalize: true}}], plan: {draw: 4, accept: 3}}
  short: {cases: cases.csv, sealed: 0, checks: [{regex: {pattern: "^[A-Za-z]+$"}}], plan: {draw: 2, accept: 1}}
stages:
  - name: sft
    method: sft
    data: {path: train.jsonl, prompt: "{prompt}", completion: "{completion}"}
    args: {learning_rate: 1.0e-3, max_steps: 2}
    peft: {r: 4}
    gates: [facts, short]
    retrain: {max_attempts: 2}
promote: {to: production, registry: ./registry}
"""
TRAIN = [{"prompt": f"Question {n}?", "completion": f"Answer {n}."} for n in range(4)]

# --- mutations -------------------------------------------------------------------------------------------------------

VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**63,
        10**400,
        0.5,
        -0.0,
        1e308,
        "",
        " ",
        "a",
        "x" * 300,
        "\0",
        "\ud800",
        "é\u0301",
    ),
    *(
        "{prompt}",
        "{",
        "}",
        "{{x}}",
        "{a.b}",
        "{0}",
        "{x!r}",
        "(",
        "[",
        "*",
        "(a+)+$",
        "%s",
        "../..",
        "/",
        "~nobody",
        "-1",
    ),
    *("\u202e", "::error::", "NaN", "null", "42", [], {}, [[]], [None], {"": ""}, {"a": {"b": []}}, ["a", "a"], [1, 2]),
    {"role": "user", "content": "x"},
    [{"role": "assistant", "content": None}],
    [{"role": "x"}],
]
SNIPPETS = [
    *(
        "",
        "\n",
        "\t",
        "\r",
        "\0",
        "\ufeff",
        "\u2028",
        '"',
        "'",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "-",
        "- ",
        "#",
        "&a ",
        "*a",
        "!!str ",
    ),
    *(
        "!!python/object:os.system ",
        "<<: ",
        "? ",
        "| ",
        "> ",
        "%YAML 9\n",
        "---\n",
        "...\n",
        "NaN",
        "1e999",
        "0x1F",
        "1_000",
    ),
    *(
        "[" * 400,
        "{a: " * 200,
        "x" * 300,
        "\\u0000",
        "\\ud800",
        "é",
        "日本",
        "\U0001f600",
        "null",
        "true",
        "~",
        "=",
        "{{",
        "${HOME}",
    ),
]


def mutated_value(value: Any, rng: random.Random) -> Any:
    """The value with something in it replaced, renamed, taken out, doubled or wrapped."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        match rng.randrange(5):
            case 0:
                return {name: item for name, item in value.items() if name != key}
            case 1:
                return {(key + rng.choice("sx_ ") if name == key else name): item for name, item in value.items()}
            case 2:
                return value | {str(rng.choice(["extra", "id", "prompt", "", "a.b"])): rng.choice(VALUES)}
            case _:
                return value | {key: mutated_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        match rng.randrange(4):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return [*value, value[at]]
            case _:
                return [*value[:at], mutated_value(value[at], rng), *value[at + 1 :]]
    return rng.choice([*VALUES, [value], {"x": value}])


def mutated_text(text: str, rng: random.Random) -> str:
    """The text with a piece taken out, doubled, replaced by a snippet or by another piece."""
    start = rng.randrange(len(text) + 1)
    end = min(len(text), start + rng.choice([0, 1, 1, 2, 5, 20, 200]))
    other = rng.randrange(len(text) + 1)
    new = rng.choice(["", text[start:end] * 2, text[other : other + 12], *(rng.choice(SNIPPETS) for _ in range(6))])
    return text[:start] + new + text[end:]


def times(rng: random.Random, mutate: Callable[[Any, random.Random], Any], value: Any) -> Any:
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        value = mutate(value, rng)
    return value


def mutated_yaml(text: str, rng: random.Random) -> str:
    """The text mutated, or what it says, written as JSON, which is YAML too."""
    if rng.random() < 0.4:
        return times(rng, mutated_text, text)
    return json.dumps(times(rng, mutated_value, yaml.safe_load(text)), ensure_ascii=rng.random() < 0.5)


def mutated_rows(rows: list[Any], rng: random.Random) -> list[Any]:
    return [times(rng, mutated_value, row) if rng.random() < 0.4 else row for row in rows]


def as_lines(rows: list[Any], rng: random.Random) -> str:
    return "".join(json.dumps(row, ensure_ascii=rng.random() < 0.5) + "\n" for row in rows)


@dataclass(frozen=True)
class Input:
    """A command line, and the files that lie where it is given."""

    arguments: list[str]
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])


GATE = ["gate", "--responses", "responses.jsonl", "--suite", "suite.yaml", "--run", "run", "--json"]
COMMANDS = [
    *(GATE, ["check", "suite.yaml", "--json"], ["check", "tunegate.yaml"], ["plan", "--draw", "40", "--accept", "36"]),
    *(["data", "train.jsonl", "--json"], ["leakage", "train.jsonl", "--suite", "suite.yaml"], ["report", "run"]),
    *(["judge", "suite.yaml", "--labels", "responses.jsonl"], ["compare", "run", "run"], ["promote", "run"]),
    *(["suite", "expand", "suite.yaml", "--rules", "suite.yaml", "--out", "new.yaml"], ["verify", "model"]),
    ["plan", "--plan", "double", "--risk", "0.05,0.8,0.05,0.95", "--attempts", "2", "--bank", "500"],
]
WORDS = [
    *(
        "",
        "-",
        "--",
        "--json",
        "-h",
        "--suite",
        "--draw",
        "0",
        "-1",
        "1e9",
        "99999999999999999999",
        "nan",
        "x" * 300,
        "é",
    ),
    *("\udce9", "cases.jsonl", "suite.yaml", "run", ".", "/", "~nobody", "builtin:general", "builtin:x", "package:x/y"),
    *("--plan", "sequential", "--accept", "3", "--curtail", "--seed", "--risk", "1,2,3,4", "a=b", "--max-drop", "inf"),
]


def mutated_words(words: list[str], rng: random.Random) -> list[str]:
    at = rng.randrange(len(words))
    match rng.randrange(4):
        case 0:
            return words[:at] + words[at + 1 :] or ["check"]
        case 1:
            return [*words[:at], rng.choice(WORDS), *words[at:]]
        case 2:
            return [*words[:at], mutated_text(words[at], rng), *words[at + 1 :]]
        case _:
            return [*words[:at], rng.choice(WORDS), *words[at + 1 :]]


def fuzz_input(number: int) -> Input:
    """The input of a number; four in five mutate a file, the others the command line."""
    rng = random.Random(number)
    kind = ("cases", "responses", "suite", "pipeline", "words")[number % 5]
    if kind == "words":
        return Input(times(rng, mutated_words, rng.choice(COMMANDS)))
    if kind == "pipeline":
        return Input(["check", "tunegate.yaml", "--json"], {"tunegate.yaml": encoded(mutated_yaml(PIPELINE, rng), rng)})
    if kind == "suite":
        return Input(GATE, {"suite.yaml": encoded(mutated_yaml(rng.choice(SUITES), rng), rng)})
    suite = {"suite.yaml": rng.choice(SUITES[:2]).encode()}
    name, rows = ("cases.jsonl", CASES) if kind == "cases" else ("responses.jsonl", RESPONSES)
    if kind == "cases" and rng.random() < 0.2:
        return Input(GATE, {"suite.yaml": SUITES[2].encode(), "cases.csv": encoded(times(rng, mutated_text, CSV), rng)})
    text = as_lines(rows, rng)
    text = times(rng, mutated_text, text) if rng.random() < 0.4 else as_lines(mutated_rows(rows, rng), rng)
    return Input(GATE, suite | {name: encoded(text, rng)})


def encoded(text: str, rng: random.Random) -> bytes:
    """UTF-8 as a rule; now and then with a mark, in another encoding, or with a byte that is none."""
    data = text.encode(errors="surrogatepass")
    match rng.randrange(20):
        case 0:
            return b"\xef\xbb\xbf" + data
        case 1:
            return text.encode("utf-16", errors="surrogatepass")
        case 2:
            return data[: len(data) // 2] + b"\xff\xfe" + data[len(data) // 2 :]
        case _:
            return data


# --- running ---------------------------------------------------------------------------------------------------------

FILES: dict[str, bytes] = {
    "cases.jsonl": as_lines(CASES, random.Random(0)).encode(),
    "cases.csv": CSV.encode(),
    "responses.jsonl": as_lines(RESPONSES, random.Random(0)).encode(),
    "suite.yaml": SUITES[1].encode(),
    "tunegate.yaml": PIPELINE.encode(),
    "train.jsonl": as_lines(TRAIN, random.Random(0)).encode(),
}


def run(given: Input, folder: Path) -> tuple[int, str, str]:
    """The exit code of a command line in a folder that holds its files and no others, and what it printed."""
    for path in folder.iterdir():
        if path.name not in FILES:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, data in (FILES | given.files).items():
        (folder / name).write_bytes(data)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(given.arguments)
        except SystemExit as stop:  # of `--help`
            code = int(stop.code or 0)
    return code, out.getvalue(), err.getvalue()


def objection(code: int, out: str, err: str) -> str:
    """What is wrong with how a command line ended; empty where nothing is."""
    if code not in range(6):
        return f"exit code {code}"
    if "Traceback" in err or "internal error" in err:
        return "a traceback"
    if code == 1 and '"verdict": "FAIL"' not in out and "FAIL: " not in out:
        return "exit code 1 without a failed gate"
    return ""


def objections(numbers: range, folder: Path) -> Iterator[str]:
    for number in numbers:
        given = fuzz_input(number)
        code, out, err = run(given, folder)
        if wrong := objection(code, out, err):
            last = err.strip().splitlines()[-1:] or [""]
            yield f"fuzz_input({number}), {given.arguments}: {wrong}: {last[0][:300]}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_seeds_are_valid(folder: Path) -> None:
    for suite in SUITES[:3]:
        code, out, err = run(Input(GATE, {"suite.yaml": suite.encode()}), folder)
        assert (code, objection(code, out, err)) == (code, ""), err
        assert code in (0, 1), err
    assert "model 'model': no such file or folder" in run(Input(["check", "tunegate.yaml"]), folder)[2]


def test_200_mutated_inputs(folder: Path) -> None:
    assert list(objections(range(FAST), folder)) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("start", range(0, ALL, CHUNK))
def test_20000_mutated_inputs(folder: Path, start: int) -> None:
    assert list(objections(range(start, start + CHUNK), folder)) == []
