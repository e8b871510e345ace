"""Where a model computes, and in which number type: what a GPU would be given, decided and tested without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny_model import make_tiny_model
from tunegate.cases.case import Case
from tunegate.exceptions import ConfigError
from tunegate.models import loading
from tunegate.models.hf import HFModel
from tunegate.models.loaded_model import loaded_model
from tunegate.models.model import GenerationSettings
from tunegate.models.placement import FOR_WEIGHTS, bytes_of, layers_on, place, shares
from tunegate.models.prompted import prompted
from tunegate.models.reward_model import RewardModel
from tunegate.models.sampling import picker

torch = pytest.importorskip("torch")
accelerate = pytest.importorskip("accelerate")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

SCORER = "AutoModelForSequenceClassification"
CASES = [Case(str(number), "Rome " * number + "?") for number in range(5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Path:
    """A reward model."""
    made = folder.parent / "scorer"
    with torch.random.fork_rng():
        torch.manual_seed(2)
        config = transformers.AutoConfig.from_pretrained(folder, num_labels=1)
        getattr(transformers, SCORER).from_config(config).save_pretrained(made)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(made)
    return made


# --- the number type -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_gpu", "bfloat16", "expected"),
    [(True, True, "bfloat16"), (True, False, "float16"), (False, True, "bfloat16"), (False, False, "float32")],
)
def test_the_fastest_number_type(on_gpu: bool, bfloat16: bool, expected: str):
    assert loading.fastest_dtype(on_gpu=on_gpu, bfloat16=bfloat16) == expected


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_a_number_type_can_be_requested(folder: Path, name: Any):
    assert loading.choose_dtype(name, "cpu") is getattr(torch, name)
    assert HFModel.load(folder, device="cpu", dtype=name).dtype == name


@pytest.mark.parametrize(
    ("fastest", "adapter", "expected"),
    [
        ("bfloat16", True, "bfloat16"),
        ("float16", True, "float32"),
        ("float32", True, "float32"),
        ("bfloat16", False, "float32"),
    ],
)
def test_no_weights_are_trained_in_float16(fastest: str, adapter: bool, expected: str):
    from tunegate_trainers.common import training_dtype

    assert training_dtype(getattr(torch, fastest), adapter=adapter) is getattr(torch, expected)


def test_numbers_too_large_for_float16_are_no_answer_and_say_so():
    pick = picker([[1]], ["a"], GenerationSettings())
    with pytest.raises(RuntimeError, match="too large for float16: use float32"):
        pick(torch.tensor([[1e6, 0.0]]).to(torch.float16), [0], 0)
    with pytest.raises(RuntimeError, match="weights may have diverged"):
        pick(torch.tensor([[float("nan"), 0.0]]), [0], 0)


# --- attention -----------------------------------------------------------------------------------------------------


def test_attention_is_computed_by_the_fused_function_of_torch(folder: Path, monkeypatch: pytest.MonkeyPatch):
    model, calls = HFModel.load(folder, device="cpu"), list[int]()
    real = torch.nn.functional.scaled_dot_product_attention

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    list(model.generate(CASES[:1], GenerationSettings(max_new_tokens=1)))
    assert calls


# --- one GPU or several --------------------------------------------------------------------------------------------


@given(st.integers(1, 200), st.lists(st.integers(0, 200), min_size=1, max_size=4))
def test_one_gpu_is_used_if_it_has_room(weights: int, free: list[int]):
    found = shares(weights, free)
    assert (found is None) == (weights <= FOR_WEIGHTS * free[0] or len(free) == 1)
    if found is not None:
        assert list(found) == list(range(len(free)))
        assert all(room <= FOR_WEIGHTS * free[number] for number, room in found.items())


def test_other_gpus_are_asked_only_if_the_first_is_too_small():
    """Asking a GPU takes some of its memory, and raises if another process has it alone."""
    asked: list[int] = []

    def free(number: int) -> int:
        asked.append(number)
        return 100

    assert shares(80, map(free, range(2))) is None
    assert asked == [0]
    assert shares(90, map(free, range(2))) == {0: 80, 1: 80}


@pytest.fixture(scope="module")
def on_meta(folder: Path) -> Any:
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(folder))


def test_a_model_too_large_for_one_gpu_is_laid_over_two(on_meta: Any):
    room = dict.fromkeys((0, 1), int(0.8 * bytes_of(on_meta)))
    parts = layers_on(on_meta, room)
    assert set(parts.values()) == {0, 1}
    for number in room:
        names = [name for name, where in parts.items() if where == number]
        inside = {
            weights
            for name, weights in on_meta.named_parameters()
            if any(name == part or name.startswith(f"{part}.") for part in names)
        }
        assert sum(weights.numel() * weights.element_size() for weights in inside) <= room[number]


@pytest.mark.parametrize("share", [0.55, 0.6, 0.65, 0.7, 0.75, 0.85, 0.95])
def test_a_layer_stays_on_one_gpu(on_meta: Any, share: float):
    """Its two halves would be added, and each sum would travel from one GPU to the other."""
    parts = layers_on(on_meta, {0: int(share * bytes_of(on_meta)), 1: 2 * bytes_of(on_meta)})
    inside = [name for name in parts if ".layers." in name]
    assert all(name.split(".layers.")[1].isdecimal() for name in inside), inside


@pytest.mark.parametrize("share", [0.25, 0.55])
def test_a_model_too_large_for_all_gpus_is_refused_in_one_line(on_meta: Any, share: float):
    """Twice 55 % of the weights would be room enough, but accelerate keeps room for one layer free."""
    room = int(share * bytes_of(on_meta))
    told = r"^the weights take \S+ GB in whole layers, but the GPUs have room for \S+ \+ \S+ GB, less one layer .*: .*$"
    with pytest.raises(ConfigError, match=told):
        layers_on(on_meta, {0: room, 1: room})


def test_a_model_laid_over_devices_gives_the_same_answers(folder: Path):
    """Both devices are the processor; the hooks that move tensors from one to the other are those of two GPUs."""
    alone = HFModel.load(folder, device="cpu", dtype="float32")
    spread = HFModel.load(folder, device="cpu", dtype="float32")
    parts = layers_on(spread.model, dict.fromkeys((0, 1), int(0.8 * bytes_of(spread.model))))
    accelerate.dispatch_model(spread.model, dict.fromkeys(parts, "cpu"), main_device="cpu", force_hooks=True)
    settings = GenerationSettings(max_new_tokens=6)
    assert dict(spread.generate(CASES, settings)) == dict(alone.generate(CASES, settings))


Gpus = Callable[..., list[dict[str, int]]]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Gpus:
    """GPUs with so many free bytes (None: another process has it alone), all played by the processor.

    Returns where the layers of models are laid.
    """
    real_to, real_dispatch = torch.nn.Module.to, accelerate.dispatch_model
    laid: list[dict[str, int]] = []

    def to(module: Any, where: Any) -> Any:
        return module if where == "cuda" else real_to(module, where)

    def dispatch(model: Any, parts: dict[str, int]) -> Any:
        laid.append(dict(parts))
        return real_dispatch(model, dict.fromkeys(parts, "cpu"), main_device="cpu", force_hooks=True)

    def make(*free: int | None) -> list[dict[str, int]]:
        def info(number: int) -> tuple[int, int]:
            if (room := free[number]) is None:
                raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nCompile with")
            return room, room

        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
        monkeypatch.setattr(torch.cuda, "mem_get_info", info)
        monkeypatch.setattr(torch.nn.Module, "to", to)
        monkeypatch.setattr(accelerate, "dispatch_model", dispatch)
        return laid

    return make


def test_a_full_second_gpu_does_not_matter_to_a_model_that_fits_the_first(folder: Path, gpus: Gpus):
    model = loading.load_weights(folder, torch.float32)
    laid = gpus(2 * bytes_of(model), None)
    assert place(model, "cuda") is model
    assert laid == []


@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT's use of transformers
def test_a_model_with_a_learned_prefix_is_laid_over_two(folder: Path, gpus: Gpus):
    """Its layers are those of its base model; the prefix is computed once for a batch, wherever it lies."""
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    tokenizer = loading.load_tokenizer(folder)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        adapted = peft.get_peft_model(loading.load_weights(folder, torch.float32), config).eval()
    settings = GenerationSettings(max_new_tokens=6)
    alone = dict(loaded_model(prompted(adapted), tokenizer, "alone").generate(CASES, settings))
    laid = gpus(bytes_of(adapted), bytes_of(adapted))
    spread = loaded_model(place(prompted(adapted), "cuda"), tokenizer, "spread")
    assert {number for parts in laid for number in parts.values()} == {0, 1}
    assert all(name.startswith(("model.", "lm_head")) for parts in laid for name in parts)
    assert dict(spread.generate(CASES, settings)) == alone


def test_a_reward_model_is_laid_over_two(scorer: Path, gpus: Gpus):
    pairs = [("What gene?", "BRCA1"), ("Rome " * 9, "Paris")]
    alone = RewardModel.load(scorer, device="cpu", dtype="float32")
    laid = gpus(bytes_of(alone.model), bytes_of(alone.model))
    spread = replace(alone, model=place(loading.load_weights(scorer, torch.float32, SCORER), "cuda"))
    assert {number for parts in laid for number in parts.values()} == {0, 1}
    assert spread.rewards(pairs) == alone.rewards(pairs)


def test_a_named_device_is_the_only_one(folder: Path):
    model = loading.load_weights(folder, torch.float32)
    assert place(model, "cpu").device == torch.device("cpu")
    assert place(model, "meta").device == torch.device("meta")


# --- a device that cannot take the model ---------------------------------------------------------------------------


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """No device has room for a model."""
    real = torch.nn.Module.to

    def to(module: Any, where: Any) -> Any:
        if isinstance(where, str):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nSee the documentation.")
        return real(module, where)

    monkeypatch.setattr(torch.nn.Module, "to", to)


NO_ROOM = r"^the weights take \S+ GB, which the device 'cpu' cannot take now \(CUDA out of memory\. Tried .*\): .*$"


@pytest.mark.usefixtures("full")
def test_a_model_too_large_for_its_device_is_refused_in_one_line(folder: Path):
    with pytest.raises(ConfigError, match=NO_ROOM):
        HFModel.load(folder, device="cpu")


@pytest.mark.usefixtures("full")
def test_so_is_a_reward_model(scorer: Path):
    with pytest.raises(ConfigError, match=NO_ROOM):
        RewardModel.load(scorer, device="cpu")


def test_a_gpu_that_another_process_has_alone_is_told_in_one_line(folder: Path, gpus: Gpus):
    gpus(None)
    with pytest.raises(
        ConfigError, match=r"^the weights take .* the device 'cuda' cannot take now \(CUDA error: all .*$"
    ):
        place(loading.load_weights(folder, torch.float32), "cuda")
