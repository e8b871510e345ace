"""Rows to cases: ids, choices, and what `check` says of cases that no model could be judged by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bank import write_jsonl
from tunegate.cases.case import Case
from tunegate.cases.cases_spec import CasesSpec
from tunegate.cases.from_rows import content_id, load_cases
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.reading.chats import Message
from tunegate.suites.case_faults import contradictions, listed_in_text
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check


def cases(folder: Path, *rows: object, **spec: Any) -> tuple[Case, ...]:
    write_jsonl(folder / "cases.jsonl", rows)
    return load_cases(CasesSpec(path="cases.jsonl", **spec), folder)


def suite(folder: Path, checks: str, *rows: object, more: str = "", path: str = "cases.jsonl") -> Suite:
    write_jsonl(folder / "cases.jsonl", rows)
    text = f"cases: {{path: {path}}}\nchecks: [{checks}]\nplan: {{draw: 1, accept: 1}}\n{more}"
    (folder / "s.yaml").write_text(text, encoding="utf-8")
    return load_suite(folder / "s.yaml", build_check)


# --- ids -----------------------------------------------------------------------------------------------------------


def test_without_an_id_a_case_is_known_by_what_it_asks_and_expects(tmp_path: Path) -> None:
    rows = [{"prompt": "a?", "reference": "x"}, {"prompt": "b?", "reference": "x", "note": 1}]
    one, two = cases(tmp_path, *rows)
    assert len(one.id) == len(two.id) == 12
    assert [case.id for case in cases(tmp_path, *rows[::-1])] == [two.id, one.id]
    [same] = cases(tmp_path, {**rows[0], "tags": ["t"], "group": "g"})
    assert same.id == one.id == content_id(one)
    others = [{"prompt": "A?", "reference": "x"}, {"prompt": "a?", "reference": "y"}, {**rows[0], "context": "c"}]
    others += [{**rows[0], "choices": ["x", "y"]}, {"messages": [{"role": "user", "content": "a?"}], "reference": "x"}]
    assert len({one.id, *(case.id for row in others for case in cases(tmp_path, row))}) == 6


def test_one_test_in_several_rows_gets_several_ids_and_counts_once(tmp_path: Path) -> None:
    rows = [{"prompt": "a?", "reference": "x"}] * 3 + [{"prompt": "b?", "reference": "x"}]
    ids = [case.id for case in cases(tmp_path, *rows)]
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3", ids[3]]
    assert suite(tmp_path, "exact", *rows).bank.distinct("working") == 2


def test_ids_in_some_rows_only_and_ids_that_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cases\.jsonl:2: the row has no field 'id', but 2 other rows have one"):
        cases(tmp_path, {"id": 1, "prompt": "a?"}, {"prompt": "b?"}, {"id": 3, "prompt": "c?"})
    with pytest.raises(ConfigError, match=r"cases\.jsonl:1: the row has no field 'id'.*every case needs an id"):
        cases(tmp_path, {"prompt": "a?"}, id="{id}")
    [case] = cases(tmp_path, {"prompt": "a?", "id": 7})
    assert case.id == "7"


@given(st.text(), st.text(), st.lists(st.text(), max_size=2), st.lists(st.text(), max_size=2))
def test_any_content_has_an_id_and_no_other_content_has_it(
    prompt: str, context: str, references: list[str], choices: list[str]
) -> None:
    def case(prompt: str, references: list[str], choices: list[str]) -> Case:
        return Case("", prompt, tuple(references), context, tuple(choices))

    own = content_id(case(prompt, references, choices))
    assert own == content_id(case(prompt, references, choices))
    assert own != content_id(case(prompt + "x", references, choices))
    assert own != content_id(case(prompt, [*references, "x"], choices))
    assert (own == content_id(case(prompt, choices, references))) == (references == choices)


# --- choices -------------------------------------------------------------------------------------------------------

TEXTS = ("x", "y", "z")


@pytest.mark.parametrize(
    ("choices", "key", "references"),
    [
        ({"text": ["x", "y", "z"], "label": ["1", "2", "3"]}, "2", ("y", "2")),
        ({"text": ["x", "y", "z"], "label": ["A", "B", "C"]}, "A", ("x", "A")),
        ({"text": ["x", "y", "z"], "label": [1, 2, 3]}, 3, ("z", "3")),
        ([{"label": "A", "text": "x"}, {"label": "B", "text": "y"}, {"label": "C", "text": "z"}], "C", ("z", "C")),
        ([{"text": "x"}, {"text": "y"}, {"text": "z"}], "y", ("y",)),
        ({"text": ["x", "y", "z"]}, "B", ("B",)),
        (["x", "y", "z"], "B", ("B",)),
        ("['x', 'y', 'z']", "B", ("B",)),
        ("['x' 'y'\n 'z']", "B", ("B",)),
        ('["x", "y", "z"]', "B", ("B",)),
        ('{"text": ["x", "y", "z"], "label": ["1", "2", "3"]}', "1", ("x", "1")),
        ("{'text': ['x', 'y', 'z'], 'label': ['A', 'B', 'C']}", "B", ("y", "B")),
        ({"A": "x", "B": "y", "C": "z"}, "B", ("y", "B")),
        ({"1": "x", "2": "y", "3": "z"}, 3, ("z", "3")),
        ({"0": "x", "1": "y", "2": "z"}, 0, ("x", "0")),
        ({"c": "z", "a": "x", "b": "y"}, "c", ("z", "c")),
        ({"A": "x", "B": "y", "C": "z", "D": None, "E": None}, "C", ("z", "C")),
        ("{'A': 'x', 'B': 'y', 'C': 'z'}", "B", ("y", "B")),
    ],
)
def test_choices_in_every_form(tmp_path: Path, choices: object, key: object, references: tuple[str, ...]) -> None:
    for spec in ({}, {"choices": "{choices}"}):
        [case] = cases(tmp_path, {"id": 1, "prompt": "?", "choices": choices, "reference": key}, **spec)
        assert (case.choices, case.references) == (TEXTS, references)
    [case] = cases(tmp_path, {"id": 1, "prompt": "?", "q": {"c": choices}, "reference": key}, choices="{q.c}")
    assert (case.choices, case.references) == (TEXTS, references)


def test_a_label_that_is_the_text_of_another_choice_is_no_reference(tmp_path: Path) -> None:
    row = {"id": 1, "prompt": "?", "choices": {"text": ["B", "A"], "label": ["A", "B"]}, "reference": "A"}
    assert cases(tmp_path, row)[0].references == ("B",)  # answering "A" would be wrong


@pytest.mark.parametrize("blank", ["", " ", None])
def test_blank_columns_at_the_end_are_no_choices(tmp_path: Path, blank: object) -> None:
    row = {"id": 1, "prompt": "?", "A": "x", "B": "y", "C": blank, "D": blank, "reference": "B"}
    columns = ["{A}", "{B}", "{C}", "{D}"]
    assert cases(tmp_path, row, choices=columns)[0].choices == ("x", "y")
    with pytest.raises(ConfigError, match=r"cases\.jsonl:1: choices: choice 3 is blank but a later choice is not"):
        cases(tmp_path, {**row, "D": "w"}, choices=columns)


def test_tags_that_nobody_gave_are_none(tmp_path: Path) -> None:
    row = {"id": 1, "prompt": "?", "reference": "x"}
    assert cases(tmp_path, {**row, "tags": None})[0].tags == ()
    assert cases(tmp_path, {**row, "topic": ""}, tags=["topic"])[0].tags == ()
    (tmp_path / "c.csv").write_text("prompt,reference,tags\na,x,\"['p', 'q']\"\nb,y,\nc,z,p\n")
    read = load_cases(CasesSpec(path="c.csv"), tmp_path)
    assert [case.tags for case in read] == [("p", "q"), (), ("p",)]


def test_a_cell_of_references_may_list_numbers(tmp_path: Path) -> None:
    """One of `reference` may be the one answer that is a list."""
    (tmp_path / "c.csv").write_text('prompt,references,reference\na,"[42, 43]","[42, 43]"\n')
    assert load_cases(CasesSpec(path="c.csv"), tmp_path)[0].references == ("42", "43")
    assert load_cases(CasesSpec(path="c.csv", reference=["{reference}"]), tmp_path)[0].references == ("[42, 43]",)


def test_choices_and_their_separator(tmp_path: Path) -> None:
    row = {"id": 1, "prompt": "?", "choices": "x| y |z", "reference": "y"}
    [case] = cases(tmp_path, row, separator="|")
    assert case.choices == TEXTS
    _, case = cases(tmp_path, row, {**row, "id": 2, "choices": ["a|b", "c"]}, separator="|")
    assert case.choices == ("a|b", "c")  # a list is a list already


def test_a_separator_that_separates_nothing_is_refused(tmp_path: Path) -> None:
    row = {"id": 1, "prompt": "a;b?", "context": "a;b"}
    for reference in ("x", ["a;b", "c"], ["a;b"]):
        with pytest.raises(ConfigError, match="separator: ';' is in no reference and no choice; leave it out"):
            cases(tmp_path, {**row, "reference": reference}, separator=";")
    assert cases(tmp_path, {**row, "reference": "x;"}, separator=";")[0].references == ("x",)


@pytest.mark.parametrize("choices", [["x"], "x", "array(['x', 'y'])", {"text": ["x"]}, "[]"])
def test_a_single_choice_is_refused_where_one_is_chosen(tmp_path: Path, choices: object) -> None:
    rows = [{"id": n, "prompt": f"{n}?", "choices": choices, "reference": "x"} for n in range(2)]
    rows.append({"id": 2, "prompt": "c?", "choices": ["x", "y"], "reference": "x"})
    with pytest.raises(
        ConfigError, match=r"s\.yaml:1: cases: .*2 of 3 cases \(first '0'\) have only 1 choice, .*choice needs"
    ):
        suite(tmp_path, "choice", *rows)
    suite(tmp_path, "exact", *rows)
    suite(tmp_path, "perplexity: {max: 100}", *rows)  # scores a text that is no choice


def test_a_blank_choice_in_a_list_is_refused_where_one_is_chosen(tmp_path: Path) -> None:
    """Nothing at all is the likeliest text, so a model would choose it each time."""
    rows = [{"id": 1, "prompt": "a?", "choices": ["x", " ", "y"], "reference": "x"}]
    with pytest.raises(ConfigError, match=r"1 of 1 cases \(first '1'\) has a blank choice; fill it in"):
        suite(tmp_path, "choice", *rows)
    suite(tmp_path, "exact", *rows)


def test_a_text_to_be_scored_may_look_like_anything(tmp_path: Path) -> None:
    for text in ('[{"a": 1}]', "[1]", "{}", '{"a": "b"}', "[[1, 2], [3]]", '["a"]', "[", "{'a': 1}"):
        [case] = cases(tmp_path, {"id": 1, "prompt": "", "t": text}, choices="{t}")
        assert case.choices == (text,)


# --- blank prompts, contradictions, lists in one text --------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": " \n\t"},
        {"prompt": ""},
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " "}]},
        {"prompt": [{"role": "user", "content": ""}]},
    ],
)
def test_a_blank_prompt_is_refused_where_an_answer_is_wanted(tmp_path: Path, row: dict[str, Any]) -> None:
    rows = [{"id": 0, "prompt": "a?", "reference": "x"}, {"id": 1, **row, "reference": "x", "choices": ["x", "y"]}]
    with pytest.raises(ConfigError, match=r"s\.yaml:1: cases: .*1 of 2 cases \(first '1'\) has a blank prompt"):
        suite(tmp_path, "exact", *rows)
    suite(tmp_path, "choice", *({**one, "choices": ["x", "y"]} for one in rows))


def test_contradictions_are_named_in_pairs() -> None:
    chat = (Message(role="user", content="Why?"),)
    bank = [
        Case("a", "Why?", ("x",)),
        Case("b", "why? ", ("y", "z")),
        Case("c", "Why?", ("X ", "q")),
        Case("d", "Why?", ("y",), "context"),
        Case("e", "Why?", ("B",), choices=("1", "2")),
        Case("f", "Why?", ("A",), choices=("2", "1")),
        Case("g", "Why?"),
        Case("h", chat, ("w",)),
    ]
    assert [(one.id, other.id) for one, other in contradictions(bank)] == [("a", "b"), ("a", "h")]


@pytest.mark.parametrize(
    ("text", "found"),
    [("BLM; RECQL3", True), ("a|b", True), ("['a', 'b']", True), ("BLM", False), ("x;", False), ("[1]", False),
     ("First we wash the rice well; then we boil it.", False), ("Use `a || b` where neither may be nought", False)],
)  # fmt: skip
def test_references_that_look_like_several(text: str, found: bool) -> None:
    assert listed_in_text([Case("a", "?", (text,)), Case("b", "?", (text, "x"))]) == (["a"] if found else [])


def test_check_tells_of_contradictions_and_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": n, "prompt": "Why?", "reference": f"r{n}"} for n in (1, 2)]
    suite(tmp_path, "exact", *rows, {"id": 3, "prompt": "How?", "reference": "a; b"})
    assert main(["check", str(tmp_path / "s.yaml")]) == 0
    shown = capsys.readouterr().out
    assert "note: suite s: 1 pair of cases ask the same question but share no reference, so no model" in shown
    assert "pass both: 1 and 2" in shown
    assert "note: suite s: 1 reference may be several answers in one text, for example that of 3" in shown
    assert main(["check", "--json", str(tmp_path / "s.yaml")]) == 0
    facts = json.loads(capsys.readouterr().out)["suites"]["s"]
    assert (facts["contradictions"], facts["listed_in_text"]) == ([["1", "2"]], ["3"])


# --- settings that could not take effect ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (r"generate: {stop: ['\n']}", r"s.yaml:4: generate.stop[0]: '\\n' contains a backslash and the letter n"),
        (r"generate: {stop: '\n'}", "for a line break"),
        (r"generate: {stop: [x, 'Q:\tA']}", "for a tab"),
        (r"generate: {stop: ['\nuser']}", "for a line break"),
        ("generate: {stop: ['']}", "an empty string cannot end an answer"),
        (
            r"generate: {system: 'Be brief.\nBe kind.'}",
            "generate.system: 'Be brief.\\\\nBe kind.' contains a backslash",
        ),
    ],
)
def test_line_ends_that_yaml_does_not_read_as_such_are_refused(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        suite(tmp_path, "exact", {"id": 1, "prompt": "a?", "reference": "x"}, more=more)
    assert message in str(raised.value)


def test_line_ends_in_templates_and_separators(tmp_path: Path) -> None:
    row = {"id": 1, "prompt": "a?", "reference": "x"}
    for path, message in (
        (r"cases.jsonl, prompt: '{prompt}\n\nA:'", "cases.prompt"),
        (r"cases.jsonl, separator: '\n'", "cases.separator"),
    ):
        with pytest.raises(ConfigError, match=rf"{message}: .* contains a backslash and an n; for a line break, write"):
            suite(tmp_path, "exact", row, path=path)
    loaded = suite(
        tmp_path,
        "exact",
        row,
        more='generate: {stop: ["\\n", "\\\\end"]}',
        path=r"cases.jsonl, prompt: '{prompt} \nabla'",
    )
    assert loaded.settings.stop == ("\n", "\\end")
    assert loaded.cases[0].prompt == r"a? \nabla"
