"""GGUF files, converted once into a safetensors folder in the user's cache.

The cache is `$XDG_CACHE_HOME/tunegate/gguf/<SHA-256 of the file>/` (`~/.cache` without the variable). A folder appears
complete or not at all. Its fingerprint is kept outside of it, in `$XDG_STATE_HOME/tunegate/gguf/` (`~/.local/state`): a
copy that this user did not convert, such as one from a shared cache, is not used, but converted again. Weights are
dequantized to float32, which holds every value of the quantized file exactly.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path

from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.models import loading
from tunegate.models.fingerprint import file_sha256, fingerprint
from tunegate.whole_files import write_whole

MAGIC = b"GGUF"


def convert(path: Path, cache: Path | None = None) -> tuple[Path, str]:
    """Convert a GGUF file unless it is cached; returns the model folder and the SHA-256 of the file."""
    check_magic(path)
    sha256 = file_sha256(path)
    cache = cache or default_cache()
    folder = cache / sha256
    if not _is_intact(folder):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".making-", dir=cache) as scratch:
                _write(path, Path(scratch) / "new")
                write_whole(_vouched(folder), fingerprint(Path(scratch) / "new"))
                _install(Path(scratch), folder)
        except OSError as error:
            raise CannotJudge(
                f"{error.filename or cache}: cannot store the converted model here ({loading.one_line(error)}); "
                "set XDG_CACHE_HOME and XDG_STATE_HOME to folders with enough space"
            ) from error
    return folder, sha256


def unchanged(path: Path) -> tuple[Path, str]:
    """What `convert` gave for a file that is in use; raises Tampered if the copy is no longer what was converted."""
    sha256 = file_sha256(path)
    folder = default_cache() / sha256
    if not _is_intact(folder):
        raise Tampered(f"{folder}: the converted copy of {path} changed while it was in use")
    return folder, sha256


def converted(path: Path) -> Path | None:
    """The model folder that was converted from a GGUF file earlier; None if there is none."""
    folder = default_cache() / file_sha256(path)
    return folder if folder.is_dir() else None


def default_cache() -> Path:
    """The folder of converted models."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tunegate" / "gguf"


def _vouched(folder: Path) -> Path:
    """The file with the fingerprint that a folder had when it was converted."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "tunegate" / "gguf" / folder.name


def check_magic(path: Path) -> None:
    """Raise ConfigError for a file that is not a GGUF file."""
    try:
        with path.open("rb") as stream:
            magic = stream.read(len(MAGIC))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if magic != MAGIC:
        raise ConfigError(f"{path}: this is not a GGUF file: it begins with {magic!r} instead of {MAGIC!r}")


def _is_intact(folder: Path) -> bool:
    try:
        return _vouched(folder).read_text(encoding="utf-8") == fingerprint(folder)
    except (OSError, CannotJudge, ConfigError):
        return False


def _install(scratch: Path, folder: Path) -> None:
    """Move the new folder into place; a damaged folder there is moved away, an intact one (made meanwhile) stays."""
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
    # transformers shows a progress bar while it dequantizes, whatever its settings.
    with loading.quiet_transformers() as transformers, contextlib.redirect_stderr(io.StringIO()):
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, **where)
            model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **where)
        except Exception as error:  # unknown architectures and broken files may raise anything
            raise CannotJudge(f"{path}: the GGUF file cannot be converted: {loading.one_line(error)}") from error
        # Only the file is quantized. If these were kept, save_pretrained would refuse.
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.hf_quantizer = None
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
