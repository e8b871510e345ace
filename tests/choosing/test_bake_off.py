"""`tunegate bake-off`: the same cases for all, honest comparisons, faults that stay on their own row, and resuming."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import Bank
from tests.support.tiny_gguf import make_tiny_gguf
from tests.support.tiny_model import make_adapter, make_tiny_model
from tests.support.trainer_jobs import real_training
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.choosing.bake_off import BakeOff, Entry, rank
from tunegate.choosing.bake_off_run import GateModel, GateProcess, Setup, bake_off
from tunegate.choosing.bake_off_words import cells, in_bytes, in_millions, winner_words
from tunegate.cli import main
from tunegate.command_line import build_parser
from tunegate.commands.bake_off import bake, show_bake_off
from tunegate.exceptions import CannotJudge
from tunegate.gates.gate_run import GateRequest, run_gate
from tunegate.models.metering import COST, Cost, MeteredModel, read_cost
from tunegate.models.model import GenerationSettings, Response, ScriptedModel
from tunegate.models.model_facts import ModelFacts, model_facts
from tunegate.progress import no_progress
from tunegate.record.read_run import read_run
from tunegate.stats.holm import holm
from tunegate.stats.paired import paired_interval
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate_reports import write_bake_off
from tunegate_reports.bake_off import render
from tunegate_suites import build_check

Capture = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class ScriptedServer(ScriptedModel):
    """Asked with further fields, and of weights that nobody knows."""

    request: dict[str, Any] = field(default_factory=dict[str, Any])


class Oven:
    """Gates scripted models: each answers the first so many cases right. `asked` notes who was gated."""

    def __init__(self, suite: Suite, skills: dict[str, int], sizes: dict[str, int] | None = None) -> None:
        self.suite, self.skills, self.sizes = suite, skills, sizes or {}
        self.asked: list[str] = []
        self.dtype: str | None = None
        self.request: dict[str, Any] | None = None

    def gate(self, model: str, folder: Path) -> str:
        self.asked.append(model)
        if model not in self.skills:
            return f"model {model!r}: no such file or folder"
        right = {case.id for case in self.suite.cases[: self.skills[model]]}

        def answer(case: Case) -> Response:
            return Response(case.references[0] if case.id in right else "?", "stop", 3)

        if self.request is None:
            metered = MeteredModel(ScriptedModel(answer, model, self.sha(model), self.dtype))
        else:
            metered = MeteredModel(ScriptedServer(answer, model, request=self.request))
        request = GateRequest(self.suite, self.suite.plan, 0, metered, str(folder))
        metered.cost.save(run_gate(request, no_progress, {}).folder)
        return ""

    def sha(self, model: str) -> str | None:
        return None if self.request is not None else f"sha of {model} {self.skills.get(model)}"

    def facts(self, model: str) -> ModelFacts:
        return ModelFacts(self.sha(model), self.sizes.get(model), 135_000_000, "apache-2.0")

    def bake(self, folder: str = "bake-off", **how: Any) -> BakeOff:
        setup = Setup(self.gate, self.facts, lambda line: None, **how)
        return bake_off(list(self.skills), self.suite, self.suite.plan.draw, 0, Path(folder), setup)


@pytest.fixture
def suite(bank: Bank) -> Suite:
    return load_suite(Path(bank.suite), build_check)


def test_the_best_comes_first_and_each_is_held_against_it_case_by_case(suite: Suite) -> None:
    result = Oven(suite, {"small": 60, "best": 80, "near": 78}).bake()
    assert [one.entry.model for one in result.ranked] == ["best", "near", "small"]
    assert [one.standing for one in result.ranked] == ["best", "not shown worse", "worse"]
    against = result.ranked[2].against
    assert against
    assert (against.counts.lost, against.counts.won, against.points) == (20, 0, -20.0)
    assert result.verdict is Verdict.PASS, "that none passes the gate is no fault of the bake-off"


def test_the_interval_of_the_best_was_selected(suite: Suite, capsys: Capture) -> None:
    result = Oven(suite, {"small": 60, "best": 80, "lost": 0}).bake()
    told = "the 95 % interval of best is too optimistic: it was chosen because it passed the most cases"
    show_bake_off(result, None, as_json=False)
    assert told in capsys.readouterr().out
    assert f"T{told[1:]}" in render(result)
    show_bake_off(result, None, as_json=True)
    rows = json.loads(capsys.readouterr().out)["models"]
    assert [(row["model"], row["interval_selected"]) for row in rows] == [
        ("best", True),
        ("small", False),
        ("lost", False),
    ]
    alone = Oven(suite, {"only": 60}).bake("alone")
    assert winner_words(alone.ranked) == ""


def test_p_values_are_adjusted_for_all_pairs(suite: Suite) -> None:
    """The best was chosen by looking, so the pairs without it count too."""
    skills = {"a": 80, "b": 74, "c": 70}
    result = Oven(suite, skills).bake()
    raw = {(x, y): 2 * 0.5 ** abs(skills[x] - skills[y]) for x, y in combinations(skills, 2)}
    adjusted = holm(raw)
    for one in result.ranked[1:]:
        assert one.against
        assert one.against.p_value == pytest.approx(raw[("a", one.entry.model)])
        assert one.against.p_holm == pytest.approx(adjusted[("a", one.entry.model)])
        low, high = paired_interval(0, one.against.counts.lost, 100, 1 - 0.05 / 3)
        assert one.against.interval == pytest.approx((100 * low, 100 * high))
    assert result.pairs == 3


def test_a_gate_on_other_cases_is_not_taken_for_this_one(suite: Suite) -> None:
    """In a folder that was named, an earlier bake-off may have asked fewer cases, or others."""
    oven = Oven(suite, {"a": 80, "b": 60})
    oven.bake()
    setup = Setup(oven.gate, oven.facts, lambda line: None)
    for draw, seed in ((suite.plan.draw - 1, 0), (suite.plan.draw, 1)):
        oven.asked.clear()
        bake_off(["a", "b"], suite, draw, seed, Path("bake-off"), setup)
        assert oven.asked == ["a", "b"]


@pytest.mark.parametrize("how", [{}, {"dtype": "auto"}, {"dtype": "float32"}, {"request": {"top_p": 0.5}}])
def test_a_gate_that_was_computed_as_is_wanted_is_done(suite: Suite, how: dict[str, Any]) -> None:
    """How servers are asked is nothing to a local model."""
    oven = Oven(suite, {"a": 80})
    oven.dtype = "float32"
    oven.bake()
    oven.bake(**how)
    assert oven.asked == ["a"]


def test_a_gate_that_was_computed_in_another_type_is_not_taken_for_this_one(suite: Suite) -> None:
    oven = Oven(suite, {"a": 80})
    oven.dtype = "float32"
    oven.bake()
    oven.dtype = "bfloat16"
    assert "holds another gate" in oven.bake(dtype="bfloat16").ranked[0].entry.reason


@pytest.mark.parametrize("request_now", [{}, {"top_p": 0.6}])
def test_a_server_that_was_asked_with_other_fields_is_asked_anew(suite: Suite, request_now: dict[str, Any]) -> None:
    oven = Oven(suite, {"a": 80})
    oven.request = {"top_p": 0.5}
    for _ in range(2):
        assert oven.bake(request={"top_p": 0.5}, dtype="bfloat16").verdict is Verdict.PASS
    assert oven.asked == ["a"]
    oven.request = request_now
    assert "holds another gate" in oven.bake(request=request_now).ranked[0].entry.reason


def test_of_equals_the_smaller_comes_first(suite: Suite) -> None:
    result = Oven(suite, {"large": 80, "unknown": 80, "small": 80}, {"large": 900, "small": 100}).bake()
    assert [one.entry.model for one in result.ranked] == ["small", "large", "unknown"]


def test_a_model_that_does_not_open_has_its_own_row(suite: Suite) -> None:
    oven = Oven(suite, {"good": 80, "bad": 10})
    setup = Setup(oven.gate, oven.facts, lambda line: None)
    result = bake_off(["missing", "good", "bad"], suite, 100, 0, Path("run"), setup)
    assert oven.asked == ["missing", "good", "bad"]
    assert [(one.entry.model, one.standing) for one in result.ranked] == [
        ("good", "best"),
        ("bad", "worse"),
        ("missing", "INVALID"),
    ]
    assert "no such file" in result.ranked[2].entry.reason
    assert result.verdict.exit_code == 3


def test_models_that_are_not_there_are_named_before_the_first_is_gated(bank: Bank, capsys: Capture) -> None:
    (bank.folder / "good.gguf").touch()
    invalid = "its row will show INVALID, the other models are gated"
    assert main(["bake-off", "goood.gguf", "nowhere/x.gguf", "--suite", bank.suite, "--run", "run"]) == 3
    assert capsys.readouterr().err.splitlines()[:3] == [
        f"model 'goood.gguf': no such file or folder (did you mean 'good.gguf'?); {invalid}",
        f"model 'nowhere/x.gguf': no such file or folder; {invalid}",
        "model 1 of 2: goood.gguf",
    ]


def test_the_folder_is_listed_once_for_a_model_that_is_not_there(bank: Bank, capfd: pytest.CaptureFixture[str]) -> None:
    (bank.folder / "tiny").mkdir()
    assert main(["bake-off", "xyzzy.gguf", "--suite", bank.suite, "--run", "run"]) == 3
    captured = capfd.readouterr()
    assert captured.err.splitlines() == [
        "model 'xyzzy.gguf': no such file or folder; its row will show INVALID, the other models are gated",
        "model 1 of 1: xyzzy.gguf",
    ]
    assert "no such file or folder (known: tiny)" in captured.out


def test_facts_that_cannot_be_read_are_a_fault_of_that_row(suite: Suite) -> None:
    oven = Oven(suite, {"good": 80})

    def facts(model: str) -> ModelFacts:
        raise CannotJudge("the disk is gone")

    [one] = bake_off(["good"], suite, 100, 0, Path("run"), Setup(oven.gate, facts, lambda line: None)).ranked
    assert (one.standing, one.entry.reason) == ("INVALID", "the disk is gone")


def test_what_is_done_stays_done_and_what_failed_is_tried_again(suite: Suite) -> None:
    oven = Oven(suite, {"a": 80, "b": 60})
    first = oven.bake()
    assert oven.asked == ["a", "b"]
    assert oven.bake().ranked == first.ranked
    assert oven.asked == ["a", "b"], "nobody was asked again"
    oven.skills["c"] = 70
    assert [one.entry.model for one in oven.bake().ranked] == ["a", "c", "b"]
    assert oven.asked == ["a", "b", "c"]


def test_a_model_that_changed_since_is_not_taken_for_the_old_one(suite: Suite) -> None:
    oven = Oven(suite, {"a": 80, "b": 60})
    oven.bake()
    oven.skills["b"] = 90
    result = oven.bake()
    assert result.ranked[-1].standing == "INVALID"
    assert "other weights" in result.ranked[-1].entry.reason


def test_cases_that_were_not_judged_make_the_row_invalid(suite: Suite) -> None:
    oven = Oven(suite, {"a": 80})
    silent = ScriptedModel(lambda case: Response("", error="the context is too long"), "b", "sha b")

    def gate(model: str, folder: Path) -> str:
        if model == "a":
            return oven.gate(model, folder)
        run_gate(GateRequest(suite, suite.plan, 0, silent, str(folder)), no_progress, {})
        return ""

    facts = {"a": oven.facts("a"), "b": ModelFacts("sha b")}
    result = bake_off(["a", "b"], suite, 100, 0, Path("run"), Setup(gate, facts.__getitem__, lambda line: None))
    assert [one.standing for one in result.ranked] == ["best", "INVALID"]
    assert result.ranked[1].entry.reason


# --- what people and scripts see -----------------------------------------------------------------------------------


def test_a_row_for_people(suite: Suite) -> None:
    result = Oven(suite, {"a": 80, "b": 60}, {"a": 91_000_000}).bake()
    model, passed, interval, against, size, parameters, memory, _, licence = cells(result.ranked[1])
    assert (model, passed, interval) == ("b", "60 of 100", "50% to 70%")
    assert against.startswith("worse, -20 (")
    assert against.endswith((": unlikely to be chance", ": very unlikely to be chance"))
    assert (size, parameters, licence) == ("unknown", "135 M", "apache-2.0")
    assert memory.endswith("B")
    assert cells(result.ranked[0])[4] == "91 MB"
    assert in_bytes(1.234e9) == "1.23 GB"
    assert in_millions(7_240_000_000) == "7.24 B"


def test_the_page_is_one_file_that_runs_nothing(suite: Suite, tmp_path: Path) -> None:
    hostile = "</style><script>alert(1)</script>"
    result = Oven(suite, {"a": 80, "b": 60, hostile: 40}, {"a": 91_000_000, "b": 540_000_000, hostile: 10**9}).bake()
    write_bake_off(result, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert not re.search(r"(src|href)=", page)
    assert page.count("<circle") == 3
    assert "default-src 'none'" in page or "default-src &#x27;none&#x27;" in page
    assert "91 MB" in page


def test_a_picture_needs_a_size(suite: Suite) -> None:
    assert "<svg" not in render(Oven(suite, {"a": 80}).bake())


def test_one_model_alone_and_none(suite: Suite) -> None:
    result = Oven(suite, {"a": 80}).bake()
    assert (result.ranked[0].standing, result.pairs) == ("best", 0)
    assert rank([Entry("x", Path(), fault="gone")])[0].standing == "INVALID"


# --- what a gate costs ---------------------------------------------------------------------------------------------


def test_tokens_and_the_time_of_the_model_alone_are_counted(suite: Suite) -> None:
    ticks = iter(range(100))
    model = MeteredModel(ScriptedModel(lambda case: Response("x", "stop", 5)), lambda: float(next(ticks)))
    for _ in model.generate(suite.cases[:4], GenerationSettings()):
        next(ticks)  # what is done with an answer takes time too, which is not the model's
        next(ticks)
    assert model.cost == Cost(answers=4, new_tokens=20, seconds=5.0)  # four answers, and the end
    assert model.cost.tokens_per_s == 4.0


def test_a_cost_is_kept_beside_the_record_until_something_is_asked_again(tmp_path: Path) -> None:
    Cost(2, 10, 1.0).save(tmp_path)
    Cost().save(tmp_path)
    kept = read_cost(tmp_path)
    assert kept
    assert (kept.answers, kept.tokens_per_s) == (2, 10.0)
    assert kept.peak_mib
    assert kept.peak_mib > 10
    (tmp_path / COST).write_text("[]")
    assert read_cost(tmp_path) is None


# --- the process of a gate -----------------------------------------------------------------------------------------


def process(code: str) -> GateProcess:
    return GateProcess([], ["python", "-c", code])


def test_a_process_that_dies_says_how() -> None:
    assert "signal 9" in process("import os; os.kill(os.getpid(), 9)")("m", Path("f"))
    assert process('print(\'{"error": "no such model"}\')')("m", Path("f")) == "no such model"
    assert process('print(\'{"verdict": "FAIL"}\'); raise SystemExit(1)')("m", Path("f")) == ""
    with pytest.raises(KeyboardInterrupt):
        process("raise SystemExit(130)")("m", Path("f"))


def test_the_command_with_models_that_are_not_there(bank: Bank, capsys: Capture) -> None:
    assert main(["bake-off", "nowhere.gguf", "--suite", bank.suite, "--draw", "5", "--json"]) == 3
    [row] = json.loads(capsys.readouterr().out)["models"]
    assert (row["standing"], row["verdict"]) == ("INVALID", "INVALID")
    assert "no such file" in row["reason"]
    assert main(["bake-off", "a", "a", "--suite", bank.suite]) == 2
    assert main(["bake-off", "a", "--suite", bank.suite, "--draw", "101"]) == 2


# --- real models ---------------------------------------------------------------------------------------------------


def gate_here(suite_file: str) -> GateModel:
    """`tunegate gate` without a process of its own."""

    def gate(model: str, folder: Path) -> str:
        main(["gate", model, "--suite", suite_file, "--run", str(folder), "--json"])
        return ""

    return gate


@pytest.mark.usefixtures("training")
@real_training[-1]
def test_tiny_models_with_what_their_files_say(bank: Bank, capsys: Capture) -> None:
    plan = "plan: {draw: 10, accept: 9}\ngenerate: {max_new_tokens: 3}\n"
    Path(bank.suite).write_text(Path(bank.suite).read_text() + plan)
    base = make_tiny_model(bank.folder / "base")
    (base / "README.md").write_text("---\nlicense: apache-2.0\nlanguage: en\n---\n# A model\n")
    other = make_tiny_model(bank.folder / "other", seed=1)
    make_adapter(base, bank.folder / "tuned")
    suite = load_suite(Path(bank.suite), build_check)
    models = ["base", "other", "tuned"]
    setup = Setup(gate_here(bank.suite), model_facts, lambda line: None)
    result = bake_off(models, suite, 10, 0, Path("run"), setup)
    assert result.verdict is Verdict.PASS
    entries = {one.entry.model: one.entry for one in result.ranked}
    assert [entries[model].facts.licence for model in models] == ["apache-2.0", "unknown", "apache-2.0"]
    assert entries["base"].facts.parameters == parameters_of(base)
    assert entries["other"].facts.size_bytes == (other / "model.safetensors").stat().st_size
    tuned = entries["tuned"].facts
    assert tuned.parameters
    assert tuned.parameters > parameters_of(base)
    for model in models:
        cost = entries[model].cost
        assert cost
        assert cost.tokens_per_s
        assert cost.answers == 10
        assert read_run(entries[model].folder).gates["suite"].drawn == 10


def parameters_of(folder: Path) -> int:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.usefixtures("training")
@real_training[-1]
def test_a_gguf_file_has_its_own_size_and_not_that_of_what_it_is_converted_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = make_tiny_model(tmp_path / "model")
    file = make_tiny_gguf(folder, tmp_path / "tiny.gguf")
    facts = model_facts(str(file))
    assert facts.size_bytes == file.stat().st_size
    assert facts.parameters == parameters_of(folder)
    assert facts.licence == "unknown"


def test_of_a_server_nothing_is_known() -> None:
    assert model_facts("http://127.0.0.1:1/v1#m") == ModelFacts()


def test_a_damaged_file_has_an_unknown_number_of_parameters(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"license": "mit"}')
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 20)
    facts = model_facts(str(tmp_path))
    assert (facts.parameters, facts.size_bytes, facts.licence) == (None, 20, "mit")


@pytest.mark.slow
def test_two_tiny_models_by_the_command_itself(bank: Bank, capsys: Capture) -> None:
    plan = "plan: {draw: 10, accept: 9}\ngenerate: {max_new_tokens: 3}\n"
    Path(bank.suite).write_text(Path(bank.suite).read_text() + plan)
    for seed in range(2):
        make_tiny_model(bank.folder / f"m{seed}", seed=seed)
    command = ["bake-off", "m0", "m1", "missing.gguf", "--suite", bank.suite, "--run", "run", "--report", "page.html"]
    assert main([*command, "--json"]) == 3
    rows = json.loads(capsys.readouterr().out)["models"]
    assert [row["standing"] for row in rows] == ["best", "not shown worse", "INVALID"]
    assert rows[0]["peak_mib"] > 50
    assert (bank.folder / "page.html").exists()
    assert main(command) == 3
    assert "p = 1: may well be chance" in capsys.readouterr().out


def test_what_is_for_local_models_or_for_servers_goes_to_them_alone(bank: Bank, tmp_path: Path) -> None:
    """A server in between takes no dtype, a local model no key, and each is gated all the same."""
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "config.json").write_text("{}")
    server = "http://127.0.0.1:9/v1#m"
    told = (sys.executable, "-c", "import json, sys; print(json.dumps({'error': ' '.join(sys.argv[1:])}))")
    words = ["local", server, "--suite", bank.suite, "--run", "run", "--dtype", "float32", "--batch-size", "4"]
    words += ["--timeout", "5", "--concurrency", "2", "--request", "top_p=0.5", "--key-env", "PATH"]
    options = build_parser().parse_args(["bake-off", *words])
    result = bake(options, load_suite(Path(bank.suite), build_check), model_facts, lambda line: None, told)
    reasons = {one.entry.model: one.entry.reason for one in result.ranked}
    assert "--dtype float32 --batch-size 4" in reasons["local"]
    assert not any(flag in reasons["local"] for flag in ("--timeout", "--request", "--key-env"))
    assert "--dtype" not in reasons[server]
    assert "--timeout 5.0 --concurrency 2 --key-env PATH --request top_p=0.5" in reasons[server]
    assert f"--suite {bank.suite} --seed 0" in reasons[server]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("draw: 20, accept: 18", "--draw 20"),
        ("kind: double, draw: 50, accept: 44, risk: {at: 0.6}", ""),
        ("kind: sequential, risk: {at: 0.6}", ""),
    ],
)
def test_each_gate_draws_as_its_plan_allows(bank: Bank, plan: str, words: str) -> None:
    """A confirming draw of a retry is left to the real gate; other plans take no `--draw` and are drawn whole."""
    Path(bank.suite).write_text(Path(bank.suite).read_text() + f"plan: {{{plan}}}\nsealed: 0.4\n")
    (bank.folder / "m").mkdir()
    (bank.folder / "m" / "config.json").write_text("{}")
    told = (sys.executable, "-c", "import json, sys; print(json.dumps({'error': ' '.join(sys.argv[1:])}))")
    options = build_parser().parse_args(["bake-off", "m", "--suite", bank.suite, "--run", "run"])
    result = bake(options, load_suite(Path(bank.suite), build_check), model_facts, lambda line: None, told)
    _, draw, rest = result.ranked[0].entry.reason.partition(" --draw ")
    assert (draw + rest.partition(" ")[0]).strip() == words
