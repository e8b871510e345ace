"""`peft: {quantize: 4}`: the frozen base in 4 or 8 bits, with an adapter in full precision (QLoRA).

T. Dettmers, A. Pagnoni, A. Holtzman and L. Zettlemoyer, NeurIPS 36 (2023). Needs bitsandbytes and a GPU.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from tunegate.exceptions import SettingError
from tunegate.models import loading


def check(bits: object, *, gpu: bool = True) -> None:
    """Raise ConfigError if the number of bits is not possible, or without bitsandbytes or a GPU."""
    if bits not in (4, 8) or isinstance(bits, bool):
        raise SettingError("peft.quantize", f"expected 4 or 8, the bits of a weight, got {bits!r}")
    if not gpu:
        raise SettingError(
            "peft.quantize", f"weights of {bits} bits need a GPU, but this machine has none; leave it out"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise SettingError(
            "peft.quantize",
            f"weights of {bits} bits need a GPU and the package bitsandbytes, which is not installed; "
            "pip install bitsandbytes, or leave it out",
        )


def load(folder: Path, bits: int, dtype: Any) -> Any:
    """The model of a folder with its weights in `bits` bits, ready for an adapter."""
    import peft
    import torch

    check(bits, gpu=torch.cuda.is_available())
    loading.check_weight_files(folder)
    with loading.quiet_transformers() as transformers:
        four = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            quantization_config=transformers.BitsAndBytesConfig(**four if bits == 4 else {"load_in_8bit": True}),
            dtype=dtype,
            device_map={"": 0},
            use_safetensors=True,
            **loading.LOCAL,
        )
    return peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
