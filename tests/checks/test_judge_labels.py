"""Human labels: a value counts by name, on one of two sides; everything else is refused or left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.checks.test_judge_admission import PAIRWISE, first_is_good, judge_file, models, quiet
from tests.support.bank import write_jsonl
from tunegate.checks.judge_admission import Agreement, read_admission, write_admission
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate_suites.judges.fit import fitted_json
from tunegate_suites.judges.labels import LabelsOptions
from tunegate_suites.judges.measure import MeasureRequest, measure
from tunegate_suites.judges.sides import Scheme, sides_of, spelled

Capture = pytest.CaptureFixture[str]
Measured = Callable[..., tuple[int, dict[str, Any], str]]
GOOD, BAD = "It is GENE{n}.", "It is WRONG{n}."


def row(n: int, human: Any, answer: str) -> dict[str, Any]:
    return {
        "id": str(n),
        "question": f"Which gene is number {n}?",
        "reference": f"GENE{n}",
        "answer": answer.format(n=n),
        "human": human,
    }


def rows(humans: Sequence[Any], passing: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Rows with these labels; the answers with a label of `passing` (default: the first) are right."""
    good = passing or humans[:1]
    return [row(n, human, GOOD if human in good else BAD) for n, human in enumerate(humans)]


def csv(found: Sequence[dict[str, Any]]) -> str:
    lines = [",".join(found[0]), *(",".join(str(value) for value in one.values()) for one in found)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Measured:
    """Measures a judge that is always right: exit code, what `--json` prints, and the line on stderr."""
    monkeypatch.chdir(tmp_path)
    weights = {"weights": {"contains": 10.0}, "bias": -5.0, "cut": 0.0}
    Path("weights.json").write_text(fitted_json(weights, [], {}))

    def run(found: Sequence[dict[str, Any]] | str, **labels: Any) -> tuple[int, dict[str, Any], str]:
        judge = {"compare": {"features": ["contains"], "fitted": "weights.json"}, "labels": labels}
        Path("judge.yaml").write_text(json.dumps(judge))
        file = Path("labels.csv" if isinstance(found, str) else "labels.jsonl")
        if isinstance(found, str):
            file.write_text(found)
        else:
            write_jsonl(file, found)
        code = main(["judge", "judge.yaml", "--labels", file.name, "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out.splitlines()[-1]), said.err

    return run


PASS_AND_FAIL = {"passes": ["pass"], "fails": ["fail"]}


def refused(measured: Measured, found: Sequence[dict[str, Any]] | str, **labels: Any) -> str:
    code, _, error = measured(found, **labels)
    assert (code, error.count("\n")) == (2, 1)
    return error


# --- the two faults that were reported -------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [{"passes": ["pass"]}, PASS_AND_FAIL, {"fails": ["fail"]}, {}])
def test_blank_cells_are_no_labels(measured: Measured, labels: dict[str, Any]) -> None:
    error = refused(measured, csv(rows(["pass", ""] * 20)), **labels)
    assert "nothing (20 rows)" in error
    assert '{skip: [""]}' in error
    assert not Path(".tunegate").exists()


def test_rows_that_are_left_out_are_counted_and_a_side_without_labels_admits_nobody(
    measured: Measured, capsys: Capture
) -> None:
    code, facts, _ = measured(csv(rows(["pass", ""] * 20)), **PASS_AND_FAIL, skip=[""])
    assert (code, facts["admitted"], facts["n"], facts["specificity"]) == (1, False, 20, None)
    assert "specificity is unknown" in facts["reason"]
    assert facts["labels"]["skipped"] == {"": 20}
    assert facts["labels"]["passes"] == {"pass": 20}
    assert facts["labels"]["fails"] == {}
    assert json.loads(Path(facts["record"]).read_text())["labels"] == facts["labels"]
    main(["judge", "judge.yaml", "--labels", "labels.csv"])
    assert "20 human labels of labels.csv (20 left out: no label)" in capsys.readouterr().out


def test_another_spelling_is_no_failure(measured: Measured) -> None:
    found = csv(rows(["Fail", "Pass"] * 20, ["Pass"]))
    error = refused(measured, found, passes=["pass"])
    assert "no label is 'pass' (did you mean 'Pass'?)" in error
    assert "labels.fails is not" in error
    error = refused(measured, found, **PASS_AND_FAIL)
    assert "row 2: the human label 'Fail' is none of pass, fail (did you mean 'fail'?)" in error
    assert "'Fail' (20 rows), 'Pass' (20 rows)" in error
    code, facts, _ = measured(found, passes=["Pass"], fails=["Fail"])
    assert (code, facts["labels"]["fails"]) == (0, {"Fail": 20})


# --- their brothers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["skip", "PASS", "pass?", "unsure", "fial", "0.5", 0, 1, True, 3.5, None, "", "  "])
def test_what_is_on_neither_side_is_refused(measured: Measured, value: Any) -> None:
    refused(measured, rows(["pass", "fail"] * 20 + [value]), **PASS_AND_FAIL)
    refused(measured, rows(["pass", value] * 20), passes=["pass"])


@pytest.mark.parametrize("value", [["pass"], {"verdict": "pass"}])
def test_a_label_that_is_no_single_value_is_refused(measured: Measured, value: Any) -> None:
    error = refused(measured, rows(["pass", "fail", value]), **PASS_AND_FAIL)
    assert "row 3: the human label: a text, a number, true or false was expected, got" in error


@pytest.mark.parametrize(
    ("passing", "failing"),
    [
        (True, False),
        ("True", "False"),
        ("TRUE", "FALSE"),
        (1, 0),
        (1.0, 0.0),
        ("1", "0"),
        ("yes", "no"),
        ("Yes", "No"),
        ("pass", "fail"),
        ("Correct", "Incorrect"),
    ],
)
def test_plain_pairs_need_no_names(measured: Measured, passing: Any, failing: Any) -> None:
    found = rows([passing, failing] * 20)
    for file in (found, csv(found)):
        code, facts, error = measured(file)
        assert (code, facts.get("kappa")) == (0, 1.0), error


@pytest.mark.parametrize(
    "mixed", [["yes", "no", "0"], ["1", "0", "2"], ["true", "no"], ["pass", "no"], ["good", "bad"]]
)
def test_a_column_of_two_languages_needs_names(measured: Measured, mixed: list[str]) -> None:
    assert "the column contains" in refused(measured, rows(mixed * 10))


def test_a_column_of_numbers_with_gaps_is_read_as_it_was_meant(measured: Measured) -> None:
    found = csv(rows(["1.0", "0.0", ""] * 20))
    for labels in ({}, {"passes": [1], "fails": [0]}, {"passes": ["1.0"], "fails": [0.0]}):
        code, facts, _ = measured(found, skip=[""], **labels)
        assert (code, facts["labels"]["skipped"], facts["labels"]["passes"]) == (0, {"": 20}, {"1": 20})


def test_a_row_without_the_field_has_no_label(measured: Measured) -> None:
    found = rows(["pass", "fail"] * 20)
    bare = [{name: value for name, value in one.items() if name != "human"} for one in rows(["x"] * 43)[40:]]
    assert "3 rows have no human label, first row 41" in refused(measured, [*found, *bare], **PASS_AND_FAIL)
    other = [{**one, "label": "pass"} for one in bare]  # another column is not another spelling of this one
    refused(measured, [*found, *other], **PASS_AND_FAIL)
    code, facts, _ = measured([*found, *bare], **PASS_AND_FAIL, skip=[""])
    assert (code, facts["labels"]["skipped"]) == (0, {"": 3})


def test_parquet_labels_that_are_nan_or_null_are_no_labels(measured: Measured, tmp_path: Path, capsys: Capture) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    measured(rows([True, False] * 20))
    for gap in (None, float("nan")):
        table = arrow.Table.from_pylist(
            [
                {**one, "human": gap} if n > 35 else {**one, "human": float(one["human"])}
                for n, one in enumerate(rows([1, 0] * 20))
            ]
        )
        parquet.write_table(table, tmp_path / "labels.parquet")
        assert main(["judge", "judge.yaml", "--labels", "labels.parquet"]) == 2
        assert "4 rows have no human label" in capsys.readouterr().err


def test_a_label_is_reached_by_a_path(measured: Measured) -> None:
    found = [{**one, "human": {"verdict": one["human"]}} for one in rows(["pass", "fail"] * 20)]
    code, facts, _ = measured(found, human="{human.verdict}", **PASS_AND_FAIL)
    assert (code, facts["labels"]["passes"]) == (0, {"pass": 20})
    assert "2 rows have no human label" in refused(
        measured, [*found, *({**one, "human": None} for one in rows(["pass", "fail"]))], human="{human.verdict}"
    )
    assert "no row has the field 'human.word'" in refused(measured, found, human="{human.word}")


def test_skipped_rows_need_no_answer_and_no_id_of_their_own(measured: Measured) -> None:
    found = rows(["pass", "fail"] * 20)
    code, facts, _ = measured([*found, {**found[0], "human": "skip", "answer": None}], **PASS_AND_FAIL, skip=["skip"])
    assert (code, facts["labels"]["skipped"], facts["labels"]["copies"]) == (0, {"skip": 1}, 0)
    assert "skip leaves out all 2" in refused(measured, rows(["skip", ""]), skip=["skip", ""], **PASS_AND_FAIL)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"passes": ["pass"], "fails": ["pass"]}, "'pass' is in more than one of passes, fails and skip"),
        ({**PASS_AND_FAIL, "skip": ["fail"]}, "'fail' is in more than one"),
        ({"passes": [1], "fails": ["1.0"]}, "'1' is in more than one"),
        ({"passes": [""], "fails": ["x"]}, "passes: a blank is not a label"),
        ({"passes": ["x"], "fails": [None]}, "fails: a blank is not a label"),
        ({"passes": [], "fails": ["x"]}, "passes"),
        ({"human": "true"}, "expected a field of the row"),
        ({"human": "{humen}"}, "no row has the field 'humen' (did you mean 'human'?)"),
        ({"passes": [["x"]], "fails": ["y"]}, "passes"),
        ({"fail": ["x"]}, "labels.fail: unknown option (did you mean 'fails'"),
    ],
)
def test_wrong_names_are_one_clear_line(measured: Measured, labels: dict[str, Any], message: str) -> None:
    assert message in refused(measured, rows(["pass", "fail"]), **labels)


def test_the_missing_side_is_offered_only_where_there_is_one_candidate(measured: Measured) -> None:
    assert 'add fails: ["fail"] to the labels' in refused(measured, rows(["pass", "fail"]), passes=["pass"])
    assert "add fails: [...] to the labels" in refused(measured, rows(["pass", "fail", "?"]), passes=["pass"])


def test_fitting_reads_the_same_labels(measured: Measured, capsys: Capture) -> None:
    found = rows(["pass", "fail", "skip"] * 40)
    assert measured(found, **PASS_AND_FAIL)[0] == 2
    command = ["judge", "judge.yaml", "--labels", "labels.jsonl", "--fit", "--json"]
    before = Path("weights.json").read_text()
    assert main(command) == 2
    assert Path("weights.json").read_text() == before
    capsys.readouterr()
    measured(found, **PASS_AND_FAIL, skip=["skip"])
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["labels"]["skipped"] == {"skip": 40}
    assert facts["n"] + facts["labels"]["left_out"] == 80


def test_one_side_is_never_enough_whatever_is_asked_of_kappa() -> None:
    for counts in (((10_000, 1, 0), (0, 0, 0)), ((0, 0, 0), (1, 10_000, 0))):
        assert not Agreement(counts).reaches(0.01)


def test_a_record_of_before_is_still_valid(tmp_path: Path) -> None:
    further = {"labels": {"file": "l.jsonl", "sha256": "0" * 64, "left_out": 1, "copies": 2}}
    write_admission(tmp_path / "a.json", "0" * 64, Agreement(((50, 1, 0), (1, 50, 0))), further)
    assert read_admission(tmp_path / "a.json").measured.reaches(0.6)


# --- pairs and scales ------------------------------------------------------------------------------------------------


def test_ties_of_a_pair_are_left_out_by_name(tmp_path: Path) -> None:

    (tmp_path / "pairs.yaml").write_text("criterion: Which is better?\nlabels: [1, 2]\n")
    texts = ("a good answer", "a bad answer")
    marks = ("left", "right", "tie")
    found = [
        {"input": f"q{n}", "output_1": texts[n % 2], "output_2": texts[1 - n % 2], "label": marks[n % 2]}
        for n in range(60)
    ]
    tie = {"input": "q", "output_1": "x", "output_2": "y", "label": "tie"}
    path = write_jsonl(tmp_path / "labels.jsonl", [*found, tie])
    request = MeasureRequest(tmp_path / "judge.yaml", path, out=tmp_path / "a.json")
    sides: dict[str, Any] = {"passes": ["left"], "fails": ["right"]}
    for labels in ({}, sides):
        judge_file(tmp_path, **PAIRWISE, labels=labels)
        with pytest.raises(ConfigError, match="the column contains"):
            measure(request, quiet, models(first_is_good))
    judge_file(tmp_path, **PAIRWISE, labels={**sides, "skip": ["tie"]})
    facts = measure(request, quiet, models(first_is_good)).to_json()
    assert (facts["n"], facts["kappa"], facts["labels"]["skipped"]) == (60, 1.0, {"tie": 1})


@pytest.mark.parametrize(
    ("menu", "humans", "passing"),
    [
        (["yes", "no"], ["yes", "no"], {"yes"}),
        (["yes", "no"], ["Yes", "NO"], {"Yes"}),
        (["Yes", "No"], ["yes", "no"], {"yes"}),
        (["yes", "no"], [1, 0], {"1"}),
        (["harmful", "fine"], ["fine", "harmful"], {"harmful"}),
        (["1", "2", "3"], ["1", "0"], None),
        (["yes", "partly"], ["yes", "no"], None),
        (["true", "partly"], ["partly", "false"], None),
        (["yes", "no"], ["correct", "yes"], None),
    ],
)
def test_the_verdicts_of_the_rubric_come_first(menu: list[str], humans: list[Any], passing: set[str] | None) -> None:
    """`accept` is the first of the menu; a pair that means something else on it is not offered."""

    column = [(number, spelled(human)) for number, human in enumerate(humans)]
    scheme = Scheme(tuple(menu), lambda label: label == menu[0], pairwise=False)
    if passing is None:
        with pytest.raises(ConfigError, match="the column contains"):
            sides_of(column, LabelsOptions(), scheme)
    else:
        assert {value for value, side in sides_of(column, LabelsOptions(), scheme).items() if side} == passing


def test_a_number_off_the_scale_is_no_verdict(tmp_path: Path) -> None:

    (tmp_path / "scale.yaml").write_text("criterion: How good?\nscale: {min: 1, max: 5}\n")
    judge_file(tmp_path, rubric="scale.yaml", min=4, accept=None)
    request = MeasureRequest(tmp_path / "judge.yaml", tmp_path / "labels.jsonl", out=tmp_path / "a.json")
    stars = [n % 5 + 1 for n in range(50)]
    for odd in (0, 6, 3.5, -1):
        write_jsonl(
            request.labels, [{"prompt": f"q{n}", "answer": "a", "human": s} for n, s in enumerate([*stars, odd])]
        )
        with pytest.raises(ConfigError, match=rf"row 51: the human label '{odd}' is none of"):
            measure(request, quiet, models(lambda question: 0))
    write_jsonl(request.labels, [{"prompt": f"q{n}", "answer": "a", "human": float(s)} for n, s in enumerate(stars)])
    facts = measure(request, quiet, models(lambda question: 0)).to_json()
    assert facts["labels"]["passes"] == {"4": 10, "5": 10}
    assert facts["weighted_kappa"] is not None
