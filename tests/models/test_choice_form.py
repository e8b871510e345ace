"""In which form a plain prompt is put to a model: a setting of the suite, on record, and one for all of its checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.llama_server import GGUF, needs_smollm2
from tests.support.places import FILES
from tests.support.tiny_model import make_tiny_model
from tunegate.cases.case import Case
from tunegate.checks.check import Sample
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.fewshot import FewShotModel, Shot
from tunegate.models.hf import HFModel
from tunegate.models.model import Form, GenerationSettings
from tunegate.models.openai_server import OpenAIModel
from tunegate.models.prompting import answer_prompt, choice_prompt
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

GOLDEN = FILES / "lm_eval_piqa.json"
CASE = Case("a", "Which gene?", ("BLM",), choices=("BLM", "TP53"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return HFModel.load(make_tiny_model(tmp_path_factory.mktemp("tiny") / "m"), dtype="float32")


def in_form(form: Form) -> GenerationSettings:
    return GenerationSettings(max_new_tokens=2, form=form)


AS_CHAT = "<|im_start|>user\nWhich gene?<|im_end|>\n<|im_start|>assistant"


@pytest.mark.parametrize(
    ("form", "generated", "scored"),
    [
        ("auto", AS_CHAT + "\n", ("Which gene?", " BLM")),
        ("chat", AS_CHAT + "\n", (AS_CHAT, "\nBLM")),
        ("raw", "Which gene?", ("Which gene?", " BLM")),
    ],
)
def test_what_the_model_sees(tiny: HFModel, form: Form, generated: str, scored: tuple[str, str]) -> None:
    tokenizer, settings = tiny.tokenizer, in_form(form)
    assert tokenizer.decode(answer_prompt(tokenizer, CASE, settings)) == generated
    context, (first, _) = choice_prompt(tokenizer, CASE, settings, " ")
    assert (tokenizer.decode(context), tokenizer.decode(first)) == scored


def test_few_shot_examples_take_the_form_of_the_question(tiny: HFModel) -> None:
    model = FewShotModel(tiny, [Shot("Which gene is it?", "BLM")], 1)
    assert isinstance(model.with_shots(CASE, "chat").prompt, tuple)
    assert model.with_shots(CASE, "raw").prompt == "Which gene is it?BLM\n\nWhich gene?"


def test_a_server_takes_no_raw_text() -> None:
    with pytest.raises(ConfigError, match="form: raw"):
        OpenAIModel("http://127.0.0.1:9/v1", "m").generate([CASE], in_form("raw"))


# --- a suite -------------------------------------------------------------------------------------------------------


def suite(folder: Path, checks: str, generate: str = "{}", **row: Any) -> Path:
    rows = [
        {"id": str(n), "prompt": f"Gene {n}?", "reference": "BLM", "choices": ["BLM", "TP53"], **row} for n in range(2)
    ]
    write_jsonl(folder / "q.jsonl", rows)
    path = folder / "s.yaml"
    path.write_text(f"cases: q.jsonl\nchecks: {checks}\nplan: {{draw: 2, accept: 2}}\ngenerate: {generate}\n")
    return path


@pytest.mark.parametrize(
    ("checks", "generate", "row", "said"),
    [
        (
            "[choice, exact]",
            "{}",
            {},
            "generate: choice asks plain prompts as raw text, exact through the model's chat",
        ),
        ("[choice, exact]", "{form: auto}", {}, None),
        ("[choice, exact]", "{form: chat}", {}, None),
        ("[choice, exact]", "{form: raw}", {}, None),
        ("[choice, exact]", "{system: Be brief.}", {}, None),  # a system message makes chats of both
        ("[choice]", "{}", {}, None),
        ("[exact]", "{}", {}, None),
        (
            "[exact]",
            "{form: raw, system: Be brief.}",
            {},
            "generate.form: raw text cannot express chats, but 2 of 2 cases",
        ),
        ("[exact]", "{form: raw, system: Be brief., system_as: first_user}", {}, None),
        ("[exact]", "{form: plain}", {}, "generate.form: .*'auto', 'chat' or 'raw'"),
        ("[exact]", "{system_as: user}", {}, "generate.system_as: .*'system' or 'first_user'"),
    ],
)
def test_a_suite_asks_in_one_form_or_says_so(
    tmp_path: Path, checks: str, generate: str, row: dict[str, Any], said: str | None
) -> None:
    path = suite(tmp_path, checks, generate, **row)
    if said is None:
        load_suite(path, build_check)
        return
    with pytest.raises(ConfigError, match=said):
        load_suite(path, build_check)


def test_a_suite_of_chats_has_one_form_and_no_raw_one(tmp_path: Path) -> None:
    rows = [
        {"id": str(n), "messages": [{"role": "user", "content": f"{n}?"}], "reference": "BLM", "choices": ["BLM", "x"]}
        for n in range(2)
    ]
    for generate, said in (("{}", None), ("{form: raw}", "raw text cannot express chats")):
        path = suite(tmp_path, "[choice, exact]", generate)
        write_jsonl(tmp_path / "q.jsonl", rows)
        if said is None:
            load_suite(path, build_check)
            continue
        with pytest.raises(ConfigError, match=said):
            load_suite(path, build_check)


def test_the_form_changes_the_hash_of_a_suite_only_where_it_is_set(tmp_path: Path) -> None:
    def sha256(generate: str) -> str:
        return load_suite(suite(tmp_path, "[exact]", generate), build_check).sha256

    assert sha256("{}") == sha256("{form: auto}") == sha256("{system_as: system}")
    assert len({sha256(one) for one in ("{}", "{form: chat}", "{form: raw}", "{system_as: first_user}")}) == 4


def test_the_form_is_on_record_and_in_the_report(tmp_path: Path) -> None:
    make_tiny_model(tmp_path / "m")
    path = suite(tmp_path, "[choice]", "{form: chat}")
    main(["gate", str(tmp_path / "m"), "--suite", str(path), "--run", str(tmp_path / "run")])
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    (started,) = [event for event in events if event.get("event") == "gate_started"]
    assert started["settings"]["form"] == "chat"
    assert "settings.form" in (tmp_path / "run" / "report.html").read_text()


# --- parity with lm-evaluation-harness -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("form", ["raw", "chat"])
def test_choice_decides_as_lm_evaluation_harness_does(form: Form) -> None:
    """Its log-likelihoods of 60 questions of PIQA, made by `tests/bench/lm_eval_piqa.py`, and its arithmetic on them.

    `acc` is the likeliest choice, `acc_norm` the likeliest per character, the first of equals in both (lm_eval 0.4.13,
    api/task.py, process_results).
    """
    from tunegate.models.open_model import open_model

    needs_smollm2()
    golden = {row["id"]: row for row in json.loads(GOLDEN.read_text())[form]}
    shipped = load_suite(Path("suites/tunegate_suites/data/piqa.yaml"), build_check)
    cases = [case for case in shipped.cases if case.id in golden]
    assert len(cases) == len(golden) == 60
    model = open_model(GGUF, dtype="float32")
    found = dict(model.score_choices(cases, in_form(form)))
    for index, case in enumerate(cases):
        scores = [score.log_likelihood for score in found[index].choice_scores]
        assert scores == pytest.approx(golden[case.id]["log_likelihoods"], abs=0.02)
    for normalize in (False, "chars"):
        check = build_check({"choice": {"normalize": normalize}}, Path())
        verdicts = check.judge([Sample(case, found[index]) for index, case in enumerate(cases)])
        for case, finding in zip(cases, verdicts, strict=True):
            lengths = [len(choice) if normalize else 1 for choice in case.choices]
            shares = [score / n for score, n in zip(golden[case.id]["log_likelihoods"], lengths, strict=True)]
            assert (finding.verdict == "PASS") == (case.choices[shares.index(max(shares))] == case.references[0])
