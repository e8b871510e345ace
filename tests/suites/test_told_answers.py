"""Answers that a suite tells before it asks: keys are refused, lists are a warning, classes are fine."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, carry_out, write_pipeline
from tunegate.cases.case import Case
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.record.read_run import read_run
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate.suites.told_answers import told_by
from tunegate_reports import write_html
from tunegate_suites import build_check

GENES = [f"GENE{number}" for number in range(40)]
SYMBOLS = [
    {"id": f"c{n}", "prompt": f"Which gene causes the disease number {n}x?", "reference": gene}
    for n, gene in enumerate(GENES)
]
"""Each question has an answer of its own."""
PATTERNS = [
    {
        "id": f"c{n}",
        "prompt": f"How is {gene} passed on?",
        "reference": ("dominant", "recessive", "not inherited")[n % 3],
    }
    for n, gene in enumerate(GENES)
]
"""Questions of three classes."""


def load(folder: Path, rows: list[dict[str, Any]], system: str | None = None, cases: str = "cases.jsonl") -> Suite:
    write_jsonl(folder / "cases.jsonl", rows)
    said = "" if system is None else f"generate: {{system: {json.dumps(system)}}}\n"
    (folder / "s.yaml").write_text(f"cases: {cases}\nchecks: [exact]\nplan: {{draw: 20, accept: 18}}\n{said}")
    return load_suite(folder / "s.yaml", build_check)


def chats(rows: list[dict[str, Any]], *before: dict[str, str]) -> list[dict[str, Any]]:
    return [{**row, "messages": [*before, {"role": "user", "content": row["prompt"]}], "prompt": None} for row in rows]


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


ANSWERS = {row["prompt"].split()[2]: row["reference"] for row in PATTERNS}
KEYS = {
    "questions and answers": (SYMBOLS, "\n".join(f"Q: {row['prompt']}\nA: {row['reference']}" for row in SYMBOLS)),
    "one question, answered": (PATTERNS, f"For example: {PATTERNS[0]['prompt']} dominant"),
    "a key of lines": (PATTERNS, "\n".join(f"{gene}: {kind}" for gene, kind in ANSWERS.items())),
    "a key on one line": (PATTERNS, ", ".join(f"{gene} = {kind}" for gene, kind in ANSWERS.items())),
    "a key without spaces": (PATTERNS, ", ".join(f"{gene}={kind}" for gene, kind in ANSWERS.items())),
    "a key in sentences": (
        PATTERNS,
        f"Say dominant for {', '.join(GENES[::3])}. Say recessive for {', '.join(GENES[1::3])}.",
    ),
    "a key by class": (PATTERNS, f"Only these are dominant: {', '.join(GENES[::3])}"),
    "a table": (PATTERNS, "\n".join(f"| {gene} | {kind} |" for gene, kind in ANSWERS.items())),
    "a key behind much else": (
        PATTERNS,
        "Be brief and kind to the person who asks. " * 50 + "\n".join(" ".join(pair) for pair in ANSWERS.items()),
    ),
}


LISTS = {
    "a list of answers": (SYMBOLS, "Answer with one of these: " + ", ".join(GENES)),
    "disguised": (SYMBOLS, "Answer with one of these: " + ", ".join(gene.lower().replace("e", "е") for gene in GENES)),
}


@pytest.mark.parametrize("told", LISTS)
def test_a_list_of_answers_without_their_questions_is_a_warning(told: str, tmp_path: Path) -> None:
    rows, system = LISTS[told]
    [remark] = load(tmp_path, rows, system).remarks
    assert remark.startswith("generate.system: names the answers of 40 of 40 cases ('GENE0' of c0, ")
    assert "if they are not the labels to choose from, remove them; if they are, write `allow: told_answers`" in remark
    [remark] = load(tmp_path, chats(rows, turn("system", system))).remarks
    assert remark.startswith("cases.messages: names")


@pytest.mark.parametrize("cases", [100, 120, 300])
def test_a_classifier_may_be_told_its_77_labels(cases: int, tmp_path: Path) -> None:
    rows = [{"id": n, "prompt": f"Intent of the request {n}?", "reference": f"intent_{n % 77}"} for n in range(cases)]
    suite = load(tmp_path, rows, "Answer with one of these: " + ", ".join(f"intent_{n}" for n in range(77)))
    assert len(suite.remarks) == (cases == 100)
    assert suite.allowed == {}


def test_what_is_allowed_is_on_record_and_in_the_report(
    make_bank: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "".join(f"What is case-{n:03d}?\nanswer case-{n:03d}\n" for n in range(100))
    bank = make_bank(generate=json.dumps({"system": key}))
    assert main(["check", bank.suite]) == 2
    assert "generate.system: reveals the answers of 100 of 100 cases" in capsys.readouterr().err
    Path(bank.suite).write_text(Path(bank.suite).read_text() + "allow: told_answers\n")
    assert main(["check", bank.suite]) == 0
    found = "told_answers: generate.system: reveals the answers of 100 of 100 cases ('answer case-000' of case-000"
    assert f"ALLOWED: suite suite: {found}" in capsys.readouterr().out
    command = ["gate", "--responses", bank.answers(95), "--suite", bank.suite, "--run", "out", "--report", "r.html"]
    assert main(command) == 0
    [gate] = read_run(Path("out")).gates.values()
    assert gate.terms["allowed"]["told_answers"].startswith("generate.system: reveals the answers of 100 of 100")
    assert gate.registered.allowed == gate.terms["allowed"]
    assert "allowed: told_answers: generate.system: reveals" in Path("r.html").read_text()


def test_an_answer_with_a_semicolon_is_on_record_whole(tmp_path: Path) -> None:
    rows = [{"id": n, "prompt": f"Which sign has case {n}?", "reference": f"sign {n}; rare"} for n in range(30)]
    with pytest.raises(ConfigError, match="'sign 1; rare' of 1"):
        load(tmp_path, rows, "\n".join(f"Q: {row['prompt']}\nA: {row['reference']}" for row in rows[1:]))
    with (tmp_path / "s.yaml").open("a") as file:
        file.write("allow: [told_answers]\n")
    [found] = load_suite(tmp_path / "s.yaml", build_check).allowed.values()
    assert "'sign 1; rare' of 1" in found
    assert found.endswith("which any model would pass")


def test_a_warning_is_told_with_stored_answers_and_is_on_record_and_in_the_report(
    make_bank: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = "Answer with one of these: " + ", ".join(f"answer case-{n:03d}" for n in range(100))
    bank = make_bank(generate=json.dumps({"system": named}))
    command = ["gate", "--responses", bank.answers(95), "--suite", bank.suite, "--run", "out", "--report", "r.html"]
    assert main(command) == 0
    warning = "generate.system: names the answers of 100 of 100 cases"
    assert f"tunegate gate: {warning}" in capsys.readouterr().err
    [gate] = read_run(Path("out")).gates.values()
    [remark] = gate.registered.remarks
    assert remark.startswith(warning)
    assert f"note: {warning}" in Path("r.html").read_text()


def test_a_suite_that_allows_nothing_keeps_its_hash_and_its_terms(tmp_path: Path) -> None:
    plain = load(tmp_path, SYMBOLS)
    with (tmp_path / "s.yaml").open("a") as file:
        file.write("allow: [told_answers]\n")
    allowing = load_suite(tmp_path / "s.yaml", build_check)
    assert allowing.allowed == {"told_answers": "no findings in the suite's own texts"}
    assert allowing.sha256 != plain.sha256
    assert "allowed" not in plain.terms(plain.plan, curtail=False).to_json()


@pytest.mark.parametrize("told", KEYS)
def test_a_system_message_that_tells_the_answers_is_refused(told: str, tmp_path: Path) -> None:
    rows, system = KEYS[told]
    with pytest.raises(ConfigError, match=r"s\.yaml:4: generate\.system: reveals the answers of \d+ of 40 cases"):
        load(tmp_path, rows, system)
    before = chats(rows, turn("system", system))
    with pytest.raises(ConfigError, match=r"cases\.messages: reveals"):
        load(tmp_path, before)
    template = json.dumps(system.replace("{", "").replace("}", "") + "\n{prompt}")
    with pytest.raises(ConfigError, match=r"cases\.prompt: reveals"):
        load(tmp_path, rows, cases=f"{{path: cases.jsonl, prompt: {template}}}")


def test_turns_before_the_question_that_answer_it_are_refused(tmp_path: Path) -> None:
    asked = [turn("user", row["prompt"]) for row in PATTERNS]
    shown = [
        {**row, "messages": [ask, turn("assistant", row["reference"]), ask]}
        for ask, row in zip(asked, PATTERNS, strict=True)
    ]
    with pytest.raises(ConfigError, match=r"cases\.messages: reveals the answers of 1 of 1 cases"):
        load(tmp_path, shown)
    shots = [turn(*pair) for row in SYMBOLS[:8] for pair in (("user", row["prompt"]), ("assistant", row["reference"]))]
    with pytest.raises(ConfigError, match=r"cases\.messages: reveals the answers of 8 of 40 cases"):
        load(tmp_path, chats(SYMBOLS, *shots))


@pytest.mark.parametrize("place", ["before", "behind"])
def test_questions_that_all_prompts_answer_are_refused(place: str, tmp_path: Path) -> None:
    shots = "\n".join(f"{row['prompt']}\n{row['reference']}" for row in PATTERNS[:3])
    told = [
        {
            **row,
            "prompt": f"{shots}\n\n{row['prompt']}" if place == "before" else f"{row['prompt']}\n\nThink of\n{shots}",
        }
        for row in PATTERNS
    ]
    with pytest.raises(ConfigError, match=r"cases.*: every prompt reveals the answers of 3 of 40 cases"):
        load(tmp_path, told)
    others = [{**row, "prompt": f"How is OTHER passed on?\ndominant\n\n{row['prompt']}"} for row in PATTERNS]
    load(tmp_path, others)
    document = "All that is known: " + " ".join(f"{gene} is {kind}." for gene, kind in ANSWERS.items())
    load(tmp_path, [{**row, "prompt": f"{document}\n\n{row['prompt']}"} for row in PATTERNS])  # there to be read


PATIENTS = {
    "hematology": ("Bleeding gums for weeks", "Low iron and anemia", "A clot in the leg", "Bruises without a cause"),
    "cardiology": (
        "Chest pain when climbing stairs",
        "Pulse of 140 at rest",
        "High blood pressure since May",
        "Palpitations at night",
    ),
    "neurology": ("Sudden numbness of one arm", "Headache with aura", "First seizure at 40", "Tremor of both hands"),
    "dermatology": ("Itchy rash on the back", "A mole that grows", "Acne at 30", "Dry patches on elbows"),
    "orthopedics": (
        "Knee gives way",
        "Fracture of the wrist",
        "Stiff joints each morning",
        "Shoulder pain after tennis",
    ),
}
LETTERS = [
    {"id": f"{label}-{n}", "prompt": asked, "reference": label}
    for label, letters in PATIENTS.items()
    for n, asked in enumerate(letters)
]
"""Questions in people's own words, whose classes are about what they say."""
TREATED = {
    "hematology": "blood, anemia, clotting, bleeding",
    "cardiology": "heart, pulse, chest pain, blood pressure",
    "neurology": "brain, headache, seizure, stroke, numbness",
    "dermatology": "skin, rash, moles, itching, acne",
    "orthopedics": "bones, joints, knee, back, fracture",
}
SKEWED = [
    {"id": f"{n}-{m}", "prompt": f"Intent of the request {n} {m}?", "reference": f"intent_{n}"}
    for n in range(27)
    for m in range(max(1, 10 - n))
]

HONEST = {
    "classes by what they are about": (LETTERS, "\n".join(f"{label}: {about}" for label, about in TREATED.items())),
    "classes in sentences": (LETTERS, " ".join(f"{label} treats {about}." for label, about in TREATED.items())),
    "many rare classes": (SKEWED, "Answer with one of these: " + ", ".join(f"intent_{n}" for n in range(27))),
    "the classes": (PATTERNS, "Answer dominant, recessive or not inherited."),
    "the classes, a line each": (PATTERNS, "Answer with one of:\n- dominant\n- recessive\n- not inherited\n"),
    "a rule": (PATTERNS, "If one copy is enough, say dominant. If two are, say recessive.\nElse: not inherited"),
    "two examples of the form": (SYMBOLS, "Answer with the symbol of the gene alone, such as GENE3 or GENE7."),
    "examples that are no cases": (PATTERNS, "\n".join(f"How is OTHER{n} passed on? dominant" for n in range(40))),
    "many small classes": (
        [{"id": n, "prompt": f"Intent of the request {n}?", "reference": f"intent_{n % 50}"} for n in range(100)],
        "Answer with one of these: " + ", ".join(f"intent_{n}" for n in range(50)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("told", HONEST)
def test_what_gives_no_case_away_may_be_told(told: str, tmp_path: Path) -> None:
    rows, system = HONEST[told]
    load(tmp_path, rows, system)
    load(tmp_path, chats(rows, turn("system", system)))


def test_a_huge_bank_is_searched() -> None:
    cases = [Case(f"c{n}", f"Which is number {n}?", (f"answer {n}",)) for n in range(20_000)]
    assert told_by("The answer is a word. " * 2_500, cases) == {}


def test_a_text_for_its_own_question_is_there_to_be_read(tmp_path: Path) -> None:
    read = [
        {**row, "messages": [turn("system", f"It was {row['reference']}, they say."), turn("user", row["prompt"])]}
        for row in SYMBOLS
    ]
    load(tmp_path, read)
    said = [(turn("user", row["prompt"]), turn("assistant", row["reference"])) for row in SYMBOLS]
    talks = [{**row, "messages": [*chain.from_iterable(said[:n]), said[n][0]]} for n, row in enumerate(SYMBOLS)]
    load(tmp_path, talks)  # each case is asked alone: what another one's dialogue says, no model is told


def test_check_says_where_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(tmp_path, SYMBOLS)
    with (tmp_path / "s.yaml").open("a") as file:
        key = " ".join(f"{row['prompt']} {row['reference']}" for row in SYMBOLS)
        file.write(f"generate: {{system: '{key}'}}\n")
    assert main(["check", str(tmp_path / "s.yaml")]) == 2
    assert "generate.system: reveals the answers of 40 of 40 cases ('GENE0' of c0, 'GENE1'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["gate", "run"])
def test_the_system_message_stands_in_the_report(command: str, make_bank: Any, tmp_path: Path) -> None:
    if command == "gate":
        bank = make_bank(generate="{system: Be very brief.}")
        assert main(["gate", "--responses", bank.answers(95), "--suite", bank.suite, "--report", "r.html"]) == 0
        page = Path("r.html").read_text()
    else:
        text = PIPELINE.replace("style: {", "style: {generate: {system: Be very brief.}, ")
        run = carry_out(write_pipeline(tmp_path / "project", text))
        write_html(run, tmp_path / "r.html")
        page = (tmp_path / "r.html").read_text()
    assert "Be very brief." in page


def test_the_system_message_is_part_of_the_hash(tmp_path: Path) -> None:
    hashes = {load(tmp_path, SYMBOLS, system).sha256 for system in (None, "", "Be brief.", "Be brief")}
    assert len(hashes) == 4
