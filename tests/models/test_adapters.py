"""Adapters that bring embeddings: opened as PEFT answers with them, merged and saved without a change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from tests.support.tiny_model import make_tiny_model
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.models import adapters, loading
from tunegate.models.loading import quiet_transformers
from tunegate.models.open_model import find_model, open_model

IDS = torch.tensor([[5, 6, 7, 300, 12]])
ADAPTERS: dict[str, dict[str, Any]] = {
    "trained embeddings": {"modules_to_save": ["embed_tokens"]},
    "trained embeddings and head": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "LoRA on embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
    "trained tokens": {"trainable_token_indices": [5, 6]},
    "weights kept tied": {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
    "no embeddings": {},
}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bases of the same shape: with tied embeddings, and with a head of its own."""
    root = tmp_path_factory.mktemp("bases")
    make_tiny_model(root / "tied")
    with quiet_transformers() as transformers, torch.random.fork_rng():
        torch.manual_seed(5)
        model = transformers.AutoModelForCausalLM.from_pretrained(root / "tied")
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.2)
        model.save_pretrained(root / "own-head")
        transformers.AutoTokenizer.from_pretrained(root / "tied").save_pretrained(root / "own-head")
    return root


def written(base: Path, folder: Path, added: int = 0, **config: Any) -> torch.Tensor:
    """Write an adapter as PEFT does; returns what it makes of IDS."""
    with quiet_transformers() as transformers, torch.random.fork_rng():
        torch.manual_seed(3)
        model = transformers.AutoModelForCausalLM.from_pretrained(base)
        tokenizer = transformers.AutoTokenizer.from_pretrained(base)
        if added:
            tokenizer.add_tokens([f"<new{n}>" for n in range(added)])
            model.resize_token_embeddings(len(tokenizer))
            tokenizer.save_pretrained(folder)
        lora = {"r": 4, "init_lora_weights": False, "task_type": "CAUSAL_LM", "target_modules": ["q_proj"]}
        tuned = get_peft_model(model, LoraConfig(**lora | config))
        tuned.peft_config["default"].base_model_name_or_path = str(base)
        with torch.no_grad():
            for weights in tuned.parameters():
                if weights.requires_grad:
                    weights.add_(torch.randn_like(weights) * 0.05)
        tuned.save_pretrained(str(folder))
        return tuned.eval()(IDS).logits.detach()


@pytest.mark.parametrize("base", ["tied", "own-head"])
@pytest.mark.parametrize("added", [0, 6])
@pytest.mark.parametrize("kind", ADAPTERS)
def test_it_answers_as_in_peft(bases: Path, tmp_path: Path, kind: str, added: int, base: str) -> None:
    logits = written(bases / base, tmp_path / "adapter", added, **ADAPTERS[kind])
    if (kind, added, base) == ("LoRA on embeddings", 6, "own-head"):  # PEFT does not save the head that has grown
        with pytest.raises(CannotJudge, match=r"embed_tokens.*\[440, 64\].*\[434, 64\]"):
            open_model(str(tmp_path / "adapter"))
        return
    opened: Any = open_model(str(tmp_path / "adapter"), dtype="float32")
    assert opened.model(IDS).logits.shape == logits.shape
    torch.testing.assert_close(opened.model(IDS).logits, logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_merged_and_saved_it_answers_the_same(bases: Path, tmp_path: Path, kind: str) -> None:
    """Tied embeddings part where only one of them is adapted: PEFT would add what it learnt to both."""
    logits = written(bases / "tied", tmp_path / "adapter", **ADAPTERS[kind])
    with quiet_transformers() as transformers:
        base = loading.load_weights(bases / "tied", torch.float32)
        adapters.merged(adapters.put_adapter(base, tmp_path / "adapter")).save_pretrained(tmp_path / "merged")
        again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(again(IDS).logits, logits, atol=1e-4, rtol=1e-4)


def test_sizes_that_differ_are_said(bases: Path, tmp_path: Path) -> None:
    written(bases / "tied", tmp_path / "adapter")
    file = tmp_path / "adapter" / adapters.WEIGHTS
    save_file({name: w[:, :60].contiguous() if "lora_A" in name else w for name, w in load_file(file).items()}, file)
    with pytest.raises(CannotJudge, match=r"lora_A.*\[4, 60\].*\[4, 64\]"):
        open_model(str(tmp_path / "adapter"))


def test_fewer_embeddings_than_the_base_has_are_another_base(bases: Path, tmp_path: Path) -> None:
    written(bases / "tied", tmp_path / "adapter", modules_to_save=["embed_tokens"])
    file = tmp_path / "adapter" / adapters.WEIGHTS
    save_file({name: w[:100].contiguous() if "embed" in name else w for name, w in load_file(file).items()}, file)
    with pytest.raises(CannotJudge, match=r"embed_tokens.*\[100, 64\]"):
        open_model(str(tmp_path / "adapter"))


def test_of_several_adapters_the_one_of_the_folder_itself_is_opened(bases: Path, tmp_path: Path) -> None:
    """As DPO of TRL leaves them: the trained adapter, and its reference in `ref/`."""
    logits = written(bases / "tied", tmp_path / "adapter")
    written(bases / "tied", tmp_path / "adapter" / "ref", modules_to_save=["embed_tokens"])
    opened: Any = open_model(str(tmp_path / "adapter"), dtype="float32")
    torch.testing.assert_close(opened.model(IDS).logits, logits, atol=1e-4, rtol=1e-4)


def test_a_folder_of_adapters_alone_names_them(bases: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        written(bases / "tied", tmp_path / "adapters" / name)
    with pytest.raises(ConfigError, match=r"contains the adapters one, two; name one of them"):
        find_model(str(tmp_path / "adapters"))
