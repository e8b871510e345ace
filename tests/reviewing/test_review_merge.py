"""`tunegate review merge`: what several reviewers say together, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.reviewed import data_of, gate_to_review, page_of, right_by_reference, rows_of, write_review
from tunegate.cli import main
from tunegate.gates.people import read_people
from tunegate.stats.agreement import kappa, two_way_kappa_interval
from tunegate_suites.judges.fit import fitted_json

Capture = pytest.CaptureFixture[str]
Label = Callable[[dict[str, Any], int], str]
Write = Callable[..., Path]


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return gate_to_review(tmp_path)


@pytest.fixture
def review(gate: Path, tmp_path: Path) -> Write:
    """Write what a reviewer of the gate saves; `wrong` are the cases that they are mistaken about."""

    def write(name: str, *wrong: str, label: Label | None = None, words: tuple[str, ...] = ()) -> Path:
        page = page_of(gate, "--n", "40", "--reviewer", name, *words, out=f"{name}.html")
        said = label or (lambda item, turn: right_by_reference(item, wrong))
        return write_review(tmp_path / f"{name}.jsonl", page, name, said)

    return write


def cases(path: Path) -> list[str]:
    return [row["case_id"] for row in rows_of(path)[1] if not row["repeat_of"]]


def merged(capsys: Capture, *words: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["review", "merge", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_two_reviewers_are_compared_and_their_labels_written(review: Write, gate: Path, capsys: Capture) -> None:
    ann = review("ann")
    disputed = sorted(cases(ann))[:3]
    bob = review("bob", *disputed)
    found = merged(capsys, ann, bob, "--out", "labels.jsonl")
    said = {row["case_id"]: row["label"] for row in rows_of(ann)[1]}
    wrong = sum(label == "wrong" for label in said.values())
    also = sum(said[one] == "wrong" for one in disputed)
    table = [[40 - wrong - (3 - also), 3 - also], [also, wrong - also]]
    assert found["agreement"]["name"] == "kappa"
    assert found["agreement"]["value"] == pytest.approx(kappa(table))
    assert found["agreement"]["interval"] == pytest.approx(two_way_kappa_interval(table))
    assert found["agreement"]["same"] == {"count": 37, "of": 40}
    assert found["with_themselves"] == {"ann": {"count": 4, "of": 4}, "bob": {"count": 4, "of": 4}}
    assert sorted(found["disagreements"]) == disputed
    assert found["counts"] == {"right": table[0][0], "wrong": table[1][1], "can't tell": 3}
    labels = [json.loads(line) for line in Path("labels.jsonl").read_text().splitlines()]
    assert labels[0]["prompt"].startswith("What is")
    assert {row["labelled"] for row in labels} == {"2026-11-30"}
    people = read_people(Path("labels.jsonl"))
    assert (len(people.votes), len(people.labelled)) == (40, 37)
    assert main(["report", str(gate), "--labels", "labels.jsonl"]) == 0
    assert "from 37 labels of 100 answers; people did not decide 3" not in capsys.readouterr().err


def test_a_reviewer_is_compared_with_themselves(review: Write, capsys: Capture) -> None:
    ann = review("ann", label=lambda item, turn: "right" if turn % 2 else "wrong")
    rows = rows_of(ann)[1]
    same = sum((row["order"] - row["repeat_of"]) % 2 == 0 for row in rows if row["repeat_of"])
    assert merged(capsys, ann)["with_themselves"] == {"ann": {"count": same, "of": 4}}
    assert main(["review", "merge", str(ann)]) == 0
    assert f"ann with themselves: the same verdict on {same} of 4 shown twice" in capsys.readouterr().out


def test_three_reviewers_and_a_majority(review: Write, capsys: Capture) -> None:
    ann = review("ann")
    first, second = sorted(cases(ann))[:2]
    files = [ann, review("bob", first), review("cat", first, second)]
    found = merged(capsys, *files, "--out", "labels.jsonl")
    assert found["agreement"]["name"] == "alpha"
    assert found["agreement"]["same"] == {"count": 38, "of": 40}
    labels = {one["case_id"]: one["label"] for one in map(json.loads, Path("labels.jsonl").read_text().splitlines())}
    said = {row["case_id"]: row["label"] for row in rows_of(ann)[1]}
    assert labels[second] == said[second]
    assert labels[first] != said[first]  # two of three are mistaken


def test_items_of_the_rubric_are_compared_one_by_one(gate: Path, tmp_path: Path, capsys: Capture) -> None:
    Path("rubric.yaml").write_text("criterion: Good?\nitems: {facts: 'right?', tone: 'polite?'}\n")
    files: list[Path] = []
    for name, tone in (("ann", "right"), ("bob", "wrong")):
        page = page_of(gate, "--n", "20", "--reviewer", name, "--rubric", "rubric.yaml", out=f"{name}.html")
        path = write_review(tmp_path / f"{name}.jsonl", page, name, lambda item, turn: right_by_reference(item))
        header, rows = rows_of(path)
        rows = [{**row, "items": {"facts": row["label"], "tone": tone}} for row in rows]
        files.append(write_jsonl(path, [header, *rows]))
    found = merged(capsys, *files)
    assert found["items"]["facts"]["same"] == {"count": 20, "of": 20}
    assert found["items"]["tone"]["same"] == {"count": 0, "of": 20}


def test_disagreements_are_settled_on_a_page_of_their_own(review: Write, tmp_path: Path, capsys: Capture) -> None:
    ann = review("ann")
    disputed = sorted(cases(ann))[:3]
    bob = review("bob", *disputed)
    header, rows = rows_of(bob)
    write_jsonl(bob, [header, *({**row, "comment": f"about {row['case_id']}"} for row in rows)])
    merged(capsys, ann, bob, "--adjudicate", "d.html")
    data = data_of(tmp_path / "d.html")
    assert data["header"]["settles"] is True
    assert sorted(item["id"] for item in data["items"]) == disputed
    assert any(f"about {disputed[0]}" in note for item in data["items"] for note in item["notes"])
    assert all("ann" not in note and "bob" not in note for item in data["items"] for note in item["notes"])
    assert len(data["showings"]) == 3
    cat = write_review(tmp_path / "cat.jsonl", tmp_path / "d.html", "cat", lambda item, turn: right_by_reference(item))
    before = merged(capsys, ann, bob)
    after = merged(capsys, ann, bob, cat, "--out", "labels.jsonl")
    assert after["agreement"] == before["agreement"]  # who settles is no third reviewer
    assert (after["disagreements"], after["counts"]["can't tell"]) == ([], 0)


def test_a_file_of_labels_grows_and_never_contradicts_itself(
    review: Write, gate: Path, tmp_path: Path, capsys: Capture
) -> None:
    ann = review("ann")
    one = cases(ann)[0]
    bob = review("bob", one)
    merged(capsys, ann, bob, "--out", "labels.jsonl")
    other = gate_to_review(tmp_path, 100, lambda n: f"{2 * n}!", name="other")
    page = page_of(other, "--n", "10", "--reviewer", "ann", out="o.html")
    more = write_review(tmp_path / "more.jsonl", page, "ann", lambda item, turn: "wrong")
    assert main(["review", "merge", str(more), "--out", "labels.jsonl"]) == 0
    assert "labels: labels.jsonl, after 40 rows of other answers" in capsys.readouterr().out
    assert len(read_people(Path("labels.jsonl")).labelled) == 49
    merged(capsys, ann, "--out", "labels.jsonl")  # what was undecided is decided now
    assert len(read_people(Path("labels.jsonl")).labelled) == 50
    dan = review("dan", one)
    assert main(["review", "merge", str(dan), "--out", "labels.jsonl"]) == 2
    said = capsys.readouterr().err
    assert f"of an answer to '{one}', the merged files say" in said


def test_people_who_prefer_a_gate_are_counted(gate: Path, tmp_path: Path, capsys: Capture) -> None:
    """And a pairwise judge can be measured with what they chose."""
    other = gate_to_review(tmp_path, 100, lambda n: f"It is {2 * n}.", name="other")

    def better(item: dict[str, Any], turn: int) -> str:
        longer = max(item["answers"], key=lambda answer: answer[1].startswith("It is"))[0]
        if turn % 5 == 0:
            return "can't tell"
        return "left is better" if item["left"] == longer else "right is better"

    page = page_of(gate, "--against", str(other), "--n", "40", "--reviewer", "ann")
    path = write_review(tmp_path / "ann.jsonl", page, "ann", better)
    found = merged(capsys, path, "--out", "pairs.jsonl")
    first = [row for row in rows_of(path)[1] if not row["repeat_of"]]
    cannot = sum(row["label"] == "can't tell" for row in first)
    assert list(found["counts"].values()) == [0, 40 - cannot, cannot]
    rows = [json.loads(line) for line in Path("pairs.jsonl").read_text().splitlines()]
    assert len(rows) == 40 - cannot
    assert all(row[f"output_{row['label']}"].startswith("It is") for row in rows)
    assert main(["report", str(gate), "--labels", str(path)]) == 2
    assert "people's choices between two answers" in capsys.readouterr().err


def test_labels_measure_a_judge(gate: Path, review: Write, capsys: Capture) -> None:
    """`tunegate judge` takes the file as it is, and leaves out what people did not decide."""
    ann = review("ann", label=lambda item, turn: "can't tell" if item["id"] == "q3" else right_by_reference(item))
    merged(capsys, ann, "--out", "labels.jsonl")
    Path("judge.yaml").write_text("compare: {features: [contains], fitted: w.json}\n")
    fitted = {"weights": {"contains": 1.0}, "bias": 0.0, "cut": 0.5}
    Path("w.json").write_text(fitted_json(fitted, [], {}))
    code = main(["judge", "judge.yaml", "--labels", "labels.jsonl", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert code in (0, 1)
    assert said["n"] >= 39
    assert said["counts"][0][0] > 20


# --- what is refused -------------------------------------------------------------------------------------------------


def refused(capsys: Capture, *words: str | Path) -> str:
    capsys.readouterr()
    assert main(["review", "merge", *map(str, words)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("tunegate review: ")
    return said


def changed(path: Path, *, line: int | None = None, **values: Any) -> Path:
    rows = [json.loads(one) for one in path.read_text().splitlines()]
    place = 0 if line is None else line
    rows[place] = {**rows[place], **values}
    return write_jsonl(path, rows)


def renamed(path: Path, reviewer: str) -> Path:
    return write_jsonl(path, [{**json.loads(one), "reviewer": reviewer} for one in path.read_text().splitlines()])


def test_files_of_different_reviews_are_refused(review: Write, tmp_path: Path, capsys: Capture) -> None:
    ann, bob = review("ann"), review("bob")
    for field, what in (("record_sha256", "record"), ("rubric_sha256", "rubric")):
        before = bob.read_text()
        changed(bob, **{field: "0" * 64})
        assert f"another {what} than that of" in refused(capsys, ann, bob)
        bob.write_text(before)
    renamed(bob, "Ann ")
    assert "its reviewer 'Ann ' is that of" in refused(capsys, ann, bob)
    assert "a person counts once" in refused(capsys, ann, ann)


def test_a_copy_under_another_name_is_no_second_reviewer(review: Write, capsys: Capture) -> None:
    ann = review("ann")
    copy = renamed(Path(shutil.copy(ann, "zoe.jsonl")), "zoe")
    assert "ann.jsonl: the same verdicts in the same order and the same seconds as in zoe" in refused(capsys, ann, copy)


def test_two_who_settle_otherwise_are_refused(review: Write, capsys: Capture) -> None:
    """The order of the files must not decide."""
    ann, bob = review("ann"), review("bob", label=lambda item, turn: "right")
    case = cases(ann)[0]
    judges = [changed(review(name, *wrong), settles=True) for name, wrong in (("cat", ()), ("dan", (case,)))]
    for two in (judges, judges[::-1]):
        assert f"it settles {case!r} differently from" in refused(capsys, ann, bob, *two)


@pytest.mark.parametrize(
    ("line", "values", "message"),
    [
        (3, {"response_sha256": "0" * 64}, "ann.jsonl:4: the label is of another answer to"),
        (3, {"label": "perhaps"}, "ann.jsonl:4: label: expected one of right, wrong, can't tell, got 'perhaps'"),
        (3, {"order": "2"}, "ann.jsonl:4: expected case_id, response_sha256 and order"),
        (3, {"order": 1}, "ann.jsonl:4: order 1 is on line 2 too"),
        (3, {"repeat_of": 1}, "ann.jsonl:4: repeat_of: turn 1 did not show this answer"),
        (3, {"repeat_of": "x"}, "ann.jsonl:4: repeat_of: expected a number or null, got 'x'"),
        (3, {"items": [1]}, "ann.jsonl:4: items: expected a mapping"),
        (0, {"format": "other"}, "ann.jsonl: not a file that a page of `tunegate review` saved"),
        (0, {"kind": "lines"}, "ann.jsonl:1: kind: missing or wrong"),
        (0, {"reviewer": ""}, "ann.jsonl:1: reviewer: missing or wrong"),
        (
            0,
            {"saved": "yesterday"},
            "ann.jsonl:1: saved: expected a time such as 2026-11-30T10:00:00Z, got 'yesterday'",
        ),
        (0, {"saved": None}, "ann.jsonl:1: saved: expected a time"),
        (3, {"reviewer": "bob"}, "ann.jsonl:4: reviewer: expected 'ann' as on line 1, got 'bob'"),
        (3, {"prompt_sha256": "0" * 64}, "ann.jsonl:4: the label is of another prompt of"),
    ],
)
def test_a_file_that_was_changed_is_refused(
    review: Write, capsys: Capture, line: int, values: dict[str, Any], message: str
) -> None:
    assert message in refused(capsys, changed(review("ann"), line=line, **values))


def test_a_torn_line_is_refused(review: Write, capsys: Capture) -> None:
    ann = review("ann")
    ann.write_text(ann.read_text()[:-40])
    assert "ann.jsonl:45: " in refused(capsys, ann)


def test_an_answer_twice_in_a_file_is_refused(review: Write, capsys: Capture) -> None:
    ann = review("ann")
    rows = ann.read_text().splitlines()
    again = {**json.loads(rows[1]), "order": 99}
    ann.write_text("\n".join([*rows, json.dumps(again)]) + "\n")
    assert "is on line 2 too" in refused(capsys, ann)


def test_options_that_do_nothing_are_refused(review: Write, capsys: Capture) -> None:
    ann = review("ann")
    for words in (["--n", "3"], ["--gate", "x"], ["--reviewer", "x"], ["--against", "x"], ["--missing"]):
        assert "has no effect with merge" in refused(capsys, ann, *words)
    assert "no effect with merge without --adjudicate" in refused(capsys, ann, "--seed", "1")
    assert "the reviewers agree on every answer" in refused(capsys, ann, "--adjudicate", "d.html")
    assert "name the files that reviewers downloaded" in refused(capsys)
    assert "no gate there has the answers that were reviewed" in refused(capsys, ann, "--of", str(gate_of_others(ann)))


def gate_of_others(path: Path) -> Path:
    (path.parent / "elsewhere").mkdir()
    return gate_to_review(path.parent / "elsewhere", 20, lambda n: "no")


def test_without_the_record_labels_are_not_compared_and_this_is_said(
    review: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    ann = review("ann")
    bob = review("bob", cases(ann)[0])
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    capsys.readouterr()
    assert main(["review", "merge", str(ann), "--out", "labels.jsonl"]) == 0
    assert "the reviewed gate is not here" in capsys.readouterr().out
    assert '"prompt":' not in Path("labels.jsonl").read_text()
    assert "name it with --of" in refused(capsys, ann, bob, "--adjudicate", "d.html")
    assert main(["review", "merge", str(ann), "--of", str(tmp_path / "gate"), "--out", "labels.jsonl"]) == 0
    assert "prompt" in Path("labels.jsonl").read_text()


def test_adjudication_needs_the_rubric_of_the_review(
    gate: Path, review: Write, tmp_path: Path, capsys: Capture
) -> None:
    Path("rubric.yaml").write_text("criterion: Is it right?\n")
    ann = review("ann", words=("--rubric", "rubric.yaml"))
    bob = review("bob", cases(ann)[0], words=("--rubric", "rubric.yaml"))
    assert "name that of the review with --rubric" in refused(capsys, ann, bob, "--adjudicate", "d.html")
    merged(capsys, ann, bob, "--adjudicate", "d.html", "--rubric", "rubric.yaml")
    assert data_of(tmp_path / "d.html")["criterion"] == "Is it right?"
