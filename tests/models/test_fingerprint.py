"""The fingerprint of a model: what changes it, what does not, and what has none."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.models.fingerprint import file_sha256, fingerprint

MODEL_FILES = {
    "config.json": "{}",
    "generation_config.json": '{"eos_token_id": 2}',
    "tokenizer.json": "[]",
    "tokenizer_config.json": "{}",
    "chat_template.jinja": "{{ messages }}",
    "model.safetensors": "weights",
}
BY_PRODUCTS = (
    "README.md",
    "LICENSE",
    "train.log",
    "training_args.bin",
    "trainer_state.json",
    "optimizer.pt",
    "rng_state_0.pth",
    "events.out.tfevents.1",
    "model.attestation.json",
    ".gitattributes",
    ".cache/download.lock",
    "checkpoint-12/model.safetensors",
    "checkpoint-12/optimizer.pt",
    "optimizer/state.bin",
    "runs/x/events",
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in MODEL_FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def write(path: Path, content: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def test_equals_the_documented_formula(model: Path):
    def sha256(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    lines = "".join(f"{name}\0{sha256(MODEL_FILES[name])}\n" for name in sorted(MODEL_FILES))
    assert fingerprint(model) == sha256(lines)


@pytest.mark.parametrize("name", MODEL_FILES)
def test_every_byte_of_a_model_file_counts(model: Path, name: str):
    before = fingerprint(model)
    write(model / name, MODEL_FILES[name] + " ")
    changed = fingerprint(model)
    (model / name).rename(model / f"other-{name}")
    assert len({before, changed, fingerprint(model)}) == 3


@pytest.mark.parametrize("name", BY_PRODUCTS)
def test_by_products_do_not_count(model: Path, name: str):
    before = fingerprint(model)
    write(model / name)
    assert fingerprint(model) == before


@pytest.mark.parametrize("name", ["added_tokens.json", "modeling_custom.py", "ref/adapter_model.safetensors"])
def test_files_that_nobody_listed_count(model: Path, name: str):
    before = fingerprint(model)
    write(model / name)
    assert fingerprint(model) != before


@pytest.mark.parametrize(
    "name",
    [
        "LICENSE-1.safetensors",
        "README.safetensors",
        "attestation.safetensors",
        ".w.safetensors",
        ".w.gguf",
        "runs/w.safetensors",
        "logs/deep/w.safetensors",
        ".hidden/LICENSE.safetensors",
        "LICENSE.safetensors.index.json",
        "attestation.py",
        "runs/modeling.py",
    ],
)
def test_weights_count_whatever_they_are_called_and_wherever_they_lie(model: Path, name: str):
    before = fingerprint(model)
    write(model / name)
    added = fingerprint(model)
    write(model / name, "swapped")
    assert len({before, added, fingerprint(model)}) == 3


def test_link_to_a_folder_among_by_products_is_nobodys_business(model: Path, tmp_path: Path):
    before = fingerprint(model)
    write(tmp_path / "elsewhere" / "events")
    write(model / "logs" / "one" / "events")
    (model / "logs" / "latest").symlink_to(tmp_path / "elsewhere")
    (model / ".cache").symlink_to(tmp_path / "elsewhere")
    assert fingerprint(model) == before


def test_place_and_age_of_the_folder_do_not_count(model: Path, tmp_path: Path):
    before = fingerprint(model)
    os.utime(model / "config.json", (0, 0))
    assert fingerprint(model.rename(tmp_path / "elsewhere")) == before


def test_file_longer_than_a_block_is_its_sha256(tmp_path: Path):
    content = os.urandom((2 << 20) + 17)
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    assert fingerprint(path) == file_sha256(path) == hashlib.sha256(content).hexdigest()


def test_adapter_includes_its_base(model: Path):
    write(model / "adapter_config.json", "{}")
    one, two = (fingerprint(model, base=lambda _, digit=digit: digit * 64) for digit in "12")
    assert one != two
    with pytest.raises(ConfigError, match="base model"):
        fingerprint(model)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "sub/weights.pth", "x.ckpt", "data.pkl"])
def test_pickled_weights_are_refused(model: Path, name: str):
    write(model / name)
    with pytest.raises(ConfigError, match="pickled weights are refused"):
        fingerprint(model)


def test_broken_link_has_no_fingerprint(model: Path):
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").symlink_to("gone")
    with pytest.raises(CannotJudge, match=r"model\.safetensors: this is a broken link"):
        fingerprint(model)


def test_link_to_a_file_counts_by_content(model: Path, tmp_path: Path):
    before = fingerprint(model)
    target = (model / "model.safetensors").rename(tmp_path / "blob")
    (model / "model.safetensors").symlink_to(target)
    assert fingerprint(model) == before


def test_link_to_a_folder_is_refused_rather_than_skipped(model: Path, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (model / "inside").symlink_to(tmp_path / "outside")
    with pytest.raises(ConfigError, match="link to a folder"):
        fingerprint(model)


def test_pipe_has_no_fingerprint(model: Path):
    os.mkfifo(model / "pipe.json")
    with pytest.raises(CannotJudge, match="not a regular file"):
        fingerprint(model)


def test_what_is_no_model(tmp_path: Path):
    with pytest.raises(ConfigError, match="no such model"):
        fingerprint(tmp_path / "missing")
    with pytest.raises(ConfigError, match="the folder has no files"):
        fingerprint(tmp_path)
