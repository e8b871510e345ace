"""`tunegate generate`: rows from a server's and a real model's answers, what is dropped and why, resuming, the card."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.models.test_openai_server import Reply, completion, question, server
from tests.support.bank import write_jsonl
from tests.support.tiny_model import make_tiny_model
from tunegate.cases.case import Case
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.command_line import build_parser
from tunegate.commands.generate import _settings, show_generated
from tunegate.data.spec import DataSpec
from tunegate.data.training_data import load_training_data
from tunegate.exceptions import CannotJudge
from tunegate.gates.diversity import Pair, measure
from tunegate.generation.choose import Filters
from tunegate.generation.diversity import diversity
from tunegate.generation.generate import Generated, Request, card_path, generate
from tunegate.models.model import GenerationSettings, Response, ScriptedModel
from tunegate.progress import no_progress
from tunegate.record.read_run import read_run
from tunegate.verdicts.diversity import DiversityRule

pytest.importorskip("openai")
pytest.importorskip("datasketch")

PROMPTS = [
    {"id": "a", "prompt": "What is the capital of France?", "reference": "Paris", "topic": "towns"},
    {"id": "b", "prompt": "What is the capital of Italy?", "reference": "Rome", "topic": "towns"},
    {"id": "c", "prompt": "Which gene causes cystic fibrosis?", "reference": "CFTR", "topic": "genes"},
    {"id": "d", "prompt": "Name something long.", "reference": "", "topic": "words"},
]
ANSWERS = {
    "What is the capital of France?": "Paris",
    "What is the capital of Italy?": "Rome, of course",
    "Which gene causes cystic fibrosis?": "I cannot say.",
    "Name something long.": "A river",
}
CASES = [
    {"id": "1", "prompt": "What is the capital of Italy?", "reference": "Rome"},
    {"id": "2", "prompt": "What is the capital of Spain?", "reference": "Madrid"},
]
SUITE = "cases: cases.jsonl\nchecks: [contains]\nplan: {draw: 2, accept: 1}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNEGATE_TRUST", str(tmp_path))
    write_jsonl(tmp_path / "prompts.jsonl", PROMPTS)
    write_jsonl(tmp_path / "cases.jsonl", CASES)
    write_jsonl(tmp_path / "others.jsonl", [{**CASES[1], "reference": "Seville"}, {**CASES[1], "id": "3"}])
    (tmp_path / "suite.yaml").write_text(SUITE)
    (tmp_path / "checks.yaml").write_text(SUITE.replace("cases.jsonl", "others.jsonl"))
    return tmp_path


@dataclass
class Asked:
    """A server under test: its address, and the requests that it got."""

    place: str
    bodies: list[dict[str, Any]]


@contextmanager
def asked(say: Callable[[dict[str, Any]], Reply | str] = lambda body: ANSWERS[question(body)]) -> Iterator[Asked]:
    bodies: list[dict[str, Any]] = []

    def reply(body: dict[str, Any]) -> Reply:
        bodies.append(body)
        said = say(body)
        return completion(said) if isinstance(said, str) else said

    with server(reply) as model:
        yield Asked(f"{model.base_url}#m", bodies)


def run(place: str, *words: str) -> int:
    return main(["generate", place, "--prompts", "prompts.jsonl", "--out", "out.jsonl", *words])


def rows(name: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def card() -> dict[str, Any]:
    return json.loads(Path("out.jsonl.card.json").read_text())


def ids() -> list[str]:
    return [row["id"] for row in rows()]


def test_rows_are_what_passes_and_the_card_counts_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    with asked() as place:
        assert run(place.place, "--tags", "topic", "--checks", "checks.yaml", "--not-in", "suite.yaml") == 0
    assert rows() == [
        {"id": "a-1", "prompt": PROMPTS[0]["prompt"], "completion": "Paris", "topic": "towns"},
    ]
    found = card()
    assert found["dropped"] == {"missed contains": 1, "not judged": 1, "leaks a case of suite": 1}
    assert found["asked"] == 4 == found["rows"] + sum(found["dropped"].values())
    assert [one["name"] for one in found["not_in"]] == ["suite", "checks"]
    assert found["tags"] == {"topic=towns": 1}
    assert found["diversity"]["before"]["texts"] == 4
    shown = capsys.readouterr().out
    assert "out.jsonl: 1 rows from 4 answers to 4 prompts" in shown
    assert "| dropped: leaks a case of suite | 1 |" in Path("out.jsonl.card.md").read_text()


def test_json_is_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    with asked() as place:
        assert run(place.place, "--not-in", "suite.yaml", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {**card(), "unanswered": 0}


def test_no_row_is_a_case_of_a_pipeline_that_is_here() -> None:
    own = SUITE.strip().replace("\n", ", ")
    stage = "{name: s, method: sft, data: no.jsonl, gates: [own]}"
    pipeline = f"name: p\nmodel: m\nsuites: {{own: {{{own}}}}}\nstages: [{stage}]\n"
    Path("tunegate.yaml").write_text(pipeline)  # neither its model nor its data are here yet
    with asked() as place:
        assert run(place.place) == 0
    assert card()["dropped"] == {"leaks a case of own": 1}
    assert "b-1" not in ids()


def test_without_a_suite_the_user_and_the_card_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with asked() as place:
        assert run(place.place) == 0
    assert "no suite is named with --not-in" in capsys.readouterr().err
    assert "no suite, so the rows may contain test cases" in Path("out.jsonl.card.md").read_text()
    assert ids() == ["a-1", "b-1", "c-1", "d-1"]


def test_a_setting_of_the_command_line_is_sent_and_on_the_card() -> None:
    words = ["--samples", "2", "--temperature", "0.7", "--top-p", "0.9", "--system", "Be brief."]
    with asked() as place:
        assert run(place.place, *words) == 0
    assert {(body["temperature"], body["top_p"]) for body in place.bodies} == {(0.7, 0.9)}
    assert {body["messages"][0]["content"] for body in place.bodies} == {"Be brief."}
    assert len({(question(body), body["seed"]) for body in place.bodies}) == 8
    assert (card()["settings"]["temperature"], card()["settings"]["top_p"]) == (0.7, 0.9)
    assert card()["dropped"] == {"repeats a row": 4}


FLAGS: list[tuple[str, dict[str, Any]]] = [
    ("--samples 3 --temperature 0.5", {"samples": 3, "temperature": 0.5}),
    ("--temperature 0.5 --top-p 0.9", {"temperature": 0.5, "top_p": 0.9}),
    ("--temperature 0.5 --top-k 40", {"temperature": 0.5, "top_k": 40}),
    ("--temperature 0.5 --min-p 0.1", {"temperature": 0.5, "min_p": 0.1}),
    ("--temperature 0.5 --typical-p 0.8", {"temperature": 0.5, "typical_p": 0.8}),
    ("--repetition-penalty 1.3", {"repetition_penalty": 1.3}),
    ("--temperature 0.5 --seed 7", {"temperature": 0.5, "seed": 7}),
    ("--max-new-tokens 9", {"max_new_tokens": 9}),
    ("--system Briefly", {"system": "Briefly"}),
    ("--stop END --stop .", {"stop": ("END", ".")}),
]


@pytest.mark.parametrize(("flags", "settings"), FLAGS)
def test_each_flag_sets_its_setting(flags: str, settings: dict[str, Any]) -> None:
    given = build_parser().parse_args(["generate", "m", "--prompts", "p", "--out", "o", *flags.split()])
    assert _settings(given, None) == GenerationSettings(**settings)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--top-p", "0.9"], "top_p: has no effect at temperature 0; set `temperature` too, or leave it out"),
        (["--samples", "2"], "2 samples at temperature 0 are identical"),
        (["--temperature", "0.5", "--top-p", "1.5"], "top_p: should be less than or equal to 1, got 1.5"),
        (["--per-tag", "0"], "--per-tag: expected at least 1, got 0"),
        (["--per-tag", "2"], "--per-tag: no prompt of prompts.jsonl has a tag; name their field with --tags"),
        (["--prompt", "{nothing}"], "no field 'nothing'"),
        (["--checks", "choice.yaml"], "choice asks the model more than a prompt"),
        (["--checks", "exact.yaml", "--prompts", "bare.jsonl"], "exact needs `reference`, but no prompt has it"),
        (["--not-in", "nowhere.yaml"], "nowhere.yaml"),
        (["--dtype", "float32"], "dtype"),
        (["--timeout", "0"], "--timeout: expected a number of seconds, above 0"),
        (["--concurrency", "5000"], "--concurrency: expected at most 1000, got 5000"),
        (["--concurrency", "0"], "--concurrency: expected at least 1, got 0"),
        (["--request", "x"], "--request: expected FIELD=VALUE"),
        (["--key-env", "NOT_SET_HERE"], "--key-env: the environment variable 'NOT_SET_HERE' is not set"),
        (["--trust", "nowhere"], "--trust nowhere: no such folder"),
    ],
)
def test_what_cannot_work_is_one_line_before_anything_is_asked(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    choices = "{path: cases.jsonl, choices: ['{reference}', '{prompt}']}"
    Path("choice.yaml").write_text(SUITE.replace("cases.jsonl", choices).replace("contains", "choice"))
    Path("exact.yaml").write_text(SUITE.replace("contains", "exact"))
    write_jsonl(Path("bare.jsonl"), [{"prompt": "Who?"}])
    with asked() as place:
        assert run(place.place, *words) == 2
        assert not place.bodies
    assert message in (said := capsys.readouterr().err.strip().splitlines()[-1])
    assert "Traceback" not in said
    assert not Path("out.jsonl").exists()


def test_an_interrupted_command_goes_on_and_writes_the_same_bytes() -> None:
    with asked() as place:
        assert run(place.place, "--not-in", "suite.yaml") == 0
        wanted = {path.name: path.read_bytes() for path in Path().glob("out.jsonl*")}
        log = Path("out.jsonl.answers.jsonl")
        whole = log.read_text().splitlines(keepends=True)
        for kept in range(1, len(whole)):
            for path in Path().glob("out.jsonl*"):
                path.unlink()
            log.write_text("".join(whole[:kept]) + whole[kept][:7])  # the crash cut a line
            place.bodies.clear()
            assert run(place.place, "--not-in", "suite.yaml") == 0
            assert len(place.bodies) == len(whole) - kept
            assert {path.name: path.read_bytes() for path in Path().glob("out.jsonl*")} == wanted
        place.bodies.clear()
        assert run(place.place, "--checks", "suite.yaml") == 0  # other filters ask nothing again
        assert not place.bodies
        assert card()["checks"]["suite"] == "suite"


def test_questions_without_a_reply_are_asked_again_and_the_exit_code_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    down = [True]

    def say(body: dict[str, Any]) -> Reply | str:
        fails = down[0] and "gene" in question(body)
        return (500, '{"error": {"message": "on fire"}}') if fails else ANSWERS[question(body)]

    with asked(say) as place:
        assert run(place.place) == 3
        assert "no reply to 1 questions; the same command asks them again" in capsys.readouterr().out
        assert card()["dropped"] == {"no answer": 1}
        down[0] = False
        place.bodies.clear()
        assert run(place.place) == 0
        assert [question(body) for body in place.bodies] == ["Which gene causes cystic fibrosis?"]
        assert card()["dropped"] == {}


def test_answers_under_other_settings_and_foreign_files_are_not_touched(capsys: pytest.CaptureFixture[str]) -> None:
    with asked() as place:
        Path("out.jsonl").write_text("mine\n")
        assert run(place.place) == 2
        assert "out.jsonl: already exists and is not overwritten" in capsys.readouterr().err
        Path("out.jsonl").unlink()
        assert run(place.place) == run(place.place) == 0
        edited = Path("out.jsonl").read_text().replace('"completion"', '"mine": 1, "completion"')
        Path("out.jsonl").write_text(edited)  # rows that were corrected by hand are work, too
        assert run(place.place) == 2
        assert Path("out.jsonl").read_text() == edited
        Path("out.jsonl.answers.jsonl").unlink()
        Path("out.jsonl").unlink()
        assert run(place.place) == 0
        before = Path("out.jsonl").read_bytes()
        assert run(place.place, "--max-new-tokens", "5") == 2
        assert "out.jsonl.answers.jsonl: its answers were made with another `settings`" in capsys.readouterr().err
        assert Path("out.jsonl").read_bytes() == before
        Path("out.jsonl.answers.jsonl").write_text("{}\nno json\n")
        assert run(place.place) == 2
        assert "out.jsonl.answers.jsonl:2: is not a line of a file of answers" in capsys.readouterr().err


# --- what is chosen --------------------------------------------------------------------------------------------------

LONG = "The gene on the long arm of chromosome seven makes a channel for chloride in the cells of many organs"


def chosen(say: Callable[[Case], str | Response], cases: list[Case], out: Path, **how: Any) -> dict[str, Any]:
    return generated(say, cases, out, **how).card


def generated(say: Callable[[Case], str | Response], cases: list[Case], out: Path, **how: Any) -> Generated:
    settings = GenerationSettings(samples=how.pop("samples", 1), temperature=0.7)
    write_jsonl(out.parent / "p.jsonl", [{"prompt": case.prompt} for case in cases])
    request = Request(ScriptedModel(say), out.parent / "p.jsonl", cases, settings, Filters(**how), out)
    return generate(request, no_progress)


def test_near_duplicates_are_of_answers_and_of_rows(here: Path) -> None:
    """A long prompt with two short answers is two rows, as is one answer to two prompts; a changed word is none."""
    cases = [
        Case("a", f"{LONG}. Is this so?"),
        Case("b", "Which gene is it that is meant by the text that you were shown before?"),
        Case("c", "Who?"),
    ]
    said = {
        "a": "Yes", "a [sample 2]": "No", "b": LONG, "b [sample 2]": f"{LONG} indeed",
        "c": "Yes", "c [sample 2]": "yes!",
    }  # fmt: skip
    found = chosen(lambda case: said[case.id], cases, here / "near.jsonl", samples=2)
    assert found["dropped"] == {"repeats a row": 1, "nearly repeats a row": 1}
    assert [row["id"] for row in rows("near.jsonl")] == ["a-1", "a-2", "b-1", "c-1"]
    assert found["diversity"]["before"]["near_duplicates"] > found["diversity"]["after"]["near_duplicates"]


def test_cut_and_empty_answers_are_no_rows(here: Path) -> None:
    said = {"1": Response("and then", "length"), "2": Response("  \n", "stop"), "3": Response(" whole ", "stop")}
    found = chosen(lambda case: said[case.id], [Case(n, f"Question {n}") for n in said], here / "cut.jsonl")
    assert found["dropped"] == {"cut off at max_new_tokens": 1, "empty": 1}
    assert [row["completion"] for row in rows("cut.jsonl")] == ["whole"]


def test_at_most_n_rows_for_each_tag_from_as_many_prompts_as_possible(here: Path) -> None:
    cases = [Case(f"x{n}", f"Question {n}", tags=("kind=x", "old")) for n in range(4)]
    cases += [Case("y", "Question of another kind", tags=("kind=y",)), Case("z", "Question without a tag")]
    found = chosen(lambda case: f"Answer {case.id}", cases, here / "tags.jsonl", samples=2, per_tag=3)
    assert found["tags"] == {"kind=x": 3, "old": 3, "kind=y": 2, "no tag": 2}
    assert found["dropped"] == {"more than --per-tag": 5}
    kept = rows("tags.jsonl")
    assert [row["id"] for row in kept if row.get("kind") == "x"] == ["x0-1", "x1-1", "x2-1"]
    assert kept[0] == {"id": "x0-1", "prompt": "Question 0", "completion": "Answer x0", "kind": "x", "tags": ["old"]}


def test_no_row_at_all_is_an_error_that_counts_the_reasons(here: Path) -> None:
    with pytest.raises(CannotJudge, match="not written: all 1 answers were dropped: empty 1"):
        chosen(lambda case: "", [Case("a", "?")], here / "none.jsonl")
    assert not (here / "none.jsonl").exists()


def test_if_most_answers_are_cut_off_the_option_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {"1": Response("and then", "length"), "2": Response("and so", "length"), "3": Response("whole", "stop")}

    def answered(names: str) -> Generated:
        return generated(lambda case: said[case.id], [Case(n, f"Question {n}") for n in names], here / f"{names}.jsonl")

    for names, told in (("123", True), ("23", False)):
        show_generated(answered(names), here / "out.jsonl", as_json=False)
        assert ("most answers were cut off: raise --max-new-tokens" in capsys.readouterr().out) is told
    with pytest.raises(CannotJudge, match="cut off at max_new_tokens 1; raise --max-new-tokens"):
        answered("1")


def test_chats_stay_chats_and_load_as_training_data(here: Path) -> None:
    turns = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who are you?"})
    chosen(lambda case: "A model", [Case("a", turns, tags=("kind=x",))], here / "chat.jsonl")  # type: ignore[arg-type]
    (example,) = load_training_data(DataSpec(path="chat.jsonl", tags=["kind"]), "sft", here).examples
    assert (example.prompt, example.answers, example.tags) == (turns, {"completion": "A model"}, ("kind=x",))


@pytest.mark.parametrize(
    ("texts", "distinct_2", "different", "near"),
    [
        (["a b c"], 1.0, 1.0, 0.0),
        (["a b", "a b"], 0.5, 0.5, 0.5),
        ([LONG, f"{LONG} indeed"], round(20 / 39, 4), 1.0, 0.5),
    ],
)
def test_measures_of_diversity(texts: list[str], distinct_2: float, different: float, near: float) -> None:
    found = diversity(texts)
    assert (found["distinct_2"], found["different"], found["near_duplicates"]) == (distinct_2, different, near)


def test_a_data_card_counts_near_duplicates_as_a_gate_does() -> None:
    frame = "It is caused by a mutation in the gene {} and is inherited in an autosomal {} manner by the children"
    texts = [frame.format(gene, way) for gene in ("FBN1", "CFTR", "PAX6") for way in ("dominant", "recessive")]
    [figure] = measure(DiversityRule(measures=("near_duplicates",)), [Pair(text, "x", text) for text in texts])
    assert diversity(texts)["near_duplicates"] == round(1 - figure.answers, 4)


def test_diversity_of_nothing_is_no_number() -> None:
    assert diversity([]) == {"texts": 0}


# --- real weights ----------------------------------------------------------------------------------------------------

PIPELINE = """
name: tiny
model: base
suites:
  talks:
    cases: cases.jsonl
    checks: [{regex: "(?s)^.{0,500}$"}]
    plan: {draw: 2, accept: 1}
    generate: {max_new_tokens: 4}
stages:
  - name: sft
    method: sft
    data: {path: made.jsonl, tags: [topic]}
    args: {per_device_train_batch_size: 2, max_steps: 2}
    gates: [talks]
"""


@pytest.mark.slow
def test_a_stage_trains_on_what_a_real_model_generated(here: Path) -> None:
    pytest.importorskip("trl")
    make_tiny_model(here / "base")
    Path("tunegate.yaml").write_text(PIPELINE)
    words = ["generate", "base", "--prompts", "prompts.jsonl", "--tags", "topic", "--max-new-tokens", "60"]
    words += ["--samples", "4", "--temperature", "1.5", "--top-k", "20", "--not-in", "tunegate.yaml"]
    assert main([*words, "--out", "made.jsonl", "--stop", "e"]) == 0
    assert len(rows("made.jsonl")) >= 6
    made = json.loads(card_path(Path("made.jsonl"), "json").read_text())
    assert "leaks a case of talks" in made["dropped"]
    assert main([*words, "--out", "again.jsonl", "--stop", "e", "--batch-size", "2", "--dtype", "float32"]) == 0
    assert main(["run", "tunegate.yaml"]) == 0
    record = read_run(Path("runs/tiny"))
    assert record.verdict is Verdict.PASS
    assert record.stages["sft"].attempts[1].trained
