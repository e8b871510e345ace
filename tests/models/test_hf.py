"""HFModel on a tiny real model: answers, likelihoods, batching, and every way in which a model folder can be broken.

Numbers are held against plain loops written here: one sequence at a time, no cache, no padding.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import weakref
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.one_thread import one_thread as one_thread
from tests.support.tiny_model import make_tiny_model
from tunegate.cases.case import Case
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.models import hf
from tunegate.models.hf import HFModel
from tunegate.models.model import Fault, GenerationSettings, Response

torch = pytest.importorskip("torch")

QUESTIONS = [
    "What gene?",
    "What is the inheritance pattern of this condition? " * 3,
    "Rome",
    "Which gene causes hereditary breast cancer, and how many people have it?",
    "autosomal 😀 مرحبا",
]
CASES = [Case(f"q{number}", question) for number, question in enumerate(QUESTIONS)]
SETTINGS = GenerationSettings(max_new_tokens=12)


@pytest.fixture(scope="module")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "chat")


@pytest.fixture(scope="module")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "plain", chat_template=False)


@pytest.fixture(scope="module")
def chat_model(chat_folder: Path) -> HFModel:
    return HFModel.load(chat_folder, dtype="float32")


@pytest.fixture(scope="module")
def plain_model(plain_folder: Path) -> HFModel:
    return HFModel.load(plain_folder, dtype="float32")


@pytest.fixture
def broken(chat_folder: Path, tmp_path: Path) -> Path:
    """A copy of the chat model, for a test to damage."""
    return Path(shutil.copytree(chat_folder, tmp_path / "broken"))


def answers(model: HFModel, cases: list[Case] = CASES, settings: GenerationSettings = SETTINGS) -> list[Response]:
    found = dict(model.generate(cases, settings))
    return [found[index] for index in range(len(cases))]


def greedy_loop(model: HFModel, prompt_ids: list[int], count: int, end: int) -> list[int]:
    """The slow and obvious way: the whole sequence again for every token."""
    ids = list(prompt_ids)
    for _ in range(count):
        with torch.no_grad():
            ids.append(int(model.model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == end:
            break
    return ids[len(prompt_ids) :]


def chat_prompt(question: str) -> str:
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


# --- answers -------------------------------------------------------------------------------------------------------


def test_answers_equal_a_plain_greedy_loop(chat_model: HFModel):
    tokenizer = chat_model.tokenizer
    for question, response in zip(QUESTIONS, answers(chat_model), strict=True):
        ids = tokenizer(chat_prompt(question))["input_ids"]
        expected = greedy_loop(chat_model, ids, SETTINGS.max_new_tokens, tokenizer.eos_token_id)
        assert response.text == tokenizer.decode(expected, skip_special_tokens=True)
        assert response.n_tokens == len(expected)
        assert response.error is None


def test_sequences_that_end_early_leave_the_batch_and_disturb_no_other(chat_model: HFModel):
    """Every token that some answer has becomes an end token in turn: rows drop out at many different steps."""
    tokenizer = chat_model.tokenizer
    prompts = [tokenizer(chat_prompt(question))["input_ids"] for question in QUESTIONS]
    free = [greedy_loop(chat_model, ids, 12, -1) for ids in prompts]
    for end in {token for tokens in free for token in tokens[1:]}:
        model = replace(chat_model)
        model.__dict__["_end_ids"] = frozenset([end])
        for response, tokens in zip(answers(model), free, strict=True):
            stops = end in tokens
            expected = tokens[: tokens.index(end) + 1] if stops else tokens
            assert response.finish_reason == ("stop" if stops else "length")
            assert response.n_tokens == len(expected)
            assert response.text == tokenizer.decode(expected, skip_special_tokens=True)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_batch_size_changes_nothing(chat_model: HFModel, batch_size: int):
    assert answers(replace(chat_model, batch_size=batch_size)) == answers(chat_model)


def test_answers_come_when_they_are_ready(chat_model: HFModel):
    stream = replace(chat_model, batch_size=1).generate(CASES, SETTINGS)
    longest = max(range(len(CASES)), key=lambda at: len(QUESTIONS[at]))
    assert next(stream)[0] == longest


def test_plain_prompt_without_chat_template_stays_raw_text(plain_model: HFModel):
    response = answers(plain_model, [Case("a", "What gene?")])[0]
    expected = greedy_loop(plain_model, plain_model.tokenizer("What gene?")["input_ids"], 12, 2)
    assert response.text == plain_model.tokenizer.decode(expected, skip_special_tokens=True)


def test_empty_plain_prompt_is_answered(plain_model: HFModel):
    assert answers(plain_model, [Case("a", "")])[0].error is None


def test_system_message_and_begun_answer_reach_the_model(chat_model: HFModel):
    begun = ({"role": "user", "content": "What gene?"}, {"role": "assistant", "content": "The gene"})
    text = f"<|im_start|>system\nBe brief.<|im_end|>\n{chat_prompt('What gene?')}The gene"
    expected = greedy_loop(chat_model, chat_model.tokenizer(text)["input_ids"], 12, 2)
    response = answers(chat_model, [Case("a", begun)], replace(SETTINGS, system="Be brief."))[0]
    assert response.text == chat_model.tokenizer.decode(expected, skip_special_tokens=True)


def test_stop_strings_end_an_answer_and_are_cut_off(chat_model: HFModel):
    free = answers(chat_model)
    for whole, case in zip(free, CASES, strict=True):
        stop = whole.text[3:6]
        response = answers(chat_model, [case], replace(SETTINGS, stop=("never-said", stop)))[0]
        assert response.text == whole.text[: whole.text.index(stop)]
        assert response.finish_reason == "stop"
        assert response.n_tokens is not None
        assert whole.n_tokens is not None
        assert response.n_tokens <= whole.n_tokens


def test_sampling_depends_on_seed_and_case_but_not_on_the_batch(chat_model: HFModel):
    warm = replace(SETTINGS, temperature=1.5)
    first = answers(chat_model, settings=warm)
    assert answers(replace(chat_model, batch_size=2), settings=warm) == first
    assert answers(chat_model, settings=replace(warm, seed=1)) != first
    assert answers(chat_model) != first


def test_sampling_draws_from_the_softmax(chat_model: HFModel):
    """2,000 first tokens at temperature 1 against the model's own probabilities, for the five commonest texts."""
    ids = chat_model.tokenizer(chat_prompt("Rome"))["input_ids"]
    with torch.no_grad():
        probabilities = torch.softmax(chat_model.model(torch.tensor([ids])).logits[0, -1].double(), dim=-1)
    cases = [Case(str(number), "Rome") for number in range(2000)]
    one_token = GenerationSettings(max_new_tokens=1, temperature=1.0)
    texts = [response.text for response in answers(replace(chat_model, batch_size=2000), cases, one_token)]
    expected: Counter[str] = Counter()
    for token, probability in enumerate(probabilities.tolist()):
        expected[chat_model.tokenizer.decode([token], skip_special_tokens=True)] += probability
    for text, probability in expected.most_common(5):
        spread = (2000 * probability * (1 - probability)) ** 0.5
        assert abs(texts.count(text) - 2000 * probability) < 5 * spread


# --- prompts that cannot be put --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens_over", [0, 1])
def test_prompt_that_does_not_fit_is_invalid_and_never_cut(plain_model: HFModel, tokens_over: int):
    room = 256 - SETTINGS.max_new_tokens
    prompt = plain_model.tokenizer.decode([300] * (room + tokens_over))
    assert len(plain_model.tokenizer(prompt)["input_ids"]) == room + tokens_over
    short, long = answers(plain_model, [CASES[0], Case("long", prompt)])
    assert short.error is None
    assert (long.error is None) == (tokens_over == 0)
    if long.error:
        assert long.error == "245 prompt tokens and 12 new tokens exceed the model's 256 positions"
        assert long.text == ""


def test_chat_messages_without_chat_template_are_a_configuration_error(plain_model: HFModel):
    with pytest.raises(ConfigError, match="no chat template"):
        answers(plain_model, [Case("a", ({"role": "user", "content": "Hi"},))])


def test_template_that_refuses_one_prompt_makes_that_case_invalid(chat_folder: Path):
    model = HFModel.load(chat_folder, dtype="float32")
    refusal = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system, please') }}{% endif %}"
    model.tokenizer.chat_template = refusal + model.tokenizer.chat_template
    refused = Case("s", ({"role": "system", "content": "x"}, {"role": "user", "content": "y"}))
    good, bad = answers(model, [CASES[0], refused])
    assert good.error is None
    assert bad.error == "the prompt could not be built: no system, please"


def test_new_tokens_below_one_are_refused(chat_model: HFModel):
    with pytest.raises(ConfigError, match="max_new_tokens"):
        answers(chat_model, settings=GenerationSettings(max_new_tokens=0))


# --- a model that fails while it runs --------------------------------------------------------------------------------


class Faulty:
    """A model that raises when the batch is too large or holds a certain token; else the real one."""

    def __init__(self, model: object, *, largest: int = 999, poison: int = -1, error: type[Exception] = RuntimeError):
        self.real, self.largest, self.poison, self.error, self.batches = model, largest, poison, error, []

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def __call__(self, **inputs):
        ids = inputs["input_ids"]
        self.batches.append(len(ids))
        if len(ids) > self.largest or (ids == self.poison).any():
            raise self.error("it broke\nin two lines")
        return self.real(**inputs)


def test_out_of_memory_halves_the_batch_and_goes_on(chat_model: HFModel):
    faulty = Faulty(chat_model.model, largest=2, error=torch.OutOfMemoryError)
    asked = replace(chat_model, model=faulty)
    assert asked.halved_batch is None
    assert answers(asked) == answers(chat_model)
    failed = next(at for at, rows in enumerate(faulty.batches) if rows > 2)
    assert max(faulty.batches[failed + 1 :]) <= 2
    assert asked.halved_batch == 2
    faulty.batches.clear()
    answers(asked)  # the next block begins with the size that memory allows
    assert max(faulty.batches) <= 2


class Small:
    """A model with memory for so many tokens at once; for more, it fails while it holds what it has computed."""

    def __init__(self, model: object, tokens: int):
        self.real, self.tokens, self.failed, self.passed = model, tokens, list[int](), list[int]()
        self.held: list[weakref.ref[object]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def __call__(self, **inputs):
        assert not [computed for computed in self.held if computed() is not None], "the failed batch is still held"
        if inputs["attention_mask"].numel() > self.tokens:
            self.failed.append(len(inputs["input_ids"]))
            computed = torch.zeros(9)
            self.held.append(weakref.ref(computed))
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.passed.append(len(inputs["input_ids"]))
        return self.real(**inputs)


LONG = [Case(f"long {number}", f"{number} " + "What gene? " * 12) for number in range(6)]
SHORT = [Case(f"short {number}", f"{number} Rome") for number in range(8)]


def test_long_prompts_that_run_out_of_memory_leave_full_batches_to_short_ones(
    plain_model: HFModel, monkeypatch: pytest.MonkeyPatch
):
    longest = max(len(plain_model.tokenizer(str(case.prompt))["input_ids"]) for case in LONG)
    monkeypatch.setattr(hf, "BATCH_TOKENS", 4 * longest)  # four long prompts in a batch
    real = replace(plain_model, batch_size=8)
    small = Small(real.model, 2 * (longest + 1))  # and memory for two
    asked = replace(real, model=small)
    settings = GenerationSettings(max_new_tokens=1)
    assert answers(asked, [*LONG, *SHORT], settings) == answers(real, [*LONG, *SHORT], settings)
    assert small.failed == [4]
    assert max(small.passed) == 8
    assert asked.halved_batch is None
    answers(asked, LONG, settings)
    assert small.failed == [4]  # a later block begins with the tokens that memory allows


def test_a_failed_batch_is_not_held_while_its_halves_are_computed(plain_model: HFModel):
    small = Small(plain_model.model, 40)
    answers(replace(plain_model, model=small), SHORT)
    assert small.failed


def test_another_failure_does_not_make_later_batches_small(chat_model: HFModel):
    asked = replace(chat_model, model=Faulty(chat_model.model, largest=2))
    answers(asked)
    assert asked.halved_batch is None


def test_equal_prompts_are_answered_together(chat_model: HFModel):
    """All of such a prompt is a shared beginning, but for its last token, which each sequence needs for itself."""
    watched = Faulty(chat_model.model)
    same = [Case(str(number), "Rome") for number in range(3)]
    assert answers(replace(chat_model, model=watched), same) == [answers(chat_model)[2]] * 3
    assert watched.batches == [1] + [3] * SETTINGS.max_new_tokens


def test_one_poisonous_case_is_invalid_alone(chat_model: HFModel):
    poison = chat_model.tokenizer("Rome")["input_ids"][-1]
    faulty = Faulty(chat_model.model, poison=poison)
    responses = answers(replace(chat_model, model=faulty))
    expected = answers(chat_model)
    expected[2] = Response("", error="the model failed: it broke", fault=Fault.NO_REPLY)
    assert responses == expected


def test_weights_that_are_not_numbers_are_invalid_not_wrong(broken: Path):
    model = HFModel.load(broken, dtype="float32")
    model.model.lm_head.weight.data.fill_(float("nan"))
    assert all("finite" in (response.error or "") for response in answers(model))
    scored = dict(model.score_choices([Case("a", "Rome", choices=("x", "y"))], SETTINGS))
    assert "finite" in (scored[0].error or "")


# --- choices ---------------------------------------------------------------------------------------------------------

CHOICE_CASES = [
    Case("two", "The capital of France is", choices=("Paris", "Rome and many people")),
    Case("one-token", "Which gene? ", choices=("A", "B", "C", "D")),
    Case("no-context", "", choices=("This condition is inherited", "condition This inherited is")),
    Case("long", "What is the inheritance pattern of this condition? " * 3, choices=("recessive", "dominant 😀")),
]


def log_likelihood(model: HFModel, context: list[int], continuation: list[int]) -> float:
    with torch.no_grad():
        logs = torch.log_softmax(model.model(torch.tensor([context + continuation])).logits[0].double(), dim=-1)
    return sum(float(logs[len(context) + at - 1, token]) for at, token in enumerate(continuation))


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_choice_scores_equal_a_plain_loop(plain_model: HFModel, batch_size: int):
    scored = dict(replace(plain_model, batch_size=batch_size).score_choices(CHOICE_CASES, SETTINGS))
    tokenizer = plain_model.tokenizer
    for index, case in enumerate(CHOICE_CASES):
        prompt = str(case.prompt)
        context = tokenizer(prompt.rstrip())["input_ids"] or [tokenizer.bos_token_id]
        expected = []
        for choice in case.choices:
            whole = tokenizer(prompt + " " + choice)["input_ids"]
            expected.append(log_likelihood(plain_model, context, whole[len(context) :] if prompt else whole))
        response = scored[index]
        assert [score.log_likelihood for score in response.choice_scores] == pytest.approx(expected, rel=1e-4)
        assert [score.n_bytes for score in response.choice_scores] == [len(c.encode()) for c in case.choices]
        assert response.text == case.choices[expected.index(max(expected))]


def test_choices_of_a_chat_follow_the_template_without_delimiter(chat_model: HFModel):
    """White space at the template's end is the choice's, as in lm-evaluation-harness."""
    case = Case("a", ({"role": "user", "content": "What gene?"},), choices=("BRCA1", "Rome"))
    (_, response), *_ = chat_model.score_choices([case], SETTINGS)
    tokenizer = chat_model.tokenizer
    text = chat_prompt("What gene?")
    context = tokenizer(text.rstrip())["input_ids"]
    wholes = [tokenizer(text + choice)["input_ids"] for choice in case.choices]
    expected = [log_likelihood(chat_model, context, whole[len(context) :]) for whole in wholes]
    assert [score.log_likelihood for score in response.choice_scores] == pytest.approx(expected, rel=1e-4)


def test_cases_without_usable_choices_are_invalid(plain_model: HFModel):
    long = Case("c", "gene " * 300, choices=("x",))
    cases = [Case("a", "Rome"), Case("b", "", choices=("x", "")), long, CHOICE_CASES[0]]
    scored = dict(replace(plain_model, target_delimiter="").score_choices(cases, SETTINGS))
    assert "no choices" in (scored[0].error or "")
    assert "empty choice" in (scored[1].error or "")
    assert "exceed" in (scored[2].error or "")
    assert scored[3].error is None


# --- broken folders: one clear line each ----------------------------------------------------------------------------


def test_folder_without_tokenizer(broken: Path):
    (broken / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"no tokenizer.*copy the tokenizer files") as caught:
        HFModel.load(broken)
    assert "\n" not in str(caught.value)


def test_broken_tokenizer(broken: Path):
    (broken / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(CannotJudge, match="tokenizer cannot be loaded") as caught:
        HFModel.load(broken)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["truncate", "overwrite", "empty"])
def test_corrupt_safetensors(broken: Path, damage: str):
    weights = broken / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes({"truncate": content[:-1000], "overwrite": b"\xff" * 5000, "empty": b""}[damage])
    with pytest.raises(CannotJudge, match=r"model\.safetensors: the weight file is damaged") as caught:
        HFModel.load(broken)
    assert "\n" not in str(caught.value)


def test_folder_without_weights(broken: Path):
    (broken / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="has no weights"):
        HFModel.load(broken)


def test_pickled_weights_are_refused_without_being_loaded(broken: Path):
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="pickled weights are refused"):
        HFModel.load(broken)


def test_missing_shard(broken: Path):
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (broken / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(CannotJudge, match="model-00002-of-00002"):
        HFModel.load(broken)


@pytest.mark.parametrize("name", ["runs/w.safetensors", "../w.safetensors", "LICENSE", "w.SAFETENSORS", 5])
def test_shards_must_lie_in_the_folder_itself_where_the_fingerprint_covers_them(broken: Path, name: object):
    (broken / "runs").mkdir()
    for place in (broken / "runs/w.safetensors", broken.parent / "w.safetensors", broken / "LICENSE"):
        shutil.copy(broken / "model.safetensors", place)
    (broken / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}), encoding="utf-8")
    with pytest.raises(CannotJudge, match=f"weight_map.*{name}"):
        HFModel.load(broken)


def test_index_without_a_map_of_shards(broken: Path):
    (broken / "model.safetensors.index.json").write_text('{"weight_map": ["a"]}', encoding="utf-8")
    with pytest.raises(CannotJudge, match="weight_map"):
        HFModel.load(broken)


@pytest.mark.parametrize("name", ["runs/w.safetensors", "LICENSE", "LICENSE.safetensors.index.json"])
def test_config_must_not_lead_to_weights_elsewhere(broken: Path, name: str):
    (broken / "runs").mkdir()
    shutil.copy(broken / "model.safetensors", broken / name)
    config = json.loads((broken / "config.json").read_text(encoding="utf-8"))
    (broken / "config.json").write_text(json.dumps({**config, "transformers_weights": name}), encoding="utf-8")
    with pytest.raises(CannotJudge, match=f"transformers_weights.*{name}"):
        HFModel.load(broken)


def test_weights_that_lack_a_layer_are_refused_instead_of_made_up(broken: Path):
    config = json.loads((broken / "config.json").read_text(encoding="utf-8"))
    (broken / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}), encoding="utf-8")
    with pytest.raises(CannotJudge, match=r"tensors are missing.*model\.layers\.2"):
        HFModel.load(broken)


def test_unknown_architecture(broken: Path):
    (broken / "config.json").write_text('{"model_type": "perceptron-9000"}', encoding="utf-8")
    with pytest.raises(CannotJudge, match="perceptron-9000") as caught:
        HFModel.load(broken)
    assert "\n" not in str(caught.value)


def test_device_that_is_not_there(chat_folder: Path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(ConfigError, match="no usable GPU"):
        HFModel.load(chat_folder, device="cuda")


# --- the process around it -------------------------------------------------------------------------------------------


def test_importing_costs_no_torch_and_answering_prints_and_connects_nothing(chat_folder: Path):
    program = f"""
import sys
import weakref
connections = []
sys.addaudithook(lambda event, _: connections.append(event) if event in ("socket.connect", "socket.getaddrinfo") else 0)
import tunegate.models.hf, tunegate.models.open_model, tunegate.models.openai_server
assert not {{"torch", "transformers", "openai"}} & set(sys.modules)
from tunegate.cases.case import Case
from tunegate.models.model import Fault, GenerationSettings
model = tunegate.models.open_model.open_model({str(chat_folder)!r})
list(model.generate([Case("a", "Rome")], GenerationSettings(max_new_tokens=4)))
assert not connections, connections
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
