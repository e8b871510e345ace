"""The fingerprint of a model: the SHA-256 that verdicts, attestations and promotions refer to.

- a GGUF file: the SHA-256 of the file, as `sha256sum` prints it.
- a model folder: the SHA-256 over one line per file, `<relative path>\\0<SHA-256 of the file>\\n`, sorted by path.
- a PEFT adapter folder: the same, with a last line `base\\0<fingerprint of the base model>\\n`: an adapter answers
  differently on another base.

Every file counts unless it is a by-product that no loader reads (`is_by_product`), so a file that a future library
reads is already covered. Weights in pickle files are refused: loading them can run code.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.hashes import sha256_of

ADAPTER_CONFIG = "adapter_config.json"

BY_PRODUCT_FILES = (
    ".*",  # .gitattributes, .lock, editors' swap files
    "README*",
    "LICENSE*",
    "NOTICE*",
    "*.md",
    "*.log",
    "*.jsonl",
    "*.attestation.json",
    "attestation.json",
    "training_args.bin",
    "trainer_state.json",
    "optimizer.pt",
    "scheduler.pt",
    "scaler.pt",
    "rng_state*.pth",
    "events.out.tfevents.*",
    "all_results.json",
    "train_results.json",
    "eval_results.json",
)
"""File names, at any depth, that trainers, people and Tunegate write next to a model and that do not change it."""

BY_PRODUCT_FOLDERS = (".*", "checkpoint-*", "optimizer", "runs", "logs", "__pycache__")
"""Folders that are left out with all contents. `ref/`, the reference adapter that DPO saves, is not one: it counts."""

ALWAYS_LEFT_OUT = ("checkpoint-*",)
"""The by-product folders in which even weights do not count: complete models from during the training."""

WEIGHTS = ("*.safetensors", "*.gguf", "*.safetensors.index.json")
CODE = ("*.py",)
"""These count whatever their name and folder: an index may name `LICENSE-1.safetensors` as a shard, and a configuration
may name `attestation.py` as the model's code."""

PICKLE_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")


def fingerprint(model: Path, *, base: Callable[[Path], str] | None = None) -> str:
    """The fingerprint of a GGUF file, a model folder or an adapter folder, as 64 hexadecimal digits.

    `base` maps an adapter folder to its base model's fingerprint. Raises ConfigError for a path that is not a model or
    has pickled weights, and CannotJudge for files that cannot be read.
    """
    if model.is_file():
        return file_sha256(model)
    if not model.is_dir():
        raise ConfigError(f"{model}: no such model: a model folder or a .gguf file was expected")
    digest = hashlib.sha256()
    for relative, path in sorted(_files(model)):
        digest.update(f"{relative}\0{file_sha256(path)}\n".encode())
    if (model / ADAPTER_CONFIG).exists():
        if base is None:
            raise ConfigError(f"{model}: the fingerprint of an adapter needs the fingerprint of its base model")
        digest.update(f"base\0{base(model)}\n".encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file of a model; raises CannotJudge if it cannot be read."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise CannotJudge(f"{path}: cannot read the file for the model's fingerprint: {error.strerror}") from error


def is_by_product(relative: PurePath) -> bool:
    """Whether a file at this path in a model folder is left out of the fingerprint."""
    if _matches(relative.name, WEIGHTS + CODE):
        return False
    return _matches(relative.name, BY_PRODUCT_FILES) or _in_by_product_folder(relative.parent)


def files_of(model: Path) -> list[str]:
    """The files of a model folder that its fingerprint covers, as relative paths with forward slashes."""
    return [relative for relative, _ in sorted(_files(model))]


def _in_by_product_folder(relative: PurePath) -> bool:
    return any(_matches(part, BY_PRODUCT_FOLDERS) for part in relative.parts)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (path with forward slashes relative to `folder`, path) of every file that counts."""
    found = False
    for directory, subfolders, names in os.walk(folder, onerror=_unreadable):
        subfolders[:] = [name for name in subfolders if not _matches(name, ALWAYS_LEFT_OUT)]
        inside = Path(directory).relative_to(folder)
        linked = [name for name in subfolders if (Path(directory) / name).is_symlink()]
        linked = [name for name in linked if not _in_by_product_folder(inside / name)]
        if linked:
            raise ConfigError(
                f"{Path(directory) / linked[0]}: this is a link to a folder inside a model; replace it with the files"
            )
        for name in names:
            if is_by_product(inside / name):
                continue
            path = Path(directory) / name
            if _matches(name, PICKLE_WEIGHTS):
                raise ConfigError(
                    f"{path}: pickled weights are refused because loading them can run code; save the model as "
                    "safetensors (save_pretrained does) and remove this file"
                )
            if not path.is_file():
                what = "is a broken link" if path.is_symlink() else "is not a regular file"
                raise CannotJudge(f"{path}: this {what}, so the model has no fingerprint; replace or remove it")
            found = True
            yield path.relative_to(folder).as_posix(), path
    if not found:
        raise ConfigError(f"{folder}: a model was expected, but the folder has no files of a model")


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _unreadable(error: OSError) -> None:
    raise CannotJudge(f"{error.filename}: cannot read it for the model's fingerprint: {error.strerror}") from error
