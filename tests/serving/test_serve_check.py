"""`tunegate serve-check`: the usual faults of a server are named, and an honest server is the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.llama_server import GGUF, llama_server
from tests.support.places import ROOT
from tests.support.serving_stub import Stub, serving
from tests.support.tiny_model import make_adapter, make_tiny_model
from tunegate.cli import main
from tunegate.models.gguf_export import write_gguf
from tunegate.models.hf import HFModel
from tunegate.models.open_model import find_model

N = 8
BANK = ROOT / "suites" / "tunegate_suites" / "data" / "gene_expert" / "bank.jsonl"
SUITE = {
    "cases": {"path": "cases.jsonl", "prompt": "{question}", "reference": "{answer}"},
    "checks": ["exact"],
    "plan": {"draw": N, "accept": 1, "confirm": "never"},
    "generate": {"max_new_tokens": 6},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def loaded(folder: Path, **how: Any) -> HFModel:
    return HFModel.load(folder, device="cpu", dtype="float32", **how)


@pytest.fixture
def suite(tmp_path: Path, model: Path) -> Path:
    """A suite on which the tiny model is always right: its references are the model's own answers."""
    from tunegate.cases.case import Case
    from tunegate.models.model import GenerationSettings

    questions = [f"What is the {word} of {place}?" for word in ("capital", "gene") for place in "ABCDEFGH"]
    cases = [Case(str(number), text) for number, text in enumerate(questions)]
    answers = dict(loaded(model).generate(cases, GenerationSettings(max_new_tokens=6)))
    rows = [
        {"id": case.id, "question": case.prompt, "answer": answers[number].text or "?"}
        for number, case in enumerate(cases)
    ]
    write_jsonl(tmp_path / "cases.jsonl", rows)
    (tmp_path / "suite.yaml").write_text(json.dumps(SUITE))
    return tmp_path / "suite.yaml"


def check(capsys: pytest.CaptureFixture[str], url: str, against: object, suite: Path, *more: str) -> dict[str, Any]:
    words = ["serve-check", url, "--against", str(against), "--suite", str(suite), "--n", str(N), "--json", *more]
    capsys.readouterr()
    code = main(words)
    said = json.loads(capsys.readouterr().out)
    assert said["exit_code"] == code
    return said


def kinds(said: dict[str, Any]) -> list[str]:
    return [fault["kind"] for fault in said["faults"]]


@pytest.mark.parametrize("kind", ["llama.cpp", "vllm", "plain"])
def test_the_same_model_is_the_same(kind: Any, model: Path, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Stub(loaded(model), kind)) as url:
        said = check(capsys, url, model, suite)
    assert (said["verdict"], said["faults"]) == ("same", [])
    assert said["equal_answers"]["count"] == said["equal_verdicts"]["count"] == N
    assert said["median_gap"] < 1e-4
    assert said["server"]["context"] == (None if kind == "plain" else 4096)
    assert said["equal_prompts"] is None if kind == "plain" else said["equal_prompts"]["count"] == N


def test_what_people_read(model: Path, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Stub(loaded(model))) as url:
        assert main(["serve-check", url, "--against", str(model), "--suite", str(suite), "--n", str(N)]) == 0
    out = capsys.readouterr().out
    assert f"serve-check suite: {N} cases drawn with seed 0" in out
    assert "same: nothing that was compared differs" in out


@pytest.mark.parametrize(("kind", "shown"), [("llama.cpp", "text"), ("vllm", "text"), ("plain", "number of tokens")])
def test_a_wrong_template_is_named(
    kind: Any, shown: str, model: Path, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = loaded(model)
    wrong.tokenizer.chat_template = "{% for m in messages %}USER: {{ m['content'] }}\n{% endfor %}ASSISTANT: "
    with serving(Stub(wrong, kind)) as url:
        said = check(capsys, url, model, suite)
    assert (said["verdict"], kinds(said)[0]) == ("differs", "template")
    assert said["faults"][0]["evidence"]["differ"] == N
    assert ("fewest" in said["faults"][0]["evidence"]) == (shown == "number of tokens")


def test_other_weights_and_the_suspect_that_explains_them(
    model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_tiny_model(tmp_path / "other", seed=1)
    with serving(Stub(loaded(other))) as url:
        said = check(capsys, url, model, suite)
        assert (said["verdict"], kinds(said)[0]) == ("differs", "other_weights")
        said = check(capsys, url, model, suite, "--suspect", str(other))
        assert kinds(said)[0] == "suspect"
        assert said["faults"][0]["evidence"]["suspect"] == str(other)
        assert "verdicts" in kinds(said)


def test_a_missing_adapter_is_named(
    model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = make_adapter(model, tmp_path / "adapter")
    with serving(Stub(loaded(model))) as url:
        said = check(capsys, url, adapter, suite)
    assert kinds(said)[0] == "suspect"
    assert said["faults"][0]["evidence"]["suspect"] == str(model)


def test_a_missing_stop_token_is_named(
    model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tiny model ends no answer by itself within six tokens: one token that it gives is made its end."""
    ends = loaded(model)
    ends.model.generation_config.eos_token_id = list(range(3, len(ends.tokenizer)))  # every token but the special ones
    ends.model.save_pretrained(tmp_path / "ends")
    ends.tokenizer.save_pretrained(tmp_path / "ends")
    with serving(Stub(ends, goes_on=" and so on")) as url:
        said = check(capsys, url, tmp_path / "ends", suite)
    assert "stop" in kinds(said)
    assert said["runs_on"]["count"] == said["runs_on"]["of"] > 0


def test_a_cut_context_is_named_though_no_case_needs_it(
    model: Path, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(Stub(loaded(model), context=16, refuses=lambda text: True)) as url:
        said = check(capsys, url, model, suite)
    assert (said["verdict"], kinds(said)) == ("differs", ["context"])


def test_without_log_probabilities_only_equal_answers_show_it(
    model: Path, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub = Stub(loaded(model), log_probabilities=False)
    with serving(stub) as url:
        assert check(capsys, url, model, suite)["verdict"] == "same"
    with serving(replace(stub, goes_on=" ")) as url:  # white space at the end is no difference
        assert check(capsys, url, model, suite)["verdict"] == "same"
    with serving(replace(stub, goes_on="!")) as url:
        said = check(capsys, url, model, suite, "--request", "stop=null")
    assert said["verdict"] in ("differs", "INVALID")
    assert said["median_gap"] is None


def _nan(top: list[dict[str, Any]]) -> object:
    return [{**one, "logprob": float("nan")} for one in top]


def _no_bytes(top: list[dict[str, Any]]) -> object:
    return [{**one, "bytes": [999, "x"], "logprob": None} for one in top]


@pytest.mark.parametrize(
    ("tells", "verdict"), [(lambda top: top[:1], "differs"), (_nan, "INVALID"), (_no_bytes, "INVALID")]
)
def test_log_probabilities_that_say_nothing_hide_no_other_weights(
    tells: Any, verdict: str, model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that lists the chosen token alone, NaN of broken weights, bytes that are none; and no case that can be
    lost."""
    rows = [json.loads(line) for line in (tmp_path / "cases.jsonl").read_text().splitlines()]
    write_jsonl(tmp_path / "cases.jsonl", [{**row, "answer": "never said"} for row in rows])
    other = make_tiny_model(tmp_path / "other", seed=1)
    with serving(Stub(loaded(other), tells=tells)) as url:
        said = check(capsys, url, model, suite)
    assert said["equal_answers"]["count"] < N
    assert said["verdict"] == verdict


def test_a_case_without_an_answer_is_invalid(model: Path, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Stub(loaded(model), refuses=lambda text: "of A" in text or "of B" in text or "of C" in text)) as url:
        said = check(capsys, url, model, suite)
    assert (said["verdict"], said["exit_code"], said["unclear"]) == ("INVALID", 3, "not_judged")
    assert said["cases"] == N


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["model", "--against", "m"], "expected a server"),
        (["http://127.0.0.1:9/v1#m", "--against", "http://127.0.0.1:9/v1#m"], "--against: expected a model on this"),
        (["http://127.0.0.1:9/v1#m", "--against", "m", "--n", "0"], "--n: expected at least 1, got 0"),
    ],
)
def test_wrong_use(words: list[str], says: str, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve-check", *words, "--suite", str(suite)]) == 2
    assert says in capsys.readouterr().err


def test_spent_cases_come_first(model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A gate asks 8 of 16 cases; a check of 8 asks the same, and a later gate still has its 8 fresh ones."""
    ledger = ["--ledger", str(tmp_path / "ledger")]
    gate = ["gate", str(model), "--suite", str(suite), *ledger, "--json"]
    assert main([*gate, "--run", str(tmp_path / "one")]) in (0, 1)
    with serving(Stub(loaded(model))) as url:
        said = check(capsys, url, model, suite, *ledger)
        assert (said["cases"], said["reused"]) == (N, N)
        other = check(capsys, url, model, suite, "--seed", "1", *ledger)
        assert (other["seed"], other["reused"]) == (1, N)
        ids = [[pair["case_id"] for pair in one["pairs"]] for one in (said, other)]
        assert sorted(ids[0]) == sorted(ids[1])
        assert ids[0] != ids[1]
    assert main([*gate, "--seed", "1", "--run", str(tmp_path / "two")]) in (0, 1)


def test_fresh_cases_are_spent_where_there_are_no_others(
    model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = ["--ledger", str(tmp_path / "ledger")]
    with serving(Stub(loaded(model))) as url:
        assert check(capsys, url, model, suite, "--n", "16", *ledger)["reused"] == 0
    assert main(["gate", str(model), "--suite", str(suite), *ledger, "--run", str(tmp_path / "one")]) == 4


# --- a real server -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_llama_cpp_serving_our_export(
    model: Path, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tiny model as our GGUF file: the same at 16 bits, and told apart with another template."""
    one_token = {**SUITE, "checks": ["contains"], "generate": {"max_new_tokens": 1}}  # random weights soon part
    suite.write_text(json.dumps(one_token))
    write_gguf(model, tmp_path / "f16.gguf", "f16")
    with llama_server(tmp_path / "f16.gguf", n_ctx=256) as url:
        said = check(capsys, f"{url}#served", model, suite)
    assert (said["verdict"], said["faults"]) == ("same", []), said
    assert said["equal_prompts"]["count"] == said["equal_lengths"]["count"] == N
    assert 0 < said["median_gap"] < 0.02
    with llama_server(tmp_path / "f16.gguf", n_ctx=256, chat_template="llama2") as url:
        said = check(capsys, f"{url}#served", model, suite)
    assert (said["verdict"], kinds(said)[0]) == ("differs", "template")


@pytest.mark.slow
def test_llama_cpp_serving_smollm2_in_sixteen_and_in_four_bits(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = find_model(GGUF).folder
    rows = [json.loads(line) for line in BANK.read_text(encoding="utf-8").splitlines()]
    prompts = {f"{row['context'].split('. ')[0]}. {row['question']}": row["answer"] for row in rows}
    short = [(prompt, answer) for prompt, answer in prompts.items() if len(prompt) < 260][: 2 * N]
    cases = [{"id": str(n), "question": prompt, "answer": answer} for n, (prompt, answer) in enumerate(short)]
    write_jsonl(suite.parent / "cases.jsonl", cases)
    for file_type, verdict, fault in (("f16", "same", []), ("q4_0", "differs", ["quantised"])):
        write_gguf(folder, tmp_path / "m.gguf", file_type)
        with llama_server(tmp_path / "m.gguf") as url:
            said = check(capsys, f"{url}#served", GGUF, suite, "--timeout", "300")
        assert (said["verdict"], kinds(said)[: len(fault)]) == (verdict, fault), said
