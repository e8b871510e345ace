"""Suites: rows become cases as the file says, what could go wrong is refused by name, and the hash covers it all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tunegate.cases.bank import draw
from tunegate.cases.case import question_of
from tunegate.cases.cases_spec import CasesSpec
from tunegate.cases.from_rows import load_cases
from tunegate.exceptions import ConfigError
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

ROW = {"id": "a", "prompt": "Why?", "reference": "Because"}


def cases(folder: Path, *rows: object, **spec: Any) -> tuple[Any, ...]:
    write_jsonl(folder / "cases.jsonl", rows)
    return load_cases(CasesSpec(path="cases.jsonl", **spec), folder)


def suite(folder: Path, text: str, *rows: object) -> Suite:
    write_jsonl(folder / "cases.jsonl", rows or [ROW])
    (folder / "suite.yaml").write_text(text, encoding="utf-8")
    return load_suite(folder / "suite.yaml", build_check)


RULED = "cases: cases.jsonl\nchecks: [exact]\nplan: "
SMALL = "cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 1, accept: 1}\n"


# --- rows to cases -------------------------------------------------------------------------------------------------


def test_rows_with_a_cases_own_names_need_no_templates(tmp_path: Path) -> None:
    row = {**ROW, "context": "c", "choices": ["x", "y"], "tags": ["t", 1], "group": 7, "more": None}
    [case] = cases(tmp_path, row)
    assert (case.id, case.prompt, case.references, case.context) == ("a", "Why?", ("Because",), "c")
    assert (case.choices, case.tags, case.group, case.fields) == (("x", "y"), ("t", "1"), "7", row)


def test_templates_take_rows_as_they_are(tmp_path: Path) -> None:
    row = {"doc": "d1", "n": 4, "q": "Who?", "text": "Long.", "answers": ["I", "me"], "task": "names", "bad": False}
    [case] = cases(
        tmp_path,
        row,
        id="{doc}-{n}",
        prompt="{text}\n\n{q}",
        reference="{answers}",
        context="{text}",
        tags=["task", "bad"],
        group="{doc}",
    )
    assert (case.id, case.prompt, case.references) == ("d1-4", "Long.\n\nWho?", ("I", "me"))
    assert (case.context, case.tags, case.group) == ("Long.", ("task=names", "bad=false"), "d1")


def test_chat_messages_are_a_prompt(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    [case] = cases(tmp_path, {"id": 1, "messages": chat, "reference": "x"})
    assert case.prompt == tuple(chat)
    assert case.prompt_text == "Be brief.\n\nWhy?"
    [case] = cases(tmp_path, {"id": 1, "turns": chat}, messages="turns")
    assert case.prompt == tuple(chat)


@pytest.mark.parametrize(
    ("row", "spec", "message"),
    [
        ({"prompt": "?"}, {"id": "{id}"}, "cases.jsonl:1: the row has no field 'id' (known: prompt); every case needs"),
        ({"id": "a"}, {}, "cases.jsonl:1: the row has no field 'prompt'"),
        ({"id": " ", "prompt": "?"}, {}, "cases.jsonl:1: the id is empty"),
        ({"id": None, "prompt": "?"}, {}, "cases.jsonl:1: the field 'id': a text was expected, got null"),
        ({"id": "\ud800", "prompt": "?"}, {}, "cases.jsonl:1: the field 'id' contains half a character"),
        ({"id": "a", "prompt": "cut \ud83d"}, {}, "half a character"),
        ({"id": "a", "messages": [{"role": "user", "content": "\ud83d"}]}, {}, "half a character"),
        (ROW, {"prompt": "{promt}"}, "no field 'promt' (did you mean 'prompt'"),
        (ROW, {"reference": ["{reference}", "{other}"]}, "no field 'other'"),
        (ROW, {"tags": ["{reference}"]}, "no field '{reference}' (did you mean 'reference'"),
        (ROW, {"messages": "turns"}, "no field 'turns'"),
        ({"id": "a", "messages": []}, {}, "messages: a list of chat messages was expected"),
        ({"id": "a", "messages": "hi"}, {}, "a list of chat messages was expected"),
        ({"id": "a", "messages": [{"role": "robot", "content": "x"}]}, {}, "a message {role: system|user|assistant"),
        ({"id": "a", "messages": [{"role": "user"}]}, {}, "a message {role:"),
        (ROW, {"where": {"split": "dev"}}, "`where` names the field 'split'"),
        (ROW, {"where": {"id": "b"}}, "no row is left after `where"),
    ],
)
def test_rows_that_do_not_fit_are_named(tmp_path: Path, row: object, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        cases(tmp_path, row, **spec)
    assert message in str(raised.value)


def test_duplicated_ids_are_refused_also_as_number_and_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cases\.jsonl:3: the id '1' is duplicated, first on line 1"):
        cases(tmp_path, {"id": 1, "prompt": "a"}, {"id": 2, "prompt": "b"}, {"id": "1", "prompt": "c"})


def test_where_keeps_the_rows_with_these_values(tmp_path: Path) -> None:
    rows = [{"id": n, "prompt": "?", "split": "dev" if n % 2 else "test"} for n in range(6)]
    assert [case.id for case in cases(tmp_path, *rows, where={"split": "dev"})] == ["1", "3", "5"]


# --- the suite file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL + "test: 5\n", "suite.yaml:4: test: unknown key"),
        ("cases: cases.jsonl\nasert: [exact]\n", "suite.yaml:2: asert: unknown key"),
        ("cases: cases.jsonl\ncheks: [exact]\n", "suite.yaml:2: cheks: unknown key (did you mean 'checks'"),
        ("cases: cases.jsonl\nchecks: [exact]\nplan: {acept: 1}\n", "plan.acept: unknown key (did you mean 'accept'"),
        ("cases: {path: cases.jsonl, refrence: x}\nchecks: [exact]\n", "unknown key (did you mean 'reference'"),
        ("checks: [exact]\n", "suite.yaml:1: cases: this key is required"),
        ("cases: cases.jsonl\n", "checks: this key is required"),
        ("cases: cases.jsonl\nchecks: []\n", "suite.yaml:2: checks: "),
        ("cases: cases.jsonl\nchecks:\n", "suite.yaml:2: checks: "),
        ("cases: cases.jsonl\nchecks: [exakt]\n", "suite.yaml:2: checks[0]: check 'exakt': unknown check"),
        ("cases: cases.jsonl\nchecks: [{exact: {normalise: true}}]\n", "(did you mean 'normalize'"),
        (
            "cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 10, accept: 11}\n",
            "expected accept to be at most draw (10), got 11",
        ),
        ("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 10, accept: 0}\n", "suite.yaml:3: plan.accept: "),
        ("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 0, accept: 0}\n", "suite.yaml:3: plan.draw: "),
        ("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 1, accept: 0.9}\n", "suite.yaml:3: plan.accept: "),
        ("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 1, accept: true}\n", "suite.yaml:3: plan.accept: "),
        ("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: '1', accept: 1}\n", "suite.yaml:3: plan.draw: "),
        (RULED + "{risk: {}, confirm: {draw: 20, accept: 20}}\n", "suite.yaml:3: plan: a single plan computes"),
        (RULED + "{risk: {}, accept: 90}\n", "suite.yaml:3: plan: give `accept` or `risk`"),
        (RULED + "{kind: double, risk: {}, confirm: {draw: 20, accept: 20}}\n", "suite.yaml:3: plan: give the accept"),
        (SMALL + "gap: {between: [a, a]}\n", "suite.yaml:4: gap.between: expected different tags, got ['a', 'a']"),
        (SMALL + "generate: {temperature: .inf}\n", "suite.yaml:4: generate.temperature: "),
        (SMALL + "generate: {temperature: -1}\n", "suite.yaml:4: generate.temperature: "),
        (SMALL + "name: ../x\n", "suite.yaml:4: name: "),
        ("cases: {path: cases.jsonl, prompt: '{prompt', id: x}\nchecks: [exact]\n", "a literal brace"),
        ("cases: {path: cases.jsonl, prompt: '{a!r}'}\nchecks: [exact]\n", "only plain fields"),
        ("cases: {path: cases.jsonl, prompt: '{x}', messages: y}\nchecks: [exact]\n", "not both"),
        ("cases: {path: cases.jsonl, prompt: '{x}'}\nchecks: [exact]\n", "suite.yaml:1: cases: "),
        ("checks: [exact]\ncases: nowhere.jsonl\n", "suite.yaml:2: cases.path: "),
        ("cases: nowhere.jsonl\nchecks: [exact]\n", "nowhere.jsonl: no such file"),
        ("cases: ~nobody-here/x.jsonl\nchecks: [exact]\n", "~nobody-here/x.jsonl: "),
        ("cases: package:nothing_here/x.jsonl\nchecks: [exact]\n", "'nothing_here' is not installed"),
        ("cases: package:json.tool/x.jsonl\nchecks: [exact]\n", "is not installed"),
        ("cases: 'package:'\nchecks: [exact]\n", "is not installed"),
        ("- a list\n", "suite.yaml:1: a mapping of keys to values was expected, got a list"),
        ("just text\n", "a mapping of keys to values was expected"),
        ("1: 2\n", "suite.yaml:1: 1: unknown key"),
    ],
)  # fmt: skip
def test_faults_of_a_suite_file(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        suite(tmp_path, text)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_bank_smaller_than_the_plan_is_refused(tmp_path: Path) -> None:
    rows = [{"id": n, "prompt": f"{n}?", "reference": "x"} for n in range(99)]
    with pytest.raises(ConfigError, match=r"suite\.yaml:1: cases: the bank has 99 cases, but the plan draws 100"):
        suite(tmp_path, "cases: cases.jsonl\nchecks: [exact]\n", *rows)


def test_a_test_under_two_ids_fills_no_bank(tmp_path: Path) -> None:
    rows = [{"id": n, "prompt": f"{n % 60}?", "reference": "x"} for n in range(100)]
    fault = r"60 distinct tests \(100 cases, but '0', '60' are the same test\), but the plan draws 100; add cases"
    with pytest.raises(ConfigError, match=fault):
        suite(tmp_path, "cases: cases.jsonl\nchecks: [exact]\n", *rows)


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        (
            "gap: {between: [sex=f, sex=m]}",
            "gap: at least 40 cases of sex=f, sex=m must be drawn, but the plan draws 30",
        ),
        ("gap: {between: [sex=f, sex=m], at_least: 15}", None),
        ("slices: {sex=f: {min: 0.8, at_least: 20}, sex=m: {min: 0.8, at_least: 11}}", "slices: at least 31 cases of"),
        ("slices: {sex=f: {min: 0.8, at_least: 31}}", "slices: at least 31 cases of sex=f must be drawn"),
        ("slices: {sex=f: {min: 0.8, at_least: 20}, all: {min: 0.8, at_least: 30}}", None),  # a case may carry both
        ("slices: {x=1: {min: 0.8, at_least: 20}, x=2: {min: 0.8, at_least: 20}}", None),
    ],
)
def test_no_more_is_asked_of_a_draw_than_it_can_hold(tmp_path: Path, rules: str, fault: str | None) -> None:
    rows = [
        {"id": n, "prompt": f"{n}?", "reference": "x", "tags": [f"sex={'fm'[n % 2]}", "all", "x=1", "x=2"]}
        for n in range(100)
    ]
    text = f"cases: cases.jsonl\nchecks: [exact]\nplan: {{draw: 30, accept: 27, confirm: never}}\n{rules}\n"
    if fault is None:
        suite(tmp_path, text, *rows)
        return
    with pytest.raises(ConfigError, match=f"suite.yaml:4: {fault}"):
        suite(tmp_path, text, *rows)


def test_90_of_100_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    rows = [{"id": n, "prompt": f"{n}?", "reference": "x"} for n in range(100)]
    loaded = suite(tmp_path, "cases: cases.jsonl\nchecks: [exact]\n", *rows)
    assert (loaded.plan.draw, loaded.plan.accept, loaded.name) == (100, 90, "suite")
    assert (loaded.settings.temperature, loaded.settings.max_new_tokens) == (0.0, 128)


def test_the_lowest_cap_on_an_error_category_counts(tmp_path: Path) -> None:
    pytest.importorskip("py3langid")
    checks = "checks: [{errors: {max: {empty: 5, too_long: 1}}}, {errors: {max: {empty: 2}}}]\n"
    rows = [{"id": n, "prompt": f"{n}?"} for n in range(3)]
    loaded = suite(tmp_path, "cases: cases.jsonl\n" + checks + "plan: {draw: 3, accept: 1}\n", *rows)
    assert loaded.max_errors == {"empty": 2, "too_long": 1}
    assert loaded.check_names == ["errors", "errors#2"]


# --- drawing and hashing -------------------------------------------------------------------------------------------


def bank(folder: Path, n: int) -> Suite:
    return suite(folder, SMALL, *({"id": str(i), "prompt": f"{i}?", "reference": "x"} for i in range(n)))


def test_later_draws_are_fresh_and_together_make_the_bank(tmp_path: Path) -> None:
    loaded = bank(tmp_path, 25)
    used: frozenset[str] = frozenset()
    sizes: list[int] = []
    for _ in range(4):
        drawn = draw(loaded.cases, 10, seed=3, used=used)
        assert not used.intersection(map(question_of, drawn))
        used |= set(map(question_of, drawn))
        sizes.append(len(drawn))
    assert sizes == [10, 10, 5, 0]
    assert draw(loaded.cases, 10, seed=3) == draw(loaded.cases, 10, seed=3) != draw(loaded.cases, 10, seed=4)


def test_the_hash_covers_whatever_can_change_a_verdict(tmp_path: Path) -> None:
    (tmp_path / "metric.py").write_text("def m(case, text):\n    return True\n")
    other = {**ROW, "id": "b", "prompt": "How?"}
    base = suite(tmp_path, SMALL, ROW, other).sha256
    assert suite(tmp_path, SMALL, other, ROW).sha256 == base  # the order of the rows cannot
    assert suite(tmp_path, "name: renamed\n" + SMALL, ROW, other).sha256 == base
    changed = [
        suite(tmp_path, SMALL, ROW),
        suite(tmp_path, SMALL, ROW, {**other, "reference": "Because "}),
        suite(tmp_path, SMALL, ROW, {**other, "prompt": "why?"}),
        suite(tmp_path, SMALL, ROW, {**other, "note": "a field that a metric may read"}),
        suite(tmp_path, SMALL, ROW, {**other, "note": "a \ud800"}),
        suite(tmp_path, SMALL, ROW, {**other, "note": "a \ud801"}),
        suite(tmp_path, SMALL.replace("exact", "{exact: {normalize: false}}"), ROW, other),
        suite(tmp_path, SMALL.replace("exact", "exact, contains"), ROW, other),
        suite(tmp_path, SMALL.replace("draw: 1", "draw: 2"), ROW, other),
        suite(tmp_path, SMALL + "generate: {max_new_tokens: 5}\n", ROW, other),
        suite(tmp_path, SMALL + "generate: {system: Be brief.}\n", ROW, other),
        suite(tmp_path, SMALL.replace("exact", "python: metric:m"), ROW, other),
    ]
    hashes = [base, *(one.sha256 for one in changed)]
    assert len(set(hashes)) == len(hashes)


def test_the_hash_does_not_depend_on_where_the_suite_lies(tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    assert suite(tmp_path / "here", SMALL).sha256 == suite(tmp_path / "there", SMALL).sha256


def test_the_same_rows_as_json_are_the_same_suite(tmp_path: Path) -> None:
    (tmp_path / "cases.json").write_text(json.dumps([ROW]))
    assert suite(tmp_path, SMALL).sha256 == suite(tmp_path, SMALL.replace("jsonl", "json")).sha256
