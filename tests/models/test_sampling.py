"""The settings of sampling: the distribution of transformers' `generate`, whatever the batch, here and on servers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.models.test_openai_server import Reply, completion, server
from tests.models.test_openai_server import answers as from_server
from tests.support.llama_server import llama_server
from tests.support.one_thread import one_thread as one_thread
from tests.support.tiny_model import make_tiny_model
from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.models.hf import HFModel
from tunegate.models.model import GenerationSettings
from tunegate.models.openai_server import OpenAIModel
from tunegate.models.sampling import inverse, picker

torch = pytest.importorskip("torch")

LIMITS: list[dict[str, Any]] = [
    {"top_p": 0.3},
    {"top_k": 3},
    {"min_p": 0.4},
    {"typical_p": 0.2},
    {"repetition_penalty": 1.7},
    {"top_k": 50, "top_p": 0.8, "min_p": 0.01, "typical_p": 0.7, "repetition_penalty": 1.3},
]
CASES = [Case(f"q{n}", text) for n, text in enumerate(["Rome", "Which gene causes it?", "inherited " * 9, "?"])]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    folder: Path = make_tiny_model(tmp_path_factory.mktemp("models") / "chat")
    return HFModel.load(folder, dtype="float32")


def texts(model: HFModel, settings: GenerationSettings, cases: list[Case] = CASES) -> list[str]:
    found = {index: response.text for index, response in model.generate(cases, settings)}
    return [found[index] for index in range(len(cases))]


def drawn_from(logits: Any, prompt: list[int], settings: GenerationSettings, rows: int = 4000) -> Any:
    """The shares of the next tokens that our loop draws, over many cases of one prompt."""
    pick = picker([prompt] * rows, [str(row) for row in range(rows)], settings)
    tokens = pick(logits.expand(rows, -1), range(rows), 0)
    return torch.bincount(tokens, minlength=logits.shape[-1]).double() / rows


@pytest.mark.parametrize("limits", LIMITS, ids=lambda limits: "+".join(limits))
def test_the_next_token_has_the_distribution_of_transformers_generate(model: HFModel, limits: dict[str, Any]):
    """`generate` gives the scores that it draws from; the prompt repeats a token that it also makes likely."""
    first = model.tokenizer("Which gene causes it?")["input_ids"]
    with torch.no_grad():
        likely = int(model.model(torch.tensor([first])).logits[0, -1].argmax())
        prompt = [*first, likely]
        logits = model.model(torch.tensor([prompt])).logits[0, -1]
    # transformers' own defaults must not join in: top_k is 50 there
    how = {"do_sample": True, "temperature": 1.5, "top_k": 0, "top_p": 1.0, **limits}
    output = model.model.generate(
        torch.tensor([prompt]), max_new_tokens=1, return_dict_in_generate=True, output_scores=True, **how
    )
    wanted = torch.softmax(output.scores[0][0].double(), dim=-1)
    seen = drawn_from(logits, prompt, GenerationSettings(max_new_tokens=1, temperature=1.5, **limits))
    assert not seen[wanted == 0].any()  # never a token that the limits exclude
    spread = (wanted * (1 - wanted) / 4000).sqrt()
    assert ((seen - wanted).abs() <= 5 * spread + 1e-9).all()
    plain = drawn_from(logits, prompt, GenerationSettings(max_new_tokens=1, temperature=1.5))
    assert (plain - wanted).abs().sum() > 0.05  # the limits change something here


@pytest.mark.parametrize("limits", LIMITS, ids=lambda limits: "+".join(limits))
def test_answers_do_not_depend_on_the_batch_and_the_setting_changes_them(model: HFModel, limits: dict[str, Any]):
    settings = GenerationSettings(max_new_tokens=12, temperature=1.5, seed=3)
    limited = replace(settings, **limits)
    alone = [texts(model, limited, [case])[0] for case in CASES]
    assert texts(model, limited) == texts(replace(model, batch_size=2), limited) == alone
    assert alone != texts(model, settings)


def test_greedy_answers_with_a_penalty_are_those_of_transformers(model: HFModel):
    settings = GenerationSettings(max_new_tokens=12, repetition_penalty=1.8, form="raw")
    wanted: list[str] = []
    for case in CASES:
        ids = model.tokenizer(case.prompt, return_tensors="pt")["input_ids"]
        output = model.model.generate(ids, max_new_tokens=12, do_sample=False, repetition_penalty=1.8)
        wanted.append(model.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))
    assert texts(model, settings) == wanted != texts(model, replace(settings, repetition_penalty=None))


def test_a_random_number_next_to_1_draws_no_excluded_token():
    """Excluded tokens at the end of the vocabulary add nothing to the cumulative probability."""
    cumulative = torch.tensor([[0.25, 1.0, 1.0], [0.0, 0.1, 0.1]], dtype=torch.float64)
    for uniform in (0.0, 0.5, 1 - 2**-53, 1.0):
        tokens = inverse(cumulative, torch.tensor([uniform] * 2, dtype=torch.float64))
        assert tokens.tolist() == [0 if uniform < 0.25 else 1, 1]


# --- servers ---------------------------------------------------------------------------------------------------------


def test_a_server_is_sent_the_settings_that_are_set_and_no_others():
    seen: list[dict[str, Any]] = []

    def reply(body: dict[str, Any]) -> Reply:
        seen.append(body)
        return completion("x")

    limits = {"top_p": 0.9, "top_k": 40, "min_p": 0.1, "typical_p": 0.8, "repetition_penalty": 1.2}
    fields = {*limits, "repeat_penalty"}
    with server(reply) as asked:
        from_server(asked, CASES[:1], GenerationSettings(temperature=0.7, **limits))  # type: ignore[arg-type]
        from_server(asked, CASES[:1], GenerationSettings(temperature=0.7))
    assert {name: seen[0][name] for name in fields} == {**limits, "repeat_penalty": 1.2}
    assert not fields & seen[1].keys()


@pytest.mark.parametrize("status", [400, 422])
def test_a_setting_that_the_server_refuses_is_one_line(status: int):
    refusal = '{"error": {"message": "Unrecognized request argument supplied: top_k"}}'
    settings = GenerationSettings(temperature=0.7, top_k=40)
    with (
        server(lambda body: (status, refusal)) as asked,
        pytest.raises(ConfigError, match=r"top_k: the server refuses this setting; leave it out: .*Unrecognized"),
    ):
        from_server(asked, CASES[:1], settings)
    with server(lambda body: (status, refusal)) as asked:  # a setting that was not sent is not the cause
        assert from_server(asked, CASES[:1], GenerationSettings())[0].error is not None


def test_openai_itself_has_only_top_p():
    model = OpenAIModel("https://api.openai.com/v1", "m")
    with pytest.raises(ConfigError, match="min_p: OpenAI's API does not have this setting; leave it out"):
        model.generate(CASES, GenerationSettings(temperature=0.7, top_p=0.9, min_p=0.1))


@pytest.mark.slow
def test_a_real_llama_cpp_server_reads_the_settings():
    """At a high temperature each limit, at its tightest, brings the greedy answer back; the penalty changes it."""
    case = Case("a", "Name the capital of France.")
    greedy = GenerationSettings(max_new_tokens=12)
    hot = replace(greedy, temperature=3.0)
    with llama_server() as address:
        model = OpenAIModel(address, "m").check()
        wanted = from_server(model, [case], greedy)[0].text
        assert from_server(model, [case], hot)[0].text != wanted
        for tight in ({"top_k": 1}, {"min_p": 1.0}, {"top_p": 1e-6}):
            assert from_server(model, [case], replace(hot, **tight))[0].text == wanted  # type: ignore[arg-type]
        assert from_server(model, [case], replace(greedy, repetition_penalty=3.0))[0].text != wanted
