"""The runner: every drawn case is asked, judged and recorded once, whatever the model does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.checks.test_checks import Scripted
from tests.support.bank import Bank, write_jsonl
from tunegate.cases.bank import draw
from tunegate.cases.case import Case, Prompt, question_of
from tunegate.checks.outcome import Finding, Verdict
from tunegate.exceptions import CannotJudge, ConfigError, Inconclusive, Tampered
from tunegate.gates.ask import ask, known_answers
from tunegate.gates.draw import GatePlace, draw_fresh
from tunegate.gates.runner import GateRunner
from tunegate.models.model import ChoiceScore, GenerationSettings, Response, ScriptedModel, StoredResponses, chat
from tunegate.models.responses import load_responses
from tunegate.record.read_run import read_run
from tunegate.record.recheck import recheck
from tunegate.record.record import GateRecord
from tunegate.record.run_log import RunLog
from tunegate.stats.plans import PlanRule
from tunegate.stats.sampling import wald_plan
from tunegate.suites.suite import Suite
from tunegate.verdicts.terms import Purpose, Terms

PASS, FAIL, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INVALID


def right(samples: Sequence[Any]) -> list[Finding]:
    return [Finding("x", PASS if sample.response.text == sample.case.id else FAIL) for sample in samples]


def make_suite(n: int = 20, check: Scripted | None = None) -> Suite:
    cases = tuple(Case(f"c{number:02d}", "?" * (number * 7 % 11) + f"{number:02d}") for number in range(n))
    rule = PlanRule(draw=10, accept=9)
    return Suite("facts", cases, (check or Scripted(right),), rule, GenerationSettings(), "suite")


def echo(**more: Any) -> ScriptedModel:
    return ScriptedModel(lambda case: case.id, **more)


@dataclass
class Spying:
    """A model that remembers which blocks it was asked; `answer` decides what comes back."""

    answer: Callable[[Sequence[Case]], Iterator[tuple[int, Response]]]
    blocks: list[list[str]] = field(default_factory=list)
    name: str = "spying"
    sha256: str | None = "weights"
    dtype: str | None = None
    block_size: int = 4

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        self.blocks.append([case.id for case in cases])
        return self.answer(cases)

    score_choices = generate


def run(folder: Path, suite: Suite, model: Any, *, used: frozenset[str] = frozenset(), **more: Any) -> GateRecord:
    place, plan = GatePlace("facts"), more.pop("plan", suite.plan.first)
    terms = Terms(plan, curtail=more.pop("curtail", False), max_errors=suite.max_errors)
    with RunLog.open(folder) as log:
        drawn = draw_fresh(place, suite, plan.draw, 1, used)
        GateRunner(log).run(place, suite, terms, model, drawn, **more)
    return read_run(folder).gates["facts"]


# --- a whole gate --------------------------------------------------------------------------------------------------


def test_a_gate_that_cannot_be_missed_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    suite = make_suite(check=Scripted(right, name="errors", can_fail=False))
    with pytest.raises(ConfigError, match=r"suite 'facts': no answer can fail its checks .errors") as refusal:
        run(tmp_path, suite, Spying(lambda cases: iter(())))
    assert "\n" not in str(refusal.value)


def test_every_drawn_case_is_asked_judged_and_recorded_once(tmp_path: Path) -> None:
    suite = make_suite()
    gate = run(tmp_path, suite, echo(sha256="weights"))
    assert tuple(outcome.case_id for outcome in gate.outcomes) == gate.case_ids
    assert sorted(outcome.case_id for outcome in gate.outcomes) == sorted(gate.case_ids)
    assert gate.case_ids == tuple(case.id for case in draw(suite.cases, 10, 1))
    assert (gate.verdict, gate.passed, gate.drawn, gate.accept, gate.seed) == (PASS, 10, 10, 9, 1)
    assert (gate.suite_sha256, gate.model_sha256, gate.model) == ("suite", "weights", "scripted")


def test_batches_reduced_by_memory_are_on_record(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Reduced(ScriptedModel):
        halved_batch: int | None = 8

    assert run(tmp_path / "reduced", make_suite(), Reduced(lambda case: case.id)).halved_batch == 8
    assert (
        run(tmp_path / "as usual", make_suite(), Reduced(lambda case: case.id, halved_batch=None)).halved_batch is None
    )


@pytest.mark.parametrize("block_size", [1, 3, 16, 1000])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_size_of_blocks_and_batches_changes_nothing(tmp_path: Path, block_size: int, batch_size: int) -> None:
    suite = make_suite(check=Scripted(right, batch_size=batch_size))
    expected = run(tmp_path / "a", make_suite(), echo())
    got = run(tmp_path / "b", suite, echo(block_size=block_size))
    assert {o.case_id: o for o in got.outcomes} == {o.case_id: o for o in expected.outcomes}
    assert got.case_ids == expected.case_ids


def test_a_bank_that_is_too_small_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    model = Spying(lambda cases: iter(()))
    with pytest.raises(ConfigError, match="has 9 working cases, but the plan draws 10"):
        run(tmp_path, make_suite(9), model)
    assert model.blocks == []


def questions(n: int) -> frozenset[str]:
    return frozenset(map(question_of, make_suite(n).cases))


def test_used_cases_are_not_drawn_and_too_few_fresh_ones_are_no_verdict(tmp_path: Path) -> None:
    suite = make_suite(20)
    first = run(tmp_path / "1", suite, echo())
    used = frozenset(first.questions)
    second = run(tmp_path / "2", suite, echo(), used=used)
    assert not used & set(second.questions)
    said = (
        r"gate facts: the draw needs 10 fresh cases, but only 1 of 11 working cases is fresh; add 9 cases to the bank"
    )
    with pytest.raises(Inconclusive, match=said):
        run(tmp_path / "3", make_suite(11), echo(), used=questions(10))


@pytest.mark.parametrize(
    ("purpose", "said"),
    [
        (
            "gate",
            "the draw needs 90 fresh cases, but only {} of {} working cases are fresh ({} are sealed); add {}",
        ),
        ("reference", "comparison facts: the draw needs 90 fresh cases"),
        ("confirm", "gate facts (confirm): the draw needs 90 fresh cases, but only"),
    ],
)
def test_a_shortage_names_the_size_of_the_bank_and_what_is_sealed(purpose: Purpose, said: str) -> None:
    distinct = tuple(Case(str(number), f"question {number}") for number in range(150))
    suite = replace(make_suite(150), cases=distinct, sealed_share=0.5)
    working, sealed = suite.bank.working, suite.bank.sealed
    used = frozenset(map(question_of, (*working[:10], *sealed[:10])))
    with pytest.raises(Inconclusive) as error:
        draw_fresh(GatePlace("facts", purpose=purpose), suite, 90, 1, used)
    left = len(working) - 10
    assert said.format(left, len(working), len(sealed), 90 - left) in str(error.value)
    more = 90 - (left if purpose != "confirm" else len(sealed) - 10)
    part = "sealed" if purpose == "confirm" else "working"
    told = (
        f"add {more} cases to the {part} part of the bank of 'facts', about {2 * more} in all, as 50% of all are sealed"
    )
    assert told in str(error.value)


def test_a_bank_without_a_sealed_part_says_how_many_cases_give_it_one() -> None:
    cases = tuple(Case(str(number), f"question {number}") for number in range(400))
    bare = replace(make_suite(250), cases=cases[:250], rule=PlanRule("single", 100))
    used = frozenset(map(question_of, cases[:100]))
    place = GatePlace("facts", purpose="confirm")
    with pytest.raises(Inconclusive) as error:
        draw_fresh(place, bare, 100, 1, used)
    told = str(error.value)
    assert "none of the 250 cases is sealed, and a pass after a retry must be confirmed by sealed ones" in told
    assert "add about 150 cases to the bank of 'facts'" in told
    assert "(or ask used ones again: `plan: {reuse: true}` in the suite file, which the report marks)" in told
    with pytest.raises(Inconclusive) as error:
        draw_fresh(place, replace(bare, path="logs/results.json"), 100, 1, used)
    assert "(or gate it with `--ledger none`, which the report marks)" in str(error.value)
    fresh = replace(bare, cases=cases, sealed_share=1 / 3).bank.sealed
    assert 85 < sum(question_of(case) not in used for case in fresh) < 115, "as many as the draw needs, or nearly"


def test_a_spent_bank_lends_cases_again_only_when_told_and_says_how_many() -> None:
    suite, place = make_suite(11), GatePlace("facts")
    used = questions(10)
    drawn = draw_fresh(place, suite, 10, 1, used, reuse=True)
    assert (len({case.id for case in drawn.cases}), drawn.reused, drawn.cases[0].id) == (10, 9, "c10")


def test_a_confirming_draw_opens_the_sealed_part_and_no_other_does() -> None:
    distinct = tuple(Case(str(number), f"question {number}") for number in range(200))
    suite = replace(make_suite(200), cases=distinct, sealed_share=0.5)
    first = draw_fresh(GatePlace("facts"), suite, 30, 1)
    confirm = draw_fresh(GatePlace("facts", purpose="confirm"), suite, 30, 1)
    assert {case.id for case in first.cases} <= {case.id for case in suite.bank.working}
    assert {case.id for case in confirm.cases} <= {case.id for case in suite.bank.sealed}
    with pytest.raises(ConfigError, match=r"has \d+ working cases, but the plan draws 190"):
        draw_fresh(GatePlace("facts"), suite, 190, 1)


# --- stopping when the verdict stands ------------------------------------------------------------------------------


def wrong_but(right: set[str]) -> Spying:
    def answer(cases: Sequence[Case]) -> Iterator[tuple[int, Response]]:
        for index, case in enumerate(cases):
            yield index, Response(case.id if case.id in right else "wrong", "stop")

    return Spying(answer)


def test_a_curtailed_gate_asks_no_block_after_the_miss_too_many(tmp_path: Path) -> None:
    suite = make_suite()
    whole = run(tmp_path / "whole", suite, wrong_but(set()))
    model = wrong_but(set())
    gate = run(tmp_path / "curtailed", suite, model, curtail=True)
    assert (gate.verdict, whole.verdict) == (FAIL, FAIL)
    assert (gate.asked, gate.failed, gate.spared, gate.reason) == (2, 2, 8, "2 of 2 missed, 1 of 10 allowed")
    assert (whole.asked, whole.failed, whole.spared) == (10, 10, 0)
    assert sorted(model.blocks[0]) == sorted(gate.case_ids[:4])  # blocks as drawn: not the shortest cases decide
    assert len(model.blocks) == 1
    assert len(gate.seen) == 4
    assert tuple(outcome.case_id for outcome in gate.outcomes) == gate.case_ids[:2]
    recheck(gate)


@pytest.mark.parametrize("block_size", [1, 3, 16])
def test_where_a_gate_stops_does_not_depend_on_the_block_size(tmp_path: Path, block_size: int) -> None:
    suite = make_suite()
    right = {case.id for case in draw(suite.cases, 10, 1)[:4]}
    model = wrong_but(right)
    model.block_size = block_size
    gate = run(tmp_path, suite, model, curtail=True)
    assert (gate.asked, gate.passed, gate.failed, gate.spared) == (6, 4, 2, 4)


def test_a_sequential_gate_stops_as_soon_as_it_is_sure(tmp_path: Path) -> None:
    plan = wald_plan(0.95, 0.5, 0.05, 0.05, 15)
    suite = make_suite()
    model = wrong_but({case.id for case in suite.cases})
    gate = run(tmp_path, suite, model, plan=plan)
    assert gate.verdict is PASS
    assert gate.asked < 15
    assert gate.registered.plan == plan
    recheck(gate)


def test_progress_is_told_after_every_case(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    suite = make_suite()
    with RunLog.open(tmp_path) as log:
        runner = GateRunner(log, lambda *args: told.append(args))
        place = GatePlace("facts")
        runner.run(place, suite, Terms(suite.plan.first), echo(), draw_fresh(place, suite, 10, 1))
    assert told == [("facts", done, 10) for done in range(11)]
    assert GatePlace("facts", "sft", 2).label == "sft#2 facts"


# --- going on ------------------------------------------------------------------------------------------------------


def test_a_gate_that_goes_on_asks_only_the_blocks_that_are_left_and_judges_only_what_is_left(tmp_path: Path) -> None:
    def answers(cases: Sequence[Case]) -> Iterator[tuple[int, Response]]:
        return ((index, Response(case.id)) for index, case in enumerate(cases))

    whole = Spying(answers)
    expected = run(tmp_path / "whole", make_suite(), whole)
    assert [len(block) for block in whole.blocks] == [4, 4, 2]

    class Killed(KeyboardInterrupt):
        pass

    def dying(samples: Sequence[Any]) -> list[Finding]:
        if len(check.calls) == 6:
            raise Killed
        return right(samples)

    check = Scripted(dying)
    with pytest.raises(Killed):
        run(tmp_path / "run", make_suite(check=check), Spying(answers))
    begun = read_run(tmp_path / "run").gates["facts"]
    assert len(begun.outcomes) == 5

    model, check = Spying(answers), Scripted(right)
    got = run(tmp_path / "run", make_suite(check=check), model, begun=begun)
    assert model.blocks == whole.blocks[2:]  # the answers of the block under way are on record
    assert not {case_id for call in check.calls for case_id in call} & {o.case_id for o in begun.outcomes}
    assert got.outcomes == expected.outcomes
    assert (got.verdict, got.passed) == (PASS, 10)


def test_a_gate_does_not_go_on_with_another_number_type(tmp_path: Path) -> None:
    """A run that is resumed on another machine or executor: the record would name one type, and hold answers of two."""

    class Killed(KeyboardInterrupt):
        pass

    def dying(case: Case) -> str:
        if len(answered) == 6:
            raise Killed
        answered.append(case.id)
        return case.id

    answered: list[str] = []
    with pytest.raises(Killed):
        run(tmp_path, make_suite(), ScriptedModel(dying, sha256="w", dtype="bfloat16", block_size=4))
    begun = read_run(tmp_path).gates["facts"]
    with pytest.raises(ConfigError, match=r"gate facts: it began with the number type bfloat16, .* float32") as refused:
        run(tmp_path, make_suite(), echo(sha256="w", dtype="float32"), begun=begun)
    assert "\n" not in str(refused.value)
    assert run(tmp_path, make_suite(), echo(sha256="w", dtype="bfloat16"), begun=begun).verdict is PASS


# --- models that misbehave -----------------------------------------------------------------------------------------

Answers = Callable[[Sequence[Case]], Iterator[tuple[int, Response]]]


def good(cases: Sequence[Case]) -> Iterator[tuple[int, Response]]:
    return ((index, Response(case.id)) for index, case in enumerate(cases))


def backwards(cases: Sequence[Case]) -> Iterator[tuple[int, Response]]:
    return reversed(list(good(cases)))  # type: ignore[return-value]


def one_missing(cases: Sequence[Case]) -> Iterator[tuple[int, Response]]:
    return (pair for pair in good(cases) if pair[0] != 1)


def raising(cases: Sequence[Case]) -> Iterator[tuple[int, Response]]:
    yield 0, Response(cases[0].id)
    raise RuntimeError("CUDA out\nof memory")


def addressed(cases: Sequence[Case]) -> Iterator[tuple[int, Response]]:
    yield 0, Response(cases[0].id)
    raise KeyError(object())


def exiting(cases: Sequence[Case]) -> Iterator[tuple[int, Response]]:
    yield 0, Response(cases[0].id)
    raise SystemExit(0)


def negative(cases: Sequence[Case]) -> Iterator[tuple[int, Response]]:
    yield 0, Response(cases[0].id)
    yield -1, Response(cases[-1].id)


def beyond(cases: Sequence[Case]) -> Iterator[tuple[int, Response]]:
    yield 0, Response(cases[0].id)
    yield len(cases), Response("x")


def twice(cases: Sequence[Case]) -> Iterator[tuple[int, Response]]:
    yield 0, Response(cases[0].id)
    yield 0, Response("another answer")


@pytest.mark.parametrize(
    ("answers", "answered", "fault"),
    [
        (good, {0, 1, 2}, None),
        (backwards, {0, 1, 2}, None),
        (one_missing, {0, 2}, "the model gave no response"),
        (raising, {0}, "the model failed: RuntimeError: CUDA out of memory"),
        (addressed, {0}, "the model failed: KeyError: <object object>"),
        (exiting, {0}, "the model failed: SystemExit: 0"),
        (negative, set(), "the model failed: IndexError"),
        (beyond, set(), "the model failed: IndexError"),
        (twice, set(), "the model failed: IndexError"),
        (lambda cases: iter(()), set(), "the model gave no response"),
    ],
)
def test_what_is_not_answered_is_an_error_and_never_a_gap(
    answers: Answers, answered: set[int], fault: str | None
) -> None:
    cases = make_suite(3).cases
    responses = ask(make_suite(), Spying(answers), cases)
    assert len(responses) == 3
    for index, response in enumerate(responses):
        if index in answered:
            assert (response.text, response.error) == (cases[index].id, None)
        else:
            assert fault is not None
            assert (response.error or "").startswith(fault)


def test_a_model_that_cannot_answer_at_all_stops_the_gate(tmp_path: Path) -> None:
    def down(cases: Sequence[Case]) -> Iterator[tuple[int, Response]]:
        raise CannotJudge("the server is down")

    with pytest.raises(CannotJudge, match="the server is down"):
        run(tmp_path, make_suite(), Spying(down))
    assert not read_run(tmp_path).gates["facts"].decided


@pytest.mark.parametrize(("silent", "verdict"), [(0, PASS), (1, INVALID), (10, INVALID)])
def test_the_denominator_stays_when_answers_are_missing(tmp_path: Path, silent: int, verdict: Verdict) -> None:
    suite = make_suite()
    drawn = [case.id for case in draw(suite.cases, 10, 1)]
    model = StoredResponses({case_id: Response(case_id) for case_id in drawn[silent:]})
    gate = run(tmp_path, suite, model)
    assert (gate.verdict, gate.drawn, gate.passed, gate.invalid) == (verdict, 10, 10 - silent, silent)


# --- likelihoods of choices ----------------------------------------------------------------------------------------


def test_a_suite_is_asked_for_texts_and_likelihoods_as_its_checks_need() -> None:
    @dataclass
    class Both(Spying):
        asked: list[str] = field(default_factory=list)

        def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
            self.asked.append("text")
            return iter([(0, Response("text", "stop", 3))])

        def score_choices(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
            self.asked.append("scores")
            return iter([(0, Response("", choice_scores=(ChoiceScore(-1.0, 1),)))])

    text, scores = Scripted(right), Scripted(right, needs_choices=True)
    for checks, asked in (((text,), ["text"]), ((scores,), ["scores"]), ((text, scores), ["text", "scores"])):
        model = Both(good)
        suite = Suite("s", make_suite(1).cases, checks, PlanRule(draw=1, accept=1), GenerationSettings(), "s")
        [response] = ask(suite, model, suite.cases)
        assert model.asked == asked
        assert bool(response.choice_scores) == ("scores" in asked)
        assert (response.text == "text") == ("text" in asked)
        known = known_answers(suite, suite.cases[0], {suite.cases[0].id: response})
        assert [question[0] for question in known] == ["generate" if "text" in asked else "score_choices"]
        for one in known.values():  # what the model would say to this question alone
            assert (one.text == "text") == bool(not one.choice_scores)


# --- models made of answers ----------------------------------------------------------------------------------------


def test_stored_answers_say_what_is_missing_and_what_is_extra(bank: Bank) -> None:
    rows = [{"id": "case-001", "response": "a", "finish_reason": "length"}, {"id": "stranger", "response": "b"}]
    stored, notes = load_responses(write_jsonl(bank.folder / "r.jsonl", rows), dict.fromkeys(bank.ids, "?"))
    assert stored.responses["case-001"] == Response("a", "length")
    assert stored.sha256 is None
    assert len(notes) == 2
    assert "1 of 2 ids belong to no case and are not used, first 'stranger'" in notes[0]
    assert "99 of 100 prompts of the bank have no response" in notes[1]


def test_a_system_message_goes_first_unless_the_prompt_brings_one() -> None:
    assert chat("Why?", None) == "Why?"
    assert chat("Why?", "Be brief.") == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
    )
    own = ({"role": "system", "content": "Mine."}, {"role": "user", "content": "Why?"})
    assert chat(own, "Be brief.") == own  # type: ignore[arg-type]


def test_variants_are_asked_beside_the_case_and_are_no_cases_of_their_own(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Same(Scripted):
        def variants(self, case: Case) -> tuple[Prompt, ...]:
            return (f"{case.prompt_text} and you?",)

    def same(samples: Sequence[Any]) -> list[Finding]:
        return [Finding("x", PASS if s.variants[0].text == s.response.text else FAIL) for s in samples]

    stays = run(tmp_path / "stays", make_suite(check=Same(same)), ScriptedModel(lambda case: "same"))
    changes = run(tmp_path / "changes", make_suite(check=Same(same)), ScriptedModel(lambda case: case.prompt_text))
    assert (stays.verdict, stays.passed, len(stays.outcomes)) == (PASS, 10, 10)
    assert (changes.verdict, changes.failed, len(changes.outcomes)) == (FAIL, 10, 10)


@dataclass
class OnDisk(Spying):
    """A model whose files are replaced while it answers its second block."""

    def sha256_now(self) -> str:
        return "weights" if len(self.blocks) < 2 else "other weights"


def test_no_verdict_is_recorded_if_the_weights_changed_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(Tampered, match="model spying: its files changed while it was in use"):
        run(tmp_path, make_suite(), OnDisk(good))
    record = read_run(tmp_path).gates["facts"]
    assert (len(record.outcomes), record.decided) == (10, False)
