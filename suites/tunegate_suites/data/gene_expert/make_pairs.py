"""Write pairs.jsonl: answers from train.jsonl (chosen) beside plausible wrong ones (rejected), for the dpo stage.

And ../gene_pairs/held_out.jsonl: the same of bank.jsonl, as the two choices of a case, to gate a reward model.

The wrong answers are of the kinds that a fine-tuned model of this size really gives: a garbled gene symbol, another
abbreviation of the same passage, another inheritance class, another figure. Run `python make_pairs.py` in this folder;
the same train.jsonl gives the same pairs.
"""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

HERE = Path(__file__).parent
PAIRS_PER_TASK = {"gene": 120, "inheritance": 120, "prevalence": 80}
INHERITANCE = ("autosomal dominant", "autosomal recessive", "X-linked", "not inherited")
KEPT = ("id", "question", "context", "answer", "task", "doc")
GENE_SYMBOL = re.compile(r"\b[A-Z][A-Z0-9]{2,8}\b")
FIGURE = re.compile(r"\b(?:\d+ in )?\d[\d,]*\b")

Row = dict[str, str]


def main() -> None:
    lines = (HERE / "train.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = make_pairs([json.loads(line) for line in lines])
    text = "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)
    (HERE / "pairs.jsonl").write_text(text, encoding="utf-8")
    bank = [json.loads(line) for line in (HERE / "bank.jsonl").read_text(encoding="utf-8").splitlines()]
    text = "".join(json.dumps(case, ensure_ascii=False) + "\n" for case in held_out(bank))
    (HERE.parent / "gene_pairs" / "held_out.jsonl").write_text(text, encoding="utf-8")


def held_out(rows: list[Row]) -> Iterator[dict[str, object]]:
    """The rows that are not near copies of training data, each with its two choices in a random order."""
    for row in rows:
        if not row["near_dup_of_train"]:
            chance = random.Random(row["id"])
            choices = [row["answer"], WRONG[row["task"]](row, chance)]
            chance.shuffle(choices)
            yield {
                **{key: row[key] for key in ("id", "question", "context", "answer", "task", "doc")},
                "choices": choices,
            }


def make_pairs(rows: list[Row]) -> list[Row]:
    """Pairs of all tasks in turn, so that any first part of them is a fair mixture."""
    tasks = [list(_task_pairs(rows, task, count)) for task, count in PAIRS_PER_TASK.items()]
    return [pair for turn in zip_longest(*tasks) for pair in turn if pair is not None]


def _task_pairs(rows: list[Row], task: str, count: int) -> Iterator[Row]:
    """`count` rows of one task, spread evenly over its answers: the rare classes are those that need the practice."""
    by_answer: dict[str, list[Row]] = {}
    for row in rows:
        if row["task"] == task:
            by_answer.setdefault(row["answer"] if task == "inheritance" else row["id"], []).append(row)
    turns = [row for turn in zip_longest(*by_answer.values()) for row in turn if row is not None]
    spread = turns[:count] if task == "inheritance" else turns[:: max(1, len(turns) // count)][:count]
    for row in spread:
        rejected = WRONG[task](row, random.Random(row["id"]))
        yield {
            "id": row["id"],
            "question": row["question"],
            "context": row["context"],
            "chosen": row["answer"],
            "rejected": rejected,
            "task": task,
        }


def _wrong_gene(row: Row, chance: random.Random) -> str:
    names = set(GENE_SYMBOL.findall(row["context"])) - {row["answer"], "III"}
    others = sorted(name for name in names if f"{name} gene" not in row["context"])  # a second gene may be right too
    if others and chance.random() < 0.4:
        return chance.choice(others)
    return _garbled(row["answer"], chance)


def _garbled(symbol: str, chance: random.Random) -> str:
    """The symbol with one letter or digit inserted, dropped, doubled or replaced, the first one kept."""
    place = chance.randrange(1, len(symbol)) if len(symbol) > 1 else 0
    old = symbol[place]
    new = chance.choice([c for c in (string.digits if old.isdigit() else string.ascii_uppercase) if c != old])
    before, after = symbol[:place], symbol[place + 1 :]
    variants = [before + new + after, before + old + new + after, before + old + old + after, before + after]
    return chance.choice([variant for variant in variants if len(variant) > 1])


def _wrong_inheritance(row: Row, chance: random.Random) -> str:
    return chance.choice([name for name in INHERITANCE if name != row["answer"]])


def _wrong_prevalence(row: Row, chance: random.Random) -> str:
    others = sorted(set(FIGURE.findall(row["context"])) - {row["answer"]} - set(FIGURE.findall(row["answer"])))
    if others and chance.random() < 0.3:
        return chance.choice(others)
    return _other_figure(row["answer"], chance)


def _other_figure(answer: str, chance: random.Random) -> str:
    """The answer with its last number ten times larger or smaller, or with another first digit."""
    last = re.findall(r"\d[\d,]*", answer)[-1]
    number = int(last.replace(",", ""))
    other_digit = int(f"{number % 9 + 1}{str(number)[1:]}")
    choices = [n for n in (number * 10, number // 10, other_digit) if n not in (0, 1, number)]
    return f"{chance.choice(choices):,}".join(answer.rsplit(last, 1))


WRONG = {"gene": _wrong_gene, "inheritance": _wrong_inheritance, "prevalence": _wrong_prevalence}

if __name__ == "__main__":
    main()
