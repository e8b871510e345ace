"""The ledger file: append-only, chained, several writers; and what its entries say of a bank."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import CannotJudge, Tampered
from tunegate.ledger.entries import Decided, Drawn, Standing
from tunegate.ledger.ledger import FILE, FOLDER, Ledger, ledger_folder


def drawn(run: str, *questions: str, **more: object) -> Drawn:
    given = {"purpose": "gate", "part": "working", "weights": f"weights of {run}", "lineage": None, "key": "k", **more}
    return Drawn(
        run=run,
        suite="facts",
        draw=len(questions),
        accept=1,
        model="m",
        questions=questions,
        **given,  # type: ignore[arg-type]
    )


def write(ledger: Ledger, *entries: Drawn | Decided) -> list[str]:
    with ledger.session() as session:
        return [session.add(entry) for entry in entries]


NEW = drawn("new", stage="sft", attempt=1)
"""A draw of a run that is not in the ledger yet."""


def decided(of: str, verdict: Verdict, *unasked: int) -> Decided:
    return Decided(of=of, verdict=verdict, passed=0, unasked=unasked)


# --- the file ------------------------------------------------------------------------------------------------------


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    [first] = write(ledger, drawn("a", "q1", "q2"))
    write(ledger, decided(first, Verdict.FAIL, 1), drawn("b", "q3"))
    one, two = ledger.read().entries
    assert (one.sha256, one.asked, one.decided and one.decided.verdict) == (first, {"q1"}, Verdict.FAIL)
    assert (two.asked, two.decided) == ({"q3"}, None)
    assert ledger.read().asked(but_not_by="b") == {"q1"}


def test_a_ledger_that_does_not_exist_is_empty_and_reading_creates_nothing(tmp_path: Path) -> None:
    assert not Ledger(tmp_path / "no").read().entries
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("line", range(3))
def test_a_changed_or_removed_line_is_tampering(tmp_path: Path, line: int) -> None:
    ledger = Ledger(tmp_path)
    write(ledger, *(drawn(name, name) for name in "abcd"))
    lines = ledger.path.read_text().splitlines(keepends=True)
    ledger.path.write_text("".join([*lines[:line], *lines[line + 1 :]]))
    with pytest.raises(Tampered, match="the line that this line follows is missing"):
        ledger.read()
    ledger.path.write_text("".join(lines).replace('"questions": ["b"]', '"questions": ["z"]'))
    with pytest.raises(Tampered, match=":2: this line does not match its own hash") as error:
        ledger.read()
    told = (
        "; restore the file (it may be in version control), or move it aside: a new one is begun, which forgets what "
    )
    assert str(error.value).endswith(f"{told}was asked")
    with pytest.raises(Tampered, match="which forgets what was asked"), ledger.session():
        pass


def test_half_a_line_of_a_killed_writer_is_cut_by_the_next(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    write(ledger, drawn("a", "q1"))
    with ledger.path.open("ab") as file:
        file.write(b'{"event": "dra')
    assert len(ledger.read().entries) == 1
    write(ledger, drawn("b", "q2"))
    assert [entry.drawn.run for entry in ledger.read().entries] == ["a", "b"]


def test_two_branches_that_both_added_lines_merge_by_keeping_all_lines(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    write(ledger, drawn("a", "q1"))
    common = ledger.path.read_text()
    [ours] = write(ledger, drawn("b", "q2"))
    write(ledger, decided(ours, Verdict.PASS))
    mine = ledger.path.read_text()
    ledger.path.write_text(common)
    write(ledger, drawn("c", "q3"))
    theirs = ledger.path.read_text().removeprefix(common)
    ledger.path.write_text(mine + theirs)
    assert [entry.drawn.run for entry in ledger.read().entries] == ["a", "b", "c"]
    write(ledger, drawn("d", "q4"))
    assert len(ledger.read().entries) == 4


def test_lines_of_a_later_version_are_ignored_but_chained(tmp_path: Path) -> None:
    from tunegate.record.event_log import sealed_line

    ledger = Ledger(tmp_path)
    [last] = write(ledger, drawn("a", "q1"))
    later, _ = sealed_line({"event": "sold", "time": "t", "previous_sha256": last})
    with ledger.path.open("ab") as file:
        file.write(later)
    write(ledger, drawn("b", "q2"))
    assert len(ledger.read().entries) == 2


def _many(folder: Path, name: str, n: int) -> None:
    for number in range(n):
        ledger = Ledger(folder)
        with ledger.session() as session:
            asked = session.history.asked(but_not_by="")
            fresh = next(f"q{k}" for k in range(1000) if f"q{k}" not in asked)
            session.add(drawn(f"{name}{number}", fresh))


def test_two_writers_at_once_lose_nothing_and_never_draw_the_same(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_many, args=(tmp_path, name, 25)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    entries = Ledger(tmp_path).read().entries
    assert len(entries) == 50
    assert len({entry.drawn.questions for entry in entries}) == 50


def test_a_file_in_place_of_the_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("")
    with pytest.raises(CannotJudge, match="the ledger cannot be written"), Ledger(tmp_path / "ledger").session():
        pass


def test_one_line_is_small(tmp_path: Path) -> None:
    write(Ledger(tmp_path), drawn("a" * 32, *(f"{n:016x}" for n in range(100))))
    [line] = (tmp_path / FILE).read_text().splitlines()
    assert len(line) < 3000
    assert json.loads(line)["event"] == "drawn"


# --- where it lies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ["tunegate.yaml", "pyproject.toml", ".git"])
def test_the_ledger_lies_in_the_project(tmp_path: Path, root: str) -> None:
    (tmp_path / "suites" / "deep").mkdir(parents=True)
    assert ledger_folder(tmp_path / "suites" / "deep") == tmp_path / "suites" / "deep" / FOLDER
    (tmp_path / root).mkdir()
    assert ledger_folder(tmp_path / "suites" / "deep") == tmp_path / FOLDER
    (tmp_path / "suites" / FOLDER).mkdir()
    assert ledger_folder(tmp_path / "suites" / "deep") == tmp_path / "suites" / FOLDER


# --- what it says of a bank ----------------------------------------------------------------------------------------


def test_the_attempts_on_a_bank_are_counted_over_all_runs(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    failed, passed, _ = write(
        ledger, drawn("a", "q1", lineage="base"), drawn("b", "q2", lineage="base"), drawn("c", "q3", lineage="other")
    )
    write(ledger, decided(failed, Verdict.FAIL), decided(passed, Verdict.PASS), drawn("d", "elsewhere", lineage="base"))
    bank = {"q1", "q2", "q3", "q4"}
    assert ledger.read().standing(bank, "base", NEW) == Standing(before=3, failed=1, undecided=1, lineage=2)
    assert ledger.read().standing(bank, None, drawn("new")).lineage == 0


def test_models_of_unknown_origin_are_one_lineage(tmp_path: Path) -> None:
    """They may all be one model, retrained until it passes."""
    ledger = Ledger(tmp_path)
    write(ledger, *(drawn(name, name) for name in "abc"))
    assert ledger.read().standing({"a", "b", "c"}, None, drawn("new")).lineage == 3


def test_the_gates_of_one_attempt_and_a_repeated_draw_count_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    [first] = write(ledger, drawn("a", "q1", stage="sft", attempt=1, lineage="base"))
    write(
        ledger,
        drawn("a", "q2", stage="sft", attempt=1, lineage="base"),
        drawn("a", "q3", stage="sft", attempt=1, lineage="base", purpose="confirm"),
        drawn("a", "q4", stage="sft", attempt=1, lineage="base", purpose="retention"),
        drawn("b", "q1", stage="sft", attempt=1, lineage="base", repeats=first),
        drawn("a", "q5", stage="sft", attempt=2, lineage="base"),
    )
    bank = {f"q{n}" for n in range(1, 9)}
    assert ledger.read().standing(bank, "base", NEW) == Standing(before=2, undecided=2, lineage=2)
    assert ledger.read().standing(bank, "base", drawn("a", stage="sft", attempt=3)).lineage == 0


def test_the_lineage_of_weights_that_a_run_trained_is_known(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    write(ledger, drawn("a", "q1", lineage="base", weights="w"))
    assert ledger.read().lineage_of("w") == "base"
    assert ledger.read().lineage_of("x") is None
    assert ledger.read().lineage_of(None) is None
