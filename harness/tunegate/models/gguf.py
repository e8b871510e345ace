"""GGUF files, converted once into a safetensors folder and kept in the user's cache.

The cache is `$XDG_CACHE_HOME/tunegate/gguf/<SHA-256 of the file>/` (`~/.cache` without the variable). A folder appears
whole or not at all, and is checked against its own fingerprint before it is used again. Weights are dequantized to
float32, which holds every value of the quantized file exactly.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path

from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.models import loading
from tunegate.models.fingerprint import file_sha256, fingerprint

MARKER = ".fingerprint"  # a dot file, so it is no part of the fingerprint that it holds
MAGIC = b"GGUF"


def convert(path: Path, cache: Path | None = None) -> tuple[Path, str]:
    """The model folder made from a GGUF file, and the SHA-256 of the file."""
    check_magic(path)
    sha256 = file_sha256(path)
    cache = cache or default_cache()
    folder = cache / sha256
    if not _is_intact(folder):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".making-", dir=cache) as scratch:
                _write(path, Path(scratch) / "new")
                _install(Path(scratch), folder)
        except OSError as error:
            raise CannotJudge(
                f"{cache}: the converted model cannot be kept here ({loading.one_line(error)}); "
                "set XDG_CACHE_HOME to a folder with room"
            ) from error
    return folder, sha256


def converted(path: Path) -> Path | None:
    """The model folder made from a GGUF file earlier; None where there is none yet."""
    folder = default_cache() / file_sha256(path)
    return folder if folder.is_dir() else None


def default_cache() -> Path:
    """Where converted models are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunegate" / "gguf"


def check_magic(path: Path) -> None:
    """Raise ConfigError for a file that is no GGUF file."""
    try:
        with path.open("rb") as stream:
            magic = stream.read(len(MAGIC))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if magic != MAGIC:
        raise ConfigError(f"{path}: not a GGUF file: it begins with {magic!r}, not {MAGIC!r}")


def _is_intact(folder: Path) -> bool:
    try:
        return (folder / MARKER).read_text(encoding="utf-8") == fingerprint(folder)
    except (OSError, CannotJudge, ConfigError):
        return False


def _install(scratch: Path, folder: Path) -> None:
    """Put the new folder in its place; a damaged one there is moved out, an intact one (made meanwhile) stays."""
    for _ in range(3):
        try:
            os.replace(scratch / "new", folder)
            return
        except OSError:
            if _is_intact(folder):
                return
            os.replace(folder, tempfile.mkdtemp(dir=scratch))
    raise CannotJudge(f"{folder}: other processes keep writing to this folder; try again")


def _write(path: Path, folder: Path) -> None:
    torch = loading.hf_import("torch")
    loading.hf_import("gguf")
    where = {"gguf_file": path.name, **loading.LOCAL}
    # transformers draws a progress bar of its own while it dequantizes, whatever it was told.
    with loading.quiet_transformers() as transformers, contextlib.redirect_stderr(io.StringIO()):
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, **where)
            model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **where)
        except Exception as error:  # unknown architectures and broken files raise whatever they like
            raise CannotJudge(f"{path}: the GGUF file cannot be converted: {loading.one_line(error)}") from error
        # Only the loading was quantized. Left in place, both would make save_pretrained refuse.
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.hf_quantizer = None
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (folder / MARKER).write_text(fingerprint(folder), encoding="utf-8")
