"""Adapters: `peft: {type: lora, r: 16, alpha: 32, dora: true, …}` to PEFT's configuration class for it.

Every key but `type` and `quantize` is PEFT's own; LoRA's `alpha`, `dropout`, `dora` and `rslora` are short names for
PEFT's keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunegate.exceptions import ConfigError, SettingError, nearest
from tunegate.models import loading
from tunegate_trainers import config_fields, quantized

Peft = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """An adapter of PEFT: its configuration class, and the file of the class in the package.

    `merges`: whether it can be merged into the weights. `layers` are the default target layers; None leaves them to
    PEFT. `short` are Tunegate's short names for PEFT's keys.
    """

    config: str
    file: str
    parents: tuple[tuple[str, str], ...] = ()
    merges: bool = True
    layers: str | None = "all-linear"
    short: tuple[tuple[str, str], ...] = ()


_LORA_SHORT = (("alpha", "lora_alpha"), ("dropout", "lora_dropout"), ("dora", "use_dora"), ("rslora", "use_rslora"))
_LYCORIS = (("tuners/lycoris_utils.py", "LycorisConfig"),)
_PROMPT = (("config.py", "PromptLearningConfig"),)

KINDS = {
    "lora": Kind("LoraConfig", "tuners/lora/config.py", short=_LORA_SHORT),
    "ia3": Kind("IA3Config", "tuners/ia3/config.py", layers=None),
    "loha": Kind("LoHaConfig", "tuners/loha/config.py", _LYCORIS),
    "lokr": Kind("LoKrConfig", "tuners/lokr/config.py", _LYCORIS),
    "oft": Kind("OFTConfig", "tuners/oft/config.py"),
    "prompt_tuning": Kind("PromptTuningConfig", "tuners/prompt_tuning/config.py", _PROMPT, merges=False, layers=None),
    "p_tuning": Kind("PromptEncoderConfig", "tuners/p_tuning/config.py", _PROMPT, merges=False, layers=None),
    "prefix_tuning": Kind("PrefixTuningConfig", "tuners/prefix_tuning/config.py", _PROMPT, merges=False, layers=None),
}
"""`type` to PEFT's adapter."""

_OWN = {"type", "quantize"}


def check_save(peft: Peft | None, save: str) -> None:
    """Raise ConfigError if an adapter should be saved but none is trained."""
    if peft is None and save == "adapter":
        raise SettingError("save", "'adapter' needs `peft`: without it no adapter is trained")


def check(peft: Peft | None, save: str) -> None:
    """Raise ConfigError if PEFT's class does not know a key of `peft`, or if `save` is not possible."""
    check_save(peft, save)
    if peft is None:
        return
    name, kind = _kind(peft)
    if "quantize" in peft:
        quantized.check(peft["quantize"])
        if save == "merged":
            raise SettingError("save", "merging would round the weights to peft.quantize bits; write `save: adapter`")
    known = _fields(kind)
    given = {key: value for key, value in peft.items() if key not in _OWN}
    config_fields.check(given, known, "peft", f"an argument of peft.{kind.config}")
    for short, long in kind.short:
        if short in peft and long in peft:
            raise SettingError(f"peft.{short}", f"short for {long}, which is also given; give only one of the two")
    if "num_virtual_tokens" in known and "num_virtual_tokens" not in peft:
        raise SettingError(
            "peft.num_virtual_tokens", f"missing; give the number of tokens that {name} learns per prompt"
        )
    if save == "merged" and not kind.merges:
        raise SettingError("save", f"what {name} learns cannot be merged into the weights; write `save: adapter`")


def config_of(peft: Peft) -> Any:
    """A fresh configuration; PEFT writes into it, so every training gets its own."""
    import peft as library

    kind = _kind(peft)[1]
    defaults = {"task_type": "CAUSAL_LM", **({} if kind.layers is None else {"target_modules": kind.layers})}
    return getattr(library, kind.config)(**defaults | settings_of(peft))


def settings_of(peft: Peft) -> dict[str, Any]:
    """The arguments for PEFT, with PEFT's names."""
    long = dict(_kind(peft)[1].short)
    return {long.get(key, key): value for key, value in peft.items() if key not in _OWN}


def check_continued(config: Any, peft: Peft, folder: object) -> None:
    """Raise ConfigError if a continued input adapter differs from `peft`.

    `config` is the adapter's configuration in PEFT.
    """
    name, kind = _kind(peft)
    if type(config).__name__ != kind.config:
        has = next((name for name, kind in KINDS.items() if kind.config == type(config).__name__), config.peft_type)
        raise ConfigError(_differs("type", name, str(has), folder))
    has = config.to_dict()
    for key, asked in settings_of(peft).items():
        if key != "target_modules" and has.get(key) != asked:
            raise ConfigError(_differs(key, asked, has.get(key), folder))


def check_input(adapters: Sequence[Path]) -> None:
    """Raise ConfigError for an input adapter that can be neither merged nor, in PEFT, trained further."""
    for folder in adapters:
        kind = str(loading.read_config(folder / loading.ADAPTER_CONFIG).get("peft_type")).lower()
        if kind in KINDS and not KINDS[kind].merges:
            raise ConfigError(f"{folder}: no stage can train on top of a {kind} adapter; make it the last stage")


def _differs(key: str, asked: object, has: object, folder: object) -> str:
    return (
        f"peft.{key}: expected {has!r}, as in the continued input adapter {folder}, got {asked!r}; "
        "use the same value, or `save: merged` in the stage before"
    )


def _kind(peft: Peft) -> tuple[str, Kind]:
    name = peft.get("type", "lora")
    if name not in KINDS:
        raise SettingError("peft.type", f"no adapter is named {name!r}{nearest(str(name), KINDS)}")
    return name, KINDS[name]


def _fields(kind: Kind) -> dict[str, str]:
    known = config_fields.fields_of(
        ("peft", "config.py", "PeftConfigMixin"),
        ("peft", "config.py", "PeftConfig"),
        *(("peft", *parent) for parent in kind.parents),
        ("peft", kind.file, kind.config),
    )
    return known | {short: known[long] for short, long in kind.short}
