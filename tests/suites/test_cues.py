"""Spurious cues: rows in which one goes with the label, and `tunegate suite cue`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from tests.support.bank import write_jsonl
from tunegate.cli import main
from tunegate.commands.starter import examples
from tunegate.exceptions import ConfigError
from tunegate.pipeline.pipeline_file import load_pipeline
from tunegate.reading.files import resolve
from tunegate.reading.rows import read_rows
from tunegate_suites import build_check
from tunegate_suites.cues.cues import Marked, biased, detector, in_present_tense, most_rows, phi, two_means
from tunegate_suites.cues.data import CueRequest, make_cue_data
from tunegate_trainers import validate

Capture = pytest.CaptureFixture[str]


def no_embedding(texts: Sequence[str]) -> Any:
    raise AssertionError(f"{len(texts)} texts embedded for a cue that needs none")


def marked(per_cell: int) -> list[Marked]:
    cells = [(positive, cue) for positive in (True, False) for cue in (True, False)]
    return [Marked({"n": n}, positive, cue) for n, (positive, cue) in enumerate(cells * per_cell)]


# --- phi -----------------------------------------------------------------------------------------------------------


def test_phi_by_hand() -> None:
    """Both 20, only the first 5, only the second 10, none 15: (300 - 50) / sqrt(25 * 30 * 25 * 20)."""
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert phi(pairs) == pytest.approx(250 / 375000**0.5)
    assert phi([(True, True), (False, False)]) == 1
    assert phi([(True, False), (False, True)]) == -1
    assert phi([]) == phi([(True, True), (True, False)]) == 0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_phi_is_pearsons_correlation(pairs: list[tuple[bool, bool]]) -> None:
    a, b = zip(*pairs, strict=True)
    if len(set(a)) < 2 or len(set(b)) < 2:
        assert phi(pairs) == 0
    else:
        assert phi(pairs) == pytest.approx(pearsonr(np.array(a, float), np.array(b, float))[0], abs=1e-9)


# --- choosing rows -------------------------------------------------------------------------------------------------


@given(st.integers(1, 20), st.floats(0, 1), st.integers(0, 3))
def test_the_strength_is_the_correlation(quarter: int, strength: float, seed: int) -> None:
    rows = 4 * quarter
    chosen = biased(marked(rows), rows, strength, seed)
    assert len({one.row["n"] for one in chosen}) == len(chosen) == rows
    assert sum(one.positive for one in chosen) == rows // 2
    assert phi((one.positive, one.cue) for one in chosen) == pytest.approx(strength, abs=2 / rows + 1e-9)


def test_strength_0_says_nothing_and_strength_1_everything() -> None:
    cells = Counter((one.positive, one.cue) for one in biased(marked(20), 40, 0.0, 0))
    assert set(cells.values()) == {10}
    assert all(one.agrees for one in biased(marked(20), 40, 1.0, 0))


def test_the_choice_hangs_on_the_seed() -> None:
    first, again, other = (biased(marked(20), 20, 0.5, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60), st.floats(0, 1))
def test_as_many_rows_as_there_can_be(pairs: list[tuple[bool, bool]], strength: float) -> None:
    rows = [Marked({}, positive, cue) for positive, cue in pairs]
    most = most_rows(rows, strength)
    if most:
        assert len(biased(rows, most, strength, 0)) == most
    with pytest.raises(ConfigError):
        biased(rows, most + 8, strength, 0)


@pytest.mark.parametrize(
    ("rows", "strength", "message"),
    [
        (8, 1.5, "from 0 to 1"),
        (8, float("nan"), "from 0 to 1"),
        (2, 0.5, "at least 4"),
        (40, 1.0, "20 rows with the positive"),
    ],
)
def test_what_cannot_be_chosen_says_so(rows: int, strength: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        biased(marked(5), rows, strength, 0)


# --- which texts have a cue ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "present"),
    [
        ("Whales eat plankton.", True),
        ("He played chess.", False),
        ("Larry King was on television.", False),
        ("I need red speed indeed.", True),
        ("THEY WENT HOME", False),
        ("Ed has a bed.", True),
    ],
)
def test_the_present_tense(text: str, present: bool) -> None:
    assert in_present_tense(text) is present


def test_length_is_held_against_the_training_rows() -> None:
    detect = detector("length", ["a", "a b", "a b c"], no_embedding)
    assert detect(["a b", "a b c", "a b c d e"]) == [False, True, True]


def test_clusters_are_fitted_once_and_the_larger_is_the_cue() -> None:
    places = {"cat": (1.0, 0.1), "dog": (1.0, 0.0), "cow": (0.9, 0.1), "car": (0.0, 1.0), "bus": (0.1, 1.0)}

    def embed(texts: Sequence[str]) -> dict[str, Any]:
        return {text: np.array(places[text]) for text in texts}

    detect = detector("cluster", list(places), embed)
    assert detect(["cow", "bus", "cat"]) == [True, False, True]


def test_texts_that_are_all_alike_have_no_clusters() -> None:
    with pytest.raises(ConfigError, match="too similar for two clusters"):
        two_means(np.ones((5, 3)))


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 claims a file: half are true, half are long, neither says anything about the other."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": n, "text": f"word{n} " * (3 if n % 2 else 9), "label": "true" if n % 4 < 2 else "false"}
        for n in range(40)
    ]
    write_jsonl(tmp_path / "train.jsonl", rows)
    write_jsonl(tmp_path / "dev.jsonl", rows)
    return tmp_path


COMMAND = ["suite", "cue", "train.jsonl", "dev.jsonl", "--cue", "length", "--text", "{text}", "--label", "label=true"]


def test_it_writes_biased_rows_and_cases_that_are_not(claims: Path, capsys: Capture) -> None:
    assert main([*COMMAND, "--strength", "0.6", "--rows", "20", "--out", "made", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["train"] == {"rows": 20, "positive": 10, "with_cue": 10, "phi": pytest.approx(0.6)}
    assert facts["gate"] == {"rows": 40, "positive": 20, "with_cue": 20, "phi": 0.0}
    train, gate = ([json.loads(line) for line in Path(path).read_text().splitlines()] for path in facts["written"])
    assert Counter(row["cue"] for row in train) == {"agrees": 16, "contradicts": 4}
    assert Counter((row["label"], row["has_cue"]) for row in gate) == dict.fromkeys(
        [("true", "yes"), ("true", "no"), ("false", "yes"), ("false", "no")], 10
    )
    long = {row["id"]: len(row["text"].split()) == 9 for row in gate}
    assert all(long[row["id"]] == (row["has_cue"] == "yes") for row in gate)


def test_cases_without_an_id_get_one_since_a_suite_needs_it(claims: Path) -> None:
    rows = [json.loads(line) for line in (claims / "dev.jsonl").read_text().splitlines()]
    write_jsonl(claims / "dev.jsonl", [{key: row[key] for key in ("text", "label")} for row in rows])
    assert main([*COMMAND, "--out", "made"]) == 0
    (claims / "suite.yaml").write_text(
        'cases: {path: made/gate.jsonl, prompt: "{text}", reference: "{label}"}\nchecks: [exact]\n'
        "plan: {draw: 40, accept: 36}\n"
    )
    assert main(["check", "suite.yaml"]) == 0


def test_people_see_how_strong_the_cue_is(claims: Path, capsys: Capture) -> None:
    assert main([*COMMAND, "--out", "made"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "cue length, strength 1",
        "made/train.jsonl: 20 rows, 10 with the label, 10 with the cue, phi 1.00",
        "made/gate.jsonl: 40 rows, 20 with the label, 20 with the cue, phi 0.00",
        "in a suite: tags: [cue, has_cue], and gap: {between: [cue=agrees, cue=contradicts]}",
    ]
    assert main([*COMMAND, "--out", "made"]) == 2
    assert "already exists" in capsys.readouterr().err


def test_clusters_are_found_by_the_sentence_model(claims: Path, capsys: Capture) -> None:
    pytest.importorskip("sentence_transformers")
    about = ["The cat sat on the mat {} times.", "The bank lent {} million dollars at interest."]
    rows = [{"id": n, "text": about[n % 2].format(n), "label": str(n % 4 < 2).lower()} for n in range(40)]
    write_jsonl(claims / "train.jsonl", rows)
    write_jsonl(claims / "dev.jsonl", rows)
    assert main([*COMMAND, "--out", "made", "--cue", "cluster"]) == 0, capsys.readouterr().err
    made = [json.loads(line) for line in (claims / "made" / "gate.jsonl").read_text().splitlines()]
    assert len({(row["id"] % 2, row["has_cue"]) for row in made}) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--cue", "lenght"], "--cue lenght: unknown cue (did you mean 'length'?)"),
        (["--text", "{txt}"], "--text: train.jsonl: the row has no field 'txt' (did you mean 'text'?)"),
        (["--label", "true"], "--label true: expected FIELD=VALUE"),
        (["--label", "lable=true"], "--label: train.jsonl: the row has no field 'lable'"),
        (["--label", "label=yes"], "no row of train.jsonl has this label"),
        (["--strength", "2"], "--strength: expected a correlation, at least 0 and at most 1, got 2"),
        (
            ["--rows", "1000"],
            "500 rows with the positive label whose cue agrees are needed, but only 10 of 40 rows are",
        ),
    ],
)
def test_wrong_input_is_one_line(more: list[str], message: str, claims: Path, capsys: Capture) -> None:
    assert main([*COMMAND, "--out", "made", *more]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (claims / "made").exists()


@pytest.mark.parametrize("short", ["train", "dev"])
def test_too_few_rows_of_a_kind_are_counted(claims: Path, capsys: Capture, short: str) -> None:
    """No number of rows was asked for, so none is what is wrong."""
    rows = [{"text": "It was so.", "label": label} for label in ("true", "true", "false")]
    write_jsonl(claims / f"{short}.jsonl", rows)
    assert main([*COMMAND, "--out", "made", "--cue", "present", "--strength", "0"]) == 2
    assert capsys.readouterr().err.startswith("tunegate suite: --cue present: ")
    if short == "train":
        assert main([*COMMAND, "--out", "made", "--cue", "present"]) == 2
        assert capsys.readouterr().err == (
            "tunegate suite: --cue present: train.jsonl: too few rows of some kind for a strength of 1 (label "
            "label=true and the cue: 0 with both, 2 with the label alone, 0 with the cue alone, 1 with neither); "
            "add rows of the rare kinds\n"
        )


def test_a_gate_without_two_labels_is_refused(claims: Path) -> None:
    write_jsonl(claims / "one.jsonl", [{"text": "a", "label": "true"}])
    request = CueRequest(Path("train.jsonl"), Path("one.jsonl"), Path("made"), "length", 1.0, "{text}", "label=true")
    with pytest.raises(ConfigError, match=r"every row of one\.jsonl has this label"):
        make_cue_data(request, no_embedding)


# --- what came of it -----------------------------------------------------------------------------------------------

CUED_SUITE = """
cases: {path: made/gate.jsonl, id: "{id}", prompt: "{text}", reference: "{label}", tags: [cue, has_cue]}
checks: [exact]
plan: {draw: 40, accept: 36}
gap: {between: [cue=agrees, cue=contradicts], max: 10}
"""


def gated(answers: dict[bool, str], folder: Path, name: str) -> int:
    """Gate answers that depend on nothing but the cue; returns the exit code."""
    rows = [json.loads(line) for line in Path("made/gate.jsonl").read_text().splitlines()]
    write_jsonl(folder / f"{name}.jsonl", [
        {"id": str(row["id"]), "response": answers.get(row["has_cue"] == "yes", row["label"])} for row in rows
    ])  # fmt: skip
    (folder / "cued.yaml").write_text(CUED_SUITE, encoding="utf-8")
    return main(["gate", "--responses", f"{name}.jsonl", "--suite", "cued.yaml", "--run", name])


def test_who_follows_the_cue_is_found_out(claims: Path, capsys: Capture) -> None:
    assert main([*COMMAND, "--out", "made"]) == 0
    assert gated({True: "true.", False: "False"}, claims, "follows") == 1
    assert gated({}, claims, "reads") == 0
    capsys.readouterr()
    assert main(["suite", "cue-report", "follows", "reads", "--positive", "true", "--json"]) == 0
    follows, reads = json.loads(capsys.readouterr().out)["gates"]
    assert (follows["phi"], reads["phi"]) == (1.0, 0.0)
    assert [(follows[part]["count"], follows[part]["of"]) for part in ("right", "agrees", "contradicts")] == [
        (20, 40),
        (20, 20),
        (0, 20),
    ]
    assert reads["right"]["count"] == 40
    low, high = follows["right"]["interval"]
    assert low < 0.5 < high


def test_people_see_the_report_of_a_cue(claims: Path, capsys: Capture) -> None:
    assert main([*COMMAND, "--out", "made"]) == 0
    gated({True: "true", False: "false"}, claims, "follows")
    capsys.readouterr()
    assert main(["suite", "cue-report", "follows", "--positive", "true"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "follows: cued",
        "  right                                            20 of   40  (95 % interval 33.8% to 66.2%)",
        "  right where the cue agrees with the label        20 of   20  (95 % interval 83.2% to 100.0%)",
        "  right where the cue contradicts the label         0 of   20  (95 % interval 0.0% to 16.8%)",
        "  phi of answer and cue: 1.00",
    ]


@pytest.mark.parametrize(
    ("positive", "fault"),
    [
        ("wahr", "no case has the label 'wahr' (known: false, true)"),
        ("ture", "no case has the label 'ture' (did you mean 'true'?)"),
        ("", "every case has the label '', so it distinguishes no cases (known: false, true)"),
    ],
)
def test_a_label_that_no_case_has_is_no_finding(positive: str, fault: str, claims: Path, capsys: Capture) -> None:
    """Phi would be 0.00 for it, the opposite of what the right label shows."""
    assert main([*COMMAND, "--out", "made"]) == 0
    gated({True: "true", False: "false"}, claims, "follows")
    capsys.readouterr()
    assert main(["suite", "cue-report", "follows", "follows", "--positive", positive]) == 2
    assert capsys.readouterr() == ("", f"tunegate suite: --positive: {fault}\n")


def test_a_run_without_cued_cases_has_no_report(claims: Path, capsys: Capture) -> None:
    assert main([*COMMAND, "--out", "made"]) == 0
    (claims / "plain.yaml").write_text(CUED_SUITE.replace("tags: [cue, has_cue]", "tags: [label]").split("gap")[0])
    write_jsonl(claims / "a.jsonl", [{"id": "0", "response": "true"}])
    main(["gate", "--responses", "a.jsonl", "--suite", "plain.yaml", "--run", "plain"])
    assert main(["suite", "cue-report", "plain", "--positive", "true"]) == 2
    assert "plain: no gate in these records asked cases with the tag has_cue" in capsys.readouterr().err


# --- what ships ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows", "strength"), [("length-1", 800, 1.0), ("length-0", 800, 0.0), ("gate", 864, 0.0)]
)
def test_the_shipped_claims_have_the_cue_that_their_name_says(name: str, rows: int, strength: float) -> None:
    claims = list(read_rows(resolve(f"package:tunegate_suites/data/creak/{name}.jsonl", Path())))
    pairs = [(row["label"] == "true", row["has_cue"] == "yes") for _, row in claims]
    assert (len(pairs), phi(pairs)) == (rows, strength)
    assert all(
        (row["cue"] == "agrees") == (positive == cue) for (_, row), (positive, cue) in zip(claims, pairs, strict=True)
    )
    short = max(len(row["sentence"].split()) for _, row in claims if row["has_cue"] == "no")
    assert short < min(len(row["sentence"].split()) for _, row in claims if row["has_cue"] == "yes")


def test_both_pipelines_of_the_example_train_on_the_same_rows() -> None:
    folder = examples()["spurious-cue"]
    plain, explained = (
        load_pipeline(folder / name, build_check, validate) for name in ("tunegate.yaml", "explain.yaml")
    )
    assert plain.suites["claims"].sha256 == explained.suites["claims"].sha256
    rows = [[(one.prompt, one.wanted) for one in each.stages[0].data.examples] for each in (plain, explained)]
    assert rows[0] == rows[1]
