"""Which part of an answer is judged, from suite file to `tunegate gate`, and the checks that know of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.check_helpers import FAIL, INVALID, PASS, ask
from tunegate.cases.case import Case
from tunegate.checks.answers.part import AUTO, WHOLE, AnswerRule, left_out_of
from tunegate.checks.check import Sample, judge
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.model import ChoiceScore, Response
from tunegate.record.outcome_json import outcome_from_json, outcome_to_json
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check
from tunegate_suites.base import CheckBase
from tunegate_suites.choice import gold_index

Capture = pytest.CaptureFixture[str]


def gate(
    folder: Path, capsys: Capture, checks: str, rows: list[tuple[Any, str]], more: str = ""
) -> tuple[int, dict[str, Any]]:
    """Write a suite of (reference, answer) pairs and run `tunegate gate --responses` on it."""
    cases = [{"id": str(n), "prompt": f"Which, {n}?", "reference": wanted} for n, (wanted, _) in enumerate(rows)]
    write_jsonl(folder / "q.jsonl", cases)
    write_jsonl(folder / "r.jsonl", [{"id": str(n), "response": text} for n, (_, text) in enumerate(rows)])
    plan = f"plan: {{draw: {len(rows)}, accept: {len(rows)}}}"
    suite = folder / "s.yaml"
    suite.write_text(f"cases: q.jsonl\nchecks: {checks}\n{plan}\n{more}\n")
    code = main(["gate", "--responses", str(folder / "r.jsonl"), "--suite", str(suite), "--json"])
    out = capsys.readouterr()
    return code, json.loads(out.out) if out.out else {"error": out.err}


def test_the_turn_of_an_answer_depends_on_the_question_and_the_references_too() -> None:
    text = "Yes.\nQuestion: And the liver?\nAnswer: No."
    said = "the token <|im_end|>"
    asked = [Case("a", "Is it?"), Case("b", "Write questions."), Case("a", "Is it?")]
    assert [left_out_of(text, case) is None for case in asked] == [False, True, False]
    known = [Case("a", "Which?", (said,)), Case("a", "Which?", ("the",))]
    assert [left_out_of(said, case) is None for case in known] == [True, False]


THOUGHTS = [
    ("BLM", "<think>\nCould be BLM, but no, it must be TP53.\n</think>\n\nTP53"),
    ("liver", "<think>liver? Or spleen.</think>The spleen."),
]


@pytest.mark.parametrize("checks", ["[contains]", "[exact]", '[regex: "{reference}"]', "[contains, exact]"])
def test_a_considered_and_rejected_answer_never_passes(tmp_path: Path, capsys: Capture, checks: str) -> None:
    code, result = gate(tmp_path, capsys, checks, THOUGHTS)
    assert (code, result["invalid"]) == (3, 2)
    assert "answer: think" in result["cases"][0]["reason"]
    code, result = gate(tmp_path, capsys, checks, THOUGHTS, "answer: think")
    assert (code, result["failed"]) == (1, 2)
    assert {case["judged"] for case in result["cases"]} == {"TP53", "The spleen."}


def test_think_judges_what_follows(tmp_path: Path, capsys: Capture) -> None:
    rows = [("BLM", "<think>\nIt is BLM.\n</think>\n\nBLM"), ("liver", "<think>\n\n</think>\n\nliver")]
    for answer in ("think", '{after: "</think>"}', "{after: think}"):
        code, result = gate(tmp_path, capsys, "[exact]", rows, f"answer: {answer}")
        assert (code, result["passed"]) == (0, 2)
    assert gate(tmp_path, capsys, "[contains]", rows, "answer: whole")[0] == 0


def test_reasoning_that_never_ends_is_counted(tmp_path: Path, capsys: Capture) -> None:
    rows = [("BLM", "<think>It is BLM"), ("liver", "<think>Hm.</think>liver")]
    code, result = gate(tmp_path, capsys, "[contains]", rows, "answer: think")
    assert (code, result["failed"], result["error_categories"]) == (1, 1, {"unfinished_reasoning": 1})


def test_answers_are_extracted_from_both_sides(tmp_path: Path, capsys: Capture) -> None:
    rows = [
        ("42", "So the answer is $\\boxed{42}$."),
        ("B", "Answer: (B)"),
        ("They add up.\n#### 1,007", "It is so, and #### 1,007"),
    ]
    answer = "answer: {extract: [boxed, letter, '#### (.*)']}"
    code, result = gate(tmp_path, capsys, "[exact]", rows, answer)
    assert (code, sorted(case["judged"] for case in result["cases"])) == (0, ["1,007", "42", "B"])
    pattern = r"""answer: {extract: '\\boxed\{(.*)\}|Answer: \((\w)\)|#### (.*)'}"""
    assert gate(tmp_path, capsys, "[exact]", rows, pattern)[0] == 0
    assert gate(tmp_path, capsys, "[exact]", rows)[0] == 1
    code, result = gate(tmp_path, capsys, "[number]", rows[2:], "answer: last_number")
    assert code == 0
    code, result = gate(tmp_path, capsys, "[exact]", [("42", "forty-two")], "answer: boxed")
    assert (code, result["error_categories"]) == (1, {"no_answer": 1})


RUNS_ON = [
    ("BLM", "TP53<|im_end|>\n<|im_start|>user\nWhich gene causes Bloom?<|im_end|>\n<|im_start|>assistant\nBLM"),
    ("liver", "spleen</s>[INST] And where is bile made? [/INST] liver"),
    ("liver", "spleen\nUser: And where is bile made?\nAssistant: liver"),
]


@pytest.mark.parametrize("checks", ["[contains]", "[{errors: {forbid: [repetition]}}]", '[regex: "{reference}"]'])
def test_what_runs_on_misses_and_is_counted(tmp_path: Path, capsys: Capture, checks: str) -> None:
    code, result = gate(tmp_path, capsys, checks, RUNS_ON)
    assert (code, result["failed"], result["error_categories"]) == (1, 3, {"run_on": 3})
    assert all("run_on" in case["reason"] for case in result["cases"])
    for case, (_, text) in zip(sorted(result["cases"], key=lambda case: case["id"]), RUNS_ON, strict=True):
        [error] = case["errors"]
        assert text[error["start"] : error["end"]] == error["text"]


def test_a_token_at_the_end_is_taken_off_and_counted(tmp_path: Path, capsys: Capture) -> None:
    code, result = gate(tmp_path, capsys, "[exact]", [("BLM", "BLM<|im_end|>"), ("liver", "liver</s>")])
    assert (code, result["error_categories"]) == (0, {"control_token": 2})


@pytest.mark.parametrize(
    ("checks", "rows", "passed"),
    [
        ("[contains]", [("B", "The answer is C because z holds."), ("A", "It is a clear C.")], 0),
        ("[contains: {whole_words: true}]", [("A", "It is a clear C."), ("1200", "about 1200.75")], 0),
        ("[contains]", [("5", "There are 150 of them."), ("1200", "about 1200.75")], 0),
        ("[contains: {match: all}]", [(["BLM", "WRN"], "Only BLM"), (["liver", "spleen"], "The spleen.")], 0),
        ('[contains: "{reference}"]', [("b", "answer is b"), ("d", "answer is d")], 2),
        ('[regex: "answer is {reference}"]', [("b", "answer is b"), ("d", "answer is d")], 2),
        ("[exact]", [("Alzheimer’s disease", "Alzheimer's disease"), ("a 'b' c", "a ‘b’ c")], 2),
        ("[number]", [(1200, "1,200"), (5, "5.0"), (29, "$29.00")], 3),
        ("[json_equal]", [('{"a": 1, "b": [2]}', '{"b": [2.0], "a": 1}')], 1),
    ],
)
def test_each_kind_at_the_command_line(
    tmp_path: Path, capsys: Capture, checks: str, rows: list[tuple[Any, str]], passed: int
) -> None:
    code, result = gate(tmp_path, capsys, checks, rows)
    assert (code, result["passed"]) == (0 if passed == len(rows) else 1, passed)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("thnk", "thnk"),
        ("bxed", "did you mean 'boxed'"),
        ("{extract: '(a)(b)'}", "exactly one group"),
        ("{extract: '(a'}", "not a regular expression"),
        ("{whole: true, after: x}", "whole"),
        ("{}", "give `after`"),
        ("{aftr: x}", "did you mean 'after'"),
        ("{after: ''}", "after"),
        ("[]", "mapping"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(tmp_path: Path, capsys: Capture, answer: str, told: str) -> None:
    code, result = gate(tmp_path, capsys, "[exact]", [("a", "a")], f"answer: {answer}")
    assert code == 2
    assert told in result["error"]
    assert "s.yaml" in result["error"]


def test_a_rule_that_could_have_no_effect_is_refused(tmp_path: Path, capsys: Capture) -> None:
    write_jsonl(tmp_path / "q.jsonl", [{"id": "1", "prompt": "?", "choices": ["w", "x"], "reference": "A"}])
    (tmp_path / "s.yaml").write_text("cases: q.jsonl\nchecks: [choice]\nplan: {draw: 1, accept: 1}\nanswer: think\n")
    assert main(["check", str(tmp_path / "s.yaml")]) == 2
    assert "likelihoods" in capsys.readouterr().err


def test_the_rule_is_part_of_the_suite(tmp_path: Path, capsys: Capture) -> None:
    hashes: set[str] = set()
    for more in ("", "answer: think", "answer: whole", "answer: boxed", 'answer: {after: "x"}'):
        gate(tmp_path, capsys, "[exact]", [("a", "a")], more)
        hashes.add(load_suite(tmp_path / "s.yaml", build_check).sha256)
    assert len(hashes) == 5


def test_a_place_that_is_not_filled_is_refused_by_check(tmp_path: Path, capsys: Capture) -> None:
    gate(tmp_path, capsys, '[regex: "is {refrence}"]', [("a", "a")])
    assert main(["check", str(tmp_path / "s.yaml")]) == 2
    assert "reference" in capsys.readouterr().err


def test_check_tells_risky_references(tmp_path: Path, capsys: Capture) -> None:
    gate(tmp_path, capsys, "[contains]", [("A", "a"), ("BLM", "a")])
    assert main(["check", str(tmp_path / "s.yaml")]) == 0
    assert "note: suite s: contains: 1 of 2 references is so short" in capsys.readouterr().out


# --- what checks see -----------------------------------------------------------------------------------------------


def outcome_of(checks: list[Any], answer: str, rule: AnswerRule = AUTO, *references: str, **more: Any) -> Any:
    built = [build_check(entry, Path()) for entry in checks]
    [outcome] = judge(built, [Sample(Case("1", "?", references), Response(answer, "stop"), **more)], rule)
    return outcome


def test_the_whole_answer_stays_on_record_beside_the_part_that_was_judged() -> None:
    answer = "<think>x</think>BLM"
    outcome = outcome_of(["exact"], answer, AnswerRule("think"), "BLM")
    assert (outcome.response, outcome.judged, outcome.references) == (answer, "BLM", ("BLM",))
    old = json.loads(json.dumps(outcome_to_json(outcome)))
    assert outcome_from_json(old) == outcome
    del old["judged"]
    assert outcome_from_json(old).judged is None
    assert outcome_of(["exact"], "BLM", AUTO, "BLM").judged is None


def test_spans_stand_where_they_are_in_the_whole_answer() -> None:
    answer = "<think>x</think> I am sorry, I cannot help."
    outcome = outcome_of([{"errors": {"forbid": ["refusal"]}}], answer, AnswerRule("think"))
    [error] = outcome.errors
    assert answer[error.start : error.end] == error.text == "I am sorry"


def test_answers_to_variants_are_taken_apart_alike() -> None:
    case = Case("1", "John is a nurse. Is he kind?")
    check = build_check({"counterfactual": {"swap": ["gender"]}}, Path())
    responses = tuple(Response(f"<think>{n}</think>Yes", "stop") for n in range(len(check.variants(case))))
    assert responses
    sample = Sample(case, Response("<think>x</think>Yes", "stop"), variants=responses)
    [outcome] = judge([check], [sample], AnswerRule("think"))
    assert outcome.verdict is PASS
    [outcome] = judge([check], [sample])
    assert outcome.verdict is INVALID


@pytest.mark.parametrize(("kind", "wanted"), [("invariant", 5), ("directional", 6)])
def test_references_of_a_group_are_taken_apart_alike(kind: str, wanted: int) -> None:
    member = {"rule": "r", "kind": kind, "prompt": "And now?", "references": [f"So #### {wanted}"]}
    case = Case("1", "2 + 3?", ("So #### 5",), fields={"members": [member]})
    answered = Sample(case, Response("hm: 5", "stop"), variants=(Response(f"hm: {wanted}", "stop"),))
    check = build_check({"contrast": {"checks": ["exact"]}}, Path())
    [outcome] = judge([check], [answered], AnswerRule(extract=("last_number",)))
    assert outcome.verdict is PASS, outcome.reason


def test_likelihoods_of_choices_have_no_part() -> None:
    scores = (ChoiceScore(-1.0, 1), ChoiceScore(-2.0, 1))
    case = Case("1", "?", ("x",), choices=("x", "y"))
    checks = [build_check("choice", Path())]
    [outcome] = judge(checks, [Sample(case, Response("", choice_scores=scores))], AnswerRule(extract=("boxed",)))
    assert outcome.verdict is PASS


@pytest.mark.parametrize("text", ["TP53<|im_end|>\nBLM", "<think>BLM"])
def test_errors_forbids_what_never_should_be_unless_it_says_otherwise(text: str) -> None:
    forbidding = outcome_of([{"errors": {"forbid": ["empty"]}}], text, WHOLE)
    assert forbidding.verdict is FAIL
    [error] = forbidding.errors
    for options in ({"report": [error.category]}, {"max": {error.category: 3}, "forbid": ["empty"]}):
        assert outcome_of([{"errors": options}], text, WHOLE).verdict is PASS
    capped = build_check({"errors": {"report": ["empty"]}}, Path())
    assert not capped.can_fail


# --- choice --------------------------------------------------------------------------------------------------------


def bank(*golds: str) -> list[Case]:
    return [Case(str(n), "?", (gold,), choices=("w", "x", "y", "z")) for n, gold in enumerate(golds)]


def fault(options: object, cases: list[Case]) -> str | None:
    check = build_check("choice" if options is None else {"choice": options}, Path())
    assert isinstance(check, CheckBase)
    return check.fault_of(cases)


def test_numbers_that_may_count_from_one_are_refused_until_somebody_says() -> None:
    assert "gold_base" in str(fault(None, bank("1", "2", "3")))
    assert "gold_base" in str(fault(None, bank("4", "2")))
    assert fault(None, bank("0", "1", "3")) is None
    assert fault(None, bank("w", "B", "c")) is None
    assert fault({"gold_base": 1}, bank("1", "2", "3")) is None
    assert fault({"gold_base": 0}, bank("1", "2", "3")) is None
    assert "has the reference 0" in str(fault({"gold_base": 1}, bank("0", "2")))
    assert fault(None, [Case("1", "?", ("2",), choices=("1", "2", "3"))]) is None
    for base in (0, 1):
        assert "no reference is the number of a choice" in str(fault({"gold_base": base}, bank("w", "B", "c")))
        texts = [Case("1", "?", ("1",), choices=("2", "1"))]
        assert "case '1' has '1', which is the text of a choice" in str(fault({"gold_base": base}, texts))


def test_gold_is_counted_from_its_base() -> None:
    [one, four, zero, letter, text] = bank("1", "4", "0", "B", "y")
    assert [gold_index(case, 1) for case in (one, four, letter, text)] == [0, 3, 1, 2]
    assert isinstance(gold_index(zero, 1), str)
    assert [gold_index(case) for case in (one, zero)] == [1, 0]
    assert isinstance(gold_index(four), str)
    typed = Case("1", "?", ("Alzheimer's",), choices=("Down", "Alzheimer’s"))
    assert gold_index(typed) == 1


def test_a_bank_from_one_is_refused_at_the_command_line(tmp_path: Path, capsys: Capture) -> None:
    rows = [{"id": str(n), "prompt": f"{n}?", "choices": ["w", "x"], "reference": "1"} for n in range(2)]
    write_jsonl(tmp_path / "q.jsonl", rows)
    (tmp_path / "s.yaml").write_text("cases: q.jsonl\nchecks: [choice]\nplan: {draw: 2, accept: 2}\n")
    assert main(["check", str(tmp_path / "s.yaml")]) == 2
    assert "gold_base: 1" in capsys.readouterr().err
    (tmp_path / "s.yaml").write_text("cases: q.jsonl\nchecks: [choice: {gold_base: 1}]\nplan: {draw: 2, accept: 2}\n")
    assert main(["check", str(tmp_path / "s.yaml")]) == 0


# --- similarity ----------------------------------------------------------------------------------------------------


def test_a_text_that_the_model_would_cut_is_not_compared() -> None:
    long = "The committee met on Monday to discuss the annual budget of the city. " * 30
    check = {"similarity": {"min": 0.9}}
    finding = ask(check, f"{long} Take 5 mg.", f"{long} Take 5000 mg.")
    assert finding.verdict is INVALID
    assert "tokens, but the model reads only 256" in finding.reason
    assert ask(check, "Take 5 mg.", f"{long} Take 5 mg.").verdict is INVALID
    assert ask(check, "Take 5 mg.", "Take 5 mg.").verdict is PASS
    assert ask(check, "😀" * 100, "Take 5 mg.").verdict is FAIL


def test_the_rule_hashes_alike_wherever_the_suite_lies(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "q.jsonl", [{"id": "1", "prompt": "?", "reference": "a"}])
    (tmp_path / "s.yaml").write_text("cases: q.jsonl\nchecks: [exact]\nplan: {draw: 1, accept: 1}\nanswer: think\n")
    other = tmp_path / "other"
    other.mkdir()
    for name in ("q.jsonl", "s.yaml"):
        shutil.copy(tmp_path / name, other / name)
    assert load_suite(tmp_path / "s.yaml", build_check).sha256 == load_suite(other / "s.yaml", build_check).sha256


def test_choices_are_counted_from_0_or_1() -> None:
    with pytest.raises(ConfigError):
        build_check({"choice": {"gold_base": 2}}, Path())
