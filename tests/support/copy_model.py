"""A tiny Llama that is really trained to answer with the word after a marker, so that a right explanation is known.

Its prompts are words such as `oak ash @ elm fir`, and its answer is the word after `@`: here `elm`. An explanation of
that answer must point to `elm`; if it points elsewhere, the explanation is wrong, not the model.
"""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

WORDS = (
    *("oak", "ash", "elm", "fir", "yew", "box", "bay", "fig", "sloe", "pine", "lime", "pear", "plum", "palm", "teak"),
    *("rose", "iris", "lily", "mint", "sage", "rue", "hop", "flax", "reed", "moss", "fern"),
)
MARKER = "@"
SPECIAL_TOKENS = ("[pad]", "[end]", "[ask]")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}{% endfor %}{% if add_generation_prompt %} [ask]{% endif %}"
)
LENGTHS = (5, 9)
"""The number of words in a prompt, the marker not counted."""
STEPS, BATCH = 500, 48


def prompt_of(rng: random.Random, words: int | None = None) -> tuple[str, str]:
    """A prompt, and the word after its marker."""
    drawn = rng.sample(WORDS, words or rng.randint(*LENGTHS))
    place = rng.randrange(1, len(drawn) - 1)
    return " ".join([*drawn[:place], MARKER, *drawn[place:]]), drawn[place]


def make_copy_model(folder: Path) -> Path:
    """Write the trained model with its tokenizer into `folder` and return it; trained once in a process, in seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _files().items():
        (folder / name).write_bytes(content)
    return folder


def make_word_tokenizer() -> Any:
    """One token for each word; a space in front belongs to no token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    known = {word: number for number, word in enumerate((*SPECIAL_TOKENS, MARKER, *WORDS))}
    words = Tokenizer(models.WordLevel(known, unk_token="[pad]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[pad]", eos_token="[end]", unk_token="[pad]")
    tokenizer.add_special_tokens({"additional_special_tokens": ["[ask]"]})
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


@cache
def _files() -> dict[str, bytes]:
    model, tokenizer = _trained()
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _trained() -> tuple[Any, Any]:
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = make_word_tokenizer()
    end = tokenizer.eos_token_id
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        eos_token_id=end,
        bos_token_id=None,
    )
    rng, number = random.Random(0), tokenizer.get_vocab()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=STEPS)
        for _ in range(STEPS):
            length = rng.randint(*LENGTHS)
            drawn = [prompt_of(rng, length) for _ in range(BATCH)]
            texts = [[*_blanked(prompt, answer, rng), "[ask]", answer, "[end]"] for prompt, answer in drawn]
            ids = torch.tensor([[number[word] for word in text] for text in texts])
            logits = model(input_ids=ids[:, :-1]).logits
            loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), _wanted(ids, number[MARKER]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=tokenizer.pad_token_id)
    return model.eval(), tokenizer


def _blanked(prompt: str, answer: str, rng: random.Random) -> list[str]:
    """A prompt with some of its words replaced by the padding token, but not the marker and not the answer.

    So the model learns that this token says nothing: it is the neutral prompt from which integrated gradients start.
    """
    share = rng.choice([0.0, 0.0, 0.5, 1.0])
    return [w if w in (MARKER, answer) or rng.random() >= share else "[pad]" for w in prompt.split()]


def _wanted(ids: Any, marker: int) -> Any:
    """What each token should be followed by: the word after the marker from that word on, and the end after the answer.

    Being asked at every place, not only at the last one, the model learns in a fraction of the time. (rows, tokens) to
    (rows, tokens - 1); -100 where nothing is asked.
    """
    place = (ids == marker).int().argmax(dim=1, keepdim=True) + 1
    wanted = ids.gather(1, place).repeat(1, ids.shape[1] - 1)
    for column in range(wanted.shape[1]):
        wanted[:, column].masked_fill_(column <= place[:, 0], -100)
    wanted[:, -1] = ids[:, -1]
    return wanted
