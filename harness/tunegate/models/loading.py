"""From a model folder to a model in memory, with a one-line error for each way in which a folder can be broken."""

from __future__ import annotations

import json
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.models import two_answers
from tunegate.models.fingerprint import ADAPTER_CONFIG, PICKLE_WEIGHTS
from tunegate.optional import optional_import

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

LOCAL = {"local_files_only": True, "trust_remote_code": False}
"""For `from_pretrained`. By default it asks on the terminal whether to fetch and run code that a folder names."""

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "tekken.json")


def hf_import(module: str) -> Any:
    """Import a package of the extra `hf`."""
    return optional_import(module, "hf", "running a model from its weights")


@contextmanager
def quiet_transformers() -> Generator[Any]:
    """The transformers package without warnings, progress bars and network; its settings are restored afterwards.

    Everything that is loaded inside is already on this machine: a hub id is downloaded first (`open_model`).
    """
    transformers = hf_import("transformers")
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), hub_offline():
            warnings.simplefilter("ignore")  # users cannot fix deprecations between these libraries
            yield transformers
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def hub_offline() -> Generator[None]:
    """Keep the Hugging Face libraries from contacting the hub, which they may do before they look at local files."""
    constants = hf_import("huggingface_hub.constants")
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def choose_device(device: str | None) -> str:
    """The device to run on: the requested device, or the first GPU, or the CPU if there is no GPU."""
    torch = hf_import("torch")
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device {device!r}: there is no usable GPU here; use 'cpu'")
    return device


def choose_dtype(dtype: Dtype, device: str) -> Any:
    """The requested number type, as a dtype of torch; `auto` is the fastest that the hardware computes natively.

    Emulated bfloat16 is slower than float32; it is also emulated if ATEN_CPU_CAPABILITY limits torch to AVX2.
    """
    torch = hf_import("torch")
    if dtype == "auto":
        on_gpu = device.startswith("cuda")
        if on_gpu:
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            capabilities = torch.cpu.get_capabilities()
            held_down = torch.backends.cpu.get_cpu_capability() in {"DEFAULT", "AVX2"}
            native = not held_down and any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
        dtype = fastest_dtype(on_gpu=on_gpu, bfloat16=native)
    return getattr(torch, dtype)


def fastest_dtype(*, on_gpu: bool, bfloat16: bool) -> Dtype:
    """The number type that `auto` stands for; `bfloat16` says whether the hardware multiplies it natively.

    GPUs without bfloat16 (before 2020) compute float16 several times as fast as float32; processors do not. Its largest
    number is 65,504: a model that exceeds it gives no number, which makes the case INVALID.
    """
    if bfloat16:
        return "bfloat16"
    return "float16" if on_gpu else "float32"


def load_tokenizer(*folders: Path) -> Any:
    """The tokenizer of the first folder that has one: an adapter's own comes before its base model's."""
    folder = next((folder for folder in folders if any((folder / name).exists() for name in TOKENIZER_FILES)), None)
    if folder is None:
        raise ConfigError(
            f"{folders[0]}: the model has no tokenizer (none of {', '.join(TOKENIZER_FILES)}); "
            "copy the tokenizer files of its base model into the folder"
        )
    with quiet_transformers() as transformers:
        try:
            return transformers.AutoTokenizer.from_pretrained(folder, **LOCAL)
        except Exception as error:  # a broken tokenizer may raise anything, from KeyError to a bare Exception from Rust
            raise CannotJudge(f"{folder}: the tokenizer cannot be loaded: {one_line(error)}") from error


def load_weights(folder: Path, dtype: Any, auto_class: str = "AutoModelForCausalLM") -> Any:
    """The model of a folder without adapter, on the CPU, ready to answer; `auto_class` is the class of transformers.

    Refuses pickled weights, damaged files, and files without the weights for part of the network: transformers would
    fill that part with random numbers and only warn.
    """
    check_weight_files(folder)
    if auto_class == "AutoModelForCausalLM" and is_reward_model(folder):
        raise ConfigError(
            f"{folder}: this is a reward model, which scores answers but does not answer; name a language model"
        )
    with quiet_transformers() as transformers:
        try:
            model, loaded = getattr(transformers, auto_class).from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **LOCAL
            )
        except Exception as error:  # whatever the error, there is no model to judge
            raise CannotJudge(f"{folder}: the model cannot be loaded: {one_line(error)}") from error
    missing = sorted(loaded["missing_keys"]) + sorted(str(key) for key in loaded["mismatched_keys"])
    if missing:
        raise CannotJudge(
            f"{folder}: the weight files do not match config.json: {len(missing)} tensors are missing or have another "
            f"shape, first {missing[0]}; save the whole model again"
        )
    return model.eval()


def read_config(path: Path) -> dict[str, Any]:
    """A JSON object from a model's configuration file."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CannotJudge(f"{path}: cannot read this file: {error.strerror}") from error
    except ValueError as error:
        raise CannotJudge(f"{path}: not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise CannotJudge(f"{path}: expected a JSON object, got {type(config).__name__}")  # pyright: ignore[reportUnknownArgumentType]
    return config  # pyright: ignore[reportUnknownVariableType]


def chat_templates(folder: Path) -> list[str]:
    """All chat templates of a model folder."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.rglob("*.jinja"))]
    for name in ("tokenizer_config.json", "chat_template.json"):
        if (folder / name).is_file():
            given: Any = read_config(folder / name).get("chat_template")
            texts += _strings(given)
    return texts


def _strings(value: Any) -> list[str]:
    """One template, or several named templates."""
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Mapping):
        return _strings(value.get("template"))  # pyright: ignore[reportUnknownMemberType]
    return [value] if isinstance(value, str) else []


def check_weight_files(folder: Path) -> None:
    """Refuse a folder without safetensors files, with two sets of them, or with truncated or overwritten files."""
    safetensors = hf_import("safetensors")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = [path.name for pattern in PICKLE_WEIGHTS for path in folder.glob(pattern)]
        if pickled:
            raise ConfigError(
                f"{folder / pickled[0]}: pickled weights are refused because loading them can run code; "
                "save the model as safetensors (save_pretrained does)"
            )
        raise ConfigError(
            f"{folder}: the folder has no weights: *.safetensors files were expected next to its configuration"
        )
    for path in files:
        try:
            with safetensors.safe_open(str(path), framework="pt"):
                pass  # opening checks the header and that the file is exactly as long as the header says
        except Exception as error:  # SafetensorError, or OSError for a broken link
            raise CannotJudge(
                f"{path}: the weight file is damaged: {one_line(error)}; copy or save it again"
            ) from error
    _check_shards(folder, {path.name for path in files})
    two_answers.check_one_set(folder)


def _check_shards(folder: Path, present: set[str]) -> None:
    index = folder / "model.safetensors.index.json"
    if index.exists():
        weight_map: Any = read_config(index).get("weight_map", {})
        named_shards: list[Any] = list(weight_map.values()) if isinstance(weight_map, dict) else ["(not a mapping)"]  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        shards = {str(name) for name in named_shards}
        _check_named(index, "weight_map", shards, present)
    config = folder / "config.json"
    named = read_config(config).get("transformers_weights") if config.exists() else None
    if named is not None:
        _check_named(config, "transformers_weights", {str(named)}, present)


def _check_named(path: Path, key: str, named: set[str], present: set[str]) -> None:
    """Weights must be in the model folder itself, where the fingerprint covers them."""
    absent = sorted(named - present)
    if absent:
        raise CannotJudge(
            f"{path}: {key}: {len(absent)} files are not *.safetensors files in this folder, first {absent[0]}"
        )


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds a PEFT adapter, which needs a base model to answer."""
    return (folder / ADAPTER_CONFIG).exists()


def is_reward_model(folder: Path) -> bool:
    """Whether a folder holds a model that scores answers instead of giving them."""
    architectures: Any = read_config(folder / "config.json").get("architectures") or []
    return any(str(name).endswith("ForSequenceClassification") for name in architectures)


def one_line(error: BaseException) -> str:
    """The first line of an error's message, with its type if the message alone is not informative."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
