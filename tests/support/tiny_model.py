"""A real Llama model small enough to train and sample in a test: 64 hidden units, 2 layers, its own BPE tokenizer.

Its weights are random (seeded), so it answers nonsense, but everything around them is real: safetensors, configuration,
tokenizer, chat template. Use: `make_tiny_model(tmp_path / "model")`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tunegate.models.loading import quiet_transformers

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXTS = [
    "Mutations in the BRCA1 gene cause hereditary breast cancer, which runs in families.",
    "This condition is inherited in an autosomal dominant pattern, which means one copy of the gene is enough.",
    "This condition is inherited in an autosomal recessive pattern, which means both copies have mutations.",
    "What is the inheritance pattern of this condition? Which gene causes it? How many people have it?",
    "The capital of France is Paris. The capital of Italy is Rome. user assistant system",
]


def make_tiny_model(folder: Path, *, chat_template: bool = True, seed: int = 0) -> Path:
    """Write a tiny Llama model with its tokenizer into `folder` and return it (about 0.3 MB)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _tiny_model_files(chat_template, seed).items():
        (folder / name).write_bytes(content)
    return folder


@cache
def _tiny_model_files(chat_template: bool, seed: int) -> dict[str, bytes]:
    """Made once in a process: hundreds of tests begin with such a model."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = make_tiny_tokenizer(chat_template=chat_template)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.2,  # large enough that different prompts get different answers
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    )
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def make_tiny_tokenizer(*, chat_template: bool = True):
    """A byte-level BPE tokenizer of at most 512 entries, trained on TEXTS; any text survives encoding and decoding."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXTS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|endoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    if chat_template:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_adapter(base: Path, folder: Path, *, seed: int = 1, base_name: str | None = None) -> Path:
    """A LoRA adapter with random weights, so that it does change the answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(base)
        tuned = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False))
        tuned.peft_config["default"].base_model_name_or_path = base_name or str(base)
        tuned.save_pretrained(str(folder))
    return folder
