"""`tunegate suite expand` and the check `contrast`: who passes groups, and who only passes plain facts."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.check_helpers import FAIL, INVALID, PASS
from tunegate.cases.case import Case
from tunegate.checks.check import judge
from tunegate.checks.outcome import Outcome
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.gates.ask import ask_samples
from tunegate.models.model import Response, ScriptedModel
from tunegate.reading.files import resolve
from tunegate.suites.places import suite_place
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check
from tunegate_suites.contrasts.changes import Setting, as_word, change
from tunegate_suites.contrasts.expand_file import expand_file
from tunegate_suites.contrasts.rules import ChangeSpec
from tunegate_suites.user_module import load_function

Capture = pytest.CaptureFixture[str]
N = 12

RULES = """
needs: [directional]
rules:
  - name: another gene
    kind: directional
    change: [{swap: {fields: [context, answer], value: "{answer}"}}]
  - name: in small letters
    kind: invariant
    change: [{casing: {fields: question}}]
  - name: rain
    kind: invariant
    change: [{insert: {fields: context, sentences: It rains., at: start}}]
  - name: plainest
    kind: minimum
    change: [{set: {context: "{answer} causes {condition}."}}]
"""
SUITE = """
cases:
  {path: facts.jsonl, id: "{id}", prompt: "{context} {question}", reference: "{answer}", tags: [kind], group: "{id}"}
checks: [exact]
plan: {draw: 12, accept: 11}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve facts, a suite that asks them, and rules that expand it."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "id": f"f{n}", "kind": "gene", "condition": f"disease {n}", "answer": f"GENE{n}X",
            "context": f"Mutations in GENE{n}X cause disease {n}. The gene is long.",
            "question": f"Which gene causes disease {n}?",
        }
        for n in range(N)
    ]  # fmt: skip
    write_jsonl(tmp_path / "facts.jsonl", rows)
    (tmp_path / "facts.yaml").write_text(SUITE, encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(RULES, encoding="utf-8")
    return tmp_path


def expanded(out: str = "groups.yaml", suite: str = "facts.yaml") -> Suite:
    expand_file(suite, "rules.yaml", Path(out), build_check)
    return load_suite(Path(out), build_check)


def outcomes(suite: Suite, answer: Callable[[Case], str | Response]) -> list[Outcome]:
    return list(judge(suite.checks, ask_samples(suite, ScriptedModel(answer), suite.cases)))


def remembers(case: Case) -> str:
    """Knows each disease's gene by heart, whatever the text says."""
    disease = re.search(r"disease (\d+)", case.prompt_text)
    return f"GENE{disease[1]}X" if disease else "?"


def reads(case: Case) -> str:
    """Copies the gene out of the text."""
    gene = re.search(r"GENE\d+X", case.prompt_text)
    return gene[0] if gene else "?"


# --- who passes ----------------------------------------------------------------------------------------------------


def test_who_remembers_passes_the_facts_and_no_group(project: Path) -> None:
    assert {one.verdict for one in outcomes(load_suite(Path("facts.yaml"), build_check), remembers)} == {PASS}
    missed = outcomes(expanded(), remembers)
    assert {one.verdict for one in missed} == {FAIL}
    assert {error.category for one in missed for error in one.errors} == {"missed_directional"}
    assert missed[0].findings[0].value == pytest.approx(4 / 5)
    assert re.fullmatch(
        r"contrast: 4 of 5 members right; another gene \(directional\): exact: 'GENE0X' is not 'GENE\d+X'",
        missed[0].reason,
    )


def test_who_reads_passes_both(project: Path) -> None:
    assert {one.verdict for one in outcomes(load_suite(Path("facts.yaml"), build_check), reads)} == {PASS}
    assert {one.verdict for one in outcomes(expanded(), reads)} == {PASS}


def test_who_is_thrown_by_a_capital_misses_the_invariant_members(project: Path) -> None:
    missed = outcomes(expanded(), lambda case: reads(case) if "Which" in case.prompt_text else "no idea")
    assert {one.verdict for one in missed} == {FAIL}
    assert {error.category for one in missed for error in one.errors} == {"missed_invariant"}


def test_every_member_stands_on_record(project: Path) -> None:
    [first, *_] = outcomes(expanded(), remembers)
    told = json.loads(first.findings[0].detail or "")
    assert [(one["kind"], one["verdict"]) for one in told] == [
        ("original", "PASS"),
        ("directional", "FAIL"),
        ("invariant", "PASS"),
        ("invariant", "PASS"),
        ("minimum", "PASS"),
    ]
    assert "prompt" in told[1]
    assert "prompt" not in told[0]


def test_an_answer_that_did_not_come_makes_the_group_invalid(project: Path) -> None:
    def fails(case: Case) -> str | Response:
        return Response("", error="timeout") if "It rains." in case.prompt_text else reads(case)

    invalid = outcomes(expanded(), fails)
    assert {one.verdict for one in invalid} == {INVALID}
    assert "rain (invariant) was not answered: timeout" in invalid[0].reason


def test_a_check_that_raises_makes_the_group_invalid(project: Path) -> None:
    (project / "own.py").write_text("def metric(case, text):\n    return text if 'X' in text else 1 / 0\n")
    text = SUITE.replace("[exact]", "[{python: 'own:metric', accept: [GENE0X]}]")
    (project / "facts.yaml").write_text(text, encoding="utf-8")
    suite = expanded()
    assert [one.verdict for one in outcomes(suite, lambda case: "GENE0X")] == [PASS] * N
    assert [one.verdict for one in outcomes(suite, lambda case: "no" if "rains" in case.prompt_text else "X")] == [
        INVALID
    ] * N


def test_a_member_that_could_not_be_judged_makes_the_group_invalid(project: Path) -> None:
    (project / "own.py").write_text("def metric(case, text):\n    return 0.5 if 'rains' in case.prompt else True\n")
    (project / "facts.yaml").write_text(SUITE.replace("[exact]", "[{python: 'own:metric'}]"), encoding="utf-8")
    invalid = outcomes(expanded(), reads)
    assert {one.verdict for one in invalid} == {INVALID}
    assert "rain (invariant): python: returned the number 0.5" in invalid[0].reason


# --- what is written -----------------------------------------------------------------------------------------------


def test_a_row_is_a_group_that_people_can_read(project: Path) -> None:
    suite = expanded()
    assert (len(suite.cases), suite.plan.draw, suite.name) == (N, 12, "facts-contrast")
    [row, *_] = [json.loads(line) for line in Path("groups.jsonl").read_text(encoding="utf-8").splitlines()]
    members = row.pop("members")
    assert row == {
        "id": "f0",
        "prompt": "Mutations in GENE0X cause disease 0. The gene is long. Which gene causes disease 0?",
        "references": ["GENE0X"],
        "context": "Mutations in GENE0X cause disease 0. The gene is long.",
        "tags": ["kind=gene"],
        "group": "f0",
    }
    other = members[0]["references"][0]
    assert other != "GENE0X"
    assert members[0] == {
        "rule": "another gene",
        "kind": "directional",
        "prompt": f"Mutations in {other} cause disease 0. The gene is long. Which gene causes disease 0?",
        "references": [other],
        "context": f"Mutations in {other} cause disease 0. The gene is long.",
    }
    assert [member["references"] for member in members[1:]] == [["GENE0X"]] * 3


def test_twice_is_the_same_and_every_byte_is_hashed(project: Path) -> None:
    first, again = expanded("one.yaml"), expanded("two.yaml")
    assert Path("one.jsonl").read_bytes() == Path("two.jsonl").read_bytes()
    assert first.sha256 == again.sha256
    Path("two.jsonl").write_text(Path("two.jsonl").read_text().replace("It rains.", "It pours."))
    assert load_suite(Path("two.yaml"), build_check).sha256 != first.sha256


def test_what_does_not_apply_is_counted_and_what_breaks_its_kind_refused(project: Path, capsys: Capture) -> None:
    (project / "rules.yaml").write_text(
        """
rules:
  - {name: none, kind: directional, where: {kind: other}, change: [{casing: {fields: context}}]}
  - {name: same answer, kind: directional, change: [{casing: {fields: context}}]}
  - {name: new answer, kind: invariant, change: [{set: {answer: BLM, context: "BLM"}}]}
  - {name: no change, kind: invariant, change: [{set: {answer: BLM}}]}
  - {name: first only, kind: invariant, where: {id: f0}, change: [{casing: {fields: question}}]}
""",
        encoding="utf-8",
    )
    (project / "facts.yaml").write_text(SUITE.replace("draw: 12, accept: 11", "draw: 1, accept: 1"), encoding="utf-8")
    assert main(["suite", "expand", "facts.yaml", "--rules", "rules.yaml", "--out", "groups.yaml", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    counts = {count["rule"]: (count["members"], count["skipped"], count["refused"]) for count in facts["by_rule"]}
    assert counts == {
        "none": (0, N, 0),
        "same answer": (0, 0, N),
        "new answer": (0, 0, N),
        "no change": (0, N, 0),
        "first only": (1, N - 1, 0),
    }
    assert (facts["cases"], facts["groups"], len(facts["left_out"])) == (N, 1, N - 1)


def test_a_python_hook_changes_rows(project: Path) -> None:
    (project / "hooks.py").write_text(
        "def twice(row, chance):\n    row['context'] *= 2\n    return row if row['id'] != 'f3' else None\n"
    )
    hook = "  - {name: twice, kind: invariant, change: [{python: 'hooks:twice'}]}\n"
    (project / "rules.yaml").write_text(RULES + hook, encoding="utf-8")
    facts = expand_file("facts.yaml", "rules.yaml", Path("a.yaml"), build_check)
    assert facts["by_rule"][-1] == {"rule": "twice", "kind": "invariant", "members": N - 1, "skipped": 1, "refused": 0}
    (project / "hooks.py").write_text("def twice(row, chance):\n    return row\n")
    other = expand_file("facts.yaml", "rules.yaml", Path("b.yaml"), build_check)
    assert other["rules_sha256"] != facts["rules_sha256"]
    faults = {
        "return 7": "returned int",
        "1 / 0": "raised ZeroDivisionError",
        "raise SystemExit(0)": "raised SystemExit",
    }
    for code, message in faults.items():
        (project / "hooks.py").write_text(f"def twice(row, chance):\n    {code}\n")
        with pytest.raises(ConfigError, match=message):
            expand_file("facts.yaml", "rules.yaml", Path("c.yaml"), build_check)


def test_a_hook_that_changes_what_it_is_given_changes_no_other_member(project: Path) -> None:
    """A row holds lists, and every rule begins with the row as it was."""
    rows = [json.loads(line) for line in Path("facts.jsonl").read_text().splitlines()]
    row = {**rows[0], "more": {"context": rows[0]["context"]}}
    (project / "hooks.py").write_text("def spoil(row, chance):\n    row['more']['context'] = 'x'\n    return row\n")
    function, _ = load_function("hooks:spoil", project)
    setting = Setting(random.Random(0), [], {"hooks:spoil": function})
    changed = change(row, [ChangeSpec(python="hooks:spoil")], setting)
    assert changed is not None
    assert (changed["more"]["context"], row["more"]["context"]) == ("x", rows[0]["context"])


def test_chats_are_changed_too(project: Path) -> None:
    rows = [json.loads(line) for line in Path("facts.jsonl").read_text().splitlines()]
    write_jsonl(project / "facts.jsonl", [
        {**row, "messages": [{"role": "user", "content": row["question"]}]} for row in rows
    ])  # fmt: skip
    text = SUITE.replace('prompt: "{context} {question}"', "messages: messages, context: ''")
    (project / "facts.yaml").write_text(text, encoding="utf-8")
    (project / "hooks.py").write_text(
        "def louder(row, chance):\n"
        "    return {**row, 'messages': [{'role': 'user', 'content': row['question'].upper()}]}\n"
    )
    rules = "rules: [{name: louder, kind: invariant, change: [CHANGE]}]"
    (project / "rules.yaml").write_text(rules.replace("CHANGE", "{python: 'hooks:louder'}"), encoding="utf-8")
    suite = expanded()
    change = "{casing: {fields: messages, to: upper}}"
    (project / "rules.yaml").write_text(rules.replace("CHANGE", change), encoding="utf-8")
    expanded("built_in.yaml")
    assert Path("built_in.jsonl").read_bytes() == Path("groups.jsonl").read_bytes()
    change = "{swap: {fields: messages, value: disease, by: illness}}"
    (project / "rules.yaml").write_text(rules.replace("CHANGE", change), encoding="utf-8")
    expanded("swapped.yaml")
    assert "Which gene causes illness 0?" in Path("swapped.jsonl").read_text(encoding="utf-8")
    assert [
        one.verdict for one in outcomes(suite, lambda case: remembers(case) if "Which" in case.prompt_text else "?")
    ] == [FAIL] * N


# --- the command line ----------------------------------------------------------------------------------------------

EXPAND = ["suite", "expand", "facts.yaml", "--rules", "rules.yaml", "--out", "groups.yaml"]


def test_a_gate_on_the_written_suite(project: Path, capsys: Capture) -> None:
    assert main(EXPAND) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("12 cases of facts, rules of rules.yaml: 12 groups\n")
    assert "next: tunegate gate MODEL --suite groups.yaml" in shown
    answers: list[dict[str, Any]] = []
    for line in Path("groups.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        answers.append({"id": row["id"], "response": row["references"][0]})
        answers += [
            {"id": f"{row['id']} [variant {number}]", "response": row["references"][0]}
            for number in range(1, len(row["members"]) + 1)
        ]
    write_jsonl(project / "by_heart.jsonl", answers)
    gate = ["gate", "--responses", "by_heart.jsonl", "--suite", "groups.yaml", "--run", "by_heart"]
    assert main([*gate, "--json"]) == 1
    captured = capsys.readouterr()
    assert "no case's" not in captured.err
    result = json.loads(captured.out)
    assert (result["failed"], result["error_categories"]) == (N, {"missed_directional": N})
    assert main(["suite", "contrast-report", "by_heart"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "by_heart: facts-contrast",
        "  plain cases right                                12 of   12  (95 % interval 73.5% to 100.0%)",
        "  groups right                                      0 of   12  (95 % interval 0.0% to 26.5%)",
        "  groups right where the plain case is              0 of   12  (95 % interval 0.0% to 26.5%)",
        "  original                                         12 of   12  (95 % interval 73.5% to 100.0%)",
        "  directional: another gene                         0 of   12  (95 % interval 0.0% to 26.5%)",
        "  invariant: in small letters                      12 of   12  (95 % interval 73.5% to 100.0%)",
        "  invariant: rain                                  12 of   12  (95 % interval 73.5% to 100.0%)",
        "  minimum: plainest                                12 of   12  (95 % interval 73.5% to 100.0%)",
    ]
    assert main(["gate", "--responses", "by_heart.jsonl", "--suite", "facts.yaml", "--run", "plain"]) == 0
    assert main(["suite", "contrast-report", "plain"]) == 2
    assert "plain: no gate in these records judged groups" in capsys.readouterr().err


def test_training_on_a_changed_copy_is_a_leak(project: Path, capsys: Capture) -> None:
    other = """
  - name: other words
    kind: invariant
    change: [{set: {context: "Among all families seen so far {answer} was altered", question: "Name the culprit here"}}]
"""
    (project / "rules.yaml").write_text(RULES + other, encoding="utf-8")
    assert main(EXPAND) == 0
    row = json.loads(Path("groups.jsonl").read_text(encoding="utf-8").splitlines()[0])
    write_jsonl(project / "train.jsonl", [{"prompt": row["members"][-1]["prompt"], "completion": "GENE0X"}])
    assert main(["leakage", "train.jsonl", "--suite", "facts.yaml"]) == 0
    assert main(["leakage", "train.jsonl", "--suite", "groups.yaml"]) == 3
    assert "(exact 1.00)" in capsys.readouterr().out


def test_a_suite_of_a_pipeline_is_named_with_a_hash_sign(project: Path) -> None:
    indented = SUITE.strip().replace("\n", "\n    ")
    pipeline = f"suites:\n  plain:\n    {indented}\n  other: facts.yaml\nstages: []\n"
    (project / "tunegate.yaml").write_text(pipeline, encoding="utf-8")
    assert expanded("a.yaml", "tunegate.yaml#plain").name == "plain-contrast"
    assert expanded("b.yaml", "tunegate.yaml#other").name == "facts-contrast"
    assert Path("a.jsonl").read_bytes() == Path("b.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"the file has no suite 'plane' \(did you mean 'plain'"):
        expanded("c.yaml", "tunegate.yaml#plane")
    with pytest.raises(ConfigError, match=r"name one of its suites: tunegate\.yaml#plain, tunegate\.yaml#other"):
        expanded("c.yaml", "tunegate.yaml")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            RULES.replace("fields: question", "fields: qestion"),
            "the row has no field 'qestion' (did you mean 'question'",
        ),
        (RULES.replace("name: rain", "name: another gene"), "two rules have the name 'another gene'"),
        (
            "rules: [{name: a, kind: minimum, where: {kind: x}, change: [{casing: {fields: question}}]}]",
            "no case of facts",
        ),
        (
            "rules: [{name: a, kind: minimum, change: [{python: nowhere}]}]",
            "change[0].python: expected module:function",
        ),
        ("rules: [{name: a, kind: minimum, change: [{python: 'nowhere:f'}]}]", "importing 'nowhere' failed"),
    ],
)
def test_wrong_rules_are_one_line(rules: str, message: str, project: Path, capsys: Capture) -> None:
    (project / "rules.yaml").write_text(rules, encoding="utf-8")
    assert main(EXPAND) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "rules.yaml:" in error
    assert error.count("\n") == 1
    assert not Path("groups.yaml").exists()


def test_nothing_is_overwritten_and_nothing_half_written(project: Path, capsys: Capture) -> None:
    assert main([*EXPAND[:-1], "groups.txt"]) == 2
    assert "a suite file that ends in .yaml" in capsys.readouterr().err
    (project / "facts.yaml").write_text(SUITE.replace("draw: 12", "draw: 11"), encoding="utf-8")
    (project / "rules.yaml").write_text(
        RULES.replace("change: [{swap", "where: {id: f1}\n    change: [{swap"), encoding="utf-8"
    )
    assert main(EXPAND) == 2  # the one value to swap in is the row's own: no group is left
    assert not Path("groups.jsonl").exists()
    (project / "rules.yaml").write_text(RULES.replace('"{answer}"}}]', '"{answer}", by: [BLM]}}]').replace(
        "change: [{swap", "where: {id: f1}\n    change: [{swap"), encoding="utf-8")  # fmt: skip
    assert main(EXPAND) == 2
    assert "the bank has 1 case" in capsys.readouterr().err
    assert not Path("groups.jsonl").exists()
    assert not Path("groups.yaml").exists()
    (project / "rules.yaml").write_text(RULES, encoding="utf-8")
    assert main(EXPAND) == 0
    assert main(EXPAND) == 2
    assert "already exists" in capsys.readouterr().err


# --- the check's own options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("contrast", "contrast: the option 'checks' is missing"),
        ({"contrast": {"checks": []}}, "contrast.checks"),
        (
            {"contrast": {"checks": ["exactt"]}},
            r"contrast\.checks\[0\]: check 'exactt': unknown check \(did you mean 'exact'",
        ),
        ({"contrast": {"checks": ["counterfactual"]}}, "asks additional prompts itself"),
        ({"contrast": {"checks": ["exact", "choice"]}}, "a separate suite for each"),
    ],
)
def test_wrong_options_are_one_line(entry: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_check(entry, Path())


def test_a_pass_rate_of_single_answers_is_not_asked_of_groups(tmp_path: Path) -> None:
    shipped = resolve("package:tunegate_suites/data/judges", tmp_path)
    compare = {"features": ["contains", "recall", "numbers", "length"], "fitted": str(shipped / "answers.fitted.json")}
    judge = {"compare": {**compare, "separator": "/"}, "admission": str(shipped / "answers.admission.json")}
    assert build_check({"contrast": {"checks": [{"judge": judge}]}}, tmp_path).can_fail
    with pytest.raises(ConfigError, match=r"contrast\.checks\[0\]\.corrected_min: a group is not a single answer"):
        build_check({"contrast": {"checks": [{"judge": {**judge, "corrected_min": 0.8}}]}}, tmp_path)


def test_rows_that_were_not_expanded_are_told_before_anything_is_asked(project: Path) -> None:
    (project / "plain.yaml").write_text(SUITE.replace("[exact]", "[{contrast: {checks: [exact]}}]"), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"cannot be judged \(so are {N - 1} more\): contrast: .*suite expand"):
        load_suite(Path("plain.yaml"), build_check)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"kind": "sideways"}, r"needs a rule, a kind \(directional, invariant or minimum\)"),
        ({"kind": None}, "needs a rule, a kind"),
        ({"rule": None}, "needs a rule, a kind"),
        ({"references": []}, "has no references, but the case has some"),
        ({"references": ["another"], "kind": "invariant"}, "but the answer must stay the same"),
        ({"kind": "directional"}, "but the change must change the answer"),
        ({"prompt": None}, "field 'prompt': a text was expected, got null"),
        ({"prompt": "SAME"}, "asks the same as the case itself"),
        ("no member", "needs a rule, a kind"),
    ],
)
def test_a_malformed_member_is_found_by_check(
    change: Any, fault: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expanded()
    path = project / "groups.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    member = next(one for one in rows[3]["members"] if one["kind"] == "invariant")
    if isinstance(change, dict):
        if change.get("prompt") == "SAME":
            change = {"prompt": rows[3]["prompt"]}
        changed = {**member, **change}
    else:
        changed = change
    rows[3]["members"][rows[3]["members"].index(member)] = changed
    write_jsonl(path, rows)
    assert main(["check", "groups.yaml"]) == 2
    told = capsys.readouterr().err
    assert f"case {rows[3]['id']!r} cannot be judged: contrast: " in told
    assert re.search(fault, told)


def test_the_fingerprint_covers_the_checks_within(project: Path) -> None:
    prints = {
        build_check({"contrast": {"checks": checks}}, Path()).fingerprint
        for checks in (["exact"], ["contains"], ["exact", "contains"], [{"exact": {"normalize": False}}])
    }
    assert len(prints) == 4


def test_the_fingerprint_covers_files_of_the_checks_within(project: Path) -> None:
    entry = {"contrast": {"checks": [{"python": "own:metric"}]}}
    (project / "own.py").write_text("def metric(case, text):\n    return True\n")
    before = build_check(entry, project).fingerprint
    (project / "own.py").write_text("def metric(case, text):\n    return False\n")
    assert build_check(entry, project).fingerprint != before


# --- the rules that ship -------------------------------------------------------------------------------------------

GENES = "package:tunegate_suites/data/gene_expert/tunegate.yaml#facts"


def test_the_shipped_rules_make_a_group_of_every_gene_case(tmp_path: Path) -> None:
    rules = "package:tunegate_suites/data/contrast/genes.yaml"
    facts = expand_file(GENES, rules, tmp_path / "u.yaml", build_check)
    assert (facts["cases"], facts["groups"], facts["left_out"]) == (345, 345, [])
    members = {count["rule"]: count["members"] for count in facts["by_rule"]}
    assert members["another gene"] == 165
    assert members["another number"] == 59
    assert (members["recessive instead of dominant"], members["dominant instead of recessive"]) == (59, 38)
    rows = [json.loads(line) for line in (tmp_path / "u.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        for member in row["members"]:
            [answer] = member["references"]
            assert answer.lower() in member["prompt"].lower()
            if member["kind"] == "directional" and row["tags"] != ["task=inheritance"]:
                assert not as_word(row["references"][0]).search(member["prompt"])
            if member["rule"].endswith(("of dominant", "of recessive", "of X-linked")):
                assert row["references"][0] not in member["context"]


def test_the_shipped_groups_are_what_the_shipped_rules_make(tmp_path: Path) -> None:
    shipped = resolve("package:tunegate_suites/data/contrast", tmp_path)
    expand_file(
        str(shipped / "facts.yaml"), str(shipped / "genes.yaml"), tmp_path / "genes-understanding.yaml", build_check
    )
    for name in ("genes-understanding.yaml", "genes-understanding.jsonl"):
        assert (tmp_path / name).read_bytes() == (shipped / name).read_bytes(), f"expand {name} again"
    assert len(load_suite(suite_place("builtin:contrast/genes-understanding", tmp_path), build_check).cases) == 210


def test_rows_without_ids_become_groups_also_where_one_test_is_there_twice(project: Path) -> None:
    row = {"prompt": "Which GENE causes it?", "reference": "BLM"}
    write_jsonl(project / "bare.jsonl", [row, row, {**row, "prompt": "Which GENE causes the other?"}])
    (project / "bare.yaml").write_text("cases: bare.jsonl\nchecks: [exact]\nplan: {draw: 1, accept: 1}\n")
    (project / "small.yaml").write_text(
        "rules: [{name: small, kind: invariant, change: [{casing: {fields: prompt}}]}]\n"
    )
    expand_file("bare.yaml", "small.yaml", Path("bare-groups.yaml"), build_check)
    made = load_suite(project / "bare-groups.yaml", build_check)
    first, again, other = (case.id for case in made.cases)
    assert again == f"{first}-2"
    assert other not in (first, again)
