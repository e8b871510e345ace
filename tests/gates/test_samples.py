"""Several answers a case: which of them must pass, and that counts and intervals are of cases."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.record.test_attrition import rewrite
from tests.support.bank import write_jsonl
from tunegate.cases.case import Case, sample_id
from tunegate.checks.outcome import CasePasses, Verdict, vote
from tunegate.exceptions import ConfigError, Tampered
from tunegate.gates.ask import asked_prompts
from tunegate.gates.gate_run import GateRequest, run_gate
from tunegate.gates.people import PeopleLabels, Vote, people_rate
from tunegate.models.model import Fault, GenerationSettings, Response
from tunegate.models.responses import load_responses
from tunegate.progress import no_progress
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck
from tunegate.record.record import GateRecord
from tunegate.stats.sampling import exact_interval
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

PASS, FAIL, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INVALID


@pytest.mark.parametrize(
    ("verdicts", "by_all", "by_majority", "by_any"),
    [
        ([PASS, PASS, PASS], PASS, PASS, PASS),
        ([PASS, PASS, FAIL], FAIL, PASS, PASS),
        ([PASS, FAIL, FAIL], FAIL, FAIL, PASS),
        ([FAIL, FAIL, FAIL], FAIL, FAIL, FAIL),
        ([PASS, FAIL], FAIL, FAIL, PASS),  # half is no majority
        ([PASS, PASS, INVALID], INVALID, PASS, PASS),
        ([PASS, FAIL, INVALID], FAIL, INVALID, PASS),
        ([FAIL, FAIL, INVALID], FAIL, FAIL, INVALID),
        ([INVALID, INVALID, INVALID], INVALID, INVALID, INVALID),
        ([], INVALID, INVALID, INVALID),
    ],
)
def test_the_vote_of_the_answers(
    verdicts: list[Verdict], by_all: Verdict, by_majority: Verdict, by_any: Verdict
) -> None:
    assert [vote(verdicts, "all"), vote(verdicts, "majority"), vote(verdicts, "any")] == [by_all, by_majority, by_any]


@given(
    st.lists(st.sampled_from([PASS, FAIL, INVALID]), min_size=1, max_size=6),
    st.sampled_from(["all", "majority", "any"]),
)
def test_an_answer_that_was_not_judged_never_decides(verdicts: list[Verdict], passes: CasePasses) -> None:
    def filled(with_: Verdict) -> Verdict:
        return vote([with_ if verdict is INVALID else verdict for verdict in verdicts], passes)

    best, worst = filled(PASS), filled(FAIL)
    assert vote(verdicts, passes) is (best if best is worst else INVALID)


# --- a gate --------------------------------------------------------------------------------------------------------


@dataclass
class Cycling:
    """Answers the n-th answer to a case as the n-th letter says: right, wrong, or not at all."""

    script: str
    asked: list[str] = field(default_factory=list)
    name: str = "cycling"
    sha256: str | None = "weights"
    dtype: str | None = None
    block_size: int = 4

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        for index, case in enumerate(cases):
            self.asked.append(case.id)
            number = int(case.id.partition("[sample ")[2].rstrip("]") or 1)
            match self.script[number - 1]:
                case "r":
                    yield index, Response(case.references[0], "stop")
                case "w":
                    yield index, Response(f"wrong {number}", "stop")
                case _:
                    yield index, Response("", error="down", fault=Fault.NO_REPLY)

    score_choices = generate


def suite_of(folder: Path, generate: str, more: str = "", check: str = "exact") -> Suite:
    rows = [{"id": f"c{n}", "prompt": f"{n}?", "reference": f"a{n}", "choices": ["a", "b"]} for n in range(20)]
    write_jsonl(folder / "cases.jsonl", rows)
    text = f"cases: cases.jsonl\nchecks: [{check}]\nplan: {{draw: 20, accept: 18}}\ngenerate: {generate}\n{more}\n"
    (folder / "suite.yaml").write_text(text)
    return load_suite(folder / "suite.yaml", build_check)


def gate_of(folder: Path, suite: Suite, model: Any) -> GateRecord:
    run_gate(GateRequest(suite, suite.plan, 0, model, str(folder / "run")), no_progress, {})
    return read_run(folder / "run").gates["suite"]


@pytest.mark.parametrize(
    ("script", "passes", "verdict"),
    [
        ("rrr", "all", PASS),
        ("rwr", "all", FAIL),
        ("rwr", "majority", PASS),
        ("wwr", "majority", FAIL),
        ("wwr", "any", PASS),
        ("rr-", "all", INVALID),
        ("rr-", "majority", PASS),
    ],
)
def test_a_case_passes_by_the_vote_of_its_answers(tmp_path: Path, script: str, passes: str, verdict: Verdict) -> None:
    suite = suite_of(tmp_path, "{samples: 3, temperature: 0.7}", f"case_passes: {passes}")
    model = Cycling(script)
    gate = gate_of(tmp_path, suite, model)
    counted = {PASS: (20, 0, 0), FAIL: (0, 20, 0), INVALID: (0, 0, 20)}[verdict]
    assert (gate.verdict, gate.passed, gate.failed, gate.invalid) == (verdict, *counted)
    assert len(model.asked) == len(set(model.asked)) == 60
    if verdict is PASS:
        assert gate.interval == exact_interval(20, 20)  # of 20 cases, not of 60 answers
    outcome = gate.outcomes[0]
    assert [sample.verdict for sample in outcome.samples] == [{"r": PASS, "w": FAIL, "-": INVALID}[s] for s in script]
    assert outcome.response == next(s.response for s in outcome.samples if s.verdict is outcome.verdict)
    assert outcome.reason.startswith(f"{script.count('r')} of 3 answers passed")
    recheck(gate)


def test_one_answer_is_what_a_case_is_given_unless_the_suite_says_otherwise(tmp_path: Path) -> None:
    gate = gate_of(tmp_path, suite_of(tmp_path, "{}"), Cycling("r"))
    assert (gate.verdict, gate.outcomes[0].samples, gate.registered.samples) == (PASS, (), 1)


def test_only_the_answer_that_did_not_come_is_asked_for_again(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, "{samples: 3, temperature: 0.7}")
    assert gate_of(tmp_path, suite, Cycling("rr-")).verdict is INVALID
    back = Cycling("wwr")
    gate = gate_of(tmp_path, suite, back)
    assert gate.verdict is PASS
    assert set(back.asked) == {sample_id(case_id, 3) for case_id in gate.case_ids}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda samples: samples[:2], "has 2 answers, its terms say 3"),
        (
            lambda samples: [{**one, "verdict": "FAIL"} for one in samples],
            "its (answers|findings) give another verdict",
        ),
        (lambda samples: [], "has 0 answers, its terms say 3"),
    ],
)
def test_votes_that_were_changed_are_tampered_with(tmp_path: Path, change: Any, message: str) -> None:
    suite = suite_of(tmp_path, "{samples: 3, temperature: 0.7}")
    gate_of(tmp_path, suite, Cycling("rrr"))

    def forge(event: dict[str, Any]) -> list[dict[str, Any]]:
        if event["event"] != "outcome":
            return [event]
        outcome = {**event["outcome"], "samples": change(event["outcome"]["samples"])}
        return [{**event, "outcome": outcome}]

    gate = read_run(rewrite(tmp_path / "run", forge)).gates["suite"]
    with pytest.raises(Tampered, match=message):
        recheck(gate)


def test_the_rule_is_part_of_the_suite(tmp_path: Path) -> None:
    sampled = "{samples: 3, temperature: 0.7}"
    hashes = {suite_of(tmp_path, sampled, f"case_passes: {passes}").sha256 for passes in ("all", "majority", "any")}
    assert len({*hashes, suite_of(tmp_path, "{temperature: 0.7}").sha256}) == 4


@pytest.mark.parametrize(
    ("generate", "more", "check", "message"),
    [
        ("{samples: 3}", "", "exact", "generate: 3 samples at temperature 0 are identical"),
        ("{temperature: 0.7}", "case_passes: any", "exact", "`case_passes` needs several answers to a case"),
        ("{samples: 0, temperature: 0.7}", "", "exact", "samples: should be greater than or equal to 1"),
        ("{samples: 3, temperature: 0.7}", "case_passes: most", "exact", "'all', 'majority' or 'any', got 'most'"),
        ("{samples: 3, temperature: 0.7}", "", "exact, choice", "the likelihood of a choice is always the same"),
    ],
)
def test_samples_that_cannot_work_are_refused(
    tmp_path: Path, generate: str, more: str, check: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        suite_of(tmp_path, generate, more, check)
    assert "\n" not in str(refusal.value)


def test_an_error_counts_once_a_case_however_many_answers_show_it(tmp_path: Path) -> None:
    suite = suite_of(
        tmp_path,
        "{samples: 3, temperature: 0.7}",
        "case_passes: any",
        "{errors: {forbid: [], max: {empty: 3}}}",
    )

    @dataclass
    class Silent(Cycling):
        def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
            for index, case in enumerate(cases):
                yield index, Response("" if case.id.endswith("[sample 2]") else "word", "stop")

    gate = gate_of(tmp_path, suite, Silent("rrr"))
    assert gate.error_categories == {"empty": 20}


# --- stored answers ------------------------------------------------------------------------------------------------


def stored(folder: Path, answers: str) -> tuple[Any, list[str]]:
    """A file with an answer a letter for each case; `-` leaves its row out."""
    suite = suite_of(folder, "{samples: 3, temperature: 0.7}", "case_passes: majority")
    texts = [(n, {"r": f"a{n}", "w": "wrong"}[letter]) for letter in answers if letter != "-" for n in range(20)]
    rows = [{"id": f"c{n}", "response": text} for n, text in texts]
    return load_responses(
        write_jsonl(folder / "r.jsonl", rows), asked_prompts(suite), suite.responses, suite.settings.samples
    )


@pytest.mark.parametrize(("answers", "verdict"), [("rrw", PASS), ("wrw", FAIL)])
def test_stored_answers_have_as_many_rows_an_id_as_samples(tmp_path: Path, answers: str, verdict: Verdict) -> None:
    model, notes = stored(tmp_path, answers)
    gate = gate_of(tmp_path, load_suite(tmp_path / "suite.yaml", build_check), model)
    assert gate.verdict is verdict
    assert notes == []


@pytest.mark.parametrize("answers", ["rr-", "r--"])
def test_fewer_rows_of_an_id_than_samples_are_refused_before_a_draw(tmp_path: Path, answers: str) -> None:
    model, notes = stored(tmp_path, answers)
    with pytest.raises(
        ConfigError, match=r"20 of 20 cases that may be drawn .* have fewer than 3 answers; add rows for c0, c1, c2, …;"
    ):
        gate_of(tmp_path, load_suite(tmp_path / "suite.yaml", build_check), model)
    assert "20 of 20 prompts of the bank have fewer than 3 responses" in notes[0]


def test_more_rows_of_an_id_than_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"r.jsonl:61: this is response 4 with id 'c0', but `generate.samples` is 3"):
        stored(tmp_path, "rrrr")


@pytest.mark.parametrize("name", ["c1 [sample 2]", "c1 [variant 1]", "c1 [variant 1] [sample 2]"])
def test_an_id_that_is_kept_for_a_further_answer_is_refused(tmp_path: Path, name: str) -> None:
    write_jsonl(tmp_path / "cases.jsonl", [{"id": n, "prompt": n, "reference": "a"} for n in ("c1", name)])
    (tmp_path / "s.yaml").write_text("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 2, accept: 2}\n")
    with pytest.raises(ConfigError, match="is reserved for repeated answers to case 'c1'"):
        load_suite(tmp_path / "s.yaml", build_check)


def test_an_id_that_only_looks_so_is_fine(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "cases.jsonl", [{"id": n, "prompt": n, "reference": "a"} for n in ("c1", "c2 [sample 2]")])
    (tmp_path / "s.yaml").write_text("cases: cases.jsonl\nchecks: [exact]\nplan: {draw: 2, accept: 2}\n")
    assert len(load_suite(tmp_path / "s.yaml", build_check).cases) == 2


def test_peoples_labels_count_cases_and_only_those_with_a_label_for_each_answer(tmp_path: Path) -> None:
    """Of the answers right, wrong, right the one that is shown was chosen by the check's verdict: it is no sample."""
    suite = suite_of(tmp_path, "{samples: 3, temperature: 0.7}", "case_passes: majority")
    gate = gate_of(tmp_path, suite, Cycling("rwr"))

    def labels(passed: Sequence[bool | None]) -> PeopleLabels:
        answers = [
            ((outcome.case_id, hashlib.sha256(answer.response.encode()).hexdigest()), one)
            for outcome in gate.outcomes
            for answer, one in zip(outcome.samples, passed, strict=True)
        ]
        return PeopleLabels({answer: [Vote(one)] for answer, one in answers if one is not None})

    by_majority = people_rate(gate, labels([True, False, True]))
    assert by_majority is not None
    assert (by_majority.rate.labels, by_majority.answers, by_majority.other) == (20, 20, 0)
    assert by_majority.rate.rate == 1.0
    assert people_rate(gate, labels([True, None, True])) is None
    none = people_rate(gate, labels([False, True, False]))
    assert none is not None
    assert none.rate.rate == 0.0
