"""Writes a Llama-type model folder as a GGUF file, the format of llama.cpp, at full precision or quantised.

The tensors get llama.cpp's names and order: rows of the query and key projections are permuted, because llama.cpp
rotates neighbouring numbers where transformers rotates the halves of a head. Norms stay float32, and the embeddings and
the output layer get 8 bits where the other matrices get fewer, much as llama.cpp's own quantiser does.

Sources: the GGUF specification (github.com/ggml-org/ggml, docs/gguf.md); llama.cpp's converter
(github.com/ggml-org/llama.cpp, conversion/llama.py). The package `gguf` writes the file and quantises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tunegate.exceptions import ConfigError
from tunegate.models import loading

ARCHITECTURE = "LlamaForCausalLM"
FILE_TYPES = {
    "f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0", "q5_1": "MOSTLY_Q5_1",
    "q5_0": "MOSTLY_Q5_0", "q4_1": "MOSTLY_Q4_1", "q4_0": "MOSTLY_Q4_0",
}  # fmt: skip
"""The types that `gguf` can write, and their names in `gguf.LlamaFileType`."""
KEPT_AT_8_BITS = ("token_embd.weight", "output.weight")
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A model folder as its files describe it. `adds_bos`: a begin-of-text token goes before every text."""

    folder: Path
    config: Json
    tokenizer: Json
    template: str | None
    end_ids: tuple[int, ...]
    adds_bos: bool


def write_gguf(folder: Path, path: Path, file_type: str) -> None:
    """Write a model folder as the GGUF file `path`; `file_type` is one of `FILE_TYPES`.

    Raises ConfigError for a model that is not Llama-type, or a tokenizer that llama.cpp has no name for; CannotJudge
    for files that cannot be read.

    Example:
        >>> write_gguf(Path("runs/facts/sft/1/model"), Path("model.gguf"), "q8_0")
    """
    gguf = loading.hf_import("gguf")
    source = read_source(folder)
    writer = gguf.GGUFWriter(path, "llama")
    _add_config(writer, source.config)
    writer.add_file_type(getattr(gguf.LlamaFileType, FILE_TYPES[file_type]))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_tokenizer(gguf, writer, source)
    for name, tensor in _tensors(gguf, source):
        kind = gguf.GGMLQuantizationType[_type_of(name, tensor, file_type).upper()]
        writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def read_source(folder: Path) -> Source:
    """Read what a folder says about its model; raises ConfigError for a kind that `write_gguf` does not know."""
    config = loading.read_config(folder / "config.json")
    named: list[str] = config.get("architectures") or []
    if named != [ARCHITECTURE]:
        raise ConfigError(
            f"{folder / 'config.json'}: architectures: expected {ARCHITECTURE}, got {named}; other architectures need "
            "llama.cpp's own converter (docs/serving.md)"
        )
    rope: Json = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if (kind := rope.get("rope_type", "default")) != "default":
        raise ConfigError(f"{folder / 'config.json'}: rope_type: expected 'default', got {kind!r}; see docs/serving.md")
    tokenizer = loading.load_tokenizer(folder)
    template: Any = tokenizer.chat_template
    return Source(
        folder,
        config,
        loading.read_config(folder / "tokenizer.json"),
        template if isinstance(template, str) else None,
        _end_ids(folder, config, tokenizer.eos_token_id),
        tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id],
    )


def _end_ids(folder: Path, config: Json, of_tokenizer: int | None) -> tuple[int, ...]:
    """The tokens that end an answer, by the same rule as `HFModel`."""
    file = folder / "generation_config.json"
    generation = loading.read_config(file) if file.exists() else config
    found: Any = generation.get("eos_token_id", of_tokenizer)
    ids: list[Any] = cast(list[Any], found) if isinstance(found, list) else [found]
    return tuple(one for one in ids if isinstance(one, int))


def _add_config(writer: Any, config: Json) -> None:
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    rope: Json = config.get("rope_parameters") or {}
    theta: float = rope.get("rope_theta") or config.get("rope_theta") or 10_000.0
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(theta)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


# --- tokenizer -----------------------------------------------------------------------------------------------------


def pre_tokenizer_of(tokenizer: Json) -> str | None:
    """llama.cpp's name of the rule that splits a text before byte-pair encoding; None for one that it lacks.

    >>> pre_tokenizer_of({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}})
    'gpt-2'
    """
    rule: Json = tokenizer.get("pre_tokenizer") or {}
    steps: list[Json] = rule.get("pretokenizers") or [rule]
    if tokenizer.get("normalizer") or steps[-1].get("type") != "ByteLevel" or steps[-1].get("add_prefix_space"):
        return None
    match [step.get("type") for step in steps], steps[-1].get("use_regex", True):
        case ["ByteLevel"], True:
            return "gpt-2"
        case ["Digits", "ByteLevel"], True if steps[0].get("individual_digits"):
            return "smollm"
        case ["Split", "ByteLevel"], False if steps[0].get("pattern") == {"Regex": LLAMA3_PATTERN}:
            return "llama-bpe"
        case _:
            return None


def _add_tokenizer(gguf: Any, writer: Any, source: Source) -> None:
    model, pre = source.tokenizer["model"], pre_tokenizer_of(source.tokenizer)
    if model.get("type") != "BPE" or pre is None:
        raise ConfigError(
            f"{source.folder / 'tokenizer.json'}: expected a byte-level BPE tokenizer that splits texts as GPT-2, "
            f"SmolLM2 or Llama 3 does, got {model.get('type')} with {source.tokenizer.get('pre_tokenizer')!r:.120}; "
            "see docs/serving.md"
        )
    size: int = source.config["vocab_size"]
    tokens, kinds = [f"[PAD{number}]" for number in range(size)], [gguf.TokenType.UNUSED] * size
    for text, number in model["vocab"].items():
        tokens[number], kinds[number] = text, gguf.TokenType.NORMAL
    for added in source.tokenizer.get("added_tokens") or ():
        special = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], kinds[added["id"]] = added["content"], special
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]])
    _add_special(writer, source)


def _add_special(writer: Any, source: Source) -> None:
    config = source.config
    if (bos := config.get("bos_token_id")) is not None:
        writer.add_bos_token_id(bos)
    for number, add in zip(source.end_ids, (writer.add_eos_token_id, writer.add_eot_token_id), strict=False):
        add(number)
    if (pad := config.get("pad_token_id")) is not None:
        writer.add_pad_token_id(pad)
    writer.add_add_bos_token(source.adds_bos)
    writer.add_add_space_prefix(False)
    if source.template is not None:
        writer.add_chat_template(source.template)


# --- tensors -------------------------------------------------------------------------------------------------------


def _tensors(gguf: Any, source: Source) -> Iterator[tuple[str, Any]]:
    """The tensors by llama.cpp's names, as float32 arrays, one file after the other."""
    config = source.config
    heads = config["num_attention_heads"]
    rows = {"q_proj": heads, "k_proj": config.get("num_key_value_heads") or heads}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    for file in sorted(source.folder.glob("*.safetensors")):
        with loading.hf_import("safetensors").safe_open(str(file), framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                if name == "lm_head.weight" and config.get("tie_word_embeddings"):
                    continue
                new = names.get_name(name, try_suffixes=(".weight", ".bias"))
                if new is None:
                    raise ConfigError(f"{file}: the tensor {name!r} has no place in a Llama model")
                tensor = opened.get_tensor(name).float().numpy()
                count = rows.get(name.split(".")[-2])
                yield new, tensor if count is None else _neighbours(tensor, count)


def _neighbours(tensor: Any, heads: int) -> Any:
    """Rows (heads * size, …) in llama.cpp's order: the two halves of each head interleaved."""
    size = tensor.shape[0] // heads
    return tensor.reshape(heads, 2, size // 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape).copy()


def _type_of(name: str, tensor: Any, file_type: str) -> str:
    """The type of one tensor; rows that do not divide into blocks of 32 numbers stay float16."""
    if tensor.ndim == 1 or file_type == "f32":
        return "f32"
    if not file_type.startswith("q"):
        return file_type
    if tensor.shape[-1] % 32:
        return "f16"
    return "q8_0" if name in KEPT_AT_8_BITS else file_type
