"""Where a model computes, and in which number type: what a GPU would be given, decided and tested without one."""

from __future__ import annotations

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
from tunegate.models.model import GenerationSettings
from tunegate.models.placement import FOR_WEIGHTS, bytes_of, layers_on, place, shares
from tunegate.models.sampling import picker

torch = pytest.importorskip("torch")
accelerate = pytest.importorskip("accelerate")
transformers = pytest.importorskip("transformers")

CASES = [Case(str(number), "Rome " * number + "?") for number in range(5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


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


def test_a_model_too_large_for_all_gpus_is_refused_in_one_line(on_meta: Any):
    with pytest.raises(ConfigError, match=r"^the weights take .* GB, but the GPUs have room for .* GB: .*$"):
        layers_on(on_meta, {0: bytes_of(on_meta) // 4, 1: bytes_of(on_meta) // 4})


def test_a_model_laid_over_devices_gives_the_same_answers(folder: Path):
    """Both devices are the processor; the hooks that move tensors from one to the other are those of two GPUs."""
    alone = HFModel.load(folder, device="cpu", dtype="float32")
    spread = HFModel.load(folder, device="cpu", dtype="float32")
    parts = layers_on(spread.model, dict.fromkeys((0, 1), int(0.8 * bytes_of(spread.model))))
    accelerate.dispatch_model(spread.model, dict.fromkeys(parts, "cpu"), main_device="cpu", force_hooks=True)
    settings = GenerationSettings(max_new_tokens=6)
    assert dict(spread.generate(CASES, settings)) == dict(alone.generate(CASES, settings))


def test_a_named_device_is_the_only_one(folder: Path):
    model = loading.load_weights(folder, torch.float32)
    assert place(model, "cpu").device == torch.device("cpu")
    assert place(model, "meta").device == torch.device("meta")
